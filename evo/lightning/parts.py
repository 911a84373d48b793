"""What a training is made of, module, data and settings, and which parameters each of them gets."""

from __future__ import annotations

import argparse
import copy
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias, final

from evo.references import find_class

Section: TypeAlias = str | Mapping[str, Any]
"""As LightningCLI has them: an import path, or `{"class_path": …, "init_args": {…}}`."""

_SETTINGS = "init_args"  # `model.init_args.lr` is the same place as `model.lr`.


class Part(ABC):
    """One thing that a training is made of.

    Attributes:
        name: In dotted parameters, for example "model".
        title: In messages.
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

    @abstractmethod
    def check(self, names: Collection[str]) -> None:
        """Make sure that it can be made with these parameters, relative names.

        Raises:
            ValueError: It takes no such parameter, or needs another one.
        """

    @abstractmethod
    def make(self, params: Mapping[str, Any]) -> Any:
        """Make it with these parameters, relative names."""

    def _refuse(self, name: str) -> None:
        raise ValueError(
            f"No constructor takes '{self.name}.{name}'. {self.title} takes: {', '.join(self.named) or 'none'}. "
            "Rename it in the limits, or add it to the constructor."
        )


@final
class Constructor(Part):
    """A class, or a function that makes the thing from parameters by name, or from `params`, all of them."""

    def __init__(self, name: str, constructor: Callable[..., Any]) -> None:
        self.name = name
        self.title = str(getattr(constructor, "__name__", constructor))
        self._constructor = constructor
        self._parameters = _by_name(constructor)
        # A function of `params` decides by itself.
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
        _check_needed(self.title, self._parameters if not self._wants_all else {}, names)

    def make(self, params: Mapping[str, Any]) -> Any:
        return self._constructor(dict(params)) if self._wants_all else self._constructor(**params)


@final
class FromSection(Part):
    """A class by its import path, with fixed arguments, as in a configuration of LightningCLI.

    Values are checked and converted by the constructor's type hints, and nested `class_path` sections are made first.

    Raises:
        ValueError: The section is malformed, or there is no such class.
    """

    def __init__(self, name: str, section: Section) -> None:
        self.name = name
        self._class, self._arguments = _read_section(name, section)
        self.title = self._class.__name__
        self._parameters = _by_name(self._class)
        for argument in self._arguments:
            if argument not in self._parameters and not self.takes_any:
                raise ValueError(
                    f"{name} has the argument {argument!r}, which {self.title} does not take. It takes: "
                    f"{', '.join(self._parameters) or 'none'}"
                )

    @property
    def named(self) -> Collection[str]:
        return self._parameters

    @property
    def takes_any(self) -> bool:
        return _has_keywords(self._class)

    def check(self, names: Collection[str]) -> None:
        for name in names:
            first, _, rest = name.partition(".")
            if first not in self._parameters and not self.takes_any:
                self._refuse(name)
            if rest:
                self._check_nested(name)
        given = {*self._arguments, *(name.partition(".")[0] for name in names)}
        _check_needed(self.title, self._parameters, given)
        if not names:
            self.make({})

    def _check_nested(self, name: str) -> None:
        place: Any = self._arguments
        path = name.split(".")[:-1]
        for depth, step in enumerate(path):
            place = place.get(step) if isinstance(place, Mapping) else None
            if isinstance(place, Mapping) and "class_path" in place:
                place = place.get(_SETTINGS) or {}
            if not isinstance(place, Mapping):
                above = ".".join([self.name, *path[: depth + 1]])
                raise ValueError(f"{self.name}.{name} is searched, but {above} is no section: give its class_path")

    def make(self, params: Mapping[str, Any]) -> Any:
        arguments = copy.deepcopy(dict(self._arguments))
        for name, value in params.items():
            _put(arguments, name.split("."), value)
        return _make(self.name, self._class, arguments)


@final
class Settings(Part):
    """Arguments of one of Lightning's own classes, as a dictionary.

    Args:
        name: As above.
        owner: The class.
        given: The fixed ones; values may be `class_path` sections, or lists of these.
    """

    def __init__(self, name: str, owner: type, given: Mapping[str, Any]) -> None:
        self.name, self.title = name, owner.__name__
        self._owner, self._given = owner, given
        self._parameters = _by_name(owner)

    @property
    def named(self) -> Collection[str]:
        return self._parameters

    @property
    def takes_any(self) -> bool:
        return False

    def check(self, names: Collection[str]) -> None:
        for name in (*self._given, *names):
            if name not in self._parameters:
                self._refuse(name)
        self.make({name: in_folder(value, os.devnull) for name, value in self._given.items() if name == "logger"})

    def make(self, params: Mapping[str, Any]) -> dict[str, Any]:
        # So that no callback remembers the last training.
        settings = {**copy.deepcopy(dict(self._given)), **params}
        sections = {name: value for name, value in settings.items() if _has_section(value)}
        made = _make(self.name, self._owner, sections, instantiate=False) if sections else {}
        return settings | {name: made[name] for name in sections}


def make_part(name: str, given: Callable[..., Any] | Section) -> Part:
    """A part from a class, a function, or a section of a configuration.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(given, str | Mapping):
        return FromSection(name, given)
    if not callable(given):
        raise ValueError(f"{name} is {given!r}: give a class, a function that makes one, or a class_path section")
    return Constructor(name, given)


def share_out(params: Mapping[str, Any], parts: Sequence[Part], dotted_only: Sequence[Part]) -> list[dict[str, Any]]:
    """Which parameters each part gets, by their relative names.

    `model.lr` and `model.init_args.lr` go to the model; `lr` to each part that takes it by name, or else to those that
    take any.

    Args:
        params: Those of an individual.
        parts: Those that get parameters without a dot.
        dotted_only: Those that do not.

    Raises:
        ValueError: Nobody takes one of them.
    """
    everyone = [*parts, *dotted_only]
    shares: list[dict[str, Any]] = [{} for _ in everyone]
    places = {part.name: number for number, part in enumerate(everyone)}
    rest = {}
    for name, value in params.items():
        first, _, relative = name.partition(".")
        takers = [share for share, part in zip(shares, parts, strict=False) if name in part.named]
        if relative and first in places:
            steps = [step for step in relative.split(".") if step != _SETTINGS]
            shares[places[first]][".".join(steps)] = value
        elif takers:
            for share in takers:
                share[name] = value
        else:
            rest[name] = value
    greedy = [share for share, part in zip(shares, parts, strict=False) if part.takes_any]
    if rest and not greedy:
        takes = ". ".join(f"{part.title} takes: {', '.join(part.named) or 'none'}" for part in parts)
        raise ValueError(
            f"No constructor takes {', '.join(map(repr, rest))}. {takes}. Rename it in the limits, or add it to a "
            "constructor."
        )
    for share in greedy:
        share.update(rest)
    return shares


def in_folder(value: Any, folder: str) -> Any:
    """A logger's section, or a list of such, with a folder as its save_dir unless it says another one.

    Args:
        value: What a trainer has as its logger.
        folder: The individual's.
    """
    if isinstance(value, list | tuple):
        return [in_folder(each, folder) for each in value]
    if not _has_section(value):
        return value
    logger, arguments = _read_section("logger", value)
    place = {"save_dir": folder} if "save_dir" in _by_name(logger) else {}
    return {**value, _SETTINGS: {**place, **arguments}}


def _make(name: str, owner: type, arguments: Mapping[str, Any], *, instantiate: bool = True) -> Any:
    """An instance of a class, or only its arguments, from plain values that its type hints say how to read.

    Raises:
        ValueError: A value does not fit.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(owner, "made", fail_untyped=False, instantiate=instantiate)
    try:
        parsed = parser.parse_object({"made": arguments})
    except argparse.ArgumentError as error:
        raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
    return parser.instantiate(parsed).made


def _read_section(name: str, section: Section) -> tuple[type, Mapping[str, Any]]:
    where = {"class_path": section} if isinstance(section, str) else dict(section)
    path, arguments = where.pop("class_path", None), where.pop(_SETTINGS, None) or {}
    if not isinstance(path, str) or not isinstance(arguments, Mapping) or where:
        raise ValueError(
            f"{name} is {section!r}: give an import path, or a mapping of class_path and init_args and nothing else"
        )
    found = find_class(path, name)
    if not isinstance(found, type):
        raise ValueError(f"{name} has the class_path {path!r}, which is {found!r} and no class")
    return found, arguments


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *above, last = path
    for step in above:
        tree = tree[step]
        if "class_path" in tree:
            tree = tree.setdefault(_SETTINGS, {})
    tree[last] = value


def _has_section(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_section, value))
    return isinstance(value, Mapping) and "class_path" in value


def _by_name(constructor: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that a constructor takes by name, in its order."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in inspect.signature(constructor).parameters.items() if p.kind in by_name}


def _has_keywords(constructor: Callable[..., Any]) -> bool:
    parameters = inspect.signature(constructor).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _check_needed(title: str, parameters: Mapping[str, inspect.Parameter], given: Collection[str]) -> None:
    missing = [name for name, p in parameters.items() if p.default is inspect.Parameter.empty and name not in given]
    if missing:
        raise ValueError(
            f"{title} needs {', '.join(map(repr, missing))}, which the limits do not have. "
            "Add it to the limits or give it a default."
        )
