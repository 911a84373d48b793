"""Bounds that depend on other parameters: `evo.Int(1, "layers")`, `evo.Float("low", 1.0)`, `evo.Int(1, "2 * layers")`.

Such a parameter has a fixed range, the widest that the other parameters can give it. Their values allow a part of it.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evo.errors import UserError
from evo.space.expressions import Expression, read_expression
from evo.space.syntax import UNCOMPUTABLE, Values, name_of, reference

Interval: TypeAlias = tuple[float, float]
Named: TypeAlias = tuple[str | None, str | None]
"""The lower and the upper bound as expressions; None where it is a number."""

_RULE = "a bound is a number, or made of names of numeric parameters, numbers, + - * / // min max"
# So many halvings find the end of the allowed part to the last digit.
_HALVINGS = 60


def _circle(names: Sequence[str]) -> UserError:
    return UserError(f"limits depend on each other in a circle: {' -> '.join(names)}; let one of them depend on none")


def widest_ranges(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Limits whose bounds are numbers: an expression becomes the furthest number that it can reach.

    Args:
        limits: A mapping from each name to its Float, Int or other limit, as the user gave them.

    Returns:
        The same limits; those that had expressions keep them in `bounds`.

    Raises:
        UserError: A bound is not a valid expression, names a parameter that is no number or does not exist, or
            depends on itself.

    Example:
        >>> from evo.space.limits import Int
        >>> widest_ranges({"layers": Int(2, 8), "frozen": Int(0, "layers // 2")})["frozen"].high
        4
    """
    fixed: dict[str, Any] = {}
    visiting: list[str] = []

    def fix(name: str) -> Any:
        limit = limits[name]
        texts = tuple(bound if _is_expression(bound) else None for bound in _ends(limit))
        if name in fixed or texts == (None, None):
            return fixed.setdefault(name, limit)
        if name in visiting:
            raise _circle([*visiting, name])
        visiting.append(name)
        wanted = {field: _reach(name, field, getattr(limit, field), limits, fix) for field in ("low", "high")}
        visiting.pop()
        low, high = wanted["low"][0], wanted["high"][1]
        if isinstance(low, float) and type(limit).__name__ == "Int":
            low = math.ceil(low)
        if isinstance(high, float) and type(limit).__name__ == "Int":
            high = math.floor(high)
        if all(isinstance(end, int | float) for end in (low, high)) and low > high:
            raise UserError(
                f"limit {name!r} goes from {limit.low!r}, at least {low}, to {limit.high!r}, at most {high}: "
                "no values of the others allow anything in between"
            )
        fixed[name] = dataclasses.replace(limit, low=low, high=high, bounds=texts)
        return fixed[name]

    return {name: fix(name) for name in limits}


def _ends(limit: Any) -> tuple[Any, Any]:
    return getattr(limit, "low", None), getattr(limit, "high", None)


def _reach(name: str, field: str, bound: Any, limits: Mapping[str, Any], fix: Callable[[str], Any]) -> Interval:
    """The interval in which a bound may lie."""
    if not _is_expression(bound):
        return bound, bound
    where = f"limit {name!r} has {field} = {bound!r}"
    try:
        expression = read_expression(bound, limits)
    except UserError as error:
        raise UserError(f"{where}: {error}; {_RULE}") from error
    others = {other: fix(other) for other in expression.names}
    try:
        low, high = _interval(expression.tree, lambda other: _range(other, others[other]))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError("it may become too large")
        return low, high
    except UNCOMPUTABLE as error:
        raise UserError(f"{where}: {error}") from None


def _is_expression(bound: Any) -> bool:
    """Whether a bound is an expression; the text of a number, as YAML reads 1e-4, is none, and is refused later."""
    if not isinstance(bound, str):
        return False
    try:
        float(bound)
    except ValueError:
        return True
    return False


def _range(name: str, limit: Any) -> Interval:
    ends = _ends(limit)
    numbers = list(getattr(limit, "values", ())) if ends == (None, None) else list(ends)
    if not numbers or not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise UserError(f"{name!r} is not always a number; {_RULE}")
    return min(numbers), max(numbers)


def _interval(tree: ast.expr, range_of: Callable[[str], Interval]) -> Interval:
    """The interval in which the value of an expression lies."""
    if (name := name_of(tree)) is not None:
        return range_of(name)
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float) and not isinstance(tree.value, bool):
        return tree.value, tree.value
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
        low, high = _interval(tree.operand, range_of)
        return (-high, -low) if isinstance(tree.op, ast.USub) else (low, high)
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.FloorDiv):
        one, other = _interval(tree.left, range_of), _interval(tree.right, range_of)
        if isinstance(tree.op, ast.Div | ast.FloorDiv) and other[0] <= 0 <= other[1]:
            raise UserError(f"it divides by what may be 0; {_RULE}")
        act = _ACTS[type(tree.op)]
        corners = [act(left, right) for left in one for right in other]
        return min(corners), max(corners)
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in ("min", "max") and tree.args:
        choose = min if tree.func.id == "min" else max
        parts = [_interval(part, range_of) for part in tree.args]
        return choose(low for low, _ in parts), choose(high for _, high in parts)
    raise UserError(f"it holds {ast.unparse(tree)!r}; {_RULE}")


_ACTS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda one, other: one + other,
    ast.Sub: lambda one, other: one - other,
    ast.Mult: lambda one, other: one * other,
    ast.Div: lambda one, other: one / other,
    ast.FloorDiv: lambda one, other: one // other,
}


@dataclass(frozen=True)
class Allowed:
    """The part of a parameter's range that the values of others allow.

    Args:
        low: The lower bound; None means that of the range.
        high: The upper bound; None means that of the range.
        rules: The same bounds, written as constraints.
    """

    low: Expression | None
    high: Expression | None
    rules: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that the bounds name."""
        return tuple(name for one in (self.low, self.high) if one is not None for name in one.names)

    def holds(self, value: Any, values: Values) -> bool:
        """Whether a value is allowed, given the values of the other parameters."""
        low, high = _bound(self.low, values), _bound(self.high, values)
        return (low is None or value >= low) and (high is None or value <= high)

    def part(self, decode: Callable[[float], Any], values: Values) -> Interval | None:
        """The allowed interval of the gene within [0, 1]; None when nothing is allowed.

        Args:
            decode: Turns a gene into its value, which must grow with the gene.
            values: The values of the other parameters that exist; one that does not exist sets no bound.
        """
        low, high = _bound(self.low, values), _bound(self.high, values)
        begin, end = 0.0, 1.0
        if low is not None and decode(0.0) < low:
            if decode(1.0) < low:
                return None
            begin = _edge(lambda gene: decode(gene) < low)[1]
        if high is not None and decode(1.0) > high:
            if decode(0.0) > high:
                return None
            end = _edge(lambda gene: decode(gene) <= high)[0]
        return (begin, end) if begin <= end else None


def make_allowed(name: str, bounds: Named, known: Mapping[str, Any]) -> Allowed:
    """What the bounds of a parameter allow; `widest_ranges` has checked them.

    Args:
        name: The name of the parameter.
        bounds: Its bounds as expressions.
        known: All parameters, by name.
    """
    low, high = (None if text is None else read_expression(text, known) for text in bounds)
    rules = [f"{reference(name)} {sign} ({one.text})" for sign, one in ((">=", low), ("<=", high)) if one is not None]
    return Allowed(low, high, tuple(rules))


def _bound(expression: Expression | None, values: Values) -> Any:
    if expression is None or not all(name in values for name in expression.names):
        return None
    return expression.value(values)


def _edge(is_before: Callable[[float], bool]) -> Interval:
    """The last gene for which `is_before` is true and the first for which it is false; true at 0 and false at 1."""
    before, after = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (before + after) / 2
        if middle in (before, after):
            break
        before, after = (middle, after) if is_before(middle) else (before, middle)
    return before, after
