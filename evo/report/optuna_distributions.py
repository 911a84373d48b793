"""The parameters of a study as distributions of Optuna that hold every value which has occurred."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo.space.parameters import Choice, Float, Grid, Int, Parameter
from evo.space.space import Space
from evo.space.values import BEYOND_JSON, is_number, key

_PLAIN = (type(None), bool, int, float, str)  # The categories that Optuna can keep.


@dataclass(frozen=True)
class Exported:
    """One parameter in Optuna's terms.

    Args:
        distribution: Its distribution, of a class of `optuna.distributions`.
        value_of: Optuna's value of a value of the parameter.
    """

    distribution: Any
    value_of: Callable[[Any], Any]


def export_parameters(spaces: Sequence[Space], individuals: Iterable[Mapping[str, Any]]) -> dict[str, Exported]:
    """Every parameter that a study has, or has had, in Optuna's terms.

    Numbers keep their bounds, scale and step; choices are categories, of which lists and mappings are written as JSON.
    Where limits have changed, so that values lie outside of those of now, a distribution is as wide as the values.

    Args:
        spaces: The spaces that the study has had, the present one last.
        individuals: The parameters of all individuals.

    Returns:
        The parameters by name, in the order of the present limits, before those that exist no more.
    """
    seen: dict[str, dict[Any, Any]] = {}
    for params in individuals:
        for name, value in params.items():
            seen.setdefault(name, {}).setdefault(key(value), value)
    latest = {name: parameter for space in spaces for name, parameter in space.parameters.items()}
    names = dict.fromkeys([*(spaces[-1].parameters if spaces else ()), *latest, *seen])
    return {name: _export(latest.get(name), list(seen.get(name, {}).values())) for name in names}


def _export(parameter: Parameter | None, values: Sequence[Any]) -> Exported:
    """The narrowest distribution that suits a parameter and holds all values that occur, exactly."""
    for make in (_as_limited, _as_widened):
        exported = make(parameter, values)
        if exported is not None and _holds(exported.distribution, values):
            return exported
    return _categories([*(parameter.values if isinstance(parameter, Choice) else ()), *values])


def _holds(distribution: Any, values: Sequence[Any]) -> bool:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(distribution, CategoricalDistribution):
        return True
    kind = float if isinstance(distribution, FloatDistribution) else int
    return all(
        type(value) is kind and distribution._contains(float(value)) and kind(float(value)) == value for value in values
    )


def _as_limited(parameter: Parameter | None, values: Sequence[Any]) -> Exported | None:
    from optuna.distributions import FloatDistribution, IntDistribution

    if parameter is None:
        return None
    if isinstance(parameter, Choice):
        known = {key(value) for value in parameter.values}
        return _categories(parameter.values) if all(key(value) in known for value in values) else None
    if isinstance(parameter, Float):
        if parameter.step is None or parameter.log:  # Optuna has no log scale with steps.
            return Exported(FloatDistribution(parameter.low, parameter.high, log=parameter.log), _unchanged)
        grid = Grid(parameter)
        return Exported(FloatDistribution(parameter.low, grid.value(grid.count - 1), step=parameter.step), _unchanged)
    if max(abs(parameter.low), abs(parameter.high)) >= BEYOND_JSON:
        return None
    step = 1 if parameter.log else parameter.step
    high = parameter.high if parameter.log else Grid(parameter).value(Grid(parameter).count - 1)
    return Exported(IntDistribution(parameter.low, high, log=parameter.log, step=step), _unchanged)


def _as_widened(parameter: Parameter | None, values: Sequence[Any]) -> Exported | None:
    from optuna.distributions import FloatDistribution, IntDistribution

    numbers = [value for value in values if is_number(value)]
    if len(numbers) < len(values) or not numbers or isinstance(parameter, Choice):
        return None
    bounds = [] if parameter is None else [parameter.low, parameter.high]
    low, high = min([*numbers, *bounds]), max([*numbers, *bounds])
    log = parameter is not None and parameter.log and low > 0
    if isinstance(parameter, Int) or all(isinstance(value, int) for value in numbers):
        return Exported(IntDistribution(low, high, log=log), _unchanged)
    return Exported(FloatDistribution(low, high, log=log), _unchanged)


def _categories(values: Iterable[Any]) -> Exported:
    from optuna.distributions import CategoricalDistribution

    by_key = {key(value): value for value in values}
    labels = {place: value if isinstance(value, _PLAIN) else json.dumps(value) for place, value in by_key.items()}
    if len(set(labels.values())) < len(labels):  # To Optuna, 1, 1.0 and True are one category.
        labels = {place: json.dumps(value) for place, value in by_key.items()}
    return Exported(CategoricalDistribution(list(labels.values())), lambda value: labels[key(value)])


def _unchanged(value: Any) -> Any:
    return value
