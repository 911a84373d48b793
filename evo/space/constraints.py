"""Constraints between parameters: expressions or functions that every point which is evaluated fulfils.

A constraint also measures by how much a point violates it, so that a search for a point nearby has a direction.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evo.errors import UserError
from evo.frames import definition_of, told
from evo.space.expressions import (
    UNCOMPUTABLE,
    Compute,
    Expression,
    Values,
    compare,
    compile_part,
    name_of,
    names_in,
    read_expression,
)
from evo.space.ordering import Pair

# The violation of what cannot be computed, and of what says only yes or no.
_UNCOMPUTABLE_VIOLATION, _VIOLATION = 1e3, 1.0
_LEAST_VIOLATION = 1e-9
# Differences are measured between logarithms, and near zero between numbers: a learning rate counts like a batch size.
_FINEST = 1e6
_FUNCTION = "function "
_SHOWN = 200  # Characters of a constraint in messages.


class ConstraintError(UserError):
    """A constraint cannot be read, or fails for some values."""


@dataclass(frozen=True)
class Term:
    """A part of a constraint that must hold by itself.

    Args:
        names: The parameters that it names; empty: any may matter.
        measure: By how much values violate it: 0 exactly where it holds.
        side: Of an equality of numbers, left minus right: its sign changes where they are equal. Else None.
        order: Of two parameters that are compared, the one that must not be above the other, and that. Else None.
    """

    names: tuple[str, ...]
    measure: Callable[[Values], float]
    side: Compute | None = None
    order: Pair | None = None


@dataclass(frozen=True)
class Constraint:
    """What every point must fulfil.

    Args:
        text: What study.json and messages call it.
        names: It applies only where all of these exist.
        terms: All of them must hold.
        value: What it gives as it stands, which must be true or false.
    """

    text: str
    names: tuple[str, ...]
    terms: Sequence[Term]
    value: Compute

    def applies(self, values: Values) -> bool:
        """Whether all parameters that it names exist."""
        return all(name in values for name in self.names)

    def violation(self, values: Values) -> float:
        """By how much active parameters violate it; 0 where they fulfil it, or it does not apply."""
        for name in self.names:
            if name not in values:
                return 0.0
        return sum([term.measure(values) for term in self.terms])

    def check(self, values: Values) -> bool:
        """Make sure that it says yes or no of values; whether it can be computed for them.

        Raises:
            ConstraintError: It cannot be computed for values of such types, or says something else.
        """
        try:
            result = self.value(values)
        except ConstraintError:
            raise
        except OverflowError as error:
            raise self._fails(values, f"a number in it becomes too large ({error})") from None
        except UNCOMPUTABLE:
            return False
        except (TypeError, AttributeError) as error:
            raise self._fails(values, str(error)) from None
        if not isinstance(result, bool):
            raise self._fails(values, f"it gives {result!r}, which is neither true nor false")
        return True

    def _fails(self, values: Values, why: str) -> ConstraintError:
        given = {name: values[name] for name in self.names} if self.names else dict(values)
        return ConstraintError(f"constraint {self.text!r} cannot be used: for {given} {why}")


def is_function(text: str) -> bool:
    """Whether the text of a constraint is that of a function, which cannot be read again.

    Example:
        >>> is_function("function loss:fits"), is_function("function < 3")  # Of a parameter with that name.
        (True, False)
    """
    if not text.startswith(_FUNCTION):
        return False
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return True
    return False


def read_constraints(given: Any, known: Collection[str], source: str = "constraint") -> list[Constraint]:
    """Constraints as settings give them.

    Args:
        given: An expression, a function of the parameters, or several of these; None: none.
        known: The names of all parameters.
        source: What they are, for messages.

    Raises:
        ConstraintError: One of them is wrong; the message names it and the place.

    Example:
        >>> [one.text for one in read_constraints("x<y", {"x", "y"})]
        ['x < y']
    """
    if given is None:
        return []
    several = given if isinstance(given, list | tuple) else [given]
    return [_read(one, known, source) for one in several]


def _read(given: Any, known: Collection[str], source: str) -> Constraint:
    if callable(given):
        return _of_function(given, known)
    if not isinstance(given, str):
        raise ConstraintError(
            f"{source} {given!r} is neither text nor a function: give for example 'x < y', in YAML in quotes"
        )
    try:
        expression = read_expression(given, known)
    except UserError as error:
        shown = repr(given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…")
        raise ConstraintError(f"{source} {shown} cannot be read: {error}") from error
    return _of_expression(expression)


def _of_expression(expression: Expression) -> Constraint:
    return Constraint(expression.text, expression.names, list(_terms(expression.tree)), expression.value)


def _of_function(function: Callable[..., Any], known: Collection[str]) -> Constraint:
    text = f"{_FUNCTION}{_name(function)}"

    def holds(values: Values) -> bool:
        try:
            result = function(dict(values))
        except Exception as error:
            raise ConstraintError(
                f"constraint {text} fails for {dict(values)}: {_failure(error, function, values, known)}"
            ) from error
        result = getattr(result, "item", lambda: result)()  # numpy's own kind of bool is one.
        if not isinstance(result, bool):
            place = definition_of(function)
            where = f" ({place})" if place else ""
            raise ConstraintError(
                f"constraint {text}{where} returned {result!r} for {dict(values)}: it must return True or False"
            )
        return result

    return Constraint(text, (), [Term((), lambda values: 0.0 if holds(values) else _VIOLATION)], holds)


def _name(function: Callable[..., Any]) -> str:
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    module = getattr(named, "__module__", "__main__")
    name = named.__qualname__ if module == "__main__" else f"{module}:{named.__qualname__}"
    if name.endswith("<lambda>") and inspect.isfunction(inner):
        return f"{name} with the parameters {', '.join(inspect.signature(inner).parameters)}"
    return name


def _failure(error: Exception, function: Callable[..., Any], values: Values, known: Collection[str]) -> str:
    problem = told(error, called=function)
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    if missing in known and missing not in values:
        return f"{problem}; {missing!r} exists only under its 'when': ask with params.get({missing!r})"
    return problem


def _terms(tree: ast.expr) -> Iterable[Term]:
    """The parts of a conjunction; a chain of comparisons is one as well."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for part in tree.values:
            yield from _terms(part)
    elif isinstance(tree, ast.Compare):
        for one in _pairs(tree):
            side = _difference(one) if isinstance(one.ops[0], ast.Eq) else None
            yield Term(tuple(dict.fromkeys(names_in(one))), _computed(_pair_measure(one)), side, _order(one))
    elif isinstance(tree, ast.UnaryOp) and (negated := _negated(tree.operand)) is not None:
        yield from _terms(negated)
    else:
        yield Term(tuple(dict.fromkeys(names_in(tree))), _computed(_measure(tree)))


def _measure(tree: ast.expr) -> Callable[[Values], float]:
    if isinstance(tree, ast.BoolOp):
        parts = [_measure(part) for part in tree.values]
        if isinstance(tree.op, ast.And):
            return lambda values: sum([part(values) for part in parts])
        # The first that holds is enough: the others may have no value then.
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
    return lambda values: 0.0 if value(values) else _VIOLATION


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
    """What holds exactly where a part does not; None when that has no form of its own."""
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
            return min((_distance(one, each) for each in other), default=_VIOLATION)
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
        return _VIOLATION
    return abs(math.asinh(_FINEST * one) - math.asinh(_FINEST * other)) + _LEAST_VIOLATION
