"""A loss as a sum of one function for each gene: the functions that are possible, given some points, and their lows.

Each function of a number is a sum of cosines whose deviations fall with their frequencies, which is a Gaussian process
of low rank (A. Solin and S. Särkkä: Hilbert space methods for reduced-rank Gaussian process regression, 2020,
arXiv:1401.5508); a category has one coefficient for each label. Sums of such processes: D. Duvenaud, H. Nickisch and
C. E. Rasmussen: Additive Gaussian processes, 2011, arXiv:1112.4394.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from evo.algorithms.distribution import Array
from evo.space.space import Space

# The cosines of a number at most, and the coefficients of all genes, beyond which each number has fewer cosines.
_WAVES, _FEWEST, _COEFFICIENTS = 32, 4, 720
# The standard deviations of the constant and of a label; that of the k-th cosine is 1 / k, in units of the spread.
_CONSTANT, _LABEL = 1000.0, 0.5
# The standard deviation of what is not a sum, and of noise, in units of the spread.
_NOISE = 0.02
# The lows of a function of a number are looked for at so many places, and then between them.
_PLACES = 257
# Triangular systems are solved in blocks of so many unknowns.
_BLOCK = 64


class AdditiveBasis:
    """The functions of single genes whose sum a loss may be.

    Args:
        space: The search space.
    """

    def __init__(self, space: Space) -> None:
        genes = [gene for gene in space.genes if not gene.is_constant]
        most = max(_FEWEST, min(_WAVES, _COEFFICIENTS // max(len(genes), 1)))
        of: list[int] = []
        numbers: list[float] = []
        labels: list[bool] = []
        self.places: list[Array] = []
        """Where the lows of the function of each gene are looked for, in ascending order."""
        self.is_fine: list[bool] = []
        """For each gene, whether its low may also lie between these places."""
        ends = [1]
        for index, gene in enumerate(genes):
            is_fine = gene.ordered and gene.cells >= _PLACES
            cells = 0 if is_fine else int(gene.cells)
            places = np.array([gene.of_cell(cell) for cell in range(cells)]) if cells else np.linspace(0, 1, _PLACES)
            self.places.append(places)
            self.is_fine.append(is_fine)
            first, count = (1, min(most, len(places) - 1)) if gene.ordered else (0, len(places))
            of += [index] * count
            numbers += map(float, range(first, first + count))
            labels += [not gene.ordered] * count
            ends.append(ends[-1] + count)
        self._parts = [slice(*both) for both in itertools.pairwise(ends)]
        # For each coefficient but the constant: its gene, and the number of its cosine or label.
        self._genes = np.array(of, dtype=int)
        self._numbers: Array = np.array(numbers, dtype=np.float64)
        self._is_label = np.array(labels, dtype=bool)
        deviations = np.where(self._is_label, _LABEL, 1 / np.maximum(self._numbers, 1.0))
        self.deviations: Array = np.append(_CONSTANT, deviations)
        """The standard deviations of the coefficients before anything is known; the first is the constant."""
        self._values = [
            self._evaluated(places[:, None], slice(part.start - 1, part.stop - 1))
            for part, places in zip(self._parts, self.places, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.deviations)

    def features(self, genomes: Array) -> Array:
        """What the coefficients are multiplied with; nothing where a gene is inactive.

        Args:
            genomes: Shape (points, genes).

        Returns:
            Shape (points, coefficients).
        """
        features = self._evaluated(genomes[:, self._genes], slice(None))
        return np.concatenate([np.ones((len(genomes), 1)), np.nan_to_num(features)], axis=1)

    def _evaluated(self, values: Array, which: slice) -> Array:
        numbers = self._numbers[which]
        return np.asarray(np.where(self._is_label[which], values == numbers, np.cos(math.pi * values * numbers)))

    def low(self, coefficients: Array) -> Array:
        """The genome of the lowest sum, for each gene by itself.

        Args:
            coefficients: Shape (coefficients,).
        """
        genome = np.empty(len(self._parts))
        for index, (part, places) in enumerate(zip(self._parts, self.places, strict=True)):
            heights = self._values[index] @ coefficients[part]
            at = int(heights.argmin())
            genome[index] = places[at]
            if self.is_fine[index] and 0 < at < len(places) - 1:  # The vertex of the parabola through three places.
                before, lowest, after = heights[at - 1 : at + 2]
                bend = before - 2 * lowest + after
                if bend > 0:
                    genome[index] += (places[1] - places[0]) * 0.5 * (before - after) / bend
        return genome


class AdditiveModel:
    """The coefficients that are likely: their sums over the known points, whatever the number of these is.

    Args:
        basis: The functions.
    """

    def __init__(self, basis: AdditiveBasis) -> None:
        self.basis, self.known = basis, 0
        self._products, self._moments = np.zeros((len(basis), len(basis))), np.zeros(len(basis))
        self._fit()

    def add(self, genomes: Array, losses: Array, weights: Array | float = 1.0) -> None:
        """Learn from some points.

        Args:
            genomes: Shape (points, genes).
            losses: Finite, with a spread of about 1, of shape (points,).
            weights: What each point counts, of shape (points,).
        """
        features = self.basis.features(genomes)
        weighted = features.T * weights
        self._products += weighted @ features
        self._moments += weighted @ losses
        self.known += len(losses)
        self._fit()

    def predict(self, genomes: Array) -> Array:
        """The losses that are likely; shape (points,)."""
        return np.asarray(self.basis.features(genomes) @ self._mean)

    def _fit(self) -> None:
        deviations = self.basis.deviations / _NOISE
        precision = self._products * np.outer(deviations, deviations)
        precision[np.diag_indices(len(precision))] += 1.0
        self._lower: Array = np.linalg.cholesky(precision).astype(np.float64, copy=False)
        side = (deviations * self._moments / _NOISE)[:, None]
        self._half = solve_triangular(self._lower, side, is_transposed=False)
        self._mean: Array = self._coefficients(self._half)[:, 0]

    def _coefficients(self, sides: Array) -> Array:
        return np.asarray(self.basis.deviations[:, None] * solve_triangular(self._lower, sides, is_transposed=True))

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Coefficients as they may be, given the points; of shape (count, coefficients)."""
        return self._coefficients(self._half + rng.normal(size=(len(self.basis), count))).T


def solve_triangular(lower: Array, sides: Array, *, is_transposed: bool) -> Array:
    """The solutions of triangular systems of equations.

    scipy has this too, but takes longer to load than thousands of ranks should wait at their start.

    Args:
        lower: A lower triangular matrix, of shape (unknowns, unknowns).
        sides: The right sides, of shape (unknowns, systems).
        is_transposed: Whether the matrix of the systems is `lower` transposed.
    """
    found = sides.copy()
    starts = range(0, len(lower), _BLOCK)
    for start in reversed(starts) if is_transposed else starts:
        block, rest = slice(start, start + _BLOCK), slice(start + _BLOCK, None)
        if is_transposed:
            found[block] = np.linalg.solve(lower[block, block].T, found[block] - lower[rest, block].T @ found[rest])
        else:
            before = slice(0, start)
            found[block] = np.linalg.solve(lower[block, block], found[block] - lower[block, before] @ found[before])
    return found
