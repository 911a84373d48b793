"""Propagators as a study file names them: a ready one with its parameters, or any class with its arguments."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from evo.errors import UserError
from evo.frames import told
from evo.naming import Kind
from evo.propagators.base import Propagator
from evo.propagators.genetic import default_propagator
from evo.propagators.mutation import InitUniform

READY: Mapping[str, Callable[..., Propagator]] = {"genetic": default_propagator, "random": InitUniform}
"""What a name alone stands for."""

GENETIC_OPTIONS: tuple[str, ...] = tuple(inspect.signature(default_propagator).parameters)
"""The names of the genetic propagator's options."""

_PROPAGATORS: Kind[Propagator] = Kind(
    base=Propagator, setting="propagator", noun="propagator", package="evo.propagators", ready=READY
)


def make_propagator(what: str | Mapping[str, Any], defaults: Mapping[str, Any]) -> Propagator:
    """A propagator from what a study file or a command line says.

    Args:
        what: The name of a ready one; `{name: ..., PARAMETER: VALUE, ...}` for one with other parameters; or
            `{class_path: module.Class, init_args: {...}}` for any subclass of Propagator, installed or in a module on
            Python's path. One of evo.propagators needs no module. Arguments that are propagators have the same forms.
        defaults: Parameters that ready ones get where `what` does not give them, if they take them.

    Raises:
        UserError: A name is unknown, an argument wrong or missing, or a module cannot be imported.

    Example:
        >>> make_propagator({"class_path": "Compose", "init_args": {"propagators": ["random"]}}, {})
        Compose(propagators=[InitUniform()])
    """
    return _PROPAGATORS.make(what, defaults)


def uses_genetic(what: Any) -> bool:
    """Whether what a study file says has the genetic propagator in it, so that its options mean something.

    Raises:
        UserError: It is nested too deep.

    Example:
        >>> uses_genetic({"class_path": "Stochastic", "init_args": {"propagator": "genetic", "probability": 0.5}})
        True
    """
    _PROPAGATORS.check_depth(what)
    return _has_genetic(what)


def options_text(options: Mapping[str, Any]) -> str:
    """Options of the genetic propagator, as a subject of a sentence.

    Example:
        >>> options_text({"population": 20, "sigma": 0.1})
        'population and sigma are options of the genetic propagator'
    """
    *others, last = options
    names = f"{', '.join(others)} and {last}" if others else last
    return f"{names} {'are options' if others else 'is an option'} of the genetic propagator"


def place_of_options(options: Mapping[str, Any]) -> str:
    """A note for whoever gives these options beside the propagator, where they used to be.

    Example:
        >>> place_of_options({"population": 20})
        'population is an option of the genetic propagator: write propagator: {name: genetic, population: 20}'
    """
    written = ", ".join(f"{name}: {value}" for name, value in options.items())
    return f"{options_text(options)}: write propagator: {{name: genetic, {written}}}"


def make_selection(what: str | type) -> Callable[[int], Propagator]:
    """A selection, as policies of migration use it: it chooses a number of individuals out of any number.

    Args:
        what: The name of a class of evo.propagators, such as SelectMin; `module.Class`; or a class.

    Returns:
        A function of the count that makes it.

    Raises:
        UserError: There is no such class, or it makes no selection of a count.

    Example:
        >>> make_selection("SelectMax")(3)
        SelectMax(count=3)
    """
    make = cast(
        Callable[[int], Propagator], _PROPAGATORS.find_class(what, "selection") if isinstance(what, str) else what
    )
    known = [
        name
        for name in _PROPAGATORS.classes_of(importlib.import_module(_PROPAGATORS.package))
        if name.startswith("Select")
    ]
    rule = f"give a class that is made with a count and selects so many of any number, such as {', '.join(known)}"
    name = what if isinstance(what, str) else getattr(what, "__qualname__", repr(what))
    try:
        one = make(1)
        is_selection = isinstance(one, Propagator) and one.parents is None and one.offspring in (None, 1)
    except Exception as error:
        raise UserError(f"selection {name} cannot be made with count 1: {told(error)}: {rule}") from error
    if not is_selection:
        raise UserError(f"selection {name} with count 1 is {' '.join(repr(one).split())}: {rule}")
    return make


def _has_genetic(what: Any) -> bool:
    if isinstance(what, Mapping):
        return what.get("name") == "genetic" or _has_genetic(list(what.values()))
    return any(map(_has_genetic, what)) if isinstance(what, list | tuple) else what == "genetic"
