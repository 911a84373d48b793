"""Measures by how much values violate an expression: 0 where it holds; elsewhere a guide for a search."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from evo.space.compiling import compare, compile_part
from evo.space.ordering import Pair
from evo.space.syntax import UNCOMPUTABLE, Compute, Values, name_of, names_in

VIOLATION = 1.0
"""The violation of a condition that is only true or false."""
# The violation of an expression that cannot be computed.
_UNCOMPUTABLE_VIOLATION = 1e3
_LEAST_VIOLATION = 1e-9
# Differences are measured on a log scale, linear near zero, so that a learning rate counts like a batch size.
_FINEST = 1e6


@dataclass(frozen=True)
class Term:
    """A part of a constraint that must hold by itself.

    Args:
        names: The parameters that it names; empty means that any may matter.
        measure: Computes by how much values violate it; 0 exactly where it holds.
        side: For an equality of numbers, computes left minus right, whose sign changes where they are equal; otherwise
            None.
        order: For a comparison of two parameters, the one that must not be above the other, and the other; otherwise
            None.
    """

    names: tuple[str, ...]
    measure: Callable[[Values], float]
    side: Compute | None = None
    order: Pair | None = None


def terms_of(tree: ast.expr) -> Iterable[Term]:
    """The parts of a conjunction; a chain of comparisons counts as one."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for part in tree.values:
            yield from terms_of(part)
    elif isinstance(tree, ast.Compare):
        for one in _pairs(tree):
            side = _difference(one) if isinstance(one.ops[0], ast.Eq) else None
            yield Term(tuple(dict.fromkeys(names_in(one))), _computed(_pair_measure(one)), side, _order(one))
    elif isinstance(tree, ast.UnaryOp) and (negated := _negated(tree.operand)) is not None:
        yield from terms_of(negated)
    else:
        yield Term(tuple(dict.fromkeys(names_in(tree))), _computed(_measure(tree)))


def _measure(tree: ast.expr) -> Callable[[Values], float]:
    if isinstance(tree, ast.BoolOp):
        parts = [_measure(part) for part in tree.values]
        if isinstance(tree.op, ast.And):
            return lambda values: sum([part(values) for part in parts])
        # Evaluation ends at the first part that holds, because the others may then have no value.
        return lambda values: _first_zero(part(values) for part in parts)
    if isinstance(tree, ast.Compare):
        pairs = [_pair_measure(one) for one in _pairs(tree)]
        return lambda values: sum([pair(values) for pair in pairs])
    if isinstance(tree, ast.IfExp):
        test, then, otherwise = compile_part(tree.test), _measure(tree.body), _measure(tree.orelse)
        return lambda values: then(values) if test(values) else otherwise(values)
    if isinstance(tree, ast.UnaryOp) and (negated := _negated(tree.operand)) is not None:
        return _measure(negated)
    value = compile_part(tree)
    return lambda values: 0.0 if value(values) else VIOLATION


def _first_zero(measures: Iterable[float]) -> float:
    least = math.inf
    for measure in measures:
        least = min(least, measure)
        if not least:
            break
    return least


def _computed(measure: Callable[[Values], float]) -> Callable[[Values], float]:
    def guarded(values: Values) -> float:
        try:
            return measure(values)
        except UNCOMPUTABLE:
            return _UNCOMPUTABLE_VIOLATION

    return guarded


def _pairs(tree: ast.Compare) -> Iterable[ast.Compare]:
    sides = [tree.left, *tree.comparators]
    for left, op, right in zip(sides, tree.ops, sides[1:], strict=False):
        yield ast.Compare(left, [op], [right])


_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def _negated(tree: ast.expr) -> ast.expr | None:
    """An expression that holds exactly where a part does not; None when there is no direct one."""
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1:
        return ast.Compare(tree.left, [_OPPOSITE[type(tree.ops[0])]()], tree.comparators)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return tree.operand
    return None


def _pair_measure(tree: ast.Compare) -> Callable[[Values], float]:
    left, right, act = compile_part(tree.left), compile_part(tree.comparators[0]), compare(tree.ops[0])
    among = isinstance(tree.ops[0], ast.In)

    def measure(values: Values) -> float:
        one, other = left(values), right(values)
        if act(one, other):
            return 0.0
        if among and isinstance(other, list | tuple):
            return min((_distance(one, each) for each in other), default=VIOLATION)
        return _distance(one, other)

    return measure


def _difference(tree: ast.Compare) -> Compute:
    left, right = compile_part(tree.left), compile_part(tree.comparators[0])
    return lambda values: left(values) - right(values)


def _order(tree: ast.Compare) -> Pair | None:
    left, right = name_of(tree.left), name_of(tree.comparators[0])
    if left is None or right is None or not isinstance(tree.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        return None
    return (left, right) if isinstance(tree.ops[0], ast.Lt | ast.LtE) else (right, left)


def _distance(one: Any, other: Any) -> float:
    if not (isinstance(one, int | float) and isinstance(other, int | float)):
        return VIOLATION
    return abs(math.asinh(_FINEST * one) - math.asinh(_FINEST * other)) + _LEAST_VIOLATION
