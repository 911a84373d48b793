"""What the constructors of a module and a data module take, by their signatures."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import lightning as L
from lightning.pytorch.utilities.types import LRSchedulerTypeTuple
from torch import nn, optim
from torch.optim import Optimizer

from evo.errors import UserError
from evo.frames import representation
from evo.lightning.blueprint import has_own_loaders
from evo.lightning.signatures import TakenArgument, arguments_of, find_any, hints_of, takes
from evo.lightning.trees import is_plain_tree
from evo.objective.facts import ArgumentFact, ArgumentKind, ClassFacts, MakerFact
from evo.objective.references import find_class
from evo.space.values import why_no_value

_PLAIN: dict[Any, ArgumentKind] = {bool: "bool", int: "int", float: "float", str: "str"}
_LONGEST = 60  # Characters that are shown of a type or a default.
_DEEPEST = 3  # Levels of dataclasses within dataclasses.


def describe_class(path: str, kind: str) -> ClassFacts:
    """What a class takes.

    Args:
        path: The name of the class: module.Class, or path/to/file.py:Class.
        kind: "model" or "data".

    Raises:
        UserError: There is no such class, or it is of another kind.
    """
    if "." not in path and ":" not in path:
        find_class(path, kind)  # Classes of the user's have no short names.
    owner: Any = find_any(path, kind)
    wanted = L.LightningModule if kind == "model" else L.LightningDataModule
    if isinstance(owner, type) and not issubclass(owner, wanted):
        raise UserError(_why_no_class(owner, wanted, path, kind))
    is_module = isinstance(owner, type) and kind == "model"
    return ClassFacts(
        path=path,
        arguments=list(_arguments(owner)),
        has_optimizer=not is_module or owner.configure_optimizers is not L.LightningModule.configure_optimizers,
        has_loaders=not is_module or has_own_loaders(owner),
    )


def _why_no_class(owner: type, wanted: type, path: str, kind: str) -> str:
    others = {"model": L.LightningDataModule, "data": L.LightningModule}
    if issubclass(owner, others[kind]):
        swapped = "--data names it" if kind == "model" else "it comes first, without --data"
        return f"{kind} {path} is a {others[kind].__name__}: {swapped}"
    foreign = [each.__module__ for each in owner.__mro__ if each.__name__ == wanted.__name__]
    if foreign:
        return f"{kind} {path} is a {wanted.__name__} of {foreign[0].partition('.')[0]}: import lightning instead"
    return f"{kind} {path} is no {wanted.__name__}: name a class that is one"


def _arguments(owner: Callable[..., Any]) -> Iterator[ArgumentFact]:
    for each in arguments_of(owner):
        yield from _facts(each, _DEEPEST)


def _facts(argument: TakenArgument, depth: int, is_off: bool = False) -> Iterator[ArgumentFact]:
    name, hint, default = argument.name, argument.hint, argument.default
    is_needed = _is_nothing(default)
    inner, optional = _without_none(hint)
    if dataclasses.is_dataclass(inner) and isinstance(inner, type) and depth:
        for field in _fields(inner, default):
            inside = dataclasses.replace(field, name=f"{name}.{field.name}")
            yield from _facts(inside, depth - 1, is_off or default is None)
        return
    kind, choices = _kind(inner, default)
    value, shown = (None, "") if is_needed else _plain(default)
    yield ArgumentFact(
        name=name,
        kind=kind,
        hint=_hint_text(hint),
        needed=is_needed,
        default=value,
        shown=shown,
        choices=choices,
        optional=optional or default is None,
        is_off=is_off,
        maker=_maker(default) if kind == "optimizer" else None,
    )


def _fields(record: Any, default: Any) -> Iterator[TakenArgument]:
    """The fields of a dataclass that its constructor takes, with the values of a default that is one."""
    known = default if dataclasses.is_dataclass(default) and not isinstance(default, type) else None
    hints = hints_of(record)
    for field in dataclasses.fields(record):
        if field.init:
            value = getattr(known, field.name, _field_default(field)) if known is not None else _field_default(field)
            yield TakenArgument(field.name, hints.get(field.name, field.type), value)


def _maker(default: Any) -> MakerFact | None:
    """The class of an optimizer that is a default."""
    is_class: bool = isinstance(default, type) and issubclass(default, Optimizer)
    if not is_class:
        return None
    is_short = getattr(optim, default.__name__, None) is default
    path = f"torch.optim.{default.__name__}" if is_short else f"{default.__module__}.{default.__qualname__}"
    return MakerFact(path=path, names=list(takes(default).names))


def _is_nothing(default: Any) -> bool:
    return default is inspect.Parameter.empty or default is dataclasses.MISSING


def _field_default(field: Any) -> Any:
    if field.default_factory is dataclasses.MISSING:
        return field.default
    try:
        return field.default_factory()
    except Exception:
        return field.default_factory  # It may need what is there in a training only; its name is shown.


def _without_none(hint: Any) -> tuple[Any, bool]:
    """A type without None, and whether None was there; of several types a list of plain ones is one of these."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    members = [each for each in typing.get_args(hint) if each is not type(None)]
    optional = len(members) < len(typing.get_args(hint))
    if len(members) == 1:
        return _without_none(members[0])[0], optional
    if set(members) == {int, float}:
        return float, optional
    kinds = [each for each in members if _is_maker_of(each, Optimizer) or _is_maker_of(each, LRSchedulerTypeTuple)]
    return (kinds[0] if kinds else hint), optional


def _kind(hint: Any, default: Any) -> tuple[ArgumentKind, list[Any]]:
    if hint is inspect.Parameter.empty or hint is Any:
        hint = type(default)  # Without a type, the default tells what is meant.
    if typing.get_origin(hint) is typing.Literal:
        return "choice", [value for value in typing.get_args(hint) if value is not None]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "choice", [member.name for member in hint]
    if hint in _PLAIN:
        return _PLAIN[hint], []
    if isinstance(hint, type) and issubclass(hint, int | float | str):
        return _PLAIN[next(each for each in (bool, int, float, str) if issubclass(hint, each))], []
    if _is_maker_of(hint, Optimizer):
        return "optimizer", []
    if any(_is_maker_of(hint, each) for each in LRSchedulerTypeTuple) or _is_union_of_schedulers(hint):
        return "scheduler", []
    if isinstance(hint, type) and issubclass(hint, nn.Module):
        return "module", []
    is_class = isinstance(hint, type) and typing.get_origin(hint) is None and hint.__module__ != "builtins"
    return ("class" if is_class and not isinstance(default, Mapping | list | tuple) else "other"), []


def _is_maker_of(hint: Any, made: Any) -> bool:
    """Whether a type is that of a function that makes something of a class."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is not collections.abc.Callable or len(arguments) < 2:
        return False
    result = arguments[-1]
    return isinstance(result, type) and issubclass(result, made)


def _is_union_of_schedulers(hint: Any) -> bool:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is not collections.abc.Callable or not arguments:
        return False
    members = typing.get_args(arguments[-1])
    return any(isinstance(each, type) and issubclass(each, LRSchedulerTypeTuple) for each in members)


def _plain(default: Any) -> tuple[Any, str]:
    """A default as YAML can hold it, or else as text."""
    if isinstance(default, enum.Enum):
        return default.name, ""
    if isinstance(default, tuple):
        default = list(default)
    if is_plain_tree(default) and not why_no_value(default):
        return default, ""
    if isinstance(default, int | float):
        return None, _shortened(representation(default))
    name = getattr(default, "__qualname__", None) if isinstance(default, type) or callable(default) else None
    return None, _shortened(str(name or type(default).__name__))


def _hint_text(hint: Any) -> str:
    if hint is inspect.Parameter.empty:
        return ""
    text = (
        hint.__name__
        if isinstance(hint, types.ModuleType) or (isinstance(hint, type) and typing.get_origin(hint) is None)
        else str(hint)
    )
    return _shortened(re.sub(r"(?:\w+\.)+(\w+)", r"\1", text))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
