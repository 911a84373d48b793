"""CMA-ES with models that choose among offspring and stand in for evaluations, and their minimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.coordinates import Coordinates
from evo.algorithms.distribution import Array, Distribution
from evo.algorithms.history import History
from evo.algorithms.modelled_run import USEFUL, ModelledRun, Told
from evo.algorithms.pair import PairSearch
from evo.algorithms.quadratic import full_size
from evo.checks import check_probability
from evo.population.individual import Individual, Known
from evo.space.space import Genome

Operator: TypeAlias = Callable[[View, np.random.Generator], Iterator[Individual]]
"""What makes candidates, the best first."""

# The step of a run that starts anywhere, and of one that starts at the best known point, as shares of the range.
_STEP, _STEP_OF_BEST = 0.25, 0.1
# Populations double from run to run, up to so many times the first.
_LARGEST = 8
# So many generations are sampled until one is found that nobody has tried.
_GENERATIONS = 2
# The trust region of a process is shorter by 10^-u, u uniform between these; so many others are tried when it is known.
_SHORTER, _OTHERS = (0.0, 0.6), 5
# The weight of the newest rank correlation in its average, since one over a few predictions says little.
_FORGETTING = 0.05


@final
@dataclass(frozen=True)
class ModelledSearch(Algorithm):
    """Three operators with one history: model-assisted CMA-ES, the model's minimiser, and `PairSearch`.

    Categories, and which parameters are active, are as in the best known point; `PairSearch` changes them.

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

    @property
    def bred_by(self) -> str:
        return "offspring"

    def start(self, setup: Setup) -> ModelledLearner:
        return ModelledLearner(self, setup)


class ModelledLearner(Learner):
    """What is known, and the present run of the CMA-ES with its models.

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
        # More workers evaluate larger generations, as they know less of each other's points.
        self.offspring = max(4 + int(3 * math.log(max(d, 1))), setup.workers // 2)  # lambda
        # Every worker learns from all, so with many it learns several results at once.
        self._together = max(1, setup.workers // 4)
        self._enough = 2 * full_size(d)
        self.run: ModelledRun | None = None
        self.best_genome: Genome | None = None
        self.foresight = 0.5
        """The rank correlation of its predictions with what came out, averaged over its latest points."""
        self._told: list[Told] = []
        self._folds = 0
        self._pair = PairSearch().start(setup)
        self.operators: Mapping[str, tuple[float, Operator]] = {
            "offspring": (max(0.0, 1 - constants.minimiser - constants.pair), self.propose_offspring),
            "minimiser": (constants.minimiser, self.propose_minimiser),
            "pair": (constants.pair, self._pair.propose),
        }
        """The operators by the names that their proposals bear, with their shares of proposals."""

    # What is learnt.

    def learn(self, individual: Known, loss: float | None) -> None:
        if not len(self.coordinates):
            return
        value = math.inf if loss is None or math.isnan(loss) else float(loss)
        evaluated = self.coordinates.point(individual.genome)
        better = self.history.add(evaluated, value, self.coordinates.kind(individual.genome))
        if better or self.best_genome is None:
            self.best_genome = individual.genome
        if self.run is None:
            if len(self.history) >= self.first:
                self._start_run(1)
            return
        number = int(individual.strategy.get("run", 0)) if individual.bred_by in self.operators else 0
        while number > self.run.number:  # The others have given up this run.
            self._start_run(self.run.number + 1)
        own = number == self.run.number
        if own:
            self.foresight += _FORGETTING * (self.run.correlation - self.foresight)
        if own or better:  # Points of other operators are injected when they are the best.
            point = self.coordinates.proposed(individual.strategy, evaluated) if own else evaluated
            self._told.append(Told(point, evaluated, value, own))
        if len(self._told) >= self._together:
            told, self._told = self._told, []
            self._folds += 1
            self.run.fold(told, self.setup.generator(self.run.number, self._folds))
            if self.run.is_over(self._spread()):
                self._start_run(self.run.number + 1)

    def _spread(self) -> float:
        """How much losses differ at the start of the search."""
        first = self.history.losses[: self.first]
        first = first[np.isfinite(first)]
        with np.errstate(over="ignore"):
            spread = float(np.median(first) - first.min()) if len(first) else 0.0
        return spread if math.isfinite(spread) else 0.0

    def _start_run(self, number: int) -> None:
        """The first run and every other start at the best known point, the others anywhere; populations grow."""
        assert self.best_genome is not None
        mean, step = self.coordinates.point(self.best_genome), _STEP
        if number > 1 and number % 2 == 0:
            step = _STEP_OF_BEST
        elif number > 1:
            mean = self.setup.generator(number).random(len(mean))
        distribution = Distribution(mean, step, min(2 ** (number - 1), _LARGEST) * self.offspring)
        self.run = ModelledRun(number, distribution, self.coordinates, self.history)
        self.history.forget_candidates()
        self._told, self._folds = [], 0

    # What is proposed.

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        if self.run is None:
            if len(self.coordinates) or len(view.active) + len(view.running) < self.first:
                return self._drawn(rng)
            return self._pair.propose(view, rng)
        names = list(self.operators)
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
            if run.model is not None and run.correlation >= USEFUL:
                predicted = run.model.predict(self.coordinates.rounded(points))
                points = points[np.argsort(predicted, kind="stable")[: len(points) // 2]]
            for point in points:
                yield self._individual(point, "offspring", run)
        yield from self._pair.propose(view, rng)

    def propose_minimiser(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """The model's minimiser within the trust region, then within others; then offspring."""
        run = self.run
        if run is not None and run.model is not None:
            longest = math.sqrt(len(self.coordinates))  # The length of most steps of the distribution.
            # Steps of a quadratic model are longer, so that the distribution stays wide, once it has points enough.
            is_ripe = run.quadratic is not None and run.quadratic.is_full and len(self.history) >= self._enough
            model = run.quadratic if run.quadratic is not None and is_ripe else run.model
            radius = longest if model is run.quadratic else longest * 10 ** -rng.uniform(*_SHORTER)
            for _ in range(_OTHERS):
                yield self._individual(np.clip(model.minimiser(radius), 0.0, 1.0), "minimiser", run)
                radius = longest * 10 ** rng.uniform(-1.0, 0.5)
        yield from self.propose_offspring(view, rng)

    def _individual(self, point: Array, operator: str, run: ModelledRun) -> Individual:
        assert self.best_genome is not None
        strategy = {"run": run.number, **self.coordinates.strategy(point)}
        genome = self.coordinates.genome(point, self.best_genome)
        return Individual(genome=genome, parents=(), strategy=strategy, bred_by=operator)
