"""Individuals in flight: who evaluates each of them, and which ones a rank is to take up again."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from evo.islands.topology import Archipelago
from evo.population.events import AnyEvent, Finished, Identity, Started
from evo.population.population import Individual, Population


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
        self._dead: frozenset[int] = frozenset()
        # Ranks that died while they were evaluating an individual, rather than before they had begun.
        self._victims: dict[Identity, set[int]] = {}
        self._begun: set[Identity] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether there is an individual for this rank to take up again, which nobody has finished meanwhile."""
        while self._waiting and not self._population.is_running(self._waiting[0]):
            self._waiting.popleft()
        return bool(self._waiting)

    def take(self) -> Individual:
        """The next individual to take up again."""
        return self._waiting.popleft()

    def victims(self, individual: Individual) -> Collection[int]:
        """The ranks that died in this session while they evaluated an individual."""
        return sorted(self._victims.get(_identity(individual), ()))

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account, which the population already knows."""
        if isinstance(event, Started):
            rank = event.individual[0] if event.rank is None else event.rank
            known = self._evaluators.get(event.individual)
            if rank in self._dead and known is not None and known not in self._dead:
                return  # An old one, published again: somebody else has taken it up meanwhile.
            self._evaluators[event.individual] = rank
            self._begun.add(event.individual)
            if rank in self._dead:  # Known to others only, when its death was noticed here.
                self._inherit()
        elif not isinstance(event, Finished):
            return
        elif event.status != "interrupted":
            for known_of in (self._evaluators, self._victims):
                known_of.pop(event.individual, None)
            self._begun.discard(event.individual)
        elif event.rank == self._rank:
            # Interrupted from outside, or with the whole search: then it is left to the next session.
            self._waiting.extend(one for one in self._population.running if one.identity == event.individual)

    def lose(self, dead: Collection[int]) -> None:
        """Take up what those dead ranks were evaluating whose heir this one is.

        Args:
            dead: All ranks that have died, also those whose heir has died since.
        """
        self._dead = frozenset(dead)
        self._inherit()

    def _inherit(self) -> None:
        waiting = set(self._waiting)
        for individual in self._population.running:
            identity = _identity(individual)
            evaluator = self._evaluators.get(identity, self._rank)
            if evaluator in self._dead:
                if identity in self._begun:
                    self._victims.setdefault(identity, set()).add(evaluator)
                if self._archipelago.heir(evaluator, self._dead) == self._rank and individual not in waiting:
                    self._waiting.append(individual)


def _identity(individual: Individual) -> Identity:
    assert individual.identity is not None
    return individual.identity
