"""Searches with virtual workers in one process, whose evaluations end in a random order, for checks of algorithms."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeAlias, final

import msgspec
import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.population.dominance import Ordered
from evo.population.events import Finished, Started
from evo.population.individual import Individual, Known, by_loss
from evo.population.objectives import ONE_LOSS, Objectives
from evo.population.segments import SavedState
from evo.population.states import StatesInUse
from evo.population.tried import TriedPoints
from evo.space.space import Genome, Space

Told: TypeAlias = tuple[Known, float | None]
"""What a learner is told of one individual: the arguments of its `learn`."""

_LENGTH = 6  # The number of steps after which a training is over, where evaluations are parts of trainings.
_RANKS = 2  # As so many ranks would number individuals.
_TRIES = 30  # The number of candidates, and then of random points, among which a search looks for a new one.


@final
@dataclass
class VirtualSearch:
    """A search by one algorithm, with one state for all workers, as if every message arrived at once.

    Where evaluations are parts of trainings, each that completes leaves a state, and trainings are over after some
    steps.

    Args:
        algorithm: The algorithm.
        space: The search space.
        outcome: How an individual that was in flight ends, and the loss that it counts with.
        workers: The number of evaluations in flight at any time.
        seed: Decides everything that is random.
        budget: The number of evaluations that the algorithm believes to be its budget.
        objectives: What is minimised, and the bounds.

    Attributes:
        learner: The state of the algorithm.
        told: What it was told, in this order.
    """

    algorithm: Algorithm
    space: Space
    outcome: Callable[[Known], Told]
    workers: int = 1
    seed: int = 0
    budget: float = math.inf
    objectives: Objectives = ONE_LOSS
    told: list[Told] = field(default_factory=list, init=False)
    learner: Learner = field(init=False)
    _active: list[Known] = field(default_factory=list, init=False)
    _running: list[Known] = field(default_factory=list, init=False)
    _tried: TriedPoints = field(default_factory=TriedPoints, init=False)
    _states: StatesInUse = field(default_factory=StatesInUse, init=False)
    _started: int = field(default=0, init=False)
    _is_exhausted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.learner = self.started_anew()
        self._rng = np.random.default_rng([self.seed, 7])

    @property
    def view(self) -> View:
        """What the algorithm sees now."""
        return View(
            active=Ordered(list(self._active)) if self.objectives.are_several else list(self._active),
            running=sorted(self._running, key=lambda one: one.identity),
            used=self._started,
            left=max(0.0, self.budget - self._started),
            kept=set(self._states.needed),
            worker=self._started % _RANKS,
        )

    def started_anew(self) -> Learner:
        """A state of the same algorithm that was told nothing yet."""
        entropy, objectives = (self.seed,), self.objectives
        return self.algorithm.start(
            Setup(space=self.space, workers=self.workers, entropy=entropy, objectives=objectives)
        )

    def candidates(self) -> Iterator[Individual]:
        """The candidates for the next evaluation, the same however often it is called."""
        return self.learner.propose(self.view, np.random.default_rng([self.seed, 11, self._started]))

    def run(self, evaluations: int) -> None:
        """Go on until so many more evaluations have ended, or nothing new is found."""
        for _ in range(evaluations):
            while len(self._running) < self.workers and not self._is_exhausted:
                self._is_exhausted = not self._start_one()
            if not self._running:
                return
            ended, loss = self.outcome(self._running.pop(int(self._rng.integers(len(self._running)))))
            ended = self._with_state(ended)
            if ended.status == "completed":
                bisect.insort(self._active, ended, key=by_loss)
            self.told.append((ended, loss))
            self.learner.learn(ended, loss)

    def _start_one(self) -> bool:
        rng = np.random.default_rng([self.seed, 13, self._started])
        drawn = (Individual(genome=self.space.sample(rng), bred_by="random") for _ in range(_TRIES))
        for bred in chain(islice(self.candidates(), _TRIES), drawn):
            params = self.space.repair(bred.genome, self._near(), rng)
            genome: Genome | None = None if params is None else self.space.encode(params)
            if genome is None:
                continue
            known = self._known(bred, genome)
            if not self._tried.has(genome.tobytes(), known.segment):
                self._tried.add(genome.tobytes(), known.segment)
                self._running.append(known)
                self._started += 1
                begun = Started(time=0.0, individual=known.identity, island=0, params={}, segment=known.segment)
                self._states.apply(begun)
                return True
        return False

    def _with_state(self, ended: Known) -> Known:
        """An individual with the state that it leaves, if it is a completed part of a training."""
        if ended.segment is None or ended.status != "completed":
            return ended
        until = ended.segment.until
        state = SavedState(step=until, digest="", is_over=until >= _LENGTH)
        self._states.apply(
            Finished(time=0.0, individual=ended.identity, status="completed", loss=ended.loss, rank=0, state=state)
        )
        return changed(ended, state=state)

    def _near(self) -> list[Genome]:
        return [one.genome for one in self._active[:3]]

    def _known(self, bred: Individual, genome: Genome) -> Known:
        name = bred.bred_by or self.algorithm.bred_by
        # As two ranks would number them, so that the order of identities is not that of birth.
        identity = (self._started % _RANKS, self._started // _RANKS)
        segment = bred.segment or self.algorithm.first_segment
        return Known(genome=genome, identity=identity, strategy=copied(bred.strategy), bred_by=name, segment=segment)


def completed(known: Known, loss: float) -> Told:
    """An individual that has completed with this loss."""
    return changed(known, status="completed", loss=loss), loss


def failed(known: Known) -> Told:
    """An individual that has failed."""
    return changed(known, status="failed", loss=None), None


def changed(known: Known, **fields: Any) -> Known:
    """An individual with other values of some fields."""
    return msgspec.structs.replace(known, **fields)


def copied(strategy: dict[str, Any]) -> dict[str, Any]:
    """A strategy as a journal gives it back."""
    return msgspec.json.decode(msgspec.json.encode(strategy), type=dict[str, Any])


def distance_to_a_point(space: Space, seed: int) -> Callable[[Genome], float]:
    """The sum of squared distances of numbers, and of mismatches of other genes, to a point drawn at random."""
    rng = np.random.default_rng([seed, 3])
    optimum = space.encode(space.complete(space.sample(rng), rng))

    def loss(genome: Genome) -> float:
        differs = np.where(space.ordered, (genome - optimum) ** 2, genome != optimum)
        # A gene that is missing in one of the two points differs; one that is missing in both does not.
        missing = np.isnan(genome), np.isnan(optimum)
        return float(np.where(missing[0] | missing[1], missing[0] != missing[1], differs).sum())

    return loss


def mixed_outcomes(space: Space) -> Callable[[Known], Told]:
    """Outcomes of every kind: losses that are exact in base two, some of them equal, pruned ones and failures."""
    loss = distance_to_a_point(space, seed=0)

    def outcome(known: Known) -> Told:
        rank, generation = known.identity
        if generation % 7 == 3:
            return failed(known)
        value = round(loss(known.genome) * 2**10) / 2**10
        if generation % 5 == 2:
            return changed(known, status="pruned", loss=value - 0.5), value + 1.0
        if generation % 6 == rank:  # As if others had bred them.
            known = changed(known, strategy={"sigma": 0.5, "note": "of others"}, bred_by="others")
        return completed(known, value)

    return outcome


TWO_LOSSES = Objectives(modes={"first": "min", "second": "min"})
"""The objectives of `mixed_fronts`."""


def mixed_fronts(space: Space) -> Callable[[Known], Told]:
    """Outcomes of every kind with two losses, the distances to two points, and violations of a bound."""
    first, second = mixed_outcomes(space), distance_to_a_point(space, seed=1)

    def outcome(known: Known) -> Told:
        ended, loss = first(known)
        if ended.status != "completed" or ended.loss is None:
            return ended, loss
        losses = (ended.loss, round(second(known.genome) * 2**10) / 2**10)
        return changed(ended, losses=losses, violation=max(0.0, 0.125 - losses[1])), loss

    return outcome
