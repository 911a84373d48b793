"""Which worker lives where, who stands in for the dead, and where individuals go."""

from __future__ import annotations

import doctest
import itertools
import math
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evo.islands.topology
from evo.islands.archipelago import Archipelago, make_archipelago
from evo.islands.topology import TOPOLOGIES, Topology, make_topology, topology_text

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=8)
NAMES = st.sampled_from(TOPOLOGIES)
SEEDS = st.integers(0, 2**70)


@st.composite
def archipelagos(draw: st.DrawFn) -> Archipelago:
    sizes = draw(SIZES)
    return make_archipelago(sum(sizes), sizes=sizes)


@st.composite
def archipelagos_with_dead(draw: st.DrawFn) -> tuple[Archipelago, set[int]]:
    """Anything from nobody to everybody is dead."""
    archipelago = draw(archipelagos())
    return archipelago, set(draw(st.lists(st.integers(0, archipelago.workers - 1))))


@st.composite
def named_topologies(draw: st.DrawFn, least: int = 1) -> tuple[str, Topology]:
    name, islands = draw(NAMES), draw(st.integers(least, 40))
    degree = draw(st.integers(1, max(1, islands - 1)))
    migrants = draw(st.integers(1, 9))
    return name, make_topology(name, islands, migrants=migrants, degree=degree, seed=draw(SEEDS))


@st.composite
def matrices(draw: st.DrawFn) -> list[list[int]]:
    islands = draw(st.integers(1, 30))
    numbers = draw(st.lists(st.integers(0, 12), min_size=islands**2, max_size=islands**2))
    rows = [numbers[island * islands : (island + 1) * islands] for island in range(islands)]
    return [[0 if source == target else rows[source][target] for target in range(islands)] for source in range(islands)]


def sends_to(topology: Topology) -> list[set[int]]:
    return [{target for target, number in enumerate(row) if number} for row in topology]


def hears_from(topology: Topology) -> list[set[int]]:
    return [{source for source, row in enumerate(topology) if row[island]} for island in range(len(topology))]


def reached_from(island: int, targets: list[set[int]]) -> set[int]:
    reached: set[int] = set()
    ahead = {island}
    while ahead:
        reached |= ahead
        ahead = set().union(*(targets[other] for other in ahead)) - reached
    return reached


# Workers on islands


@pytest.mark.parametrize(
    ("workers", "islands", "sizes"),
    [
        (10, 4, [3, 3, 2, 2]),
        (1, 1, [1]),
        (7, 1, [7]),
        (8, 4, [2, 2, 2, 2]),
        (5, 5, [1, 1, 1, 1, 1]),
        (5, 3, [2, 2, 1]),
    ],
)
def test_islands_are_of_equal_size_and_the_first_ones_take_the_remainder(
    workers: int, islands: int, sizes: list[int]
) -> None:
    archipelago = make_archipelago(workers, islands)
    assert [len(members) for members in archipelago.members] == sizes
    assert archipelago == make_archipelago(workers, sizes=sizes) == make_archipelago(workers, islands, sizes)


def test_islands_may_be_of_any_sizes() -> None:
    assert make_archipelago(6, sizes=(1, 3, 2)).members == ((0,), (1, 2, 3), (4, 5))


def test_there_is_one_island_when_nothing_is_said() -> None:
    assert make_archipelago(3).members == ((0, 1, 2),)


@given(st.integers(1, 200), st.data())
def test_every_worker_lives_on_one_island_of_nearly_equal_ones(workers: int, data: st.DataObject) -> None:
    islands = data.draw(st.integers(1, workers))
    archipelago = make_archipelago(workers, islands)
    sizes = [len(members) for members in archipelago.members]
    assert (archipelago.workers, archipelago.islands) == (workers, islands)
    assert sum(sizes) == workers
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
    assert Counter(itertools.chain(*archipelago.members)) == Counter(range(workers))


@given(SIZES)
def test_islands_have_the_sizes_given_and_know_their_workers(sizes: list[int]) -> None:
    archipelago = make_archipelago(sum(sizes), sizes=sizes)
    assert [len(members) for members in archipelago.members] == sizes
    assert (archipelago.workers, archipelago.islands) == (sum(sizes), len(sizes))
    for worker in range(archipelago.workers):
        homes = [island for island, members in enumerate(archipelago.members) if worker in members]
        assert homes == [archipelago.island_of(worker)]


@pytest.mark.parametrize("members", [(), ((0, 1), ()), ((0, 2), (1, 3)), ((1, 2),), ((0, 1), (1, 2)), ((1,), (0,))])
def test_islands_are_contiguous_runs_of_all_workers(members: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(AssertionError):
        Archipelago(members)


@pytest.mark.parametrize("worker", [-1, 4])
def test_who_is_no_worker_lives_nowhere(worker: int) -> None:
    with pytest.raises(AssertionError, match=f"there is no worker {worker}"):
        make_archipelago(4, 2).island_of(worker)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers is 0: give a whole number of at least 1"),
        ({"workers": 4, "islands": 0}, "islands is 0: give a whole number of at least 1"),
        ({"workers": 4, "islands": 2.0}, "islands is 2.0: give a whole number of at least 1"),
        (
            {"workers": 4, "islands": 5},
            "islands is 5, but there are 4 workers: every island needs a worker of its own, so give at most 4, "
            "or start more workers",
        ),
        (
            {"workers": 1, "islands": 2},
            "islands is 2, but there is 1 worker: every island needs a worker of its own, so give at most 1, "
            "or start more workers",
        ),
        ({"workers": 4, "sizes": [4, 0]}, "island_sizes[1] is 0: give a whole number of at least 1"),
        ({"workers": 4, "sizes": [-1, 5]}, "island_sizes[0] is -1: give a whole number of at least 1"),
        ({"workers": 4, "sizes": [2, 2.0]}, "island_sizes[1] is 2.0: give a whole number of at least 1"),
        ({"workers": 4, "sizes": [True, 3]}, "island_sizes[0] is True: give a whole number of at least 1"),
        ({"workers": 4, "sizes": ["2", 2]}, "island_sizes[0] is '2': give a whole number of at least 1"),
        (
            {"workers": 4, "sizes": []},
            "island_sizes is []: give the number of workers of each island in a list, for example [4, 4, 2]",
        ),
        (
            {"workers": 4, "sizes": "22"},
            "island_sizes is '22': give the number of workers of each island in a list, for example [4, 4, 2]",
        ),
        (
            {"workers": 4, "sizes": 4},
            "island_sizes is 4: give the number of workers of each island in a list, for example [4, 4, 2]",
        ),
        (
            {"workers": 8, "sizes": (4, 3)},
            "island_sizes is [4, 3], which adds up to 7, but there are 8 workers: change the sizes to add up to 8, "
            "or the number of workers to 7",
        ),
        (
            {"workers": 1, "sizes": [1, 1]},
            "island_sizes is [1, 1], which adds up to 2, but there is 1 worker: change the sizes to add up to 1, "
            "or the number of workers to 2",
        ),
        (
            {"workers": 8, "islands": 3, "sizes": [4, 4]},
            "islands is 3, but island_sizes is [4, 4], which makes 2: give one size for each island, "
            "or leave out islands",
        ),
    ],
)
def test_impossible_islands_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_archipelago(**arguments)


# The dead


@pytest.mark.parametrize(
    ("worker", "dead", "successor"),
    [
        (0, {0}, 1),
        (1, {1}, 2),
        (2, {2}, 0),
        (1, {1, 2}, 0),
        (0, {0, 1}, 2),
        (3, {3}, 4),
        (4, {4}, 3),
        (0, {0, 1, 2}, 3),
        (2, {0, 1, 2}, 3),
        (1, {0, 1, 2, 3, 4}, 5),
        (4, {3, 4}, 5),
        (3, {3, 4, 5}, 0),
        (5, {5}, 0),
        (5, {0, 1, 2, 5}, 3),
        (5, {0, 5}, 1),
        (1, {0, 1, 2, 3, 4, 5}, None),
    ],
)
def test_the_next_live_neighbour_inherits_or_else_the_next_island(
    worker: int, dead: set[int], successor: int | None
) -> None:
    assert make_archipelago(6, sizes=[3, 2, 1]).successor(worker, dead) == successor


@given(archipelagos_with_dead())
def test_an_heir_lives_and_on_the_same_island_if_anyone_does(case: tuple[Archipelago, set[int]]) -> None:
    archipelago, dead = case
    alive = set(range(archipelago.workers)) - dead
    for worker in dead:
        successor = archipelago.successor(worker, dead)
        home = archipelago.island_of(worker)
        if successor is None:
            assert not alive
        else:
            assert successor in alive
            assert (archipelago.island_of(successor) == home) == bool(alive & set(archipelago.members[home]))


@given(archipelagos_with_dead())
def test_nobody_on_the_way_to_an_heir_lives(case: tuple[Archipelago, set[int]]) -> None:
    archipelago, dead = case
    for worker in dead:
        successor = archipelago.successor(worker, dead)
        home = archipelago.island_of(worker)
        if successor is None:
            continue
        there = archipelago.island_of(successor)
        if there == home:
            size = len(archipelago.members[home])
            first = archipelago.members[home][0]
            steps = (successor - worker) % size
            assert dead >= {first + (worker - first + step) % size for step in range(steps)}
        else:
            passed = [(home + step) % archipelago.islands for step in range((there - home) % archipelago.islands)]
            assert dead >= {member for island in passed for member in archipelago.members[island]}
            assert dead >= set(range(archipelago.members[there][0], successor))


@given(archipelagos_with_dead())
def test_whose_death_is_not_known_yet_does_not_inherit_from_itself(case: tuple[Archipelago, set[int]]) -> None:
    archipelago, dead = case
    for worker in range(archipelago.workers):
        assert archipelago.successor(worker, dead - {worker}) == archipelago.successor(worker, dead | {worker})


@pytest.mark.parametrize(
    ("identity", "island", "dead", "owner"),
    [
        ((0, 0), 0, set(), 0),
        ((0, 1), 0, set(), 1),
        ((2, 4), 0, set(), 0),
        ((2, 5), 0, set(), 1),
        ((2, 4), 1, set(), 3),
        ((2, 5), 1, set(), 4),
        ((0, 1), 0, {0}, 2),
        ((0, 2), 0, {0}, 1),
        ((0, 2), 0, {3, 4}, 2),
        ((0, 1), 1, {4}, 3),
        ((0, 1), 1, {3, 4}, None),
        ((9, 9), 1, [3], 4),
    ],
)
def test_one_live_member_of_an_island_owns_an_individual(
    identity: tuple[int, int], island: int, dead: set[int], owner: int | None
) -> None:
    assert make_archipelago(5, 2).owner(identity, island, dead) == owner


@given(archipelagos_with_dead(), st.integers(0, 500), st.integers(0, 10_000), st.integers(0, 200))
def test_owners_live_on_the_island_and_own_about_equally_many(
    case: tuple[Archipelago, set[int]], rank: int, generation: int, count: int
) -> None:
    archipelago, dead = case
    by_one_rank = [(rank, generation + step) for step in range(count)]
    by_many_ranks = [(rank + step, generation) for step in range(count)]
    for island, identities in itertools.product(range(archipelago.islands), (by_one_rank, by_many_ranks)):
        alive = set(archipelago.members[island]) - dead
        owned = Counter(archipelago.owner(identity, island, dead) for identity in identities)
        if not alive:
            assert set(owned) <= {None}
        else:
            assert set(owned) <= alive
            shares = [owned[member] for member in alive]
            assert sum(shares) == count
            assert max(shares) - min(shares) <= 1


@given(archipelagos_with_dead(), st.tuples(st.integers(0, 50), st.integers(0, 50)))
def test_what_follows_from_the_dead_does_not_depend_on_how_they_are_listed(
    case: tuple[Archipelago, set[int]], identity: tuple[int, int]
) -> None:
    archipelago, dead = case
    listed = sorted(dead, reverse=True) * 2
    for worker in range(archipelago.workers):
        assert archipelago.successor(worker, listed) == archipelago.successor(worker, frozenset(dead))
    for island in range(archipelago.islands):
        assert archipelago.owner(identity, island, listed) == archipelago.owner(identity, island, frozenset(dead))


@pytest.mark.parametrize("island", [-1, 2])
def test_nobody_owns_anything_on_an_island_that_does_not_exist(island: int) -> None:
    with pytest.raises(AssertionError, match=f"there is no island {island}"):
        make_archipelago(4, 2).owner((0, 0), island, ())


# From island to island


@pytest.mark.parametrize(
    ("name", "islands", "targets"),
    [
        ("full", 2, [{1}, {0}]),
        ("full", 4, [{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}]),
        ("ring", 2, [{1}, {0}]),
        ("ring", 4, [{1}, {2}, {3}, {0}]),
        ("star", 2, [{1}, {0}]),
        ("star", 4, [{1, 2, 3}, {0}, {0}, {0}]),
        ("torus", 2, [{1}, {0}]),
        ("torus", 4, [{1, 2}, {0, 3}, {0, 3}, {1, 2}]),  # 2 x 2: left is right, above is below.
        ("torus", 5, [{1, 4}, {0, 2}, {1, 3}, {2, 4}, {3, 0}]),  # 1 x 5
        ("torus", 6, [{1, 2, 3}, {0, 2, 4}, {0, 1, 5}, {0, 4, 5}, {1, 3, 5}, {2, 3, 4}]),  # 2 x 3
        (
            "torus",  # 3 x 3
            9,
            [
                *({1, 2, 3, 6}, {0, 2, 4, 7}, {0, 1, 5, 8}),
                *({0, 4, 5, 6}, {1, 3, 5, 7}, {2, 3, 4, 8}),
                *({0, 3, 7, 8}, {1, 4, 6, 8}, {2, 5, 6, 7}),
            ],
        ),
    ],
)
def test_a_name_says_who_sends_to_whom(name: str, islands: int, targets: list[set[int]]) -> None:
    topology = make_topology(name, islands, migrants=3)
    assert sends_to(topology) == targets
    assert {number for row in topology for number in row} == {0, 3}


@given(named_topologies())
def test_no_island_sends_to_itself_and_all_numbers_are_pythons_own(case: tuple[str, Topology]) -> None:
    _, topology = case
    assert {type(number) for row in topology for number in row} == {int}
    assert [len(row) for row in topology] == [len(topology)] * len(topology)
    assert not any(topology[island][island] for island in range(len(topology)))


@given(named_topologies())
def test_every_island_reaches_every_other_in_every_named_topology(case: tuple[str, Topology]) -> None:
    _, topology = case
    targets = sends_to(topology)
    for island in range(len(topology)):
        assert reached_from(island, targets) == set(range(len(topology)))


@given(st.integers(2, 40), st.integers(1, 9))
def test_islands_send_to_and_hear_from_as_many_as_the_name_says(islands: int, migrants: int) -> None:
    def degrees(name: str) -> list[tuple[int, int]]:
        topology = make_topology(name, islands, migrants=migrants)
        assert {number for row in topology for number in row} == {0, migrants}
        return [(len(to), len(of)) for to, of in zip(sends_to(topology), hears_from(topology), strict=True)]

    rows = max(rows for rows in range(1, islands) if islands % rows == 0 and rows <= math.sqrt(islands))
    neighbours = min(2, rows - 1) + min(2, islands // rows - 1)
    assert degrees("full") == [(islands - 1, islands - 1)] * islands
    assert degrees("ring") == [(1, 1)] * islands
    assert degrees("star") == [(islands - 1, islands - 1), *[(1, 1)] * (islands - 1)]
    assert degrees("torus") == [(neighbours, neighbours)] * islands


@given(st.integers(2, 40), st.data(), SEEDS)
def test_a_random_topology_has_the_degree_asked_for_and_leaves_nobody_out(
    islands: int, data: st.DataObject, seed: int
) -> None:
    degree = data.draw(st.integers(1, islands - 1))
    topology = make_topology("random", islands, degree=degree, seed=seed)
    assert [len(targets) for targets in sends_to(topology)] == [degree] * islands
    assert all(hears_from(topology))
    assert topology == make_topology("random", islands, degree=degree, seed=seed)


def test_random_topologies_differ_with_the_seed_and_favour_no_edge() -> None:
    drawn = [make_topology("random", 5, degree=2, seed=seed) for seed in range(2000)]
    assert len(set(drawn)) > 100
    share = np.mean(drawn, axis=0)
    assert np.all(np.diag(share) == 0)
    assert share[~np.eye(5, dtype=bool)] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_one_island_sends_nowhere(name: str) -> None:
    assert make_topology(name, 1, migrants=4, degree=9) == ((0,),)


@pytest.mark.parametrize("name", ["full", "ring", "torus", "star"])
def test_only_a_random_topology_has_a_degree_and_a_seed(name: str) -> None:
    assert make_topology(name, 3, degree=99, seed=5) == make_topology(name, 3)


@given(matrices())
def test_a_matrix_stays_as_it_is_whatever_it_is_made_of(matrix: list[list[int]]) -> None:
    islands = len(matrix)
    expected = tuple(map(tuple, matrix))
    array = np.array(matrix)
    equals: list[Any] = [matrix, expected, array, array.astype(np.uint8), list(array), [list(row) for row in array]]
    for topology in equals:
        made = make_topology(topology, islands)
        assert made == expected
        assert {type(number) for row in made for number in row} == {int}
        hash(made)


SHAPE = "give a row and a column for each, "
CHOICE = "give one of full, ring, torus, star, random, or a matrix with a row and a column for each island"
ENTRY = "give a whole number of at least 0, how many individuals go from island 0 to island 1 at a time"


@pytest.mark.parametrize(
    ("topology", "islands", "options", "message"),
    [
        ("rign", 3, {}, f"topology is 'rign': {CHOICE}; did you mean ring?"),
        ("Torus", 1, {}, f"topology is 'Torus': {CHOICE}; did you mean torus?"),
        ("hypercube", 3, {}, f"topology is 'hypercube': {CHOICE}"),
        ("", 3, {}, f"topology is '': {CHOICE}"),
        (None, 3, {}, f"topology is None: {CHOICE}"),
        (7, 3, {}, f"topology is 7: {CHOICE}"),
        ({0: [1]}, 1, {}, f"topology is {{0: [1]}}: {CHOICE}"),
        (np.array(7), 3, {}, f"topology is 7: {CHOICE}"),
        ([0, 1], 2, {}, "topology has the row 0 (row 0, from 0): a row is a list of whole numbers"),
        ([[0, 1], "10"], 2, {}, "topology has the row '10' (row 1, from 0): a row is a list of whole numbers"),
        (np.zeros(2), 2, {}, "topology has the row 0.0 (row 0, from 0): a row is a list of whole numbers"),
        ([[0, 1], [1, 0]], 3, {}, f"topology has the shape 2 x 2, but there are 3 islands: {SHAPE}3 x 3"),
        (np.zeros((2, 3), int), 2, {}, f"topology has the shape 2 x 3, but there are 2 islands: {SHAPE}2 x 2"),
        ([[0, 1], [1]], 2, {}, f"topology has the shape 2 x 1 to 2, but there are 2 islands: {SHAPE}2 x 2"),
        ([[0, 1], [1, 0]], 1, {}, f"topology has the shape 2 x 2, but there is 1 island: {SHAPE}1 x 1"),
        ([], 1, {}, f"topology has the shape 0 x 0, but there is 1 island: {SHAPE}1 x 1"),
        ([[]], 1, {}, f"topology has the shape 1 x 0, but there is 1 island: {SHAPE}1 x 1"),
        ([[0, -1], [1, 0]], 2, {}, f"topology has -1 in row 0, column 1 (from 0): {ENTRY}"),
        ([[0, 1.0], [1, 0]], 2, {}, f"topology has 1.0 in row 0, column 1 (from 0): {ENTRY}"),
        ([[0, True], [1, 0]], 2, {}, f"topology has True in row 0, column 1 (from 0): {ENTRY}"),
        ([[0, "1"], [1, 0]], 2, {}, f"topology has '1' in row 0, column 1 (from 0): {ENTRY}"),
        ([[0, None], [1, 0]], 2, {}, f"topology has None in row 0, column 1 (from 0): {ENTRY}"),
        (np.array([[[0], [1]], [[1], [0]]]), 2, {}, "topology has [0] in row 0, column 0 (from 0): give a whole"),
        (
            [[0, 1], [1, 2]],
            2,
            {},
            "topology has 2 in row 1, column 1 (from 0): nobody goes from an island to itself, "
            "so give 0 on the diagonal",
        ),
        (
            "random",
            4,
            {"degree": 4},
            "degree is 4, but there are 4 islands, and each sends to that many others: give a whole number from 1 to 3",
        ),
        (
            "random",
            4,
            {"degree": 0},
            "degree is 0, but there are 4 islands, and each sends to that many others: give a whole number from 1 to 3",
        ),
        (
            "random",
            4,
            {"degree": 1.0},
            "degree is 1.0, but there are 4 islands, and each sends to that many others: "
            "give a whole number from 1 to 3",
        ),
        ("random", 2, {}, "degree is 2, but there are 2 islands, and each sends to that many others: give 1"),
        ("ring", 3, {"migrants": 0}, "migrants is 0: give a whole number of at least 1"),
        ("ring", 3, {"migrants": 1.5}, "migrants is 1.5: give a whole number of at least 1"),
        ("ring", 0, {}, "islands is 0: give a whole number of at least 1"),
        ("random", 3, {"seed": -1}, "seed is -1: give a whole number of at least 0"),
    ],
)
def test_an_impossible_topology_is_refused(topology: Any, islands: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as refusal:
        make_topology(topology, islands, **options)
    assert str(refusal.value) == message or isinstance(topology, np.ndarray)


# In one line


@pytest.mark.parametrize(
    ("topology", "text"),
    [
        (make_topology("full", 2, migrants=2), "0 -> 1; 1 -> 0 (2 each time)"),
        (make_topology("full", 3), "0 -> 1, 2; 1 -> 0, 2; 2 -> 0, 1 (1 each time)"),
        (make_topology("full", 64, migrants=5), "each -> all others (5 each time)"),
        (make_topology("ring", 5), "0 -> 1; 1 -> 2; 2 -> 3; 3 -> 4; 4 -> 0 (1 each time)"),
        (
            make_topology("ring", 32),
            "0 -> 1; 1 -> 2; 2 -> 3; 3 -> 4; 4 -> 5; 5 -> 6; 6 -> 7; 7 -> 8; 8 -> 9; 9 -> 10; … and 22 more "
            "(1 each time)",
        ),
        (
            make_topology("torus", 16),
            "0 -> 1, 3, 4, 12; 1 -> 0, 2, 5, 13; 2 -> 1, 3, 6, 14; 3 -> 0, 2, 7, 15; … and 12 more (1 each time)",
        ),
        (make_topology("star", 5), "0 -> 1, 2, 3, 4; 1 -> 0; 2 -> 0; 3 -> 0; 4 -> 0 (1 each time)"),
        (
            make_topology("star", 6, migrants=2),
            "0 -> 1, 2, 3, … and 2 more; 1 -> 0; 2 -> 0; 3 -> 0; 4 -> 0; 5 -> 0 (2 each time)",
        ),
        ([[0, 3, 1], [2, 0, 0], [0, 0, 0]], "0 -> 1 ×3, 2 ×1; 1 -> 0 ×2; 2 -> none (each time)"),
        ([[0, 0], [7, 0]], "0 -> none; 1 -> 0 (7 each time)"),
        ([[0, 0], [0, 0]], "no island sends to another"),
        (((0,),), "no island sends to another"),
    ],
)
def test_a_topology_reads_in_one_line(topology: Topology, text: str) -> None:
    assert topology_text(topology) == text


@given(matrices())
def test_a_topology_however_large_fits_in_one_line(matrix: list[list[int]]) -> None:
    text = topology_text(matrix)
    assert len(text) <= 120
    assert text.isprintable()


def test_topologies_of_a_thousand_islands_are_made() -> None:
    for name in TOPOLOGIES:
        topology = make_topology(name, 1000)
        assert len(topology) == 1000
        assert len(topology_text(topology)) <= 120


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(evo.islands.topology).failed == 0
