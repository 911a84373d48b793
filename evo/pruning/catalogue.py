"""Makes pruners from a study file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evo.naming import Kind
from evo.pruning.base import Pruner
from evo.pruning.curve import CurveExtrapolation
from evo.pruning.halving import SuccessiveHalving
from evo.pruning.median import MedianStopping


def _no_pruner() -> None:
    """Nothing ends evaluations early."""


READY: Mapping[str, Callable[..., Pruner | None]] = {
    "none": _no_pruner,
    "halving": SuccessiveHalving,
    "median": MedianStopping,
    "curve": CurveExtrapolation,
}
"""The pruners by name."""

_PRUNERS: Kind[Pruner | None] = Kind(
    bases=(Pruner,), setting="pruning", noun="pruner", packages=("evo.pruning",), ready=READY
)


def make_pruner(what: str | Mapping[str, Any] | Pruner) -> Pruner | None:
    """A pruner from what a study file, a command line or a program says.

    Args:
        what: "none"; the name of a ready one; `{name: ..., PARAMETER: VALUE, ...}`; `{class_path: module.Class,
            init_args: {...}}` for any subclass of Pruner, installed or in a module on Python's path; or a pruner.

    Returns:
        The pruner; None for "none".

    Raises:
        UserError: A name is unknown, an argument wrong or missing, or a module cannot be imported.

    Example:
        >>> make_pruner({"name": "halving", "reduction": 4})
        SuccessiveHalving(grace=1, reduction=4, maximum=None, graces=1)
    """
    return what if isinstance(what, Pruner) else _PRUNERS.make(what, {})
