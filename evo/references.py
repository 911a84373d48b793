"""What is named rather than given: objectives and classes, loaded in the process that evaluates."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from evo.training import Training as Training

# Modules that belong into the process that trains, never into a rank.
_HEAVY = ("torch", "lightning", "pytorch_lightning", "torchvision", "evo.lightning", "evo.LightningObjective")


@dataclass(frozen=True)
class Reference:
    """An objective by name, to be loaded in the process that evaluates.

    Args:
        place: Module, or path of a Python file.
        name: Of the function, class instance or other callable in it.
        kind: What it is, for messages.
    """

    place: str
    name: str
    kind: str = "objective"

    def __str__(self) -> str:
        return f"{self.place}:{self.name}"

    @property
    def is_heavy(self) -> bool:
        """Whether its module imports torch or lightning; seen in its text, without running it.

        Raises:
            ValueError: There is no such module or file, or it is not Python.
        """
        file = self._file()
        if file.suffix != ".py":
            return False  # Built in or compiled.
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{self.kind} {self}: {self.place} is not valid Python: {error}") from None
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Attribute) and node.attr == "LightningObjective":
                return True  # Of evo, whatever that is called there.
            if any(name == heavy or name.startswith(f"{heavy}.") for name in names for heavy in _HEAVY):
                return True
        return False

    def load(self) -> Callable[..., Any]:
        """Import it.

        Raises:
            ValueError: It cannot be imported, or is not callable.
        """
        target = self.find()
        if not callable(target):
            raise ValueError(f"{self.kind} {self} is {target!r}: an objective is a function of the parameters")
        return target  # type: ignore[no-any-return]

    def find(self) -> Any:
        """What has that name.

        Raises:
            ValueError: It cannot be imported.
        """
        module = self._import()
        target: Any = module
        for part in self.name.split("."):
            if not hasattr(target, part):
                names = ", ".join(sorted(name for name, value in vars(module).items() if callable(value)))
                raise ValueError(
                    f"{self.kind} {self}: {self.place} has no {self.name!r}; it has {names or 'no functions'}"
                )
            target = getattr(target, part)
        return target

    @property
    def _is_file(self) -> bool:
        return self.place.endswith(".py")

    def _file(self) -> Path:
        if self._is_file:
            path = Path(self.place)
            if not path.is_file():
                raise ValueError(f"{self.kind} {self}: there is no file {self.place}")
            return path
        if "" not in sys.path:
            sys.path.insert(0, "")  # As `python -m` does, for the evo command: modules of the working directory.
        try:
            spec = importlib.util.find_spec(self.place)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            raise ValueError(f"{self.kind} {self}: there is no module {self.place!r}, here or installed")
        return Path(spec.origin)

    def _import(self) -> Any:
        path = self._file()
        try:
            return _run_file(path.resolve()) if self._is_file else importlib.import_module(self.place)
        except (Exception, SystemExit) as error:
            raise ValueError(f"{self.kind} {self} cannot be imported: {type(error).__name__}: {error}") from error


def _run_file(file: Path) -> ModuleType:
    """The module of a file, once; under the name of the file unless another module has that name."""
    sys.path.insert(0, str(file.parent))  # Its neighbours, as when it is run as a script.
    name = file.stem
    if name in sys.stdlib_module_names or getattr(sys.modules.get(name), "__file__", str(file)) != str(file):
        name = str(file)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


Named: TypeAlias = Reference | Training
"""An objective that is not loaded yet."""


def parse_reference(text: str) -> Reference:
    """Read `module:function` or `path/to/file.py:function`.

    Raises:
        ValueError: It is neither.
    """
    place, _, name = text.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"objective {text!r} is neither a ready problem, module:function nor path/to/file.py:function")
    return Reference(place, name)


def find_class(path: str, kind: str) -> Any:
    """A class by `module.Class`, or `path/to/file.py:Class`.

    Args:
        path: Where it is.
        kind: What it is, for messages.

    Raises:
        ValueError: There is no such class.
    """
    separator = ":" if ":" in path else "."
    place, _, name = path.rpartition(separator)
    if not place or not name.isidentifier():
        raise ValueError(f"{kind} {path!r} is neither module.Class nor path/to/file.py:Class")
    return Reference(place, name, kind).find()
