"""Many virtual ranks in one process, whose schedule a generator decides: for tests."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

import numpy as np

from evo.engine.transport import Passive, Traffic, Transport


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
