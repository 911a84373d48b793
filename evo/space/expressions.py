"""Expressions over parameters, such as `batch * accumulate <= 512`: read from text, checked, never run as Python.

Only what is listed here can be in one. Each part of the text becomes a function of the parameters' values, so that
nothing else can be called or looked up, however the text is written.
"""

from __future__ import annotations

import ast
import math
import operator
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evo.errors import UserError

Values: TypeAlias = Mapping[str, Any]
Compute: TypeAlias = Callable[[Values], Any]

UNCOMPUTABLE = (ArithmeticError, ValueError, IndexError)
"""What an expression raises where it has no value: a division by zero, a logarithm of zero, a number too large."""

_PARAMS = "params"  # params["odd-name"] is a parameter whose name is no Python name.
_LONGEST, _DEEPEST = 10_000, 100
_MOST_BITS = 4096  # Of a whole number that a power may give.


@dataclass(frozen=True)
class Expression:
    """An expression that has been read.

    Args:
        text: In one form, however it was written.
        names: The parameters that it names, each once.
        value: Computes it from the values of these.
        tree: Its syntax.
    """

    text: str
    names: tuple[str, ...]
    value: Compute
    tree: ast.expr


def read_expression(text: str, known: Collection[str]) -> Expression:
    """Read an expression.

    Args:
        text: For example `x < y`, `model.lr < model.max_lr` or `params["odd-name"] > 1`.
        known: The names of all parameters.

    Raises:
        UserError: It is no expression, or has something in it that no expression may have; says where.

    Example:
        >>> read_expression("2*x<y", {"x", "y"}).value({"x": 1, "y": 3})
        True
    """
    tree = _AsGiven(known).visit(_parse(text))
    value = _compiled(tree, known, 0)
    names = tuple(dict.fromkeys(names_in(tree)))
    if not names:
        raise UserError(f"it names no parameter; the parameters are {', '.join(known)}")
    return Expression(ast.unparse(tree), names, value, tree)


def names_in(tree: ast.expr) -> Iterator[str]:
    """The parameters that a part of an expression names."""
    name = name_of(tree)
    if name is not None:
        yield name
        return
    parts = tree.args if isinstance(tree, ast.Call) else ast.iter_child_nodes(tree)
    for part in parts:
        if isinstance(part, ast.expr):
            yield from names_in(part)


def name_of(tree: ast.expr) -> str | None:
    """The parameter that a part of an expression is; None when it is something else."""
    if isinstance(tree, ast.Name):
        return tree.id
    if isinstance(tree, ast.Attribute):
        owner = name_of(tree.value)
        return None if owner is None else f"{owner}.{tree.attr}"
    if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name) and tree.value.id == _PARAMS:
        key = tree.slice
        return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
    return None


def reference(name: str) -> str:
    """How an expression names a parameter.

    Example:
        >>> reference("model.lr"), reference("odd-name")
        ('model.lr', "params['odd-name']")
    """
    try:
        return name if name_of(ast.parse(name, mode="eval").body) == name else f"{_PARAMS}[{name!r}]"
    except (SyntaxError, ValueError):
        return f"{_PARAMS}[{name!r}]"


def compile_part(tree: ast.expr) -> Compute:
    """A part of an expression that has been read, as a function of the parameters' values."""
    return _compiled(tree, set(names_in(tree)), 0)


class _AsGiven(ast.NodeTransformer):
    """Gives parameters the names that they were given: Python reads a micro sign as a Greek letter, for example.

    Args:
        known: Their names.
    """

    def __init__(self, known: Collection[str]) -> None:
        read = {unicodedata.normalize("NFKC", name): name for name in known}
        self._given = {name: given for name, given in read.items() if name not in known}

    def visit(self, node: ast.AST) -> Any:
        """A part of an expression, with those names."""
        name = name_of(node) if isinstance(node, ast.expr) else None
        if name is None:
            return self.generic_visit(node)
        return ast.parse(reference(self._given[name]), mode="eval").body if name in self._given else node


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise UserError(f"it has {len(text)} characters: at most {_LONGEST} are read")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f" at column {error.offset}" if error.offset else ""
        hint = "; == compares" if "=" in text and "==" not in text and not set("<>!") & set(text) else ""
        raise UserError(
            f"it is no expression ({error.msg}{where}){hint}; a name that is no Python name is written "
            'params["odd-name"], and in YAML quotes around the whole keep it together'
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"it is no expression ({error or 'too deeply nested'})") from None


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
    """What a comparison does."""
    return _COMPARISONS[type(sort)]


def _compiled(tree: ast.expr, known: Collection[str], depth: int) -> Compute:
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
    return make(tree, lambda part: _compiled(part, known, depth + 1))


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
            raise TypeError(f"{ast.unparse(tree)!r} is no parameter, and no place in a list")
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
