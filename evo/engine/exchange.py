"""How every event reaches every live rank, also when ranks die.

Each rank publishes to its neighbours: all others (flat), or the few beside it in a tree, which pass on what they get.
Either way messages keep their order from publisher to reader, since those between two ranks do.

A death may take with it what was under way. So it begins a new epoch, known by the set of the dead: all live ranks
publish again what they have published in this session, and the heir of the dead what these had recorded. Replicas are
sets, so what arrives twice does no harm. A message of an older epoch is passed over, because it will come again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from evo.engine.transport import Traffic, Transport
from evo.errors import CutOff
from evo.population.events import AnyEvent


class Lost(msgspec.Struct, frozen=True, tag=True):
    """What follows from this neighbour is of the epoch in which these ranks are dead."""

    ranks: list[int]


class Level(msgspec.Struct, frozen=True, tag=True):
    """A rank has published again, in this epoch, all that it had."""

    rank: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A rank has everything, and says its last words to the first live one."""

    dead: list[int]
    words: str


class Closed(msgspec.Struct, frozen=True, tag=True):
    """The first live rank has everybody's last words: all may leave."""

    words: str


# So many ranks may each send to all others, once.
FEW = 512
# Of more ranks each stays for so many moments, about two seconds, when it knows the conclusion. Deaths show sooner.
_STAY = 200

Record: TypeAlias = AnyEvent | Lost | Level | Ready | Closed

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def neighbours(rank: int, size: int, dead: frozenset[int], fan_out: int | None) -> Sequence[int]:
    """The ranks that a rank sends to.

    Args:
        rank: Which.
        size: How many there are.
        dead: Those that have died.
        fan_out: None: all others. Else the ranks form a tree in which each has at most so many below it.

    Example:
        >>> neighbours(1, 8, frozenset(), 2)
        [0, 3, 4]
        >>> neighbours(1, 8, frozenset({0}), 2)
        [2, 3]
    """
    live = [other for other in range(size) if other not in dead] if dead else range(size)
    if fan_out is None:
        return [other for other in live if other != rank]
    place = live.index(rank)
    above = [live[(place - 1) // fan_out]] if place else []
    return [*above, *live[fan_out * place + 1 : fan_out * (place + 1) + 1]]


class Exchange:
    """One rank's connection to the search.

    Args:
        transport: To the other ranks.
        fan_out: See `neighbours`.
    """

    def __init__(self, transport: Transport, fan_out: int | None = None) -> None:
        self.rank = transport.rank
        self.size = transport.size
        # The ranks that have died; names the epoch.
        self.dead: frozenset[int] = frozenset()
        # The last words of the search, for all ranks.
        self.closed: str | None = None
        self._transport = transport
        self._fan_out = fan_out
        self._neighbours = neighbours(self.rank, self.size, self.dead, fan_out)
        # The epochs that others are in, as they have announced.
        self._epochs: dict[int, frozenset[int]] = {}
        self._ready: dict[int, str] = {}
        self._level: set[int] = set()
        self._arrived: deque[tuple[int, bytes]] = deque()

    @property
    def traffic(self) -> Traffic:
        """What this rank has sent."""
        return self._transport.traffic

    def publish(self, line: bytes) -> None:
        """Send an encoded event to all, soon, or with `post` now; returns at once."""
        self._transport.send(line, self._neighbours)

    def receive(self) -> Iterable[AnyEvent]:
        """The events of other ranks that have arrived, up to the end of an epoch: look at `dead` afterwards.

        What has come after that is kept for the next call.
        """
        epoch = self.dead
        events: list[AnyEvent] = []
        self._arrived.extend(self._transport.receive())
        while self._arrived and self.dead == epoch:
            sender, line = self._arrived.popleft()
            record = _decode(line)
            if isinstance(record, Lost):
                self._epochs[sender] = frozenset(record.ranks)
                self._begin_epoch(record.ranks)
            elif isinstance(record, Ready):
                self._begin_epoch(record.dead)
                if self.dead == frozenset(record.dead):
                    self._ready[sender] = record.words
            elif isinstance(record, Closed):
                if self.closed is None:
                    self.close(record.words)
            elif self._epochs.get(sender, frozenset()) == self.dead:
                if self._fan_out is not None:
                    self._transport.send(line, [other for other in self._neighbours if other != sender])
                if isinstance(record, Level):
                    self._level.add(record.rank)
                else:
                    events.append(record)
        if self.dead == epoch:
            self._begin_epoch(self._transport.dead)
        return events

    def post(self) -> None:
        """Let go what was published, or is to be passed on."""
        self._transport.post()

    def settle(self) -> None:
        """Wait until what was published has left, but not long."""
        self._transport.settle()

    def wait(self) -> None:
        """Sleep a moment while nothing is to be done."""
        self._transport.wait()

    def be_level(self) -> None:
        """Say that this rank has published again all that it had."""
        self._level.add(self.rank)
        self._send(Level(self.rank), self._neighbours)

    @property
    def is_level(self) -> bool:
        """Whether nothing that a live rank knew before the last death is still to arrive."""
        return not self.dead or len(self._level) == self.size - len(self.dead)

    def be_ready(self, words: str) -> None:
        """Say that this rank has everything, and its last words."""
        self._ready[self.rank] = words
        if self.rank != self._first:
            self._send(Ready(sorted(self.dead), words), [self._first])

    @property
    def all_ready(self) -> Mapping[int, str] | None:
        """The last words of all live ranks, for the first of them to close the search; None before, and for others."""
        return self._ready if self.rank == self._first and len(self._ready) == self.size - len(self.dead) else None

    def close(self, words: str) -> None:
        """Let all ranks leave.

        Args:
            words: What they learn.
        """
        self.closed = words
        # Everyone passes it on, for the first one may have died before it had told all; and not along the tree, for
        # those above may have left when one in between dies. Only among very many would that be too much: see `stay`.
        all_others = neighbours(self.rank, self.size, self.dead, None)
        self._send(Closed(words), all_others if self.is_first or self.size <= FEW else self._neighbours)

    def stay(self) -> Iterator[None]:
        """Of very many along a tree, do not leave at once: one may die that has not passed on the conclusion.

        Yields:
            Where another virtual rank may run.
        """
        if self._fan_out is not None and self.size > FEW:
            for _ in range(_STAY):
                self.receive()
                self.wait()
                yield

    @property
    def is_first(self) -> bool:
        """Whether this is the first live rank, which speaks for all."""
        return self.rank == self._first

    @property
    def _first(self) -> int:
        return next(rank for rank in range(self.size) if rank not in self.dead)

    def _begin_epoch(self, dead: Iterable[int]) -> None:
        if self.dead.issuperset(dead):
            return
        self.dead = self.dead.union(dead)
        if self.rank in self.dead:
            raise CutOff(f"the other ranks take rank {self.rank} for dead, and its connection to them for lost")
        self._ready.clear()
        self._level.clear()
        self._neighbours = neighbours(self.rank, self.size, self.dead, self._fan_out)
        self._send(Lost(sorted(self.dead)), self._neighbours)
        if self.closed is not None:  # Those who are neighbours now may have had it from the dead.
            self._send(Closed(self.closed), self._neighbours)

    def _send(self, record: Record, ranks: Sequence[int]) -> None:
        self._transport.send(_encode(record), ranks)
