"""How every event reaches every live worker, even when workers die.

Each worker publishes to its neighbours: all others (flat), or the few next to it in a tree, which pass events on. In
both cases messages keep their order from publisher to reader, since those between two workers do.

Messages on their way may be lost with a dead worker. So a death begins a new membership, named by the set of the dead.
All live workers publish again what they have published in this session, and the successor of a dead worker publishes
what that one had recorded. Replicas are sets, so duplicates do no harm. A message of an older membership is ignored,
because it will be sent again.

The ranks of the transport here are workers, because it connects the first rank of each.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from evo.engine.transport import Traffic, Transport
from evo.errors import CutOff
from evo.population.events import AnyEvent, Done


class Lost(msgspec.Struct, frozen=True, tag=True):
    """What this neighbour sends from now on belongs to the membership in which these workers are dead."""

    dead: list[int]


class Level(msgspec.Struct, frozen=True, tag=True):
    """A worker has published everything again in this membership."""

    worker: int


class ReadyToEnd(msgspec.Struct, frozen=True, tag=True):
    """A worker has received everything, and sends its final report to the first live worker."""

    dead: list[int]
    report: str


class Closed(msgspec.Struct, frozen=True, tag=True):
    """The first live worker has all final reports, so that all may leave."""

    conclusion: str


# Up to so many workers may each send the conclusion to all others.
FEW = 512
# With more, each worker stays for so many turns, about two seconds, once it knows the conclusion. Deaths show sooner.
_STAY = 200

# An event bears the number of its worker if another one sends it: `3 {"type":...}`.
_BRACE = ord("{")

Record: TypeAlias = AnyEvent | Lost | Level | ReadyToEnd | Closed

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def _signed(line: bytes, worker: int) -> bytes:
    return b"%d %b" % (worker, line)


def _unsigned(line: bytes, sender: int) -> tuple[int, bytes]:
    """The worker that a record is of, and the record."""
    if line[0] == _BRACE:
        return sender, line
    worker, _, rest = line.partition(b" ")
    return int(worker), rest


def neighbours(worker: int, workers: int, dead: frozenset[int], fan_out: int | None) -> Sequence[int]:
    """The workers that a worker sends to.

    Args:
        worker: The worker that sends.
        workers: The number of workers.
        dead: The workers that have died.
        fan_out: The largest number of workers below each one in a tree. None means that each sends to all others.

    Example:
        >>> neighbours(1, 8, frozenset(), 2)
        [0, 3, 4]
        >>> neighbours(1, 8, frozenset({0}), 2)
        [2, 3]
    """
    live = [other for other in range(workers) if other not in dead] if dead else range(workers)
    if fan_out is None:
        return [other for other in live if other != worker]
    place = live.index(worker)
    above = [live[(place - 1) // fan_out]] if place else []
    return [*above, *live[fan_out * place + 1 : fan_out * (place + 1) + 1]]


class Exchange:
    """One worker's connection to the search.

    Args:
        transport: The connection to the other workers.
        fan_out: The fan-out of the tree; see `neighbours`.
    """

    def __init__(self, transport: Transport, fan_out: int | None = None) -> None:
        self.worker = transport.rank
        self.workers = transport.size
        # The workers that have died; this set names the membership.
        self.dead: frozenset[int] = frozenset()
        # The conclusion of the search, for all workers.
        self.closed: str | None = None
        self._transport = transport
        self._fan_out = fan_out
        self._neighbours = neighbours(self.worker, self.workers, self.dead, fan_out)
        # The current memberships of the neighbours, as they have announced them.
        self._memberships: dict[int, frozenset[int]] = {}
        self._reports: dict[int, str] = {}
        self._level: set[int] = set()
        self._arrived: deque[tuple[int, bytes]] = deque()
        # By worker: how many of its events in this session are known, and how many have come in this membership. All
        # come again in each, in the same order.
        self.known: dict[int, int] = {}
        self._counts: Counter[int] = Counter()

    @property
    def traffic(self) -> Traffic:
        """The messages that this worker has sent, counted."""
        return self._transport.traffic

    def publish(self, line: bytes, of: int | None = None) -> None:
        """Send an encoded event to all workers soon, or at the next `post`; returns at once.

        Args:
            line: The event. In each membership, those of one worker must be published in the order of its journal.
            of: The worker whose event it is, if that one is dead. None means this worker.
        """
        self._transport.send(line if of is None else _signed(line, of), self._neighbours)

    def know(self, worker: int, count: int) -> None:
        """Note that so many events of a dead worker are known, which were read from its journal."""
        self.known[worker] = max(count, self.known.get(worker, 0))

    def receive(self) -> Iterable[AnyEvent]:
        """The events of other workers that have arrived, up to the end of the current membership.

        Later ones are kept for the next call. `dead` tells afterwards whether the membership has changed.
        """
        before = self.dead
        events: list[AnyEvent] = []
        self._arrived.extend(self._transport.receive())
        while self._arrived and self.dead == before:
            sender, line = self._arrived.popleft()
            of, line = _unsigned(line, sender)
            record = _decode(line)
            if isinstance(record, Lost):
                self._memberships[sender] = frozenset(record.dead)
                self._lose(record.dead)
            elif isinstance(record, ReadyToEnd):
                self._lose(record.dead)
                if self.dead == frozenset(record.dead):
                    self._reports[sender] = record.report
            elif isinstance(record, Closed):
                if self.closed is None:
                    self.close(record.conclusion)
            elif self._memberships.get(sender, frozenset()) == self.dead:
                if self._fan_out is not None:
                    others = [other for other in self._neighbours if other != sender]
                    self._transport.send(_signed(line, of), others)
                if isinstance(record, Level):
                    self._level.add(record.worker)
                else:
                    if not isinstance(record, Done):  # It is not sent again, so it is not counted.
                        self._counts[of] += 1
                        self.known[of] = max(self._counts[of], self.known.get(of, 0))
                    events.append(record)
        if self.dead == before:
            self._lose(self._transport.dead)
        return events

    def post(self) -> None:
        """Send off what was published or passed on."""
        self._transport.post()

    def settle(self) -> None:
        """Wait a short time for what was published to leave."""
        self._transport.settle()

    def wait(self) -> None:
        """Sleep for a moment when there is nothing to do."""
        self._transport.wait()

    def be_level(self) -> None:
        """Announce that this worker has published everything again."""
        self._level.add(self.worker)
        self._send(Level(self.worker), self._neighbours)

    @property
    def is_level(self) -> bool:
        """Whether everything that live workers knew before the last death has arrived."""
        return not self.dead or len(self._level) == self.workers - len(self.dead)

    def be_ready(self, report: str) -> None:
        """Announce that this worker has received everything, with its final report."""
        self._reports[self.worker] = report
        if self.worker != self._first:
            self._send(ReadyToEnd(sorted(self.dead), report), [self._first])

    @property
    def final_reports(self) -> Mapping[int, str] | None:
        """The final reports of all live workers; None before all have arrived, and on all but the first live worker."""
        has_all = len(self._reports) == self.workers - len(self.dead)
        return self._reports if self.is_first and has_all else None

    def close(self, conclusion: str) -> None:
        """Let all workers leave.

        Args:
            conclusion: The conclusion of the search, which they all get.
        """
        self.closed = conclusion
        # Every worker passes the conclusion on, because the first one may have died before it had told all. It does not
        # go along the tree, because workers above may have left when one in between dies. Only among very many workers
        # this would be too much; see `stay`.
        all_others = neighbours(self.worker, self.workers, self.dead, None)
        self._send(Closed(conclusion), all_others if self.is_first or self.workers <= FEW else self._neighbours)

    def stay(self) -> Iterator[None]:
        """Do not leave a large tree at once, because a worker may die before it has passed on the conclusion.

        Yields:
            None, wherever another virtual worker may run.
        """
        if self._fan_out is not None and self.workers > FEW:
            for _ in range(_STAY):
                self.receive()
                self.wait()
                yield

    @property
    def is_first(self) -> bool:
        """Whether this is the first live worker, which speaks for all."""
        return self.worker == self._first

    @property
    def _first(self) -> int:
        return next(worker for worker in range(self.workers) if worker not in self.dead)

    def _lose(self, dead: Iterable[int]) -> None:
        """Begin the next membership if some of these workers were not known to be dead."""
        if self.dead.issuperset(dead):
            return
        self.dead = self.dead.union(dead)
        if self.worker in self.dead:
            raise CutOff(f"the other workers count worker {self.worker} as dead: its connection to them is lost")
        self._reports.clear()
        self._level.clear()
        self._counts.clear()
        self._neighbours = neighbours(self.worker, self.workers, self.dead, self._fan_out)
        self._send(Lost(sorted(self.dead)), self._neighbours)
        if self.closed is not None:  # New neighbours may have depended on the dead for it.
            self._send(Closed(self.closed), self._neighbours)

    def _send(self, record: Record, workers: Sequence[int]) -> None:
        self._transport.send(_encode(record), workers)
