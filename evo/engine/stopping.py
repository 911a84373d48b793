"""Why one worker stops: decisions on what it knows of all."""

from __future__ import annotations

import math

from evo.engine.breeding import Breeder
from evo.engine.budget import Budget
from evo.engine.inflight import InFlight
from evo.population.population import Population

# Evaluations left for each rank from which on no rank starts another before the others can know of its last one.
# A rank that started without knowing would exceed the budget: so each does at most once, and all but one of them.
_ENDGAME = 64


class Stopping:
    """One worker's reasons to stop: the budget, the time, a request, or that there is nothing left to try.

    Args:
        budget: Of the search.
        population: What this worker knows, kept up to date by it.
        rank: This worker's.
        ranks: How many take part.
        breeder: Of this worker.
        in_flight: What it has to take up again.
    """

    def __init__(
        self, budget: Budget, population: Population, rank: int, ranks: int, breeder: Breeder, in_flight: InFlight
    ) -> None:
        self._budget = budget
        self._population = population
        self._rank, self._ranks = rank, ranks
        self._breeder = breeder
        self._in_flight = in_flight
        self._request = ""
        # Whether it has launched anything new in this session. The first one may start however little time there is:
        # it may be continued, and else a session that is too short for any would be repeated for ever.
        self.has_launched = False

    def request(self, reason: str) -> None:
        """Let this worker stop as soon as it can, for a reason from outside; the first one counts."""
        self._request = self._request or reason

    @property
    def is_near(self) -> bool:
        """Whether the evaluations left are so few that all ranks should know of all that have started."""
        return self._budget.evaluations_left(self._population) <= _ENDGAME * self._ranks

    @property
    def why_complete(self) -> str:
        """Why nothing is left to do for this worker, neither anew nor again, in any session; empty when there is."""
        if reason := self._budget.why_stop_now(self._population, now=-math.inf):
            return reason
        return "" if self._in_flight.is_waiting else self._why_breed_no_more()

    def why_now(self, now: float) -> str:
        """Why nothing more may start and what is in flight should be interrupted; empty when all may go on.

        Args:
            now: Seconds since the epoch.
        """
        return self._request or self._budget.why_stop_now(self._population, now)

    def why_launch_no_more(self, now: float) -> str:
        """Why nothing new may start; empty when it may.

        Args:
            now: Seconds since the epoch.
        """
        if reason := self.why_now(now) or self._why_breed_no_more():
            return reason
        return self._budget.why_launch_no_more(self._population, now) if self.has_launched else ""

    def is_before_the_end(self, reason: str) -> bool:
        """Whether someone who stops for this reason does so before the budget is spent: the same command goes on."""
        return bool(self._request) or self._budget.is_of_time(reason)

    def _why_breed_no_more(self) -> str:
        generation = self._population.next_generation(self._rank)
        if reason := self._budget.why_breed_no_more(self._population, generation):
            return reason
        return self._breeder.why_exhausted
