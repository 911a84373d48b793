"""Every event reaches every live rank, flat or along a tree, and a death begins a new epoch."""

from __future__ import annotations

import doctest
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evo.engine.exchange
import evo.testing.loopback
from evo.engine.exchange import Exchange, neighbours
from evo.engine.transport import Passive, Traffic
from evo.errors import CutOff
from evo.population.events import AnyEvent, Done, encode
from evo.testing.loopback import Loopback


def said(rank: int, text: str = "") -> Done:
    """Some event."""
    return Done(time=0.0, rank=rank, reason=text)


class Wire(Passive):
    """A transport whose other end is the test.

    Args:
        rank: This rank.
        size: How many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self.node: Sequence[int] = range(size)
        self.dead: frozenset[int] = frozenset()
        self.traffic = Traffic()
        self.sent: list[tuple[bytes, tuple[int, ...]]] = []
        self._arrived: list[tuple[int, bytes]] = []

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        self.sent.append((message, tuple(ranks)))

    def arrive(self, sender: int, *messages: bytes) -> None:
        """Let messages arrive from a rank."""
        self._arrived += [(sender, message) for message in messages]

    def receive(self) -> list[tuple[int, bytes]]:
        arrived, self._arrived = self._arrived, []
        return arrived

    def gather(self, text: str) -> list[str]:
        raise AssertionError

    def part(self, ranks: Sequence[int]) -> Any:
        raise AssertionError


def lost(*ranks: int) -> bytes:
    """As an exchange announces a membership."""
    return evo.engine.exchange._encode(evo.engine.exchange.Lost(sorted(ranks)))


def ready(dead: Sequence[int], report: str) -> bytes:
    """As an exchange says that its rank is ready."""
    return evo.engine.exchange._encode(evo.engine.exchange.ReadyToEnd(list(dead), report))


@st.composite
def groups(draw: st.DrawFn) -> tuple[int, frozenset[int]]:
    """So many ranks, some of which have died, but not all."""
    size = draw(st.integers(1, 60))
    dead = draw(st.frozensets(st.integers(0, size - 1), max_size=size - 1))
    return size, dead


@given(groups())
def test_flat_every_live_rank_sends_to_all_others(group: tuple[int, frozenset[int]]) -> None:
    size, dead = group
    live = set(range(size)) - dead
    for rank in live:
        found = list(neighbours(rank, size, dead, None))
        assert sorted(found) == sorted(live - {rank})


@given(groups(), st.integers(1, 9))
def test_along_a_tree_what_any_rank_says_reaches_every_live_one_exactly_once(
    group: tuple[int, frozenset[int]], fan_out: int
) -> None:
    size, dead = group
    live = set(range(size)) - dead
    beside = {rank: list(neighbours(rank, size, dead, fan_out)) for rank in live}
    assert max(len(each) for each in beside.values()) <= fan_out + 1
    for origin in (min(live), max(live)):
        reached = [origin]
        passing = deque((other, origin) for other in beside[origin])
        while passing:
            rank, sender = passing.popleft()
            reached.append(rank)
            passing.extend((other, rank) for other in beside[rank] if other != sender)
            assert len(reached) <= size
        assert sorted(reached) == sorted(live)


@given(groups(), st.none() | st.integers(1, 9))
def test_neighbours_are_mutual(group: tuple[int, frozenset[int]], fan_out: int | None) -> None:
    size, dead = group
    live = set(range(size)) - dead
    edges = {(rank, other) for rank in live for other in neighbours(rank, size, dead, fan_out)}
    assert edges == {(other, rank) for rank, other in edges}


@pytest.mark.parametrize(("size", "fan_out", "depth"), [(1000, 2, 9), (1000, 8, 4), (1, 2, 0), (3, 2, 1), (4, 2, 2)])
def test_a_tree_is_as_flat_as_its_fan_out_allows(size: int, fan_out: int, depth: int) -> None:
    steps, rank = 0, size - 1
    while rank:
        rank = neighbours(rank, size, frozenset(), fan_out)[0]
        steps += 1
    assert steps == depth


@pytest.mark.parametrize("fan_out", [None, 1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_what_is_published_arrives_once_everywhere_and_in_its_order(size: int, fan_out: int | None) -> None:
    network = Loopback(size, np.random.default_rng(size), max_delay=7)
    exchanges = [Exchange(endpoint, fan_out) for endpoint in network.endpoints]
    arrived: list[list[AnyEvent]] = [[] for _ in exchanges]
    for network.now in range(40 * size):
        for rank, exchange in enumerate(exchanges):
            if network.now < 10:
                exchange.publish(encode(said(rank, str(network.now))))
            arrived[rank] += exchange.receive()
    for rank, events in enumerate(arrived):
        for other in range(size):
            expected = [] if other == rank else [said(other, str(number)) for number in range(10)]
            assert [event for event in events if isinstance(event, Done) and event.rank == other] == expected


def test_a_rank_of_a_tree_passes_on_what_it_gets_to_its_other_neighbours() -> None:
    wire = Wire(1, 8)
    exchange = Exchange(wire, fan_out=2)
    wire.arrive(3, encode(said(3)))
    wire.arrive(0, encode(said(5)))
    assert list(exchange.receive()) == [said(3), said(5)]
    exchange.publish(encode(said(1)))
    assert wire.sent == [
        (b"3 " + encode(said(3)), (0, 4)),
        (b"0 " + encode(said(5)), (3, 4)),
        (encode(said(1)), (0, 3, 4)),
    ]


def test_a_rank_that_hears_from_all_passes_nothing_on() -> None:
    wire = Wire(1, 4)
    exchange = Exchange(wire)
    wire.arrive(0, encode(said(0)))
    assert list(exchange.receive()) == [said(0)]
    assert not wire.sent


@pytest.mark.parametrize("fan_out", [None, 2])
def test_whoever_learns_of_a_death_first_tells_its_new_neighbours(fan_out: int | None) -> None:
    wire = Wire(1, 8)
    exchange = Exchange(wire, fan_out)
    wire.dead = frozenset({0})
    assert list(exchange.receive()) == []
    assert exchange.dead == {0}
    others = (2, 3, 4, 5, 6, 7) if fan_out is None else (2, 3)
    assert wire.sent == [(lost(0), others)]
    exchange.publish(encode(said(1)))
    assert wire.sent[1:] == [(encode(said(1)), others)]


def test_what_follows_an_epoch_waits_until_this_rank_has_published_again() -> None:
    wire = Wire(1, 4)
    exchange = Exchange(wire)
    wire.arrive(2, encode(said(2, "before")), lost(0), encode(said(2, "after")))
    assert list(exchange.receive()) == [said(2, "before")]
    assert exchange.dead == {0}
    assert list(exchange.receive()) == [said(2, "after")]


def test_what_was_sent_in_another_epoch_is_passed_over() -> None:
    wire = Wire(1, 5)
    exchange = Exchange(wire, fan_out=1)
    wire.arrive(2, lost(4))
    assert list(exchange.receive()) == []
    wire.sent.clear()
    wire.arrive(0, encode(said(0, "of the first epoch")))
    wire.arrive(2, encode(said(2, "of this one")))
    assert list(exchange.receive()) == [said(2, "of this one")]
    wire.arrive(0, lost(4), encode(said(0, "of this one")))
    assert list(exchange.receive()) == [said(0, "of this one")]
    sent = [(b"2 " + encode(said(2, "of this one")), (0,)), (b"0 " + encode(said(0, "of this one")), (2,))]
    assert wire.sent == sent


def test_ranks_that_have_noticed_different_deaths_meet_in_the_epoch_of_both() -> None:
    wire = Wire(1, 5)
    exchange = Exchange(wire)
    wire.dead = frozenset({0})
    assert list(exchange.receive()) == []
    wire.arrive(2, lost(4), encode(said(2, "not knowing of 0")))
    assert list(exchange.receive()) == []
    assert exchange.dead == {0, 4}
    assert list(exchange.receive()) == []  # It will come again.
    wire.arrive(2, lost(0, 4), encode(said(2, "knowing of both")))
    assert list(exchange.receive()) == [said(2, "knowing of both")]
    assert [message for message, _ in wire.sent] == [lost(0), lost(0, 4)]


def test_an_epoch_is_not_begun_twice() -> None:
    wire = Wire(1, 5)
    exchange = Exchange(wire)
    wire.dead = frozenset({0, 4})
    assert list(exchange.receive()) == []
    wire.arrive(2, lost(4), lost(0), lost(0, 4))
    assert list(exchange.receive()) == []
    assert [message for message, _ in wire.sent] == [lost(0, 4)]


def test_a_rank_that_is_taken_for_dead_is_told_so() -> None:
    wire = Wire(1, 3)
    exchange = Exchange(wire)
    wire.arrive(2, lost(1))
    with pytest.raises(CutOff, match="the other workers count worker 1 as dead"):
        exchange.receive()


def test_all_ranks_say_that_they_are_ready_to_the_first_live_one() -> None:
    wire = Wire(2, 4)
    exchange = Exchange(wire)
    exchange.be_ready("two")
    assert wire.sent == [(ready([], "two"), (0,))]
    assert not exchange.is_first
    assert exchange.final_reports is None
    wire.dead = frozenset({0, 1})
    exchange.receive()
    assert exchange.is_first
    exchange.be_ready("two")
    assert exchange.final_reports is None
    wire.arrive(3, ready([0, 1], "three"))
    exchange.receive()
    assert exchange.final_reports == {2: "two", 3: "three"}
    assert ready([0, 1], "two") not in [message for message, _ in wire.sent]


def test_who_was_ready_before_a_death_must_be_so_again() -> None:
    wire = Wire(0, 4)
    exchange = Exchange(wire)
    exchange.be_ready("zero")
    wire.arrive(1, ready([], "one"))
    wire.arrive(2, ready([], "two"))
    exchange.receive()
    wire.arrive(3, lost(1))
    exchange.receive()
    assert exchange.final_reports is None
    exchange.be_ready("zero")
    wire.arrive(2, ready([], "two, before it knew"))
    wire.arrive(3, ready([1], "three"))
    exchange.receive()
    assert exchange.final_reports is None
    wire.arrive(2, ready([1], "two"))
    exchange.receive()
    assert exchange.final_reports == {0: "zero", 2: "two", 3: "three"}


def test_who_is_ready_tells_of_deaths_as_well() -> None:
    wire = Wire(0, 3)
    exchange = Exchange(wire, fan_out=2)
    wire.arrive(1, ready([2], "one"))
    exchange.receive()
    assert exchange.dead == {2}
    exchange.be_ready("zero")
    assert exchange.final_reports == {0: "zero", 1: "one"}


@pytest.mark.parametrize("fan_out", [None, 2])
@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_all_ranks_learn_how_the_search_was_concluded(size: int, fan_out: int | None) -> None:
    network = Loopback(size, np.random.default_rng(size), max_delay=7)
    exchanges = [Exchange(endpoint, fan_out) for endpoint in network.endpoints]
    for rank, exchange in enumerate(exchanges):
        exchange.be_ready(str(rank))
    for network.now in range(200):
        for exchange in exchanges:
            assert list(exchange.receive()) == []
            if exchange.final_reports is not None and exchange.closed is None:
                exchange.close(",".join(exchange.final_reports[rank] for rank in range(size)))
    assert {exchange.closed for exchange in exchanges} == {",".join(map(str, range(size)))}


def test_traffic_is_counted_where_it_leaves() -> None:
    network = Loopback(4, np.random.default_rng(0), max_delay=0)
    exchange = Exchange(network.endpoints[0])
    exchange.publish(encode(said(0)))
    assert exchange.traffic == Traffic(messages=3, bytes=3 * len(encode(said(0))))


@pytest.mark.parametrize("module", [evo.engine.exchange, evo.testing.loopback])
def test_the_examples_in_the_docstrings_run(module: Any) -> None:
    failed, tried = doctest.testmod(module, extraglobs={"np": np})
    assert tried > 0
    assert failed == 0
