"""CMA-ES with a quadratic model that chooses among offspring, stands in for evaluations, and proposes its minimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Array, Distribution
from evo.algorithms.history import History
from evo.algorithms.local_model import (
    LocalModel,
    fit_local_process,
    fit_local_quadratic,
    rank_correlation,
)
from evo.algorithms.pair import PairSearch
from evo.algorithms.quadratic import full_size
from evo.checks import check_probability
from evo.population.individual import Individual, Known
from evo.space.space import Genome

Operator: TypeAlias = Callable[[View, np.random.Generator], Iterator[Individual]]
"""What makes candidates, the best first."""

# The step of a run that starts anywhere, and of one that starts at the best known point, as shares of the range.
_STEP, _STEP_OF_BEST = 0.25, 0.1
# The rank correlation of predictions and outcomes from which one evaluation counts as a generation, and below which
# the model neither chooses nor stands in.
_TRUSTED, _USEFUL = 0.65, 0.3
# Over how many of the latest predictions it is taken, at least.
_LATEST = 15
# A run ends when the losses of two generations differ by less than this share of the spread of the first points.
_RESOLUTION = 1e-13
# So many generations are sampled until one is found that nobody has tried.
_GENERATIONS = 2
# The model that is used while none has predicted better: 0 is the quadratic one, 1 the process.
_DEFAULT = 1
# A quadratic model is fitted again after so many coefficients' share of new points, a process twice as often.
_POINTS_PER_FIT = 40
# The trust region of a process is shorter by 10^-u, u uniform between these.
_SHORTER = (0.0, 0.6)


@final
@dataclass(frozen=True)
class ModelledSearch(Algorithm):
    """Three operators with one history: model-assisted CMA-ES, the model's minimiser, and `PairSearch`.

    Args:
        minimiser: The share of proposals that are the model's minimiser within a trust region.
        pair: The share of proposals of `PairSearch`.
    """

    minimiser: float = 0.15
    pair: float = 0.1

    def __post_init__(self) -> None:
        check_probability("minimiser", self.minimiser)
        check_probability("pair", self.pair)
        check_probability("minimiser + pair", self.minimiser + self.pair)

    def start(self, setup: Setup) -> ModelledLearner:
        return ModelledLearner(self, setup)


class Result(NamedTuple):
    """What came of one proposal.

    Args:
        point: The point that was proposed.
        evaluated: The point that was evaluated: in the middles of cells, and mended if constraints did not hold.
        loss: The loss.
        own: Whether the present run of the CMA-ES has proposed it.
    """

    point: Array
    evaluated: Array
    loss: float
    own: bool


class Run:
    """One run of the CMA-ES, from its start to where it has converged.

    Args:
        number: Its number; the first is 1.
        distribution: Its search distribution.
    """

    def __init__(self, number: int, distribution: Distribution) -> None:
        self.number, self.distribution = number, distribution
        self.results: list[tuple[float, Array]] = []  # Since the last update: losses and points.
        self.losses: list[float] = []  # Of its own points, the latest.
        self.predicted: list[tuple[float, ...]] = []  # By each model, and the losses that came out, the latest.
        self.quadratic: LocalModel | None = None
        self.model: LocalModel | None = None
        """The one that has predicted best."""
        self.models: tuple[LocalModel, ...] = ()
        self.correlation = 0.0
        """The rank correlation of what it predicted before evaluations and what came out."""
        self._next_quadratic = self._next_process = 0
        self.best, self.stalled, self.hopeless = math.inf, 0, 0

    def compare(self, evaluated: Array, losses: Array) -> None:
        """See how good the models are at points that they do not know yet.

        Args:
            evaluated: The points, of shape (points, coordinates).
            losses: Their losses.
        """
        finite = np.isfinite(losses)
        predictions = [model.losses(evaluated[finite]) for model in self.models]
        if predictions:
            self.predicted.extend(zip(*predictions, losses[finite], strict=True))
            del self.predicted[: -max(_LATEST, self.distribution.offspring)]

    def fit(self, history: History, coordinates: Coordinates) -> None:
        """Fit the models, those of many coefficients not at once for each new point, and choose the one to use."""
        size = full_size(len(coordinates))
        if self.quadratic is None or len(history) >= self._next_quadratic:
            self.quadratic = fit_local_quadratic(history, self.distribution, coordinates)
            self._next_quadratic = len(history) + size // _POINTS_PER_FIT
        if not self.models or len(history) >= self._next_process:
            process = fit_local_process(history, self.distribution, coordinates)
            self._next_process = len(history) + size // (2 * _POINTS_PER_FIT)
        else:
            process = self.models[1]
        self.models = (self.quadratic, process) if self.quadratic and process else ()
        self.model, self.correlation = (self.models[_DEFAULT] if self.models else None), 0.0
        if self.models and len(self.predicted) >= 5:
            *predicted, losses = np.array(self.predicted).T
            correlations = [rank_correlation(each, losses) for each in predicted]
            best = _DEFAULT if correlations[_DEFAULT] >= max(correlations) else int(np.argmax(correlations))
            self.model, self.correlation = self.models[best], correlations[best]


class ModelledLearner(Learner):
    """What is known, the run of the CMA-ES and the model around its mean.

    Args:
        constants: The constants of the algorithm.
        setup: What it knows from the start.
    """

    def __init__(self, constants: ModelledSearch, setup: Setup) -> None:
        self.setup, self.space = setup, setup.space
        self.coordinates = Coordinates(setup.space)
        d = len(self.coordinates)
        self.history = History(d)
        self.first = max(4, len(setup.space) // 2 + 2)  # So many points are drawn at random at first.
        self.offspring = 4 + int(3 * math.log(max(d, 1)))
        self.run: Run | None = None
        self.best_genome: Genome | None = None
        self._grids = bool(self.coordinates.widths.any())
        # Every worker learns from all, so with many it fits the model once for several results.
        self._together = max(1, setup.workers // 4)
        self._waiting: list[Result] = []
        self._pair = PairSearch().start(setup)
        self.operators: Mapping[str, tuple[float, Operator]] = {
            "offspring": (1 - constants.minimiser - constants.pair, self.propose_offspring),
            "minimiser": (constants.minimiser, self.propose_minimiser),
            "pair": (constants.pair, self._pair.propose),
        }
        """The operators by the names that proposals bear, with their shares of proposals."""

    # What is learnt.

    def learn(self, individual: Known, loss: float | None) -> None:
        if not len(self.coordinates):
            return
        value = math.inf if loss is None or math.isnan(loss) else float(loss)
        evaluated = self.coordinates.point(individual.genome)
        better = self.history.add(evaluated, value)
        if better or self.best_genome is None:
            self.best_genome = individual.genome
        number = int(individual.strategy.get("run", 0))
        if self.run is None:
            if len(self.history) >= self.first:
                self._start_run(1)
            return
        while number > self.run.number:  # The others have given up this run.
            self._start_run(self.run.number + 1)
        own = number == self.run.number
        if own or better:  # Points of other operators are injected when they are the best.
            point = np.array(individual.strategy["point"], dtype=float) if own and self._grids else evaluated
            self._waiting.append(Result(point, evaluated, value, own))
        if len(self._waiting) >= self._together:
            self._fold(self.run)

    def _start_run(self, number: int) -> None:
        """The first run and every other start at the best known point, the others anywhere; populations grow."""
        assert self.best_genome is not None
        mean, step = self.coordinates.point(self.best_genome), _STEP
        if number > 1 and number % 2 == 0:
            step = _STEP_OF_BEST
        elif number > 1:
            mean = self.setup.generator(number).random(len(mean))
        offspring = min(2 ** (number - 1), 8) * self.offspring
        self.run = Run(number, Distribution(mean, step, offspring))
        self.history.forget_candidates()
        self._waiting = []

    def _fold(self, run: Run) -> None:
        """Learn from the results that wait: first how good the predictions were, then the model, then the run."""
        own = [result for result in self._waiting if result.own]
        if own:
            run.compare(np.array([result.evaluated for result in own]), np.array([result.loss for result in own]))
        for result in self._waiting:
            run.results.append((result.loss, result.point))
            run.stalled = 0 if result.loss < run.best else run.stalled + 1
            run.best = min(run.best, result.loss)
        run.losses.extend(result.loss for result in own)
        self._waiting = []
        run.fit(self.history, self.coordinates)
        needed = self._needed(run)
        while len(run.results) >= needed:
            self._update(run, run.results[:needed] if needed < run.distribution.offspring else run.results)
            run.results = run.results[needed:] if needed < run.distribution.offspring else []
        if self._is_over(run):
            self._start_run(run.number + 1)

    def _needed(self, run: Run) -> int:
        """The number of results for an update: a generation without a trusted model, down to one with it."""
        offspring = run.distribution.offspring
        trust = run.correlation
        if trust < _USEFUL:
            return offspring
        return max(1, math.ceil(offspring * min(1.0, 1.5 * (_TRUSTED - trust))))

    def _update(self, run: Run, results: list[tuple[float, Array]]) -> None:
        """Update the distribution with the results, and as many offspring with predicted losses as are missing."""
        distribution = run.distribution
        missing = distribution.offspring - len(results)
        points = np.array([point for _, point in results])
        values = np.array([loss for loss, _ in results])
        if missing > 0 and run.model is not None:
            rng = self.setup.generator(run.number, distribution.updates)
            sampled = distribution.sample(rng, missing)
            predicted = run.model.predict(self.coordinates.rounded(sampled))
            points = np.concatenate([points, sampled])
            values = np.concatenate([run.model.normalised(values), predicted])
        order = np.argsort(values, kind="stable")[: distribution.offspring]
        distribution.update(points[order])

    def _is_over(self, run: Run) -> bool:
        """Whether the run has converged, has stalled, or its model says that it will not beat the best known."""
        d, distribution = len(self.coordinates), run.distribution
        best = self.history.best
        quadratic = run.quadratic
        if run.number > 1 and quadratic is not None and quadratic.is_full and run.correlation >= _TRUSTED:
            lowest = quadratic.predict(quadratic.minimiser(2 * math.sqrt(d))[None])
            hopeless = run.best > best and lowest[0] > quadratic.normalised(np.array(best))
            run.hopeless = run.hopeless + 1 if hopeless else 0
        several = 2 * distribution.offspring + d
        latest = run.losses = run.losses[-several:]
        first = self.history.losses[: self.first]
        spread = float(np.median(first)) - float(first.min())
        resolution = max(_RESOLUTION * spread if math.isfinite(spread) else 0.0, 4 * float(np.spacing(abs(best))))
        return (
            (len(latest) >= several and max(latest) - min(latest) <= resolution)
            or run.hopeless > 5 + d
            or run.stalled > 100 + 15 * d
            or distribution.is_degenerate
        )

    # What is proposed.

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        names = list(self.operators)
        if self.run is None:
            if len(view.active) + len(view.running) < self.first or len(self.coordinates):
                return self._drawn(rng)
            names = ["pair"]
        shares = np.array([self.operators[name][0] for name in names])
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        return self.operators[name][1](view, rng)

    def _drawn(self, rng: np.random.Generator) -> Iterator[Individual]:
        while True:
            yield Individual(genome=self.space.sample(rng), parents=(), bred_by="random")

    def propose_offspring(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Offspring of the CMA-ES, first those that the model likes; when all were tried, points of `PairSearch`."""
        run = self.run
        for _ in range(_GENERATIONS if run else 0):
            assert run is not None
            points = np.clip(run.distribution.sample(rng, run.distribution.offspring), 0.0, 1.0)
            if run.model is not None and run.correlation >= _USEFUL:
                predicted = run.model.predict(self.coordinates.rounded(points))
                points = points[np.argsort(predicted, kind="stable")[: len(points) // 2]]
            for point in points:
                yield self._individual(point, "offspring", run)
        yield from self._pair.propose(view, rng)

    def propose_minimiser(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """The model's minimiser within the trust region; then offspring."""
        run = self.run
        if run is not None and run.model is not None:
            longest = math.sqrt(len(self.coordinates))  # The length of most steps of the distribution.
            if run.model is run.quadratic:
                yield self._individual(np.clip(run.model.minimiser(longest), 0.0, 1.0), "minimiser", run)
            else:
                radius = longest * 10 ** -rng.uniform(*_SHORTER)
                yield self._individual(np.clip(run.model.minimiser(radius), 0.0, 1.0), "minimiser", run)
        yield from self.propose_offspring(view, rng)

    def _individual(self, point: Array, operator: str, run: Run) -> Individual:
        assert self.best_genome is not None
        strategy: dict[str, object] = {"run": run.number}
        if self._grids:
            strategy["point"] = point.tolist()
        genome = self.coordinates.genome(point, self.best_genome)
        return Individual(genome=genome, parents=(), strategy=strategy, bred_by=operator)
