"""What a worker knows when it breeds: recorded in its journal, so that its decisions can be made again."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from evo.population.events import Heard

MOST_WORKERS = 512
"""With more workers than this nothing is recorded, because each record would be as long as there are workers."""


class Hearing:
    """What one worker has heard of the others, and how much of that its journal tells.

    Args:
        known: By worker, how many of its events in this session are known; it grows.
        record: Keeps a record in the journal of this worker.
        workers: The number of workers of this session.
    """

    def __init__(self, known: Mapping[int, int], record: Callable[[Heard], Any], workers: int) -> None:
        self._is_recorded = workers <= MOST_WORKERS
        self._known = known
        self._record = record
        self._told: dict[int, int] = {}
        self._time = 0.0  # Of the last record.

    def note(self, now: float, has_learnt: bool, beyond: bool = False, is_bred: bool = False) -> None:
        """Record what is known, unless the journal tells it already.

        Args:
            now: Seconds since the epoch.
            has_learnt: Whether the algorithm has just learnt something.
            beyond: Whether the worker has looked beyond its own share of a finite space.
            is_bred: Whether it has bred an individual, whose start will tell that it has learnt.
        """
        known, told = self._known, self._told
        if not self._is_recorded:
            return
        counts = {worker: count - told.get(worker, 0) for worker, count in known.items() if count != told.get(worker)}
        # A worker that is alone has learnt all of its own before each start, so only other cases are recorded.
        if counts or beyond or (has_learnt and (known or not is_bred)):
            self._told = dict(known)
            # Each has a time of its own, because what stands in a journal twice counts once. One decision may need
            # several: another worker may take the place, or the state, that was chosen.
            if now <= self._time < now + 1.0:
                now = math.nextafter(self._time, math.inf)
            self._time = now
            self._record(Heard(time=now, counts=pack_counts(counts), beyond=beyond))


def pack_counts(counts: Mapping[int, int]) -> str:
    """Counts as a short text, since a journal has one for nearly each individual, with a count for each worker.

    Args:
        counts: By worker, a count from 0; of a worker that is absent it is 0.

    Returns:
        A digit for each worker from 0 on; a larger count is in parentheses, and more than four in a row that are the
        same are written once, with their number.

    Example:
        >>> pack_counts({0: 2, 1: 12, 3: 1}), pack_counts(dict.fromkeys(range(255), 1))
        ('2(12)01', '1*255;')
    """
    parts = []
    for count, run in itertools.groupby(counts.get(worker, 0) for worker in range(max(counts, default=-1) + 1)):
        digit, length = str(count) if count < 10 else f"({count})", sum(1 for _ in run)
        parts.append(f"{digit}*{length};" if length > 4 else digit * length)
    return "".join(parts)


def unpack_counts(text: str) -> dict[int, int]:
    """The counts in a text that `pack_counts` has made: by worker, those that are not 0.

    Example:
        >>> unpack_counts("2(12)01")
        {0: 2, 1: 12, 3: 1}
    """
    counts: list[int] = []
    for digit, large, length in re.findall(r"(?:(\d)|\((\d+)\))(?:\*(\d+);)?", text):
        counts += [int(digit or large)] * int(length or 1)
    return {worker: count for worker, count in enumerate(counts) if count}


DEAF = Hearing({}, lambda heard: None, 1)
"""The hearing of a worker whose decisions are not recorded."""
