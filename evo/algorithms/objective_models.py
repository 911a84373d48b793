"""Models of all objectives near a population, and points at which they promise a better front."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Array
from evo.algorithms.process import Processes
from evo.algorithms.quadratic import full_size
from evo.space.space import Space

# Points of a model: so many, and so many per coefficient of a full quadratic one, and how many at most.
_LEAST, _PER_COEFFICIENT, _MOST = 30, 1.5, 180
# The precision of the best point, when that of the worst is 1.
_WEIGHT_OF_BEST = 20.0
# A coordinate counts as if the population had at least this standard deviation along it.
_NARROWEST, _WIDE = 1e-3, 0.2
# Losses beyond so many extents of the front are compressed, so that what is far worse does not decide about the fit.
_LINEAR_UP_TO = 2.0
# The shares of violations that are smaller than the units of their models.
_TYPICAL, _SMALL = 0.7, 0.2
# Categories are coordinates of this distance from one another.
_CATEGORY = 0.5
# The steps of a descent, and the weight of the sum of all losses in a Chebyshev scalarisation.
_STEPS, _AUGMENTED = 16, 0.05


class Encoding:
    """Genomes as points: the ordered genes, and for each category a coordinate that is 0 or not.

    Args:
        space: The search space.
    """

    def __init__(self, space: Space) -> None:
        self.coordinates = Coordinates(space)
        self._others = [(int(place), int(space.cells[place])) for place in np.nonzero(~space.ordered)[0]]
        self.numbers = len(self.coordinates)
        """The first so many coordinates are ordered genes, from 0 to 1; along the others nothing may descend."""

    def points(self, genomes: Array) -> Array:
        """Points of shape (genomes, coordinates).

        Args:
            genomes: Shape (genomes, genes); NaN where a gene is inactive.
        """
        numbers = genomes[:, self.coordinates.genes]
        parts = [np.where(np.isnan(numbers), 0.5, numbers)]
        for place, cells in self._others:
            parts.append(_CATEGORY * (genomes[:, place, None] == np.arange(cells)))
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What models learn from: a population, the best first, and others behind it.

    Args:
        genomes: Shape (individuals, genes).
        losses: Shape (individuals, objectives).
        violations: By how much each violates bounds, of shape (individuals,).
        population: How many of the individuals are the population.
        front: How many of these are its front.
        first: The losses of the first individuals, most of which were drawn at random, of shape (individuals,
            objectives).
    """

    genomes: Array
    losses: Array
    violations: Array
    population: int
    front: int
    first: Array


class ObjectiveModels:
    """A Gaussian process for each objective, and for the violation of bounds.

    Predictions are in units above the lowest losses of the front. Near models have the metric and the units of the
    population and its front, and learn from what is near to it; wide ones have those of all individuals. So the wide
    ones find what is far along the front, and the near ones are exact.

    Args:
        encoding: What the coordinates are.
        sample: What they learn from.
        is_wide: Whether they are wide.
    """

    def __init__(self, encoding: Encoding, sample: Sample, is_wide: bool) -> None:
        self.encoding = encoding
        points, losses, violations = encoding.points(sample.genomes), sample.losses, sample.violations
        among = points if is_wide else points[: sample.population]
        self.centre, deviations = among.mean(axis=0), among.std(axis=0)
        self.scale = np.maximum(deviations, _WIDE if is_wide else _NARROWEST)
        best = losses[: sample.front]
        self.low = best.min(axis=0)
        extent = best.max(axis=0) - self.low
        typical = np.median(sample.first, axis=0) - self.low
        # A front of one point, such as that of one loss, has no extent.
        alike = violations[: sample.population] == violations[0]
        among_them = np.median(losses[: sample.population][alike], axis=0) - self.low
        usual = np.maximum(extent, typical) if is_wide else np.where(extent > 0, extent, among_them)
        self.extent = np.where(usual > 0, usual, np.where(typical > 0, typical, 1.0))
        self._behind, self._far = 1.1 * self.scaled(best).max(axis=0), self.scaled(sample.first.max(axis=0))
        metric = (points - self.centre) / self.scale
        count = min(int(_LEAST + _PER_COEFFICIENT * full_size(points.shape[1])), _MOST)
        chosen = _nearest(metric, sample.population, count)
        weights = np.ones(len(losses))
        weights[: sample.population] = np.linspace(_WEIGHT_OF_BEST, 1.0, sample.population)
        axes = np.eye(points.shape[1])
        values = self.scaled(losses[chosen])
        if violations.any():
            values = np.column_stack(
                [values, _compressed(violations[chosen] / _usual_violation(violations[chosen], is_wide))]
            )
        self.is_bounded = bool(violations.any())
        self.processes = Processes(metric[chosen], values, weights[chosen], axes)

    def scaled(self, losses: Array) -> Array:
        """Losses in the units of predictions, of shape (individuals, objectives)."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.nan_to_num((losses - self.low) / self.extent, posinf=1e12, neginf=-1e12)
        return _compressed(values)

    def reference(self, farther: float) -> Array:
        """Up to where volume counts, in the units of predictions.

        Args:
            farther: From 0, a little behind the front, to 1, at the highest losses before anything was learnt. The
                farther, the more the ends of the front count.
        """
        return np.asarray(self._behind + farther * np.maximum(self._far - self._behind, 0.0))

    def predict(self, points: Array) -> tuple[Array, Array]:
        """The predicted losses at points, of shape (points, objectives), and violations, of shape (points,)."""
        metric = (points - self.centre) / self.scale
        found = self.processes(metric)
        if self.is_bounded:
            return found[:, :-1], np.maximum(found[:, -1], 0.0)
        return found, np.zeros(len(points))

    def descend(self, starts: Array, weights: Array, radii: Array) -> Array:
        """Points with low augmented Chebyshev scalarisations of the predictions, each near its start.

        J. Knowles, "ParEGO", doi:10.1109/TEVC.2005.851274, equation 2.

        Args:
            starts: Shape (points, coordinates).
            weights: The weights of the objectives in each scalarisation, of shape (points, objectives).
            radii: How far each point may be from its start, in the metric, of shape (points,).
        """
        metric = (starts - self.centre) / self.scale
        low, high = -self.centre / self.scale, (1 - self.centre) / self.scale
        begun, rates = metric.copy(), radii / 4
        values, slopes = self._scalarised(metric, weights)
        for _ in range(_STEPS):
            lengths = np.maximum(np.linalg.norm(slopes, axis=1), 1e-12)
            moved = np.clip(metric - (rates / lengths)[:, None] * slopes, low, high)
            away = moved - begun
            moved = begun + away * np.minimum(1.0, radii / np.maximum(np.linalg.norm(away, axis=1), 1e-12))[:, None]
            lower, others = self._scalarised(moved, weights)
            better = lower < values
            metric, slopes = np.where(better[:, None], moved, metric), np.where(better[:, None], others, slopes)
            values, rates = np.where(better, lower, values), rates * np.where(better, 1.5, 0.4)
        return np.asarray(metric * self.scale + self.centre)

    def _scalarised(self, metric: Array, weights: Array) -> tuple[Array, Array]:
        """The scalarised predictions at points of the metric, and their slopes along the ordered genes."""
        values, slopes = self.processes.values_and_slopes(metric)
        objectives = weights.shape[1]
        terms = weights * values[:, :objectives]
        # The maximum is smoothed, so that a descent does not zigzag along its edge.
        shares = np.exp((terms - terms.max(axis=1, keepdims=True)) / 0.05)
        shares = weights * (shares / shares.sum(axis=1, keepdims=True) + _AUGMENTED)
        total = terms.max(axis=1) + _AUGMENTED * terms.sum(axis=1)
        slope = (shares[:, :, None] * slopes[:, :objectives]).sum(axis=1)
        if self.is_bounded:
            violated = values[:, -1] > 0.0
            total = total + np.where(violated, values[:, -1], 0.0)
            slope = slope + np.where(violated[:, None], slopes[:, -1], 0.0)
        slope[:, self.encoding.numbers :] = 0.0
        return total, slope


def _compressed(values: Array) -> Array:
    excess = np.maximum(np.abs(values) - _LINEAR_UP_TO, 0.0)
    return np.where(excess > 0, np.sign(values) * (_LINEAR_UP_TO + np.log1p(excess)), values)


def _usual_violation(violations: Array, is_wide: bool) -> float:
    """The unit of predicted violations: a typical one; for near models a small one, since they should be exact."""
    share = _TYPICAL if is_wide else _SMALL
    return float(np.quantile(violations[violations > 0], share)) if (violations > 0).any() else 1.0


def _nearest(metric: Array, population: int, count: int) -> list[int]:
    """The population, and of the others those that are nearest to it in its metric, up to a number."""
    if len(metric) <= count:
        return list(range(len(metric)))
    distances = (metric**2).sum(axis=1)
    distances[:population] = -1.0
    return [int(place) for place in np.sort(np.argsort(distances, kind="stable")[:count])]


def random_weights(count: int, objectives: int, rng: np.random.Generator) -> Array:
    """Weights of scalarisations, of shape (count, objectives), each of which has the sum 1."""
    drawn = rng.dirichlet(np.full(objectives, 1.0), count) + 1e-3
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def random_radii(count: int, coordinates: int, rng: np.random.Generator) -> Array:
    """The radii of trust regions, of shape (count,), some of which are much smaller than others."""
    return np.asarray(math.sqrt(max(coordinates, 1)) * 10 ** -rng.uniform(-0.3, 1.0, count))
