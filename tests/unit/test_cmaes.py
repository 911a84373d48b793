"""The search distribution of CMA-ES against its textbook, and the asynchronous CMA-ES on it."""

import math

import numpy as np
import pytest

from evo.algorithms.base import Setup, View
from evo.algorithms.cmaes import CMAES
from evo.algorithms.distribution import Distribution, Recombination
from evo.errors import UserError
from evo.population.individual import Known
from evo.space.space import Space

FLOATS = {f"x{index}": (-5.0, 5.0) for index in range(4)}


def search(algorithm, limits, loss, evaluations, seed=0, workers=1):
    """The losses of a search with one state for all workers, which evaluates a whole round at a time."""
    space = Space(limits)
    learner = algorithm.start(Setup(space=space, workers=workers, entropy=(seed,)))
    rng, losses = np.random.default_rng(seed), []
    while len(losses) < evaluations:
        round_ = [next(learner.propose(View(), rng)) for _ in range(workers)]
        for bred in round_:
            params = space.complete(bred.genome, rng)
            genome = space.encode(params)
            losses.append(loss(params))
            known = Known(
                genome=genome,
                identity=(0, len(losses)),
                strategy=bred.strategy,
                bred_by=bred.bred_by or algorithm.bred_by,
                status="completed",
                loss=losses[-1],
            )
            learner.learn(known, losses[-1])
    return losses


def sphere(params):
    return sum((value - 1.0) ** 2 for value in params.values())


def test_constants_are_those_of_the_tutorial_in_ten_dimensions():
    # Worked out by hand from equations 49 to 58 of arXiv:1604.00772 for n = 10 and lambda = 10.
    found = Recombination(10, 10)
    raw = [math.log(5.5) - math.log(rank) for rank in range(1, 11)]
    effective = sum(raw[:5]) ** 2 / sum(each**2 for each in raw[:5])
    assert found.effective == pytest.approx(effective) == pytest.approx(3.167, abs=1e-3)
    assert found.step_memory == pytest.approx((3.167299 + 2) / (10 + 3.167299 + 5), rel=1e-5)
    assert found.damping == pytest.approx(1 + found.step_memory)
    assert found.rank_one == pytest.approx(2 / (11.3**2 + 3.167299), rel=1e-5)
    assert found.rank_mu == pytest.approx(2 * (0.25 + 3.167299 + 1 / 3.167299 - 2) / (12**2 + 3.167299), rel=1e-5)
    assert found.shape_memory == pytest.approx((4 + 0.3167299) / (14 + 2 * 0.3167299), rel=1e-5)


@pytest.mark.parametrize(("dimension", "offspring"), [(1, 2), (1, 4), (2, 6), (10, 10), (40, 15), (5, 64)])
def test_positive_weights_sum_to_one_and_decay_of_the_covariance_is_never_negative(dimension, offspring):
    found = Recombination(dimension, offspring)
    assert found.weights[found.weights > 0].sum() == pytest.approx(1)
    assert (np.diff(found.weights) < 0).all()
    assert found.rank_one + found.rank_mu * found.weights.sum() <= 1
    # Equation 52: the covariance stays positive definite.
    assert (
        dimension * found.rank_mu * -found.weights[found.weights < 0].sum()
        <= 1 - found.rank_one - found.rank_mu + 1e-12
    )


def test_the_mean_moves_to_the_weighted_mean_of_the_better_half():
    distribution = Distribution(np.zeros(3), 0.5, 6)
    points = np.random.default_rng(1).normal(size=(6, 3)) * 0.1
    distribution.update(points)
    weights = Recombination(3, 6).weights[:3]
    np.testing.assert_allclose(distribution.mean, weights @ points[:3])


def test_a_foreign_point_far_away_moves_the_mean_as_one_at_the_longest_step():
    d, offspring = 4, 8
    longest = math.sqrt(d) + 2 * d / (d + 2)
    near = np.random.default_rng(2).normal(size=(offspring, d)) * 0.1
    means = []
    for length in (longest, 1e6):
        distribution = Distribution(np.zeros(d), 0.5, offspring)
        near[0] = np.array([1.0, 0, 0, 0]) * length * distribution.step
        distribution.update(near)
        means.append((distribution.mean, distribution.covariance, distribution.step))
    for first, second in zip(*means, strict=True):
        np.testing.assert_allclose(first, second)


def test_samples_have_the_mean_and_covariance_of_the_distribution():
    distribution = Distribution(np.array([0.2, 0.7]), 0.3, 6)
    for seed in range(5):
        points = distribution.sample(np.random.default_rng(seed), 6)
        distribution.update(points[np.argsort(((points - 0.5) ** 2) @ [1.0, 100.0])])
    points = distribution.sample(np.random.default_rng(0), 100_000)
    np.testing.assert_allclose(points.mean(axis=0), distribution.mean, atol=0.01 * distribution.step)
    np.testing.assert_allclose(np.cov(points.T), distribution.step**2 * distribution.covariance, rtol=0.05, atol=1e-4)
    lengths = distribution.distances(points)
    assert (lengths**2).mean() == pytest.approx(2, rel=0.02)


def test_the_covariance_becomes_the_inverse_hessian_of_a_quadratic_function():
    distribution, rng = Distribution(np.full(3, 0.5), 0.3, 10), np.random.default_rng(0)
    curvatures = np.array([1.0, 100.0, 10_000.0])
    for _ in range(150):
        points = distribution.sample(rng, 10)
        distribution.update(points[np.argsort(((points - 0.3) ** 2) @ curvatures)])
    product = np.diag(distribution.covariance) * curvatures
    assert product.max() / product.min() < 10
    np.testing.assert_allclose(distribution.mean, 0.3, atol=1e-6)


def test_the_ten_dimensional_ellipsoid_takes_as_many_evaluations_as_pycma_needs():
    # pycma 4 with a step of a quarter of the range needs 3,900 evaluations to 1e-8 on average over five seeds.
    factors = 10.0 ** (6 * np.arange(10) / 9)
    limits = {f"x{index}": (-5.0, 5.0) for index in range(10)}
    losses = search(CMAES(), limits, lambda params: float(factors @ (np.array([*params.values()]) - 0.1) ** 2), 4700, 1)
    assert min(losses) < 1e-8


def test_grids_do_not_get_stuck():
    limits = {"whole": (0, 15), "other": (0, 31), "x": (-5.0, 5.0)}
    losses = search(CMAES(), limits, lambda p: (p["whole"] - 3) ** 2 + (p["other"] - 30) ** 2 + p["x"] ** 2, 600)
    assert min(losses) < 1e-6


def test_workers_that_start_a_run_take_the_others_along():
    setup = Setup(space=Space(FLOATS), workers=2)
    first, second = CMAES().start(setup), CMAES().start(setup)
    first._start_run(3)
    rng = np.random.default_rng(0)
    bred = next(first.propose(View(), rng))
    known = Known(genome=bred.genome, identity=(0, 0), strategy=bred.strategy, bred_by="cmaes", loss=1.0)
    second.learn(known, 1.0)
    assert second.number == first.number == 3
    np.testing.assert_array_equal(first.distribution.mean, second.distribution.mean)


def test_populations_grow_from_run_to_run():
    learner = CMAES(offspring=6).start(Setup(space=Space(FLOATS)))
    sizes = [learner.distribution.offspring]
    for number in (2, 3):
        learner._start_run(number)
        sizes.append(learner.distribution.offspring)
    assert sizes == [6, 12, 24]


def test_a_plateau_ends_in_restarts_not_in_errors():
    losses = search(CMAES(), {"x": (0.0, 1.0), "n": (1, 3)}, lambda params: 7.0, 500)
    assert len(losses) == 500


def test_a_space_without_numbers_yields_no_candidates():
    learner = CMAES().start(Setup(space=Space({"kind": ("a", "b")})))
    assert list(learner.propose(View(), np.random.default_rng(0))) == []


def test_offspring_of_one_and_steps_of_zero_are_refused():
    with pytest.raises(UserError, match="offspring is 1"):
        CMAES(offspring=1)
    with pytest.raises(UserError, match="step is 0"):
        CMAES(step=0)
