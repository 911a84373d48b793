"""The tools that are compared, by name, and how one of them is run on one problem."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.quality import evos, peers
from benchmarks.quality import peers_generational as generational
from benchmarks.quality.coordinates import kinds_of
from benchmarks.quality.curves import STEPS, Curves
from benchmarks.quality.problem import Problem
from benchmarks.quality.pruned import Course, PruningSearch, simulate_pruned
from benchmarks.quality.results import Run, rounded, steps_of
from benchmarks.quality.simulation import Search, simulate
from evo import __version__
from evo.space.space import Space

Loss = Callable[[Mapping[str, Any]], float]
_NUMBERS = frozenset({"grids"})
_PRUNING = "halving"
_ALL = frozenset({"grids", "categories", "conditions"})


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool that is compared.

    Args:
        name: Its name.
        package: The package that it needs, as pip calls it; empty if it needs none.
        handles: The kinds of parameters besides floats that it takes; see `coordinates.kinds_of`.
        make: Makes a search of it from the space, the number of workers, the evaluations and the seed.
        minimise: Minimises a loss until that raises, if it cannot be asked; for one worker only.
        prune: Makes a search that ends evaluations early; None means that it is the search of `make`, and ends none.
    """

    name: str
    package: str = ""
    handles: frozenset[str] = _ALL
    make: Callable[[Space, int, int, int], Search] | None = None
    minimise: Callable[[Space, Loss, int, int], None] | None = None
    prune: Callable[..., PruningSearch] | None = None

    @property
    def is_evo(self) -> bool:
        """Whether it is evo, whose code changes more often than its version."""
        return self.name.startswith(("evo", "shared:"))

    @property
    def version(self) -> str | None:
        """The version that is installed; None when it is not."""
        try:
            return version(self.package) if self.package else __version__
        except PackageNotFoundError:
            return None

    def why_not(self, space: Space, workers: int) -> str:
        """Why it is left out for a space and a number of workers; empty when it is not."""
        lacking = kinds_of(space) - self.handles
        if lacking:
            return f"does not take {' and '.join(sorted(lacking))}"
        return "is for one worker" if workers > 1 and self.make is None else ""

    def run(self, problem: Problem, workers: int, evaluations: int, seed: int) -> tuple[list[float], float]:
        """The losses in the order in which evaluations end, and the seconds per proposal that the tool took."""
        space = problem.space
        if self.make is None:
            return self._run_alone(problem, space, evaluations, seed)
        losses: list[float] = []
        timed = Timed(self.make(space, workers, evaluations, seed), losses)
        simulate(timed, problem.loss, workers, evaluations, seed)
        return losses, timed.seconds / max(1, len(losses))

    def _run_alone(self, problem: Problem, space: Space, evaluations: int, seed: int) -> tuple[list[float], float]:
        assert self.minimise is not None
        counted = Counted(problem.loss, evaluations)
        began = time.perf_counter()
        try:
            self.minimise(space, counted, evaluations, seed)
        except Exception:
            # The exception may come back as one of the tool's own, so the losses tell whether the budget was spent.
            if len(counted.losses) < evaluations:
                raise
        spent = time.perf_counter() - began - counted.seconds
        return counted.losses, spent / max(1, len(counted.losses))

    def run_pruned(self, problem: Curves, workers: int, evaluations: int, seed: int) -> tuple[Course, float]:
        """How a search went that may end evaluations early, and the seconds per proposal that the tool took.

        Args:
            problem: The trainings with curves.
            workers: The number of workers.
            evaluations: The budget, as if all evaluations went to their end.
            seed: The seed.
        """
        assert self.make is not None
        most = evaluations * STEPS
        search: Any = (self.prune or self.make)(problem.space, workers, most, seed)
        timed: Any = Timed(search, [])
        course = simulate_pruned(timed, problem, workers, most, seed)
        return course, timed.seconds / max(1, timed.asked)


def make_run(run: Run, problem: Problem | Curves, tool: Tool) -> Run:
    """Make the run that a record without results describes; returns the whole record."""
    if isinstance(problem, Curves):
        course, seconds = tool.run_pruned(problem, run.workers, run.evaluations, run.seed)
        steps = [(step, rounded(loss - problem.target)) for step, loss in zip(course.steps, course.losses, strict=True)]
        return replace(run, ended=run.evaluations, optimum=problem.target, steps=steps, seconds=rounded(seconds))
    losses, seconds = tool.run(problem, run.workers, run.evaluations, run.seed)
    made = replace(run, ended=len(losses), optimum=problem.optimum, scale=problem.scale, seconds=rounded(seconds))
    return replace(made, steps=steps_of(losses, problem.optimum))


class Timed:
    """A search, with the time that it takes and the losses that it is told.

    Args:
        search: The search; without `report` and `finish`, it ends no evaluation early.
        losses: Takes the losses.
    """

    def __init__(self, search: Any, losses: list[float]) -> None:
        self._search, self._losses = search, losses
        self.seconds, self.asked = 0.0, 0

    def ask(self) -> tuple[Any, Mapping[str, Any]] | None:
        began = time.perf_counter()
        asked: tuple[Any, Mapping[str, Any]] | None = self._search.ask()
        self.seconds += time.perf_counter() - began
        self.asked += 1
        return asked

    def tell(self, token: Any, loss: float) -> None:
        self._losses.append(loss)
        began = time.perf_counter()
        self._search.tell(token, loss)
        self.seconds += time.perf_counter() - began

    def report(self, token: Any, steps: int, loss: float) -> bool:
        began = time.perf_counter()
        ends = self._search.report(token, steps, loss) if hasattr(self._search, "report") else False
        self.seconds += time.perf_counter() - began
        return bool(ends)

    def finish(self, token: Any, loss: float, pruned: bool) -> None:
        if not hasattr(self._search, "finish"):
            return self.tell(token, loss)
        began = time.perf_counter()
        self._search.finish(token, loss, pruned)
        self.seconds += time.perf_counter() - began
        return None


class BudgetSpent(Exception):
    """Ends a tool that cannot be asked."""


class Counted:
    """A loss that raises when the budget is spent; a failure counts as the worst loss so far.

    Args:
        loss: The loss.
        evaluations: The budget.
    """

    def __init__(self, loss: Loss, evaluations: int) -> None:
        self._loss, self._evaluations = loss, evaluations
        self.losses: list[float] = []
        self.seconds = 0.0

    def __call__(self, params: Mapping[str, Any]) -> float:
        if len(self.losses) >= self._evaluations:
            raise BudgetSpent
        began = time.perf_counter()
        self.losses.append(self._loss(params))
        self.seconds += time.perf_counter() - began
        value = self.losses[-1]
        return max((one for one in self.losses if not math.isnan(one)), default=1e9) if math.isnan(value) else value


def _evo(name: str, propagator: str) -> Tool:
    """A search of evo's workers; where evaluations report, with successive halving."""
    how = evos.read_settings(propagator)
    pruning = {**how, "pruning": _PRUNING}
    make, prune = partial(evos.Replicas, how), partial(evos.Replicas, pruning)
    return Tool(name=name, make=make, prune=prune, handles=_ALL | {"constraints"})  # type: ignore[arg-type]


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _evo("evo", ""),
        Tool(name="random", make=peers.Random),
        Tool(name="propulate", package="propulate", make=peers.Propulate),
        Tool(name="optuna-tpe", package="optuna", make=partial(peers.Optuna, "tpe")),
        Tool(name="optuna-gp", package="optuna", make=partial(peers.Optuna, "gp")),
        Tool(name="optuna-cma", package="optuna", make=partial(peers.Optuna, "cma"), handles=_NUMBERS),
        Tool(name="smac", package="smac", make=peers.Smac),
        Tool(name="cmaes", package="cmaes", make=generational.Cmaes),
        Tool(name="pycma", package="cma", make=generational.Pycma),
        Tool(name="pycma-lq", package="cma", minimise=generational.pycma_lq, handles=frozenset()),
        Tool(name="pymoo-ga", package="pymoo", make=generational.Pymoo),
        Tool(name="pygmo-cma", package="pygmo", minimise=generational.pygmo_cma, handles=_NUMBERS),
    )
}
"""The tools by name."""


def find_tool(name: str) -> Tool:
    """A tool by name: one of `TOOLS`, `evo:PROPAGATOR`, or `shared:MODULE.CLASS`; see `evos`."""
    kind, _, what = name.partition(":")
    if kind == "evo" and what:
        return _evo(name, what)
    if kind == "shared":
        return Tool(name=name, make=partial(evos.shared, what))
    if name not in TOOLS:
        raise SystemExit(f"there is no tool {name}: choose of {', '.join(TOOLS)}, evo:PROPAGATOR, shared:MODULE.CLASS")
    return TOOLS[name]
