"""L-SHADE: its equations, worked out by hand, and its targets on several workers."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest

from evo.algorithms.base import Setup, View
from evo.algorithms.shade import Shade, _Memory, _mutant, _State
from evo.errors import UserError
from evo.population.individual import Individual, Known
from evo.space.limits import Choice, Float
from evo.space.space import Space
from evo.testing.searches import VirtualSearch, completed, distance_to_a_point

PLANE = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})


def started(algorithm: Shade | None = None, space: Space = PLANE) -> _State:
    state = (algorithm or Shade()).start(Setup(space=space))
    assert isinstance(state, _State)
    return state


def told(state: _State, number: int, genome: list[float], loss: float | None, **trial: Any) -> None:
    status: Any = "failed" if loss is None else "completed"
    strategy = {"shade": trial} if trial else {}
    known = Known(genome=np.array(genome), identity=(0, number), loss=loss, status=status, strategy=strategy)
    state.learn(known, loss)


def four(state: _State, size: int = 4) -> None:
    for number in range(4):
        told(state, number, [number / 10, 0.5], float(number), size=size)


def test_the_population_shrinks_linearly_from_its_first_size_to_the_least() -> None:
    shade = Shade(size=20)
    assert [shade.size_at(used, 100 - used, 2) for used in (0, 25, 50, 75, 100)] == [20, 16, 12, 8, 4]


def test_without_a_budget_the_population_keeps_its_size() -> None:
    assert {Shade(size=20).size_at(used, np.inf, 2) for used in (0, 1000)} == {20}


def test_short_searches_have_small_populations_and_long_ones_at_most_18_for_each_gene() -> None:
    assert Shade().size_at(0, 50, 5) == 10
    assert 10 < Shade().size_at(0, 1000, 5) < 30
    assert Shade().size_at(0, 10**7, 5) == 90


def test_an_entry_of_the_memory_becomes_the_weighted_lehmer_means_of_the_successes() -> None:
    memory = _Memory(2)
    memory.note(0.5, 0.2, 1.0)
    memory.note(1.0, 0.6, 3.0)
    memory.update()
    assert memory.factors == [pytest.approx((0.25 + 3.0) / (0.5 + 3.0)), 0.5]
    assert memory.rates == [pytest.approx((0.04 + 1.08) / (0.2 + 1.8)), 0.5]


def test_the_memory_is_written_in_turn_and_not_at_all_without_a_success() -> None:
    memory = _Memory(2)
    for factor in (0.1, 0.2, 0.3):
        memory.note(factor, 0.9, 1.0)
        memory.update()
        memory.update()
    assert memory.factors == [pytest.approx(0.3), pytest.approx(0.2)]


def test_a_crossover_rate_of_zero_alone_stays_for_ever() -> None:
    memory = _Memory(1)
    for rate in (0.0, 0.9):
        memory.note(0.5, rate, 1.0)
        memory.update()
    assert memory.rates == [None]
    assert memory.draw(np.random.default_rng(0))[1] == 0.0


def test_scale_factors_lie_above_zero_and_not_above_one() -> None:
    rng, memory = np.random.default_rng(0), _Memory(6)
    drawn = np.array([memory.draw(rng) for _ in range(2000)])
    assert drawn[:, 0].min() > 0.0
    assert drawn[:, 0].max() == 1.0
    assert np.median(drawn[:, 0]) == pytest.approx(0.5, abs=0.02)
    assert drawn[:, 1].std() == pytest.approx(0.1, abs=0.01)


def test_a_mutant_moves_to_the_best_and_along_a_difference_and_stops_half_way_to_a_bound() -> None:
    x, best = np.array([0.2, 0.2, 0.8]), np.array([0.4, 0.2, 0.8])
    first, second = np.array([0.5, 0.1, 0.9]), np.array([0.3, 0.9, 0.1])
    assert _mutant((x, best, first, second), 0.5) == pytest.approx([0.2 + 0.1 + 0.1, 0.1, 0.9])


def test_a_gene_that_the_target_does_not_have_is_that_of_the_best() -> None:
    x, best, other = np.array([np.nan, np.nan]), np.array([0.4, np.nan]), np.array([0.9, np.nan])
    mutant = _mutant((x, best, other, best), 0.5)
    assert mutant[0] == pytest.approx(0.4 + 0.25)
    assert np.isnan(mutant[1])


def test_a_better_trial_replaces_its_target_which_goes_to_the_archive() -> None:
    state = started()
    four(state)
    told(state, 10, [0.9, 0.9], 0.5, F=0.7, CR=0.4, target=[0, 2], size=4)
    assert [member.identity for member in state.members] == [(0, 0), (0, 10), (0, 1), (0, 3)]
    assert [genome.tolist() for genome in state.archive] == [[0.2, 0.5]]
    assert state.memory.successes == [(0.7, 0.4, 1.5)]


def test_a_worse_trial_or_one_that_failed_changes_only_the_turn_of_its_target() -> None:
    state = started()
    four(state)
    told(state, 10, [0.9, 0.9], 2.5, F=0.7, CR=0.4, target=[0, 2], size=4)
    told(state, 11, [0.9, 0.8], None, F=0.7, CR=0.4, target=[0, 2], size=4)
    assert [(member.identity, member.trials) for member in state.members] == [
        ((0, 0), 0),
        ((0, 1), 0),
        ((0, 2), 2),
        ((0, 3), 0),
    ]
    assert not state.archive
    assert not state.memory.successes


def test_a_better_individual_of_somebody_else_replaces_the_worst() -> None:
    state = started()
    four(state)
    told(state, 10, [0.9, 0.9], 2.5)
    told(state, 11, [0.9, 0.8], 9.0)
    assert [member.identity for member in state.members] == [(0, 0), (0, 1), (0, 2), (0, 10)]


def test_a_trial_that_says_a_smaller_size_shrinks_the_population_to_its_best() -> None:
    state = started()
    for number in range(8):
        told(state, number, [number / 10, 0.5], float(-number), size=8)
    told(state, 20, [0.9, 0.9], 9.0, F=0.7, CR=0.4, target=[0, 2], size=5)
    assert [member.loss for member in state.members] == [-7.0, -6.0, -5.0, -4.0, -3.0]


def test_a_target_is_in_flight_once_and_the_one_with_fewest_trials_is_next() -> None:
    state = started(Shade(size=4))
    four(state)
    running = list[Known]()
    for number in range(4):
        bred = next(state.propose(View(running=running), np.random.default_rng(number)))
        running.append(Known(genome=bred.genome, identity=(1, number), strategy=bred.strategy))
    assert {tuple(one.strategy["shade"]["target"]) for one in running} == {(0, number) for number in range(4)}
    told(state, 30, [0.9, 0.9], 9.0, **running[0].strategy["shade"])
    again = next(state.propose(View(running=running[1:]), np.random.default_rng(5)))
    assert again.strategy["shade"]["target"] == running[0].strategy["shade"]["target"]


def test_a_category_is_that_of_a_parent_or_rarely_any() -> None:
    space = Space({"x": (0.0, 1.0), "kind": Choice("a", "b", "c", "d", "e")})
    state = started(Shade(size=4, anew=0.1), space)
    for number in range(4):
        told(state, number, [number / 10, 0.0], float(number), size=4)
    bred = islice(state.propose(View(), np.random.default_rng(0)), 2000)
    kinds = Counter(float(one.genome[1]) for one in bred)
    assert set(kinds) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert 0.02 < 1 - kinds[0.0] / 2000 < 0.08  # Crossed in some 75 % of trials, drawn in 10 %, new in 80 % of these.


@pytest.mark.parametrize("workers", [1, 8])
def test_it_converges_on_a_sphere(workers: int) -> None:
    space = Space({f"x{place}": Float(-5.0, 5.0) for place in range(4)})
    loss = distance_to_a_point(space, seed=1)
    search = VirtualSearch(
        Shade(), space, lambda known: completed(known, loss(known.genome)), workers=workers, budget=1500
    )
    search.run(1500)
    best = search.view.active[0].loss
    assert best is not None
    assert best < 1e-8


def test_the_initial_population_is_drawn_once_by_all_workers_together() -> None:
    state = started(Shade(size=6))
    running = [Known(genome=np.zeros(2), identity=(0, n), strategy={"shade": {"size": 6}}) for n in range(6)]
    four(state, size=6)
    assert "target" not in next(state.propose(View(running=running[4:5]), np.random.default_rng(0))).strategy["shade"]
    assert "target" in next(state.propose(View(running=running[4:6]), np.random.default_rng(0))).strategy["shade"]


def test_a_population_that_has_shrunk_is_filled_up_when_the_budget_is_extended() -> None:
    state = started(Shade(size=20))
    four(state)
    at_the_end = next(state.propose(View(used=100, left=0), np.random.default_rng(0)))
    assert at_the_end.strategy["shade"]["target"] is not None
    extended = next(state.propose(View(used=100, left=100), np.random.default_rng(0)))
    assert extended.strategy["shade"] == {"size": 12}
    told(state, 9, [0.9, 0.9], 99.0, size=12)
    assert len(state.members) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 3}, "size is 3: give a whole number of at least 4"),
        ({"least": 3}, "least is 3: give a whole number of at least 4"),
        ({"memory": 0}, "memory is 0"),
        ({"best": 1.5}, "best is 1.5: a probability"),
        ({"anew": -0.1}, "anew is -0.1: a probability"),
        ({"archive": -1}, "archive is -1"),
    ],
)
def test_a_wrong_constant_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Shade(**wrong)


def test_its_name_in_records_is_short() -> None:
    assert Shade().bred_by == "shade"
    assert isinstance(next(started().propose(View(), np.random.default_rng(0))), Individual)
