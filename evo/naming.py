"""Makes what a study file names: a ready thing with its parameters, or any class of its kind with its arguments."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Generic, TypeGuard, TypeVar

import msgspec

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.frames import FAILURES, blame, is_bug_in, is_made_by_evo, representation

Thing = TypeVar("Thing")

_DEEPEST = 50


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[Thing]):
    """Things of one kind, as a study file or a command line names them.

    Args:
        bases: The classes that they belong to, each to one.
        setting: The setting that names one; messages begin with it.
        noun: The word for one of them.
        packages: The packages of evo whose classes are named without a module.
        ready: The ready ones by name.
        without_defaults: Those of them that get no defaults from outside, because theirs mean something else.
    """

    bases: tuple[type[Any], ...]
    setting: str
    noun: str
    packages: tuple[str, ...]
    ready: Mapping[str, Callable[..., Thing]]
    # The ready ones that get no defaults, because theirs mean something else.
    without_defaults: Collection[str] = ()

    def make(self, what: Any, defaults: Mapping[str, Any]) -> Thing:
        """Make one of them from a setting of a study file or a command line.

        Args:
            what: The name of a ready one; `{name: ..., PARAMETER: VALUE, ...}` for one with other parameters; or
                `{class_path: module.Class, init_args: {...}}` for any class of this kind, installed or in a module on
                Python's path. One of evo's own package needs no module. Arguments of this kind have the same forms.
            defaults: Parameters that ready ones get where `what` does not give them, if they take them.

        Raises:
            UserError: A name is unknown, an argument wrong or missing, or a module cannot be imported.
        """
        self.check_depth(what)
        return self._make(what, defaults)

    def check_depth(self, what: Any, depth: int = 0) -> None:
        """Refuse a setting that contains itself, which a YAML anchor makes possible.

        Raises:
            UserError: It is nested too deep.
        """
        if depth > _DEEPEST:
            raise UserError(
                f"{self.setting} is nested more than {_DEEPEST} deep: does an anchor (&) contain its alias (*)?"
            )
        if isinstance(what, Mapping | list | tuple):
            for part in what.values() if isinstance(what, Mapping) else what:
                self.check_depth(part, depth + 1)

    def find_class(self, path: Any, setting: str = "") -> type[Any]:
        """The concrete class of this kind that a path names.

        Args:
            path: `Class` of evo's own package, or `module.Class`.
            setting: The setting that names it, if that is another one than that of this kind.

        Raises:
            UserError: There is none, or its module cannot be imported.
        """
        what = setting or self.setting
        own = " or ".join(self.packages)
        if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
            raise UserError(f"{what} {path!r} is no class: give the name of one in {own}, or module.Class")
        place, _, name = path.rpartition(".")
        try:
            modules = [importlib.import_module(each) for each in ([place] if place else self.packages)]
            module = next((each for each in modules if hasattr(each, name)), modules[0])
            found = getattr(module, name, None)
            there = [known for each in modules for known in self.classes_of(each)]
        except FAILURES as error:
            if isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}."):
                raise UserError(
                    f"{what} {path}: there is no module {place!r}, here or installed: install it, or start evo beside "
                    "it"
                ) from error
            raise blame(error, f"{what} {path}: {place} cannot be imported") from error
        choice = f"{place or own} has {', '.join(there) or f'no {self.noun}s'}"
        if found is None:
            elsewhere = "" if "." in path else "; one of your own is module.Class"
            raise UserError(f"{what} {path}: there is no {name!r}; {choice}{elsewhere}{did_you_mean(name, there)}")
        if not self._is_class(found):
            raise UserError(f"{what} {path} is no subclass of {self._base_names}; {choice}")
        if inspect.isabstract(found):
            lacking = ", ".join(sorted(found.__abstractmethods__))
            raise UserError(f"{what} {path} is abstract, without {lacking}: give a subclass that has it; {choice}")
        return found

    def classes_of(self, module: ModuleType) -> list[str]:
        """The names of all concrete classes of this kind in a module."""
        classes = {name: value for name, value in vars(module).items() if self._is_class(value)}
        return sorted(name for name, value in classes.items() if not inspect.isabstract(value))

    def _make(self, what: Any, defaults: Mapping[str, Any]) -> Thing:
        given = {"name": what} if isinstance(what, str) else what
        if self._is_class(what):
            raise UserError(f"{self.setting} is the class {what.__name__}: give one that is made, {what.__name__}(...)")
        if not isinstance(given, Mapping) or ("name" in given) == ("class_path" in given):
            raise UserError(f"{self.setting} is {what!r}: {self._forms}")
        if "class_path" in given:
            path, arguments = given["class_path"], given.get("init_args", {})
            make = self.find_class(path)
            label = f"{self.setting} {path}"
            others = [key for key in given if key not in ("class_path", "init_args")]
            if others:
                raise UserError(f"{label}: {others[0]!r} stands beside class_path: put arguments into init_args")
            if not isinstance(arguments, Mapping):
                raise UserError(f"{label}: init_args is {arguments!r}: give a mapping of names to arguments")
            return self._call(label, make, arguments, defaults)
        name = given["name"]
        if not isinstance(name, str) or name not in self.ready:
            raise UserError(f"{self.setting} {name!r} is no ready one: {self._forms}{did_you_mean(name, self.ready)}")
        takes = inspect.signature(self.ready[name]).parameters
        arguments = {key: value for key, value in defaults.items() if key in takes}
        if name in self.without_defaults:
            arguments = {}
        arguments |= {key: value for key, value in given.items() if key != "name"}
        return self._call(f"{self.setting} {name}", self.ready[name], arguments, defaults)

    @property
    def _base_names(self) -> str:
        return " or ".join(f"evo.{base.__name__}" for base in self.bases)

    @property
    def _forms(self) -> str:
        return (
            f"give one of {', '.join(self.ready)}, {{name: one of these, and its parameters}}, or "
            "{class_path: module.Class, init_args: {and its arguments}}"
        )

    def _call(
        self, label: str, make: Callable[..., Thing], arguments: Mapping[Any, Any], defaults: Mapping[str, Any]
    ) -> Thing:
        """Call a class or a function with arguments that are checked against its signature and type hints."""
        parameters = _signature(make).parameters.values()
        named = {one.name: one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        takes = f"it takes {', '.join(named) or 'no arguments'}"
        for key, value in arguments.items():
            if key not in named and not any(one.kind is one.VAR_KEYWORD for one in parameters):
                raise UserError(f"{label}: {key!r} is {value!r}, but {takes}{did_you_mean(key, named)}")
        for name, one in named.items():
            if one.default is one.empty and name not in arguments:
                raise UserError(f"{label}: {name} is missing; {takes}")
        fitted = {key: self._fit(label, key, value, named.get(key), defaults) for key, value in arguments.items()}
        try:
            return make(**fitted)
        except FAILURES as error:
            if is_bug_in(make, error):
                raise
            if isinstance(error, UserError) and is_made_by_evo(make):
                raise UserError(f"{label}: {error}") from error
            if isinstance(error, ValueError):  # The class itself says what is wrong.
                raise blame(error, label, called=make, stated=ValueError) from error
            what = f"{label} cannot be made of {_line(representation(fitted))}"
            raise blame(error, what, called=make, hint=takes) from error

    def _fit(
        self, label: str, key: Any, value: Any, parameter: inspect.Parameter | None, defaults: Mapping[str, Any]
    ) -> Any:
        """An argument converted to the type of its hint; things of this kind in it are made."""
        fitted = self._make_parts(value, defaults)
        if parameter is None or parameter.annotation is parameter.empty:
            return fitted
        try:
            return msgspec.convert(fitted, parameter.annotation, dec_hook=partial(self._nested, defaults))
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, UserError):  # The error of a nested one says everything.
                raise error.__cause__ from None
            if error.__cause__ is None:
                raise UserError(f"{label}: {key} is {value!r}, but it takes {parameter}") from None
            return fitted
        except Exception:  # msgspec does not know this kind of hint.
            return fitted

    def _make_parts(self, value: Any, defaults: Mapping[str, Any]) -> Any:
        """Make everything that has a class_path, even without a type hint."""
        if isinstance(value, Mapping) and "class_path" in value:
            return self._make(value, defaults)
        return [self._make_parts(part, defaults) for part in value] if isinstance(value, list) else value

    def _nested(self, defaults: Mapping[str, Any], kind: type, value: Any) -> Any:
        """Make the value where the type hint is of this kind."""
        return self._make(value, defaults) if self._is_class(kind) and not isinstance(value, self.bases) else value

    def _is_class(self, value: Any) -> TypeGuard[type[Any]]:
        # isinstance would not do, because in Python 3.10 list[int] is an instance of type, but not a class.
        return issubclass(type(value), type) and issubclass(value, self.bases)


def _signature(make: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(make, eval_str=True)
    except Exception:  # Hints that only a type checker can resolve stay strings.
        return inspect.signature(make)


def _line(text: object) -> str:
    return " ".join(str(text).split())
