"""What a training is made of, module, data and settings, and which parameters each of them gets."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias, final

from evo.checks import nearest
from evo.errors import UserError
from evo.lightning.making import read_arguments, split_known
from evo.lightning.signatures import find_any, takes
from evo.lightning.trees import (
    CLASS_PATH,
    DICT_KWARGS,
    INIT_ARGS,
    Tree,
    check_fixed,
    has_section,
    is_plain_tree,
    is_section,
    keep_taken,
)
from evo.objective.references import find_class

Section: TypeAlias = str | Mapping[str, Any]
"""A section as LightningCLI has it: an import path, or `{"class_path": …, "init_args": {…}}`."""


# Arguments that a constructor is given by its caller, before those of the section.
_BEFORE = {"optimizer": ("params",), "lr_scheduler": ("optimizer",)}


class Part(ABC):
    """One thing that a training is made of.

    Attributes:
        name: Its name in dotted parameters, for example "model".
        title: Its name in messages.
    """

    name: str
    title: str

    @property
    @abstractmethod
    def named(self) -> Collection[str]:
        """The parameters that it takes by name."""

    @property
    @abstractmethod
    def takes_any(self) -> bool:
        """Whether it takes others as well."""

    @property
    def dropped(self) -> Sequence[str]:
        """The fixed arguments that are left out because its class does not take them, in words."""
        return ()

    @abstractmethod
    def check(self, names: Collection[str]) -> None:
        """Make sure that it can be made with these parameters, by their relative names.

        Raises:
            UserError: It takes no such parameter, or needs another one.
        """

    @abstractmethod
    def read(self, params: Mapping[str, Any]) -> None:
        """Make sure that values fit the type hints; nothing is made.

        Raises:
            UserError: A value does not fit, or there is no place for one of these parameters.
        """

    def value(self, params: Mapping[str, Any], place: str) -> Any:
        """An argument that it is made with, or its default.

        Raises:
            KeyError: There is no such argument.
        """
        raise KeyError(place)

    @abstractmethod
    def make(self, params: Mapping[str, Any], *given: Any) -> Any:
        """Make it with these parameters, by relative names, and what its constructor gets before them."""

    def _refuse(self, name: str) -> None:
        alike = nearest(name, self.named)
        meant = f"Did you mean {self.name}.{alike}? " if alike else ""
        raise UserError(
            f"No constructor takes '{self.name}.{name}'. {self.title} takes: {', '.join(self.named) or 'none'}. "
            f"{meant}Rename it in the limits, or add it to the constructor."
        )


@final
class Constructor(Part):
    """A class, or a function that makes the thing from parameters by name, or from `params`, all of them."""

    def __init__(self, name: str, constructor: Callable[..., Any]) -> None:
        self.name = name
        self.title = str(getattr(constructor, "__name__", constructor))
        self._constructor = constructor
        self._parameters = _by_name(constructor)
        # A function of `params` decides for itself which parameters it takes.
        self._wants_all = list(self._parameters) == ["params"]

    @property
    def named(self) -> Collection[str]:
        return [] if self._wants_all else self._parameters

    @property
    def takes_any(self) -> bool:
        return self._wants_all or _has_keywords(self._constructor)

    def check(self, names: Collection[str]) -> None:
        for name in names:
            if name not in self.named and not self.takes_any:
                self._refuse(name)
        needed = [name for name, each in self._parameters.items() if each.default is each.empty]
        _check_needed(self.title, needed if not self._wants_all else [], names)

    def read(self, params: Mapping[str, Any]) -> None:
        pass  # Only the constructor knows which values fit.

    def value(self, params: Mapping[str, Any], place: str) -> Any:
        return find_value(self._constructor, params, place)

    def make(self, params: Mapping[str, Any], *given: Any) -> Any:
        return self._constructor(dict(params)) if self._wants_all else self._constructor(*given, **params)


@final
class FromSection(Part):
    """A class by its import path, with fixed arguments, as in a configuration of LightningCLI.

    Values are checked and converted by the constructor's type hints, and nested `class_path` sections are made first.
    A function that makes the thing may stand in place of the class.

    Raises:
        UserError: The section is malformed, or there is no such class.
    """

    def __init__(self, name: str, section: Section, class_path: str | None = None) -> None:
        self.name = name
        where = _as_mapping(name, section, class_path)
        path = class_path or where[CLASS_PATH]
        if name in ("model", "data") and "." not in path:
            find_class(path, name)  # Only classes of Lightning and torch have short names.
        self._dropped: list[str] = []
        if class_path is not None:
            where, self._dropped = keep_taken(where, class_path, name)
        self._class = find_any(where[CLASS_PATH], name)
        self.title = str(getattr(self._class, "__name__", self._class))
        self._arguments = {**(where.get(INIT_ARGS) or {}), **(where.get(DICT_KWARGS) or {})}
        self._takes = takes(self._class)
        for argument in self._arguments:
            check_fixed(self._class, argument, name)

    @property
    def named(self) -> Collection[str]:
        return self._takes.names

    @property
    def takes_any(self) -> bool:
        return self._takes.any_other

    @property
    def dropped(self) -> Sequence[str]:
        return self._dropped

    def check(self, names: Collection[str]) -> None:
        self._put(without_classes(names))
        _check_needed(
            f"{self.name}: {self.title}",
            self._takes.needs,
            {*self._arguments, *(name.partition(".")[0] for name in names)},
            "to its init_args, the limits or link_arguments,",
        )

    def make(self, params: Mapping[str, Any], *given: Any) -> Any:
        """Make it.

        Args:
            params: Values by relative names. Those that are neither plain nor a section are passed on as they are.
            given: What the constructor gets before them.
        """
        arguments, others = self._read(params, len(given), make=True)
        return self._class(*given, **arguments, **others)

    def read(self, params: Mapping[str, Any]) -> None:
        self._read(params, len(_BEFORE.get(self.name, ())), make=False)

    def value(self, params: Mapping[str, Any], place: str) -> Any:
        return find_value(self._class, self._put(params), place)

    def _read(self, params: Mapping[str, Any], before: int, *, make: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments that the constructor's signature names, and all others."""
        known, others = split_known(self._class, self._put(params))
        ready = {name: value for name, value in known.items() if not (is_plain_tree(value) or has_section(value))}
        plain = {name: value for name, value in known.items() if name not in ready}
        skipped = {*ready, *list(inspect.signature(self._class).parameters)[:before]}
        return read_arguments(self.name, self._class, plain, skipped, make=make) | ready, others

    def _put(self, params: Mapping[str, Any]) -> dict[str, Any]:
        tree = Tree(self.name, self._class, self._arguments)
        arguments = tree.put(params)
        self._dropped += [each for each in tree.dropped if each not in self._dropped]
        return arguments


@final
class AbsentPart(Part):
    """A part that this training does not have."""

    def __init__(self, name: str) -> None:
        self.name = self.title = name

    @property
    def named(self) -> Collection[str]:
        return ()

    @property
    def takes_any(self) -> bool:
        return False

    def check(self, names: Collection[str]) -> None:
        for name in names:
            raise UserError(
                f"{self.name}.{name} is searched, but there is no section {self.name}: add it, with its class_path"
            )

    def read(self, params: Mapping[str, Any]) -> None:
        self.check(list(params))

    def make(self, params: Mapping[str, Any], *given: Any) -> None:
        self.check(list(params))


def make_part(name: str, given: Callable[..., Any] | Section | None, class_path: str | None = None) -> Part:
    """A part from a class, a function, or a section of a configuration.

    Args:
        name: The name of the part.
        given: What the user has given. None means nothing.
        class_path: The import path of the class that an individual has in its place.

    Raises:
        UserError: What is given is none of these.
    """
    if isinstance(given, str | Mapping) or (given is None and class_path is not None):
        return FromSection(name, given or {}, class_path)
    if given is None:
        return AbsentPart(name)
    if not callable(given):
        raise UserError(f"{name} is {given!r}: give a class, a function that makes one, or a class_path section")
    return Constructor(name, given)


def _as_mapping(name: str, section: Section, class_path: str | None) -> dict[str, Any]:
    where = {CLASS_PATH: section} if isinstance(section, str) else dict(section)
    path, arguments, others = where.get(CLASS_PATH, class_path), where.get(INIT_ARGS), where.get(DICT_KWARGS)
    wrong = [each for each in (arguments, others) if not isinstance(each, Mapping | None)]
    if not isinstance(path, str) or wrong or set(where) - {CLASS_PATH, INIT_ARGS, DICT_KWARGS}:
        raise UserError(
            f"{name} is {section!r}: give an import path, or a mapping of class_path and init_args and nothing else"
        )
    return where


def find_value(owner: Callable[..., Any], arguments: Mapping[str, Any], place: str) -> Any:
    """One of the arguments of a class, or its default.

    Raises:
        KeyError: There is no such argument.
    """
    first, *rest = [step for step in place.split(".") if step not in (INIT_ARGS, DICT_KWARGS)]
    if first not in arguments:
        default = _by_name(owner)[first].default
        if default is inspect.Parameter.empty or rest:
            raise KeyError(place)
        return default
    value = arguments[first]
    for step in rest:
        value = (value.get(INIT_ARGS) or {})[step] if is_section(value) else value[step]
    return value


def without_classes(names: Collection[str]) -> dict[str, None]:
    """Those of the names that can be looked up without knowing which classes there will be."""
    changing = [name.removesuffix(CLASS_PATH) for name in names if name.endswith(f".{CLASS_PATH}")]
    changing += [f"{name}." for name in names]  # A name may stand for a whole section, given by an import path.
    return {name: None for name in names if not any(name.startswith(place) for place in changing)}


def _by_name(constructor: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that a constructor takes by name, in its order."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in inspect.signature(constructor).parameters.items() if p.kind in by_name}


def _has_keywords(constructor: Callable[..., Any]) -> bool:
    parameters = inspect.signature(constructor).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _check_needed(title: str, needed: Collection[str], given: Collection[str], where: str = "to the limits") -> None:
    missing = [name for name in needed if name not in given]
    if missing:
        raise UserError(
            f"{title} needs {', '.join(map(repr, missing))}, which the limits do not have. "
            f"Add it {where} or give it a default."
        )
