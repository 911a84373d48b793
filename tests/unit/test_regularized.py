"""Regularised evolution: who breeds, who has become too old, and what a mutation changes."""

from __future__ import annotations

from collections import Counter
from itertools import islice, permutations
from typing import Any

import numpy as np
import pytest

from evo.algorithms.base import Setup, View
from evo.algorithms.regularized import RegularizedEvolution, _State
from evo.errors import UserError
from evo.population.individual import Known
from evo.space.limits import Choice, Float, Int
from evo.space.space import Space

LINE = Space({"x": (0.0, 1.0)})


def started(algorithm: RegularizedEvolution, space: Space = LINE, workers: int = 1) -> _State:
    state = algorithm.start(Setup(space=space, workers=workers))
    assert isinstance(state, _State)
    return state


def born(birth: int | None, loss: float, gene: float = 0.5, number: int | None = None) -> Known:
    strategy = {} if birth is None else {"birth": birth}
    identity = (0, number if number is not None else birth or 0)
    return Known(genome=np.array([gene]), identity=identity, loss=loss, status="completed", strategy=strategy)


def losses(state: _State) -> list[float]:
    return [one.loss for one in state.population]


def test_the_oldest_leaves_even_if_it_is_the_best() -> None:
    state = started(RegularizedEvolution(population=3))
    for birth, loss in enumerate([0.0, 5.0, 4.0, 9.0]):
        state.learn(born(birth, loss), loss)
    assert losses(state) == [5.0, 4.0, 9.0]


def test_age_counts_by_birth_in_whatever_order_individuals_arrive() -> None:
    given = [born(birth, float(birth)) for birth in range(5)]
    populations = set()
    for order in permutations(given):
        state = started(RegularizedEvolution(population=3))
        for one in order:
            state.learn(one, one.loss)
        populations.add(tuple(losses(state)))
    assert populations == {(2.0, 3.0, 4.0)}


def test_one_of_somebody_else_is_as_young_as_the_youngest() -> None:
    state = started(RegularizedEvolution(population=2))
    state.learn(born(7, 1.0), 1.0)
    state.learn(born(None, 2.0, number=1), 2.0)
    state.learn(born(6, 3.0), 3.0)
    assert losses(state) == [2.0, 1.0]


def test_those_that_failed_do_not_breed() -> None:
    state = started(RegularizedEvolution(population=3))
    state.learn(born(0, 1.0), None)
    assert not state.population


def test_the_best_of_a_sample_is_the_parent() -> None:
    state = started(RegularizedEvolution(population=4, sample=2))
    for birth in range(4):
        state.learn(born(birth, float(birth)), float(birth))
    bred = islice(state.propose(View(used=9), np.random.default_rng(0)), 4000)
    parents = Counter(one.parents[0][1] for one in bred if one.parents)
    # Of two draws with replacement from four, the better one is the k-th best with probability (7 - 2 k) / 16.
    assert [parents[birth] / 4000 for birth in range(4)] == pytest.approx([7 / 16, 5 / 16, 3 / 16, 1 / 16], abs=0.03)


def test_the_first_population_is_random_and_all_workers_draw_it_together() -> None:
    state = started(RegularizedEvolution(population=4))
    for birth in range(2):
        state.learn(born(birth, 1.0), 1.0)
    running = [born(birth, 0.0) for birth in (2, 3)]
    assert next(state.propose(View(running=running[:1]), np.random.default_rng(0))).parents == ()
    assert next(state.propose(View(running=running), np.random.default_rng(0))).parents != ()


def test_the_population_is_large_beside_the_number_of_workers() -> None:
    assert started(RegularizedEvolution(), workers=64).size == 192
    assert started(RegularizedEvolution(), workers=1).size == 20


def test_a_mutation_changes_one_gene_that_exists() -> None:
    space = Space(
        {
            "x": (0.0, 1.0),
            "n": Int(1, 9),
            "size": (8, 16, 32),
            "kind": Choice("a", "b", "c"),
            "y": Float(0.0, 1.0, when={"kind": "c"}),
        }
    )
    state = started(RegularizedEvolution(population=2), space)
    parent = space.encode({"x": 0.5, "n": 9, "size": 8, "kind": "a"})
    for number in range(2):
        state.learn(Known(genome=parent, identity=(0, number), loss=1.0, status="completed"), 1.0)
    changed = Counter[int]()
    kinds = set()
    for bred in islice(state.propose(View(), np.random.default_rng(0)), 1000):
        differs = ~((bred.genome == parent) | (np.isnan(bred.genome) & np.isnan(parent)))
        assert differs.sum() == 1
        assert 0.0 <= bred.genome[0] <= 1.0
        assert space.decode(space.encode(space.complete(bred.genome, np.random.default_rng(0)))) != space.decode(parent)
        changed[int(np.flatnonzero(differs)[0])] += 1
        kinds.add(float(bred.genome[3]))
    assert set(changed) == {0, 1, 2, 3}
    assert min(changed.values()) > 200
    assert kinds == {0.0, 1.0, 2.0}


def test_steps_of_numbers_have_all_sizes() -> None:
    state = started(RegularizedEvolution(population=2, smallest=0.001, largest=0.1))
    for birth in range(2):
        state.learn(born(birth, 1.0), 1.0)
    steps = [abs(one.genome[0] - 0.5) for one in islice(state.propose(View(), np.random.default_rng(0)), 3000)]
    # The logarithm of the size is uniform around log(0.01), and that of |N(0, 1)| is -(Euler's gamma + log(2)) / 2.
    assert np.log(steps).mean() == pytest.approx(np.log(0.01) - 0.6352, abs=0.12)
    assert min(steps) < 1e-4
    assert max(steps) > 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"population": 1}, "population is 1: give a whole number of at least 2"),
        ({"sample": 0}, "sample is 0: give a whole number of at least 1"),
        ({"population": 5, "sample": 6}, "sample is 6: give at most the population, which is 5"),
        ({"smallest": 0.5}, "smallest is 0.5: give at most the largest step, which is 0.3"),
        ({"largest": 2}, "largest is 2: give a share of the range"),
    ],
)
def test_a_wrong_constant_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RegularizedEvolution(**wrong)
