"""Where individuals are and have been, worked out in a simple way from what was recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain

from simulation import Result, Session

from evo.population.events import AnyEvent, Finished, Migrated, Pollinated, Retired, Started, decode
from evo.population.identity import Identity


class Knowledge:
    """What follows from events, worked out in a simple way.

    Args:
        islands: The number of islands.
        events: The events that are known.
    """

    def __init__(self, islands: int, events: Iterable[AnyEvent] = ()) -> None:
        self.islands = islands
        self.births: dict[Identity, int] = {}
        # The violations and the (first) losses.
        self.losses: dict[Identity, tuple[float, float]] = {}
        self.moves: dict[Identity, dict[int, int]] = defaultdict(dict)
        self.copies: dict[Identity, set[int]] = defaultdict(set)
        self.retired: dict[Identity, set[int]] = defaultdict(set)
        for event in events:
            self.learn(event)

    def learn(self, event: AnyEvent, strict: bool = True) -> None:
        """Take an event into account; unless strict, two workers may have moved an individual at once."""
        if isinstance(event, Started):
            self.births[event.individual] = event.island
        elif isinstance(event, Finished) and event.status == "completed":
            assert event.loss is not None
            self.losses[event.individual] = event.violation, event.loss
        elif isinstance(event, Migrated):
            moves = self.moves[event.individual]
            known = moves.get(event.move, event.island)
            assert known == event.island or not strict, f"two workers moved {event.individual} at once"
            moves[event.move] = max(known, event.island)
        elif isinstance(event, Pollinated):
            self.copies[event.individual].add(event.island)
        elif isinstance(event, Retired):
            self.retired[event.individual].add(event.island)

    def home(self, identity: Identity) -> int:
        """Where an individual was born or moved to last, perhaps in a session with other islands."""
        moves = self.moves[identity]
        return moves[max(moves)] if moves else self.births[identity]

    def places(self, identity: Identity) -> set[int]:
        """The islands that an individual belongs to."""
        places = {self.home(identity)} | self.copies[identity]
        return {place % self.islands for place in places - self.retired[identity]}

    def has_been(self, identity: Identity) -> set[int]:
        """The islands that an individual has ever belonged to."""
        places = {self.births[identity], *self.moves[identity].values(), *self.copies[identity]}
        return {place % self.islands for place in places}

    @property
    def completed(self) -> list[Identity]:
        """The individuals that breed somewhere, unless they have made room everywhere."""
        return [identity for identity in self.losses if identity in self.births]

    def active(self, island: int) -> list[tuple[Identity, float]]:
        """The individuals that breed on an island, the best first."""
        active = [(*self.losses[each], each) for each in self.completed if island in self.places(each)]
        return [(identity, loss) for _, loss, identity in sorted(active)]

    def sent(self, island: int) -> int:
        """The number of individuals of which copies were sent to an island."""
        return sum(island in islands for islands in self.copies.values())

    def gone(self, island: int) -> int:
        """The number of individuals that have made room on an island."""
        return sum(island in islands for islands in self.retired.values())


def check_travels(result: Result, session: Session) -> None:
    """All travels were those that the rules allow, each decided by a worker that lives where the traveller was."""
    islands = session.archipelago
    known = Knowledge(islands.islands)
    for line in result.lines:
        known.learn(decode(line), strict=False)
    for rank, journal in enumerate(result.journals):
        here = islands.island_of(rank)
        for event in map(decode, journal.lines):
            if isinstance(event, Migrated | Pollinated | Retired):
                assert session.migration is not None
                assert here in known.has_been(event.individual), session
            if isinstance(event, Migrated | Pollinated):
                assert session.migration.topology[here][event.island] > 0, session
                assert session.migration.mode == ("move" if isinstance(event, Migrated) else "copy"), session
            if isinstance(event, Pollinated):
                assert known.home(event.individual) % islands.islands != event.island, session
            if isinstance(event, Retired):
                assert event.island % islands.islands == here, session


def check_owners(result: Result, session: Session) -> None:
    """Each travel was decided by one worker alone, which knew where the traveller was."""
    islands = session.archipelago
    before = Knowledge(islands.islands, map(decode, chain.from_iterable(result.before.values())))
    after = Knowledge(islands.islands, result.events)
    moves: dict[Identity, dict[int, tuple[int, int]]] = defaultdict(dict)
    retired: Counter[tuple[Identity, int]] = Counter()
    for rank, journal in enumerate(result.journals):
        for event in map(decode, journal.lines):
            if isinstance(event, Migrated):
                assert event.move not in moves[event.individual], session
                moves[event.individual][event.move] = (islands.island_of(rank), event.island)
            elif isinstance(event, Retired):
                retired[event.individual, event.island] += 1
    assert all(count == 1 for count in retired.values()), session
    for identity, steps in moves.items():
        first = 1 + max(before.moves[identity], default=0)
        assert sorted(steps) == list(range(first, first + len(steps))), session
        home = before.home(identity) if identity in before.births else after.births[identity]
        for number in sorted(steps):
            source, target = steps[number]
            assert source == home % islands.islands, session
            home = target
