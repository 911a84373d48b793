"""How expressions name parameters, and the types of the functions that compute them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Values: TypeAlias = Mapping[str, Any]
Compute: TypeAlias = Callable[[Values], Any]

UNCOMPUTABLE = (ArithmeticError, ValueError, IndexError)
"""The errors of an expression that has no value: a division by zero, a logarithm of zero, or too large a number."""

_PARAMS = "params"  # A parameter whose name is no Python name is written params["odd-name"].


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
    """The name of the parameter that a part of an expression stands for; None when it is no parameter."""
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
    """The way in which an expression names a parameter.

    Example:
        >>> reference("model.lr"), reference("odd-name")
        ('model.lr', "params['odd-name']")
    """
    try:
        return name if name_of(ast.parse(name, mode="eval").body) == name else f"{_PARAMS}[{name!r}]"
    except (SyntaxError, ValueError):
        return f"{_PARAMS}[{name!r}]"
