"""A Gaussian process whose prior is a quadratic function, shrunk towards a simple one, and a smooth remainder.

The kernel is a sum: of polynomials, which make a constant, a linear, an isotropic, a separable and a full quadratic
part, each with its own amplitude, and of a squared exponential for what is not quadratic. Where points are fewer than
the coefficients of a quadratic model, the prior decides: in the metric of a search distribution, curvatures are likely
to be equal. See C. E. Rasmussen and C. K. I. Williams: Gaussian processes for machine learning, 2006, chapter 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evo.algorithms.distribution import Array

# The standard deviations of the parts, in units of the spread of losses; the first three are hardly shrunk.
_CONSTANT, _LINEAR, _ISOTROPIC = 10.0, 10.0, 3.0
_SEPARABLE, _FULL, _REMAINDER = 0.3, 0.1, 3.0
# The length scale of the remainder, in units of the root mean square of the lengths of points.
_LENGTH_SCALE = 1.0
# The standard deviation of the noise of the point of the lowest weight.
_NOISE = 0.1


@dataclass(frozen=True)
class _Features:
    """What the kernel needs of points: in the metric, their squared lengths there, and squares along coordinates."""

    points: Array
    lengths: Array
    squares: Array


class Process:
    """The mean of the process, given points and their losses.

    Args:
        points: Points in the metric, of shape (points, coordinates).
        losses: Their losses, of a spread of about 1, of shape (points,).
        weights: The precision of each loss relative to the others, of shape (points,).
        to_axes: The matrix from the metric to the coordinates along which the function may be separable.
    """

    def __init__(self, points: Array, losses: Array, weights: Array, to_axes: Array) -> None:
        self._to_axes = to_axes
        self._known = self._features(points)
        shares = weights / weights.sum()
        self._second = max(float(shares @ self._known.lengths), 1e-300)
        self._fourth = max(float(shares @ self._known.lengths**2), 1e-300)
        self._separate = max(float(shares @ self._known.squares.sum(axis=1)), 1e-300)
        covariance = self._kernel(self._known)
        covariance[np.diag_indices(len(losses))] += _NOISE**2 * weights.min() / weights
        self._coefficients = np.linalg.solve(covariance, losses)

    def _features(self, points: Array) -> _Features:
        along = points @ self._to_axes.T
        return _Features(points, (points**2).sum(axis=1), along**2)

    def _kernel(self, points: _Features) -> Array:
        known = self._known
        products = points.points @ known.points.T
        distances = np.maximum(points.lengths[:, None] + known.lengths - 2 * products, 0.0)
        kernel: Array = (
            _CONSTANT**2
            + _LINEAR**2 / self._second * products
            + _ISOTROPIC**2 / self._fourth * np.outer(points.lengths, known.lengths)
            + _SEPARABLE**2 / self._separate * points.squares @ known.squares.T
            + _FULL**2 / self._fourth * products**2
            + _REMAINDER**2 * np.exp(distances / (-2 * _LENGTH_SCALE**2 * self._second))
        )
        return kernel

    def __call__(self, points: Array) -> Array:
        """The means at points, of shape (points, coordinates)."""
        return np.asarray(self._kernel(self._features(points)) @ self._coefficients)
