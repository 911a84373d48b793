"""Asynchronous CMA-ES with restarts of growing populations, for numbers and grids; it learns from anyone's best points.

N. Hansen: The CMA evolution strategy: a tutorial, arXiv:1604.00772; A. Auger and N. Hansen: A restart CMA evolution
strategy with increasing population size, CEC 2005, DOI 10.1109/CEC.2005.1554902.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Array, Distribution
from evo.checks import check_count
from evo.errors import UserError
from evo.population.individual import Individual, Known
from evo.space.space import Genome

# The standard deviation of a grid's coordinate is at least so many cells, so that other values stay within reach
# (as the margin of R. Hamano et al., GECCO 2022, DOI 10.1145/3512290.3528827, which moves the mean as well).
_MARGIN = 0.1
# A run ends when its losses differ by less than this share of the spread of its first ones.
_RESOLUTION = 1e-13


@final
@dataclass(frozen=True)
class CMAES(Algorithm):
    """The covariance matrix adaptation evolution strategy; a generation is complete when so many results have come.

    Categories, and which parameters are active, are as in the best known point; now and then a category is drawn anew.

    Args:
        step: The first standard deviation, as a share of the range of each parameter.
        offspring: The number of points of a generation in the first run; None means 4 + 3 ln(parameters), and at
            least half the number of workers.
        growth: The factor by which it grows from run to run.
    """

    step: float = 0.25
    offspring: int | None = None
    growth: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.step, int | float) or isinstance(self.step, bool) or not 0 < self.step < math.inf:
            raise UserError(f"step is {self.step!r}: give a positive share of the range")
        if self.offspring is not None:
            check_count("offspring", self.offspring, least=2)
        check_count("growth", self.growth)

    @property
    def bred_by(self) -> str:
        return "cmaes"

    def start(self, setup: Setup) -> CMAESLearner:
        return CMAESLearner(self, setup)


class CMAESLearner(Learner):
    """The distribution of the present run, and the results since its last update.

    Args:
        constants: The constants of the algorithm.
        setup: What it knows from the start.
    """

    def __init__(self, constants: CMAES, setup: Setup) -> None:
        self.constants, self.setup = constants, setup
        self.coordinates = Coordinates(setup.space)
        self.best = math.inf
        self.best_genome: Genome | None = None
        if len(self.coordinates):
            self._start_run(1)

    def _start_run(self, number: int) -> None:
        d = len(self.coordinates)
        # More workers evaluate larger generations, as they know less of each other's points.
        first = self.constants.offspring or max(4 + int(3 * math.log(d)), self.setup.workers // 2)  # lambda
        offspring = first * self.constants.growth ** (number - 1)
        mean = self.setup.generator(number).uniform(0.2, 0.8, d)
        self.distribution = Distribution(mean, self.constants.step, offspring)
        self.number = number
        self._results: list[tuple[float, Array]] = []
        self._latest: list[float] = []
        self._spread, self._best_of_run, self._stalled = math.nan, math.inf, 0

    def learn(self, individual: Known, loss: float | None) -> None:
        if not len(self.coordinates):
            return
        value = math.inf if loss is None or math.isnan(loss) else float(loss)
        better = value < self.best
        if better:
            self.best, self.best_genome = value, individual.genome
        number = int(individual.strategy.get("run", 0)) if individual.bred_by == self.constants.bred_by else 0
        while number > self.number:  # The others have given up this run.
            self._start_run(self.number + 1)
        own = number == self.number
        if own or better:  # What others have found is injected.
            point = self.coordinates.point(individual.genome)
            self._results.append((value, self.coordinates.proposed(individual.strategy, point) if own else point))
        if own:
            self._latest.append(value)
            self._stalled = 0 if value < self._best_of_run else self._stalled + 1
            self._best_of_run = min(value, self._best_of_run)
        if len(self._results) >= self.distribution.offspring:
            self._update()

    def _update(self) -> None:
        order = sorted(range(len(self._results)), key=lambda index: self._results[index][0])
        self.distribution.update(np.array([self._results[index][1] for index in order]))
        self._results = []
        if math.isnan(self._spread) and self._latest:
            self._spread = float(np.median(self._latest)) - min(self._latest)
        if self._is_over():
            self._start_run(self.number + 1)

    def _is_over(self) -> bool:
        """Whether the run has converged or has stalled."""
        d, offspring = len(self.coordinates), self.distribution.offspring
        several = 10 * offspring + 30 * d
        self._latest = self._latest[-several:]
        spread = self._spread if math.isfinite(self._spread) else 0.0
        resolution = max(_RESOLUTION * spread, 4 * float(np.spacing(abs(self.best))))
        flat = len(self._latest) == several and max(self._latest) - min(self._latest) <= resolution
        return flat or self._stalled > 50 * (offspring + d) or self.distribution.is_degenerate

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        while len(self.coordinates):
            point = self.distribution.sample(rng, 1)[0]
            widths = self.coordinates.widths
            missing = np.maximum((_MARGIN * widths) ** 2 - self.distribution.deviations**2, 0.0)
            point = np.clip(point + np.sqrt(missing) * rng.normal(size=len(point)), 0.0, 1.0)
            strategy = {"run": self.number, **self.coordinates.strategy(point)}
            like = self.setup.space.sample(rng) if self.best_genome is None else self.best_genome
            genome = self.coordinates.genome(point, like)
            yield Individual(genome=genome, parents=(), strategy=strategy, bred_by=self.constants.bred_by)
