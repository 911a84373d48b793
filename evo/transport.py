"""How ranks reach each other: the protocol, one rank alone, and many virtual ranks in one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class SharedError(ValueError):
    """An error of the user that every rank knows of: to be shown by one of them."""


class Transport(Protocol):
    """What a rank needs of a network. Messages between two ranks arrive in the order in which they were sent.

    Args:
        rank: This rank, from 0.
        size: How many ranks there are.
        node: The ranks on this machine, this one included, in order.
    """

    rank: int
    size: int
    node: Sequence[int]

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        """Send one record to some ranks; returns at once, whatever they do."""

    def receive(self) -> list[bytes]:
        """All records that have arrived."""

    def settle(self) -> None:
        """Wait until what was sent has left, but not long."""

    def wait(self) -> None:
        """Sleep a moment while nothing is to be done; never spins."""

    def gather(self, text: str) -> list[str]:
        """What every rank says, by rank. All ranks must call it, and wait for the last one: not for use in a search."""

    def close(self) -> None:
        """End the connection once all that was sent has left. All ranks must call it."""


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


class Serial:
    """One rank alone."""

    rank = 0
    size = 1
    node: Sequence[int] = (0,)

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        assert not ranks, "a rank alone has nobody to send to"

    def receive(self) -> list[bytes]:
        return []

    def settle(self) -> None:
        pass

    def wait(self) -> None:
        pass

    def gather(self, text: str) -> list[str]:
        return [text]

    def close(self) -> None:
        pass


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
        [b'hello']
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


class LoopbackEndpoint:
    """One virtual rank's connection; see `Loopback`."""

    def __init__(self, network: Loopback, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self.node: Sequence[int] = range(size)
        self._network = network
        # From each rank, in order: when a message arrives, and the message.
        self._inbox: list[deque[tuple[int, bytes]]] = [deque() for _ in range(size)]

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        network = self._network
        for rank in ranks:
            inbox = network.endpoints[rank]._inbox[self.rank]
            for _ in range(1 + int(network.rng.random() < network.duplicates)):
                arrival = network.now + int(network.rng.integers(network.max_delay + 1))
                # Not before what was sent earlier on the same way.
                inbox.append((max(arrival, inbox[-1][0]) if inbox else arrival, message))

    def receive(self) -> list[bytes]:
        arrived = []
        for inbox in self._inbox:
            while inbox and inbox[0][0] <= self._network.now:
                arrived.append(inbox.popleft()[1])
        return arrived

    def settle(self) -> None:
        pass

    def wait(self) -> None:
        pass

    def gather(self, text: str) -> list[str]:
        raise AssertionError("virtual ranks run one after another and cannot meet")

    def close(self) -> None:
        pass
