"""What the textbook says of each propagator, and how small ones make larger ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from offspring import CATEGORIES, FLOATS, Average, changed, near, offspring_of, one_value, share
from records import individual

from evo.propagators import (
    Compose,
    Conditional,
    CrossoverMultiple,
    CrossoverSigmoid,
    CrossoverUniform,
    InitUniform,
    IntervalMutationNormal,
    PointMutation,
    Propagator,
    RandomPointMutation,
    SelectMax,
    SelectMin,
    SelectUniform,
    Stochastic,
    default_propagator,
)
from evo.propagators.selection import choose
from evo.space.limits import Float
from evo.space.space import Space
from evo.testing.propagators import SPACES, random_population

# Selection


def test_selections_take_the_best_the_worst_or_any() -> None:
    active = random_population(FLOATS, 10).active
    rng = np.random.default_rng(0)
    assert list(SelectMin(3)(active, FLOATS, rng)) == list(active[:3])
    assert list(SelectMax(3)(active, FLOATS, rng)) == list(active[7:])
    assert set(SelectUniform(10)(active, FLOATS, rng)) == set(active)
    for selection in (SelectMin(20), SelectMax(20), SelectUniform(20)):
        assert len(selection(active, FLOATS, rng)) == 10
        assert not selection([], FLOATS, rng)


def test_selections_know_the_best_and_the_worst_in_any_order() -> None:
    losses = [3.0, 1.0, None, 2.0, 0.5]
    given = [one_value(FLOATS, 0.5, loss) for loss in losses]
    rng = np.random.default_rng(0)
    assert [one.loss for one in SelectMin(2)(given, FLOATS, rng)] == [0.5, 1.0]
    assert [one.loss for one in SelectMax(2)(given, FLOATS, rng)] == [3.0, None]


def test_random_selections_are_equally_likely_in_every_order() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(tuple(choose(4, 2, rng)) for _ in range(6000))
    assert set(counts) == set(permutations(range(4), 2))
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 31.3  # 0.1 % at 11 degrees.


# Crossover


@pytest.mark.parametrize("contribution", [0.0, 0.3, 0.5, 1.0])
def test_uniform_crossover_takes_genes_of_the_first_with_its_probability(contribution: float) -> None:
    parents = [one_value(FLOATS, 0.25), one_value(FLOATS, 0.75)]
    genes = np.stack([child.genome for child in offspring_of(CrossoverUniform(contribution), parents, FLOATS, 200)])
    assert set(np.unique(genes)) <= {0.25, 0.75}
    assert (genes == 0.25).mean() == near(contribution, genes.size)
    if 0 < contribution < 1:  # Each gene for itself.
        assert (genes == 0.25).mean(axis=1).std() == pytest.approx(
            math.sqrt(contribution * (1 - contribution) / 40), rel=0.2
        )


@pytest.mark.parametrize("count", [None, 3])
def test_multiple_crossover_takes_genes_of_all_parents_alike(count: int | None) -> None:
    parents = [one_value(FLOATS, value) for value in (0.2, 0.5, 0.8)]
    genes = np.stack([child.genome for child in offspring_of(CrossoverMultiple(count), parents, FLOATS, 200)])
    for value in (0.2, 0.5, 0.8):
        assert (genes == value).mean() == near(1 / 3, genes.size)


@pytest.mark.parametrize(
    ("losses", "temperature", "favour"),
    [
        ((1.0, 1.0), 1.0, 1 / 2),
        ((0.0, math.log(3)), 1.0, 3 / 4),
        ((2.0, 2.0 + 0.5 * math.log(3)), 0.5, 3 / 4),
        ((-1.0, 1.0), 2.0, 1 / (1 + math.exp(-1))),
        ((0.0, 1.0), 1e6, 1 / 2),
        ((0.0, 1.0), 1e-300, 1.0),
        ((-1e308, 1e308), 1.0, 1.0),
        ((5.0, None), 1.0, 1.0),
        ((None, None), 1.0, 1 / 2),
    ],
)
def test_sigmoid_crossover_favours_the_better_by_boltzmanns_sigmoid(
    losses: tuple[float | None, float | None], temperature: float, favour: float
) -> None:
    better, worse = one_value(FLOATS, 0.25, losses[0]), one_value(FLOATS, 0.75, losses[1])
    for parents in ([better, worse], [worse, better]):
        children = offspring_of(CrossoverSigmoid(temperature), parents, FLOATS, 200)
        genes = np.stack([child.genome for child in children])
        assert (genes == 0.25).mean() == near(favour, genes.size)


@pytest.mark.parametrize("crossover", [CrossoverUniform(), CrossoverSigmoid(), CrossoverMultiple(2)])
def test_crossover_takes_a_conditional_gene_from_the_parent_that_has_it(crossover: Propagator) -> None:
    space = Space({"optimizer": ("sgd", "adam"), "momentum": Float(0, 1, when={"optimizer": "sgd"})})
    parents = [
        individual(space, {"optimizer": "adam"}, 0.1),
        individual(space, {"optimizer": "sgd", "momentum": 0.75}, 0.1),
    ]
    rng = np.random.default_rng(0)
    bred = [space.complete(child.genome, rng) for child in offspring_of(crossover, parents, space, 100)]
    assert {repr(params) for params in bred} == {"{'optimizer': 'adam'}", "{'optimizer': 'sgd', 'momentum': 0.75}"}


def test_crossover_of_no_parents_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="was given no parents: put it behind a Conditional"):
        offspring_of(CrossoverMultiple(), [], FLOATS, 1)


# Mutation


@pytest.mark.parametrize("points", [1, 3, 40, 99])
def test_point_mutation_draws_so_many_genes_anew(points: int) -> None:
    parent = one_value(FLOATS, 0.5)
    children = offspring_of(PointMutation(points), [parent], FLOATS, 100)
    assert {changed(child, parent) for child in children} == {min(points, 40)}
    drawn = np.concatenate([child.genome[child.genome != 0.5] for child in children])
    assert drawn.mean() == pytest.approx(0.5, abs=4 / math.sqrt(12 * drawn.size))
    touched = np.sum([child.genome != 0.5 for child in children], axis=0)
    assert touched.sum() == 100 * min(points, 40)
    assert touched.max() < 100 * min(points, 40) / 40 + 5 * math.sqrt(100 * min(points, 40) / 40)


def test_point_mutation_leaves_what_is_inactive_alone() -> None:
    space = SPACES["conditional"]
    parent = individual(space, {"optimizer": "adam", "layers": 1})
    for child in offspring_of(PointMutation(6), [parent], space, 50):
        assert np.array_equal(np.isnan(child.genome), np.isnan(parent.genome))


def test_random_point_mutation_draws_any_number_in_its_range() -> None:
    parent = one_value(FLOATS, 0.5)
    counts = Counter(
        changed(child, parent) for child in offspring_of(RandomPointMutation(2, 5), [parent], FLOATS, 2000)
    )
    assert set(counts) == {2, 3, 4, 5}
    for count in counts.values():
        assert count / 2000 == near(1 / 4, 2000)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.1])
def test_normal_mutation_moves_a_gene_by_sigma(sigma: float) -> None:
    space = Space({"x": (-10.0, 30.0)})
    moves = [
        child.genome[0] - 0.5
        for child in offspring_of(IntervalMutationNormal(sigma), [one_value(space, 0.5)], space, 4000)
    ]
    assert np.mean(moves) == pytest.approx(0.0, abs=4 * sigma / math.sqrt(4000))
    assert np.std(moves) == pytest.approx(sigma, rel=4 / math.sqrt(8000))
    assert np.mean(np.abs(moves) < sigma) == near(0.6827, 4000)


def test_normal_mutation_works_in_the_logarithm_of_a_log_scale() -> None:
    space = Space({"lr": Float(1e-6, 1.0, log=True)})
    parent = individual(space, {"lr": 1e-3})
    children = offspring_of(IntervalMutationNormal(0.05), [parent], space, 4000)
    decades = [math.log10(space.complete(child.genome, np.random.default_rng(0))["lr"]) for child in children]
    assert np.mean(decades) == pytest.approx(-3, abs=4 * 0.3 / math.sqrt(4000))
    assert np.std(decades) == pytest.approx(0.05 * 6, rel=4 / math.sqrt(8000))


def test_normal_mutation_moves_by_at_least_a_step_of_the_grid() -> None:
    space = Space({"layers": (1, 5)})
    parent = individual(space, {"layers": 3})
    children = offspring_of(IntervalMutationNormal(1e-6), [parent], space, 4000)
    assert np.std([child.genome[0] for child in children]) == pytest.approx(
        0.2 * 0.985, rel=0.05
    )  # Clipped at 2.5 sigma.


def test_normal_mutation_leaves_categories_and_what_is_inactive_alone() -> None:
    space = SPACES["conditional"]
    parent = individual(space, {"optimizer": "sgd", "momentum": 0.5, "momentum_kind": "free", "layers": 1})
    for child in offspring_of(IntervalMutationNormal(0.5, points=9), [parent], space, 50):
        differ = {space.names[place] for place in np.flatnonzero(child.genome != parent.genome)}
        assert differ == {"momentum", "layers", "width", "nesterov"}  # NaN differs from itself.
        assert np.isnan(child.genome[[3, 4]]).all()
    only_categories = one_value(CATEGORIES, 3.0)
    assert changed(offspring_of(IntervalMutationNormal(0.5), [only_categories], CATEGORIES, 1)[0], only_categories) == 0


@pytest.mark.parametrize("points", [1, 2, 40, 99])
def test_normal_mutation_moves_so_many_genes_and_stays_within_bounds(points: int) -> None:
    parent = one_value(FLOATS, 0.95)
    for child in offspring_of(IntervalMutationNormal(0.3, points), [parent], FLOATS, 100):
        assert changed(child, parent) == min(points, 40)
        assert ((child.genome >= 0) & (child.genome <= 1)).all()


def test_a_new_individual_is_uniform_whatever_its_parents() -> None:
    parents = [one_value(FLOATS, 0.5, 0.0, velocity=1)]
    children = offspring_of(InitUniform(), parents, FLOATS, 100)
    genes = np.stack([child.genome for child in children]).ravel()
    assert ((np.histogram(genes, bins=16, range=(0, 1))[0] - 250) ** 2 / 250).sum() < 37.7  # 0.1 % at 15 degrees.
    assert not any(child.strategy for child in children)
    assert len(offspring_of(InitUniform(), [], FLOATS, 1)) == 1


@pytest.mark.parametrize(
    "propagator",
    [PointMutation(), IntervalMutationNormal(), CrossoverUniform(0.0), CrossoverMultiple(2), CrossoverSigmoid()],
)
def test_offspring_inherit_the_strategy_of_the_first_or_better_parent(propagator: Propagator) -> None:
    parents = [one_value(FLOATS, 0.25, 1.0, step=0.1), one_value(FLOATS, 0.75, 2.0, step=0.2)]
    child = propagator(parents[: propagator.parents], FLOATS, np.random.default_rng(0))[0]
    assert child.strategy == {"step": 0.1}


# How small ones make larger ones


def test_stochastic_applies_a_propagator_with_its_probability() -> None:
    parent = one_value(FLOATS, 0.5)
    for probability in (0.0, 0.3, 1.0):
        children = offspring_of(Stochastic(PointMutation(), probability), [parent], FLOATS, 2000)
        assert share(lambda child: changed(child, parent) > 0, children) == near(probability, 2000)


def test_stochastic_passes_on_as_many_as_it_would_return() -> None:
    parents = [one_value(FLOATS, 0.25), one_value(FLOATS, 0.75)]
    (child,) = Stochastic(CrossoverUniform(), 0.0)(parents, FLOATS, np.random.default_rng(0))
    assert child is parents[0]


@pytest.mark.parametrize(("size", "new"), [(0, True), (4, True), (5, False), (6, False)])
def test_conditional_waits_until_the_population_is_large_enough(size: int, new: bool) -> None:
    parents = [one_value(FLOATS, 0.5, float(loss)) for loss in range(size)]
    (child,) = Conditional(5, then=SelectMin(1), otherwise=InitUniform())(parents, FLOATS, np.random.default_rng(0))
    assert (child not in parents) == new


def test_compose_applies_one_after_another() -> None:
    space = Space({"x": (0.0, 1.0)})
    parents = [one_value(space, value, loss) for value, loss in ((0.1, 3.0), (0.2, 2.0), (0.4, 1.0))]
    (child,) = Compose([SelectMin(2), Average()])(parents, space, np.random.default_rng(0))
    assert child.genome == pytest.approx([0.3])
    nested = Compose([Compose([SelectMin(2)]), Compose([CrossoverUniform()])])
    assert (nested.parents, nested.offspring) == (None, 1)


def test_compose_refuses_what_does_not_fit_together() -> None:
    with pytest.raises(ValueError, match="Compose is given no propagators: give at least one"):
        Compose([])
    with pytest.raises(ValueError, match=r"SelectMin\(count=3\) returns 3 individuals, but CrossoverUniform.* takes 2"):
        Compose([SelectMin(3), CrossoverUniform()])
    with pytest.raises(ValueError, match=r"PointMutation.* returns 1 individuals, but Compose.* takes 2"):
        Compose([SelectMin(1), PointMutation(), Compose([CrossoverSigmoid(), PointMutation()])])


def test_too_few_parents_are_an_error_that_says_what_to_do() -> None:
    mate = Compose([SelectMin(2), CrossoverUniform()])
    with pytest.raises(ValueError, match="takes 2 parents and was given 1: select that many before it, behind a Cond"):
        mate([one_value(FLOATS, 0.5, 0.0)], FLOATS, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossoverUniform(1.5), "contribution is 1.5: a probability"),
        (lambda: CrossoverUniform(math.nan), "contribution is nan: a probability"),
        (lambda: CrossoverSigmoid(0.0), "temperature is 0.0: it must be above 0"),
        (lambda: CrossoverSigmoid(math.nan), "temperature is nan"),
        (lambda: CrossoverMultiple(0), "count is 0: give a whole number of at least 1"),
        (lambda: PointMutation(0), "points is 0"),
        (lambda: PointMutation(1.5), "points is 1.5"),
        (lambda: RandomPointMutation(0, 2), "min_points is 0"),
        (lambda: RandomPointMutation(3, 2), "min_points is 3: it must not be above max_points = 2"),
        (lambda: IntervalMutationNormal(0.0), "sigma is 0.0: it must be above 0"),
        (lambda: IntervalMutationNormal(math.nan), "sigma is nan"),
        (lambda: IntervalMutationNormal(0.1, 0), "points is 0"),
        (lambda: SelectMin(0), "count is 0"),
        (lambda: SelectMax(-1), "count is -1"),
        (lambda: SelectUniform(True), "count is True"),
        (lambda: Conditional(0, InitUniform(), InitUniform()), "population is 0"),
        (lambda: Stochastic(InitUniform(), -0.1), "probability is -0.1"),
        (lambda: default_propagator(1), "population is 1: crossover needs at least 2"),
        (lambda: default_propagator(4, crossover=2), "probability is 2"),
        (lambda: default_propagator(4, sigma=0), "sigma is 0"),
    ],
)
def test_an_argument_out_of_range_is_named(make: Callable[[], Propagator], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
