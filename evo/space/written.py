"""Values of parameters as text, as tables and Optuna's categories hold them, and back into exactly the same values."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

from evo.errors import UserError
from evo.space.parameters import Choice, Float, Grid, Parameter, as_meant, within_text
from evo.space.values import identical, is_number, plain

_LONGEST_SHOWN = 60


def text_of_value(value: Any) -> str:
    """A value as text that `value_of_text` reads back: a text as it is, anything else as JSON.

    A text that reads as JSON is written as JSON itself, so that it is not taken for a number, say.

    Example:
        >>> [text_of_value(value) for value in ("relu", "7", 7, [64, 32], None)]
        ['relu', '"7"', '7', '[64, 32]', 'null']
    """
    if isinstance(value, str) and _parsed(value) is None:
        return value
    return json.dumps(value, ensure_ascii=False)


def read_value(parameter: Parameter, given: Any) -> Any:
    """The value that a parameter has where a user, a table or Optuna says what it is.

    Args:
        parameter: The parameter, checked.
        given: The value, or a text that stands for it.

    Raises:
        UserError: The parameter cannot have this value; the message says what was given, and what it may be.

    Example:
        >>> read_value(Float(0.0, 1.0), "1"), read_value(Choice([8], [8, 8]), "[8, 8]")
        (1.0, [8, 8])
    """
    value = plain(given)
    with suppress(OverflowError):  # A whole number may be too large for a float.
        for candidate in _candidates(parameter, value):
            if _is_within(parameter, candidate):
                return candidate
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 1]}…"
    raise UserError(f"is {shown}: it must be {within_text(parameter)}")


def read_number(given: Any) -> float:
    """A finite number that a user or a table gives, which may stand there as text.

    Raises:
        UserError: It is none.
    """
    value = plain(given)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if not is_number(value) or not math.isfinite(value):
        raise UserError(f"is {given!r}: it must be a finite number")
    return float(value)


def _candidates(parameter: Parameter, value: Any) -> list[Any]:
    """What a value may mean, what is meant most likely first."""
    if not isinstance(value, str):
        return [as_meant(parameter, _whole(parameter, value))]
    parsed = _parsed(value)
    if parsed is None:
        return [value]
    return [as_meant(parameter, _whole(parameter, parsed[0])), value]


def _whole(parameter: Parameter, value: Any) -> Any:
    """A whole number where tables write 3.0 for 3, as they do in columns in which some cells are empty."""
    if not isinstance(value, float) or isinstance(parameter, Float) or not value.is_integer():
        return value
    if isinstance(parameter, Choice) and any(identical(value, choice) for choice in parameter.values):
        return value
    return int(value)


def _is_within(parameter: Parameter, value: Any) -> bool:
    if isinstance(parameter, Choice):
        return any(identical(value, choice) for choice in parameter.values)
    if isinstance(parameter, Float) and parameter.step is None:
        return isinstance(value, float) and parameter.low <= value <= parameter.high
    return Grid(parameter).cell(value) is not None


def _parsed(text: str) -> tuple[Any] | None:
    """What a text is as JSON; None when it is none. A number that is written as Python writes it counts as well."""
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError):
        pass
    try:
        return (float(text),)
    except ValueError:
        return None
