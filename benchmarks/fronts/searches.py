"""evo, random search and the peers as `benchmarks.quality.simulation.Search`, told a `Value` for each point.

Each has the settings that its user gets who names none, and starts anywhere, not in the centre.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.fronts.problem import FrontProblem, Value
from benchmarks.quality import peers
from benchmarks.quality.evos import Replicas, Token
from benchmarks.quality.peers_generational import Generational
from evo.population.outcome import Outcome
from evo.space.space import Space


class Evo(Replicas):
    """evo's workers, each with a replica of its own.

    Args:
        problem: The problem, whose numbers of objectives and bounds evo is told.
        how: Settings, as in a study file.
        space: The search space.
        workers: The number of workers.
        evaluations: The budget.
        seed: The seed.
    """

    def __init__(
        self, problem: FrontProblem, how: Mapping[str, Any], space: Space, workers: int, evaluations: int, seed: int
    ) -> None:
        # Excesses are shares of the bounds already, and so are the violations of a bound of 0.
        goals = {"objectives": [f"loss{number}" for number in range(problem.objectives)]} | (
            {"constraint_metrics": {f"excess{number}": "<= 0" for number in range(problem.bounds)}}
            if problem.bounds
            else {}
        )
        super().__init__({**goals, **how}, space, workers, evaluations, seed)

    def tell(self, token: Token, loss: Value) -> None:  # type: ignore[override]
        metrics = {f"excess{number}": excess for number, excess in enumerate(loss.excesses)}
        self._end(
            token,
            Outcome(
                status="completed",
                loss=loss.losses[0],
                losses=loss.losses,
                violation=loss.violation,
                metrics=metrics,
            ),
        )


class Random(peers.Random):
    """Random search."""

    def __init__(self, problem: FrontProblem, *others: Any) -> None:
        super().__init__(*others)


class Optuna:
    """One of Optuna's samplers for several objectives.

    Args:
        sampler: Which: "tpe" or "nsga2".
        problem: The problem.
        space: The search space, of floats.
        workers: The number of workers.
        evaluations: The budget.
        seed: The seed.
    """

    def __init__(
        self, sampler: str, problem: FrontProblem, space: Space, workers: int, evaluations: int, seed: int
    ) -> None:
        import optuna

        warnings.filterwarnings("ignore", module="optuna")
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space = space
        number = int(np.random.default_rng([seed, 11]).integers(2**31))
        kinds = {"tpe": optuna.samplers.TPESampler, "nsga2": optuna.samplers.NSGAIISampler}
        self.study = optuna.create_study(
            directions=["minimize"] * problem.objectives, sampler=kinds[sampler](seed=number)
        )

    def ask(self) -> peers.Asked:
        trial, space = self.study.ask(), self.space
        sides = ((name, space.parameters[name]) for name in space.names)
        return trial, {name: trial.suggest_float(name, side.low, side.high) for name, side in sides}

    def tell(self, token: Any, loss: Value) -> None:
        for number, excess in enumerate(loss.excesses):
            token.set_constraint(f"excess{number}", excess)
        self.study.tell(token, list(loss.losses))


class Pymoo(Generational):
    """One of pymoo's algorithms for several objectives, with its usual populations of 100.

    Args:
        algorithm: Which: "sms" or "nsga2".
        front_problem: The problem.
        others: The space, the number of workers, the evaluations and the seed.
    """

    def __init__(self, algorithm: str, front_problem: FrontProblem, *others: Any) -> None:
        self.algorithm, self.front_problem = algorithm, front_problem
        super().__init__(*others)

    def tell(self, token: Any, loss: Value) -> None:  # type: ignore[override]
        _, point = token
        self.told.append((point, loss))  # type: ignore[arg-type]
        if len(self.told) >= self._size():
            told, self.told = self.told, []
            self._update(told)

    def _start(self, seed: int) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.algorithms.moo.sms import SMSEMOA
        from pymoo.core.problem import Problem

        self.tool: Any = SMSEMOA() if self.algorithm == "sms" else NSGA2()
        goals = {"n_obj": self.front_problem.objectives, "n_ieq_constr": self.front_problem.bounds}
        self.problem = Problem(n_var=len(self.coordinates), xl=0.0, xu=1.0, **goals)
        self.tool.setup(self.problem, termination=("n_gen", 10**9), seed=seed, verbose=False)
        self.asked: list[Any] = []

    def _size(self) -> int:
        return int(self.tool.pop_size)

    def _sample(self) -> tuple[Any, Any]:
        if not self.asked:
            self.asked = list(self.tool.ask())
        point = self.asked.pop(0)
        return point, point.X

    def _update(self, told: list[tuple[Any, Any]]) -> None:
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.population import Population
        from pymoo.problems.static import StaticProblem

        generation = Population.create(*(point for point, _ in told))
        given = {"F": np.array([value.losses for _, value in told])}
        if self.front_problem.bounds:
            given["G"] = np.array([value.excesses for _, value in told])
        Evaluator().eval(StaticProblem(self.problem, **given), generation)
        self.tool.tell(infills=generation)
        self.asked = []
