"""What is known of every individual of a study while it goes on: a few numbers each, since there may be very many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping

import msgspec

from evo.population.dominance import Front
from evo.population.events import Finished, Joined, Reported, Started
from evo.population.identity import Identity
from evo.population.individual import precedence
from evo.population.segments import Segment

NEVER = -math.inf


class Fate(msgspec.Struct, gc=False):
    """What is known of an individual. There may be very many, so that each holds a few numbers only.

    Args:
        begun: The time of its latest start; never, while no start is known.
        worker: The worker that has started it then.
        island: The island on which it was born.
        status: How it ended; empty while it has not.
        loss: Its loss, or that of the first objective.
        losses: The losses of all objectives, if there are several.
        violation: By how much it violates the bounds of metrics.
        rung: The highest rung that it has reached, if it was pruned.
        ended: The time of its end, or of its latest interruption.
        seconds: The time that its evaluation took.
        reported: The time of its latest report.
        steps: The number of steps that it has reported.
        value: The latest loss that it has reported.
        has_ended: Whether it has ended, and was not only interrupted.
        is_known: Whether its result is known from elsewhere, so that nobody here has evaluated it.
        segment: The part of a training that its evaluation is; None means a whole training.
    """

    begun: float = NEVER
    worker: int = -1
    island: int = 0
    status: str = ""
    loss: float = math.inf
    losses: tuple[float, ...] = ()
    violation: float = 0.0
    rung: int = 0
    ended: float = NEVER
    seconds: float = 0.0
    reported: float = NEVER
    steps: int = 0
    value: float = math.nan
    has_ended: bool = False
    is_known: bool = False
    segment: Segment | None = None


class Sums(msgspec.Struct):
    """What the individuals that have ended in a session amount to: how many, their seconds, and those of others that
    were interrupted.
    """

    finished: int = 0
    spent: float = 0.0
    interrupted: float = 0.0


class Contender(msgspec.Struct, frozen=True):
    """A completed individual with several losses, which may be on the front.

    Args:
        identity: The individual.
        vector: The losses of all objectives.
        violation: By how much it violates the bounds of metrics.
    """

    identity: Identity
    vector: tuple[float, ...]
    violation: float


class Fates:
    """All individuals, from their events in any order, some events perhaps more than once.

    Args:
        set_aside: The individuals that lie outside of the study's limits, so that they cannot be the best.

    Attributes:
        counts: How many evaluations have ended in each way, of those whose start is known.
        known: By the worker in whose name they are recorded, how many results are known from elsewhere.
        open: Those that were started and have not ended.
        best: The lowest violation of bounds, with it the lowest loss of those that completed, and who has it; None when
            none has.
        front: Those that no other one dominates; empty with one objective.
        expected: Those whose results are known from elsewhere, but are not there, or not yet.
        most_steps: The most steps that one that completed has reported.
        islands: The islands on which they were born.
    """

    def __init__(self, set_aside: Container[Identity]) -> None:
        self._set_aside = set_aside
        self._all: dict[Identity, Fate] = {}
        self.counts: Counter[str] = Counter()
        self.known: Counter[int] = Counter()
        self.open: set[Identity] = set()
        self.expected: set[Identity] = set()
        self.best: tuple[float, tuple[float, ...], Identity] | None = None
        self.front: Front[Contender] = Front()
        self.most_steps = 0
        self.islands: set[int] = set()
        self._generations: dict[int, int] = {}
        # What is counted over all individuals, and anew when it is None: the sums of the latest session, with its
        # workers, and the evaluations that have ended since the best one.
        self._session: Mapping[int, Joined] = {}
        self._sums: Sums | None = None
        self._since_best: int | None = None

    def __getitem__(self, identity: Identity) -> Fate:
        return self._all[identity]

    def heed(self, set_aside: Container[Identity]) -> None:
        """Find the best one anew, since other individuals than before are set aside."""
        self._set_aside = set_aside
        self._find_best()

    def _find_best(self) -> None:
        self.best = self._since_best = None
        self.front.rebuild(())
        for identity, fate in self._all.items():
            self._consider(identity, fate)

    def sums(self, session: Mapping[int, Joined]) -> Sums:
        """What has ended in a session.

        Args:
            session: How its workers joined, by worker; the same object for the same session.
        """
        if self._sums is None or session is not self._session:
            self._session, self._sums = session, Sums()
            for fate in self._all.values():
                self._add_up(fate, self._sums)
        return self._sums

    @property
    def bred(self) -> Mapping[int, int]:
        """The number of generations that each worker has bred."""
        return {worker: many - self.known[worker] for worker, many in self._generations.items()}

    @property
    def last_time(self) -> float:
        """The time of the latest start, report or end; never, when there is none."""
        return max((max(fate.begun, fate.reported, fate.ended) for fate in self._all.values()), default=NEVER)

    @property
    def since_best(self) -> int:
        """How many evaluations have ended since the best individual, or the front, came about; there must be one."""
        if self._since_best is None:
            ended = self.best_ended
            fates = self._all.values()
            self._since_best = sum(fate.ended > ended and _counts(fate) for fate in fates)
        return self._since_best

    @property
    def best_ended(self) -> float:
        """When the evaluation of the best individual has ended, or the last one of the front; there must be one."""
        assert self.best is not None
        members = [one.identity for one in self.front.members] or [self.best[2]]
        return max(self._all[identity].ended for identity in members)

    def start(self, event: Started) -> None:
        """Take note of a start."""
        identity, worker = event.individual, event.rank
        fate = self._all.get(identity)
        if fate is None:
            fate = self._all[identity] = Fate()
        if worker is None:
            worker = identity[0]
        if fate.begun != NEVER:
            if (event.time, worker) > (fate.begun, fate.worker):
                fate.begun, fate.worker, fate.island = event.time, worker, event.island
                self._sums = None
            return
        fate.begun, fate.worker, fate.island = event.time, worker, event.island
        self.islands.add(event.island)
        fate.segment = event.segment
        if event.origin:
            fate.is_known = True
            self.known[identity[0]] += 1
        if identity[1] >= self._generations.get(identity[0], 0):
            self._generations[identity[0]] = identity[1] + 1
        if fate.has_ended:
            self._count(identity, fate)
        else:
            (self.expected if event.origin else self.open).add(identity)

    def finish(self, event: Finished) -> None:
        """Take note of an end, or of an interruption."""
        identity, status = event.individual, event.status
        fate = self._all.get(identity)
        if fate is None:
            fate = self._all[identity] = Fate()
        if fate.status or status == "interrupted":
            if not self._replaces(event, fate):
                return
            self._sums = None
            if _counts(fate):
                self.counts[fate.status] -= 1
                self._since_best = None
        was_there = identity in self.front
        fate.status, fate.rung, fate.ended, fate.seconds = status, event.rung, event.time, event.seconds
        fate.loss = math.inf if event.loss is None else event.loss
        fate.losses, fate.violation = event.losses, event.violation
        fate.has_ended = status != "interrupted"
        if fate.has_ended and fate.begun != NEVER:
            self._count(identity, fate)
        if was_there:  # With other losses than before, which others may have been dominated by.
            self._find_best()

    def report(self, event: Reported) -> None:
        """Take note of an intermediate loss."""
        fate = self._all.get(event.individual)
        if fate is None:
            fate = self._all[event.individual] = Fate()
        if event.time > fate.reported or (event.time == fate.reported and event.step >= fate.steps):
            fate.reported, fate.steps, fate.value = event.time, event.step + 1, event.loss
            if fate.status == "completed":
                self.most_steps = max(self.most_steps, fate.steps)

    def _replaces(self, event: Finished, fate: Fate) -> bool:
        """Whether an outcome counts instead of the one that is known, if one is."""
        if event.status == "interrupted":
            return not fate.has_ended and event.time > fate.ended
        return precedence(event) < precedence(fate)  # type: ignore[arg-type]

    def _count(self, identity: Identity, fate: Fate) -> None:
        """Count an individual whose start and end are both known."""
        self.open.discard(identity)
        self.expected.discard(identity)
        if not fate.is_known:
            self._count_evaluation(fate)
        if fate.status == "completed":
            if fate.steps > self.most_steps:
                self.most_steps = fate.steps
            self._consider(identity, fate)

    def _count_evaluation(self, fate: Fate) -> None:
        self.counts[fate.status] += 1
        if self._sums is not None:
            self._add_up(fate, self._sums)
        if self._since_best is not None and self.best is not None:
            self._since_best += fate.ended > self.best_ended

    def _consider(self, identity: Identity, fate: Fate) -> None:
        """Take an individual for the best one, if it is."""
        if fate.status != "completed" or fate.begun == NEVER:
            return
        if identity in self._set_aside:
            return
        key = fate.violation, fate.losses or (fate.loss,), identity
        if self.best is None or key < self.best:
            self.best, self._since_best = key, None
        if fate.losses and self.front.add(Contender(identity, fate.losses, fate.violation)):
            self._since_best = None

    def _add_up(self, fate: Fate, sums: Sums) -> None:
        joined = self._session.get(fate.worker)
        if joined is None or fate.ended < joined.time or fate.is_known:
            return
        if fate.has_ended:
            sums.finished += 1
            sums.spent += fate.seconds
        else:
            sums.interrupted += fate.seconds


def _counts(fate: Fate) -> bool:
    """Whether an evaluation of this study has ended so."""
    return fate.has_ended and fate.begun != NEVER and not fate.is_known
