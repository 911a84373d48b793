"""The reasons why one worker stops, from what it knows of all workers."""

from __future__ import annotations

import math

from evo.engine.breeding import Breeder
from evo.engine.budget import Budget
from evo.engine.inflight import InFlight
from evo.population.reason import StopKind, StopReason

# With so few evaluations left for each worker, none starts another one before the others can know of its last start.
# Without that, workers would exceed the budget; with it, each exceeds it by one evaluation at most, and one not at all.
_ENDGAME = 64


class StopRules:
    """One worker's reasons to stop: the budget, the time, a request, or that there is nothing left to try.

    Args:
        budget: The limits of the search.
        workers: The number of workers that take part.
        breeder: The breeder of this worker, with its population.
        in_flight: The individuals in flight, as this worker knows them.
    """

    def __init__(self, budget: Budget, workers: int, breeder: Breeder, in_flight: InFlight) -> None:
        self._budget = budget
        self._workers = workers
        self._breeder = breeder
        self._population = breeder.population
        self._in_flight = in_flight
        self._request: StopReason | None = None
        # Whether it has launched a new individual in this session. The first one may start however little time is left,
        # because a later session can continue it. Otherwise sessions that are too short would repeat for ever.
        self.has_launched = False

    def request(self, text: str, kind: StopKind = StopKind.REQUESTED) -> None:
        """Let this worker stop as soon as it can, for a reason from outside; the first request counts.

        Args:
            text: The reason, for people.
            kind: The kind of reason.
        """
        self._request = self._request or StopReason(kind, text)

    @property
    def is_near(self) -> bool:
        """Whether so few evaluations are left that all workers should know of all starts."""
        return self._budget.evaluations_left(self._population) <= _ENDGAME * self._workers

    @property
    def why_complete(self) -> StopReason | None:
        """The reason why this worker has nothing left to evaluate, now or in a later session; None when it has."""
        if reason := self._budget.why_stop_now(self._population, now=-math.inf):
            return reason
        return None if self._in_flight.is_waiting else self._why_breed_no_more()

    def why_now(self, now: float) -> StopReason | None:
        """The reason why nothing may start and evaluations must be interrupted; None when all may go on.

        Args:
            now: Seconds since the epoch.
        """
        return self._request or self._budget.why_stop_now(self._population, now)

    def why_launch_no_more(self, now: float) -> StopReason | None:
        """The reason why nothing new may start; None when it may.

        Args:
            now: Seconds since the epoch.
        """
        if reason := self.why_now(now) or self._why_breed_no_more():
            return reason
        return self._budget.why_launch_no_more(self._population, now) if self.has_launched else None

    def _why_breed_no_more(self) -> StopReason | None:
        worker, population = self._breeder.worker, self._population
        generation = population.next_generation(worker) - population.imported.of(worker)
        return self._budget.why_breed_no_more(self._population, generation) or self._breeder.why_exhausted
