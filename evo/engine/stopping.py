"""Why one worker stops: decisions on what it knows of all."""

from __future__ import annotations

import math

from evo.engine.breeding import Breeder
from evo.engine.budget import Budget
from evo.engine.inflight import InFlight
from evo.population.reason import StopKind, StopReason

# Evaluations left for each worker from which on none starts another before the others can know of its last one.
# A worker that started without knowing would exceed the budget: so each does at most once, and all but one of them.
_ENDGAME = 64


class Stopping:
    """One worker's reasons to stop: the budget, the time, a request, or that there is nothing left to try.

    Args:
        budget: The limits of the search.
        workers: How many workers take part.
        breeder: This worker's breeder, with what it knows of all.
        in_flight: What this worker has to take up again.
    """

    def __init__(self, budget: Budget, workers: int, breeder: Breeder, in_flight: InFlight) -> None:
        self._budget = budget
        self._workers = workers
        self._breeder = breeder
        self._population = breeder.population
        self._in_flight = in_flight
        self._request: StopReason | None = None
        # Whether it has launched anything new in this session. The first one may start however little time there is:
        # it may be continued, and else a session that is too short for any would be repeated for ever.
        self.has_launched = False

    def request(self, text: str, kind: StopKind = StopKind.REQUESTED) -> None:
        """Let this worker stop as soon as it can, for a reason from outside; the first one counts.

        Args:
            text: The reason, for people.
            kind: What the reason is.
        """
        self._request = self._request or StopReason(kind, text)

    @property
    def is_near(self) -> bool:
        """Whether the evaluations left are so few that all workers should know of all that have started."""
        return self._budget.evaluations_left(self._population) <= _ENDGAME * self._workers

    @property
    def why_complete(self) -> StopReason | None:
        """Why nothing is left to do for this worker, neither anew nor again, in any session; None when there is."""
        if reason := self._budget.why_stop_now(self._population, now=-math.inf):
            return reason
        return None if self._in_flight.is_waiting else self._why_breed_no_more()

    def why_now(self, now: float) -> StopReason | None:
        """Why nothing more may start and what is in flight should be interrupted; None when all may go on.

        Args:
            now: Seconds since the epoch.
        """
        return self._request or self._budget.why_stop_now(self._population, now)

    def why_launch_no_more(self, now: float) -> StopReason | None:
        """Why nothing new may start; None when it may.

        Args:
            now: Seconds since the epoch.
        """
        if reason := self.why_now(now) or self._why_breed_no_more():
            return reason
        return self._budget.why_launch_no_more(self._population, now) if self.has_launched else None

    def _why_breed_no_more(self) -> StopReason | None:
        generation = self._population.next_generation(self._breeder.worker)
        return self._budget.why_breed_no_more(self._population, generation) or self._breeder.why_exhausted
