"""Searches of other libraries that learn generation by generation, as `simulation.Search`, or as functions.

With asynchronous workers whichever results come first make up the generation that is told; an evaluation that ends
later belongs to a later one. Nothing waits.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.quality.coordinates import Coordinates, Vector
from evo.space.space import Space

# The first step size, as a share of the range: the optimum is thought to lie within three of them of the start.
_STEP_SIZE = 0.3


class Generational(ABC):
    """A tool that is told whole generations."""

    def __init__(self, space: Space, workers: int, evaluations: int, seed: int) -> None:
        self.space, self.rng = space, np.random.default_rng([seed, 11])
        self.coordinates = Coordinates(space, self.rng)
        self.population_size: int | None = None
        self.told: list[tuple[Any, float]] = []
        self.starts, self.worst = 0, 0.0
        self._begin()

    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        point, coordinates = self._sample()
        return (self.starts, point), self.coordinates.params(coordinates)

    def tell(self, token: Any, loss: float) -> None:
        start, point = token
        if not math.isnan(loss):
            self.worst = max(self.worst, loss)
        if start == self.starts:  # What the search before a restart had asked for says nothing to this one.
            self.told.append((point, self.worst if math.isnan(loss) else loss))
        if len(self.told) >= self._size():
            told, self.told = self.told, []
            self._update(told)
            if self._has_converged():
                self.population_size = 2 * self._size()
                self._begin()

    def _begin(self) -> None:
        self.starts, self.told = self.starts + 1, []
        self._start(int(self.rng.integers(1, 2**31)))

    @abstractmethod
    def _start(self, seed: int) -> None:
        """Start anew, somewhere."""

    @abstractmethod
    def _size(self) -> int:
        """The number of results in a generation."""

    @abstractmethod
    def _sample(self) -> tuple[Any, Any]:
        """What is told later, and the coordinates to evaluate."""

    @abstractmethod
    def _update(self, told: list[tuple[Any, float]]) -> None:
        """Learn from a generation."""

    def _has_converged(self) -> bool:
        return False


class Cmaes(Generational):
    """The package cmaes: CMA-ES; with margin where there are grids; CatCMAwM with categories. Restarts as IPOP."""

    def _start(self, seed: int) -> None:
        from cmaes import CMA, CatCMAwM, CMAwM

        warnings.filterwarnings("ignore", module="cmaes")
        own = self.coordinates
        self.discrete, self.categories = own.is_whole & ~own.is_category, own.is_category
        common: dict[str, Any] = {"sigma": _STEP_SIZE, "seed": seed, "population_size": self.population_size}
        if self.categories.any():
            self.tool: Any = self._with_categories(CatCMAwM, common)
            return
        bounds, widths = np.stack([own.low, own.high], axis=1), own.high - own.low
        common |= {"mean": own.random(), "bounds": bounds, "cov": np.diag(widths**2)}
        # The step 0 means a float.
        self.tool = CMAwM(steps=self.discrete.astype(float), **common) if self.discrete.any() else CMA(**common)

    def _with_categories(self, kind: Any, common: dict[str, Any]) -> Any:
        own, spaces = self.coordinates, dict[str, Any]()
        self.floats = ~own.is_whole
        if self.floats.any():
            spaces["x_space"] = [[0.0, 1.0]] * int(self.floats.sum())
        if self.discrete.any():  # On the scale of the floats, with which they share one step size.
            spaces["z_space"] = [np.arange(high + 1) / high for high in own.high[self.discrete]]
        spaces["c_space"] = [int(high) + 1 for high in own.high[self.categories]]
        numbers = int((~self.categories).sum())
        if numbers:
            spaces["mean"] = self.rng.uniform(0, 1, numbers)
        else:
            common = {key: value for key, value in common.items() if key != "sigma"}
        return kind(**spaces, **common)

    def _size(self) -> int:
        return int(self.tool.population_size)

    def _sample(self) -> tuple[Any, Any]:
        asked, own = self.tool.ask(), self.coordinates
        if self.categories.any():
            coordinates = np.zeros(len(own))
            for kind, part in ((self.floats, asked.x), (self.discrete, asked.z)):
                if kind.any():
                    coordinates[kind] = part * own.high[kind]
            coordinates[self.categories] = [
                int(np.argmax(one[: int(high) + 1]))
                for one, high in zip(asked.c, own.high[self.categories], strict=True)
            ]
            return asked, coordinates
        return (asked[1], asked[0]) if self.discrete.any() else (asked, asked)

    def _update(self, told: list[tuple[Any, float]]) -> None:
        self.tool.tell(told)

    def _has_converged(self) -> bool:
        return bool(self.tool.should_stop())


class Pycma(Generational):
    """The package cma, with its own handling of integers, which categories are too. Restarts as IPOP."""

    def _start(self, seed: int) -> None:
        import cma

        warnings.filterwarnings("ignore", module="cma")  # It names points that it is never told.
        own = self.coordinates
        margin = 0.499 * own.is_whole  # So that the first and the last number have as much room as others.
        low, high = own.low - margin, own.high + margin
        options = {
            "bounds": [low.tolist(), high.tolist()],
            "CMA_stds": (high - low).tolist(),
            "integer_variables": np.flatnonzero(own.is_whole).tolist(),
            "seed": seed,
            "verbose": -9,
        }
        if self.population_size:
            options["popsize"] = self.population_size
        self.tool = cma.CMAEvolutionStrategy(self.rng.uniform(low, high).tolist(), _STEP_SIZE, options)
        self.asked: list[Vector] = []
        self.may_tell = False

    def _size(self) -> int:
        return int(self.tool.popsize)

    def _sample(self) -> tuple[Any, Any]:
        if not self.asked:
            self.asked, self.may_tell = self.tool.ask(), True
        point = self.asked.pop(0)
        return point, point

    def _update(self, told: list[tuple[Any, float]]) -> None:
        if not self.may_tell:  # It refuses to be told twice without having been asked.
            self.tool.ask()
        self.tool.tell([point for point, _ in told], [loss for _, loss in told])
        self.asked, self.may_tell = [], False

    def _has_converged(self) -> bool:
        return bool(self.tool.stop())


class Pymoo(Generational):
    """The genetic algorithm of pymoo, the one for mixed variables where there are any."""

    def _start(self, seed: int) -> None:
        from pymoo.algorithms.soo.nonconvex.ga import GA
        from pymoo.core.mixed import MixedVariableGA
        from pymoo.core.problem import Problem
        from pymoo.core.variable import Choice, Integer, Real

        own = self.coordinates
        if own.is_whole.any():
            variables = {
                gene.name: (Choice(options=list(range(int(high) + 1))) if category else Integer(bounds=(0, int(high))))
                if whole
                else Real(bounds=(0.0, 1.0))
                for gene, whole, category, high in zip(own.genes, own.is_whole, own.is_category, own.high, strict=True)
            }
            self.problem, self.tool = Problem(vars=variables, n_obj=1), MixedVariableGA()
        else:
            self.problem, self.tool = Problem(n_var=len(own), n_obj=1, xl=0.0, xu=1.0), GA()
        self.tool.setup(self.problem, termination=("n_gen", 10**9), seed=seed, verbose=False)
        self.asked: list[Any] = []

    def _size(self) -> int:
        return int(self.tool.pop_size)

    def _sample(self) -> tuple[Any, Any]:
        if not self.asked:
            self.asked = list(self.tool.ask())
        point = self.asked.pop(0)
        by_name = isinstance(point.X, dict)
        return point, [point.X[gene.name] for gene in self.coordinates.genes] if by_name else point.X

    def _update(self, told: list[tuple[Any, float]]) -> None:
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.population import Population
        from pymoo.problems.static import StaticProblem

        generation = Population.create(*(point for point, _ in told))
        losses = np.array([[loss] for _, loss in told])
        Evaluator().eval(StaticProblem(self.problem, F=losses), generation)
        self.tool.tell(infills=generation)
        self.asked = []


def pycma_lq(space: Space, loss: Callable[[Mapping[str, Any]], float], evaluations: int, seed: int) -> None:
    """CMA-ES of the package cma on a linear-quadratic model (doi:10.1145/3321707.3321842), with restarts as IPOP."""
    import cma

    own = Coordinates(space, np.random.default_rng([seed, 11]))
    while True:  # A search that gives up early begins anew; the loss raises when the budget is spent.
        options = {"bounds": [0.0, 1.0], "seed": int(own.rng.integers(1, 2**31)), "verbose": -9}
        cma.fmin_lq_surr2(lambda x: loss(own.params(x)), own.random, _STEP_SIZE, options, restarts=9)


def pygmo_cma(space: Space, loss: Callable[[Mapping[str, Any]], float], evaluations: int, seed: int) -> None:
    """CMA-ES of pygmo, with populations of the usual size, doubled whenever it stops."""
    import pygmo

    own = Coordinates(space, np.random.default_rng([seed, 11]))

    class Function:
        def fitness(self, x: Vector) -> list[float]:
            return [loss(own.params(x))]

        def get_bounds(self) -> tuple[list[float], list[float]]:
            return own.low.tolist(), own.high.tolist()

    size = max(5, 4 + int(3 * math.log(len(own))))
    while True:
        number = int(own.rng.integers(2**31))
        population = pygmo.population(Function(), size=size, seed=number)
        pygmo.algorithm(pygmo.cmaes(gen=evaluations, seed=number)).evolve(population)
        size *= 2
