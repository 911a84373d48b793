"""Makes pruners from a study file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.pruning.base import Pruner
from evo.pruning.curve import CurveExtrapolation
from evo.pruning.halving import SuccessiveHalving
from evo.pruning.median import MedianStopping

READY: Mapping[str, type[Pruner]] = {
    "halving": SuccessiveHalving,
    "median": MedianStopping,
    "curve": CurveExtrapolation,
}
"""The pruners by name."""


def make_pruner(what: str | Mapping[str, Any]) -> Pruner | None:
    """Make a pruner from the setting in a study file or on a command line.

    Args:
        what: "none"; the name of a ready pruner; or `{name: ..., PARAMETER: VALUE, ...}`.

    Returns:
        The pruner; None for "none".

    Raises:
        UserError: The name is unknown, or a parameter is wrong or missing.

    Example:
        >>> make_pruner({"name": "halving", "reduction": 4})
        SuccessiveHalving(grace=1, reduction=4, maximum=None)
    """
    given = {"name": what} if isinstance(what, str) else what
    name = given.get("name") if isinstance(given, Mapping) else None
    if name == "none" and len(given) == 1:
        return None
    if not isinstance(name, str) or name not in READY:
        forms = f"give none, or {{name: one of {', '.join(READY)}, and its parameters}}"
        raise UserError(f"pruning is {what!r}: {forms}{did_you_mean(name, ['none', *READY])}")
    parameters = {key: value for key, value in given.items() if key != "name"}
    fields = {field.name: field for field in dataclasses.fields(READY[name])}  # type: ignore[arg-type]
    takes = f"it takes {', '.join(fields)}"
    for key, value in parameters.items():
        if key not in fields:
            raise UserError(f"pruning {name}: {key!r} is {value!r}, but {takes}{did_you_mean(key, fields)}")
    missing = [key for key, one in fields.items() if one.default is dataclasses.MISSING and key not in parameters]
    if missing:
        raise UserError(f"pruning {name}: {missing[0]} is missing; {takes}")
    try:
        return READY[name](**parameters)
    except UserError as error:
        raise UserError(f"pruning {name}: {error}") from error
