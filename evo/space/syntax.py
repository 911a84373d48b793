"""How expressions name parameters, and what computes them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Values: TypeAlias = Mapping[str, Any]
Compute: TypeAlias = Callable[[Values], Any]

UNCOMPUTABLE = (ArithmeticError, ValueError, IndexError)
"""What an expression raises where it has no value: a division by zero, a logarithm of zero, a number too large."""

_PARAMS = "params"  # params["odd-name"] is a parameter whose name is no Python name.


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
