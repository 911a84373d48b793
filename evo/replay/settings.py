"""What decides how individuals are bred in a session, as the journal of worker 0 records it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from evo.algorithms.base import Algorithm
from evo.algorithms.portfolio import Portfolio
from evo.errors import UserError
from evo.frames import is_made_by_evo
from evo.propagators import Propagator
from evo.pruning import Pruner
from evo.space.values import Params, plain

_CLASS_PATH = "class_path"


class HowToBreed(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the individuals of one island are bred.

    Args:
        setting: The propagator as a study file names it. None means an object that no text stands for.
        defaults: Parameters for ready propagators that take them and are not given them in `setting`.
    """

    setting: Any = None
    defaults: dict[str, Any] = {}


class RecordedSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What decides how individuals are bred in a session, besides the budget, which `Joined` has.

    Args:
        islands: The number of workers of each island.
        breeding: How the individuals of each island are bred.
        pruning: The pruner as a study file names it. None means an object that no text stands for.
        allow_duplicates: Whether a point may be tried twice.
        start: The points that are tried first.
        former: The number of times that the limits of the study had changed before.
        constraints: The constraints; a function is recorded with its name and a description of it.
        migration: How individuals travel between islands, as a study file says it, with the probability that holds;
            empty with one island, and in journals of an earlier version. A replay reads the travels themselves.
    """

    islands: list[int]
    breeding: list[HowToBreed]
    pruning: Any = "none"
    allow_duplicates: bool = False
    start: list[Params] = []
    former: int = 0
    constraints: list[str] = []
    migration: dict[str, Any] = {}


def read_settings(recorded: Mapping[str, Any]) -> RecordedSettings:
    """The settings that a `Joined` holds.

    Raises:
        UserError: They are damaged, or those of another version of evo.
    """
    try:
        return msgspec.convert(recorded, RecordedSettings)
    except msgspec.ValidationError as error:
        raise UserError(f"the settings of a session are not as this evo records them: {error}") from None


def in_words(policy: Any) -> Any:
    """A propagator, an algorithm or a pruner as a study file names it.

    Args:
        policy: Such an object, or what a study file says already.

    Returns:
        What JSON can hold; None where no text stands for it, as for an object of a class of the user's own.

    Example:
        >>> from evo.propagators import SelectMin
        >>> in_words(SelectMin(3))
        {'class_path': 'evo.propagators.selection.SelectMin', 'init_args': {'count': 3}}
    """
    try:
        return _in_words(policy)
    except _WordlessError:
        return None


class _WordlessError(Exception):
    """No text stands for an object."""


def _in_words(value: Any) -> Any:
    value = plain(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _in_words(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_in_words(part) for part in value]
    kind = type(value)
    is_known = isinstance(value, Propagator | Algorithm | Pruner) and is_made_by_evo(kind) and is_dataclass(kind)
    if not is_known or not kind.__qualname__.isidentifier():
        raise _WordlessError
    arguments = {one.name: _in_words(getattr(value, one.name)) for one in fields(kind) if one.init}
    if kind is Portfolio:  # Its members are made from a text only where it is called by its name.
        return {"name": "portfolio", **arguments}
    return {_CLASS_PATH: f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}


def named_classes(setting: Any) -> Iterator[str]:
    """The classes that are not evo's own and that a setting names, at any depth; making it would run their code."""
    waiting = [setting]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            path = one.get(_CLASS_PATH)
            if isinstance(path, str) and "." in path and not path.startswith("evo."):
                yield path
            waiting += one.values()
        elif isinstance(one, Sequence) and not isinstance(one, str):
            waiting += one
