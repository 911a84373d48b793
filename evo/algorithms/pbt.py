"""Population-based training: hyperparameters that change while networks train, and weights that are inherited.

M. Jaderberg, V. Dalibard, S. Osindero, W. M. Czarnecki and others, "Population Based Training of Neural Networks",
2017, Algorithm 1, with truncation selection (section 4.1.1), arXiv:1711.09846

Each individual is a segment of a training; see `evo.algorithms.pbt_population`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from evo.algorithms.base import Algorithm, Learner, Setup
from evo.algorithms.bred import as_algorithm
from evo.algorithms.own import checked_algorithm
from evo.algorithms.pbt_population import LONGEST_INTERVAL, NAME, TrainedPopulation, TrainingRules
from evo.algorithms.portfolio import Portfolio
from evo.checks import check_count, check_probability
from evo.errors import UserError
from evo.frames import representation
from evo.population.segments import Segment
from evo.propagators.base import Propagator

# Python refuses to read numbers of thousands of digits, with a message of its own.
_INTERVAL = re.compile(r"\s*0*(\d{1,20})(?:\s*(?:epochs?|steps?))?\s*")
_LONGEST_SHOWN = 100


@final
@dataclass(frozen=True)
class PopulationBasedTraining(Algorithm):
    """Trains a population whose worst members go on from the weights of the best, with changed hyperparameters.

    Only parameters that may change while a network trains are changed, see `mutable` of `evo.Float`.

    Args:
        interval: The number of training steps between two comparisons, such as 2, or "2 epochs"; what a step is says
            the objective, for a LightningModule it is an epoch.
        quantile: The share of the best, from which the worst take over, and of the worst; above 0, at most 0.5.
        perturb: The factors by which numbers are multiplied, at least one, each above 0 and not 1.
        resample: The probability with which a parameter is drawn anew instead.
        population: The number of trainings; at least that of the workers of an island.
        explore: How hyperparameters change: perturb, or crossover of two good members of the same architecture, which
            is followed by a small perturbation.
        lineages: The number of members of each architecture, which is what may not change in a training. They inherit
            from one another only; architectures compete at equal steps, and the worst give their places to new ones. 0
            means that all members are compared, whatever their architectures.
        architecture: The algorithm or propagator that proposes architectures where there are `lineages`; None means the
            portfolio.
        growth: The factor by which intervals are longer in a new training than in the one before it in its place, a
            whole number. The best interval is not known beforehand: short ones find changes fast, long ones look
            farther ahead; see A. Chebykin, T. Alderliesten and P. A. N. Bosman, "Iterated Population Based Training
            with Task-Agnostic Restarts", 2025, arXiv:2511.09190. 1 means that all are equal.
    """

    interval: int | str = 1
    quantile: float = 0.25
    perturb: Sequence[float] = (0.8, 1.2)
    resample: float = 0.25
    population: int = 16
    explore: Literal["perturb", "crossover"] = "perturb"
    lineages: int = 0
    architecture: Any = None
    growth: int = 1

    def __post_init__(self) -> None:
        steps_of(self.interval)
        if not _is_number(self.quantile) or not 0 < self.quantile <= 0.5:
            raise UserError(f"quantile is {self.quantile!r}: give a share above 0 and not above 0.5, such as 0.25")
        factors = self.perturb
        if not isinstance(factors, list | tuple) or not factors or not all(map(_is_factor, factors)):
            raise UserError(
                f"perturb is {representation(factors)}: give a list of factors, each above 0 and not 1, such as "
                "[0.8, 1.2]"
            )
        object.__setattr__(self, "perturb", tuple(factors))
        check_probability("resample", self.resample)
        check_count("population", self.population, least=2, most=LONGEST_INTERVAL)
        if self.explore not in ("perturb", "crossover"):
            raise UserError(f"explore is {self.explore!r}: give perturb or crossover")
        check_count("growth", self.growth, most=LONGEST_INTERVAL)
        self._check_architectures()

    def _check_architectures(self) -> None:
        check_count("lineages", self.lineages, least=0)
        if self.lineages == 1 or self.lineages > self.population:
            raise UserError(
                f"lineages is {self.lineages}: give from 2 up to the population, which is {self.population}, or leave "
                "it out"
            )
        inner = self.architecture
        if inner is None:
            return
        if not self.lineages:
            raise UserError("architecture is given without lineages: say how many members each architecture has")
        if not isinstance(inner, Propagator | Algorithm):
            raise UserError(f"architecture is {representation(inner)}: give a propagator or an algorithm")
        if isinstance(inner, Algorithm) and checked_algorithm(inner).first_segment is not None:
            raise UserError(f"architecture is {inner.bred_by}, which trains in parts itself: give another one")

    @property
    def bred_by(self) -> str:
        return NAME

    @property
    def first_segment(self) -> Segment:
        return Segment(until=steps_of(self.interval))

    def start(self, setup: Setup) -> Learner:
        rules = TrainingRules(
            interval=steps_of(self.interval),
            quantile=self.quantile,
            factors=tuple(self.perturb),
            resample=self.resample,
            population=self.population,
            is_crossed=self.explore == "crossover",
            lineages=self.lineages,
            inner=as_algorithm(self.architecture or Portfolio()),
            growth=self.growth,
        )
        return TrainedPopulation(rules, setup)


def steps_of(interval: int | str) -> int:
    """The number of training steps of an interval.

    Raises:
        UserError: It is no such number.

    Example:
        >>> steps_of(3), steps_of("2 epochs")
        (3, 2)
    """
    found = _INTERVAL.fullmatch(interval) if isinstance(interval, str) else None
    steps = int(found[1]) if found else interval
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= LONGEST_INTERVAL:
        shown = representation(interval)
        shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
        raise UserError(
            f"interval is {shown}: give a whole number of training steps from 1, such as 2, or with a unit, "
            "such as '2 epochs' or '100 steps'"
        )
    return steps


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_factor(value: object) -> bool:
    return _is_number(value) and value > 0 and value != 1  # type: ignore[operator]
