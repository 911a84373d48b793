"""Breeds the point that a worker tries next, which is new as far as the worker knows."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evo.engine.learning import Learning
from evo.engine.places import Places
from evo.engine.settings import TakeState, WorkerSettings
from evo.population.identity import Identity
from evo.population.individual import Individual, Known, ancestors
from evo.population.population import Population
from evo.population.reason import StopKind, StopReason
from evo.population.segments import Donor, Segment
from evo.randomness import breeding_generator
from evo.space.space import Genome
from evo.space.values import Params, fresh

# The number of candidates that are considered, and then of points drawn at random, before a finite space is enumerated;
# for each share of the space.
_CANDIDATES = 50
_SAMPLING_ATTEMPTS = 30
# A space with at most so many points for each worker is likely to be tried completely.
_EXHAUSTIBLE = 100
# A worker takes a point of the others' shares after so many turns, each with a wait, in which they tried nothing new.
_QUIET_ENOUGH = 3
# The number of different times that workers wait before they do.
_WAITING_TIMES = 16
# A constrained space with too many points to enumerate counts as exhausted after so many draws without a new point.
_CONSTRAINED_ATTEMPTS = 200
# A point that violates constraints is moved towards the nearest of so many of the best individuals.
_NEAREST_OF, _NEAREST = 32, 3


@dataclass(frozen=True)
class Proposal:
    """A point to be tried, and where it comes from.

    Args:
        params: The parameters that the objective gets.
        bred_by: A short name of what proposes the point.
        strategy: Its strategy parameters by name; see `evo.population.individual.Individual`.
        parents: The identities of the individuals that it was bred from.
        key: What tells whether it was tried; see `evo.population.tried.TriedPoints`.
        segment: The part of a training that it is to be; None means a whole one.
    """

    params: Params
    bred_by: str
    key: bytes
    strategy: dict[str, Any] = field(default_factory=dict)
    parents: tuple[Identity, ...] = ()
    segment: Segment | None = None

    @property
    def donor(self) -> Donor | None:
        """The individual from whose state it goes on."""
        return self.segment.donor if self.segment else None


class Breeder:
    """Breeds for one worker.

    Every point fulfils the constraints of the space: one that does not is moved a little, or drawn anew. No point is
    tried twice, as far as this worker knows. Workers that breed at the same moment do not know each other's choice, so
    a finite space is divided among them by a checksum of the point; of a large one, only what is drawn and enumerated.
    Two of them may still try the same point when a message takes longer than an evaluation, when one takes a point of
    another's share, or when both have the same best candidate at the same moment.

    Args:
        learning: Proposes candidates.
        population: The population as this worker knows it.
        settings: The settings of this worker's search.
    """

    def __init__(self, learning: Learning, population: Population, settings: WorkerSettings) -> None:
        self._learning = learning
        self.population = population
        self.space = population.space
        self.worker = settings.worker
        self.allow_duplicates = settings.allow_duplicates
        self._seed = settings.seed
        # The part of a training that an individual without a donor is; None where each is a whole training.
        self._first_segment = learning.algorithm.first_segment
        self._places = Places(population, learning)
        workers = self._workers = settings.workers
        self._shares = workers if math.isfinite(self.space.size) else 1
        # A small space will be gone through, so all its points are shared out. In a larger one that would keep each
        # worker from the best candidates, so only what is drawn and enumerated, near the end, is shared out.
        self._shares_candidates = self.space.size <= _EXHAUSTIBLE * workers
        self._share_is_exhausted = False
        self._all_start = settings.start
        self._start = deque(settings.start[self.worker :: workers])
        # The start points of all workers, which no worker may breed before they are tried.
        self._reserved = {self.space.encode(point).tobytes() for point in settings.start}
        # The reason why nothing is left to try; empty while that is not known.
        self._why_exhausted = ""
        # The feasible points of a space with constraints, iterated once in the course of the search, and the latest
        # of them, which was not yet tried at the last check.
        self._feasible: Iterator[Params] | None = None
        self._witness: bytes | None = None
        # Whether the last point was looked for beyond this worker's share.
        self.went_beyond = False
        # The number of turns in which no worker has tried anything new.
        self._quiet = self._tried_before = 0

    def breed(self, generation: int) -> Proposal | None:
        """A point that no worker has tried, as far as this worker knows.

        Args:
            generation: The generation that is bred.

        Returns:
            The point; None when there is none, or when the remaining points are in the shares of others. The caller
            may ask again after a moment.

        Raises:
            UserError: The algorithm or the propagator failed, or proposed what a journal cannot hold.
        """
        self.went_beyond = False
        if self._next_start or not self._share_is_exhausted:
            found = self.propose(generation)
            if found is not None:
                return found
            self._share_is_exhausted = not self.allow_duplicates and self._first_segment is None
        self.went_beyond = not self.allow_duplicates and self._may_take_from_others()
        found = self.propose(generation, beyond=True) if self.went_beyond else None
        if self.went_beyond or self.allow_duplicates:
            self._note_whether_exhausted(found)
        return found

    def propose(self, generation: int, beyond: bool = False) -> Proposal | None:
        """The point that follows from what is known, the same however often it is asked for.

        Args:
            generation: The generation that is bred; its randomness follows from it, so that none need be saved.
            beyond: Whether to look beyond this worker's share of a finite space.

        Returns:
            The point; None when there is none.

        Raises:
            UserError: The algorithm or the propagator failed, or proposed what a journal cannot hold.
        """
        if (start := self._next_start) is not None:
            return self._proposal(fresh(start), "start")
        rng = breeding_generator(self._seed, self.worker, generation)
        if self.allow_duplicates:
            return next(itertools.chain(self._bred(rng), filter(self._fulfils, self._drawn(rng))), None)
        return self._find(rng, share_only=not beyond)

    @property
    def _next_start(self) -> Params | None:
        while self._start and self.population.has_tried(self._start[0]):
            self._start.popleft()
        return self._start[0] if self._start else None

    def take_over(self, worker: int) -> None:
        """Take over the remaining start points of a worker that has died."""
        self._start.extend(self._all_start[worker :: self._workers])

    def is_new(self, proposal: Proposal) -> bool:
        """Whether a point may be tried, in its place and from its donor's state if it has these."""
        if (segment := proposal.segment) is not None:
            is_there = segment.donor is None or self._places.find(segment.donor) is not None
            if not is_there or not self._places.is_free(segment, self._places.busy):
                return False
        return self.allow_duplicates or not self.population.tried.has(proposal.key, segment)

    def has_state(self, identity: Identity, proposal: Proposal, refresh: Callable[[], None], take: TakeState) -> bool:
        """Whether an individual has the state that it goes on from, if any; a donor without one is passed over.

        Args:
            identity: The identity of the individual.
            proposal: What it is to be.
            refresh: As for `Worker.ask`.
            take: Makes the state ready, as `take_state` does there.
        """
        if proposal.donor is None or take(identity, proposal.donor):
            return True
        refresh()  # A state also goes when another worker has taken its place, and then it is not lost.
        if self.is_new(proposal):
            self._learning.lose(proposal.donor.individual)
        return False

    @property
    def why_exhausted(self) -> StopReason | None:
        """The reason why nothing is left to try; None while there may be a point."""
        if not self._why_exhausted and not self.allow_duplicates:
            self._look_for_the_end()
        return StopReason(StopKind.EXHAUSTED, self._why_exhausted) if self._why_exhausted else None

    def _look_for_the_end(self) -> None:
        """Check whether all points have been tried, where they can be counted."""
        if self._first_segment is not None:
            return  # A point that was tried may be tried again from another state.
        if len(self.population.tried.begun) >= self.space.size:
            self._why_exhausted = f"all {self.space.size} points of the space have been tried"
            return
        if self.space.feasibility is not None and self.space.is_enumerable:
            self._feasible = self._feasible or self.space.feasible_points()
            while self._witness is None or self.population.tried.has(self._witness):
                params = next(self._feasible, None)
                if params is None:
                    self._why_exhausted = "all points of the space that fulfil the constraints have been tried"
                    break
                self._witness = self.space.encode(params).tobytes()

    def _note_whether_exhausted(self, found: Proposal | None) -> None:
        """Note that the space is exhausted when no point was found and the points cannot be counted."""
        if found is None and self._first_segment is not None:
            if not self.population.running:  # What runs may leave a state from which others go on.
                self._why_exhausted = "no training can go on, and all points have been tried"
            return
        is_counted = self.space.is_enumerable and not self.allow_duplicates
        if found is None and self.space.feasibility is not None and not is_counted:
            self._why_exhausted = "no further point that fulfils the constraints was found"

    def _fulfils(self, proposal: Proposal) -> bool:
        return self.space.allows(proposal.params)

    def _may_take_from_others(self) -> bool:
        """Whether the others have tried nothing new for a while.

        A worker that still tries points is left to finish its share, because otherwise both might take the same point.
        """
        tried = len(self.population.tried)
        self._quiet = self._quiet + 1 if tried == self._tried_before else 0
        self._tried_before = tried
        # The workers wait for different times, so that they do not all choose from the same few points at once.
        return self._quiet >= _QUIET_ENOUGH * (1 + self.worker % _WAITING_TIMES)

    def _find(self, rng: np.random.Generator, share_only: bool) -> Proposal | None:
        for bred in self._bred(rng):
            if self._suits(bred, share_only, is_shared=self._shares_candidates):
                return bred
        others = itertools.chain(self._drawn(rng), self._all(rng))
        return next((each for each in others if self._suits(each, share_only, is_shared=True)), None)

    def _suits(self, proposal: Proposal, share_only: bool, is_shared: bool) -> bool:
        key = proposal.key
        if self.population.tried.has(key, proposal.segment) or not self._fulfils(proposal):
            return False
        if not share_only or proposal.donor is not None:  # States are not shared out among the workers.
            return True
        is_mine = not is_shared or self._shares == 1 or (zlib.crc32(key) - self.worker) % self._shares == 0
        return is_mine and key not in self._reserved

    def _bred(self, rng: np.random.Generator) -> Iterator[Proposal]:
        busy = self._places.busy if self._first_segment is not None else ()
        for bred in itertools.islice(self._learning.propose(rng), _CANDIDATES * self._shares):
            genome, segment = bred.genome, self._segment(bred)
            if segment is not None and not self._places.is_free(segment, busy):
                continue
            donor = None
            if segment is not None and segment.donor is not None:
                if (donor := self._places.find(segment.donor)) is None:
                    continue
                genome = np.where(self.space.mutable, genome, donor.genome)
            if self.space.feasibility is None:
                # Often a parent that was passed on unchanged, which need not be decoded to be known.
                if not self.allow_duplicates and self.population.tried.has(genome.tobytes(), segment):
                    continue
                params = self.space.complete(genome, rng)
            elif (repaired := self.space.repair(genome, self._near(genome), rng)) is not None:
                params = repaired
            else:
                continue
            proposal = self._offspring(params, bred, segment)
            if donor is None or self._places.fits(self.space.encode(params), donor):
                yield proposal

    def _segment(self, bred: Individual) -> Segment | None:
        """The part of a training that a candidate is; that of one that was passed on unchanged begins anew."""
        return (None if isinstance(bred, Known) else bred.segment) or self._first_segment

    def _offspring(self, params: Params, bred: Individual, segment: Segment | None) -> Proposal:
        # The name in a known individual that was passed on unchanged is that of an earlier proposer, so it is ignored.
        said = "" if isinstance(bred, Known) else bred.bred_by
        return Proposal(
            params,
            bred_by=said or self._learning.algorithm.bred_by,
            key=self.space.encode(params).tobytes(),
            strategy=bred.strategy,
            parents=ancestors([bred]) or (),
            segment=segment,
        )

    def _proposal(self, params: Params, bred_by: str) -> Proposal:
        return Proposal(params, bred_by, self.space.encode(params).tobytes(), segment=self._first_segment)

    def _near(self, genome: Genome) -> list[Genome]:
        """The genomes of some active individuals, the nearest first."""
        others = [individual.genome for individual in self.population.active[:_NEAREST_OF]]
        return sorted(others, key=lambda other: float(np.nansum(np.abs(other - genome))))[:_NEAREST]

    def _drawn(self, rng: np.random.Generator) -> Iterator[Proposal]:
        # A space with a float always has a new point, so attempts are unlimited there. With constraints there may be
        # none, so they are limited.
        attempts: Iterable[int] = range(_SAMPLING_ATTEMPTS * self._shares)
        if self.space.feasibility is not None and not self.space.is_enumerable:
            attempts = range(_CONSTRAINED_ATTEMPTS)
        elif math.isinf(self.space.size):
            attempts = itertools.count()
        for _ in attempts:
            yield self._proposal(self.space.complete(self.space.sample(rng), rng), "random")

    def _all(self, rng: np.random.Generator) -> Iterator[Proposal]:
        if self.space.feasibility is None or self.space.is_enumerable:
            for params in self.space.feasible_points(start=int(rng.integers(2**32))):
                yield self._proposal(params, "enumeration")
