"""Which point a worker tries next: bred from the population, new as far as the worker knows."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evo.engine.settings import Settings
from evo.errors import UserError
from evo.population.events import Identity
from evo.population.individual import Active, Individual, Known, ancestors
from evo.population.population import Population
from evo.population.reason import StopKind, StopReason
from evo.propagators.base import Propagator, PropagatorError
from evo.randomness import breeding_generator
from evo.space.space import Genome, Space
from evo.space.values import Params, fresh

# How often a point is bred, and then drawn at random, before a finite space is gone through; times the shares.
_BREEDING_ATTEMPTS = 10
_SAMPLING_ATTEMPTS = 30
# So few points for each worker are likely to be tried all.
_EXHAUSTIBLE = 100
# In a larger space with more workers, several have the same share: a small share would leave breeding little choice.
_MOST_SHARES = 16
# For so many turns, each at least a moment's wait, the others try nothing new before a worker takes a point of theirs.
_QUIET_ENOUGH = 3
# With constraints, and more points than can be gone through, so many are drawn before there is said to be nothing new.
_CONSTRAINED_ATTEMPTS = 200
# Of so many of the best, the nearest ones are parents towards which a point is moved that violates constraints.
_NEAREST_OF, _NEAREST = 32, 3


@dataclass(frozen=True)
class Proposal:
    """A point to be tried, and where it comes from.

    Args:
        params: What the objective gets.
        bred_by: A short name of what proposes it.
        strategy: What makes its offspring evolve.
        parents: The individuals that it was bred from.
    """

    params: Params
    bred_by: str
    strategy: dict[str, Any] = field(default_factory=dict)
    parents: tuple[Identity, ...] = ()


def breed_one(propagator: Propagator, parents: Active, space: Space, rng: np.random.Generator) -> Individual:
    """The individual that a propagator, which may be the user's own, makes from a population.

    Raises:
        PropagatorError: It cannot, or makes anything but one individual of that space.
    """
    population = f"a population of {len(parents)}" if parents else "an empty population"
    needed = (
        f"a search needs one individual with a genome of shape ({len(space)},); mend it, or where it needs more "
        "parents put a Conditional around it"
    )
    try:
        bred = propagator(parents, space, rng)
    except UserError as error:
        raise PropagatorError(f"propagator {propagator!r} fails on {population}: {error}; {needed}") from error
    shapes = [getattr(individual.genome, "shape", None) for individual in bred]
    if shapes != [(len(space),)]:
        made = f"makes {len(shapes)} individuals of shapes {shapes} from {population}"
        raise PropagatorError(f"propagator {propagator!r} {made}: {needed}")
    return bred[0]


class Breeder:
    """Breeds for one worker.

    Every point fulfils the constraints of the space: one that was bred otherwise is moved a little, or drawn anew. None
    is tried twice, as far as this worker knows. Workers that breed in the same instant know nothing of each
    other's choice, so a finite space is shared out among them, by a checksum of the point. Two of them may still try
    the same one when a message is under way for longer than an evaluation, or one takes a point of another's share.

    Args:
        propagator: Breeds individuals from the active population.
        population: What this worker knows.
        settings: What does not change while this worker searches.
    """

    def __init__(self, propagator: Propagator, population: Population, settings: Settings) -> None:
        self.propagator = propagator
        self.population = population
        self.space = population.space
        self.worker = settings.worker
        self.allow_duplicates = settings.allow_duplicates
        self._seed = settings.seed
        workers = self._workers = settings.workers
        # A small space will be exhausted: there each worker has a share of its own.
        shares = workers if self.space.size <= _EXHAUSTIBLE * workers else min(workers, _MOST_SHARES)
        self._shares = shares if math.isfinite(self.space.size) else 1
        self._share_is_exhausted = False
        self._all_start = settings.start
        self._start = deque(settings.start[self.worker :: workers])
        # Of all workers: nobody else happens upon them before they are tried.
        self._reserved = {self.space.encode(point).tobytes() for point in settings.start}
        # Why there is nothing left to try, once that is found out in a way that no count of points tells.
        self._why_exhausted = ""
        # Of a space with constraints: its feasible points, gone through once in the course of the search, and the one
        # of these that was the first not tried when this was last looked at.
        self._feasible: Iterator[Params] | None = None
        self._witness: bytes | None = None
        # For how many turns nobody has tried anything new.
        self._quiet = self._tried_before = 0

    def generator(self, generation: int) -> np.random.Generator:
        """The randomness of one generation: the same whenever it is bred, so that nothing needs saving."""
        return breeding_generator(self._seed, self.worker, generation)

    def breed(self, rng: np.random.Generator) -> Proposal | None:
        """A point that nobody has tried, as far as this worker knows.

        Args:
            rng: From `generator`.

        Returns:
            None when there is none, or when those that are left are for others to try; ask again after a moment.

        Raises:
            UserError: The propagator returned something else than one individual.
        """
        while self._start and self.population.has_tried(self._start[0]):
            self._start.popleft()
        if self._start:
            return Proposal(fresh(self._start[0]), "start")
        if self.allow_duplicates:
            found = next(itertools.chain(self._bred(rng), filter(self._fulfils, self._drawn(rng))), None)
            self._note_whether_exhausted(found)
            return found
        if not self._share_is_exhausted:
            found = self._find(rng, share_only=True)
            self._share_is_exhausted = found is None
            if found is not None:
                return found
        if not self._may_take_from_others():
            return None
        found = self._find(rng, share_only=False)
        self._note_whether_exhausted(found)
        return found

    def take_over(self, worker: int) -> None:
        """Try what is left of the start points of a worker that has died."""
        self._start.extend(self._all_start[worker :: self._workers])

    def is_new(self, params: Params) -> bool:
        """Whether a point may be tried."""
        return self.allow_duplicates or not self.population.has_tried(params)

    @property
    def why_exhausted(self) -> StopReason | None:
        """Why there is nothing left to try; None while there may be."""
        if not self._why_exhausted and not self.allow_duplicates:
            self._look_for_the_end()
        return StopReason(StopKind.EXHAUSTED, self._why_exhausted) if self._why_exhausted else None

    def _look_for_the_end(self) -> None:
        """Find out whether all points have been tried, where they can be counted."""
        if len(self.population.tried) >= self.space.size:
            self._why_exhausted = f"all {self.space.size} points of the space have been tried"
            return
        if self.space.feasibility is not None and self.space.is_enumerable:
            self._feasible = self._feasible or self.space.feasible_points()
            while self._witness is None or self._witness in self.population.tried:
                params = next(self._feasible, None)
                if params is None:
                    self._why_exhausted = "all points of the space that fulfil the constraints have been tried"
                    break
                self._witness = self.space.encode(params).tobytes()

    def _note_whether_exhausted(self, found: Proposal | None) -> None:
        """Where points are not counted, it is the end when none was found."""
        is_counted = self.space.is_enumerable and not self.allow_duplicates
        if found is None and self.space.feasibility is not None and not is_counted:
            self._why_exhausted = "no further point that fulfils the constraints was found"

    def _fulfils(self, proposal: Proposal) -> bool:
        return self.space.allows(proposal.params)

    def _may_take_from_others(self) -> bool:
        """Whether the others were quiet for a while.

        Sooner, both might take the same point: a worker that tries points quickly is left to finish its share.
        """
        tried = len(self.population.tried)
        self._quiet = self._quiet + 1 if tried == self._tried_before else 0
        self._tried_before = tried
        # One worker after another, or all that have run out would choose from the same few points at once.
        return self._quiet >= _QUIET_ENOUGH * (1 + self.worker % _MOST_SHARES)

    def _find(self, rng: np.random.Generator, share_only: bool) -> Proposal | None:
        candidates = itertools.chain(self._bred(rng), self._drawn(rng), self._all(rng))
        return next((each for each in candidates if self._suits(each, share_only)), None)

    def _suits(self, proposal: Proposal, share_only: bool) -> bool:
        genome = self.space.encode(proposal.params).tobytes()
        if genome in self.population.tried or not self._fulfils(proposal):
            return False
        if share_only and genome in self._reserved:
            return False
        return not share_only or self._shares == 1 or (zlib.crc32(genome) - self.worker) % self._shares == 0

    def _bred(self, rng: np.random.Generator) -> Iterator[Proposal]:
        for _ in range(_BREEDING_ATTEMPTS * min(self._shares, _MOST_SHARES)):
            bred = breed_one(self.propagator, self.population.active, self.space, rng)
            if self.space.feasibility is None:
                yield self._proposal(self.space.complete(bred.genome, rng), bred)
            elif (params := self.space.repair(bred.genome, self._near(bred.genome), rng)) is not None:
                yield self._proposal(params, bred)

    def _proposal(self, params: Params, bred: Individual) -> Proposal:
        # A known individual that was passed on as it is was proposed by something else, perhaps long ago.
        said = "" if isinstance(bred, Known) else bred.bred_by
        return Proposal(params, said or self.propagator.bred_by, bred.strategy, ancestors([bred]) or ())

    def _near(self, genome: Genome) -> list[Genome]:
        """The genomes of some active individuals, the nearest first."""
        others = [individual.genome for individual in self.population.active[:_NEAREST_OF]]
        return sorted(others, key=lambda other: float(np.nansum(np.abs(other - genome))))[:_NEAREST]

    def _drawn(self, rng: np.random.Generator) -> Iterator[Proposal]:
        # There is always something new to draw from a space with a float, however rarely that exists; with constraints
        # there may be nothing.
        attempts: Iterable[int] = range(_SAMPLING_ATTEMPTS * min(self._shares, _MOST_SHARES))
        if self.space.feasibility is not None and not self.space.is_enumerable:
            attempts = range(_CONSTRAINED_ATTEMPTS)
        elif math.isinf(self.space.size):
            attempts = itertools.count()
        for _ in attempts:
            yield Proposal(self.space.complete(self.space.sample(rng), rng), "random")

    def _all(self, rng: np.random.Generator) -> Iterator[Proposal]:
        if self.space.feasibility is None or self.space.is_enumerable:
            for params in self.space.feasible_points(start=int(rng.integers(2**32))):
                yield Proposal(params, "enumeration")
