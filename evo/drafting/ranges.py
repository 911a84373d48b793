"""Limits around a default, which they always hold, as a study file writes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from evo.errors import UserError
from evo.objective.facts import ArgumentFact
from evo.space.limits import parse_limits
from evo.space.values import is_number

Limit: TypeAlias = dict[str, Any] | list[Any]
Make: TypeAlias = Callable[[ArgumentFact], Limit | None]
"""Makes a limit for an argument; None where its default does not fit the rule."""


def logarithmic(below: float, above: float, usual: float, *, most: float = math.inf, zero: bool = False) -> Make:
    """Floats from a part of the default to a multiple of it, on a log scale.

    Args:
        below: What the default is divided by for the lower end.
        above: What it is multiplied by for the upper end.
        usual: The default where there is none.
        most: The upper end is at most this, or the default where that is larger.
        zero: Whether a default of 0, which no log scale has, is taken for none; otherwise something is off then.
    """

    def make(fact: ArgumentFact) -> Limit | None:
        if zero and is_number(fact.default) and fact.default == 0:
            fact = msgspec.structs.replace(fact, default=None)
        if fact.default is not None and not _is_positive(fact.default):
            return None
        middle = float(usual if fact.default is None else fact.default)
        low, high = _rounded(middle / below), max(middle, min(most, _rounded(middle * above)))
        return with_default({"type": "float", "low": low, "high": high, "log": True}, fact) if low > 0.0 else None

    return make


def between(low: float, high: float) -> Make:
    """Floats of a range, which is made larger for a default that lies outside of it but in [0, 1]."""

    def make(fact: ArgumentFact) -> Limit | None:
        default = low if fact.default is None else fact.default
        if not is_number(default) or not 0.0 <= default <= 1.0:
            return None
        default = float(default)
        return with_default({"type": "float", "low": min(low, default), "high": max(high, default)}, fact)

    return make


def decaying(fact: ArgumentFact) -> Limit | None:
    """Factors below 1: near 1 where the default is, and otherwise some times smaller and larger."""
    default = fact.default
    if not is_number(default) or not 0.0 < default < 1.0:
        return None
    low, high = _rounded(default / 3), 0.9
    if default > 0.8:
        low, high = max(0.01, _below_one(5.0 * (1.0 - default))), _below_one((1.0 - default) / 10.0)
    return with_default({"type": "float", "low": low, "high": high}, fact)


def whole(below: int, above: int, *, least: int = 1, log: bool = False) -> Make:
    """Whole numbers from a part of the default to a multiple of it; nothing without a default."""

    def make(fact: ArgumentFact) -> Limit | None:
        if not _is_positive(fact.default):
            return None
        low = max(least, int(fact.default // below))
        high = max(low + 2, int(fact.default * above))
        limit = {"type": "int", "low": low, "high": high}
        return with_default({**limit, "log": True} if log else limit, fact)

    return make


def count_from_zero(high: int) -> Make:
    """Whole numbers from 0 to twice the default, or to this number."""

    def make(fact: ArgumentFact) -> Limit | None:
        if fact.default is not None and not is_number(fact.default):
            return None
        most = 2 * fact.default if _is_positive(fact.default) else high
        return with_default({"type": "int", "low": 0, "high": int(most)}, fact)

    return make


def multiples(*factors: float, usual: int | None = None) -> Make:
    """Some numbers: the default times each factor, each at least 1 and of the default's kind."""

    def make(fact: ArgumentFact) -> Limit | None:
        middle = usual if fact.default is None else fact.default
        if middle is None or not _is_positive(middle):
            return None
        values = [middle * factor for factor in factors]
        if fact.kind == "int":
            values = [max(1, int(value)) for value in values]
        return several(list(dict.fromkeys(values)), fact)

    return make


def odd_sizes(fact: ArgumentFact) -> Limit | None:
    """The default, and those about it by two; 3, 5 and 7 for a small one or none."""
    middle = 3 if fact.default is None else fact.default
    if not _is_positive(middle):
        return None
    first = middle if middle < 5 else middle - 2
    return several([first, first + 2, first + 4], fact)


def pairs(*values: list[float]) -> Make:
    """Some lists, and the default among them."""

    def make(fact: ArgumentFact) -> Limit | None:
        if fact.default is not None and (not isinstance(fact.default, list) or len(fact.default) != len(values[0])):
            return None
        found = [fact.default] if fact.default is not None else []
        return several([*found, *(each for each in values if each not in found)], fact)

    return make


def list_of_sizes(fact: ArgumentFact) -> Limit | None:
    """Lists of whole numbers: half of the default, the default, twice the default, and one layer more."""
    sizes = fact.default
    if not isinstance(sizes, list) or not sizes or not all(isinstance(each, int) and each > 1 for each in sizes):
        return None
    return several([[each // 2 for each in sizes], sizes, [2 * each for each in sizes], [*sizes, sizes[-1]]], fact)


def switch(fact: ArgumentFact) -> Limit | None:
    """False and true."""
    return several([False, True], fact)


def several(values: Sequence[Any], fact: ArgumentFact) -> Limit | None:
    """Some values; None where there is only one."""
    return with_default({"type": "choice", "values": list(values)}, fact) if len(values) > 1 else None


def with_default(limit: dict[str, Any], fact: ArgumentFact) -> Limit | None:
    """A limit with the default of an argument, if it has one; None where no study could have that limit.

    That is one whose values no study can have, whose ends are the same, or which does not hold the default.
    """
    default = fact.default
    if "values" not in limit and not limit["low"] < limit["high"]:
        return None
    try:
        parse_limits({fact.name or "it": limit})
    except UserError:
        return None
    if default is None:
        return limit
    if "values" in limit:
        is_within = any(type(each) is type(default) and each == default for each in limit["values"])
    else:
        is_within = is_number(default) and limit["low"] <= default <= limit["high"]
        default = float(default) if limit["type"] == "float" and is_within else default
    return {**limit, "default": default} if is_within else None


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _rounded(value: float, figures: int = 2) -> float:
    return float(f"{value:.{figures}g}")


def _below_one(distance: float) -> float:
    """A number of this distance from 1, of which two figures count."""
    return float(f"{1.0 - _rounded(distance):.15g}")
