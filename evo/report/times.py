"""Where a study has spent its time, gathered from its events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from evo.population.events import AnyEvent, Done, Finished, Identity, Joined

MEASURED = ("loading", "forward", "backward", "optimizer", "validation", "checkpoints")
"""What a training measures; see `evo.lightning.activities`."""
OUTSIDE = ("handover", "breeding", "exchange", "waiting")
"""What a worker does besides evaluating; see `evo.engine.loop`."""


def gather_times(events: Iterable[AnyEvent]) -> Mapping[str, float]:
    """Seconds by activity, of all workers and sessions together.

    Args:
        events: Of one study, in any order, some perhaps more than once.

    Returns:
        For trainings what MEASURED says, and "other" for the rest of them; for evaluations whose objective measures
        nothing, "evaluation". Then what OUTSIDE says, of the sessions in which a worker came to its end;
        waiting includes that for the others when a worker has nothing left to do.
    """
    finished: dict[tuple[Identity, float], Finished] = {}
    done: dict[tuple[int, float], Done] = {}
    joined: dict[tuple[int, float], Joined] = {}
    for event in events:
        if isinstance(event, Finished):
            finished[event.individual, event.time] = event
        elif isinstance(event, Done):
            done[event.rank, event.time] = event
        elif isinstance(event, Joined):
            joined[event.rank, event.time] = event
    seconds: defaultdict[str, float] = defaultdict(float)
    for end in finished.values():
        for activity, spent in end.times.items():
            seconds[activity] += spent
        seconds["other" if end.times else "evaluation"] += max(0.0, end.seconds - sum(end.times.values()))
    for last in _last_done(joined.values(), done.values()):
        latest = max(word.time for word in last)
        for word in last:
            for activity, spent in word.times.items():
                seconds[activity] += spent
            seconds["waiting"] += latest - word.time
    ordered = [*MEASURED, *sorted(set(seconds) - {*MEASURED, *OUTSIDE}), *OUTSIDE]
    return {name: seconds[name] for name in ordered if seconds[name] > 0}


def _last_done(joined: Iterable[Joined], done: Iterable[Done]) -> list[list[Done]]:
    """The last records of all workers, by session; after a death, a worker has several, of which the latest counts."""
    sessions: list[dict[int, Done]] = []
    members: set[int] = set()
    ranks = 0
    marks: list[Joined | Done] = [*joined, *done]
    for event in sorted(marks, key=lambda event: event.time):
        if isinstance(event, Done):
            if sessions:  # Or a damaged journal has lost the beginning.
                sessions[-1][event.rank] = event
        elif not sessions or event.rank in members or event.ranks != ranks:
            sessions.append({})
            members, ranks = {event.rank}, event.ranks
        else:
            members.add(event.rank)
    return [list(session.values()) for session in sessions if session]
