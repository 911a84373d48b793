"""Where Python files stand: the name of each as a module, and the directory from which it is imported by it."""

from __future__ import annotations

import ast
import functools
import hashlib
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_INSTALLED = ("site-packages", "dist-packages")
_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FINDS_MODULES = ("import_module", "__import__")


@dataclass(frozen=True)
class Import:
    """One import of a file.

    Args:
        level: The number of leading dots; 0 for an absolute import.
        module: The dotted name that follows them, which may be empty.
        names: The names that are taken from the module. Empty means that the module itself is imported.
    """

    level: int
    module: str
    names: tuple[str, ...] = ()

    def absolute(self, package: str) -> list[str]:
        """Full dotted names of all that may be modules: the module, and what is taken from it.

        Args:
            package: The package that the file is in.
        """
        above = package.split(".")[: len(package.split(".")) - self.level + 1] if self.level and package else []
        base = ".".join([*above, *self.module.split(".")]).strip(".")
        return [name for name in (base, *(f"{base}.{name}".strip(".") for name in self.names if name != "*")) if name]


@dataclass(frozen=True)
class Source:
    """What the syntax tree of a file tells.

    Args:
        imports: All imports of the file, also those inside of functions.
        attributes: Names that follow a dot anywhere.
        defined: Names that the file makes itself, by def, class or assignment, outside of functions and classes.
    """

    imports: tuple[Import, ...]
    attributes: frozenset[str]
    defined: frozenset[str] = frozenset()

    @property
    def level(self) -> int:
        """How many packages its relative imports need."""
        return max((each.level for each in self.imports), default=0)


@dataclass(frozen=True)
class Place:
    """Where a file stands.

    Args:
        file: The absolute path of the file.
        name: The dotted name that it has as a module.
        root: The directory from which it has that name.
    """

    file: Path
    name: str
    root: Path

    @property
    def package(self) -> str:
        """The package that its relative imports start from; empty when there is none."""
        return ".".join(self.file.parent.relative_to(self.root).parts)


def find_place(file: Path) -> Place:
    """Where a file stands: its name goes up to the highest directory that is a package.

    A directory without `__init__.py` is a package too if the relative imports of the file need it. For a link, its own
    place counts if that is in a package, and otherwise the place of the file.
    """
    given, real = Path(file).absolute(), Path(file).resolve()
    if not _is_package(given.parent) and real.suffix == ".py":
        given = real
    steps = [] if given.name == "__init__.py" else [given.stem]
    needed = _level(given) + len(steps) - 1
    root = given.parent
    while root != root.parent and (_is_package(root) or len(steps) <= needed):
        steps.insert(0, root.name)
        root = root.parent
    return Place(given, ".".join(steps) or given.parent.name, root)


def is_local(file: Path) -> bool:
    """Whether a file is the user's: not Python's, not installed, and not evo's own."""
    if any(part in _INSTALLED for part in file.parts):
        return False
    return not any(file.is_relative_to(folder) for folder in _foreign())


def read_source(file: Path) -> Source:
    """What the syntax tree of a file tells.

    Raises:
        OSError: It cannot be read.
        SyntaxError: It is not valid Python.
        ValueError: The same, in older versions of Python.
    """
    return _read(file, _state(file))


def digest_of(file: Path) -> str:
    """A digest of a file's code, which comments, formatting and docstrings do not change; empty if it cannot be read.

    For a file that is not valid Python, it is the digest of its bytes.
    """
    try:
        return _digest(file, _state(file))
    except OSError:
        return ""


@functools.lru_cache(maxsize=4096)
def _read(file: Path, state: tuple[int, int]) -> Source:
    tree = ast.parse(file.read_bytes(), filename=str(file))
    imports = tuple(_imports(tree))
    attributes = frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return Source(imports, attributes, _defined(tree))


@functools.lru_cache(maxsize=4096)
def _digest(file: Path, state: tuple[int, int]) -> str:
    content = file.read_bytes()
    with suppress(SyntaxError, ValueError, RecursionError):
        content = _bare(ast.parse(content)).encode("utf-8", "replace")
    return hashlib.sha256(content).hexdigest()[:16]


def _state(file: Path) -> tuple[int, int]:
    """What changes when a file is written."""
    state = file.stat()
    return state.st_mtime_ns, state.st_size


def _imports(node: ast.AST) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(0, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield Import(child.level, child.module or "", tuple(alias.name for alias in child.names))
        elif isinstance(child, ast.If) and _last_name(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _imports(ast.Module([other], []))
        else:
            if isinstance(child, ast.Call) and _last_name(child.func) in _FINDS_MODULES and child.args:
                name = child.args[0].value if isinstance(child.args[0], ast.Constant) else None
                if isinstance(name, str):
                    module = name.lstrip(".")
                    yield Import(len(name) - len(module), module)
            yield from _imports(child)


def _defined(tree: ast.Module) -> frozenset[str]:
    """The names that a file makes itself: none that it imports, nor another name of what it imports."""
    made, imported, aliases = set[str](), set[str](), dict[str, str]()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            made |= names
            aliases |= dict.fromkeys(names, _first_name(node.value))
        else:
            waiting += ast.iter_child_nodes(node)
    return frozenset(name for name in made - imported if aliases.get(name) not in imported)


def _first_name(node: ast.AST | None) -> str:
    """Of `package.module.name` the package; empty for what is no name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return str(getattr(node, "id", ""))


def _last_name(node: ast.AST) -> str:
    return str(getattr(node, "id", "") or getattr(node, "attr", ""))


def _bare(tree: ast.Module) -> str:
    """The text of a syntax tree, without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def _level(file: Path) -> int:
    try:
        return read_source(file).level
    except (OSError, SyntaxError, ValueError):
        return 0


@functools.cache
def _foreign() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [Path(path) for name in names if (path := sysconfig.get_path(name))]
    return tuple({folder for path in (*folders, Path(__file__).parents[1]) for folder in (path, path.resolve())})
