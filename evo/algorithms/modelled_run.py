"""One run of a CMA-ES whose missing results are predicted by models, from its start to where it has converged.

After N. Hansen: A global surrogate assisted CMA-ES, GECCO 2019, DOI 10.1145/3321707.3321842: the rank correlation of
predictions with outcomes decides how many results an update needs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Array, Distribution
from evo.algorithms.history import History
from evo.algorithms.local_model import LocalModel, fit_local_process, fit_local_quadratic, rank_correlation
from evo.algorithms.quadratic import full_size

# The rank correlation of predictions and outcomes from which one evaluation counts as a generation, and below which
# models neither choose nor stand in.
TRUSTED, USEFUL = 0.65, 0.3
# Over how many of the latest predictions it is taken, at least, and how many are needed.
_LATEST, _FEWEST = 15, 5
# A run ends when the losses of two generations differ by less than this share of the spread of the first points.
_RESOLUTION = 1e-13
# A quadratic model is fitted again after new points for so small a part of its coefficients, a process twice as often.
_FITS_PER_COEFFICIENT = 40


class Told(NamedTuple):
    """What came of one proposal.

    Args:
        point: The point that was proposed.
        evaluated: The point that was evaluated: in the middles of cells, and mended if constraints did not hold.
        loss: The loss; infinite if it failed.
        own: Whether the run has proposed it.
    """

    point: Array
    evaluated: Array
    loss: float
    own: bool


class ModelledRun:
    """The distribution of a run, its models, and what it has been told since the last update.

    Args:
        number: Its number; the first is 1.
        distribution: Its search distribution.
        coordinates: What the coordinates are.
        history: All known points, also those of other runs.
    """

    def __init__(self, number: int, distribution: Distribution, coordinates: Coordinates, history: History) -> None:
        self.number, self.distribution = number, distribution
        self.coordinates, self.history = coordinates, history
        self.quadratic: LocalModel | None = None
        self.process: LocalModel | None = None
        self.model: LocalModel | None = None
        """The one of the two that has predicted best."""
        self.correlation = 0.0
        """The rank correlation of what it predicted before evaluations and what came out."""
        self._results: list[tuple[float, Array]] = []
        self._losses: list[float] = []  # Of its own points, the latest.
        self._predicted: list[tuple[float, ...]] = []  # By each model, and the losses that came out, the latest.
        self._next_quadratic = self._next_process = 0
        self._best, self._stalled, self._hopeless = math.inf, 0, 0

    def fold(self, told: list[Told], rng: np.random.Generator) -> None:
        """Learn: first how good the predictions were, then the models, then the distribution.

        Args:
            told: Some results, of points that are in the history.
            rng: Samples the points that stand in for missing results.
        """
        self._compare([one for one in told if one.own and math.isfinite(one.loss)])
        for one in told:
            self._results.append((one.loss, one.point))
            self._stalled = 0 if one.loss < self._best else self._stalled + 1
            self._best = min(self._best, one.loss)
        self._losses.extend(one.loss for one in told if one.own)
        self._fit()
        if len(self._results) >= self._needed():
            self._update(rng)

    def _compare(self, told: list[Told]) -> None:
        """See how good the models are at points that they do not know yet."""
        if told and self.quadratic is not None and self.process is not None:
            points, losses = np.array([one.evaluated for one in told]), [one.loss for one in told]
            predictions = [self.quadratic.losses(points), self.process.losses(points)]
            self._predicted.extend(zip(*predictions, losses, strict=True))
            del self._predicted[: -max(_LATEST, self.distribution.offspring)]

    def _fit(self) -> None:
        """Fit the models, those of many coefficients not anew for each point, and choose the one to use."""
        known, size = len(self.history), full_size(len(self.coordinates))
        if self.quadratic is None or known >= self._next_quadratic:
            self.quadratic = fit_local_quadratic(self.history, self.distribution, self.coordinates)
            self._next_quadratic = known + size // _FITS_PER_COEFFICIENT
        if self.process is None or known >= self._next_process:
            self.process = fit_local_process(self.history, self.distribution, self.coordinates)
            self._next_process = known + size // (2 * _FITS_PER_COEFFICIENT)
        self.model, self.correlation = self.process, 0.0
        if self.quadratic is not None and self.process is not None and len(self._predicted) >= _FEWEST:
            by_quadratic, by_process, losses = np.array(self._predicted).T
            self.correlation = rank_correlation(by_process, losses)
            other = rank_correlation(by_quadratic, losses)
            if other > self.correlation:
                self.model, self.correlation = self.quadratic, other

    def _needed(self) -> int:
        """The number of results for an update: a generation without a trusted model, down to one with it."""
        if self.correlation < USEFUL:
            return self.distribution.offspring
        return max(1, math.ceil(self.distribution.offspring * min(1.0, 1.5 * (TRUSTED - self.correlation))))

    def _update(self, rng: np.random.Generator) -> None:
        """Update the distribution with the results, and with predicted losses of as many samples as are missing."""
        points = np.array([point for _, point in self._results])
        values = np.array([loss for loss, _ in self._results])
        missing = self.distribution.offspring - len(values)
        if missing > 0 and self.model is not None:
            sampled = self.distribution.sample(rng, missing)
            predicted = self.model.predict(self.coordinates.rounded(sampled))
            points = np.concatenate([points, sampled])
            values = np.concatenate([self.model.normalised(values), predicted])
        order = np.argsort(values, kind="stable")[: self.distribution.offspring]
        self.distribution.update(points[order])
        self._results = []
        self._count_hopeless()

    def _count_hopeless(self) -> None:
        """Count the updates in a row whose model says that this run will not reach the best known."""
        quadratic, best = self.quadratic, self.history.best
        if quadratic is not None and quadratic.is_full and self.correlation >= TRUSTED and self.number > 1:
            lowest = quadratic.predict(quadratic.minimiser(2 * math.sqrt(len(self.coordinates)))[None])
            hopeless = self._best > best and lowest[0] > quadratic.normalised(np.array(best))
            self._hopeless = self._hopeless + 1 if hopeless else 0

    def is_over(self, spread: float) -> bool:
        """Whether the run has converged, has stalled, or will not beat the best known.

        Args:
            spread: How much losses differ at the start of the search.
        """
        d, distribution = len(self.coordinates), self.distribution
        several = 2 * distribution.offspring + d
        self._losses = self._losses[-several:]
        resolution = max(_RESOLUTION * spread, 4 * float(np.spacing(abs(self.history.best))))
        is_flat = len(self._losses) >= several and not max(self._losses) - min(self._losses) > resolution
        return is_flat or self._hopeless > 5 + d or self._stalled > 100 + 15 * d or distribution.is_degenerate
