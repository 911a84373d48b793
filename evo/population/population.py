"""The replica that every worker keeps of a study's individuals.

A replica is the set of the events applied to it: applying one twice, or in another order, gives the same population.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from evo.population.events import AnyEvent, Finished, Migrated, Pollinated, Reported, Retired, Skipped, Started
from evo.population.identity import Identity
from evo.population.imported import Imported
from evo.population.individual import Known, ended, precedence
from evo.population.standings import Standings
from evo.population.states import StatesInUse
from evo.population.travels import Travels
from evo.population.tried import TriedPoints
from evo.population.views import Ranked, Views
from evo.space.growth import Fitted, Forms
from evo.space.space import Space
from evo.space.values import Params, fresh

_ABOUT_INDIVIDUALS = (Started, Reported, Finished, Retired, Migrated, Pollinated, Skipped)


class Population:
    """The individuals of a study that one worker knows, and the islands on which they breed.

    Adding an individual costs O(log n), where n is the number of individuals.

    Args:
        space: The search space.
        island: The island whose active individuals `active` shows.
        islands: The number of islands. An island number from a session with more islands is taken modulo this number.
        forms: The limits that the study has had, if they have changed; its space must be `space`.
    """

    def __init__(self, space: Space, island: int = 0, islands: int = 1, forms: Forms | None = None) -> None:
        self.space = space
        self._forms = forms or Forms(space)
        # Individuals outside of the study's limits, which have changed; see `evo.space.growth`.
        self.set_aside: set[Identity] = set()
        # Individuals that were set aside before they had finished; they never will.
        self._abandoned: set[Identity] = set()
        self.imported = Imported()
        self._precedence: dict[Identity, tuple[int, bytes]] = {}
        self._nowhere = np.full(len(space), np.nan)
        self.island, self.islands = island, islands
        self.counts: Counter[str] = Counter()
        # The seconds that the fastest completed evaluation took; 0 when none is known.
        self.fastest = 0.0
        self._individuals: dict[Identity, Known] = {}
        self._running: dict[Identity, Known] = {}
        # The exact parameters of running individuals, because a genome may hold a few digits less.
        self._params: dict[Identity, Params] = {}
        self.standings = Standings()
        self._views = Views(self._individuals, self._is_here)
        self._active = self._views.make(lambda individual: True, ("completed", "pruned"))
        self.tried = TriedPoints()
        self.states = StatesInUse()
        self._generations: dict[int, int] = {}
        # Outcomes that arrived before the start of their individual.
        self._early: dict[Identity, Finished] = {}
        self._travels = Travels(islands)
        # One string object for each name in `bred_by`, which saves memory.
        self._names: dict[str, str] = {}

    @property
    def active(self) -> Ranked:
        """The individuals of this island that breed, the best first; a view that follows the population.

        The pruned ones follow the completed ones, higher rungs first; see `evo.population.individual.standing`, and for
        several objectives `evo.population.dominance.order_by_dominance`.
        """
        return self.standings.in_order(self._active, self._views.changes)

    @property
    def ranking(self) -> Ranked:
        """All completed individuals, wherever they breed, by their losses; a view that follows the population."""
        return self.standings.ranking  # type: ignore[no-any-return]

    @property
    def best(self) -> Known | None:
        """The completed individual with the lowest (first) loss, wherever it breeds; those that keep bounds first."""
        return self.standings.best

    @property
    def front(self) -> Sequence[Known]:
        """The completed individuals that no other one dominates, wherever they breed; with one loss, the best one."""
        return self.standings.front

    def view(self, belongs: Callable[[Known], bool]) -> Ranked:
        """Some of the completed individuals of this island, the best first; a view that follows the population.

        Args:
            belongs: Whether an individual is in the view; the answer may change only with an event about it.
        """
        return self._views.make(belongs, ("completed",))

    def refresh(self) -> None:
        """Fill all views again, after the answers of their `belongs` have changed."""
        self._views.refresh()

    @property
    def finished_here(self) -> Sequence[Known]:
        """The individuals that have finished and were born on this island or breed here, in the order of their ends."""
        ended = filter(self.has_finished_here, self._individuals.values())
        return sorted(ended, key=lambda one: (one.ended, one.identity))

    def has_finished_here(self, individual: Known) -> bool:
        """Whether an individual has finished and was born on this island, or breeds here."""
        if individual.status in ("running", "interrupted") or individual.identity in self.set_aside:
            return False
        return individual.island % self.islands == self.island or self.is_on(individual, self.island)

    def find(self, identity: Identity) -> Known | None:
        """The individual with this identity; None if it is not known."""
        return self._individuals.get(identity)

    @property
    def running(self) -> Sequence[Known]:
        """The individuals that were started and have not finished, in the order of their identities."""
        return [self._running[identity] for identity in sorted(self._running)]

    def is_running(self, individual: Known) -> bool:
        """Whether an individual has not finished."""
        return individual.identity in self._running

    @property
    def started(self) -> int:
        """The number of evaluations that were ever started, without those that were set aside before they finished."""
        return len(self._individuals) - self.abandoned - len(self.imported)

    @property
    def abandoned(self) -> int:
        """The number of individuals that were set aside before they had finished, and never will."""
        return len(self._abandoned)

    @property
    def finished(self) -> int:
        """The number of evaluations that have ended without being interrupted."""
        return self.counts.total() - self.counts["running"] - self.counts["interrupted"] - len(self.imported)

    def params(self, individual: Known) -> Params:
        """The parameters of an individual, as its objective gets them."""
        known = self._params.get(individual.identity)
        return self.space.decode(individual.genome) if known is None else fresh(known)

    def next_generation(self, worker: int) -> int:
        """The generation that a worker breeds next."""
        return self._generations.get(worker, -1) + 1

    def has_tried(self, params: Params) -> bool:
        """Whether the training of some individual was begun with these parameters."""
        return self.tried.has(self.space.encode(params).tobytes())

    def is_on(self, individual: Known, island: int) -> bool:
        """Whether an individual belongs to an island, which means that it breeds there once it has completed."""
        return bool(self.places(individual, island))

    def places(self, individual: Known, island: int) -> Sequence[int]:
        """The island numbers, perhaps of a session with more islands, by which an individual belongs to an island."""
        return self._travels.places(individual, island)

    def is_home(self, individual: Known, island: int) -> bool:
        """Whether the individual itself, not only a copy of it, belongs to an island."""
        return self._travels.is_home(individual, island)

    def has_been_on(self, identity: Identity, island: int) -> bool:
        """Whether an individual lives on an island, or a copy of it was sent there before."""
        individual = self._individuals.get(identity)
        lives_there = individual is not None and self.is_on(individual, island)
        return lives_there or self._travels.was_sent_to(identity, island)

    def has_retired(self, identity: Identity, island: int) -> bool:
        """Whether an individual has made room on an island, where it no longer breeds."""
        return self._travels.has_retired(identity, island)

    def moves(self, identity: Identity) -> int:
        """The number of times that an individual has moved."""
        return self._travels.moves(identity)

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account. Applying it twice, or events in another order, gives the same population.

        Args:
            event: Any record; those that are not about individuals are ignored.

        Raises:
            UserError: The event is a `Started` whose parameters lie outside the space.
        """
        if isinstance(event, Started):
            self._start(event)
            if event.segment is not None:
                self.states.apply(event)
        elif isinstance(event, Finished):
            if event.state is not None:
                self.states.apply(event)
            if event.individual in self._individuals:
                self._finish(event)
            else:
                before = self._early.get(event.individual, event)
                self._early[event.individual] = min(before, event, key=precedence)
                if (start := self.imported.expected.pop(event.individual, None)) is not None:
                    self._start(start)
        elif isinstance(event, Retired | Migrated | Pollinated):
            self._travel(event)
        if isinstance(event, _ABOUT_INDIVIDUALS):
            # Any event about an individual reserves its identity, so that no other individual gets it.
            worker, generation = event.individual
            self._generations[worker] = max(generation, self._generations.get(worker, -1))

    def digest(self) -> str:
        """A fingerprint, equal for two replicas exactly when they hold the same individuals, losses and homes."""
        digest = hashlib.sha256()
        for identity in sorted(self._individuals):
            individual = self._individuals[identity]
            params = self.space.decode(individual.genome)
            islands = [island for island in range(self.islands) if self.is_on(individual, island)]
            digest.update(
                repr((identity, individual.status, individual.vector, individual.violation, params, islands)).encode()
            )
        return digest.hexdigest()

    def _start(self, event: Started) -> None:
        known = self._individuals.get(event.individual)
        if known is not None and not self._forms.have_changed:
            return
        if known is None and event.origin and event.individual not in self._early:
            self.imported.expected[event.individual] = event
            return
        fitted = self._forms.fit(event.params)
        if fitted.genome is not None:
            self.tried.add(fitted.genome.tobytes(), event.segment)
        if known is not None:
            self._start_again(known, fitted)
            return
        individual = Known(
            identity=event.individual,
            genome=self._nowhere if fitted.genome is None else fitted.genome,
            island=event.island,
            strategy=event.strategy,
            parents=tuple(map(self._shared, event.parents)),
            bred_by=self._names.setdefault(event.bred_by, event.bred_by),
            segment=event.segment,
        )
        self.counts["running"] += 1
        self.imported.apply(event)
        self._individuals[event.individual] = individual
        self._place(event.individual, individual, fitted)
        if (early := self._early.pop(event.individual, None)) is not None:
            self._finish(early)

    def _shared(self, identity: Identity) -> Identity:
        """The same identity as an object that is already kept, if there is one, to save memory."""
        known = self._individuals.get(identity)
        return identity if known is None else known.identity

    def _start_again(self, before: Known, fitted: Fitted) -> None:
        """Apply another start of a known individual, in a study whose limits have changed in between."""
        if fitted.precedence <= self._precedence[before.identity]:
            return
        after = msgspec.structs.replace(before, genome=self._nowhere if fitted.genome is None else fitted.genome)
        self._individuals[before.identity] = after
        self._place(before.identity, after, fitted)
        self._views.update(before, after)
        self.standings.update(before, after, after.identity in self.set_aside)

    def _place(self, identity: Identity, individual: Known, fitted: Fitted) -> None:
        """Note whether an individual is set aside, and whether it is still to be evaluated."""
        if self._forms.have_changed:
            self._precedence[identity] = fitted.precedence
        is_open = individual.status in ("running", "interrupted")
        for members, belongs in (
            (self.set_aside, fitted.genome is None),
            (self._abandoned, fitted.genome is None and is_open),
        ):
            (members.add if belongs else members.discard)(identity)
        if is_open and fitted.genome is not None:
            self._running[identity] = individual
            self._params[identity] = fitted.params
        else:
            self._running.pop(identity, None)
            self._params.pop(identity, None)

    def _finish(self, event: Finished) -> None:
        before = self._individuals[event.individual]
        # After a restart, two workers may have evaluated one individual; all replicas must keep the same outcome.
        if before.status != "running" and precedence(event) >= precedence(before):
            return
        after = ended(before, event)
        self._individuals[event.individual] = after
        self.counts[before.status] -= 1
        self.counts[after.status] += 1
        if event.status == "interrupted":
            if event.individual not in self.set_aside:
                self._running[event.individual] = after
            return
        self._running.pop(event.individual, None)
        self._params.pop(event.individual, None)
        self._abandoned.discard(event.individual)
        self._views.update(before, after)
        if event.status == "completed":
            if before.status == "running" and event.seconds:  # A continued evaluation counts its last part only.
                self.fastest = min(self.fastest or event.seconds, event.seconds)
            self.standings.update(before, after, after.identity in self.set_aside)

    def _travel(self, event: Retired | Migrated | Pollinated) -> None:
        self._travels.apply(event)
        if (individual := self._individuals.get(event.individual)) is not None:
            self._views.update(individual, individual)

    def _is_here(self, individual: Known) -> bool:
        return individual.identity not in self.set_aside and self.is_on(individual, self.island)
