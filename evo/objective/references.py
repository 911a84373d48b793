"""What is named rather than given: objectives and classes, loaded in the process that evaluates."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from evo.errors import UserError
from evo.frames import blamed, told
from evo.objective.imports import find_module, is_module, survey
from evo.objective.places import Place, find_place, is_local, read_source
from evo.objective.training import Training as Training
from evo.ownership import is_own_folder
from evo.texts import as_path

_loading: list[str] = []
_MISSING = object()


@dataclass(frozen=True)
class Reference:
    """An objective by name, to be loaded in the process that evaluates.

    Args:
        place: A module, or the path of a Python file.
        name: The name of the function, class instance or other callable in it.
        kind: What messages call it.
        typed: How the user writes it, for messages. Empty means place:name.
    """

    place: str
    name: str
    kind: str = "objective"
    typed: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.typed or f"{self.place}:{self.name}"

    @property
    def canonical(self) -> str:
        """One name for all ways of writing it: with the module's own name, from the highest package on."""
        try:
            place = self.where()
        except UserError:
            place = None
        return f"{place.name if place else self.place}:{self.name}"

    @property
    def is_found(self) -> bool:
        """Whether its module or file is there, and the user's: a script may have the name of a module of Python's."""
        try:
            place = self.where()
        except UserError:
            return False
        return place is not None and is_local(place.file)

    @property
    def is_heavy(self) -> bool:
        """Whether its module imports torch or the like, itself or through others; seen without running it.

        Raises:
            UserError: There is no such module or file, or it is not Python.
        """
        place = self.where()
        if place is None:
            return False  # Built in or compiled.
        try:
            read_source(place.file)
        except OSError as error:
            raise UserError(f"{self.kind} {self}: {self.place} cannot be read: {error.strerror}") from error
        except (SyntaxError, ValueError) as error:
            raise UserError(f"{self.kind} {self}: {self.place} is not valid Python: {told(error)}") from error
        return survey([place]).is_heavy

    def load(self) -> Callable[..., Any]:
        """Import it.

        Raises:
            UserError: It cannot be imported, or is not callable.
        """
        target = self.find()
        if not callable(target):
            raise UserError(f"{self.kind} {self} is {target!r}: an objective is a function of the parameters")
        return target  # type: ignore[no-any-return]

    def find(self) -> Any:
        """The object that has this name.

        Raises:
            UserError: It cannot be imported.
        """
        module = self._import()
        target: Any = module
        for part in self.name.split("."):
            with blamed(f"{self.kind} {self} cannot be imported"):  # A module's __getattr__ may raise.
                target = getattr(target, part, _MISSING)
            if target is _MISSING:
                names = ", ".join(sorted(name for name, value in vars(module).items() if callable(value)))
                raise UserError(
                    f"{self.kind} {self}: {self.place} has no {self.name!r}; it has {names or 'no functions'}"
                )
        return target

    def where(self) -> Place | None:
        """Where its module stands; None when that is no Python file.

        Raises:
            UserError: There is no such module or file.
        """
        if self._is_file:
            path = as_path(self.place)
            if not path.is_file():
                raise UserError(f"{self.kind} {self}: there is no file {self.place}")
            return find_place(path)
        if self.place.partition(".")[0] != "evo":
            add_working_directory(self.place)
        if not all(self.place.split(".")) or not is_module(self.place):
            raise UserError(f"{self.kind} {self}: there is no module {self.place!r}, here or installed")
        file = find_module(self.place)
        return find_place(file) if file is not None and file.suffix == ".py" else None

    @property
    def _is_file(self) -> bool:
        return self.place.endswith(".py")

    def _import(self) -> Any:
        place = self.where()
        if place is not None and is_local(place.file):
            # They go to the end, because what is found without them must not be found in them instead.
            sys.path += [str(folder) for folder in survey([place]).directories if str(folder) not in sys.path]
        with blamed(f"{self.kind} {self} cannot be imported"), _as_loading(str(self)):
            if place is not None and self._is_file:
                return _import_file(place)
            return importlib.import_module(self.place)


def what_is_loading() -> str:
    """The objective or class whose module this process is importing; empty when there is none."""
    return _loading[-1] if _loading else ""


@contextmanager
def _as_loading(name: str) -> Iterator[None]:
    _loading.append(name)
    try:
        yield
    finally:
        _loading.pop()


def add_working_directory(name: str) -> None:
    """Find modules of the working directory: first, as `python -m` does, and for the evo command too.

    In a directory of another user, such as one in which a colleague's run lies, any file could stand in for a module
    that this process, or the one that evaluates, imports later. It comes last then, where no other file is replaced,
    and only for a module that is nowhere else.

    Args:
        name: The dotted name of the module that is asked for.
    """
    if "" in sys.path:
        return
    if is_own_folder(Path()):
        sys.path.insert(0, "")
    elif all(name.split(".")) and not is_module(name):
        sys.path.append("")
        if not is_module(name):
            sys.path.remove("")


def _import_file(place: Place) -> ModuleType:
    """Import a file, once: in its package if it is in one, otherwise as a script beside its neighbours."""
    if place.package and "." not in place.file.stem and not _is_taken(place):
        _put_first(place.root)
        return importlib.import_module(place.name)
    file = place.file
    _put_first(file.parent)
    name = file.stem
    if name in sys.stdlib_module_names or getattr(sys.modules.get(name), "__file__", str(file)) != str(file):
        name = str(file)  # The name of the file is taken by another module.
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


def _put_first(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _is_taken(place: Place) -> bool:
    """Whether another package or one of Python's own has the name of its package, and is loaded already."""
    top = place.name.partition(".")[0]
    loaded = sys.modules.get(top)
    folders = [Path(folder).resolve() for folder in getattr(loaded, "__path__", ())]
    if loaded is None and top not in sys.stdlib_module_names:
        return False
    if (place.root / top).resolve() in folders:
        return False
    if read_source(place.file).level:
        where = ", ".join(map(str, folders)) or getattr(loaded, "__file__", "Python's own library")
        raise UserError(f"its package {top!r} has the name of another one, {where}: rename one of them")
    return True


Named: TypeAlias = Reference | Training
"""An objective that is not loaded yet."""


def parse_reference(text: str) -> Reference:
    """Read `module:function` or `path/to/file.py:function`.

    Raises:
        UserError: The text is neither.
    """
    place, _, name = text.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"objective {text!r} is neither a ready problem, module:function nor path/to/file.py:function")
    return Reference(place, name)


def find_class(path: str, kind: str) -> Any:
    """A class by `module.Class`, or `path/to/file.py:Class`.

    Args:
        path: The name of the class, with its module or file.
        kind: What messages call it.

    Raises:
        UserError: There is no such class.
    """
    separator = ":" if ":" in path else "."
    place, _, name = path.rpartition(separator)
    if not place or not name.isidentifier():
        raise UserError(f"{kind} {path!r} is neither module.Class nor path/to/file.py:Class")
    return Reference(place, name, kind, typed=path).find()
