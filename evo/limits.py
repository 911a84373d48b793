"""The limits dictionary: what may be searched, checked and brought into one form.

Limits are written as Propulate writes them, or with the three classes of this module::

    {
        "layers": (2, 10),                       # integers, both ends included
        "lr": (0.01, 0.0001),                    # floats, in either order
        "activation": ("relu", "sigmoid"),       # categories
        "batch": (8, 16, 64),                    # more than two numbers: ordered choices
        "momentum": evo.Float(0.5, 0.99, when={"optimizer": "sgd"}),
        "optimizer": evo.Choice("sgd", "adam"),
    }

Lists (from YAML) work like tuples, and `{"type": "float", "low": …, "high": …}` like the classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evo.bounds import Named, widest_ranges

Scalar: TypeAlias = str | int | float | bool | None
Params: TypeAlias = dict[str, Scalar]
When: TypeAlias = Mapping[str, "Scalar | Sequence[Scalar]"]
Bound: TypeAlias = Any
"""A number, or text that names other parameters; once limits are parsed, a number."""

# Grid points are addressed through a float in [0, 1], on a log scale through its exponential: further from zero than
# so many steps, neighbours could no longer be told apart.
_MOST_STEPS = 2**40
# A smaller share of a float's own size leaves it too few digits to be searched.
_NARROWEST, _NARROWEST_SHARE = 1e-300, 1e-6
_LARGEST_FLOAT = 1.7976931348623157e308
# Larger integers cannot be journalled.
_BEYOND_JSON = 2**63


@dataclass(frozen=True)
class Float:
    """A real number in [low, high].

    Args:
        low: One end, included: a number, or an expression of other parameters, for example "model.lr".
        high: The other end, included; two numbers may be given in either order.
        log: Search the logarithm: 1e-4 to 1e-3 is as wide as 1e-3 to 1e-2. Both ends must be above 0.
        when: The parameter exists only when each parameter named here has (one of) the given values.

    Example:
        >>> Float(1e-4, 1e-1, log=True)
        Float(low=0.0001, high=0.1, log=True, when=None)
    """

    low: Bound
    high: Bound
    log: bool = False
    when: When | None = None
    # Once limits are parsed, the ends that were expressions.
    bounds: Named | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True)
class Int:
    """An integer in [low, high], both ends included.

    Args:
        low: One end: a number, or an expression of other parameters, for example "2 * layers".
        high: The other end; two numbers may be given in either order.
        log: Search the logarithm. Both ends must be above 0.
        step: Only low, low + step, low + 2 step, … up to high.
        when: As for `Float`.

    Example:
        >>> Int(4, 256, log=True)
        Int(low=4, high=256, log=True, step=1, when=None)
    """

    low: Bound
    high: Bound
    log: bool = False
    step: int = 1
    when: When | None = None
    bounds: Named | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True, init=False)
class Choice:
    """One of several JSON scalars (strings, numbers, booleans, null).

    Numbers alone are ordered: they are searched by rank, so that a small mutation goes to a neighbour.
    Anything else is a set of categories without order.

    Args:
        values: The values, as arguments or as one list.
        when: As for `Float`.

    Example:
        >>> Choice("sgd", "adam").values
        ('sgd', 'adam')
        >>> Choice([64, 8, 16]).values
        (8, 16, 64)
    """

    values: tuple[Scalar, ...]
    when: When | None = None

    def __init__(self, *values: Scalar | Sequence[Scalar], when: When | None = None) -> None:
        if len(values) == 1 and isinstance(values[0], list | tuple):
            values = tuple(values[0])
        ordered = len(values) > 1 and all(map(_is_number, values))
        object.__setattr__(self, "values", tuple(sorted(values)) if ordered else values)
        object.__setattr__(self, "when", when)

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers, searched by their rank."""
        return all(map(_is_number, self.values))


Parameter: TypeAlias = Float | Int | Choice

# A subclass of these, numpy's for one, would not come back from the journal as what it was.
_SCALARS = (str, int, float, bool, type(None))
_TYPES: dict[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}


def parse_limits(limits: Mapping[str, Any]) -> dict[str, Parameter]:
    """Bring a limits dictionary into one form.

    Args:
        limits: Name of each parameter to its limit; see the module's text for what a limit may be.

    Returns:
        The same names, in the same order, each with a checked `Float`, `Int` or `Choice` (low < high).

    Raises:
        ValueError: A limit is malformed; the message names the parameter, its value and the rule.
    """
    if not isinstance(limits, Mapping) or not limits:
        raise ValueError(f"limits are {limits!r}: name at least one parameter, for example {{'lr': [0.0001, 0.1]}}")
    given = {}
    for name, limit in limits.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"limits name a parameter {name!r}: a name is a non-empty string")
        given[name] = _parse(name, limit)
    parsed = {name: _checked(name, parameter) for name, parameter in widest_ranges(given).items()}
    for name, parameter in parsed.items():
        _check_when(name, parameter, parsed)
    return parsed


def describe_limits(parameters: Mapping[str, Parameter]) -> dict[str, dict[str, Any]]:
    """Write limits as JSON values that `parse_limits` reads back.

    Args:
        parameters: What `parse_limits` returned.

    Returns:
        Name to `{"type": …}` and the fields that differ from their defaults.
    """
    described = {}
    for name, parameter in parameters.items():
        kind = type(parameter).__name__.lower()
        values = {field.name: getattr(parameter, field.name) for field in dataclasses.fields(parameter)}
        defaults: dict[str, Any] = {"log": False, "step": 1, "when": None}
        for end, text in zip(("low", "high"), values.pop("bounds", None) or (), strict=False):
            values[end] = values[end] if text is None else text
        kept = {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}
        if "values" in kept:
            kept["values"] = list(kept["values"])
        if "when" in kept:
            kept["when"] = {key: list(allowed_values(value)) for key, value in kept["when"].items()}
        described[name] = {"type": kind, **kept}
    return described


def allowed_values(value: Scalar | Sequence[Scalar]) -> tuple[Scalar, ...]:
    """The values that one entry of `when` allows: itself, or those of the list."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)  # type: ignore[return-value]


def identical(one: Scalar, other: Scalar) -> bool:
    """Equality of JSON scalars: unlike in Python, 1, 1.0 and True are three values."""
    return type(one) is type(other) and one == other


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse(name: str, limit: Any) -> Parameter:
    if isinstance(limit, Float | Int | Choice):
        return limit
    if isinstance(limit, Mapping):
        return _parse_mapping(name, limit)
    if not isinstance(limit, list | tuple):
        raise ValueError(
            f"limit {name!r} is {limit!r}: give (low, high), a tuple of choices, or evo.Float, evo.Int, evo.Choice"
        )
    if len(limit) < 2:
        raise ValueError(f"limit {name!r} is {limit!r}: it needs at least two values; a constant is no parameter")
    if all(map(_is_number, limit)):
        if len(limit) > 2:
            return Choice(*limit)
        low, high = limit
        return Int(low, high) if isinstance(low, int) and isinstance(high, int) else Float(low, high)
    if len({type(value) for value in limit}) > 1 or not isinstance(limit[0], str | bool):
        raise ValueError(
            f"limit {name!r} is {limit!r}: a tuple is all numbers, all strings or all booleans; "
            "for other or mixed values use evo.Choice (in YAML: {type: choice, values: […]}), "
            "and write 1e-4 as 1.0e-4 in YAML"
        )
    return Choice(*limit)


def _parse_mapping(name: str, limit: Mapping[str, Any]) -> Parameter:
    fields = dict(limit)
    kind = _TYPES.get(str(fields.pop("type", None)))
    if kind is None:
        raise ValueError(f"limit {name!r} is {dict(limit)!r}: its 'type' must be one of float, int, choice")
    try:
        return Choice(fields.pop("values"), **fields) if kind is Choice else kind(**fields)
    except (TypeError, KeyError):
        known = ", ".join(field.name for field in dataclasses.fields(kind) if field.name != "bounds")
        raise ValueError(f"limit {name!r} is {dict(limit)!r}: the fields of its type are {known}") from None


def _checked(name: str, parameter: Parameter) -> Parameter:
    if isinstance(parameter, Choice):
        return _checked_choice(name, parameter)
    bounds = (parameter.low, parameter.high)
    for bound in bounds:
        if not _is_number(bound) or not abs(bound) <= _LARGEST_FLOAT:
            raise ValueError(f"limit {name!r} has the bound {bound!r}: a bound is a finite number, at most 1.8e308")
    if not isinstance(parameter.log, bool):
        raise ValueError(f"limit {name!r} has log = {parameter.log!r}: give true or false")
    if parameter.low == parameter.high:
        raise ValueError(f"limit {name!r} has low = high = {parameter.low!r}: a constant is no parameter, leave it out")
    if parameter.log and min(bounds) <= 0:
        raise ValueError(f"limit {name!r} has the bound {min(bounds)!r}: on a log scale both must be above 0")
    if isinstance(parameter, Float):
        return _checked_float(name, dataclasses.replace(parameter, low=float(min(bounds)), high=float(max(bounds))))
    low, high = sorted((parameter.low, parameter.high))
    return _checked_int(name, dataclasses.replace(parameter, low=low, high=high))


def _checked_float(name: str, parameter: Float) -> Float:
    low, high = parameter.low, parameter.high
    if not math.isfinite(high - low):
        raise ValueError(f"limit {name!r} spans {low!r} to {high!r}: too wide for a float")
    if high - low < max(_NARROWEST, _NARROWEST_SHARE * max(abs(low), abs(high))):
        raise ValueError(f"limit {name!r} spans {low!r} to {high!r}: too narrow for a float, search the difference")
    return parameter


def _checked_int(name: str, parameter: Int) -> Int:
    for field in ("low", "high", "step"):
        value = getattr(parameter, field)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(
                f"limit {name!r} has {field} = {value!r}: an Int takes whole numbers; for others use Float"
            )
        if abs(value) >= _BEYOND_JSON:
            raise ValueError(f"limit {name!r} has {field} = {value!r}: whole numbers go up to 2**63; use Float")
    if not 1 <= parameter.step <= parameter.high - parameter.low:
        raise ValueError(
            f"limit {name!r} has step = {parameter.step}: it must be between 1 and high - low = "
            f"{parameter.high - parameter.low}"
        )
    if (parameter.high - (0 if parameter.log else parameter.low)) // parameter.step >= _MOST_STEPS:
        raise ValueError(
            f"limit {name!r} goes from {parameter.low} to {parameter.high} in steps of {parameter.step}: "
            "too fine for whole numbers beyond 2**40 steps; use Float, or a larger step"
        )
    return parameter


def _checked_choice(name: str, parameter: Choice) -> Choice:
    values = parameter.values
    for value in values:
        if type(value) not in _SCALARS or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(
                f"limit {name!r} has the choice {value!r}: a choice is a string, finite number, bool or None, "
                "each of Python's own types"
            )
        if isinstance(value, int) and abs(value) >= _BEYOND_JSON:
            raise ValueError(f"limit {name!r} has the choice {value!r}: whole numbers go up to 2**63")
    if len(values) < 2:
        raise ValueError(f"limit {name!r} has the choices {values!r}: it needs at least two values")
    for index, value in enumerate(values):
        if any(identical(value, other) for other in values[:index]):
            raise ValueError(f"limit {name!r} has the choice {value!r} twice: name each value once")
    return parameter


def _check_when(name: str, parameter: Parameter, parsed: Mapping[str, Parameter]) -> None:
    if parameter.when is None:
        return
    if not isinstance(parameter.when, Mapping) or not parameter.when:
        raise ValueError(
            f"limit {name!r} has when = {parameter.when!r}: give a dictionary such as {{'optimizer': 'sgd'}}"
        )
    for parent, wanted in parameter.when.items():
        if parent not in parsed:
            raise ValueError(
                f"limit {name!r} depends on {parent!r}, which is not among the limits: {', '.join(parsed)}"
            )
        if not allowed_values(wanted):
            raise ValueError(f"limit {name!r} depends on {parent} = {wanted!r}: name at least one value")
        for value in allowed_values(wanted):
            if not _may_be(parsed[parent], value):
                raise ValueError(f"limit {name!r} depends on {parent} = {value!r}, which {parent!r} can never be")


def _may_be(parameter: Parameter, value: Scalar) -> bool:
    if isinstance(parameter, Choice):
        return any(identical(value, choice) for choice in parameter.values)
    if isinstance(parameter, Int):
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and parameter.low <= value <= parameter.high
            and (value - parameter.low) % parameter.step == 0
        )
    return False  # A float is equal to a given number with probability zero.
