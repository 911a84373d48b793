"""Regularised evolution: the young breed, and the oldest leaves the population however good it is.

E. Real, A. Aggarwal, Y. Huang and Q. V. Le, "Regularized evolution for image classifier architecture search", 2019,
Algorithm 1, doi:10.1609/aaai.v33i01.33014780

Age counts by birth, not by arrival, so that all workers have the same population in whatever order they hear of it.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.checks import check_count
from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.space.space import Genome

_USUAL = 20  # 100 in the paper, for searches of 20,000 evaluations.
_FOR_EACH_WORKER = 3  # Within the time of a slow evaluation, so many others are born for each worker.


@final
@dataclass(frozen=True)
class RegularizedEvolution(Algorithm):
    """Regularised (aging) evolution: simple and hard to mislead by noise, also in spaces of categories.

    Args:
        population: The number of the youngest individuals that may breed; None is 20, or three for each worker.
        sample: The number of those that are drawn at random, with replacement, the best of which is the parent; None is
            half of the population.
        smallest: The smallest typical step of a number, as a share of its range; steps are spread evenly over the
            logarithm between this and the largest.
        largest: The largest typical step.
    """

    population: int | None = None  # P
    sample: int | None = None  # S
    smallest: float = 0.003
    largest: float = 0.3

    def __post_init__(self) -> None:
        if self.population is not None:
            check_count("population", self.population, least=2)
        if self.sample is not None:
            check_count("sample", self.sample)
        if self.population is not None and self.sample is not None and self.sample > self.population:
            raise UserError(f"sample is {self.sample}: give at most the population, which is {self.population}")
        for name in ("smallest", "largest"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                raise UserError(f"{name} is {value!r}: give a share of the range, above 0 and not above 1")
        if self.smallest > self.largest:
            raise UserError(f"smallest is {self.smallest}: give at most the largest step, which is {self.largest}")

    @property
    def bred_by(self) -> str:
        return "regularized"

    def start(self, setup: Setup) -> Learner:
        return _State(self, setup)


@dataclass(frozen=True, order=True)
class _Aged:
    """An individual, ordered by its birth."""

    birth: int
    identity: Identity
    loss: float
    genome: Genome


class _State(Learner):
    def __init__(self, algorithm: RegularizedEvolution, setup: Setup) -> None:
        self.algorithm, self.space = algorithm, setup.space
        self.size = algorithm.population or max(_USUAL, _FOR_EACH_WORKER * setup.workers)
        self.sampled = min(algorithm.sample or max(2, self.size // 2), self.size)
        self.population: list[_Aged] = []  # The oldest first.
        self.latest = 0  # The latest birth that is known.

    def learn(self, individual: Known, loss: float | None) -> None:
        # One that somebody else has bred is as young as the youngest that is known.
        said = individual.strategy.get("birth")
        birth = said if type(said) is int else self.latest
        self.latest = max(self.latest, birth)
        if loss is None:
            return
        bisect.insort(self.population, _Aged(birth, individual.identity, loss, individual.genome))
        del self.population[: -self.size]

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        strategy = {"birth": view.used}
        if len(self.population) + len(view.running) < self.size or not self.population:
            yield Individual(genome=self.space.sample(rng), strategy=strategy, parents=())
        while self.population:
            drawn = [self.population[place] for place in rng.integers(len(self.population), size=self.sampled)]
            parent = min(drawn, key=lambda one: (one.loss, one.identity))
            genome = self._mutated(parent.genome, rng)
            yield Individual(genome=genome, strategy=strategy, parents=(parent.identity,))

    def _mutated(self, genome: Genome, rng: np.random.Generator) -> Genome:
        """A genome with one other gene, of those that exist."""
        mutated = genome.copy()
        active = np.flatnonzero(~np.isnan(genome))
        if not len(active):
            return mutated
        place = active[int(rng.integers(len(active)))]
        cells, gene = float(self.space.cells[place]), float(genome[place])
        if not self.space.ordered[place]:
            mutated[place] = (gene + 1 + int(rng.integers(int(cells) - 1))) % cells
            return mutated
        low, high = np.log([self.algorithm.smallest, self.algorithm.largest])
        step = float(np.exp(rng.uniform(low, high)) * rng.standard_normal())
        if abs(step) < 1 / cells:  # At least to the next value of a grid.
            step = float(np.copysign(1 / cells, step))
        moved = gene + step if 0.0 <= gene + step <= 1.0 else gene - step
        mutated[place] = moved if 0.0 <= moved <= 1.0 else rng.random()
        return mutated
