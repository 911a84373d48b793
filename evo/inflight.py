"""Individuals in flight: who evaluates each of them, and which ones a rank is to take up again."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from evo.events import AnyEvent, Finished, Identity, Started
from evo.population import Individual, Population
from evo.topology import Archipelago


class InFlight:
    """One rank's view of them.

    Individuals that are in flight at the start, from an earlier session, are shared out among the ranks; those of a
    rank that dies go to its heir.

    Args:
        population: What is known.
        rank: This rank.
        archipelago: Of all ranks.
    """

    def __init__(self, population: Population, rank: int, archipelago: Archipelago) -> None:
        self._population = population
        self._rank = rank
        self._archipelago = archipelago
        ranks = archipelago.workers
        self._evaluators: dict[Identity, int] = {
            _identity(individual): place % ranks for place, individual in enumerate(population.running)
        }
        self._waiting = deque(population.running[rank::ranks])

    @property
    def is_waiting(self) -> bool:
        """Whether there is an individual for this rank to take up again, which nobody has finished meanwhile."""
        while self._waiting and not self._population.is_running(self._waiting[0]):
            self._waiting.popleft()
        return bool(self._waiting)

    def take(self) -> Individual:
        """The next individual to take up again."""
        return self._waiting.popleft()

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account."""
        if isinstance(event, Started):
            self._evaluators[event.individual] = event.individual[0] if event.rank is None else event.rank
        elif isinstance(event, Finished) and event.status != "interrupted":
            self._evaluators.pop(event.individual, None)

    def inherit(self, dead: Collection[int]) -> None:
        """Take up what those ranks were evaluating whose heir this one is.

        Args:
            dead: All ranks that have died, also those whose heir has died since.
        """
        waiting = set(self._waiting)
        for individual in self._population.running:
            evaluator = self._evaluators.get(_identity(individual), self._rank)
            is_left = evaluator in dead and self._archipelago.heir(evaluator, dead) == self._rank
            if is_left and individual not in waiting:
                self._waiting.append(individual)


def _identity(individual: Individual) -> Identity:
    assert individual.identity is not None
    return individual.identity
