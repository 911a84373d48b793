"""What classes and functions take by name, seen in syntax trees: nothing is imported, so this is quick and safe."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evo.objective.imports import find_module
from evo.objective.places import find_place

_DEEPEST = 30


@dataclass(frozen=True)
class Accepted:
    """What a class, or a function that makes something, takes by name.

    Args:
        names: The arguments that it names, or that a base does to which it hands on others.
        any_other: Whether it takes others as well.
    """

    names: frozenset[str]
    any_other: bool


def accepted_by(path: str) -> Accepted | None:
    """What the class or function of an import path takes by name; None when that cannot be seen.

    Args:
        path: `module.Class`, `module:Class` or `file.py:Class`.

    Example:
        >>> sorted(accepted_by("fractions.Fraction").names)  # It has __new__, and no __init__.
        []
        >>> sorted(accepted_by("pathlib.Nothing") or [])
        []
    """
    separator = ":" if ":" in path else "."
    place, _, name = path.rpartition(separator)
    if not place or not name:
        return None
    return _accepted(place, name, _DEEPEST)


@dataclass(frozen=True)
class _Module:
    """A file, read.

    Args:
        tree: Its syntax tree.
        package: The package that its relative imports start from.
        place: What it is called here: a module's name, or the path of a file.
    """

    tree: ast.Module
    package: str
    place: str

    def statements(self) -> Iterator[ast.stmt]:
        """All statements but those inside of functions and classes."""
        waiting: list[ast.stmt] = list(reversed(self.tree.body))
        while waiting:
            one = waiting.pop()
            yield one
            if isinstance(one, ast.If | ast.Try):
                inner = [*one.body, *one.orelse]
                waiting += reversed(inner)

    def target(self, node: ast.ImportFrom) -> str:
        """The module that a statement imports from."""
        if not node.level:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        above = parts[: len(parts) - node.level + 1]
        return ".".join([*above, *filter(None, [node.module])])


@functools.lru_cache(maxsize=512)
def _read_module(place: str) -> _Module | None:
    try:
        if place.endswith(".py"):
            where = find_place(Path(place))
            return _Module(ast.parse(where.file.read_bytes()), where.package, place)
        if not all(place.split(".")):
            return None
        file = find_module(place) or find_module(place, [str(Path.cwd())])
        if file is None or file.suffix != ".py":
            return None
        package = place if file.name == "__init__.py" else place.rpartition(".")[0]
        return _Module(ast.parse(file.read_bytes()), package, place)
    except (OSError, SyntaxError, ValueError, RecursionError, ImportError):
        return None


def _accepted(place: str, name: str, depth: int) -> Accepted | None:
    found = _definition(place, name, depth)
    if found is None:
        return None
    module, node = found
    if isinstance(node, ast.FunctionDef):
        return _of_arguments(node.args, skip=0)
    start = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    own = _of_arguments(start.args, skip=1) if start is not None else _of_fields(node)
    if own is None:
        return _of_bases(module, node, depth)
    above = _of_bases(module, node, depth) if own.any_other and start is not None and _hands_on(start) else None
    if above is None:
        return own
    # Where a base names nothing more, what others are for is not known.
    return Accepted(own.names | above.names, above.any_other or above.names <= own.names)


def _hands_on(start: ast.FunctionDef) -> bool:
    """Whether a constructor gives its `**kwargs` to that of a base."""
    calls = [
        node for node in ast.walk(start) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".__init__")
    ]
    return any(keyword.arg is None for call in calls for keyword in call.keywords)


def _of_bases(module: _Module, node: ast.ClassDef, depth: int) -> Accepted | None:
    """What the first base takes that has a constructor; nothing where the class has no base."""
    for base in node.bases:
        found = _resolve(module, base, depth)
        if found is None:
            return None
        if found != Accepted(frozenset(), False):
            return found
    return Accepted(frozenset(), False)


def _resolve(module: _Module, base: ast.expr, depth: int) -> Accepted | None:
    base = base.value if isinstance(base, ast.Subscript) else base  # A generic class with its parameters.
    text = ast.unparse(base)
    if text in ("object", "Generic", "Protocol", "ABC", "abc.ABC", "typing.Generic"):
        return Accepted(frozenset(), False)
    first, _, rest = text.partition(".")
    if not rest:
        return _accepted(module.place, first, depth - 1) if depth else None
    for node in module.statements():
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) == first:
                    place = f"{alias.name}.{rest}" if alias.asname else text
                    return _accepted(*_split(place), depth - 1) if depth else None
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == first:
                    place = f"{module.target(node)}.{alias.name}.{rest}"
                    return _accepted(*_split(place), depth - 1) if depth else None
    return None


def _split(path: str) -> tuple[str, str]:
    place, _, name = path.rpartition(".")
    return place, name


def _definition(place: str, name: str, depth: int) -> tuple[_Module, ast.ClassDef | ast.FunctionDef] | None:
    """Where something is defined, through the modules that only import it."""
    module = _read_module(place)
    if module is None or not depth:
        return None
    stars = []
    for node in module.statements():
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    stars.append(module.target(node))
                elif (alias.asname or alias.name) == name:
                    return _definition(module.target(node), alias.name, depth - 1)
    return next((found for star in stars if (found := _definition(star, name, depth - 1))), None)


def _of_arguments(arguments: ast.arguments, skip: int) -> Accepted:
    by_position = [*arguments.posonlyargs, *arguments.args][skip:]
    names = {each.arg for each in (*by_position, *arguments.kwonlyargs)} - {each.arg for each in arguments.posonlyargs}
    return Accepted(frozenset(names), arguments.kwarg is not None)


def _of_fields(node: ast.ClassDef) -> Accepted | None:
    """The fields of a dataclass that has no base of its own; None for another class."""
    if not any("dataclass" in ast.unparse(each) for each in node.decorator_list) or node.bases:
        return None
    fields = {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    return Accepted(frozenset(fields), False)
