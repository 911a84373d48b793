"""When a search ends, as pure functions of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evo.population.goal import Goal
from evo.population.population import Population
from evo.population.reason import StopKind, StopReason

_TOO_SHORT = "the time left is too short for another evaluation"
# A share of failures says little before this many evaluations have finished.
_ENOUGH_TO_JUDGE = 20


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of a search; None means no limit.

    Args:
        generations: The number of individuals that each worker breeds.
        evaluations: The number of individuals that all workers evaluate in all sessions.
        goal: The target at which the search stops.
        deadline: The time at which the search stops, in seconds since the epoch.
        why_deadline: The text of the reason to stop at the deadline.
        max_failed_share: The share of failures, of at least 20 evaluations, above which the search stops.
    """

    generations: int | None = None
    evaluations: int | None = None
    goal: Goal | None = None
    deadline: float | None = None
    why_deadline: str = "the walltime is over"
    max_failed_share: float = 0.9

    def is_late(self, now: float) -> bool:
        """Whether the deadline is past."""
        return self.deadline is not None and now >= self.deadline

    def why_stop_now(self, population: Population, now: float) -> StopReason | None:
        """The reason why nothing may start, not even an interrupted individual; None when it may."""
        if self.is_late(now):
            return StopReason(StopKind.DEADLINE, self.why_deadline)
        if self.goal is not None and population.standings.has_reached(self.goal):
            return StopReason(StopKind.TARGET, f"the target {self.goal} is reached")
        if self.too_many_failed(population):
            infeasible = population.counts["infeasible"]
            besides = f", and {infeasible} were infeasible" if infeasible else ""
            text = f"{population.counts['failed']} of {population.finished} evaluations failed{besides}"
            return StopReason(StopKind.TOO_MANY_FAILED, text)
        return None

    def too_many_failed(self, population: Population) -> bool:
        """Whether so many evaluations failed that the search is given up."""
        finished = population.finished - population.counts["infeasible"]  # Infeasible points say nothing about others.
        return finished >= _ENOUGH_TO_JUDGE and population.counts["failed"] > self.max_failed_share * finished

    def evaluations_left(self, population: Population) -> float:
        """The number of evaluations that may still start, as far as this worker knows; infinite without a limit."""
        return math.inf if self.evaluations is None else self.evaluations - population.started

    def evaluations_to_come(self, population: Population, workers: int) -> float:
        """The number of evaluations that are still to start, as far as that can be told beforehand; else infinite."""
        generations = math.inf if self.generations is None else self.generations * workers - population.started
        return max(0.0, min(generations, self.evaluations_left(population)))

    def why_launch_no_more(self, population: Population, now: float) -> StopReason | None:
        """The reason why nothing new may start because it would surely be interrupted; None when it may.

        Nothing may start when not even the fastest evaluation so far would end before the deadline.
        """
        is_too_late = self.deadline is not None and now + population.fastest > self.deadline
        return StopReason(StopKind.TOO_SHORT, _TOO_SHORT) if is_too_late else None

    def why_breed_no_more(self, population: Population, generation: int) -> StopReason | None:
        """The reason why this worker may not breed a generation, as far as it knows; None when it may."""
        if self.generations is not None and generation >= self.generations:
            verb = " is" if self.generations == 1 else "s are"
            return StopReason(StopKind.GENERATIONS, f"{self.generations} generation{verb} complete")
        if self.evaluations is not None and self.evaluations_left(population) <= 0:
            verb = " is" if self.evaluations == 1 else "s are"
            return StopReason(StopKind.EVALUATIONS, f"{self.evaluations} evaluation{verb} complete")
        return None
