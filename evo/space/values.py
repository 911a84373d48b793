"""Values of parameters: everything that JSON can hold, in Python's own types, and compared as JSON compares.

A value is a string, a finite number, a bool, None, a list of values or a mapping of names to values. `plain` converts
other types to these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any] | None
Params: TypeAlias = dict[str, Any]
"""A mapping from the name of each parameter to its value."""

_CONTAINERS = (list, dict)

# Larger integers cannot be journalled.
BEYOND_JSON = 2**63


def plain(value: Any) -> Any:
    """A value in Python's own types where it has a counterpart there; anything else stays as it is.

    Numbers, booleans and texts of numpy and of torch become Python's. Arrays, tuples and ranges become lists, and exact
    numbers (Decimal, Fraction) become floats. Members of IntEnum and StrEnum become the values that they equal.

    Example:
        >>> plain((64, 32)), plain(range(3)), plain(True)
        ([64, 32], [0, 1, 2], True)
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, list | tuple | range):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real | Decimal):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    to_list = None if isinstance(value, type) else getattr(value, "tolist", None)
    if not callable(to_list):
        return value
    listed = to_list()
    return value if type(listed) is type(value) else plain(listed)


def why_no_value(value: Any) -> str:
    """The reason why `plain` returned something that is no value; empty when it is a value."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return "" if _is_encodable(value) else "a text must be valid Unicode"
    if isinstance(value, int):
        return "" if abs(value) < BEYOND_JSON else "whole numbers go up to 2**63"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "a number must be finite"
    if isinstance(value, list):
        return next(filter(None, map(why_no_value, value)), "")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            return "the keys of a mapping must be texts"
        return next(filter(None, map(why_no_value, value.values())), "")
    return _why_no_object(value)


def key(value: Value) -> Hashable:
    """A key that two values share exactly when they are identical: 1, 1.0 and True are three values, as in JSON.

    Example:
        >>> key(1) == key(1.0), key([1, [2]]) == key([1, [2]])
        (False, True)
    """
    if isinstance(value, _CONTAINERS):
        return json.dumps(value, sort_keys=True)
    return type(value), value


def identical(one: Any, other: Any) -> bool:
    """Equality of values: unlike in Python, 1, 1.0 and True are three different values."""
    if type(one) is not type(other):
        return False
    return key(one) == key(other) if isinstance(one, _CONTAINERS) else bool(one == other)


def fresh(value: Any) -> Any:
    """A deep copy of a value, so that changing one does not change the other.

    Example:
        >>> sizes = [64, 32]
        >>> fresh(sizes) == sizes, fresh(sizes) is sizes
        (True, False)
    """
    if isinstance(value, list):
        return [fresh(each) for each in value]
    if isinstance(value, dict):
        return {name: fresh(each) for name, each in value.items()}
    return value


def is_number(value: object) -> bool:
    """Whether a value is a number, which a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _why_no_object(value: Any) -> str:
    kinds = "a value is a text, a number, true, false, null, or a list of these"
    if isinstance(value, type) or callable(value):
        name = getattr(value, "__name__", type(value).__name__)
        path = f"{getattr(value, '__module__', 'module')}.{getattr(value, '__qualname__', name)}"
        return f"{kinds}: give its name, {name!r} or {path!r}, and let the objective look it up"
    return f"{kinds}, not {type(value).__name__}: give its name, and let the objective make the object"
