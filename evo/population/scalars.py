"""Values that an objective gives, as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def plain_number(value: Any) -> Any:
    """The number in an array or tensor of one element; anything else stays as it is."""
    is_one = hasattr(value, "item") and math.prod(getattr(value, "shape", ())) == 1
    return value.item() if is_one else value


def json_scalars(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as JSON can hold them: numbers that are not finite are left out, and other types become text."""
    kept: dict[str, Any] = {}
    for name, value in metrics.items():
        scalar = plain_number(value)
        if isinstance(scalar, float) and not math.isfinite(scalar):
            continue
        kept[json_text(name)] = scalar if type(scalar) in (int, float, bool, type(None)) else json_text(scalar)
    return kept


def json_text(value: object) -> str:
    """A value as text that JSON can hold; undecodable bytes, which file names may have, are written as escapes."""
    return str(value).encode(errors="backslashreplace").decode()
