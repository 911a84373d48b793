"""Where a loss is a sum of functions of single parameters, each is searched by itself, however many lows it has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from evo.algorithms.additive_model import AdditiveBasis, AdditiveModel
from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.distribution import Array
from evo.algorithms.local_model import rank_correlation
from evo.checks import check_count
from evo.population.individual import Individual, Known
from evo.space.space import Genome

# The model learns when there are so many new points, and one for so many known ones.
_NEW, _FOR_EACH = 2, 32
# With more coefficients, which only spaces of hundreds of parameters have, a model would take too long.
_MOST = 1000
# Of functions as they may be, so many are drawn at once.
_DRAWS = 16
# Over so many of the latest predictions their rank correlation is taken.
_LATEST = 50
# What failed counts as one of the highest, but so little that failures by chance hide nothing.
_FAILED = 0.0004
# No loss counts as better than the first ones by more than so many of their standard deviations.
_LOWEST = -1e6


@final
@dataclass(frozen=True)
class AdditiveSearch(Algorithm):
    """Models the loss as a sum of one function for each parameter, and proposes the lows of functions as they may be.

    Every point says something about each parameter, so that separable functions with many local optima need few
    points. Functions are drawn from what is likely (Thompson sampling), so that proposals differ where little is known,
    also those of many workers. It is no search of its own for functions that are no such sums: combine it with others,
    as the portfolio does.

    Args:
        initial: The number of individuals that are drawn at random, and must have finished, before anything is
            learnt from them; at least one for two parameters, and two more.
    """

    initial: int = 10

    def __post_init__(self) -> None:
        check_count("initial", self.initial, 1)

    @property
    def bred_by(self) -> str:
        return "additive"

    def start(self, setup: Setup) -> AdditiveLearner:
        return AdditiveLearner(self, setup)


class AdditiveLearner(Learner):
    """The model, and the points that it has not learnt yet.

    Args:
        constants: The constants of the algorithm.
        setup: What it knows from the start.
    """

    def __init__(self, constants: AdditiveSearch, setup: Setup) -> None:
        self._setup = setup
        self._basis = AdditiveBasis(setup.space)
        self._model: AdditiveModel | None = None
        self._scale: _Scale | None = None
        self._new: list[tuple[Genome, float]] = []
        self._known = 0
        self._next = max(constants.initial, len(setup.space) // 2 + 2)
        self._predicted: list[tuple[float, float]] = []
        self.foresight = 0.0
        """The rank correlation of predictions with what came out, over the latest points of all algorithms."""
        self._drawn: tuple[int, Array] | None = None

    def learn(self, individual: Known, loss: float | None) -> None:
        self._new.append((individual.genome, math.inf if loss is None or math.isnan(loss) else float(loss)))
        self._known += 1
        # When it learns depends on what is known alone, so that a search that goes on has the same model.
        if self._known >= self._next and len(self._basis) <= _MOST:
            self._next = self._known + max(_NEW, self._known // _FOR_EACH)
            self._fold()

    def _fold(self) -> None:
        losses = np.array([loss for _, loss in self._new])
        if self._scale is None:
            if not np.isfinite(losses).any():
                return
            self._scale, self._model = _Scale(losses[np.isfinite(losses)]), AdditiveModel(self._basis)
        assert self._model is not None
        genomes, finite = np.array([genome for genome, _ in self._new]), np.isfinite(losses)
        scaled = self._scale(losses)
        if self._model.known:
            self._compare(self._model.predict(genomes[finite]), scaled[finite])
        self._model.add(genomes, scaled, np.where(finite, 1.0, _FAILED))
        self._new = []

    def _compare(self, predicted: Array, losses: Array) -> None:
        """See how good the model is at points that it does not know yet, whoever proposed them."""
        self._predicted.extend(zip(predicted, losses, strict=True))
        del self._predicted[:-_LATEST]
        if len(self._predicted) >= _LATEST // 2:
            self.foresight = rank_correlation(*np.array(self._predicted).T)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        model = self._model
        if model is None:
            while True:
                yield Individual(genome=self._setup.space.sample(rng), parents=(), bred_by="random")
        if self._drawn is None or self._drawn[0] != model.known:
            self._drawn = model.known, model.draw(_DRAWS, self._setup.generator(0, model.known))
        for number in rng.permutation(_DRAWS):
            yield Individual(genome=self._basis.low(self._drawn[1][number]), parents=())


class _Scale:
    """Losses in units of the spread of the first ones, none higher than the highest of these.

    Args:
        losses: The first finite losses.
    """

    def __init__(self, losses: Array) -> None:
        quarters = losses / 4  # The difference of two numbers may be none.
        self._median = float(np.median(quarters))
        away = quarters - self._median
        largest = float(np.abs(away).max()) or 1.0
        self._spread = largest * (float(np.std(away / largest)) or 1.0)
        self._highest = float(away.max() / self._spread)

    def __call__(self, losses: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.clip((losses / 4 - self._median) / self._spread, _LOWEST, self._highest)
