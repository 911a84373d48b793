"""evo's algorithms, with one state for all virtual workers: a search as if every message arrived at once."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

import numpy as np

from evo.algorithms.base import Algorithm, Setup, View
from evo.population.individual import Individual, Known, by_loss
from evo.space.space import Space

_CANDIDATES, _DRAWN = 100, 100


class Shared:
    """One state of an algorithm that all workers share.

    Args:
        algorithm: The algorithm.
        space: The search space.
        workers: The number of workers.
        evaluations: The budget, which the algorithm knows.
        seed: The seed.
    """

    def __init__(self, algorithm: Algorithm, space: Space, workers: int, evaluations: float, seed: int) -> None:
        self.space, self.evaluations = space, evaluations
        self.learner = algorithm.start(Setup(space=space, workers=workers, entropy=(seed,)))
        self.name = algorithm.bred_by
        self.active: list[Known] = []
        self.running: dict[tuple[int, int], Known] = {}
        self.tried: set[bytes] = set()
        self.started, self.seed = 0, seed

    def view(self) -> View:
        """What the algorithm sees now."""
        return View(
            active=self.active,
            running=list(self.running.values()),
            used=self.started,
            left=self.evaluations - self.started,
        )

    def ask(self) -> tuple[Known, Mapping[str, Any]]:
        rng = np.random.default_rng([self.seed, 11, self.started])
        candidates = islice(self.learner.propose(self.view(), rng), _CANDIDATES)
        for bred in chain(candidates, self._drawn(rng)):
            near = [one.genome for one in self.active[:3]]
            params = self.space.repair(bred.genome, near, rng)
            if params is None:
                continue
            genome = self.space.encode(params)
            if genome.tobytes() not in self.tried:
                break
        self.tried.add(genome.tobytes())
        known = Known(
            genome=genome, identity=(0, self.started), strategy=bred.strategy, bred_by=bred.bred_by or self.name
        )
        self.started += 1
        self.running[known.identity] = known
        return known, params

    def tell(self, token: Known, loss: float) -> None:
        del self.running[token.identity]
        failed = math.isnan(loss)
        known = Known(
            genome=token.genome,
            identity=token.identity,
            strategy=token.strategy,
            bred_by=token.bred_by,
            loss=None if failed else loss,
            status="failed" if failed else "completed",
        )
        if not failed:
            bisect.insort(self.active, known, key=by_loss)
        self.learner.learn(known, known.loss)

    def _drawn(self, rng: np.random.Generator) -> Iterator[Individual]:
        for _ in range(_DRAWN):
            yield Individual(genome=self.space.sample(rng), bred_by="random")
