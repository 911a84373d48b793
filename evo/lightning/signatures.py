"""What classes take by name, found by their import paths."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from evo.errors import UserError
from evo.frames import cut_off
from evo.objective.references import find_class

_LONGEST = 400  # Characters that are shown of a message that lists what a module has.


class SectionError(UserError):
    """Something is wrong in a section; the message has the place."""


@dataclass(frozen=True)
class TakenArgument:
    """One argument that a class, or a function that makes something, takes by name.

    Args:
        name: Its name.
        hint: Its type; `inspect.Parameter.empty` where it has none.
        default: Its default, in the same way.
    """

    name: str
    hint: Any
    default: Any


@dataclass(frozen=True)
class Takes:
    """What a class, or a function that makes something, takes by name.

    Args:
        names: The parameters that are known.
        needs: The parameters without a default.
        any_other: Whether it takes others as well.
    """

    names: Sequence[str]
    needs: Collection[str]
    any_other: bool

    def __contains__(self, name: str) -> bool:
        return self.any_other or name in self.names

    def __str__(self) -> str:
        return ", ".join(self.names) or "none"


@cache
def takes(owner: Callable[..., Any]) -> Takes:
    """What a class or function takes by name, including through `**kwargs` that it hands on."""
    try:
        signature = inspect.signature(owner).parameters.values()
    except (TypeError, ValueError):
        return Takes((), (), any_other=True)  # Compiled code may have no signature.
    own = [each for each in signature if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    names = [each.name for each in own]
    any_other = any(each.kind is each.VAR_KEYWORD for each in signature)
    if any_other and isinstance(owner, type):
        resolved = _resolved(owner)
        any_other = set(resolved) <= set(names)
        names += [name for name in resolved if name not in names]
    hidden = given_by_caller(owner)
    needs = [each.name for each in own if each.default is each.empty and each.name not in hidden]
    return Takes([name for name in names if name not in hidden], needs, any_other)


def _resolved(owner: type) -> dict[str, Any]:
    """The arguments behind `**kwargs` too, as jsonargparse finds them, with their defaults."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    try:
        added = parser.add_class_arguments(owner, "made", fail_untyped=False)
        defaults = parser.get_defaults()
    except Exception:
        return {}  # Only what the signature itself names is known then.
    # The fields of a dataclass are added with its name before theirs.
    return {name.split(".")[1]: defaults.get(".".join(name.split(".")[:2])) for name in added if "." in name}


def arguments_of(owner: Callable[..., Any]) -> list[TakenArgument]:
    """What `takes` finds, with types and defaults."""
    found: list[TakenArgument] = []
    declared = [_declared(each) for each in ([*owner.__mro__] if isinstance(owner, type) else [owner])]
    resolved: dict[str, Any] | None = None
    for name in takes(owner).names:
        one = next((each[name] for each in declared if name in each), None)
        if one is None:  # It is handed on to something else than a parent.
            resolved = _resolved(owner) if resolved is None and isinstance(owner, type) else resolved or {}
            one = TakenArgument(name, inspect.Parameter.empty, resolved.get(name))
        found.append(one)
    return found


def _declared(owner: Callable[..., Any]) -> dict[str, TakenArgument]:
    """The arguments in a function's own signature, or in that of a class's own `__init__`."""
    function = vars(owner).get("__init__") if isinstance(owner, type) else owner
    if function is None:
        return {}
    try:
        signature = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    hints = hints_of(function)
    own = [each for each in signature if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return {each.name: TakenArgument(each.name, hints.get(each.name, each.annotation), each.default) for each in own}


def hints_of(owner: Callable[..., Any]) -> dict[str, Any]:
    """The types of a function's arguments, or of the fields of a class; none where they cannot be read."""
    try:
        return get_type_hints(owner)
    except Exception:
        return {}  # Some hints can be read by a type checker only.


def given_by_caller(owner: Callable[..., Any]) -> set[str]:
    """The arguments that the caller gives, and a section therefore does not have."""
    from lightning.pytorch.utilities.types import LRSchedulerTypeTuple
    from torch.optim import Optimizer

    if not isinstance(owner, type):
        return set()
    if issubclass(owner, Optimizer):
        return {"params"}
    return {"optimizer"} if issubclass(owner, LRSchedulerTypeTuple) else set()


def find_any(path: Any, where: str) -> Callable[..., Any]:
    """A class, or a function that makes something, by its import path or by the short name that jsonargparse allows.

    Args:
        path: What a section has as its path.
        where: The place of the section, for messages.

    Raises:
        SectionError: There is no such class or function.
    """
    if not isinstance(path, str):
        raise SectionError(f"{where} has the class_path {path!r}: give an import path")
    if "." not in path and ":" not in path and (short := _by_short_name(path)):
        return short
    try:
        found = find_class(path, where)
    except UserError as error:
        raise SectionError(cut_off(str(error), _LONGEST)) from error
    if not callable(found):
        raise SectionError(f"{where} has the class_path {path!r}, which is a {type(found).__name__} and no class")
    return found  # type: ignore[no-any-return]


def _by_short_name(name: str) -> type | None:
    import lightning as L
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.profilers import Profiler
    from torch import nn, optim

    waiting: list[type] = [nn.Module, L.LightningDataModule, L.Callback, Logger, Profiler]
    waiting += [optim.Optimizer, optim.lr_scheduler.LRScheduler]
    seen: set[type] = set()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += one.__subclasses__()
    found = [one for one in seen if one.__name__ == name]
    return found[0] if len(found) == 1 else None


def record_of(owner: Callable[..., Any] | None, name: Any) -> Callable[..., Any] | None:
    """The dataclass that a parameter's type hint names, whose fields may be given as a mapping."""
    if owner is None:
        return None
    hint = hints_of(inspect.getattr_static(owner, "__init__") if isinstance(owner, type) else owner).get(name)
    kinds = (hint, *getattr(hint, "__args__", ()))
    return next((each for each in kinds if isinstance(each, type) and hasattr(each, "__dataclass_fields__")), None)
