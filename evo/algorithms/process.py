"""A Gaussian process whose prior is a quadratic function, shrunk towards a simple one, and a smooth remainder.

The kernel is a sum: of polynomials, which make a constant, a linear, an isotropic, a separable and a full quadratic
part, each with its own amplitude, and of a squared exponential for what is not quadratic. Where points are fewer than
the coefficients of a quadratic model, the prior decides: in the metric of a search distribution, curvatures are likely
to be equal. See C. E. Rasmussen and C. K. I. Williams: Gaussian processes for machine learning, 2006, chapter 2.
"""

from __future__ import annotations

import numpy as np

from evo.algorithms.distribution import Array
from evo.algorithms.quadratic import Quadratic

# The standard deviations of the parts, in units of the spread of losses; the first three are hardly shrunk.
_CONSTANT, _LINEAR, _ISOTROPIC = 10.0, 10.0, 3.0
_SEPARABLE, _FULL, _REMAINDER = 0.3, 0.1, 3.0
# The length scale of the remainder, in units of the root mean square of the lengths of points.
_LENGTH_SCALE = 1.0
# The standard deviation of the noise of the point of the lowest weight.
_NOISE = 0.1
# The number of steps of a descent.
_DESCENTS = 30


class Process:
    """The mean of the process, given points and their losses: a quadratic function and a smooth remainder.

    Args:
        points: Points in the metric, of shape (points, coordinates).
        losses: Their losses, of a spread of about 1, of shape (points,).
        weights: The precision of each loss relative to the others, of shape (points,).
        to_axes: The matrix from the metric to the coordinates along which the function may be separable.
    """

    def __init__(self, points: Array, losses: Array, weights: Array, to_axes: Array) -> None:
        self.points, self._lengths = points, (points**2).sum(axis=1)
        lengths, squares, shares = self._lengths, (points @ to_axes.T) ** 2, weights / weights.sum()
        second, fourth = max(float(shares @ lengths), 1e-300), max(float(shares @ lengths**2), 1e-300)
        separate = max(float(shares @ (squares**2).sum(axis=1)), 1e-300)
        self._squared_scale = _LENGTH_SCALE**2 * second
        products: Array = points @ points.T
        linear, isotropic = _LINEAR**2 / second, _ISOTROPIC**2 / fourth
        separable, full = _SEPARABLE**2 / separate, _FULL**2 / fourth
        covariance: Array = _CONSTANT**2 + linear * products + full * products**2 + self._remainders(products, lengths)
        covariance += isotropic * np.outer(lengths, lengths) + separable * squares @ squares.T
        covariance[np.diag_indices(len(losses))] += _NOISE**2 * weights.min() / weights
        found: Array = np.asarray(np.linalg.solve(covariance, losses), dtype=np.float64)
        self._coefficients: Array = _REMAINDER**2 * found
        hessian: Array = full * (points.T * found) @ points + separable * (to_axes.T * (found @ squares)) @ to_axes
        hessian += isotropic * float(found @ lengths) * np.eye(points.shape[1])
        self.quadratic = Quadratic(_CONSTANT**2 * float(found.sum()), linear * (found @ points), 2 * hessian)

    def _remainders(self, products: Array, lengths: Array) -> Array:
        distances = np.maximum(lengths[:, None] + self._lengths - 2 * products, 0.0)
        return np.asarray(_REMAINDER**2 * np.exp(distances / (-2 * self._squared_scale)))

    def __call__(self, points: Array) -> Array:
        """The means at points, of shape (points, coordinates)."""
        kernel = self._remainders(points @ self.points.T, (points**2).sum(axis=1)) / _REMAINDER**2
        return self.quadratic(points) + kernel @ self._coefficients

    def values_and_slopes(self, points: Array) -> tuple[Array, Array]:
        """The means at points, and their gradients; see `__call__`.

        Args:
            points: Shape (points, coordinates).
        """
        lengths = (points**2).sum(axis=1)
        parts = self._remainders(points @ self.points.T, lengths) / _REMAINDER**2 * self._coefficients
        slopes = self.quadratic.gradient + points @ self.quadratic.hessian
        slopes -= (parts.sum(axis=1)[:, None] * points - parts @ self.points) / self._squared_scale
        return self.quadratic(points) + parts.sum(axis=1), slopes

    def _value_and_slope(self, point: Array) -> tuple[float, Array]:
        away = point - self.points
        parts = np.exp((away**2).sum(axis=1) / (-2 * self._squared_scale)) * self._coefficients
        curved = self.quadratic.hessian @ point
        value = self.quadratic.constant + float((self.quadratic.gradient + 0.5 * curved) @ point) + float(parts.sum())
        return value, self.quadratic.gradient + curved - parts @ away / self._squared_scale

    def minimiser(self, radius: float) -> Array:
        """A low point within a radius of the origin, by descent from the origin and from the best known point.

        Args:
            radius: The radius of the trust region, positive.
        """
        ends = [self._descend(start, radius) for start in (np.zeros(self.points.shape[1]), self.points[0])]
        return min(ends, key=lambda end: end[0])[1]

    def _descend(self, start: Array, radius: float) -> tuple[float, Array]:
        """Projected gradient descent with the step lengths of J. Barzilai and J. M. Borwein (1988)."""
        point = start * min(1.0, radius / max(float(np.linalg.norm(start)), 1e-300))
        value, slope = self._value_and_slope(point)
        rate = 1.0
        for _ in range(_DESCENTS):
            other = point - rate * slope
            other *= min(1.0, radius / max(float(np.linalg.norm(other)), 1e-300))
            lower, other_slope = self._value_and_slope(other)
            if lower < value:
                step, change = other - point, other_slope - slope
                point, value, slope = other, lower, other_slope
                curvature = float(step @ change)
                rate = float(step @ step) / curvature if curvature > 1e-12 else 2 * rate
            else:
                rate *= 0.3
        return value, point
