"""Densities of kernels over the genome, group by group: what a tree-structured Parzen estimator is made of.

Genes that exist under the same condition form a group, and a group's kernels are the individuals in which it is active.
All densities are relative to the uniform one, in which a grid's cell has the share of the range that it covers: so the
uniform kernel is 1 everywhere, and floats, grids and categories are of one kind.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evo.space.genes import Gene
from evo.space.space import Space

_MOST_CELLS = 64  # Grids of more cells are estimated like floats; the space rounds what is drawn.
_FINEST = 100  # The least width of a kernel is 1 / min(_FINEST, kernels + 2) of the range.

Floats = NDArray[np.float64]


def normal_cdf(values: Floats) -> Floats:
    """The distribution function of the standard normal distribution, with a relative error below 1.2e-7.

    From the rational Chebyshev fit of erfc in Press et al., Numerical Recipes, 3rd edition, section 6.2.2.

    Args:
        values: Any shape.
    """
    z = np.abs(values) * math.sqrt(0.5)
    t = 1.0 / (1.0 + 0.5 * z)
    exponent = np.zeros_like(t)
    for factor in _ERFC:
        exponent = exponent * t + factor
    tail = 0.5 * t * np.exp(-z * z + exponent)
    return np.where(values < 0, tail, 1.0 - tail)


_ERFC = (
    0.17087277,
    -0.82215223,
    1.48851587,
    -1.13520398,
    0.27886807,
    -0.18628806,
    0.09678418,
    0.37409196,
    1.00002368,
    -1.26551223,
)


class GeneGroup:
    """Genes that are active together, and how each of them is estimated.

    Args:
        places: The places of the genes in the genome.
        genes: The genes.
    """

    def __init__(self, places: list[int], genes: list[Gene]) -> None:
        self.places, self.genes = np.array(places), genes
        cells = np.array([gene.cells for gene in genes])
        ordered = np.array([gene.ordered for gene in genes], dtype=bool)
        # Positions within the group.
        self.numbers = np.nonzero(ordered)[0]
        self.categories = np.nonzero(~ordered)[0]
        self.counts = cells[self.categories]
        # Among the numbers: which ones are estimated like floats, and which as grids.
        self.fine = np.nonzero(cells[self.numbers] > _MOST_CELLS)[0]
        self.coarse = np.nonzero(cells[self.numbers] <= _MOST_CELLS)[0]
        most = int(cells[self.numbers][self.coarse].max(initial=0))
        # The middles of the cells and the shares of the range that they cover, of shape (grids, most cells).
        self.middles, self.shares = np.full((len(self.coarse), most), 0.5), np.zeros((len(self.coarse), most))
        for row, number in enumerate(self.coarse):
            gene = genes[self.numbers[number]]
            middles = np.array([gene.of_cell(cell) for cell in range(int(gene.cells))])
            edges = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [1.0]])
            self.middles[row, : len(middles)], self.shares[row, : len(middles)] = middles, np.diff(edges)

    def cells(self, numbers: Floats) -> NDArray[np.intp]:
        """The cells of the grids among the numbers, shape (points, grids)."""
        distances = np.abs(numbers[:, self.coarse, None] - self.middles)
        distances[:, self.shares == 0] = np.inf
        return np.asarray(distances.argmin(axis=2), dtype=np.intp)


def gene_groups(space: Space) -> list[GeneGroup]:
    """The groups of genes of a space, each after those that its condition depends on."""
    searched = {index: place for place, index in enumerate(i for i, g in enumerate(space.genes) if not g.is_constant)}
    groups: dict[str, list[int]] = {}
    for index in space.order:
        if index in searched:
            groups.setdefault(repr(sorted(space.genes[index].when, key=repr)), []).append(index)
    return [GeneGroup([searched[i] for i in indices], [space.genes[i] for i in indices]) for indices in groups.values()]


class KernelDensity:
    """A mixture of one kernel around each of some points, and the uniform density.

    Numbers have normal kernels cut off at the bounds, whose width is the larger distance to the two neighbours, as in
    Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011, section 4; grids have the values of the
    same kernels at their cells, scaled to a sum of 1; a category shares a little of its weight with the others.

    Args:
        group: The genes.
        points: The points, of shape (kernels, genes), without NaN.
        uniform: The weight of the uniform density; each kernel has the weight 1.
    """

    def __init__(self, group: GeneGroup, points: Floats, uniform: float) -> None:
        self.group = group
        self.weights = np.append(np.ones(len(points)), uniform)  # The last kernel is the uniform one.
        self._means = points[:, group.numbers]
        self._widths = self._chosen_widths()
        self._constant = np.append(self._log_constant(points), 0.0)
        self._labels = points[:, group.categories]
        self._leak = 1.0 / (len(points) + 1)

    def _chosen_widths(self) -> Floats:
        means, count = self._means, len(self._means)
        if not means.size:
            return np.ones_like(means)
        order = np.argsort(means, axis=0, kind="stable")
        ordered = np.take_along_axis(means, order, axis=0)
        bounds = np.zeros((1, means.shape[1]))
        gaps = np.diff(np.concatenate([bounds, ordered, bounds + 1.0]), axis=0)
        wide = np.maximum(gaps[:-1], gaps[1:])
        if count > 1:  # The outermost kernels need not reach the bounds.
            wide[0], wide[-1] = gaps[1], gaps[-2]
        widths = np.empty_like(means)
        np.put_along_axis(widths, order, np.clip(wide, 1.0 / min(_FINEST, count + 2), 1.0), axis=0)
        coarse = self.group.coarse
        if len(coarse):  # On a grid, a kernel reaches the neighbouring cells.
            own = np.take_along_axis(self.group.shares.T, self.group.cells(means), axis=0)
            widths[:, coarse] = np.maximum(widths[:, coarse], own / 2)
        return widths

    def _log_constant(self, points: Floats) -> Floats:
        """The logarithm of what each kernel is divided by, so that its integral is 1; shape (kernels,)."""
        fine, coarse, total = self.group.fine, self.group.coarse, np.zeros(len(points))
        means, widths = self._means[:, fine], self._widths[:, fine]
        mass = normal_cdf((1.0 - means) / widths) - normal_cdf(-means / widths)
        total += np.log(math.sqrt(2 * math.pi) * widths * mass).sum(axis=1)
        if len(coarse):
            total += np.log(self._on_cells(self._means[:, coarse], self._widths[:, coarse]).sum(axis=2)).sum(axis=1)
        return total

    def _on_cells(self, means: Floats, widths: Floats) -> Floats:
        """Normal kernels on the cells of the grids, not scaled; shape (kernels, grids, most cells)."""
        distances = (self.group.middles - means[:, :, None]) / widths[:, :, None]
        return np.asarray(np.exp(-0.5 * distances * distances) * self.group.shares)

    def log_kernels(self, points: Floats) -> Floats:
        """The logarithm of each kernel at each point, relative to the uniform density.

        Args:
            points: Shape (points, genes).

        Returns:
            Shape (kernels + 1, points); the last kernel is the uniform one, whose logarithm is 0.
        """
        values = np.zeros((len(self.weights), len(points)))
        x, precision = points[:, self.group.numbers].T, self._widths**-2.0
        weighted = precision * self._means
        exponent = (precision * 0.5) @ (x * x) - weighted @ x + 0.5 * (weighted * self._means).sum(axis=1)[:, None]
        values[:-1] = -np.maximum(exponent, 0.0) - self._constant[:-1, None]
        if self.group.categories.size:
            equal = self._labels[:, None, :] == points[None][:, :, self.group.categories]
            leak, counts = self._leak, self.group.counts
            other = np.log(counts * leak / (1 + counts * leak)).sum()
            values[:-1] += other + math.log((1 + leak) / leak) * equal.sum(axis=2)
        return values

    def log(self, points: Floats) -> Floats:
        """The logarithm of the density at each point, relative to the uniform density.

        Args:
            points: Shape (points, genes).
        """
        terms = self.log_kernels(points) + np.log(self.weights / self.weights.sum())[:, None]
        highest = terms.max(axis=0)
        return np.asarray(highest + np.log(np.exp(terms - highest).sum(axis=0)))

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Points from the density.

        Args:
            count: The number of points.
            rng: The only source of randomness.

        Returns:
            Shape (points, genes).
        """
        return self.draw_from(rng.choice(len(self.weights), count, p=self.weights / self.weights.sum()), rng)

    def draw_from(self, chosen: NDArray[np.intp], rng: np.random.Generator) -> Floats:
        """One point of each chosen kernel.

        Args:
            chosen: The numbers of the kernels.
            rng: The only source of randomness.

        Returns:
            Shape (points, genes).
        """
        group = self.group
        points, uniform = np.empty((len(chosen), len(group.places))), chosen == len(self._means)
        kernels = np.where(uniform, 0, chosen)
        means = self._means[kernels] if len(self._means) else np.full((len(chosen), len(group.numbers)), 0.5)
        widths = self._widths[kernels] if len(self._means) else np.ones_like(means)
        if group.numbers.size:
            points[:, group.numbers] = _truncated(means, widths, rng)
            points[np.ix_(uniform, group.numbers)] = rng.random((int(uniform.sum()), len(group.numbers)))
        if group.coarse.size:
            widths[uniform] = np.inf
            cumulative = self._on_cells(means[:, group.coarse], widths[:, group.coarse]).cumsum(axis=2)
            levels = rng.random(cumulative.shape[:2])[:, :, None] * cumulative[:, :, -1:]
            cells = (levels >= cumulative).sum(axis=2)
            points[:, group.numbers[group.coarse]] = group.middles[np.arange(len(group.coarse)), cells]
        if group.categories.size:
            shape, counts = (len(chosen), len(group.categories)), group.counts
            anew = (rng.random(shape) < counts * self._leak / (1 + counts * self._leak)) | uniform[:, None]
            labels = self._labels[kernels] if len(self._means) else np.zeros(shape)
            points[:, group.categories] = np.where(anew, np.floor(rng.random(shape) * counts), labels)
        return points


def _truncated(means: Floats, widths: Floats, rng: np.random.Generator) -> Floats:
    """Normal numbers within [0, 1]; at least a third of all draws are, because no width is above 1."""
    values = rng.normal(means, widths)
    while (outside := (values < 0) | (values > 1)).any():
        values[outside] = rng.normal(means[outside], widths[outside])
    return np.asarray(values)
