"""The additive search: sums of functions of single genes, what points say about them, and where their lows are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import evo
from evo.algorithms.additive import AdditiveSearch
from evo.algorithms.additive_model import AdditiveBasis, AdditiveModel, solve_triangular
from evo.algorithms.base import Learner, Setup, View
from evo.algorithms.distribution import Array
from evo.algorithms.portfolio import Portfolio, usual_members
from evo.errors import UserError
from evo.population.individual import Known
from evo.space.space import Genome, Space

NUMBERS = Space({f"x{n}": (-500.0, 500.0) for n in range(6)})
MIXED = Space({"x": (0.0, 1.0), "n": (1, 4), "kind": ("a", "b", "c"), "fixed": 3})


def schwefel(genome: Genome) -> float:
    """A sum of six functions with about seven local minima each; 0 at 420.9687 of -500 to 500."""
    x = 1000 * genome - 500
    return float((418.9828872724339 - x * np.sin(np.sqrt(np.abs(x)))).sum())


def searched(learner: Learner, evaluations: int, failing: int = 0) -> list[float]:
    """Search for the minimum of `schwefel`, where every so-many-th evaluation fails."""
    losses = []
    for number in range(evaluations):
        genome = next(learner.propose(View(), np.random.default_rng(number))).genome
        has_failed = bool(failing) and number % failing == 0
        losses.append(math.inf if has_failed else schwefel(np.clip(genome, 0.0, 1.0)))
        loss = None if has_failed else losses[-1]
        learner.learn(Known(genome=genome, identity=(0, number), loss=loss), loss)
    return losses


def test_numbers_have_cosines_and_categories_a_coefficient_for_each_label() -> None:
    basis = AdditiveBasis(MIXED)
    assert len(basis) == 1 + 32 + 3 + 3
    (row,) = basis.features(np.array([[0.25, 0.125, 1.0]]))
    assert row[0] == 1
    assert row[1:5] == pytest.approx([math.sqrt(0.5), 0, -math.sqrt(0.5), -1])
    assert row[33:36] == pytest.approx([math.cos(math.pi / 8 * k) for k in (1, 2, 3)])
    assert row[36:].tolist() == [0, 1, 0]


def test_inactive_genes_add_nothing() -> None:
    (row,) = AdditiveBasis(MIXED).features(np.array([[np.nan, 0.125, np.nan]]))
    assert not row[1:33].any()
    assert not row[36:].any()


def test_the_low_of_a_sum_is_that_of_each_function() -> None:
    basis = AdditiveBasis(MIXED)
    coefficients = np.zeros(len(basis))
    coefficients[2] = 1.0  # cos(2 pi x), lowest in the middle.
    coefficients[33] = 1.0  # cos(pi n), falling.
    coefficients[36:] = [0.0, 1.0, -1.0]
    assert basis.low(coefficients) == pytest.approx([0.5, 0.875, 2.0])


def test_the_low_of_a_function_may_lie_between_the_places_that_are_looked_at() -> None:
    basis = AdditiveBasis(Space({"x": (0.0, 1.0)}))
    coefficients = np.zeros(len(basis))
    coefficients[1:4] = [0.3, 1.0, 0.1]
    (low,) = basis.low(coefficients)
    fine = np.linspace(0, 1, 1_000_001)
    heights = sum(c * np.cos(math.pi * fine * k) for k, c in zip((1, 2, 3), coefficients[1:4], strict=True))
    assert low == pytest.approx(fine[np.argmin(heights)], abs=2e-5)


def test_few_points_of_a_sum_tell_its_functions_and_what_is_unknown_differs_between_draws() -> None:
    def loss(genomes: Array) -> Array:
        return np.asarray(np.cos(6 * genomes[:, 0]) - 0.5 * genomes[:, 1] + 0.3 * (genomes[:, 2] == 1))

    rng, basis = np.random.default_rng(0), AdditiveBasis(MIXED)
    model = AdditiveModel(basis)
    spreads = []
    for _ in range(2):
        genomes = np.column_stack([rng.random(30), rng.integers(4, size=30) / 4 + 0.125, rng.integers(3, size=30)])
        model.add(genomes, loss(genomes))
        lows = np.array([basis.low(coefficients) for coefficients in model.draw(16, rng)])
        spreads.append(lows[:, 0].std())
    assert (lows[:, 1] == 0.875).all()
    assert (lows[:, 2] != 1).all()
    assert np.median(lows[:, 0]) == pytest.approx(math.pi / 6, abs=0.01)
    assert spreads[1] < spreads[0]


@pytest.mark.parametrize("unknowns", [1, 64, 150])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_triangular_systems_are_solved_block_by_block(unknowns: int, is_transposed: bool) -> None:
    rng = np.random.default_rng(unknowns)
    lower = np.tril(rng.normal(size=(unknowns, unknowns))) + 10 * np.eye(unknowns)
    found = rng.normal(size=(unknowns, 2))
    sides = (lower.T if is_transposed else lower) @ found
    assert solve_triangular(lower, sides, is_transposed=is_transposed) == pytest.approx(found)


@pytest.mark.parametrize("failing", [0, 5])
def test_many_local_minima_that_are_independent_need_few_evaluations(failing: int) -> None:
    losses = searched(AdditiveSearch().start(Setup(space=NUMBERS)), 200, failing)
    assert min(losses[:60]) > 100
    assert min(losses) < (50 if failing else 5)


def in_the_portfolio(loss: Callable[[Genome], float], foresight: float = 0.0) -> float:
    """The share of the additive search in a portfolio that knows 150 random points.

    Args:
        loss: What is minimised.
        foresight: How good the predictions of the modelled search are.
    """
    learner, rng = Portfolio().start(Setup(space=NUMBERS)), np.random.default_rng(1)
    for number in range(150):
        genome = rng.random(len(NUMBERS))
        known = Known(genome=genome, identity=(0, number), loss=loss(genome), bred_by="genetic")
        learner.learn(known, known.loss)
    learner._learners["modelled"].foresight = foresight  # type: ignore[attr-defined]
    names = {one.bred_by.partition("/")[0] for one in learner.propose(View(), rng)}
    share = dict(zip(usual_members(), learner.shares(), strict=True))["additive"]
    assert ("additive" in names) == (share > 0)
    return share


def test_the_portfolio_asks_it_only_where_losses_are_sums_and_other_models_are_blind() -> None:
    assert in_the_portfolio(schwefel) > 0.04
    assert in_the_portfolio(schwefel, foresight=0.5) == 0.0
    assert in_the_portfolio(lambda genome: float(np.cos(20 * genome).prod())) == 0.0


def test_a_space_with_too_many_coefficients_is_searched_at_random() -> None:
    space = Space({f"x{n}": (0.0, 1.0) for n in range(300)})
    learner = AdditiveSearch(initial=2).start(Setup(space=space))
    for number in range(200):
        known = Known(genome=space.sample(np.random.default_rng(number)), identity=(0, number), loss=1.0)
        learner.learn(known, 1.0)
    assert next(learner.propose(View(), np.random.default_rng(0))).bred_by == "random"


def test_at_least_one_individual_is_drawn_at_random() -> None:
    with pytest.raises(UserError, match="initial is 0"):
        evo.algorithms.AdditiveSearch(initial=0)
