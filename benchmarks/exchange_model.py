"""Virtual ranks whose time is simulated, on the Loopback: those of whole searches, and those that only count.

What `benchmarks/exchange.py` runs; see there.
"""

from __future__ import annotations

import heapq
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evo.engine.exchange import neighbours
from evo.testing.loopback import Loopback

POLL = 0.01  # Seconds between two looks for messages, see evo.evaluation.process.
SPREAD = 0.5  # Standard deviation of the logarithm of evaluation times.
NODE = 8  # Ranks.
ON_NODE, OVER_NETWORK = 10e-6, (20e-6, 50e-6)  # Latency, seconds.
ALL_LISTEN, LISTENERS = 256, 64
JOINED = 140  # Records, at most: 32 kB, see evo.runtime.mpi.
COUNTS = struct.Struct("<II")  # Records that a message stands for, and how many of them are Finished.


@dataclass(frozen=True)
class Costs:
    """Seconds of CPU time."""

    post: float = 4e-6  # One message, sent.
    take: float = 5e-6  # One message, received.
    apply: float = 10e-6  # One event, decoded and applied.
    pass_on: float = 0.2e-6  # One event, put on the way to one neighbour.
    breed: float = 200e-6  # One individual.


COSTS = Costs()


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is simulated.

    Args:
        ranks: How many.
        polls: Whether a rank takes in messages while its objective runs.
        seconds: Mean time of an evaluation.
        exchange: "flat", "tree K" or "relay".
        joins: Whether all that a rank sends to another one in one wake is one message.
        generations: Of whole searches.
        seed: Of everything.
    """

    ranks: int
    polls: bool
    seconds: float
    exchange: str
    joins: bool = True
    generations: int = 0
    seed: int = 1

    @property
    def fan_out(self) -> int | None:
        """As for `evo.engine.exchange.neighbours`."""
        return int(self.exchange.split()[1]) if self.exchange.startswith("tree") else None

    @property
    def hops(self) -> int:
        """Of the longest way from rank to rank."""
        if self.fan_out is None:
            return 3 if self.exchange == "relay" else 1
        depth, last = 0, self.ranks - 1
        while last:
            depth, last = depth + 1, (last - 1) // self.fan_out
        return 2 * depth

    def links(self, rank: int) -> Sequence[int]:
        """Whom a rank sends to."""
        if self.exchange != "relay":
            return neighbours(rank, self.ranks, frozenset(), self.fan_out)
        first = rank - rank % NODE
        if rank != first:
            return [first]
        return [
            *range(first + 1, min(first + NODE, self.ranks)),
            *(r for r in range(0, self.ranks, NODE) if r != first),
        ]

    def are_peers(self, rank: int, other: int) -> bool:
        """Whether what one of them has from such as the other one is not for that."""
        return self.fan_out is None and (self.exchange == "flat" or rank % NODE == other % NODE == 0)


class Network(Loopback):
    """The Loopback in simulated seconds: `now` is that of the rank that acts, whose work advances it."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.ranks, np.random.default_rng([case.seed, case.ranks]))
        self.now: float = 0.0
        self.case = case
        self.finishes: list[float] = []  # When an evaluation ended.
        self.looks: list[tuple[float, int]] = []  # When a rank bred, and how many it knew to have ended.
        self.messages = [0] * case.ranks
        self.spent = [0.0] * case.ranks
        # Whether a rank wakes for messages.
        self.listens = [case.polls] * case.ranks
        self._slept = (-POLL * self.rng.random(case.ranks)).tolist()
        self._alarm = [math.inf] * case.ranks
        self._latest = [0.0] * case.ranks  # Arrival of what was sent last to a rank.
        self._heap: list[tuple[float, int]] = []
        self._latency = 0.0
        # Of residual times of evaluations that begin at all times, and in this order each of them about once.
        mu = math.log(case.seconds or 1) - SPREAD**2 / 2
        self._mu = mu
        longer = self.rng.lognormal(mu + SPREAD**2, SPREAD, 200_000) * self.rng.random(200_000)
        even = (self.rng.permutation(case.ranks) + self.rng.random(case.ranks)) / case.ranks
        self.first = np.quantile(longer, even) if case.seconds else even * COSTS.breed

    def duration(self) -> float:
        """How long an evaluation takes."""
        return float(self.rng.lognormal(self._mu, SPREAD)) if self.case.seconds else 0.0

    def arrival(self) -> float:  # type: ignore[override]
        return self.now + self._latency

    def post(self, sender: int, receiver: int, message: bytes) -> None:
        """Send one message, and see to it that its receiver wakes."""
        self.now += COSTS.post
        self.messages[sender] += 1
        near = sender // NODE == receiver // NODE
        self._latency = ON_NODE if near else OVER_NETWORK[0] + (OVER_NETWORK[1] - OVER_NETWORK[0]) * self.rng.random()
        self.endpoints[sender].send(message, [receiver])
        self._latest[receiver] = max(self._latest[receiver], self.arrival())
        if self.listens[receiver]:
            slept = self._slept[receiver]
            self.wake(receiver, slept + POLL * max(1, math.ceil((self.arrival() - slept) / POLL)))

    def wake(self, rank: int, moment: float) -> None:
        """Let a rank act then, if not before."""
        if moment < self._alarm[rank]:
            self._alarm[rank] = moment
            heapq.heappush(self._heap, (moment, rank))

    def advance(self, end: float, actors: Sequence[Any], finishes: float = math.inf) -> None:
        """Let ranks act until some time, or until so many evaluations have ended."""
        while self._heap and self._heap[0][0] <= end and len(self.finishes) < finishes:
            moment, rank = heapq.heappop(self._heap)
            if moment != self._alarm[rank]:
                continue
            self._alarm[rank], self.now = math.inf, moment
            until = actors[rank].act()
            self._slept[rank] = self.now
            # What was under way when it looked.
            missed = self.listens[rank] and self._latest[rank] > moment
            self.wake(rank, max(self.now, min(until, self.now + POLL) if missed else until))
        self.now = min(end, self._heap[0][0]) if self._heap else self.now

    def staleness(self, begin: float, end: float) -> np.ndarray:
        """How many finished individuals each rank that bred in that time did not know."""
        looks = np.array([look for look in self.looks if begin <= look[0] <= end]).reshape(-1, 2)
        return np.searchsorted(np.sort(self.finishes), looks[:, 0], "right") - looks[:, 1]


class CountingRank:
    """A rank of the model: counts instead of a replica."""

    def __init__(self, network: Network, rank: int, listeners: Sequence[int]) -> None:
        self.network, self.rank, self.case = network, rank, network.case
        self.listeners = listeners
        self.is_flat = self.case.exchange == "flat"
        links = () if self.is_flat else self.case.links(rank)
        # What one peer sends is not for the others, which get it from there themselves.
        self.peers = {link: None for link in links if self.case.are_peers(rank, link)}
        self.others = [link for link in links if link not in self.peers]
        self.known = 0
        self.until = float(network.first[rank])
        self._published_then = 0
        network.wake(rank, self.until)

    def act(self) -> float:
        """Take in what has arrived; if the evaluation has ended, begin another one; send. Returns when it will end."""
        network = self.network
        began, has_ended = network.now, network.now >= self.until
        got: dict[int, tuple[int, int]] = {}
        self._take(got)
        if has_ended:
            network.finishes.append(began)
            self.known += 1
            network.now += COSTS.breed
            self._take(got)
            if self.rank in self.listeners:
                network.looks.append((network.now, self.known))
        if not self.is_flat:
            self._send(got, 2 * has_ended, int(has_ended))
        elif has_ended:
            self._send_to_all()
        network.spent[self.rank] += network.now - began - COSTS.breed * has_ended
        if has_ended:
            self.until = network.now + network.duration()
        return self.until

    def _take(self, got: dict[int, tuple[int, int]]) -> None:
        network = self.network
        if self.rank not in self.listeners and not self.case.polls:
            news = len(network.finishes) - self._published_then
            self._published_then += news
            network.now += news * (COSTS.take + 2 * COSTS.apply)
            return
        for sender, message in network.endpoints[self.rank].receive():
            records, finished = COUNTS.unpack(message)
            before = got.get(sender, (0, 0))
            got[sender] = before[0] + records, before[1] + finished
            self.known += finished
            network.now += COSTS.take * -(-records // JOINED) + records * COSTS.apply

    def _send(self, got: dict[int, tuple[int, int]], records: int, finished: int) -> None:
        """To each neighbour, in one message, the own news and those that came from elsewhere."""
        peers = [news for sender, news in got.items() if sender in self.peers]
        others = {sender: news for sender, news in got.items() if sender not in self.peers}
        near = records + sum(news[0] for news in others.values()), finished + sum(news[1] for news in others.values())
        everything = near[0] + sum(news[0] for news in peers), near[1] + sum(news[1] for news in peers)
        for link in self.peers if near[0] else ():
            self._post(link, *near)
        for link in self.others:
            known = others.get(link, (0, 0))
            if everything[0] > known[0]:
                self._post(link, everything[0] - known[0], everything[1] - known[1])

    def _post(self, link: int, records: int, finished: int) -> None:
        more = (records - 1) // JOINED
        self.network.messages[self.rank] += more
        self.network.now += COSTS.pass_on * records + COSTS.post * more
        self.network.post(self.rank, link, COUNTS.pack(records, finished))

    def _send_to_all(self) -> None:
        network, began, others = self.network, self.network.now, self.case.ranks - 1
        for listener in self.listeners:
            if listener != self.rank:
                network.now = began + COSTS.post * (listener - (listener > self.rank))
                network.post(self.rank, listener, COUNTS.pack(2, 1))
                network.messages[self.rank] -= 1
        network.messages[self.rank] += others
        network.now = began + COSTS.post * others

    def look(self, moment: float) -> None:
        """Note what this rank would know if it bred now."""
        boxes = self.network.endpoints[self.rank]._inbox.values()
        waiting = sum(COUNTS.unpack(message)[1] for box in boxes for arrival, message in box if arrival <= moment)
        self.network.looks.append((moment, self.known + waiting))
