"""Which individuals belong to which islands, regardless of the order in which events arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evo.population.events import Migrated, Pollinated, Retired
from evo.population.identity import Identity
from evo.population.individual import Known


@dataclass
class _Journey:
    """The travels of one individual. Each part only grows, so that the order of events does not matter."""

    home: tuple[int, int] | None = None  # The number of the latest move, and the island that it led to.
    copies: set[int] = field(default_factory=set)
    retired: set[int] = field(default_factory=set)


class Travels:
    """The places of the individuals that have travelled or made room; all others are where they were born.

    Args:
        islands: The number of islands. An island number from a session with more islands is taken modulo this number.
    """

    def __init__(self, islands: int) -> None:
        self.islands = islands
        self._journeys: dict[Identity, _Journey] = {}

    def apply(self, event: Retired | Migrated | Pollinated) -> None:
        """Take an event into account."""
        journey = self._journeys.setdefault(event.individual, _Journey())
        if isinstance(event, Migrated):
            # Two workers may have moved it at once, while one of them was taken for dead; all must keep the same move.
            journey.home = max(journey.home or (0, 0), (event.move, event.island))
        else:
            (journey.retired if isinstance(event, Retired) else journey.copies).add(event.island)

    def places(self, individual: Known, island: int) -> Sequence[int]:
        """The island numbers, perhaps of a session with more islands, by which an individual belongs to an island."""
        journey = self._journeys.get(individual.identity)
        if journey is None:
            return [individual.island] if individual.island % self.islands == island else []
        places = (journey.copies | {_home(individual, journey)}) - journey.retired
        return [place for place in sorted(places) if place % self.islands == island]

    def is_home(self, individual: Known, island: int) -> bool:
        """Whether the individual itself, not only a copy of it, belongs to an island."""
        journey = self._journeys.get(individual.identity)
        if journey is None:
            return individual.island % self.islands == island
        home = _home(individual, journey)
        return home % self.islands == island and home not in journey.retired

    def was_sent_to(self, identity: Identity, island: int) -> bool:
        """Whether a copy of an individual was sent to an island, or the individual has made room there."""
        journey = self._journeys.get(identity)
        return journey is not None and self._is_among(journey.copies | journey.retired, island)

    def has_retired(self, identity: Identity, island: int) -> bool:
        """Whether an individual has made room on an island, where it no longer breeds."""
        journey = self._journeys.get(identity)
        return journey is not None and self._is_among(journey.retired, island)

    def moves(self, identity: Identity) -> int:
        """The number of times that an individual has moved."""
        journey = self._journeys.get(identity)
        return 0 if journey is None or journey.home is None else journey.home[0]

    def _is_among(self, places: Iterable[int], island: int) -> bool:
        return any(place % self.islands == island for place in places)


def _home(individual: Known, journey: _Journey) -> int:
    return individual.island if journey.home is None else journey.home[1]
