"""What the events of a study tell beside its individuals: who was busy when, curves, rungs, parents and travels."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Joined,
    Judged,
    Migrated,
    Pollinated,
    Reported,
    Started,
)
from evo.population.identity import Identity
from evo.population.imported import Imported
from evo.report.pages.scales import RunningTime
from evo.report.times import session_begins


class Attendance(NamedTuple):
    """One worker's part in one session.

    Args:
        worker: Its number.
        begin: When it joined, in seconds since the epoch.
        end: When it was done, or died, or else when the session's last event came.
        joined: The event with which it began.
    """

    worker: int
    begin: float
    end: float
    joined: Joined


class Busy(NamedTuple):
    """A time in which a worker evaluated an individual.

    Args:
        worker: Its number.
        begin: The beginning, in seconds since the epoch.
        end: The end.
        individual: The individual that it evaluated.
        status: How this ended: a status of `Finished`, "running", or "lost" where its worker died or was killed.
    """

    worker: int
    begin: float
    end: float
    individual: Identity
    status: str


class Story:
    """What the events of a study tell beside its individuals.

    Args:
        events: All events, in any order, some perhaps more than once.
        curves_of: The individuals whose reports are kept.

    Attributes:
        parents: The parents of each individual that has any.
        curves: What the chosen individuals have reported: losses by step.
        judged: All decisions at rungs.
        travels: All moves and copies between islands, in their order.
        islands: The island on which each individual was born.
        last: The time of the last event; 0 when there is none.
        done: The last report of a worker about its end; None when there is none.
    """

    def __init__(self, events: Iterable[AnyEvent], curves_of: Collection[Identity] = ()) -> None:
        self.parents: dict[Identity, tuple[Identity, ...]] = {}
        self.curves: dict[Identity, dict[int, float]] = {}
        self.judged: list[Judged] = []
        self.travels: list[Migrated | Pollinated] = []
        self.islands: dict[Identity, int] = {}
        self.last = 0.0
        self.done: Done | None = None
        self._joined: dict[int, dict[float, Joined]] = defaultdict(dict)
        self._ended: dict[int, set[float]] = defaultdict(set)
        self._heard: dict[Identity, float] = {}
        self._starts: dict[Identity, dict[float, int]] = defaultdict(dict)
        finishes: dict[Identity, dict[float, Finished]] = defaultdict(dict)
        chosen, known = set(curves_of), Imported()
        for event in events:
            self.last = max(self.last, event.time)
            if isinstance(event, Reported):
                self._heard[event.individual] = max(event.time, self._heard.get(event.individual, 0.0))
                if event.individual in chosen:
                    self.curves.setdefault(event.individual, {})[event.step] = event.loss
            elif isinstance(event, Finished):
                finishes[event.individual][event.time] = event
            elif isinstance(event, Started) and event.origin:  # Nobody here was busy with it.
                known.apply(event)
                self.islands.setdefault(event.individual, event.island)
            else:
                self._note(event)
        self._finishes = {one: ends for one, ends in finishes.items() if one not in known}
        self.judged = list({(one.individual, one.rung, one.time): one for one in self.judged}.values())
        self.travels = sorted({(one.time, one.individual, one.island): one for one in self.travels}.values(), key=_when)

    def _note(self, event: AnyEvent) -> None:
        if isinstance(event, Started):
            worker = event.individual[0] if event.rank is None else event.rank
            self._starts[event.individual][event.time] = worker
            self.islands.setdefault(event.individual, event.island)
            if event.parents:
                self.parents[event.individual] = event.parents
        elif isinstance(event, Judged):
            self.judged.append(event)
        elif isinstance(event, Migrated | Pollinated):
            self.travels.append(event)
        elif isinstance(event, Joined):
            self._joined[event.rank][event.time] = event
        elif isinstance(event, Done | Died):
            self._ended[event.rank].add(event.time)
            if isinstance(event, Done) and (self.done is None or event.time >= self.done.time):
                self.done = event

    def attendances(self) -> list[Attendance]:
        """Each worker's part in each session, by worker and time."""
        found = []
        marks = sorted({time for times in self._joined.values() for time in times})
        sessions = session_begins(event for times in self._joined.values() for event in times.values())
        lasts = self._last_of_sessions(sessions)
        for worker, joined in sorted(self._joined.items()):
            times = sorted(joined)
            for begin, following in zip(times, [*times[1:], math.inf], strict=True):
                done = [time for time in self._ended[worker] if begin <= time < following]
                session = max((each for each in sessions if each <= begin), default=marks[0])
                end = min(done) if done else min(max(lasts[session], begin), following)
                found.append(Attendance(worker, begin, end, joined[begin]))
        return found

    def _last_of_sessions(self, sessions: Sequence[float]) -> Mapping[float, float]:
        """The time of the last thing that was heard of an evaluation in each session, and of anything in the last."""
        times = [time for starts in self._starts.values() for time in starts]
        times += [time for ends in self._finishes.values() for time in ends]
        times = sorted([*times, *self._heard.values()])
        lasts = {}
        for begin, following in zip(sessions, [*sessions, math.inf][1:], strict=True):
            place = bisect_left(times, following)
            lasts[begin] = self.last if math.isinf(following) else (times[place - 1] if place else begin)
        return lasts

    def busy(self, attendances: Sequence[Attendance]) -> list[Busy]:
        """When which worker evaluated what, by the time of the beginning.

        Args:
            attendances: What `attendances` returned.
        """
        of_worker: dict[int, list[Attendance]] = defaultdict(list)
        for each in attendances:
            of_worker[each.worker].append(each)
        latest = max((each.begin for each in attendances), default=0.0)
        found = []
        for individual, starts in self._starts.items():
            finishes = self._finishes.get(individual, {})
            times = sorted(starts)
            for begin, following in zip(times, [*times[1:], math.inf], strict=True):
                end = min((time for time in finishes if begin <= time <= following), default=None)
                worker = starts[begin]
                if end is not None:
                    # A fast evaluation waits longer for its turn than it takes, and that is no work.
                    took = max(begin, end - finishes[end].seconds)
                    found.append(Busy(finishes[end].rank, took, end, individual, finishes[end].status))
                    continue
                within = [each for each in of_worker[worker] if each.begin <= begin]
                until = within[-1].end if within else self.last
                is_running = math.isinf(following) and until >= self.last and begin >= latest - 1e-6
                found.append(Busy(worker, begin, max(begin, until), individual, "running" if is_running else "lost"))
        return sorted(found, key=lambda each: (each.begin, each.individual))


class Use(NamedTuple):
    """How busy the workers were.

    Args:
        seconds: The time for which each worker took part, by its number.
        busy: The part of it in which it evaluated.
    """

    seconds: Mapping[int, float]
    busy: Mapping[int, float]

    @property
    def share(self) -> float | None:
        """The share of their time in which workers evaluated, 0 to 1; None when they took no time."""
        total = sum(self.seconds.values())
        return min(1.0, sum(self.busy.values()) / total) if total > 0 else None


def use_of_workers(attendances: Iterable[Attendance], busy: Iterable[Busy]) -> Use:
    """How busy the workers were.

    Args:
        attendances: Each worker's part in each session.
        busy: When which worker evaluated what.

    Example:
        >>> joined = Joined(time=0.0, rank=0, ranks=1, host="a", device="cpu")
        >>> several = [Busy(0, 1.0, 6.0, (0, 0), "completed"), Busy(0, 2.0, 5.0, (0, 1), "completed")]
        >>> use_of_workers([Attendance(0, 0.0, 10.0, joined)], several).share
        0.5
    """
    seconds: dict[int, float] = defaultdict(float)
    worked: dict[int, float] = defaultdict(float)
    until: dict[int, float] = {}
    for part in attendances:
        seconds[part.worker] += part.end - part.begin
    for each in sorted(busy, key=lambda each: each.begin):  # Some may overlap, in a loop of the user's own.
        begin = max(each.begin, until.get(each.worker, each.begin))
        worked[each.worker] += max(0.0, each.end - begin)
        until[each.worker] = max(each.end, begin)
    return Use(dict(seconds), {worker: min(worked[worker], seconds[worker]) for worker in seconds})


def running_time(attendances: Iterable[Attendance], busy: Iterable[Busy]) -> RunningTime:
    """The time of a search without its pauses; an evaluation counts also where no worker's beginning is recorded."""
    return RunningTime([(each.begin, each.end) for group in (attendances, busy) for each in group])


def _when(event: Migrated | Pollinated) -> tuple[float, Identity]:
    return event.time, event.individual
