"""The course of a search, kept event by event, from which it can be told at any moment where the search stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from evo.population.events import AnyEvent, Died, Done, Finished, Joined, Migrated, Pollinated, Reported, Started
from evo.population.identity import Identity, individual_name
from evo.population.objectives import ONE_LOSS, Objectives
from evo.report.fates import NEVER, Fates, Sums
from evo.report.standing import (
    BestSoFar,
    Pace,
    Standing,
    WorkerStanding,
    estimate_seconds_left,
    estimate_total,
)
from evo.report.times import sessions_of

# What is known of the budget before anybody has joined.
_NO_LIMITS = Joined(time=0.0, rank=0, ranks=0, host="", device="")
_ENDS = ("completed", "pruned", "infeasible", "failed")


class Course:
    """What has happened in a study, event by event, in any order, some events perhaps more than once.

    Args:
        set_aside: The individuals that lie outside of the study's limits, so that they cannot be the best.
        objectives: The objectives of the study.
    """

    def __init__(self, set_aside: Container[Identity] = (), objectives: Objectives = ONE_LOSS) -> None:
        self._objectives = objectives
        self._fates = fates = Fates(set_aside)
        self._moves: set[tuple[Identity, int]] = set()
        self._copies: set[tuple[Identity, int]] = set()
        self._joined: dict[tuple[float, int], Joined] = {}
        self._session: dict[int, Joined] | None = None  # Found anew when it is None.
        self._done: dict[int, Done] = {}
        self._died: dict[int, float] = {}
        self._handlers: dict[type, Callable[..., None]] = {
            Started: fates.start,
            Reported: fates.report,
            Finished: fates.finish,
            Joined: self._join,
            Migrated: lambda event: self._moves.add((event.individual, event.move)),
            Pollinated: lambda event: self._copies.add((event.individual, event.island)),
            Died: self._die,
            Done: self._end,
        }

    def add(self, event: AnyEvent) -> None:
        """Take note of an event of the study."""
        self.add_all((event,))

    def add_all(self, events: Iterable[AnyEvent]) -> None:
        """Take note of many events."""
        handlers = self._handlers
        for event in events:
            if (handler := handlers.get(type(event))) is not None:
                handler(event)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many evaluations have each status, "running" and "interrupted" included; 0 for those without any."""
        return self._fates.counts + Counter(self._fates[identity].status or "running" for identity in self._fates.open)

    @property
    def known(self) -> int:
        """How many results are known from elsewhere."""
        return self._fates.known.total() - len(self._fates.expected)

    @property
    def joined(self) -> Iterable[Joined]:
        """How workers have joined, in all sessions."""
        return self._joined.values()

    @property
    def last_time(self) -> float:
        """The time of the latest event, in seconds since the epoch; found by going through all individuals."""
        session = self._find_session()
        marks = [*(done.time for done in self._done.values()), *self._died.values()]
        if session and session.keys() <= {*self._done, *self._died} and not self._fates.open:
            return max(marks)
        return max([self._fates.last_time, *marks, *(joined.time for joined in self._joined.values())])

    @property
    def hosts(self) -> set[str]:
        """The machines on which the workers of the latest session run."""
        return {joined.host for joined in self._find_session().values()}

    @property
    def best(self) -> Identity | None:
        """The completed individual with the lowest loss; None when none has completed. See `evo.Run.best`."""
        return None if self._fates.best is None else self._fates.best[2]

    @property
    def leaders(self) -> tuple[Identity, ...]:
        """The individuals of the front in no order that means anything; with one objective, the best one."""
        members = tuple(sorted(one.identity for one in self._fates.front.members))
        return members or (() if self._fates.best is None else (self._fates.best[2],))

    def heed(self, set_aside: Container[Identity]) -> None:
        """Find the best one anew, since other individuals than before are set aside.

        Args:
            set_aside: These individuals; may change later on, as long as none of them has ended before.
        """
        self._fates.heed(set_aside)

    def standing(self, now: float) -> Standing:
        """Where the search stands.

        Args:
            now: The time of it, in seconds since the epoch.
        """
        fates, session = self._fates, self._find_session()
        sums, current = fates.sums(session), self._find_current(session)
        began = min((joined.time for joined in session.values()), default=now)
        workers = [self._worker(joined, current.get(rank, ()), now) for rank, joined in sorted(session.items())]
        running = [max(0.0, now - fates[one].begun) for several in current.values() for one in several]
        finished = sum(fates.counts.values())
        limits = next(iter(session.values()), _NO_LIMITS)
        total = estimate_total(
            limits.evaluations, limits.generations, len(fates.open) + finished, fates.bred, limits.ranks
        )
        pace = Pace(finished=sums.finished, spent=sums.spent, elapsed=now - began, running=running)
        ends = [done for rank, done in self._done.items() if rank in session and done.time >= session[rank].time]
        ends.sort(key=lambda done: (done.time, done.rank))
        return Standing(
            time=now,
            counts={status: fates.counts[status] for status in _ENDS},
            known=self.known,
            running=len(running),
            waiting=len(fates.open) - len(running),
            total=total,
            target=limits.target,
            seconds=max(0.0, now - began),
            seconds_left=estimate_seconds_left(pace, None if total is None else total - finished),
            seconds_to_deadline=None if limits.deadline is None else limits.deadline - now,
            best=self._best_so_far(now),
            busy=self._busy_share(sums, workers, session, now),
            islands=len(fates.islands),
            migrated=len(self._moves),
            pollinated=len(self._copies),
            workers=workers,
            stop_reasons=list(dict.fromkeys(done.reason for done in ends)),
            is_before_the_end=any(done.kind is not None and done.kind.is_before_the_end for done in ends),
            has_ended=bool(workers) and all(one.state in ("done", "lost") for one in workers),
        )

    def _join(self, event: Joined) -> None:
        self._joined[event.time, event.rank] = event
        self._session = None

    def _die(self, event: Died) -> None:
        self._died[event.rank] = max(event.time, self._died.get(event.rank, NEVER))

    def _end(self, event: Done) -> None:
        if event.rank not in self._done or event.time > self._done[event.rank].time:
            self._done[event.rank] = event

    def _find_session(self) -> dict[int, Joined]:
        if self._session is None:
            sessions = sessions_of(self._joined.values())
            self._session = dict(sessions[-1]) if sessions else {}
        return self._session

    def _find_current(self, session: Mapping[int, Joined]) -> dict[int, list[Identity]]:
        """Which individuals each worker evaluates, the one that it has started first in front."""
        current: dict[int, list[Identity]] = {}
        for identity in self._fates.open:
            fate = self._fates[identity]
            joined = session.get(fate.worker)
            if joined is None or fate.begun < joined.time or fate.begun <= fate.ended or self._is_lost(joined):
                continue
            current.setdefault(fate.worker, []).append(identity)
        for several in current.values():
            several.sort(key=lambda identity: (self._fates[identity].begun, identity))
        return current

    def _is_lost(self, joined: Joined) -> bool:
        return self._died.get(joined.rank, NEVER) >= joined.time

    def _worker(self, joined: Joined, current: Sequence[Identity], now: float) -> WorkerStanding:
        place: dict[str, Any] = {"worker": joined.rank, "host": joined.host, "device": joined.device}
        if current:
            identity, *others = current
            fate = self._fates[identity]
            segment = fate.segment
            donor = segment.donor if segment else None
            return WorkerStanding(
                **place,
                state="evaluating",
                individual=individual_name(identity),
                others=len(others),
                island=fate.island,
                seconds=max(0.0, now - fate.begun),
                steps=fate.steps,
                most_steps=self._fates.most_steps,
                value=fate.value if fate.steps else None,
                begin=None if segment is None else segment.begin,
                until=None if segment is None else segment.until,
                donor=None if donor is None else individual_name(donor.individual),
            )
        done = self._done.get(joined.rank)
        if self._is_lost(joined):
            return WorkerStanding(**place, state="lost")
        if done is not None and done.time >= joined.time:
            return WorkerStanding(**place, state="done", reason=done.reason)
        return WorkerStanding(**place, state="idle")

    def _best_so_far(self, now: float) -> BestSoFar | None:
        if self._fates.best is None:
            return None
        violation, (loss, *_), identity = self._fates.best
        front = self._fates.front
        losses = front.losses.min(axis=0).tolist() if len(front) else [loss]
        has_names = bool(self._objectives.modes) and len(losses) == self._objectives.count
        return BestSoFar(
            individual=individual_name(identity),
            loss=loss,
            seconds_ago=max(0.0, now - self._fates.best_ended),
            evaluations_ago=self._fates.since_best,
            violation=violation or None,
            values=self._objectives.values(losses) if has_names else {},
            members=len(front),
        )

    def _busy_share(
        self, sums: Sums, workers: Iterable[WorkerStanding], session: Mapping[int, Joined], now: float
    ) -> float | None:
        """The share of the time of all workers in which they evaluated."""
        there, busy = 0.0, sums.spent + sums.interrupted
        for one in workers:
            end = now
            if one.state == "done":
                end = self._done[one.worker].time
            elif one.state == "lost":
                end = self._died[one.worker]
            there += max(0.0, end - session[one.worker].time)
            busy += one.seconds
        return min(1.0, busy / there) if there > 0 else None
