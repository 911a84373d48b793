"""Travel between islands: when individuals leave, which ones, where to, and which others make room for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evo.checks import check_probability
from evo.errors import UserError
from evo.frames import representation
from evo.islands.archipelago import Archipelago
from evo.islands.topology import Topology
from evo.population.events import AnyEvent, Migrated, Pollinated, Retired
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.population.population import Population
from evo.population.views import Ranked
from evo.propagators import Propagator, SelectMax, SelectMin
from evo.randomness import migration_generator


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The rules by which individuals travel.

    Args:
        mode: With "move" an individual leaves its island. With "copy" (pollination) a copy travels, and the target
            island retires one of its own individuals.
        probability: The probability that an island sends individuals, for each generation of all its workers together.
        topology: The number of individuals that go from each island to each other one.
        emigration: Makes the selection of a given number of individuals that a worker sends.
        immigration: Makes the selection of a given number of individuals that an island retires for a copy.
    """

    mode: Literal["move", "copy"]
    probability: float
    topology: Topology
    emigration: Callable[[int], Propagator] = SelectMin
    immigration: Callable[[int], Propagator] = SelectMax

    def __post_init__(self) -> None:
        check_probability("migration_probability", self.probability)


class SelectionError(UserError):
    """A propagator that should select travellers makes individuals of its own."""


class Migrator:
    """One worker's part in migration.

    Each individual on an island has exactly one worker there that may send or retire it, its owner. So no two workers
    do it at once, and an individual that moves has one home at any time.

    Args:
        migration: The rules of migration.
        archipelago: The workers of each island.
        population: The population as this worker knows it.
        worker: The number of this worker.
        seed: The seed of the study.
    """

    def __init__(
        self, migration: Migration, archipelago: Archipelago, population: Population, worker: int, seed: int
    ) -> None:
        self._migration = migration
        self._archipelago = archipelago
        self._population = population
        self._worker = worker
        self._seed = seed
        self._island = population.island
        self._dead: Collection[int] = ()
        self._targets = {
            target: (count, population.view(self._may_go_to(target)))
            for target, count in enumerate(migration.topology[self._island])
            if count
        }
        self._may_retire = population.view(self._is_owned)

    def lose(self, dead: Collection[int]) -> None:
        """Give the individuals that dead workers owned to other owners.

        Args:
            dead: All workers that are dead.
        """
        self._dead = frozenset(dead)
        self._population.refresh()

    def depart(self, finished: Identity, now: float) -> Iterator[AnyEvent]:
        """Individuals that leave after a generation of this worker; each event must be applied before the next.

        Args:
            finished: The individual that this worker has just evaluated; the chance to leave depends on nothing else.
            now: Seconds since the epoch.
        """
        rng = migration_generator(self._seed, finished)
        workers = [worker for worker in self._archipelago.members[self._island] if worker not in self._dead]
        if rng.random() * len(workers) >= self._migration.probability:
            return
        # The order is random, so that the best do not always go to the same island.
        for target in rng.permutation(list(self._targets)).tolist():
            count, candidates = self._targets[target]
            if all(worker in self._dead for worker in self._archipelago.members[target]):
                continue
            for emigrant in self._selected(self._migration.emigration(count), candidates, rng):
                yield self._travel(emigrant.identity, target, now)

    def make_room(self, copy: Pollinated, now: float) -> Iterator[AnyEvent]:
        """The individuals that this island retires for a copy; must be called before the copy is applied.

        Args:
            copy: The event of the copy that has arrived.
            now: Seconds since the epoch.
        """
        arrives = copy.island == self._island and not self._population.has_been_on(copy.individual, copy.island)
        if not arrives or not self._owns(copy.individual):
            return
        rng = migration_generator(self._seed, copy.individual)
        for individual in self._selected(self._migration.immigration(1), self._may_retire, rng):
            for place in self._population.places(individual, self._island):
                yield Retired(time=now, individual=individual.identity, island=place)

    def _selected(self, selection: Propagator, among: Ranked, rng: np.random.Generator) -> Iterator[Known]:
        """The individuals that a propagator, which may be the user's own, selects."""
        for one in selection(self._population.standings.in_order(among), self._population.space, rng):
            if not isinstance(one, Known):
                raise SelectionError(
                    f"selection {representation(selection)} returns {representation(one)}, which is none of those that "
                    "it was given: individuals travel as they are, so return some of the parents"
                )
            yield one

    def _travel(self, identity: Identity, island: int, now: float) -> AnyEvent:
        if self._migration.mode == "copy":
            return Pollinated(time=now, individual=identity, island=island)
        return Migrated(time=now, individual=identity, island=island, move=self._population.moves(identity) + 1)

    def _may_go_to(self, target: int) -> Callable[[Known], bool]:
        population = self._population
        if self._migration.mode == "copy":  # No island gets a copy twice.
            return lambda each: self._is_owned(each) and not population.has_been_on(each.identity, target)
        # An individual may move back, but not to an island where it made room. Copies of an earlier session stay.
        return lambda each: (
            self._is_owned(each)
            and population.is_home(each, self._island)
            and not population.has_retired(each.identity, target)
        )

    def _is_owned(self, individual: Known) -> bool:
        return self._owns(individual.identity)

    def _owns(self, identity: Identity) -> bool:
        return self._archipelago.owner(identity, self._island, self._dead) == self._worker
