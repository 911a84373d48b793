"""How ranks reach each other: the protocol, one rank alone, and many virtual ranks in one process."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class Shared(BaseException):
    """What every rank raises at the same place: uncaught, it is shown by one of them, in one line, and ends all.

    Attributes:
        status: Exit status of all ranks.
    """

    status = 1


class SharedError(ValueError, Shared):
    """An error of the user that every rank knows of."""

    status = 2


class CutOff(RuntimeError):
    """This rank cannot take part any more, but the others can go on without it."""


class Stuck(RuntimeError):
    """The search cannot go on, on any rank; the message is for the user.

    Attributes:
        status: Exit status of all ranks.
    """

    status = 1


@dataclass
class Traffic:
    """What a rank has sent.

    Args:
        messages: How many; several records may share one.
        bytes: Of all of them.
    """

    messages: int = 0
    bytes: int = 0


class Transport(Protocol):
    """What a rank needs of a network. Messages between two ranks arrive in the order in which they were sent.

    Args:
        rank: This rank, from 0.
        size: How many ranks there are.
        node: The ranks on this machine, this one included, in order.
        local: This rank's place among all ranks of the job on this machine, also those that take no part; and how many
            these are.
        dead: The ranks that are known to have died; only grows.
        traffic: What this rank has sent.
    """

    rank: int
    size: int
    node: Sequence[int]
    local: tuple[int, int]
    dead: frozenset[int]
    traffic: Traffic

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        """Send one record to some ranks, soon, or with `post` now; returns at once, whatever they do."""

    def post(self) -> None:
        """Let go what was sent; until then it may be held back, to be joined with more."""

    def receive(self) -> list[tuple[int, bytes]]:
        """All records that have arrived, each with the rank that sent it."""

    def attend(self) -> None:
        """From now on send and receive in the background too, while this rank computes, until it closes."""

    def settle(self) -> None:
        """Wait until what was sent has left, but not long."""

    def wait(self) -> None:
        """Sleep a moment while nothing is to be done; never spins."""

    def gather(self, text: str) -> list[str]:
        """What every rank says, by rank. All ranks must call it, and wait for the last one: not for use in a search."""

    def part(self, ranks: Sequence[int]) -> Transport:
        """A connection of some ranks only, numbered from 0 in their order. All of these must call it.

        Args:
            ranks: In ascending order; this one is among them.
        """

    def close(self) -> None:
        """End the connection once all that was sent has left. All live ranks must call it."""


def together(transport: Transport, act: Callable[[], T]) -> T:
    """Do something on all ranks that the user's input may make fail; all go on, or none does.

    Args:
        transport: To the other ranks, which must call this too.
        act: What to do.

    Returns:
        What `act` returned here.

    Raises:
        SharedError: Some rank raised a `ValueError`; everywhere with the message of the lowest such rank.
    """
    result, problem = None, ""
    try:
        result = act()
    except ValueError as error:
        problem = str(error) or type(error).__name__
    problems = [text for text in transport.gather(problem) if text]
    if problems:
        raise SharedError(problems[0])
    return result  # type: ignore[return-value]


class Passive:
    """The part of a transport that has nothing to do where messages move by themselves."""

    def post(self) -> None:
        """Nothing is held back."""

    def attend(self) -> None:
        """Nothing is left to do while this rank computes."""

    def settle(self) -> None:
        """Nothing has yet to leave."""

    def wait(self) -> None:
        """Nothing is to be waited for."""

    def close(self) -> None:
        """Nothing is open."""


class Serial(Passive):
    """One rank alone."""

    rank = 0
    size = 1
    node: Sequence[int] = (0,)
    local = (0, 1)
    dead: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.traffic = Traffic()

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        assert not ranks, "a rank alone has nobody to send to"

    def receive(self) -> list[tuple[int, bytes]]:
        return []

    def gather(self, text: str) -> list[str]:
        return [text]

    def part(self, ranks: Sequence[int]) -> Serial:
        return Serial()


class Loopback:
    """A network of virtual ranks in one process, whose schedule depends on nothing but a generator.

    Args:
        size: How many ranks.
        rng: Decides which rank runs next, and how long each message is under way.
        max_delay: Longest time under way, in steps of any rank.
        duplicates: Probability that a message arrives twice.

    Example:
        >>> network = Loopback(2, np.random.default_rng(0), max_delay=0)
        >>> network.endpoints[0].send(b"hello", [1])
        >>> network.endpoints[1].receive()
        [(0, b'hello')]
    """

    def __init__(self, size: int, rng: np.random.Generator, max_delay: int = 20, duplicates: float = 0.0) -> None:
        self.rng = rng
        self.max_delay = max_delay
        self.duplicates = duplicates
        self.now = 0
        self.endpoints = [LoopbackEndpoint(self, rank, size) for rank in range(size)]

    def run(self, searches: Sequence[Iterator[None]]) -> None:
        """Advance searches, one step of a randomly chosen one at a time, until all have ended.

        Args:
            searches: One per rank; each yields where another rank may run.
        """
        alive = list(searches)
        while alive:
            chosen = int(self.rng.integers(len(alive)))
            self.now += 1
            try:
                next(alive[chosen])
            except StopIteration:
                del alive[chosen]

    def kill(self, rank: int) -> None:
        """Let a rank die: each other one gets some of what was under way from it, and notices sooner or later."""
        for endpoint in self.endpoints:
            endpoint.lose(rank)

    def arrival(self) -> int:
        """When something that is sent now arrives."""
        return self.now + int(self.rng.integers(self.max_delay + 1))


class LoopbackEndpoint(Passive):
    """One virtual rank's connection; see `Loopback`."""

    def __init__(self, network: Loopback, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self.node: Sequence[int] = range(size)
        self.local = (rank, size)
        self.traffic = Traffic()
        self._network = network
        # From each rank, in order: when a message arrives, and the message.
        self._inbox: dict[int, deque[tuple[int, bytes]]] = defaultdict(deque)
        # When this rank notices the death of others.
        self._deaths: dict[int, int] = {}

    @property
    def dead(self) -> frozenset[int]:
        return frozenset(rank for rank, moment in self._deaths.items() if moment <= self._network.now)

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        network = self._network
        for rank in ranks:
            self.traffic.messages += 1
            self.traffic.bytes += len(message)
            inbox = network.endpoints[rank]._inbox[self.rank]
            for _ in range(1 + int(network.rng.random() < network.duplicates)):
                arrival = network.arrival()
                # Not before what was sent earlier on the same way.
                inbox.append((max(arrival, inbox[-1][0]) if inbox else arrival, message))

    def receive(self) -> list[tuple[int, bytes]]:
        arrived = []
        for sender, inbox in self._inbox.items():
            while inbox and inbox[0][0] <= self._network.now:
                arrived.append((sender, inbox.popleft()[1]))
        return arrived

    def lose(self, rank: int) -> None:
        """Another rank has died."""
        inbox = self._inbox[rank]
        for _ in range(int(self._network.rng.integers(len(inbox) + 1))):
            inbox.pop()
        self._deaths[rank] = self._network.arrival()

    def gather(self, text: str) -> list[str]:
        raise AssertionError("virtual ranks run one after another and cannot meet")

    def part(self, ranks: Sequence[int]) -> Transport:
        raise AssertionError("virtual ranks form one group")
