"""Quadratic models, the trust region, and the Gaussian process whose prior is quadratic."""

import numpy as np
import pytest

from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Distribution
from evo.algorithms.history import History
from evo.algorithms.local_model import fit_local_process, fit_local_quadratic, rank_correlation
from evo.algorithms.process import Process
from evo.algorithms.quadratic import Quadratic, fit_quadratic, full_size
from evo.space.parameters import Int
from evo.space.space import Space


def random_quadratic(rng, dimension):
    matrix = rng.normal(size=(dimension, dimension))
    return Quadratic(float(rng.normal()), rng.normal(size=dimension), matrix + matrix.T)


def test_a_quadratic_function_has_the_values_of_its_formula():
    function = Quadratic(1.0, np.array([2.0, 0.0]), np.array([[4.0, 1.0], [1.0, 6.0]]))
    # 1 + 2 x + (4 x^2 + 2 x y + 6 y^2) / 2
    np.testing.assert_allclose(function(np.array([[0, 0], [1, 0], [1, 2.0]])), [1, 5, 1 + 2 + 2 + 2 + 12])


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_full_model_is_exact_on_quadratic_functions(dimension):
    rng = np.random.default_rng(dimension)
    truth = random_quadratic(rng, dimension)
    points = rng.normal(size=(2 * full_size(dimension), dimension))
    found, kind = fit_quadratic(points, truth(points), np.linspace(20, 1, len(points)), 1.1)
    assert kind == "full"
    elsewhere = rng.normal(size=(50, dimension))
    np.testing.assert_allclose(found(elsewhere), truth(elsewhere), rtol=1e-6, atol=1e-6)


def test_a_diagonal_model_is_exact_on_separable_functions():
    rng = np.random.default_rng(0)
    truth = Quadratic(1.0, rng.normal(size=6), np.diag(rng.normal(size=6)))
    points = rng.normal(size=(20, 6))
    found, kind = fit_quadratic(points, truth(points), np.ones(20), 1.1)
    assert kind == "diagonal"
    np.testing.assert_allclose(found(points + 1), truth(points + 1), rtol=1e-6, atol=1e-6)


def test_the_kind_follows_from_the_number_of_points():
    rng = np.random.default_rng(0)
    kinds = [fit_quadratic(rng.normal(size=(n, 4)), rng.normal(size=n), np.ones(n), 1.1) for n in (5, 6, 10, 17)]
    assert [kind and kind[1] for kind in kinds] == [None, "linear", "diagonal", "full"]


def test_heavy_points_are_fitted_better_than_light_ones():
    points, rng = np.linspace(-2, 2, 40)[:, None], np.random.default_rng(0)
    losses = points[:, 0] ** 4
    heavy = np.where(np.abs(points[:, 0]) < 1, 100.0, 1.0)
    near = np.abs(points[:, 0]) < 1
    flat, _ = fit_quadratic(points, losses, np.ones(40), 1.1)
    local, _ = fit_quadratic(points, losses, heavy, 1.1)
    assert np.abs(local(points) - losses)[near].max() < np.abs(flat(points) - losses)[near].max()
    assert rng is not None


@pytest.mark.parametrize("seed", range(30))
def test_the_minimiser_fulfils_the_conditions_of_the_optimum(seed):
    # Moré and Sorensen: (H + m I) z = -g with m >= 0, H + m I positive semidefinite, and m = 0 inside the region.
    rng = np.random.default_rng(seed)
    dimension, radius = int(rng.integers(1, 7)), float(10 ** rng.uniform(-2, 1))
    function = random_quadratic(rng, dimension)
    if seed % 3 == 0:
        function = Quadratic(0.0, function.gradient, function.hessian @ function.hessian + 0.1 * np.eye(dimension))
    point = function.minimiser(radius)
    length = np.linalg.norm(point)
    assert length <= radius * (1 + 1e-6)
    slope = function.gradient + function.hessian @ point
    multiplier = -float(slope @ point) / length**2
    np.testing.assert_allclose(slope, -multiplier * point, atol=1e-5 * (1 + np.abs(slope).max()))
    assert multiplier >= -1e-6
    assert np.linalg.eigvalsh(function.hessian)[0] + multiplier >= -1e-5
    assert multiplier * (radius - length) <= 1e-4 * radius * max(1.0, multiplier)


def test_where_the_slope_says_nothing_the_minimiser_goes_along_the_lowest_curvature():
    function = Quadratic(0.0, np.zeros(2), np.diag([-1.0, 3.0]))
    np.testing.assert_allclose(np.abs(function.minimiser(2.0)), [2.0, 0.0], atol=1e-9)
    mixed = Quadratic(0.0, np.array([0.0, 1.0]), np.diag([-1.0, 3.0]))
    best = min(float(mixed(np.array([[2 * np.cos(a), 2 * np.sin(a)]]))[0]) for a in np.linspace(0, 2 * np.pi, 10_001))
    assert float(mixed(mixed.minimiser(2.0)[None])[0]) == pytest.approx(best, abs=1e-5)


def test_the_minimiser_of_a_constant_is_no_error():
    assert np.linalg.norm(Quadratic(1.0, np.zeros(3), np.zeros((3, 3))).minimiser(1.0)) <= 1.0


def test_a_process_comes_through_precise_points_and_near_others():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 2))
    losses = np.sin(points[:, 0]) + points[:, 1] ** 2
    process = Process(points, losses, np.full(40, 1.0), np.eye(2))
    assert np.abs(process(points) - losses).max() < 0.1
    inside = rng.uniform(-0.7, 0.7, size=(100, 2))
    assert np.abs(process(inside) - np.sin(inside[:, 0]) - inside[:, 1] ** 2).max() < 0.15


def test_a_process_of_few_points_expects_equal_curvatures():
    # Six points do not determine the 66 coefficients in ten dimensions, but the prior does for a sphere.
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 10))
    losses = ((points - 0.5) ** 2).sum(axis=1) / 10
    elsewhere = rng.normal(size=(100, 10))
    predicted = Process(points, losses, np.ones(30), np.eye(10))(elsewhere)
    assert rank_correlation(predicted, ((elsewhere - 0.5) ** 2).sum(axis=1)) > 0.8


def known(function, count, dimension, seed=0):
    history, rng = History(dimension), np.random.default_rng(seed)
    for point in rng.random((count, dimension)):
        history.add(point, function(point))
    return history


def test_models_know_nothing_of_the_scale_of_losses():
    space, probes = Space({f"x{i}": (0.0, 1.0) for i in range(3)}), np.random.default_rng(9).random((20, 3))
    distribution = Distribution(np.full(3, 0.5), 0.3, 7)
    for fit in (fit_local_quadratic, fit_local_process):
        plain = fit(known(lambda x: ((x - 0.3) ** 2).sum(), 60, 3), distribution, Coordinates(space))
        scaled = fit(known(lambda x: 1e6 * ((x - 0.3) ** 2).sum() - 5, 60, 3), distribution, Coordinates(space))
        np.testing.assert_allclose(plain.predict(probes), scaled.predict(probes), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(plain.losses(probes) * 1e6 - 5, scaled.losses(probes), rtol=1e-5)


def test_points_that_failed_count_as_the_worst():
    space, distribution = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)}), Distribution(np.full(2, 0.5), 0.3, 6)
    history = known(lambda x: float(x[0]) if x[1] < 0.7 else np.inf, 60, 2)
    for fit in (fit_local_quadratic, fit_local_process):
        model = fit(history, distribution, Coordinates(space))
        low, high = model.predict(np.array([[0.2, 0.3], [0.2, 0.95]]))
        assert np.isfinite([low, high]).all()
        assert low < high


def test_the_nearest_points_are_found_and_sorted_by_loss():
    history = known(lambda x: float(x[0]), 300, 2)
    distribution = Distribution(np.array([0.5, 0.5]), 0.1, 6)
    points, losses = history.nearest(distribution, 20)
    everything = history._points[:300]
    wanted = np.sort(np.linalg.norm(everything - 0.5, axis=1))[:20]
    np.testing.assert_allclose(np.sort(np.linalg.norm(points - 0.5, axis=1)), wanted)
    assert (np.diff(losses) >= 0).all()


def test_rank_correlation_counts_pairs_in_order():
    assert rank_correlation(np.arange(5), np.arange(5)) == 1
    assert rank_correlation(np.arange(5), -np.arange(5)) == -1
    assert rank_correlation(np.array([1, 2, 3]), np.array([1, 3, 2])) == pytest.approx(1 / 3)


def test_points_are_rounded_to_what_the_space_evaluates():
    space = Space({"n": (1, 7), "x": (0.0, 1.0), "log": Int(1, 100, log=True), "kind": ("a", "b")})
    coordinates, rng = Coordinates(space), np.random.default_rng(0)
    for point in rng.uniform(-0.1, 1.1, size=(200, 3)):
        genome = coordinates.genome(point, space.sample(rng))
        evaluated = space.encode(space.complete(genome, rng))
        np.testing.assert_allclose(coordinates.rounded(point[None])[0], coordinates.point(evaluated), atol=1e-12)
        assert evaluated[3] == genome[3]
