"""Many virtual ranks in one process, for tests; a random generator decides their schedule."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

import numpy as np

from evo.engine.transport import Passive, Traffic, Transport


class Loopback:
    """A network of virtual ranks in one process; its schedule depends on a generator only.

    Args:
        size: The number of ranks.
        rng: Decides which rank runs next, and the delay of each message.
        max_delay: The longest delay of a message, counted in steps of all ranks.
        duplicates: The probability that a message arrives twice.

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
            searches: One search per rank; each yields wherever another rank may run.
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
        """Let a rank die: each other rank gets some of its last messages, and notices the death after a random time."""
        for endpoint in self.endpoints:
            endpoint.lose(rank)

    def arrival(self) -> int:
        """The time at which a message that is sent now arrives."""
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
        # The messages from each rank in order, each with the time of its arrival.
        self._inbox: dict[int, deque[tuple[int, bytes]]] = defaultdict(deque)
        # The times at which this rank notices the deaths of others.
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
                # No message arrives before an earlier one from the same rank.
                inbox.append((max(arrival, inbox[-1][0]) if inbox else arrival, message))

    def receive(self) -> list[tuple[int, bytes]]:
        arrived = []
        for sender, inbox in self._inbox.items():
            while inbox and inbox[0][0] <= self._network.now:
                arrived.append((sender, inbox.popleft()[1]))
        return arrived

    def lose(self, rank: int) -> None:
        """Lose some of the last messages of a rank that has died."""
        inbox = self._inbox[rank]
        for _ in range(int(self._network.rng.integers(len(inbox) + 1))):
            inbox.pop()
        self._deaths[rank] = self._network.arrival()

    def gather(self, text: str) -> list[str]:
        raise AssertionError("virtual ranks run one after another and cannot meet")

    def part(self, ranks: Sequence[int]) -> Transport:
        raise AssertionError("virtual ranks form one group")
