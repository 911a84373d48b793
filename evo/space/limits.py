"""The limits dictionary: the values that each parameter may have, checked and brought into one form.

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

Lists (from YAML) work like tuples, and `{"type": "float", "low": …, "high": …}` works like the classes. Numbers of
numpy work like Python's, and its arrays are choices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.space.bounds import widest_ranges
from evo.space.limit_checks import check_parameter, check_when
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
)
from evo.space.values import identical, is_number, plain, why_no_value

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

_TYPES: dict[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}


def parse_limits(limits: Mapping[str, Any]) -> dict[str, Parameter]:
    """Bring a limits dictionary into one form.

    Args:
        limits: A mapping from the name of each parameter to its limit, in any form shown in the module's docstring.

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
    parsed = {name: check_parameter(name, parameter) for name, parameter in widest_ranges(given).items()}
    return {name: check_when(name, parameter, parsed) for name, parameter in parsed.items()}


def describe_limits(parameters: Mapping[str, Parameter]) -> dict[str, dict[str, Any]]:
    """Write limits as JSON values that `parse_limits` reads back.

    Args:
        parameters: The parameters, as `parse_limits` returned them.

    Returns:
        A mapping from each name to `{"type": …}` and the fields that differ from their defaults.
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
    is_bounds = isinstance(limit, list | tuple)  # Two numbers in an array are choices, not bounds.
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
    return "" if is_number(value) else why_no_value(value)  # Numbers are checked later.


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
