"""Searches of other libraries that know kinds of parameters, and random search, as `simulation.Search`.

Each has the settings that its user gets who names none, and starts anywhere, not in the centre.
"""

from __future__ import annotations

import logging
import math
import random
import sys
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any
from unittest.mock import MagicMock

import numpy as np

from benchmarks.quality.coordinates import Coordinates
from evo.space.parameters import Choice, Float, Int
from evo.space.space import Space

Asked = tuple[Any, Mapping[str, Any]]


class Random:
    """Random search."""

    def __init__(self, space: Space, workers: int, evaluations: int, seed: int) -> None:
        self.space, self.rng = space, np.random.default_rng([seed, 11])

    def ask(self) -> Asked:
        return None, self.space.complete(self.space.sample(self.rng), self.rng)

    def tell(self, token: Any, loss: float) -> None:
        """Random search learns nothing."""


class Propulate:
    """Propulate's default propagator, with two parents for each worker, as its tutorials have it.

    Of Propulate's own kinds it gets strings for categories, integers for grids and floats for the rest; conditional
    parameters are always there, and have no effect where they are inactive.
    """

    def __init__(self, space: Space, workers: int, evaluations: int, seed: int) -> None:
        get_default_propagator = _import_propulate()
        self.coordinates = Coordinates(space, np.random.default_rng([seed, 11]))
        self.limits: dict[str, tuple[Any, ...]] = {}
        for gene, whole, category in zip(
            self.coordinates.genes, self.coordinates.is_whole, self.coordinates.is_category, strict=True
        ):
            cells = int(gene.cells) if whole else 0
            categories = tuple(map(str, range(cells)))
            self.limits[gene.name] = categories if category else (0, cells - 1) if whole else (0.0, 1.0)
        self.breed = get_default_propagator(
            pop_size=max(2, 2 * workers), limits=self.limits, rng=random.Random(f"{seed} 11")
        )
        self.population: list[Any] = []

    def ask(self) -> Asked:
        individual = self.breed(self.population)
        individual = individual[0] if isinstance(individual, list) else individual
        return individual, self.coordinates.params([float(individual[name]) for name in self.limits])

    def tell(self, token: Any, loss: float) -> None:
        token.loss = math.inf if math.isnan(loss) else loss
        self.population.append(token)


def _import_propulate() -> Any:
    """Its default propagator, without what importing propulate loads beside: MPI, and GPy, which needs an old numpy."""
    replaced = [name for name in ("mpi4py", "GPy") if name not in sys.modules]
    sys.modules.update({name: MagicMock() for name in replaced})
    try:
        from propulate.utils import get_default_propagator
    finally:
        for name in replaced:
            del sys.modules[name]
    return get_default_propagator


class Optuna:
    """One of Optuna's samplers.

    Args:
        sampler: Which: "tpe", "gp" or "cma".
        space: The search space.
        workers: The number of workers.
        evaluations: The budget.
        seed: The seed.
    """

    def __init__(self, sampler: str, space: Space, workers: int, evaluations: int, seed: int) -> None:
        import optuna

        warnings.filterwarnings("ignore", module="optuna")
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.rng = space, np.random.default_rng([seed, 11])
        number = int(self.rng.integers(2**31))
        samplers = optuna.samplers
        if sampler == "cma":
            made: Any = samplers.CmaEsSampler(seed=number, x0=self._start(), with_margin=self._has_grids())
        else:
            made = samplers.TPESampler(seed=number) if sampler == "tpe" else samplers.GPSampler(seed=number)
        self.study = optuna.create_study(sampler=made)
        self.failed, self.pruned = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED

    def ask(self) -> Asked:
        trial = self.study.ask()
        values: dict[str, Any] = {}
        for index in self.space.order:
            name, gene = self.space.names[index], self.space.genes[index]
            if gene.exists(values):
                values[name] = self._suggest(trial, name)
        return trial, {name: values[name] for name in self.space.names if name in values}

    def tell(self, token: Any, loss: float) -> None:
        if math.isnan(loss):
            self.study.tell(token, state=self.failed)
        else:
            self.study.tell(token, loss)

    def report(self, token: Any, steps: int, loss: float) -> bool:
        """See `pruned.PruningSearch`; the pruner is the one of a study that names none, by the median."""
        token.report(loss, steps)
        return bool(token.should_prune())

    def finish(self, token: Any, loss: float, pruned: bool) -> None:
        """See `pruned.PruningSearch`."""
        if pruned:
            self.study.tell(token, state=self.pruned)
        else:
            self.study.tell(token, loss)

    def _suggest(self, trial: Any, name: str) -> Any:
        parameter = self.space.parameters[name]
        if isinstance(parameter, Float):
            return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        if isinstance(parameter, Int):
            how = {"log": True} if parameter.log else {"step": parameter.step}
            return trial.suggest_int(name, parameter.low, parameter.high, **how)
        if parameter.is_constant:
            return parameter.values[0]
        if parameter.ordered:
            return parameter.values[trial.suggest_int(name, 0, len(parameter.values) - 1)]
        return parameter.values[trial.suggest_categorical(name, range(len(parameter.values)))]

    def _start(self) -> dict[str, Any]:
        """A random point, as numbers."""
        params = self.space.complete(self.space.sample(self.rng), self.rng)
        start = {}
        for name, value in params.items():
            parameter = self.space.parameters[name]
            if not isinstance(parameter, Choice):
                start[name] = value
            elif parameter.ordered and not parameter.is_constant:
                start[name] = parameter.values.index(value)
        return start

    def _has_grids(self) -> bool:
        return bool(np.isfinite(self.space.cells[self.space.ordered]).any())


class Smac:
    """SMAC's facade for hyperparameters: a random forest, and a Sobol design first. Seconds per proposal."""

    def __init__(self, space: Space, workers: int, evaluations: int, seed: int) -> None:
        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario
        from smac.runhistory.dataclasses import TrialValue
        from smac.runhistory.enumerations import StatusType

        logging.disable(logging.WARNING)
        self.space, self.value, self.status = space, TrialValue, StatusType
        self.folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            self._configurations(seed),
            deterministic=True,
            n_trials=evaluations,
            seed=seed,
            output_directory=self.folder.name,
        )
        self.facade = Facade(scenario, _unused, overwrite=True, logging_level=False)

    def ask(self) -> Asked:
        trial = self.facade.ask()
        given = dict(trial.config)
        params = {}
        for index, name in enumerate(self.space.names):
            parameter = self.space.parameters[name]
            if isinstance(parameter, Choice) and parameter.is_constant:
                params[name] = parameter.values[0]
            elif str(index) in given:
                params[name] = self._value(parameter, given[str(index)])
        return trial, params

    def tell(self, token: Any, loss: float) -> None:
        failed = math.isnan(loss)
        status = self.status.CRASHED if failed else self.status.SUCCESS
        self.facade.tell(token, self.value(cost=1e30 if failed else loss, status=status), save=False)

    @staticmethod
    def _value(parameter: Any, given: Any) -> Any:
        if isinstance(parameter, Choice):
            return parameter.values[int(given)]
        if parameter.step not in (None, 1):
            value = parameter.low + int(given) * parameter.step
            return int(value) if isinstance(parameter, Int) else value
        return int(given) if isinstance(parameter, Int) else float(given)

    def _configurations(self, seed: int) -> Any:
        from ConfigSpace import (
            AndConjunction,
            Categorical,
            ConfigurationSpace,
            InCondition,
            Integer,
        )
        from ConfigSpace import Float as Real

        made: dict[str, Any] = {}
        for index, name in enumerate(self.space.names):
            parameter, here, gene = self.space.parameters[name], str(index), self.space.genes[index]
            if gene.is_constant:
                continue
            if isinstance(parameter, Choice) and not parameter.ordered:
                made[name] = Categorical(here, list(range(len(parameter.values))))
            elif isinstance(parameter, Choice) or parameter.step not in (None, 1):
                made[name] = Integer(here, (0, int(gene.cells) - 1))
            else:
                kind = Integer if isinstance(parameter, Int) else Real
                made[name] = kind(here, (parameter.low, parameter.high), log=parameter.log)
        space = ConfigurationSpace(seed=seed)
        space.add(list(made.values()))
        for name, hyperparameter in made.items():
            whens = []
            for parent, allowed in self.space.genes[self.space.names.index(name)].when:
                values = self.space.parameters[parent]
                assert isinstance(values, Choice), "a condition on a number is not translated"
                whens.append(InCondition(hyperparameter, made[parent], [values.values.index(one) for one in allowed]))
            if whens:
                space.add(whens[0] if len(whens) == 1 else AndConjunction(*whens))
        return space


def _unused(config: Any, seed: int = 0) -> float:
    """Stands for the loss, which SMAC does not call when it is asked."""
    raise AssertionError("is never called")
