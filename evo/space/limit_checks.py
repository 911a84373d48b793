"""The rules that limits must fulfil, each with its message."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.space.parameters import (
    ABSENT,
    Choice,
    Float,
    Int,
    Parameter,
    allowed_values,
    as_meant,
    default_of,
    may_be,
    within_text,
)
from evo.space.values import BEYOND_JSON, is_number, key, plain, why_no_value

# Grid points are addressed by a float in [0, 1], on a log scale by its exponential. More than so many steps away from
# zero, neighbours could no longer be told apart.
_MOST_STEPS = 2**40
# A range that is narrower than this, or than this share of its bounds, leaves too few digits to be searched.
_NARROWEST, _NARROWEST_SHARE = 1e-300, 1e-6
_LARGEST_FLOAT = 1.7976931348623157e308


def check_parameter(name: str, given: Parameter) -> Parameter:
    """A parameter in its normal form: low < high, Python's own types, and a default that is one of its values.

    Args:
        name: The parameter's name.
        given: The parameter as the user gave it.

    Raises:
        UserError: The parameter is malformed.
    """
    if not (given.mutable is None or isinstance(given.mutable, bool)):
        raise UserError(f"limit {name!r} has mutable = {given.mutable!r}: give true or false, or leave it out")
    return _checked_default(name, _checked(name, given))


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
        return Choice([low + 0.0], when=parameter.when, default=default_of(parameter), mutable=parameter.mutable)
    if not math.isfinite(high - low):
        raise UserError(f"limit {name!r} spans {low!r} to {high!r}: too wide for a float")
    if high - low < max(_NARROWEST, _NARROWEST_SHARE * max(abs(low), abs(high))):
        raise UserError(f"limit {name!r} spans {low!r} to {high!r}: too narrow for a float; search the difference")
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
        return Choice([parameter.low], when=parameter.when, default=default_of(parameter), mutable=parameter.mutable)
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
    """The parameter with its default, if it has one, converted to one of its values."""
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
        return Choice(list(parameter.values), when=parameter.when, default=default, mutable=parameter.mutable)
    return dataclasses.replace(parameter, default=default)


def check_when(name: str, parameter: Parameter, parsed: Mapping[str, Parameter]) -> Parameter:
    """A parameter whose condition, if it has one, names existing parameters and values that they can have.

    Args:
        name: The parameter's name.
        parameter: The parameter, as `check_parameter` returned it.
        parsed: All parameters, by name.

    Raises:
        UserError: The condition is malformed.
    """
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
            raise UserError(
                f"limit {name!r} depends on {parent} = {impossible[0]!r}, which {parent!r} can never be: name another"
            )
    if isinstance(parameter, Choice):
        return Choice(list(parameter.values), when=when, default=parameter.default, mutable=parameter.mutable)
    return dataclasses.replace(parameter, when=when)
