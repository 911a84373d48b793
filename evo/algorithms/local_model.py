"""A quadratic model of the loss around the mean of a search distribution, in its metric."""

from __future__ import annotations

import math

import numpy as np

from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Array, Distribution
from evo.algorithms.history import History
from evo.algorithms.quadratic import Quadratic, fit_quadratic, full_size

# Points per coefficient of a full model; fewer (1.4) were worse, as the farther ones steady the fit.
_POINTS = 2.0
# Points per coefficient from which a model of a richer kind is fitted.
_ENOUGH = 1.1
# The weight of the best point, when the worst has weight 1.
_WEIGHT_OF_BEST = 20.0


class LocalModel:
    """What the loss is likely to be near the mean of a distribution, in units of the known losses' spread.

    Args:
        quadratic: The model in the metric.
        kind: Linear, diagonal or full.
        centre: The origin of the metric.
        from_sphere: The matrix from the metric to steps of coordinates.
        to_sphere: Its inverse.
        offset: The lowest loss that it was fitted to.
        spread: The distance from it to the median of these losses.
    """

    def __init__(
        self, quadratic: Quadratic, kind: str, metric: tuple[Array, Array, Array], offset: float, spread: float
    ) -> None:
        self.quadratic, self.kind = quadratic, kind
        self.centre, self.from_sphere, self.to_sphere = metric
        self.offset, self.spread = offset, spread

    def normalised(self, losses: Array) -> Array:
        """Losses in the units of predictions."""
        return (losses - self.offset) / self.spread

    def predict(self, points: Array) -> Array:
        """Predicted losses, in units of the spread above the offset.

        Args:
            points: Points as they would be evaluated, of shape (points, coordinates).
        """
        return self.quadratic((points - self.centre) @ self.to_sphere.T)

    def minimiser(self, radius: float) -> Array:
        """The point of the lowest prediction within a radius of the centre, in the metric."""
        return self.centre + self.from_sphere @ self.quadratic.minimiser(radius)


def fit_local(history: History, distribution: Distribution, coordinates: Coordinates) -> LocalModel | None:
    """The model of the points nearest to the mean of a distribution; None while they are too few.

    Args:
        history: The known points.
        distribution: The distribution.
        coordinates: What the coordinates are.
    """
    d = len(coordinates)
    if len(history) < d + 3:
        return None
    points, losses = history.nearest(distribution, int(_POINTS * full_size(d)) + 2)
    finite = np.isfinite(losses)
    if finite.sum() < d + 2:
        return None
    losses = np.where(finite, losses, losses[finite][-1])  # What failed counts as the worst.
    offset = float(losses[0])
    spread = float(losses[len(losses) // 2]) - offset or float(losses[-1]) - offset or 1.0
    if len(losses) >= _ENOUGH * full_size(d):
        metric = distribution.mean, distribution.from_sphere, distribution.to_sphere
    else:  # Along the coordinates, a diagonal model is exact for separable functions.
        deviations = distribution.deviations
        metric = distribution.mean, np.diag(deviations), np.diag(1 / deviations)
    weights = np.linspace(_WEIGHT_OF_BEST, 1.0, len(losses))
    found = fit_quadratic((points - metric[0]) @ metric[2].T, (losses - offset) / spread, weights, _ENOUGH)
    return None if found is None else LocalModel(*found, metric, offset, spread)


def rank_correlation(first: Array, second: Array) -> float:
    """Kendall's rank correlation (tau-a) of two series of numbers, of one length of at least 2."""
    signs = np.sign(np.subtract.outer(first, first)) * np.sign(np.subtract.outer(second, second))
    count = len(first)
    return float(signs.sum()) / (count * (count - 1))


def trust_radius(dimension: int) -> float:
    """The radius within which a model is trusted: the length of most steps of the distribution."""
    return math.sqrt(dimension)
