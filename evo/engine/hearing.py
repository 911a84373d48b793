"""What a worker knows when it breeds: recorded in its journal, so that its decisions can be made again."""

from __future__ import annotations

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
    """

    def __init__(self, known: Mapping[int, int], record: Callable[[Heard], Any]) -> None:
        self._known = known
        self._record = record
        self._told: dict[int, int] = {}

    def note(self, now: float, has_learnt: bool, beyond: bool = False, is_bred: bool = False) -> None:
        """Record what is known, unless the journal tells it already.

        Args:
            now: Seconds since the epoch.
            has_learnt: Whether the algorithm has just learnt something.
            beyond: Whether the worker has looked beyond its own share of a finite space.
            is_bred: Whether it has bred an individual, whose start will tell that it has learnt.
        """
        known, told = self._known, self._told
        if len(known) >= MOST_WORKERS:
            return
        counts = {worker: count - told.get(worker, 0) for worker, count in known.items() if count != told.get(worker)}
        # A worker that is alone has learnt all of its own before each start, so only other cases are recorded.
        if counts or beyond or (has_learnt and (known or not is_bred)):
            self._told = dict(known)
            self._record(Heard(time=now, counts=counts, beyond=beyond))


DEAF = Hearing({}, lambda heard: None)
"""The hearing of a worker whose decisions are not recorded."""
