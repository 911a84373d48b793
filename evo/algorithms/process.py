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


class _Prior:
    """What points and the prior say, whatever the losses.

    Args:
        points: Points in the metric, of shape (points, coordinates).
        weights: The precision of each loss relative to the others, of shape (points,).
        to_axes: The matrix from the metric to the coordinates along which the function may be separable.
    """

    def __init__(self, points: Array, weights: Array, to_axes: Array) -> None:
        self.points, self.lengths, self.to_axes = points, (points**2).sum(axis=1), to_axes
        lengths, shares = self.lengths, weights / weights.sum()
        self.squares = (points @ to_axes.T) ** 2
        second, fourth = max(float(shares @ lengths), 1e-300), max(float(shares @ lengths**2), 1e-300)
        separate = max(float(shares @ (self.squares**2).sum(axis=1)), 1e-300)
        self.squared_scale = _LENGTH_SCALE**2 * second
        products: Array = points @ points.T
        self.linear, self.isotropic = _LINEAR**2 / second, _ISOTROPIC**2 / fourth
        self.separable, self.full = _SEPARABLE**2 / separate, _FULL**2 / fourth
        covariance: Array = _CONSTANT**2 + self.linear * products + self.full * products**2
        covariance += _REMAINDER**2 * self.kernel(products, lengths)
        covariance += self.isotropic * np.outer(lengths, lengths) + self.separable * self.squares @ self.squares.T
        covariance[np.diag_indices(len(points))] += _NOISE**2 * weights.min() / weights
        self.covariance = covariance

    def kernel(self, products: Array, lengths: Array) -> Array:
        """The squared exponential between other points and these, given their inner products and squared lengths."""
        distances = np.maximum(lengths[:, None] + self.lengths - 2 * products, 0.0)
        return np.asarray(np.exp(distances / (-2 * self.squared_scale)))

    def quadratic(self, found: Array) -> Quadratic:
        """The quadratic part of the mean, given the covariance's solution for some losses."""
        points, to_axes = self.points, self.to_axes
        hessian: Array = self.full * (points.T * found) @ points
        hessian += self.separable * (to_axes.T * (found @ self.squares)) @ to_axes
        hessian += self.isotropic * float(found @ self.lengths) * np.eye(points.shape[1])
        return Quadratic(_CONSTANT**2 * float(found.sum()), self.linear * (found @ points), 2 * hessian)


class Processes:
    """The means of processes for several losses of the same points.

    Args:
        points: Points in the metric, of shape (points, coordinates).
        losses: Losses of a spread of about 1, of shape (points, losses of each).
        weights: The precision of each point's losses relative to the others, of shape (points,).
        to_axes: The matrix from the metric to the coordinates along which the functions may be separable.
    """

    def __init__(self, points: Array, losses: Array, weights: Array, to_axes: Array) -> None:
        self._prior = _Prior(points, weights, to_axes)
        found: Array = np.asarray(np.linalg.solve(self._prior.covariance, losses), dtype=np.float64)
        self._coefficients: Array = _REMAINDER**2 * found
        quadratics = [self._prior.quadratic(column) for column in found.T]
        self._constants = np.array([one.constant for one in quadratics])
        self._gradients = np.array([one.gradient for one in quadratics])
        self._hessians = np.array([one.hessian for one in quadratics])

    def __call__(self, points: Array) -> Array:
        """The means at points, of shape (points, losses of each)."""
        return self._parts(points)[0]

    def values_and_slopes(self, points: Array) -> tuple[Array, Array]:
        """The means at points, and their gradients, of shape (points, losses of each, coordinates)."""
        values, curved, kernel = self._parts(points)
        slopes = self._gradients[:, None] + curved
        for slope, coefficients in zip(slopes, self._coefficients.T, strict=True):
            parts = kernel * coefficients
            slope -= (parts.sum(axis=1)[:, None] * points - parts @ self._prior.points) / self._prior.squared_scale
        return values, slopes.transpose(1, 0, 2)

    def _parts(self, points: Array) -> tuple[Array, Array, Array]:
        """The means, the slopes of the quadratic parts without the gradients, and the kernel."""
        kernel = self._prior.kernel(points @ self._prior.points.T, (points**2).sum(axis=1))
        curved = points @ self._hessians
        values = self._constants + points @ self._gradients.T + 0.5 * (curved * points).sum(axis=2).T
        return values + kernel @ self._coefficients, curved, kernel


class Process:
    """The mean of the process, given points and their losses: a quadratic function and a smooth remainder.

    Args:
        points: Points in the metric, of shape (points, coordinates).
        losses: Their losses, of a spread of about 1, of shape (points,).
        weights: The precision of each loss relative to the others, of shape (points,).
        to_axes: The matrix from the metric to the coordinates along which the function may be separable.
    """

    def __init__(self, points: Array, losses: Array, weights: Array, to_axes: Array) -> None:
        self.points, self._prior = points, _Prior(points, weights, to_axes)
        self._squared_scale = self._prior.squared_scale
        found: Array = np.asarray(np.linalg.solve(self._prior.covariance, losses), dtype=np.float64)
        self._coefficients: Array = _REMAINDER**2 * found
        self.quadratic = self._prior.quadratic(found)

    def __call__(self, points: Array) -> Array:
        """The means at points, of shape (points, coordinates)."""
        kernel = self._prior.kernel(points @ self.points.T, (points**2).sum(axis=1))
        return self.quadratic(points) + kernel @ self._coefficients

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
