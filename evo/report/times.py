"""Where a study has spent its time, gathered from its events."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

from evo.population.events import AnyEvent, Done, Finished, Joined
from evo.population.identity import Identity

MEASURED = ("loading", "forward", "backward", "optimizer", "validation", "checkpoints")
"""What a training measures; see `evo.lightning.activities`."""
OUTSIDE = ("handover", "breeding", "exchange", "waiting")
"""What a worker does besides evaluating; see `evo.engine.loop`."""


class Times:
    """Sums up where a study has spent its time, event by event, in any order, some perhaps more than once."""

    def __init__(self) -> None:
        self._finished: dict[tuple[Identity, float], Finished] = {}
        self._done: dict[tuple[int, float], Done] = {}
        self._joined: dict[tuple[int, float], Joined] = {}

    def add(self, event: AnyEvent) -> None:
        """Take note of an event of the study."""
        if isinstance(event, Finished):
            self._finished[event.individual, event.time] = event
        elif isinstance(event, Done):
            self._done[event.rank, event.time] = event
        elif isinstance(event, Joined):
            self._joined[event.rank, event.time] = event

    def total(self) -> Mapping[str, float]:
        """Seconds by activity, of all workers and sessions together.

        Trainings count by the activities in MEASURED, and "other" for the rest of their time; evaluations whose
        objective measures nothing count as "evaluation". The activities in OUTSIDE follow, for the sessions in which a
        worker came to its end; "waiting" includes the wait for others when a worker has nothing left to do.
        """
        seconds: defaultdict[str, float] = defaultdict(float)
        for evaluated in self._finished.values():
            for activity, spent in evaluated.times.items():
                seconds[activity] += spent
            rest = max(0.0, evaluated.seconds - sum(evaluated.times.values()))
            seconds["other" if evaluated.times else "evaluation"] += rest
        for ends in _ends(self._joined.values(), self._done.values()):
            latest = max(end.time for end in ends)
            for end in ends:
                for activity, spent in end.times.items():
                    seconds[activity] += spent
                seconds["waiting"] += latest - end.time
        ordered = [*MEASURED, *sorted(set(seconds) - {*MEASURED, *OUTSIDE}), *OUTSIDE]
        return {name: seconds[name] for name in ordered if seconds[name] > 0}


def sessions_of(joined: Iterable[Joined]) -> list[Mapping[int, Joined]]:
    """The workers of each session, by number; a session ends when one of them joins again, or others do.

    Args:
        joined: How workers have joined, in all sessions and any order.
    """
    sessions: list[dict[int, Joined]] = []
    ranks = 0
    for event in sorted(joined, key=lambda event: (event.time, event.rank)):
        if not sessions or event.rank in sessions[-1] or event.ranks != ranks:
            sessions.append({})
            ranks = event.ranks
        sessions[-1][event.rank] = event
    return list(sessions)


def session_begins(joined: Iterable[Joined]) -> list[float]:
    """When each session began: when the first of its workers joined.

    Args:
        joined: How workers have joined, in all sessions and any order.
    """
    return [min(one.time for one in session.values()) for session in sessions_of(joined)]


def _ends(joined: Iterable[Joined], done: Iterable[Done]) -> list[list[Done]]:
    """How all workers ended, by session; after the loss of a rank a worker has several ends, of which the last counts.

    A damaged journal may have lost the beginning of a session.
    """
    begins = session_begins(joined)
    ends: list[dict[int, Done]] = [{} for _ in begins]
    for event in sorted(done, key=lambda event: event.time):
        if place := bisect_right(begins, event.time):
            ends[place - 1][event.rank] = event
    return [list(session.values()) for session in ends if session]
