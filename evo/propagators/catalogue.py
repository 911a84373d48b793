"""Makes propagators from a study file: a ready one with its parameters, or any class with its arguments."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, TypeGuard, cast

import msgspec

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.frames import told
from evo.propagators.base import Propagator
from evo.propagators.genetic import default_propagator
from evo.propagators.mutation import InitUniform

READY: Mapping[str, Callable[..., Propagator]] = {"genetic": default_propagator, "random": InitUniform}
"""The ready propagators by name."""

GENETIC_OPTIONS: tuple[str, ...] = tuple(inspect.signature(default_propagator).parameters)
"""The names of the genetic propagator's options."""

_PACKAGE = "evo.propagators"
_FORMS = (
    f"give one of {', '.join(READY)}, {{name: one of these, and its parameters}}, or "
    "{class_path: module.Class, init_args: {and its arguments}}"
)
_DEEPEST = 50


def make_propagator(what: str | Mapping[str, Any], defaults: Mapping[str, Any]) -> Propagator:
    """Make a propagator from the setting in a study file or on a command line.

    Args:
        what: The name of a ready one; `{name: ..., PARAMETER: VALUE, ...}` for one with other parameters; or
            `{class_path: module.Class, init_args: {...}}` for any subclass of Propagator, installed or in a module on
            Python's path. One of evo.propagators needs no module. Arguments that are propagators have the same forms.
        defaults: Parameters for ready propagators that take them and are not given them in `what`.

    Raises:
        UserError: A name is unknown, an argument is wrong or missing, or a module cannot be imported.

    Example:
        >>> make_propagator({"class_path": "Compose", "init_args": {"propagators": ["random"]}}, {})
        Compose(propagators=[InitUniform()])
    """
    _check_depth(what)
    return _make(what, defaults)


def uses_genetic(what: Any) -> bool:
    """Whether the setting of a study file contains the genetic propagator, so that its options have an effect.

    Raises:
        UserError: The setting is nested too deep.

    Example:
        >>> uses_genetic({"class_path": "Stochastic", "init_args": {"propagator": "genetic", "probability": 0.5}})
        True
    """
    _check_depth(what)
    return _has_genetic(what)


def options_text(options: Mapping[str, Any]) -> str:
    """A sentence that says which options belong to the genetic propagator.

    Example:
        >>> options_text({"population": 20, "sigma": 0.1})
        'population and sigma are options of the genetic propagator'
    """
    *others, last = options
    names = f"{', '.join(others)} and {last}" if others else last
    return f"{names} {'are options' if others else 'is an option'} of the genetic propagator"


def place_of_options(options: Mapping[str, Any]) -> str:
    """A note for a user who gives these options at the top level, their former place.

    Example:
        >>> place_of_options({"population": 20})
        'population is an option of the genetic propagator: write propagator: {name: genetic, population: 20}'
    """
    written = ", ".join(f"{name}: {value}" for name, value in options.items())
    return f"{options_text(options)}: write propagator: {{name: genetic, {written}}}"


def make_selection(what: str | type) -> Callable[[int], Propagator]:
    """Make a selection for migration, which chooses a given number of individuals out of any number.

    Args:
        what: The name of a class of evo.propagators, such as SelectMin; `module.Class`; or a class.

    Returns:
        A function that makes the selection from the number of individuals to select.

    Raises:
        UserError: There is no such class, or it does not make a selection from a count.

    Example:
        >>> make_selection("SelectMax")(3)
        SelectMax(count=3)
    """
    make = cast(Callable[[int], Propagator], _find_class("selection", what) if isinstance(what, str) else what)
    known = [name for name in _propagators_of(importlib.import_module(_PACKAGE)) if name.startswith("Select")]
    rule = f"give a class that is made with a count and selects so many of any number, such as {', '.join(known)}"
    name = what if isinstance(what, str) else getattr(what, "__qualname__", repr(what))
    try:
        one = make(1)
        is_selection = isinstance(one, Propagator) and one.parents is None and one.offspring in (None, 1)
    except Exception as error:
        raise UserError(f"selection {name} cannot be made with count 1: {told(error)}: {rule}") from error
    if not is_selection:
        raise UserError(f"selection {name} with count 1 is {_line(repr(one))}: {rule}")
    return make


def _check_depth(what: Any, depth: int = 0) -> None:
    """Refuse a setting that contains itself, which a YAML anchor makes possible."""
    if depth > _DEEPEST:
        raise UserError(f"propagator is nested more than {_DEEPEST} deep: does an anchor (&) contain its alias (*)?")
    if isinstance(what, Mapping | list | tuple):
        for part in what.values() if isinstance(what, Mapping) else what:
            _check_depth(part, depth + 1)


def _has_genetic(what: Any) -> bool:
    if isinstance(what, Mapping):
        return what.get("name") == "genetic" or _has_genetic(list(what.values()))
    return any(map(_has_genetic, what)) if isinstance(what, list | tuple) else what == "genetic"


def _make(what: Any, defaults: Mapping[str, Any]) -> Propagator:
    given = {"name": what} if isinstance(what, str) else what
    if isinstance(what, type) and issubclass(what, Propagator):
        raise UserError(f"propagator is the class {what.__name__}: give one that is made, {what.__name__}(...)")
    if not isinstance(given, Mapping) or ("name" in given) == ("class_path" in given):
        raise UserError(f"propagator is {what!r}: {_FORMS}")
    if "class_path" in given:
        path, arguments = given["class_path"], given.get("init_args", {})
        make = _find_class("propagator", path)
        others = [key for key in given if key not in ("class_path", "init_args")]
        if others:
            raise UserError(f"propagator {path}: {others[0]!r} stands beside class_path: put arguments into init_args")
        if not isinstance(arguments, Mapping):
            raise UserError(f"propagator {path}: init_args is {arguments!r}: give a mapping of names to arguments")
        return _call(path, make, arguments, defaults)
    name = given["name"]
    if not isinstance(name, str) or name not in READY:
        raise UserError(f"propagator {name!r} is no ready one: {_FORMS}{did_you_mean(name, READY)}")
    takes = inspect.signature(READY[name]).parameters
    arguments = {key: value for key, value in defaults.items() if key in takes}
    arguments |= {key: value for key, value in given.items() if key != "name"}
    return _call(name, READY[name], arguments, defaults)


def _call(
    label: str, make: Callable[..., Propagator], arguments: Mapping[Any, Any], defaults: Mapping[str, Any]
) -> Propagator:
    """Call a class or a function with arguments that are checked against its signature and type hints."""
    parameters = _signature(make).parameters.values()
    named = {one.name: one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    takes = f"it takes {', '.join(named) or 'no arguments'}"
    for key, value in arguments.items():
        if key not in named and not any(one.kind is one.VAR_KEYWORD for one in parameters):
            raise UserError(f"propagator {label}: {key!r} is {value!r}, but {takes}{did_you_mean(key, named)}")
    for name, one in named.items():
        if one.default is one.empty and name not in arguments:
            raise UserError(f"propagator {label}: {name} is missing; {takes}")
    fitted = {key: _fit(label, key, value, named.get(key), defaults) for key, value in arguments.items()}
    try:
        return make(**fitted)
    except UserError as error:
        raise UserError(f"propagator {label}: {_line(error)}") from error
    except Exception as error:
        if make.__module__.startswith(f"{_PACKAGE}."):
            raise  # This is a bug, because evo's own propagators refuse arguments with a UserError.
        if isinstance(error, ValueError):  # The class itself says what is wrong.
            raise UserError(f"propagator {label}: {told(error, ValueError)}") from error
        raise UserError(
            f"propagator {label} cannot be made of {_line(repr(fitted))}: {told(error)}; {takes}"
        ) from error


def _signature(make: Callable[..., Propagator]) -> inspect.Signature:
    try:
        return inspect.signature(make, eval_str=True)
    except Exception:  # Hints that only a type checker can resolve stay strings.
        return inspect.signature(make)


def _fit(label: str, key: Any, value: Any, parameter: inspect.Parameter | None, defaults: Mapping[str, Any]) -> Any:
    """An argument converted to the type of its hint; propagators in it are made."""
    fitted = _make_parts(value, defaults)
    if parameter is None or parameter.annotation is parameter.empty:
        return fitted
    try:
        return msgspec.convert(fitted, parameter.annotation, dec_hook=partial(_nested, defaults))
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, UserError):  # The error of a nested propagator says everything.
            raise error.__cause__ from None
        if error.__cause__ is None:
            raise UserError(f"propagator {label}: {key} is {value!r}, but it takes {parameter}") from None
        return fitted
    except Exception:  # msgspec does not know this kind of hint.
        return fitted


def _make_parts(value: Any, defaults: Mapping[str, Any]) -> Any:
    """Make everything that has a class_path, even without a type hint."""
    if isinstance(value, Mapping) and "class_path" in value:
        return _make(value, defaults)
    return [_make_parts(part, defaults) for part in value] if isinstance(value, list) else value


def _nested(defaults: Mapping[str, Any], kind: type, value: Any) -> Any:
    """Make the value where the type hint is a Propagator."""
    return _make(value, defaults) if _is_propagator_class(kind) and not isinstance(value, Propagator) else value


def _find_class(what: str, path: Any) -> type[Propagator]:
    """The concrete subclass of Propagator that a path names.

    Args:
        what: The kind of class, for messages.
        path: The name of a class of evo.propagators, or `module.Class`.
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise UserError(f"{what} {path!r} is no class: give the name of one in {_PACKAGE}, or module.Class")
    place, _, name = path.rpartition(".")
    place = place or _PACKAGE
    try:
        module = importlib.import_module(place)
        found = getattr(module, name, None)
        there = _propagators_of(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}."):
            raise UserError(
                f"{what} {path}: there is no module {place!r}, here or installed: install it, or start evo beside it"
            ) from error
        raise UserError(f"{what} {path}: {place} cannot be imported: {told(error)}") from error
    choice = f"{place} has {', '.join(there) or 'no propagators'}"
    if found is None:
        elsewhere = "" if "." in path else "; one of your own is module.Class"
        raise UserError(f"{what} {path}: there is no {name!r}; {choice}{elsewhere}{did_you_mean(name, there)}")
    if not _is_propagator_class(found):
        raise UserError(f"{what} {path} is no subclass of evo.Propagator; {choice}")
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise UserError(f"{what} {path} is abstract, without {lacking}: give a subclass that has it; {choice}")
    return found


def _propagators_of(module: ModuleType) -> list[str]:
    classes = {name: value for name, value in vars(module).items() if _is_propagator_class(value)}
    return sorted(name for name, value in classes.items() if not inspect.isabstract(value))


def _is_propagator_class(value: Any) -> TypeGuard[type[Propagator]]:
    # isinstance would not do, because in Python 3.10 list[int] is an instance of type, but not a class.
    return issubclass(type(value), type) and issubclass(value, Propagator)


def _line(text: object) -> str:
    return " ".join(str(text).split())
