"""The search of a front: what it keeps, what each operator is credited with, and what many workers try at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from evo.algorithms import FrontSearch, Setup, View
from evo.algorithms.front import FrontLearner
from evo.algorithms.process import Process, Processes
from evo.errors import UserError
from evo.population.dominance import hypervolume
from evo.population.individual import Known
from evo.population.objectives import Objectives, make_objectives
from evo.space.limits import Choice
from evo.space.space import Genome, Space
from evo.testing.searches import Told, VirtualSearch, changed

SPACE = Space({f"x{place}": (0.0, 1.0) for place in range(6)})
MIXED = Space({"x": (0.0, 1.0), "n": (1, 40), "kind": Choice("a", "b", "c"), "y": (0.0, 1.0)})
TWO = make_objectives(["first", "second"])


def measured(losses_of: Callable[[Genome], tuple[float, ...]], violation_of: Callable[[Genome], float]) -> Callable:  # type: ignore[type-arg]
    def outcome(known: Known) -> Told:
        losses = losses_of(known.genome)
        ended = changed(known, status="completed", loss=losses[0], losses=losses, violation=violation_of(known.genome))
        return ended, losses[0]

    return outcome


def curved(genome: Genome) -> tuple[float, float]:
    """A convex front: the first gene says where along it, the others how far from it (ZDT1)."""
    away = 1 + 9 * float(genome[1:].mean())
    return float(genome[0]), away * (1 - float(np.sqrt(genome[0] / away)))


def searched(workers: int, seed: int = 0, evaluations: int = 100, objectives: Objectives = TWO) -> VirtualSearch:
    outcome = measured(curved, lambda genome: 0.0)
    search = VirtualSearch(
        FrontSearch(), SPACE, outcome, workers=workers, seed=seed, budget=evaluations, objectives=objectives
    )
    search.run(evaluations)
    return search


def volume_of(search: VirtualSearch) -> float:
    return hypervolume(np.array([one.losses for one, _ in search.told if one.violation == 0.0]), [1.1, 1.1])


def test_it_comes_near_to_a_front_within_a_hundred_evaluations_also_with_many_workers() -> None:
    whole = 1.21 - 1 / 3
    assert volume_of(searched(1)) > 0.9 * whole
    assert volume_of(searched(32)) > 0.7 * whole


@pytest.mark.parametrize("workers", [4, 32])
def test_what_runs_at_the_same_time_differs(workers: int) -> None:
    search = searched(workers, evaluations=60)
    genomes = [one.genome for one in search.view.running]
    distances = [np.abs(a - b).max() for place, a in enumerate(genomes) for b in genomes[:place]]
    assert min(distances) > 1e-4


def test_bounds_are_kept_first_and_then_the_front_is_searched() -> None:
    outcome = measured(curved, lambda genome: max(0.0, float(genome[1]) - 0.05))
    search = VirtualSearch(FrontSearch(), SPACE, outcome, budget=100, objectives=TWO)
    search.run(100)
    last = [one for one, _ in search.told[60:]]
    assert np.mean([one.violation == 0.0 for one in last]) > 0.6
    assert volume_of(search) > 0.7


def test_numbers_on_grids_and_categories_are_searched_too() -> None:
    def losses(genome: Genome) -> tuple[float, float]:
        away = abs(float(genome[1]) - 0.3) + float(genome[2] != 1) + float(genome[3])
        return float(genome[0]) + away, 1 - float(genome[0]) + away

    search = VirtualSearch(FrontSearch(), MIXED, measured(losses, lambda _: 0.0), budget=120, objectives=TWO)
    search.run(120)
    on_front = [one for one, _ in search.told if sum(one.losses) < 1.1]
    assert len(on_front) > 20
    assert max(one.losses[0] for one in on_front) - min(one.losses[0] for one in on_front) > 0.8


def test_however_long_the_front_the_population_is_bounded() -> None:
    learner = FrontSearch(size=30).start(Setup(space=SPACE, objectives=TWO))
    rng = np.random.default_rng(0)
    for number, place in enumerate(rng.random(600)):
        losses = (float(place), float(1 - place))
        known = Known(genome=rng.random(6), identity=(0, number), status="completed", loss=losses[0], losses=losses)
        learner.learn(known, losses[0])
    assert len(learner.population) == 30
    assert len(learner.sample.genomes) <= 430
    next(learner.propose(View(), rng))


def test_operators_whose_individuals_reach_the_front_are_asked_more_often() -> None:
    learner: FrontLearner = FrontSearch().start(Setup(space=SPACE, objectives=TWO))
    before = learner.shares()
    for number in range(60):
        operator = "pairs" if number % 2 else "differences"
        losses = (number / 60, 1 - number / 60) if operator == "pairs" else (5.0, 5.0 + number)
        known = Known(
            genome=np.full(6, number / 60),
            identity=(0, number),
            status="completed",
            loss=losses[0],
            losses=losses,
            bred_by=f"front/{operator}",
        )
        learner.learn(known, losses[0])
    after = learner.shares()
    assert sum(after.values()) == pytest.approx(1.0)
    assert after["pairs"] > before["pairs"] > 0
    assert before["differences"] > after["differences"] > 0


def test_models_of_several_losses_are_those_of_each_and_their_slopes_are_right() -> None:
    rng = np.random.default_rng(0)
    points, losses, weights = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), rng.random(30) + 0.1
    together, axes, at = Processes(points, losses, weights, np.eye(4)), np.eye(4), rng.normal(size=(5, 4))
    alone = [Process(points, column, weights, axes)(at) for column in losses.T]
    values, slopes = together.values_and_slopes(at)
    assert values == pytest.approx(np.column_stack(alone))
    tiny = 1e-6
    for place in range(4):
        steps = tiny * np.eye(4)[place]
        change = (together(at + steps) - together(at - steps)) / (2 * tiny)
        assert slopes[:, :, place] == pytest.approx(change, abs=1e-5)


def test_a_wrong_constant_is_named() -> None:
    with pytest.raises(UserError, match="size is 3"):
        FrontSearch(size=3)
    with pytest.raises(UserError, match="floor is 2"):
        FrontSearch(floor=2)


def test_a_search_for_one_loss_imports_no_moocore() -> None:
    code = (
        "import sys, numpy as np; from evo.algorithms import Portfolio, Setup, View; from evo.space.space import Space;"
        "learner = Portfolio().start(Setup(space=Space({'x': (0.0, 1.0)})));"
        "next(learner.propose(View(), np.random.default_rng(0))); assert 'moocore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
