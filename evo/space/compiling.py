"""Compiles expressions to functions of the parameters' values; only the syntax listed here is allowed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from evo.errors import UserError
from evo.space.syntax import Compute, Values, name_of, names_in, reference

_DEEPEST = 100  # Levels of nesting.
_MOST_BITS = 4096  # The largest size of a whole number that a power may give.


def _power(base: Any, exponent: Any) -> Any:
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        and exponent * max(0, abs(base).bit_length() - 1) > _MOST_BITS
    ):
        raise OverflowError(f"{base} ** {exponent} is too large")
    result = base**exponent
    if isinstance(result, complex):
        raise UserError(f"{base} ** {exponent} is no real number")
    return result


def _total(*values: Any) -> Any:
    return sum(values[0] if len(values) == 1 else values)


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "sum": _total,
    "len": len,
    "log": math.log,
    "exp": math.exp,
    "sqrt": math.sqrt,
}
_ALLOWED = (
    "it is made of comparisons, and, or, not, in, + - * / // % **, numbers, texts, lists, x if y else z, and the "
    f"functions {', '.join(_FUNCTIONS)}"
)


def compare(sort: ast.cmpop) -> Callable[[Any, Any], Any]:
    """The function that performs a comparison."""
    return _COMPARISONS[type(sort)]


def compile_part(tree: ast.expr) -> Compute:
    """A part of an already checked expression, as a function of the parameters' values."""
    return compiled(tree, set(names_in(tree)))


def compiled(tree: ast.expr, known: Collection[str], depth: int = 0) -> Compute:
    """An expression as a function of the parameters' values.

    Args:
        tree: The syntax tree of the expression.
        known: The names of all parameters.
        depth: The number of expressions that it is nested in.

    Raises:
        UserError: The expression uses syntax that is not allowed, or names something that is no parameter.
    """
    if depth > _DEEPEST:
        raise UserError(f"it is nested more than {_DEEPEST} deep")
    name = name_of(tree)
    if name is not None:
        if name not in known:
            raise UserError(_unknown(name, tree, known))
        return operator.itemgetter(name)
    make = _MAKERS.get(type(tree))
    if make is None:
        raise _refusal(tree)
    return make(tree, lambda part: compiled(part, known, depth + 1))


def _refusal(tree: ast.expr, more: str = "") -> UserError:
    return UserError(f"{ast.unparse(tree)!r} cannot be in it{more}: {_ALLOWED}")


def _unknown(name: str, tree: ast.expr, known: Collection[str]) -> str:
    odd = sorted(other for other in known if reference(other) != other and name in other.replace("-", " ").split())
    hint = f"; {odd[0]!r} is written {reference(odd[0])}" if odd else ""
    text = "; a text is written in quotes" if isinstance(tree, ast.Name) and not odd else ""
    return f"there is no parameter {name!r}; the parameters are {', '.join(known)}{hint}{text}"


_Part: TypeAlias = Callable[[ast.expr], Compute]


def _constant(tree: Any, part: _Part) -> Compute:
    value = tree.value
    if value is not None and type(value) not in (int, float, str, bool):
        raise _refusal(tree)
    return lambda values: value


def _sequence(tree: Any, part: _Part) -> Compute:
    parts = [part(each) for each in tree.elts]
    if isinstance(tree, ast.Tuple):
        return lambda values: tuple(each(values) for each in parts)
    return lambda values: [each(values) for each in parts]


def _unary(tree: Any, part: _Part) -> Compute:
    one = part(tree.operand)
    if isinstance(tree.op, ast.Not):
        return lambda values: not one(values)
    if isinstance(tree.op, ast.Invert):
        raise _refusal(tree, "; write not instead of ~")
    sign = -1 if isinstance(tree.op, ast.USub) else 1
    return lambda values: sign * _number(one(values))


def _binary(tree: Any, part: _Part) -> Compute:
    act = _BINARY.get(type(tree.op))
    if act is None:
        raise _refusal(tree, "; write and, or instead of &, |")
    left, right = part(tree.left), part(tree.right)
    return lambda values: act(_number(left(values)), _number(right(values)))


def _boolean(tree: Any, part: _Part) -> Compute:
    parts = [part(each) for each in tree.values]
    if isinstance(tree.op, ast.And):
        return lambda values: all(each(values) for each in parts)
    return lambda values: any(each(values) for each in parts)


def _comparison(tree: Any, part: _Part) -> Compute:
    sides = [part(each) for each in (tree.left, *tree.comparators)]
    acts = [_COMPARISONS[type(op)] for op in tree.ops]
    for op, side in zip(tree.ops, tree.comparators, strict=True):
        constant = isinstance(side, ast.Constant) and (side.value is None or isinstance(side.value, bool))
        if isinstance(op, ast.Is | ast.IsNot) and not constant:
            raise _refusal(tree, "; == compares, and is only with None, True or False")
    if len(acts) == 1:
        (act,), (left, right) = acts, sides
        return lambda values: act(left(values), right(values))

    def chained(values: Values) -> Any:
        before = sides[0](values)
        for act, side in zip(acts, sides[1:], strict=True):
            after = side(values)
            if not act(before, after):
                return False
            before = after
        return True

    return chained


def _either(tree: Any, part: _Part) -> Compute:
    test, then, otherwise = part(tree.test), part(tree.body), part(tree.orelse)
    return lambda values: then(values) if test(values) else otherwise(values)


def _call(tree: Any, part: _Part) -> Compute:
    function = _FUNCTIONS.get(tree.func.id) if isinstance(tree.func, ast.Name) else None
    if function is None or tree.keywords or any(isinstance(each, ast.Starred) for each in tree.args):
        raise _refusal(tree)
    arguments: Sequence[Compute] = [part(each) for each in tree.args]
    return lambda values: function(*(each(values) for each in arguments))


def _element(tree: Any, part: _Part) -> Compute:
    if isinstance(tree.slice, ast.Slice):
        raise _refusal(tree)
    many, place = part(tree.value), part(tree.slice)

    def element(values: Values) -> Any:
        index = place(values)
        if not isinstance(index, int):
            raise TypeError(f"{ast.unparse(tree)!r} is neither a parameter nor an element of a list")
        return many(values)[index]

    return element


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


_MAKERS: Mapping[type[ast.AST], Callable[[Any, _Part], Compute]] = {
    ast.Constant: _constant,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.Compare: _comparison,
    ast.IfExp: _either,
    ast.Call: _call,
    ast.Subscript: _element,
}
