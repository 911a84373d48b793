"""The limits dictionary: what may be searched, checked and brought into one form.

Limits are written as Propulate writes them, or with the three classes of `evo.space.parameters`::

    {
        "layers": (2, 10),                       # integers, both ends included
        "lr": (0.01, 0.0001),                    # floats, in either order
        "activation": ("relu", "sigmoid"),       # categories
        "batch": (8, 16, 64),                    # more than two numbers: ordered choices
        "hidden": ([64], [64, 32]),              # lists
        "momentum": evo.Float(0.5, 0.99, when={"optimizer": "sgd"}),
        "optimizer": evo.Choice("sgd", "adam"),
        "epochs": 10,                            # a constant
    }

Lists (from YAML) work like tuples, and `{"type": "float", "low": …, "high": …}` like the classes. Numbers of numpy are
numbers, its arrays and ranges are choices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.space.bounds import widest_ranges
from evo.space.parameters import (
    ABSENT,
    Choice,
    Float,
    Grid,
    Int,
    Parameter,
    When,
    allowed_values,
    as_meant,
    default_of,
    is_constant,
    may_be,
    within_text,
)
from evo.space.values import BEYOND_JSON, identical, is_number, key, plain, why_no_value

__all__ = [
    "ABSENT",
    "Choice",
    "Float",
    "Grid",
    "Int",
    "Parameter",
    "When",
    "allowed_values",
    "as_meant",
    "default_of",
    "describe_limits",
    "identical",
    "is_constant",
    "may_be",
    "parse_limits",
]

# Grid points are addressed through a float in [0, 1], on a log scale through its exponential: further from zero than
# so many steps, neighbours could no longer be told apart.
_MOST_STEPS = 2**40
# A smaller share of a float's own size leaves it too few digits to be searched.
_NARROWEST, _NARROWEST_SHARE = 1e-300, 1e-6
_LARGEST_FLOAT = 1.7976931348623157e308

_TYPES: dict[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}


def parse_limits(limits: Mapping[str, Any]) -> dict[str, Parameter]:
    """Bring a limits dictionary into one form.

    Args:
        limits: Name of each parameter to its limit; see the module's text for what a limit may be.

    Returns:
        The same names, in the same order, each with a checked `Float`, `Int` or `Choice`: low < high, and values of
        Python's own types; a constant is a `Choice` of one value.

    Raises:
        UserError: A limit is malformed; the message names the parameter, its value and the rule.
    """
    if not isinstance(limits, Mapping) or not limits:
        raise UserError(f"limits are {limits!r}: name at least one parameter, for example {{'lr': [0.0001, 0.1]}}")
    given = {}
    for label, limit in limits.items():
        name = plain(label)
        if not isinstance(name, str) or not name or why_no_value(name):
            raise UserError(f"limits name a parameter {label!r}: a name is a non-empty string")
        given[name] = _with_plain_ends(_parse(name, limit))
    parsed = {
        name: _checked_default(name, _checked(name, parameter)) for name, parameter in widest_ranges(given).items()
    }
    return {name: _checked_when(name, parameter, parsed) for name, parameter in parsed.items()}


def describe_limits(parameters: Mapping[str, Parameter]) -> dict[str, dict[str, Any]]:
    """Write limits as JSON values that `parse_limits` reads back.

    Args:
        parameters: What `parse_limits` returned.

    Returns:
        Name to `{"type": …}` and the fields that differ from their defaults.
    """
    described = {}
    for name, parameter in parameters.items():
        kept = {
            field.name: getattr(parameter, field.name)
            for field in dataclasses.fields(parameter)
            if not _is_usual(field, getattr(parameter, field.name))
        }
        for end, text in zip(("low", "high"), kept.pop("bounds", None) or (), strict=False):
            kept[end] = kept[end] if text is None else text
        if "values" in kept:
            kept["values"] = list(kept["values"])
        if "when" in kept:
            kept["when"] = {parent: list(allowed_values(value)) for parent, value in kept["when"].items()}
        described[name] = {"type": type(parameter).__name__.lower(), **kept}
    return described


def _is_usual(field: dataclasses.Field[Any], value: Any) -> bool:
    return field.default is not dataclasses.MISSING and (value is field.default or identical(value, field.default))


def _with_plain_ends(parameter: Parameter) -> Parameter:
    if isinstance(parameter, Choice):
        return parameter
    return dataclasses.replace(parameter, low=plain(parameter.low), high=plain(parameter.high))


def _parse(name: str, limit: Any) -> Parameter:
    if isinstance(limit, Float | Int | Choice):
        return limit
    if isinstance(limit, Mapping):
        return _parse_mapping(name, limit)
    if isinstance(limit, range) and len(limit) > 1:
        return Int(min(limit), max(limit), step=abs(limit.step))
    is_bounds = isinstance(limit, list | tuple)  # Two numbers of an array or range are choices.
    value = plain(limit)
    if not isinstance(value, list):
        return _constant(name, limit, value)
    if not value:
        raise UserError(f"limit {name!r} is {limit!r}: it needs at least one value")
    if problem := next((problem for problem in map(_why_no_object, value) if problem), ""):
        raise UserError(f"limit {name!r} is {limit!r}: {problem}")
    if len(value) == 2 and all(map(is_number, value)) and is_bounds:
        low, high = value
        return Int(low, high) if isinstance(low, int) and isinstance(high, int) else Float(low, high)
    if len(value) > 1 and not _are_alike(value):
        raise UserError(
            f"limit {name!r} is {limit!r}: a tuple is all numbers, all strings, all booleans or all lists; "
            "for other or mixed values use evo.Choice (in YAML: {type: choice, values: […]}), "
            "and write numbers without quotes"
        )
    return Choice(value)


def _why_no_object(value: Any) -> str:
    return "" if is_number(value) else why_no_value(value)  # What numbers may be is asked later.


def _are_alike(values: list[Any]) -> bool:
    kinds = {type(value) for value in values}
    return kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, bool, list})


def _constant(name: str, limit: Any, value: Any) -> Choice:
    if problem := why_no_value(value):
        raise UserError(
            f"limit {name!r} is {limit!r}: give (low, high), a tuple of choices, evo.Float, evo.Int, evo.Choice, or a "
            f"constant; {problem}"
        )
    return Choice([value])


def _parse_mapping(name: str, limit: Mapping[str, Any]) -> Parameter:
    fields = dict(limit)
    written = fields.pop("type", None)
    kind = _TYPES.get(str(written))
    if kind is None:
        meant = did_you_mean(written, _TYPES)
        raise UserError(f"limit {name!r} is {dict(limit)!r}: its 'type' must be one of {', '.join(_TYPES)}{meant}")
    try:
        if kind is not Choice:
            return kind(**fields)
        values = plain(fields.pop("values"))
        if not isinstance(values, list):
            raise UserError(f"limit {name!r} has values = {values!r}: give a list of at least one value")
        return Choice(values, **fields)
    except (TypeError, KeyError):
        known = [field.name for field in dataclasses.fields(kind) if field.name != "bounds"]
        meant = next(filter(None, (did_you_mean(each, known) for each in fields if each not in known)), "")
        takes = f"the fields of its type are {', '.join(known)}"
        raise UserError(f"limit {name!r} is {dict(limit)!r}: {takes}{meant}") from None


def _checked(name: str, given: Parameter) -> Parameter:
    if isinstance(given, Choice):
        return _checked_choice(name, given)
    parameter = dataclasses.replace(given, log=plain(given.log), step=plain(given.step))
    bounds = (parameter.low, parameter.high)
    for bound in bounds:
        if not is_number(bound) or not abs(bound) <= _LARGEST_FLOAT:
            raise UserError(f"limit {name!r} has the bound {bound!r}: a bound is a finite number, at most 1.8e308")
    if not isinstance(parameter.log, bool):
        raise UserError(f"limit {name!r} has log = {parameter.log!r}: give true or false")
    if parameter.log and min(bounds) <= 0:
        raise UserError(f"limit {name!r} has the bound {min(bounds)!r}: on a log scale both must be above 0")
    low, high = sorted(bounds)
    if isinstance(parameter, Float):
        return _checked_float(name, dataclasses.replace(parameter, low=float(low), high=float(high)))
    return _checked_int(name, dataclasses.replace(parameter, low=low, high=high))


def _checked_float(name: str, parameter: Float) -> Parameter:
    low, high = parameter.low, parameter.high
    if low == high:
        return Choice([low + 0.0], when=parameter.when, default=default_of(parameter))
    if not math.isfinite(high - low):
        raise UserError(f"limit {name!r} spans {low!r} to {high!r}: too wide for a float")
    if high - low < max(_NARROWEST, _NARROWEST_SHARE * max(abs(low), abs(high))):
        raise UserError(f"limit {name!r} spans {low!r} to {high!r}: too narrow for a float, search the difference")
    if parameter.step is None:
        return parameter
    step = parameter.step
    if not is_number(step) or not 0 < step <= high - low:
        raise UserError(
            f"limit {name!r} has step = {step!r}: it must be a number above 0, at most high - low = {high - low!r}"
        )
    if max(high - low, abs(low), abs(high)) / step >= _MOST_STEPS:
        raise UserError(
            f"limit {name!r} goes from {low!r} to {high!r} in steps of {step!r}: more than 2**40 steps, counted from "
            "zero, are too fine; leave out the step, or give a larger one"
        )
    return dataclasses.replace(parameter, step=float(step))


def _checked_int(name: str, parameter: Int) -> Parameter:
    for field in ("low", "high", "step"):
        value = getattr(parameter, field)
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"limit {name!r} has {field} = {value!r}: an Int takes whole numbers; for others use Float")
        if abs(value) >= BEYOND_JSON:
            raise UserError(f"limit {name!r} has {field} = {value!r}: whole numbers go up to 2**63; use Float")
    if parameter.low == parameter.high:
        return Choice([parameter.low], when=parameter.when, default=default_of(parameter))
    if not 1 <= parameter.step <= parameter.high - parameter.low:
        raise UserError(
            f"limit {name!r} has step = {parameter.step}: it must be between 1 and high - low = "
            f"{parameter.high - parameter.low}"
        )
    if (parameter.high - (0 if parameter.log else parameter.low)) // parameter.step >= _MOST_STEPS:
        raise UserError(
            f"limit {name!r} goes from {parameter.low} to {parameter.high} in steps of {parameter.step}: "
            "too fine for whole numbers beyond 2**40 steps; use Float, or a larger step"
        )
    return parameter


def _checked_choice(name: str, parameter: Choice) -> Choice:
    if not parameter.values:
        raise UserError(f"limit {name!r} has no choices: it needs at least one value")
    known = set()
    for value in parameter.values:
        if problem := why_no_value(value):
            raise UserError(f"limit {name!r} has the choice {value!r}: {problem}")
        if key(value) in known:
            raise UserError(f"limit {name!r} has the choice {value!r} twice: name each value once")
        known.add(key(value))
    return parameter


def _checked_default(name: str, parameter: Parameter) -> Parameter:
    """The parameter with its default as one of its values, if it has one."""
    default = plain(parameter.default)
    if default is ABSENT or (default is None and not isinstance(parameter, Choice)):
        return parameter
    default = as_meant(parameter, default)
    if isinstance(parameter, Float) and parameter.step is None:
        fits = isinstance(default, float) and parameter.low <= default <= parameter.high
    else:
        fits = may_be(parameter, default)
    if not fits:
        raise UserError(f"limit {name!r} has default = {parameter.default!r}: it must be {within_text(parameter)}")
    if isinstance(parameter, Choice):
        return Choice(list(parameter.values), when=parameter.when, default=default)
    return dataclasses.replace(parameter, default=default)


def _checked_when(name: str, parameter: Parameter, parsed: Mapping[str, Parameter]) -> Parameter:
    if parameter.when is None:
        return parameter
    if not isinstance(parameter.when, Mapping) or not parameter.when:
        raise UserError(
            f"limit {name!r} has when = {parameter.when!r}: give a dictionary such as {{'optimizer': 'sgd'}}"
        )
    when = {plain(parent): plain(wanted) for parent, wanted in parameter.when.items()}
    for parent, wanted in when.items():
        if parent not in parsed:
            known = f"{', '.join(parsed)}{did_you_mean(parent, parsed)}"
            raise UserError(f"limit {name!r} depends on {parent!r}, which is not among the limits: {known}")
        impossible = [value for value in allowed_values(wanted) if not may_be(parsed[parent], value)]
        if isinstance(wanted, list) and (impossible or not wanted) and may_be(parsed[parent], wanted):
            when[parent] = [wanted]  # The list is the value, not a list of values.
        elif not allowed_values(wanted):
            raise UserError(f"limit {name!r} depends on {parent} = {wanted!r}: name at least one value")
        elif impossible:
            raise UserError(f"limit {name!r} depends on {parent} = {impossible[0]!r}, which {parent!r} can never be")
    if isinstance(parameter, Choice):
        return Choice(list(parameter.values), when=when, default=parameter.default)
    return dataclasses.replace(parameter, when=when)
