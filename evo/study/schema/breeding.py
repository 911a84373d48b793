"""Propagators, algorithms, pruners, selections and callbacks as JSON Schema, from their constructors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any

import evo.algorithms
import evo.propagators
import evo.pruning
from evo.algorithms.base import Algorithm
from evo.algorithms.catalogue import GENETIC_OPTIONS
from evo.algorithms.catalogue import READY as BREEDING
from evo.algorithms.pso import VARIANTS
from evo.propagators.base import Propagator
from evo.pruning.base import Pruner
from evo.study.schema.types import ANY_CLASS, Schema, arguments_schema, first_paragraph

_NESTED: Mapping[type, str] = {Propagator: "propagator", Algorithm: "propagator", Pruner: "pruner"}
_PROPAGATOR: Schema = {"$ref": "#/definitions/propagator"}
# Arguments of which the type says less than evo does.
_KNOWN_BETTER: Mapping[str, Schema] = {
    "variant": {"enum": list(VARIANTS)},
    "architecture": {"anyOf": [_PROPAGATOR, {"type": "null"}]},
    "members": {
        "anyOf": [
            {"type": "array", "items": _PROPAGATOR},
            {"type": "object", "additionalProperties": _PROPAGATOR},
            {"type": "null"},
        ]
    },
}


def breeding_definitions() -> dict[str, Schema]:
    """The definitions of what breeds and of what prunes.

    Returns:
        By name: `propagator`, `pruner`, `selection` and `callback`, in all forms that a study file may give them.
    """
    homes = (evo.propagators, evo.algorithms)
    optuna = r"^optuna:\w+$"
    return {
        "propagator": {
            "anyOf": [
                _names(BREEDING, GENETIC_OPTIONS),
                {"type": "string", "pattern": optuna, "title": "a sampler of Optuna"},
                *_ready(BREEDING, GENETIC_OPTIONS),
                {
                    "type": "object",
                    "title": "a sampler of Optuna, with its arguments",
                    "properties": {"name": {"type": "string", "pattern": optuna}},
                    "required": ["name"],
                },
                *_classes(homes, (Propagator, Algorithm)),
                _any_class("Propagator or evo.Algorithm"),
            ]
        },
        "pruner": {
            "anyOf": [
                _names(evo.pruning.READY),
                *_ready(evo.pruning.READY),
                *_classes((evo.pruning,), (Pruner,)),
                _any_class("Pruner"),
            ]
        },
        "selection": {"anyOf": [{"enum": _selections()}, {"type": "string", "pattern": ANY_CLASS}]},
        "callback": {"anyOf": [{"type": "string", "pattern": ANY_CLASS}, _any_class("Callback")]},
    }


def classes_in(homes: Collection[ModuleType], bases: tuple[type, ...]) -> dict[str, type]:
    """The concrete classes of some kinds that packages of evo give to users, by name.

    Example:
        >>> [*classes_in((evo.pruning,), (Pruner,))]
        ['CurveExtrapolation', 'MedianStopping', 'SuccessiveHalving']
    """
    found = {name: value for home in homes for name, value in vars(home).items() if isinstance(value, type)}
    return {
        name: found[name]
        for name in sorted(found)
        if issubclass(found[name], bases) and not inspect.isabstract(found[name])
    }


def _arguments(make: Callable[..., Any], given: Collection[str] = ()) -> Schema:
    schema = arguments_schema(make, _NESTED, given)
    for name, better in _KNOWN_BETTER.items():
        if name in schema["properties"]:
            texts = {
                key: value for key, value in schema["properties"][name].items() if key in ("description", "default")
            }
            schema["properties"][name] = better | texts
    return schema


def _names(ready: Mapping[str, Callable[..., Any]], given: Collection[str] = ()) -> Schema:
    """The names that need no arguments."""
    names = [name for name, make in ready.items() if not _arguments(make, given).get("required")]
    return {"enum": names, "enumDescriptions": [first_paragraph(ready[name].__doc__ or "") for name in names]}


def _ready(ready: Mapping[str, Callable[..., Any]], given: Collection[str] = ()) -> list[Schema]:
    """Ready ones by name, each with its own options."""
    schemas = []
    for name, make in ready.items():
        schema = _arguments(make, given)
        schemas.append(
            {
                "title": name,
                "description": first_paragraph(make.__doc__ or ""),
                **schema,
                "properties": {"name": {"enum": [name]}, **schema["properties"]},
                "required": ["name", *schema.get("required", [])],
            }
        )
    return schemas


def _classes(homes: Collection[ModuleType], bases: tuple[type, ...]) -> list[Schema]:
    """Classes of evo, by name alone or with the package that gives them to users."""
    schemas = []
    for name, found in classes_in(homes, bases).items():
        paths = [name, *(f"{home.__name__}.{name}" for home in homes if hasattr(home, name))]
        arguments = _arguments(found)
        schemas.append(
            {
                "type": "object",
                "title": name,
                "description": first_paragraph(found.__doc__ or ""),
                "properties": {"class_path": {"enum": paths}, "init_args": arguments},
                "required": ["class_path", "init_args"] if arguments.get("required") else ["class_path"],
                "additionalProperties": False,
            }
        )
    return schemas


def _any_class(base: str) -> Schema:
    return {
        "type": "object",
        "title": "a class of your own",
        "properties": {
            "class_path": {"type": "string", "pattern": ANY_CLASS, "description": f"A subclass of evo.{base}."},
            "init_args": {"type": "object", "description": "The arguments of its constructor by name."},
        },
        "required": ["class_path"],
        "additionalProperties": False,
    }


def _selections() -> list[str]:
    return [name for name in classes_in((evo.propagators,), (Propagator,)) if name.startswith("Select")]
