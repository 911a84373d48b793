"""The members of a population whose trainings go on: their places, and how good they are at equal steps."""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from evo.algorithms.base import Setup
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.population.segments import Donor
from evo.space.space import Genome


@dataclass(frozen=True, eq=False)
class Milestone:
    """One segment of a training that has ended, and those before it.

    Args:
        identity: The individual that was this segment.
        genome: Its genome.
        step: The step at which it ended.
        loss: Its loss there.
        donor: What others name to go on from here; None if nobody can.
        is_over: Whether the training is at its end.
        interval: The number of steps between two comparisons in this training.
        group: Which others it is compared with: those of the same group.
        origin: The segment from whose state it went on, as far as it is known.
    """

    identity: Identity
    genome: Genome
    step: int
    loss: float
    donor: Donor | None
    is_over: bool
    interval: int
    group: bytes
    origin: Milestone | None

    @property
    def line(self) -> Iterator[Milestone]:
        """This segment and all those before it, the latest first."""
        here: Milestone | None = self
        while here is not None:
            yield here
            here = here.origin

    def loss_at(self, step: int) -> float | None:
        """The loss that this training had at a step at which one of its segments ended."""
        for here in self.line:
            if here.step <= step:
                return here.loss if here.step == step else None
        return None

    @property
    def first(self) -> Milestone:
        """The first known segment of its training."""
        *_, first = self.line
        return first


@dataclass(frozen=True, eq=False)
class Member:
    """One place of the population.

    Args:
        holder: The individual that the next one here replaces.
        latest: The latest segment of its training; None if it has failed and left nothing.
        step: The step that the training has reached, or at which it has failed.
        group: Which others it is compared with.
        has_failed: Whether an attempt to go on from here has failed.
    """

    holder: Identity
    latest: Milestone | None
    step: int
    group: bytes
    has_failed: bool = False


class StepRecords:
    """The losses of all that have ended at the same step, of whatever training.

    Args:
        quantile: The share of the best, and of the worst.
    """

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._losses: defaultdict[int, list[float]] = defaultdict(list)

    def add(self, step: int, loss: float) -> None:
        """Add a loss at a step."""
        bisect.insort(self._losses[step], loss)

    def remove(self, step: int, loss: float) -> None:
        """Remove a loss that was added at a step."""
        del self._losses[step][bisect.bisect_left(self._losses[step], loss)]

    def is_worst(self, step: int, loss: float) -> bool:
        """Whether a loss is among the worst of those at this step."""
        losses = self._losses[step]
        return bisect.bisect_left(losses, loss) >= len(losses) - self._count(step) if losses else False

    def is_best(self, step: int, loss: float) -> bool:
        """Whether a loss is among the best of those at this step."""
        count = self._count(step)
        return count > 0 and loss <= self._losses[step][count - 1]

    def share_of_better(self, step: int, loss: float) -> float:
        """The share of the losses at this step that are better, from 0 to 1."""
        losses = self._losses[step]
        return bisect.bisect_left(losses, loss) / len(losses) if losses else 0.0

    def _count(self, step: int) -> int:
        """The number of the best, and of the worst, at a step: never so many that one is both."""
        known = len(self._losses[step])
        return min(math.ceil(known * self._quantile), known // 2)


class Members:
    """The places of one island's population, as a fold over the individuals that have finished.

    An individual takes the place of the one that it replaces, also when it is learnt before that one. One that has
    failed on the way from the state of its own place leaves the place as it was; one that came from elsewhere leaves it
    vacant. Individuals of other islands have no places here, but others may go on from them.

    Args:
        quantile: The share of the best, and of the worst.
        interval: The number of steps of a segment whose training does not say.
        size: The number of places, and that of the latest individuals of other islands that may be donors.
        setup: What the algorithm knows from the start.
        group_of: Returns from a genome which others it is compared with.
    """

    def __init__(
        self, quantile: float, interval: int, size: int, setup: Setup, group_of: Callable[[Genome], bytes]
    ) -> None:
        self._records: defaultdict[bytes, StepRecords] = defaultdict(lambda: StepRecords(quantile))
        self._group_of = group_of
        self.places: dict[Identity, Member] = {}
        self._interval, self._size = interval, size
        self._island, self._islands = setup.island, setup.islands
        self._guests: dict[Identity, Milestone] = {}
        self._milestones: dict[Identity, Milestone] = {}
        # Those whose places others have taken, or that were dropped.
        self._replaced: set[Identity] = set()
        # Those from whose state an attempt to go on has failed.
        self._troubled: set[Identity] = set()
        # The most steps of a training that is over; 0 while none is.
        self._length = 0

    def learn(self, individual: Known, loss: float | None) -> Milestone | None:
        """Take an individual into account that has ended; returns its segment, if it has completed one."""
        segment = individual.segment
        if segment is None:
            return None  # A whole training, from which nobody can go on.
        reached = self._milestone(individual, loss) if individual.status == "completed" and loss is not None else None
        if reached:
            self._records[reached.group].add(reached.step, reached.loss)
            self._length = max(self._length, reached.step if reached.is_over else 0)
        if individual.island % self._islands != self._island:
            self._welcome(reached)
            return reached
        for dropped in segment.drops:
            self._leave(dropped)
        before = segment.replaces
        is_own = before is not None and segment.donor is not None and segment.donor.individual == before
        if before is not None and is_own and (reached is None or (reached.donor is None and not reached.is_over)):
            self._note_failure(before)
            return reached
        if before is not None:
            self._leave(before)
        if individual.identity not in self._replaced:
            kept = reached if reached and (reached.donor or reached.is_over) else None
            step = reached.step if reached else segment.begin
            group = self._group_of(individual.genome)
            has_failed = individual.identity in self._troubled
            self.places[individual.identity] = Member(individual.identity, kept, step, group, has_failed)
        return reached

    def is_worst(self, one: Milestone) -> bool:
        """Whether a segment was among the worst of its group at its step."""
        return self._records[one.group].is_worst(one.step, one.loss)

    def donors(self, is_donor: Callable[[Milestone], bool]) -> Iterator[Milestone]:
        """The latest segments, also of individuals of other islands, from whose states others may go on."""
        for latest in (*(place.latest for place in self.places.values()), *self._guests.values()):
            if latest is not None and is_donor(latest):
                yield latest

    def better(
        self, place: Member, loss: float, is_donor: Callable[[Milestone], bool]
    ) -> tuple[list[Milestone], list[Milestone]]:
        """The donors of its group whose trainings were better than a member at its step.

        What is taken over is a training's latest state, so that it counts how good this is among those of its own step.

        Args:
            place: The member.
            loss: Its loss there; infinite means that every one is better.
            is_donor: Whether others may go on from a segment.

        Returns:
            Those whose latest states are among the best of their steps, and the others, each the best first.
        """
        step, records = place.step or self._interval, self._records[place.group]
        alike = [one for one in self.donors(is_donor) if one.group == place.group and one is not place.latest]
        found = [one for one in alike if (at := one.loss_at(step)) is not None and at < loss]
        found.sort(key=lambda one: (self._share(one), one.loss, one.identity))
        best = [one for one in found if records.is_best(one.step, one.loss)]
        return best, [one for one in found if not records.is_best(one.step, one.loss)]

    def by_share(self, is_donor: Callable[[Milestone], bool]) -> list[Milestone]:
        """All donors, those first that are better than the largest share of all that were at their step."""
        return sorted(self.donors(is_donor), key=lambda one: (self._share(one), -one.step, one.identity))

    def is_behind(self, step: int) -> bool:
        """Whether trainings are over, so that one that is among the worst, and has no donor, comes too late."""
        return step < self._length

    def is_enough(self, left: float) -> bool:
        """Whether a budget brings all that are under way to their end, and half a new population.

        Args:
            left: The number of segments that may still start.
        """
        under_way = sum(max(0, self._length - place.step) for place in self.places.values())
        return left * self._interval >= under_way + self._length * self._size / 2

    def superfluous(self, idle: Iterable[Member], count: int) -> list[Identity]:
        """The holders of so many idle places that are the least worth keeping."""

        def worth(place: Member) -> tuple[float, Identity]:
            latest = place.latest
            if latest is None or latest.is_over:
                return 2.0, place.holder
            return self._share(latest), place.holder

        return [place.holder for place in sorted(idle, key=worth, reverse=True)[:count]]

    def _share(self, one: Milestone) -> float:
        return self._records[one.group].share_of_better(one.step, one.loss)

    def _milestone(self, individual: Known, loss: float) -> Milestone:
        segment, state = individual.segment, individual.state
        assert segment is not None
        said = individual.strategy.get("interval")
        reached = Milestone(
            identity=individual.identity,
            genome=individual.genome,
            step=state.step if state else segment.until,
            loss=loss,
            donor=individual.donor,
            is_over=state is not None and state.is_over,
            group=self._group_of(individual.genome),
            interval=said if type(said) is int and said > 0 else self._interval,
            origin=self._milestones.get(segment.donor.individual) if segment.donor else None,
        )
        self._milestones[individual.identity] = reached
        return reached

    def _welcome(self, guest: Milestone | None) -> None:
        if guest is not None and guest.donor is not None:
            self._guests[guest.identity] = guest
            while len(self._guests) > self._size:
                del self._guests[next(iter(self._guests))]

    def _leave(self, identity: Identity) -> None:
        self._replaced.add(identity)
        self.places.pop(identity, None)

    def _note_failure(self, holder: Identity) -> None:
        self._troubled.add(holder)
        if (place := self.places.get(holder)) is not None:
            self.places[holder] = replace(place, has_failed=True)
