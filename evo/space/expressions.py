"""Expressions over parameters, such as `batch * accumulate <= 512`: read from text, checked, never run as Python.

Only listed syntax is allowed. Each part of the text becomes a function of the parameters' values, so that an
expression can neither call nor look up anything else.
"""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from evo.errors import UserError
from evo.space.compiling import compiled
from evo.space.syntax import Compute, name_of, names_in, reference

_LONGEST = 10_000  # The largest number of characters of an expression.


@dataclass(frozen=True)
class Expression:
    """An expression that has been read.

    Args:
        text: The expression in a normal form, whatever spaces it was written with.
        names: The parameters that it names, each once.
        value: Computes the expression from the values of these parameters.
        tree: The syntax tree.
    """

    text: str
    names: tuple[str, ...]
    value: Compute
    tree: ast.expr


def read_expression(text: str, known: Collection[str]) -> Expression:
    """Read an expression.

    Args:
        text: The expression, for example `x < y`, `model.lr < model.max_lr` or `params["odd-name"] > 1`.
        known: The names of all parameters.

    Raises:
        UserError: The text is no expression, or uses syntax that is not allowed; the message says where.

    Example:
        >>> read_expression("2*x<y", {"x", "y"}).value({"x": 1, "y": 3})
        True
    """
    tree = _AsGiven(known).visit(_parse(text))
    value = compiled(tree, known)
    names = tuple(dict.fromkeys(names_in(tree)))
    if not names:
        raise UserError(f"it names no parameter; the parameters are {', '.join(known)}")
    return Expression(ast.unparse(tree), names, value, tree)


class _AsGiven(ast.NodeTransformer):
    """Restores the names of parameters that Python normalises; it reads a micro sign as a Greek letter, for example.

    Args:
        known: The names of the parameters, as the user gave them.
    """

    def __init__(self, known: Collection[str]) -> None:
        read = {unicodedata.normalize("NFKC", name): name for name in known}
        self._given = {name: given for name, given in read.items() if name not in known}

    def visit(self, node: ast.AST) -> Any:
        """A part of an expression, with the names as they were given."""
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
