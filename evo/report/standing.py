"""Where a search stands, as one record: what the live display, the lines of a log and `evo status` show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

WorkerState: TypeAlias = Literal["evaluating", "idle", "done", "lost"]
"""What a worker does: it evaluates; it breeds, waits or begins; it has come to its end; it has died."""


class BestSoFar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The best individual so far, and how long it has been the best; of several objectives, also their front.

    Args:
        individual: Its name, rank-generation.
        loss: Its loss.
        seconds_ago: The time since its evaluation ended, in seconds; with several objectives, since the front changed.
        evaluations_ago: How many evaluations have ended since.
        violation: By how much it violates the bounds of metrics, if all individuals do; None if it keeps them.
        values: The best value of each named objective on the front, in the user's signs.
        members: How many individuals are on the front; 0 with one objective.
    """

    individual: str
    loss: float
    seconds_ago: float
    evaluations_ago: int
    violation: float | None = None
    values: Mapping[str, float] = {}
    members: int = 0


class WorkerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker does.

    Args:
        worker: Its number, which is its rank where each worker is one rank.
        host: The name of its machine.
        device: The device on which it evaluates, for example "cuda:0".
        state: What it does.
        individual: The name of the individual that it evaluates; empty when it evaluates none. Of several, as in a loop
            of the user's own, it is the one that was started first.
        others: How many others it evaluates at the same time.
        island: The island of that individual.
        seconds: For how long it has been evaluating it; 0.0 when it evaluates none.
        steps: How many steps of a training that individual has reported, usually epochs; 0 when none.
        most_steps: The most steps that a completed individual has reported; 0 when that is not known.
        value: The latest loss that it has reported; None when there is none.
        begin: The step of the training from which that individual goes on; None for a whole training.
        until: The step until which it goes; None for a whole training.
        donor: The name of the individual from whose state it goes on; None if it begins a training.
        reason: Why it has stopped; empty when it has not.
    """

    worker: int
    host: str
    device: str
    state: WorkerState
    individual: str = ""
    others: int = 0
    island: int = 0
    seconds: float = 0.0
    steps: int = 0
    most_steps: int = 0
    value: float | None = None
    begin: int | None = None
    until: int | None = None
    donor: str | None = None
    reason: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a search stands; "this session" is the latest one, since the same workers have joined.

    Args:
        time: The time that this describes, in seconds since the epoch.
        counts: How many evaluations have ended in each way: completed, pruned, infeasible, failed.
        known: How many results are known from elsewhere; these count as no evaluations.
        running: How many individuals are in evaluation.
        waiting: How many are to be evaluated again, because their evaluation was cut short.
        total: How many evaluations there will be, if the budget says so; None when it does not.
        target: What ends the search, as `evo.population.events.Joined` has it. None means nothing.
        seconds: The time since this session began.
        seconds_left: The time until the budget is spent, estimated from the pace of this session; None when unknown.
        seconds_to_deadline: The time until the walltime, or the batch job, is over; None when there is no such end.
        best: The best individual so far; None when none has completed.
        busy: The share of the workers' time in this session in which they evaluated, 0 to 1; None when unknown.
        islands: The number of islands on which individuals were born.
        migrated: How many times an individual has moved to another island.
        pollinated: How many copies have travelled to another island.
        workers: All workers of this session, by number.
        stop_reasons: Why workers have stopped in this session, each reason once.
        is_before_the_end: Whether some worker has stopped before the budget was spent.
        has_ended: Whether all workers have stopped, or died, and nothing is in evaluation.
    """

    time: float
    counts: Mapping[str, int]
    known: int = 0
    running: int
    waiting: int
    total: int | None
    target: float | dict[str, float] | None
    seconds: float
    seconds_left: float | None
    seconds_to_deadline: float | None
    best: BestSoFar | None
    busy: float | None
    islands: int
    migrated: int
    pollinated: int
    workers: Sequence[WorkerStanding]
    stop_reasons: Sequence[str]
    is_before_the_end: bool
    has_ended: bool

    @property
    def finished(self) -> int:
        """How many evaluations have ended, without those that were interrupted."""
        return sum(self.counts.values())


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a session has been until now.

    Args:
        finished: How many evaluations have ended in this session.
        spent: The seconds that these took together.
        elapsed: The seconds since the session began.
        running: For how many seconds each individual in evaluation has been evaluated.
    """

    finished: int
    spent: float
    elapsed: float
    running: Sequence[float]


# An evaluation that takes longer than the others so far counts as this much of one, because nobody knows its end.
_NEARLY = 0.95


def estimate_seconds_left(pace: Pace, remaining: int | None) -> float | None:
    """The time until so many evaluations have ended, if they go on as before; None when nothing tells.

    Evaluations that run count by the share of the mean time that they have taken already. While few have ended, they
    may be those that fail at once, so nothing is told.

    Args:
        pace: How fast the session has been.
        remaining: How many evaluations are still to end, those that run included. None means that this is unknown.

    Example:
        >>> estimate_seconds_left(Pace(finished=10, spent=100.0, elapsed=50.0, running=[]), 20)
        100.0
    """
    if remaining is not None and remaining <= 0:
        return 0.0
    if remaining is None or pace.elapsed <= 0 or pace.finished < max(1.0, len(pace.running) / 2):
        return None
    mean = pace.spent / pace.finished
    begun = sum(min(_NEARLY, taken / mean) for taken in pace.running) if mean > 0 else 0.0
    by_rate = (remaining - begun) * pace.elapsed / (pace.finished + begun)
    if remaining > len(pace.running):
        return max(0.0, by_rate)
    # Nothing will start any more: the last one to end decides, rather than the rate.
    return max((mean - min(taken, _NEARLY * mean) for taken in pace.running), default=0.0)


def estimate_total(
    evaluations: int | None, generations: int | None, started: int, bred: Mapping[int, int], workers: int
) -> int | None:
    """How many evaluations there will be when the budget is spent; None when it does not say.

    Args:
        evaluations: The number of evaluations of all workers together. None means no limit.
        generations: The number of individuals that each worker breeds. None means no limit.
        started: How many individuals are known.
        bred: How many generations each worker has bred.
        workers: The number of workers.
    """
    total = math.inf if evaluations is None else evaluations
    if generations is not None:
        total = min(total, started + sum(max(0, generations - bred.get(worker, 0)) for worker in range(workers)))
    return None if math.isinf(total) else int(total)
