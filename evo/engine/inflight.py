"""Individuals in flight: which worker evaluates each of them, and which ones a worker must evaluate again."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from evo.islands.archipelago import Archipelago
from evo.population.events import AnyEvent, Finished, Started
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.population.population import Population


class InFlight:
    """One worker's view of the individuals in flight.

    Individuals that an earlier session left in flight are divided among the workers. Those of a worker that dies go to
    its successor.

    Args:
        population: The population as this worker knows it.
        worker: The number of this worker.
        archipelago: The workers of each island.
    """

    def __init__(self, population: Population, worker: int, archipelago: Archipelago) -> None:
        self._population = population
        self._worker = worker
        self._archipelago = archipelago
        workers = archipelago.workers
        self._evaluators: dict[Identity, int] = {
            individual.identity: place % workers for place, individual in enumerate(population.running)
        }
        self._waiting = deque(population.running[worker::workers])
        self._dead: frozenset[int] = frozenset()
        # The workers that died while they were evaluating an individual, not those that had not yet begun.
        self._died_at: dict[Identity, set[int]] = {}
        self._begun: set[Identity] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether this worker must evaluate an individual again that no other worker has finished meanwhile."""
        while self._waiting and not self._population.is_running(self._waiting[0]):
            self._waiting.popleft()
        return bool(self._waiting)

    def take(self) -> Known:
        """The next individual to evaluate again."""
        return self._waiting.popleft()

    def died_at(self, individual: Known) -> Collection[int]:
        """The workers that died in this session while they evaluated an individual."""
        return sorted(self._died_at.get(individual.identity, ()))

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account; the population must know it already."""
        if isinstance(event, Started):
            worker = event.individual[0] if event.rank is None else event.rank
            known = self._evaluators.get(event.individual)
            if worker in self._dead and known is not None and known not in self._dead:
                return  # This old start was published again; another worker has taken up the individual meanwhile.
            self._evaluators[event.individual] = worker
            self._begun.add(event.individual)
            if worker in self._dead:  # Only other workers knew of this start when its worker died.
                self._inherit()
        elif not isinstance(event, Finished):
            return
        elif event.status != "interrupted":
            for known_of in (self._evaluators, self._died_at):
                known_of.pop(event.individual, None)
            self._begun.discard(event.individual)
        elif event.rank == self._worker:
            # The individual was interrupted from outside. If the whole search was, the next session takes it up.
            self._waiting.extend(one for one in self._population.running if one.identity == event.individual)

    def lose(self, dead: Collection[int]) -> None:
        """Take up the individuals of dead workers whose successor this worker is.

        Args:
            dead: All workers that have died, including those whose successor has died since.
        """
        self._dead = frozenset(dead)
        self._inherit()

    def _inherit(self) -> None:
        waiting = set(self._waiting)
        for individual in self._population.running:
            identity = individual.identity
            evaluator = self._evaluators.get(identity, self._worker)
            if evaluator in self._dead:
                if identity in self._begun:
                    self._died_at.setdefault(identity, set()).add(evaluator)
                if self._archipelago.successor(evaluator, self._dead) == self._worker and individual not in waiting:
                    self._waiting.append(individual)
