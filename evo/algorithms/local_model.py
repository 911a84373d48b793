"""Models of the loss around the mean of a search distribution, in its metric."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Array, Distribution
from evo.algorithms.history import History
from evo.algorithms.process import Process
from evo.algorithms.quadratic import Quadratic, fit_quadratic, full_size

# Points per coefficient of a full quadratic model; fewer (1.4) were worse, as the farther ones steady the fit.
_POINTS = 2.0
# Points of a quadratic model at most; with 29 coordinates or more, it stays diagonal, as a full one would take long.
_MOST = 500
# Losses in units of the spread are cut off here, so that their squares are still numbers.
_LARGEST = 1e100
# Points per coefficient from which a quadratic model of a richer kind is fitted.
_ENOUGH = 1.1
# Points of a process: so many, and so many per coefficient of a full quadratic model, and how many at most.
_LEAST_OF_PROCESS, _POINTS_OF_PROCESS, _MOST_OF_PROCESS = 20, 1.5, 250
# The weight of the best point, when the worst has weight 1.
_WEIGHT_OF_BEST = 20.0


class Metric(NamedTuple):
    """Where a model is at home.

    Args:
        centre: Its origin.
        from_sphere: The matrix from the metric to steps of coordinates.
        to_sphere: Its inverse.
    """

    centre: Array
    from_sphere: Array
    to_sphere: Array


class LocalModel:
    """What the loss is likely to be.

    Args:
        function: The losses at points in the metric, in units of the spread above the offset.
        metric: The metric.
        offset: The lowest loss that it was fitted to.
        spread: The distance from it to the median of these losses.
        is_full: Whether it has a coefficient for each pair of coordinates.
    """

    def __init__(
        self, function: Quadratic | Process, metric: Metric, offset: float, spread: float, is_full: bool
    ) -> None:
        self.function, self.metric = function, metric
        self.offset, self.spread, self.is_full = offset, spread, is_full

    def normalised(self, losses: Array) -> Array:
        """Losses in the units of predictions."""
        return _relative(losses, self.offset, self.spread)

    def predict(self, points: Array) -> Array:
        """Predicted losses, in units of the spread above the offset.

        Args:
            points: Points as they would be evaluated, of shape (points, coordinates).
        """
        return self.function((points - self.metric.centre) @ self.metric.to_sphere.T)

    def losses(self, points: Array) -> Array:
        """Predicted losses; see `predict`."""
        return self.offset + self.spread * self.predict(points)

    def minimiser(self, radius: float) -> Array:
        """The point of the lowest prediction within a radius of the centre, in the metric."""
        return self.metric.centre + self.metric.from_sphere @ self.function.minimiser(radius)


def fit_local_quadratic(history: History, distribution: Distribution, coordinates: Coordinates) -> LocalModel | None:
    """The quadratic model of the points nearest to the mean of a distribution; None while they are too few.

    Args:
        history: The known points.
        distribution: The distribution.
        coordinates: What the coordinates are.
    """
    size = full_size(len(coordinates))
    found = _neighbours(history, distribution, min(int(_POINTS * size) + 2, _MOST))
    if found is None:
        return None
    points, losses, offset, spread = found
    if len(losses) >= _ENOUGH * size:
        metric = Metric(distribution.mean, distribution.from_sphere, distribution.to_sphere)
    else:  # Along the coordinates, a diagonal model is exact for separable functions.
        deviations = distribution.deviations
        metric = Metric(distribution.mean, np.diag(deviations), np.diag(1 / deviations))
    model = fit_quadratic((points - metric.centre) @ metric.to_sphere.T, losses, _weights(len(losses)), _ENOUGH)
    return None if model is None else LocalModel(model[0], metric, offset, spread, model[1] == "full")


def fit_local_process(history: History, distribution: Distribution, coordinates: Coordinates) -> LocalModel | None:
    """The Gaussian process of the points nearest to the mean of a distribution; None while they are too few.

    Args:
        history: The known points.
        distribution: The distribution.
        coordinates: What the coordinates are.
    """
    count = int(_LEAST_OF_PROCESS + _POINTS_OF_PROCESS * full_size(len(coordinates)))
    found = _neighbours(history, distribution, min(count, _MOST_OF_PROCESS))
    if found is None:
        return None
    points, losses, offset, spread = found
    metric = Metric(distribution.mean, distribution.from_sphere, distribution.to_sphere)
    to_axes = distribution.from_sphere / distribution.deviations[:, None]
    process = Process((points - metric.centre) @ metric.to_sphere.T, losses, _weights(len(losses)), to_axes)
    return LocalModel(process, metric, offset, spread, False)


def _neighbours(history: History, distribution: Distribution, count: int) -> tuple[Array, Array, float, float] | None:
    """The nearest points, their normalised losses, and the lowest loss and the spread that these are relative to."""
    points, losses = history.nearest(distribution, count)
    finite = np.isfinite(losses)
    if finite.sum() < distribution.dimension + 2:
        return None
    losses = np.where(finite, losses, losses[finite][-1])  # What failed counts as the worst.
    offset = float(losses[0])
    spread = float(losses[len(losses) // 2]) - offset or float(losses[-1]) - offset or 1.0
    spread = min(spread, float(np.finfo(float).max))  # The difference of two numbers may be none.
    return points, _relative(losses, offset, spread), offset, spread


def _relative(losses: Array, offset: float, spread: float) -> Array:
    """Losses as multiples of a spread above an offset, so far as their squares are still numbers."""
    with np.errstate(over="ignore"):
        return np.clip((losses - offset) / spread, -_LARGEST, _LARGEST)


def _weights(count: int) -> Array:
    """Weights of points that are sorted by their losses."""
    return np.linspace(_WEIGHT_OF_BEST, 1.0, count)


def rank_correlation(first: Array, second: Array) -> float:
    """Kendall's rank correlation (tau-a) of two series of numbers, of one length of at least 2."""
    count = len(first)
    return float((_orders(first) * _orders(second)).sum()) / (count * (count - 1))


def _orders(numbers: Array) -> Array:
    """For each pair, 1 if the first is the larger one, -1 if it is the smaller one, and 0 if they are equal."""
    return np.greater.outer(numbers, numbers).astype(float) - np.less.outer(numbers, numbers)
