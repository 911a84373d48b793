"""The functions of COCO (https://coco-platform.org): `bbob` (numbers) and `bbob-mixint` (four fifths are integers)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from benchmarks.quality.problem import Problem

ODD: tuple[int, ...] = tuple(range(1, 25, 2))
"""The functions that algorithms are developed on; the even ones are for judging."""

TARGETS: tuple[float, ...] = tuple(10.0**exponent for exponent in range(2, -9, -1))
"""The distances from the optimum that count."""

# bbob-mixint multiplies the functions of bbob by these factors (suite_bbob_mixint.c); checked against the values at
# the best points that cocoex tells, for the odd functions.
_FACTORS = (1, 1e-3, 0.1, 0.1, 1, 1e-2, 1, 1e-2, 1e-2, 1e-3, 1e-2, 1e-4, 0.1, 1, 0.1, 1, 10, 1, 10, 0.1, 1, 1, 10, 0.1)


def problems(
    suite: str, dimensions: Sequence[int] = (5, 10, 20), functions: Sequence[int] = ODD, instance: int = 1
) -> list[Problem]:
    """The problems of one suite, whose losses are as COCO gives them.

    Args:
        suite: `bbob` or `bbob-mixint`.
        dimensions: The numbers of parameters; of `bbob-mixint`, there are 5, 10, 20, 40, 80 and 160.
        functions: The numbers of the functions, from 1 to 24.
        instance: Decides shifts and rotations.
    """
    return [_problem(suite, function, dimension, instance) for dimension in dimensions for function in functions]


def targets_reached(losses: Sequence[float], optimum: float) -> float:
    """The share of `TARGETS` that the best of the losses reaches.

    Args:
        losses: The losses; nan where an evaluation failed.
        optimum: The lowest possible loss.
    """
    numbers = np.asarray(losses, dtype=float)
    numbers = numbers[~np.isnan(numbers)]
    best = numbers.min() - optimum if len(numbers) else np.inf
    return float(np.mean([best <= target for target in TARGETS]))


def _problem(suite: str, function: int, dimension: int, instance: int) -> Problem:
    import cocoex

    optimum = cocoex.BareProblem("bbob", function, dimension, instance).best_value()
    name = f"f{function}-d{dimension}-i{instance}"
    if suite == "bbob":
        inner, limits = _bare(function, dimension, instance), {f"x{i}": (-5.0, 5.0) for i in range(dimension)}
        return Problem(suite, name, limits, _of_vector(inner, list(limits)), optimum)
    mixed = _mixed(instance).get_problem_by_function_dimension_instance(function, dimension, instance)
    integers = mixed.number_of_integer_variables
    limits = {
        f"x{i}": (int(low), int(high)) if i < integers else (float(low), float(high))
        for i, (low, high) in enumerate(zip(mixed.lower_bounds, mixed.upper_bounds, strict=True))
    }
    return Problem(suite, name, limits, _of_vector(mixed, list(limits)), optimum * _FACTORS[function - 1])


def _bare(function: int, dimension: int, instance: int) -> Callable[[Any], float]:
    import cocoex

    bare: Callable[[Any], float] = cocoex.BareProblem("bbob", function, dimension, instance)
    return bare


@cache  # Its problems live as long as the suite.
def _mixed(instance: int) -> Any:
    import cocoex

    return cocoex.Suite("bbob-mixint", f"instances:{instance}", "")


def _of_vector(function: Callable[[Any], float], names: list[str]) -> Callable[[Mapping[str, Any]], float]:
    return lambda params: float(function(np.array([params[name] for name in names], dtype=float)))
