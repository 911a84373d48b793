"""evo's space in Optuna's terms: the distribution of each parameter, and the way from genes to values and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evo.space.genes import Gene
from evo.space.parameters import Choice, Float, Grid, Parameter
from evo.space.space import Genome, Space
from evo.space.values import Params

_PLAIN = (type(None), bool, int, float, str)  # The categories that Optuna can keep.


class Suggestions:
    """The parameters of a space, as trials of Optuna suggest them and as they are told.

    Numbers have their own bounds, scale and step; ordered choices are the numbers of their values, from 0.

    Args:
        space: The search space.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._places = {gene.name: place for place, gene in enumerate(g for g in space.genes if not g.is_constant)}
        self._suggestions = {
            gene.name: _suggestion(gene, space.parameters[gene.name]) for gene in space.genes if not gene.is_constant
        }

    def ask(self, trial: Any) -> Genome:
        """The genome of what a running trial suggests; NaN where a parameter is inactive.

        Args:
            trial: A trial that `optuna.Study.ask` has returned.
        """
        genome = np.full(len(self.space), math.nan)
        values: Params = {}
        for index in self.space.order:
            gene = self.space.genes[index]
            if not gene.exists(values):
                continue
            value = 0.0
            if not gene.is_constant:
                suggestion = self._suggestions[gene.name]
                value = suggestion.gene_of(_suggested(trial, gene.name, suggestion.distribution))
                genome[self._places[gene.name]] = value
            values[gene.name] = gene.decode(value)
        return genome

    def told(self, genome: Genome) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters of a genome, as Optuna knows them, and their distributions, by name."""
        active = [name for name, place in self._places.items() if not math.isnan(genome[place])]
        params = {name: self._suggestions[name].value_of(float(genome[self._places[name]])) for name in active}
        return params, {name: self._suggestions[name].distribution for name in active}


@dataclass(frozen=True)
class _Suggestion:
    """One parameter.

    Args:
        distribution: Its distribution, of a class of `optuna.distributions`.
        value_of: Optuna's value of a gene.
        gene_of: The gene of a value of Optuna's.
    """

    distribution: Any
    value_of: Callable[[float], Any]
    gene_of: Callable[[Any], float]


def _suggestion(gene: Gene, parameter: Parameter) -> _Suggestion:
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return _choice(gene, parameter)
    if isinstance(parameter, Float) and parameter.step is None:
        low, high = parameter.low, parameter.high
        distribution = FloatDistribution(low, high, parameter.log)
        return _Suggestion(distribution, gene.decode, lambda value: gene.encode(min(max(float(value), low), high)))
    grid = Grid(parameter)
    last = grid.count - 1
    if parameter.log and (isinstance(parameter, Float) or parameter.step != 1):
        # Optuna has no log scale with steps, so that the values are numbered.
        return _Suggestion(IntDistribution(0, last), lambda value: grid.cell(gene.decode(value)), gene.of_cell)

    def gene_of(value: Any) -> float:
        return gene.of_cell(min(max(round((value - parameter.low) / grid.step), 0), last))

    kind: Any = FloatDistribution if isinstance(parameter, Float) else IntDistribution
    return _Suggestion(kind(parameter.low, grid.value(last), parameter.log, grid.step), gene.decode, gene_of)


def _choice(gene: Gene, parameter: Choice) -> _Suggestion:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    last = len(parameter.values) - 1
    if parameter.ordered:
        return _Suggestion(IntDistribution(0, last), lambda value: min(int(value * gene.cells), last), gene.of_cell)
    values = list(parameter.values)
    if not all(isinstance(value, _PLAIN) for value in values) or len(set(values)) < len(values):  # 1 equals True.
        values = [f"{place}: {value!r}" for place, value in enumerate(values)]
    return _Suggestion(
        CategoricalDistribution(values), lambda cell: values[int(cell)], lambda one: float(values.index(one))
    )


def _suggested(trial: Any, name: str, distribution: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    suggest = trial.suggest_float if isinstance(distribution, FloatDistribution) else trial.suggest_int
    return suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
