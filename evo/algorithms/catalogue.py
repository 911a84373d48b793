"""Makes what breeds from a study file: a ready one with its parameters, or any class with its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import evo.propagators
from evo.algorithms.additive import AdditiveSearch
from evo.algorithms.base import Algorithm
from evo.algorithms.bred import Breeding
from evo.algorithms.cmaes import CMAES
from evo.algorithms.front import FrontSearch
from evo.algorithms.modelled import ModelledSearch
from evo.algorithms.nelder_mead import NelderMead
from evo.algorithms.optuna_sampler import OptunaSampler
from evo.algorithms.pbt import PopulationBasedTraining
from evo.algorithms.portfolio import Portfolio
from evo.algorithms.pso import ParticleSwarm
from evo.algorithms.regularized import RegularizedEvolution
from evo.algorithms.shade import Shade
from evo.algorithms.tpe import TPE
from evo.errors import UserError
from evo.frames import blamed, representation
from evo.naming import Kind
from evo.propagators.base import Propagator
from evo.propagators.genetic import default_propagator
from evo.propagators.mutation import InitUniform


def _make_portfolio(
    members: Sequence[Any] | Mapping[str, Any] | None = None,
    floor: float = Portfolio.floor,
    forgetting: float = Portfolio.forgetting,
    power: float = Portfolio.power,
) -> Portfolio:
    """A portfolio, which chooses for each proposal among several algorithms by what each has recently achieved.

    Args:
        members: Each is given as `propagator` is, by name, or by name or class_path with arguments; those in a mapping
            have names of their own. None means modelled, tpe, genetic and additive.
        floor: The least probability of each member, from 0 to 1 divided by the number of members.
        forgetting: The weight of a new reward once a member has had many, above 0 and at most 1.
        power: How strongly better members are preferred, at least 0: probabilities follow rewards to this power.
    """
    made: dict[str, Breeding] = {}
    if isinstance(members, Mapping):
        made = {name: _member(what) for name, what in members.items()}
        return Portfolio(made, floor, forgetting, power)
    for place, what in enumerate(members or ()):
        one = _member(what)
        name = what if isinstance(what, str) else what.get("name", "") if isinstance(what, Mapping) else ""
        name = (name or type(one).__name__).replace("/", "-")
        made[name if name not in made else f"{name}{place + 1}"] = one
    return Portfolio(None if members is None else made, floor, forgetting, power)


def _member(what: Any) -> Breeding:
    return what if isinstance(what, Propagator | Algorithm) else _make(what, {"population": _PAIR})


READY: Mapping[str, Callable[..., Breeding]] = {
    "portfolio": _make_portfolio,
    "front": FrontSearch,
    "tpe": TPE,
    "modelled": ModelledSearch,
    "additive": AdditiveSearch,
    "cmaes": CMAES,
    "shade": Shade,
    "pso": ParticleSwarm,
    "nelder_mead": NelderMead,
    "regularized": RegularizedEvolution,
    "pbt": PopulationBasedTraining,
    "genetic": default_propagator,
    "random": InitUniform,
}
"""The ready algorithms and propagators by name."""

TAKE_SEVERAL = ("front", "tpe", "genetic", "random", "optuna:TPESampler and most others of Optuna")
"""The names of those that search a front where there are several objectives."""

_OPTUNA = "optuna:"
_PAIR = 2  # The individuals that breed where the genetic algorithm is a member of a portfolio.

GENETIC_OPTIONS: tuple[str, ...] = tuple(inspect.signature(default_propagator).parameters)
"""The names of the genetic propagator's options."""

_BREEDING: Kind[Breeding] = Kind(
    bases=(Propagator, Algorithm),
    setting="propagator",
    noun="propagator",
    packages=("evo.propagators", "evo.algorithms"),
    ready=READY,
    without_defaults=("pbt",),
)
_SELECTIONS: Kind[Propagator] = Kind(
    bases=(Propagator,), setting="selection", noun="propagator", packages=("evo.propagators",), ready={}
)


def make_propagator(what: str | Mapping[str, Any], defaults: Mapping[str, Any]) -> Breeding:
    """Make a propagator or an algorithm from the setting in a study file or on a command line.

    Args:
        what: The name of a ready one, or `optuna:` and the name of a sampler of Optuna; `{name: ..., PARAMETER: VALUE,
            ...}` for one with other parameters; or
            `{class_path: module.Class, init_args: {...}}` for any subclass of Propagator or Algorithm, installed or in
            a module on Python's path. One of evo's own needs no module. Arguments that are propagators or algorithms
            have the same forms.
        defaults: Parameters for ready propagators that take them and are not given them in `what`.

    Raises:
        UserError: A name is unknown, an argument is wrong or missing, or a module cannot be imported.

    Example:
        >>> make_propagator({"class_path": "Compose", "init_args": {"propagators": ["random"]}}, {})
        Compose(propagators=[InitUniform()])
    """
    return _make(what, defaults)


def uses_genetic(what: Any) -> bool:
    """Whether the setting of a study file contains the genetic propagator, so that its options have an effect.

    Raises:
        UserError: The setting is nested too deep.

    Example:
        >>> uses_genetic({"class_path": "Stochastic", "init_args": {"propagator": "genetic", "probability": 0.5}})
        True
    """
    _BREEDING.check_depth(what)
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
    make = cast(Callable[[int], Propagator], _SELECTIONS.find_class(what) if isinstance(what, str) else what)
    known = [name for name in _SELECTIONS.classes_of(evo.propagators) if name.startswith("Select")]
    rule = f"give a class that is made with a count and selects that many individuals, such as {', '.join(known)}"
    name = what if isinstance(what, str) else getattr(what, "__qualname__", repr(what))
    with blamed(f"selection {name} cannot be made with count 1", called=make, hint=rule):
        one = make(1)
        is_selection = isinstance(one, Propagator) and one.parents is None and one.offspring in (None, 1)
    if not is_selection:
        raise UserError(f"selection {name} with count 1 is {' '.join(representation(one).split())}: {rule}")
    return make


def _make(what: Any, defaults: Mapping[str, Any]) -> Breeding:
    given = {"name": what} if isinstance(what, str) else what
    name = given.get("name") if isinstance(given, Mapping) else None
    if isinstance(name, str) and name.startswith(_OPTUNA):
        options = {key: given[key] for key in given if key != "name"}
        try:
            return OptunaSampler(name.removeprefix(_OPTUNA), options)
        except UserError as error:
            raise UserError(f"propagator {name}: {error}") from error
    if name == "pbt" and given.get("architecture") is not None:
        inner = given["architecture"]
        if not isinstance(inner, str | Mapping | Propagator | Algorithm):
            raise UserError(
                f"propagator pbt: architecture is {representation(inner)}: give a propagator or an algorithm"
            )
        given = {**given, "architecture": _member(inner)}
    return _BREEDING.make(given, defaults)


def _has_genetic(what: Any) -> bool:
    if isinstance(what, Mapping):
        if what.get("name") == "portfolio":  # Its members have options of their own.
            return False
        return what.get("name") == "genetic" or _has_genetic(list(what.values()))
    return any(map(_has_genetic, what)) if isinstance(what, list | tuple) else what == "genetic"
