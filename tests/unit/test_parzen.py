"""Densities of kernels: against values worked out by hand, and drawn as they are evaluated."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

import evo
from evo.algorithms.parzen import GeneGroup, KernelDensity, gene_groups, normal_cdf
from evo.space.space import Space

NORMAL = NormalDist()


def only_group(limit: object) -> GeneGroup:
    (group,) = gene_groups(Space({"x": limit}))
    return group


def density(limit: object, points: list[float]) -> KernelDensity:
    return KernelDensity(only_group(limit), np.array(points).reshape(-1, 1), 1.0)


def at(kernels: KernelDensity, *points: float) -> np.ndarray:
    """The densities of all kernels at some points, of shape (kernels + 1, points)."""
    return np.exp(kernels.log_kernels(np.array(points).reshape(-1, 1)))


def test_the_normal_distribution_function_is_half_the_complementary_error_function() -> None:
    values = np.linspace(-8, 8, 401)
    exact = np.array([0.5 * math.erfc(-value * math.sqrt(0.5)) for value in values])
    np.testing.assert_allclose(normal_cdf(values), exact, rtol=1.3e-7)


def test_a_single_float_kernel_is_a_normal_one_cut_off_at_the_bounds() -> None:
    # The larger distance to a bound is 0.7, so the kernel is N(0.3, 0.7) within [0, 1].
    mass = NORMAL.cdf(1.0) - NORMAL.cdf(-0.3 / 0.7)
    expected = [NORMAL.pdf((x - 0.3) / 0.7) / 0.7 / mass for x in (0.0, 0.3, 0.9)]
    np.testing.assert_allclose(at(density((0.0, 5.0), [0.3]), 0.0, 0.3, 0.9)[0], expected, rtol=1e-6)


def test_the_uniform_kernel_is_one_everywhere() -> None:
    np.testing.assert_array_equal(at(density((0.0, 5.0), [0.3]), 0.0, 0.3, 0.9)[1], 1.0)


def test_the_width_is_the_larger_distance_to_a_neighbour_but_outermost_kernels_do_not_reach_for_the_bounds() -> None:
    # Gaps: 0.5 to the bound, 0.1, 0.25, 0.15 to the bound; the least width is 1 / (3 + 2) = 0.2.
    kernels = density((0.0, 1.0), [0.6, 0.5, 0.85])
    for number, (mean, width) in enumerate([(0.6, 0.25), (0.5, 0.2), (0.85, 0.25)]):
        mass = NORMAL.cdf((1 - mean) / width) - NORMAL.cdf(-mean / width)
        peak = 1 / (width * math.sqrt(2 * math.pi)) / mass
        assert at(kernels, mean)[number, 0] == pytest.approx(peak, rel=1e-6)


def test_the_least_width_is_a_hundredth_of_the_range() -> None:
    kernels = density((0.0, 1.0), [0.5] * 150)
    assert at(kernels, 0.5)[0, 0] == pytest.approx(100 / math.sqrt(2 * math.pi), rel=1e-6)


def test_a_grid_has_the_kernel_at_its_cells_scaled_to_a_sum_of_one() -> None:
    # Cells 0.125, 0.375, 0.625, 0.875; from 0.375 the larger distance is 0.625.
    values = np.exp(-0.5 * (np.array([-0.25, 0.0, 0.25, 0.5]) / 0.625) ** 2)
    shares = at(density((1, 4), [0.375]), 0.125, 0.375, 0.625, 0.875)[0] / 4
    np.testing.assert_allclose(shares, values / values.sum(), rtol=1e-12)


def test_on_a_logarithmic_grid_a_cell_counts_with_the_share_of_the_range_that_it_covers() -> None:
    group = only_group(evo.Int(1, 8, log=True))
    kernels = KernelDensity(group, np.array([[group.genes[0].encode(2)]]), 1.0)
    cells = [group.genes[0].of_cell(cell) for cell in range(8)]
    widths = np.diff([0.0, *(np.array(cells[1:]) + np.array(cells[:-1])) / 2, 1.0])
    assert (at(kernels, *cells)[0] * widths).sum() == pytest.approx(1.0)
    assert widths[0] > 3 * widths[-1]


def test_a_category_shares_a_little_of_its_weight_with_the_others() -> None:
    # One kernel: a share of 1 / (1 + 1) for every other one, so 1.5 to 0.5 to 0.5.
    np.testing.assert_allclose(at(density(("a", "b", "c"), [1.0]), 0, 1, 2)[0] / 3, [0.2, 0.6, 0.2])


def test_several_genes_multiply_and_weights_add() -> None:
    (group,) = gene_groups(Space({"x": (0.0, 1.0), "c": ("a", "b", "c"), "n": (1, 4)}))
    points = np.array([[0.3, 1.0, 0.375], [0.8, 2.0, 0.125]])
    whole = KernelDensity(group, points, 2.0)
    single = [
        density(limit, list(points[:, place])).log_kernels(points[:1, [place]])
        for place, limit in enumerate([(0.0, 1.0), ("a", "b", "c"), (1, 4)])
    ]
    np.testing.assert_allclose(whole.log_kernels(points[:1]), np.sum(single, axis=0), atol=1e-12)
    mixed = whole.log(points[:1])
    expected = np.log((np.exp(np.sum(single, axis=0))[:, 0] * [0.25, 0.25, 0.5]).sum())
    np.testing.assert_allclose(mixed, expected)


@pytest.mark.parametrize("limit", [(0.0, 1.0), (1, 5), evo.Int(1, 9, log=True), (1, 1000), ("a", "b", "c")])
def test_points_are_drawn_as_the_densities_say(limit: object) -> None:
    group = only_group(limit)
    of_cell = group.genes[0].of_cell if group.counts.size or group.coarse.size else (lambda cell: cell)
    means = [of_cell(1), of_cell(0)] if group.counts.size or group.coarse.size else [0.2, 0.7]
    kernels = KernelDensity(group, np.array(means).reshape(-1, 1), 1.0)
    rng = np.random.default_rng(3)
    drawn = kernels.draw_from(np.full(8000, 0), rng)[:, 0]
    uniform = kernels.draw_from(np.full(8000, 2), rng)[:, 0]
    # By importance: the mean of anything under the kernel is its mean under the uniform density, with the density.
    density_there = at(kernels, *uniform)[0]
    for power in (1, 2):
        assert (drawn**power).mean() == pytest.approx((uniform**power * density_there).mean(), rel=0.05)


def test_genes_of_equal_conditions_form_a_group_behind_that_of_their_parents() -> None:
    space = Space(
        {
            "deep": evo.Float(0.0, 1.0, when={"kind": "a", "sub": "x"}),
            "sub": evo.Choice("x", "y", when={"kind": "a"}),
            "kind": ("a", "b"),
            "rate": (0.0, 1.0),
            "other": evo.Int(1, 9, when={"kind": "a"}),
        }
    )
    assert [[gene.name for gene in group.genes] for group in gene_groups(space)] == [
        ["kind", "rate"],
        ["sub", "other"],
        ["deep"],
    ]
    assert [group.places.tolist() for group in gene_groups(space)] == [[2, 3], [1, 4], [0]]


def test_without_points_the_density_is_uniform() -> None:
    kernels = density((0.0, 1.0), [])
    np.testing.assert_array_equal(at(kernels, 0.1, 0.9), [[1.0, 1.0]])
    assert len(np.unique(kernels.draw_from(np.zeros(5, dtype=int), np.random.default_rng(0)))) == 5
