"""What is longest in evo/: files, functions, parameters of functions. `python tests/sizes.py` prints ten of each."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "evo"
MOST_LINES, MOST_LINES_OF_FUNCTION, MOST_PARAMETERS = 320, 45, 6
_SHOWN = 10


@dataclass(frozen=True)
class Size:
    """How large something is.

    Args:
        name: A file below evo/, or such a file and a function in it.
        count: Its lines, or its parameters.
    """

    name: str
    count: int


@dataclass(frozen=True)
class Sizes:
    """What there is in evo/, the largest first.

    Args:
        files: The files, by their lines.
        functions: The functions, by their lines from `def` to the last one, without decorators.
        parameters: The functions, by the number of their parameters beside `self` and `cls`.
    """

    files: Sequence[Size]
    functions: Sequence[Size]
    parameters: Sequence[Size]


def measure(package: Path = PACKAGE) -> Sizes:
    """Measure every Python file below a folder.

    Args:
        package: The folder.
    """
    files, functions, parameters = list[Size](), list[Size](), list[Size]()
    for file in sorted(package.rglob("*.py")):
        text, name = file.read_text(), file.relative_to(package).as_posix()
        files.append(Size(name, len(text.splitlines())))
        for path, node in _functions(ast.parse(text), ()):
            functions.append(Size(f"{name}:{path}", (node.end_lineno or node.lineno) - node.lineno + 1))
            parameters.append(Size(f"{name}:{path}", _count_parameters(node)))
    return Sizes(*(sorted(sizes, key=lambda size: -size.count) for sizes in (files, functions, parameters)))


def _functions(node: ast.AST, path: tuple[str, ...]) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        inside = path
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = (*path, child.name)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield ".".join(inside), child
        yield from _functions(child, inside)


def _count_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args)]
    own = names[:1] in (["self"], ["cls"])
    return len(names) - own + len(given.kwonlyargs) + (given.vararg is not None) + (given.kwarg is not None)


def main() -> None:
    """Print the largest of each kind."""
    sizes = measure()
    for title, found, most in (
        ("files, by lines", sizes.files, MOST_LINES),
        ("functions, by lines", sizes.functions, MOST_LINES_OF_FUNCTION),
        ("functions, by parameters", sizes.parameters, MOST_PARAMETERS),
    ):
        print(f"{title} (at most {most})")
        for size in found[:_SHOWN]:
            print(f"{size.count:6d}  {size.name}")


if __name__ == "__main__":
    main()
