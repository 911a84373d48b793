"""Which point a rank tries next: bred from the population, new as far as the rank knows."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from evo.errors import UserError
from evo.population.population import Active, Individual, Population
from evo.propagators.base import Propagator, PropagatorError
from evo.randomness import breeding_generator
from evo.space.space import Genome, Space
from evo.space.values import Params, fresh

Bred: TypeAlias = tuple[Params, dict[str, Any]]
"""Parameters, and the strategy parameters that come with them."""

# How often a point is bred, and then drawn at random, before a finite space is gone through; times the shares.
_BREEDING_ATTEMPTS = 10
_SAMPLING_ATTEMPTS = 30
# So few points for each rank are likely to be tried all.
_EXHAUSTIBLE = 100
# In a larger space with more ranks, several have the same share: a small share would leave breeding little choice.
_MOST_SHARES = 16
# Turns, each at least a moment's wait, for which the others try nothing new before a rank takes a point of their share.
_QUIET_ENOUGH = 3
# With constraints, and more points than can be gone through, so many are drawn before there is said to be nothing new.
_CONSTRAINED_ATTEMPTS = 200
# Of so many of the best, the nearest ones are parents towards which a point is moved that violates constraints.
_NEAREST_OF, _NEAREST = 32, 3


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
    """Breeds for one rank.

    Every point fulfils the constraints of the space: one that was bred otherwise is moved a little, or drawn anew. None
    is tried twice, as far as this rank knows. Ranks that breed in the same instant know nothing of each
    other's choice, so a finite space is shared out among them, by a checksum of the point. Two of them may still try
    the same one when a message is under way for longer than an evaluation, or one takes a point of another's share.

    Args:
        propagator: Breeds individuals from the active population.
        population: What this rank knows.
        rank: This rank.
        ranks: How many there are.
        seed: The study's seed, not negative.
        allow_duplicates: Whether a point may be tried twice, for noisy losses.
        start: Points to be tried first, the same on all ranks, which share them out.
    """

    def __init__(
        self,
        propagator: Propagator,
        population: Population,
        *,
        rank: int,
        ranks: int,
        seed: int,
        allow_duplicates: bool = False,
        start: Sequence[Params] = (),
    ) -> None:
        self.propagator = propagator
        self.population = population
        self.space = population.space
        self.rank = rank
        self.seed = seed
        self.allow_duplicates = allow_duplicates
        # A small space will be exhausted: there each rank has a share of its own.
        shares = ranks if self.space.size <= _EXHAUSTIBLE * ranks else min(ranks, _MOST_SHARES)
        self._shares = shares if math.isfinite(self.space.size) else 1
        self._share_is_exhausted = False
        self._all_start, self._ranks = start, ranks
        self._start = deque(start[rank::ranks])
        # Of all ranks: nobody else happens upon them before they are tried.
        self._reserved = {self.space.encode(point).tobytes() for point in start}
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
        return breeding_generator(self.seed, self.rank, generation)

    def breed(self, rng: np.random.Generator) -> Bred | None:
        """A point that nobody has tried, as far as this rank knows.

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
            return fresh(self._start[0]), {}
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

    def take_over(self, rank: int) -> None:
        """Try what is left of the start points of a rank that has died."""
        self._start.extend(self._all_start[rank :: self._ranks])

    def is_new(self, params: Params) -> bool:
        """Whether a point may be tried."""
        return self.allow_duplicates or not self.population.has_tried(params)

    @property
    def why_exhausted(self) -> str:
        """Why there is nothing left to try; empty while there may be."""
        if self._why_exhausted or self.allow_duplicates:
            return self._why_exhausted
        if len(self.population.tried) >= self.space.size:
            return f"all {self.space.size} points of the space have been tried"
        if self.space.feasibility is not None and self.space.is_enumerable:
            self._feasible = self._feasible or self.space.feasible_points()
            while self._witness is None or self._witness in self.population.tried:
                params = next(self._feasible, None)
                if params is None:
                    self._why_exhausted = "all points of the space that fulfil the constraints have been tried"
                    break
                self._witness = self.space.encode(params).tobytes()
        return self._why_exhausted

    def _note_whether_exhausted(self, found: Bred | None) -> None:
        """Where points are not counted, it is the end when none was found."""
        is_counted = self.space.is_enumerable and not self.allow_duplicates
        if found is None and self.space.feasibility is not None and not is_counted:
            self._why_exhausted = "no further point that fulfils the constraints was found"

    def _fulfils(self, bred: Bred) -> bool:
        return self.space.allows(bred[0])

    def _may_take_from_others(self) -> bool:
        """Whether the others were quiet for a while.

        Sooner, both might take the same point: a rank that tries points quickly is left to finish its share.
        """
        tried = len(self.population.tried)
        self._quiet = self._quiet + 1 if tried == self._tried_before else 0
        self._tried_before = tried
        # One rank after another, or all that have run out would choose from the same few points at once.
        return self._quiet >= _QUIET_ENOUGH * (1 + self.rank % _MOST_SHARES)

    def _find(self, rng: np.random.Generator, share_only: bool) -> Bred | None:
        candidates = itertools.chain(self._bred(rng), self._drawn(rng), self._all(rng))
        return next((bred for bred in candidates if self._suits(bred, share_only)), None)

    def _suits(self, bred: Bred, share_only: bool) -> bool:
        genome = self.space.encode(bred[0]).tobytes()
        if genome in self.population.tried or not self._fulfils(bred):
            return False
        if share_only and genome in self._reserved:
            return False
        return not share_only or self._shares == 1 or (zlib.crc32(genome) - self.rank) % self._shares == 0

    def _bred(self, rng: np.random.Generator) -> Iterator[Bred]:
        for _ in range(_BREEDING_ATTEMPTS * min(self._shares, _MOST_SHARES)):
            bred = breed_one(self.propagator, self.population.active, self.space, rng)
            if self.space.feasibility is None:
                yield self.space.complete(bred.genome, rng), bred.strategy
            elif (params := self.space.repair(bred.genome, self._near(bred.genome), rng)) is not None:
                yield params, bred.strategy

    def _near(self, genome: Genome) -> list[Genome]:
        """The genomes of some active individuals, the nearest first."""
        others = [individual.genome for individual in self.population.active[:_NEAREST_OF]]
        return sorted(others, key=lambda other: float(np.nansum(np.abs(other - genome))))[:_NEAREST]

    def _drawn(self, rng: np.random.Generator) -> Iterator[Bred]:
        # There is always something new to draw from a space with a float, however rarely that exists; with constraints
        # there may be nothing.
        attempts: Iterable[int] = range(_SAMPLING_ATTEMPTS * min(self._shares, _MOST_SHARES))
        if self.space.feasibility is not None and not self.space.is_enumerable:
            attempts = range(_CONSTRAINED_ATTEMPTS)
        elif math.isinf(self.space.size):
            attempts = itertools.count()
        for _ in attempts:
            yield self.space.complete(self.space.sample(rng), rng), {}

    def _all(self, rng: np.random.Generator) -> Iterator[Bred]:
        if self.space.feasibility is None or self.space.is_enumerable:
            for params in self.space.feasible_points(start=int(rng.integers(2**32))):
                yield params, {}
