"""What an objective is made of, by which a run directory knows it again."""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evo.errors import UserError
from evo.objective.differences import CODE, brief, differences, json_of, same_name, shortened
from evo.objective.identity import Describer, module_name
from evo.objective.imports import find_module, survey
from evo.objective.places import Place, digest_of, find_place, is_local
from evo.objective.references import Named, Reference
from evo.objective.sources import by_version, code_of_used, file_of
from evo.space.constraints import is_function
from evo.texts import as_path, readable

ADVICE = "choose another directory with --run-dir, or repeat the same command"
_MOST_SHOWN = 3  # The number of differences that one message shows.
_MOST_REMEMBERED = 8
_CARRYING = " which carries "  # Stands in the record of a constraint between a function's text and what it carries.
_LONGEST_CARRIED = 400


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What an objective is made of, beside its name.

    Args:
        file: The file in which it is defined. Empty means that this is no file of the user's.
        settings: What the objective carries with it, see `evo.objective.identity`. Empty means that this is unknown.
        sources: A digest of the code of each of the user's modules that it may run, by name.
        constants: The values of the global names that its functions read.
        rules: A digest of the code of each of the user's modules that only constraints, propagators, selections or
            the pruner may run, by name. A later session may have others of these than an earlier one.
    """

    file: str = ""
    settings: dict[str, Any] = {}
    sources: dict[str, str] = {}
    constants: dict[str, Any] = {}
    rules: dict[str, str] = {}


def canonical_name(objective: Callable[..., Any] | Named) -> str:
    """An objective's name in the study's record, the same from every directory and for every way of writing it."""
    if isinstance(objective, Reference):
        return objective.canonical
    if isinstance(objective, Named):
        return str(objective)
    named = objective if hasattr(objective, "__qualname__") else type(objective)
    return ":".join(filter(None, (module_name(named.__module__)[0], named.__qualname__)))


def define(objective: Callable[..., Any] | Named, loaded: Any = None) -> Definition:
    """What an objective is made of; call this before its first evaluation, which may change an instance.

    Args:
        objective: The objective, or a reference to it.
        loaded: The object that a reference stands for, if it is loaded in this process.
    """
    if not isinstance(objective, Named):
        return _define_object(objective)
    if not isinstance(objective, Reference):
        places = [place for path in _class_paths(json.loads(str(objective))) if (place := _place_of(path))]
        return Definition(sources=_as_text(survey(places).digests))
    place = objective.where()
    if place is None or not is_local(place.file):
        return Definition()
    seen = Definition() if loaded is None else _define_object(loaded)
    sources = {**seen.sources, **_as_text(survey([place]).digests)}
    return msgspec.structs.replace(seen, file=readable(str(place.file.resolve())), sources=sources)


def with_rules(definition: Definition, rules: Sequence[Any]) -> Definition:
    """The definition of an objective, with the code of what a search goes by beside it.

    Args:
        definition: The definition.
        rules: Constraints, propagators, what makes selections, a pruner. Only the user's own classes and functions
            count.
    """
    describer = Describer()
    for rule in rules:
        describer.describe(rule)
    sources = _as_text(code_of_used(describer.used)[0])
    own = {name: code for name, code in sources.items() if name not in definition.sources}
    return msgspec.structs.replace(definition, rules=own)


def settings_of(objective: Callable[..., Any]) -> dict[str, Any]:
    """What a loaded objective depends on, short enough for a record."""
    return _short(Describer().describe(objective))


def describe_constraints(texts: Sequence[str], carried: Sequence[str]) -> list[str]:
    """The texts of constraints for a record, those of functions with what these carry."""
    return [f"{text}{_CARRYING}{state}" if state else text for text, state in zip(texts, carried, strict=True)]


def carried_by(constraints: Any) -> list[str]:
    """What each function among constraints carries, as JSON: attributes, arguments, a lambda's code.

    Call this before any of them is called, which may change an instance.

    Args:
        constraints: The constraints as settings give them. The text is empty for an expression, and for a function
            without values of its own.
    """
    given = constraints if isinstance(constraints, list | tuple) else [] if constraints is None else [constraints]
    return [_carried(each) if callable(each) else "" for each in given]


def is_same_constraint(one: str, other: str) -> bool:
    """Whether two records describe the same constraint."""
    (name, _, carried), (other_name, _, other_carried) = one.partition(_CARRYING), other.partition(_CARRYING)
    if name != other_name or not is_function(one) or not (carried or other_carried):
        return one == other
    trees = [json.loads(text) if text else {} for text in (carried, other_carried)]
    return not list(differences(*trees))


def _carried(function: Callable[..., Any]) -> str:
    tree = Describer().describe(function)
    return "" if set(tree) == {"function"} else json_of(shortened(tree, _LONGEST_CARRIED))


def check_same(where: str, recorded: tuple[str, Definition], asked: tuple[str, Definition]) -> None:
    """Make sure that an objective is the one that a run directory has recorded.

    Args:
        where: What has recorded the objective; the message begins with it.
        recorded: The recorded name and definition. An older evo may have spelt the same name differently.
        asked: The name and the definition of the objective that is to go on.

    Raises:
        UserError: It is another one; the message says in what they differ.
    """
    (old_name, old), (new_name, new) = recorded, asked
    if old_name.startswith("{") and new_name.startswith("{"):
        found = differences(_with_module_names(json.loads(old_name)), _with_module_names(json.loads(new_name)))
        _refuse(where, "its training", list(found))
    elif not _is_same_name(old_name, new_name, old.file, new.file):
        raise UserError(f"{where}: its objective is {old_name}, not {new_name}; {ADVICE}")
    if new.file and old.file and as_path(old.file).is_file() and not _is_same_code(old.file, new.file):
        raise UserError(f"{where}: its objective {new_name} is that of {old.file}, not of {new.file}; {ADVICE}")
    if old.settings and new.settings:
        found = differences(old.settings, new.settings)
        edited = old.sources != new.sources and not new_name.endswith("<lambda>")
        # Other code of an unnamed function may be the same function, edited; other sources say that it was.
        real = [each for each in found if not (edited and each[0].rpartition(".")[2] == CODE)]
        _refuse(where, f"its objective {new_name}", real)


def code_changes(old: Definition, new: Definition) -> list[str]:
    """What has changed in the code of an objective, and in the global values that it reads."""
    if not old.sources:
        return []  # An older evo recorded it, or it is in none of the user's modules.
    found = differences(by_version(old.sources), by_version(new.sources))
    names = sorted({path.partition("\n")[0] for path, before, now in found})
    values = [
        f"{name} (it was {brief(old.constants[name])}, it is {brief(value)})"
        for name, value in new.constants.items()
        if name in old.constants and old.constants[name] != value
    ]
    return [file_of(name, new.file) for name in names] + values


def rule_changes(old: Definition, new: Definition) -> list[str]:
    """What has changed in the code of constraints, propagators, selections and the pruner that both have."""
    before, now = by_version(old.rules), by_version(new.rules)
    both = before.keys() & now.keys()
    found = differences({name: before[name] for name in both}, {name: now[name] for name in both})
    return [file_of(name, new.file) for name in sorted({path.partition("\n")[0] for path, _, _ in found})]


class _Memory:
    """How evaluations in this process have changed objectives, since such a change is not the user's doing."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, Definition, dict[str, Any]]] = []

    def as_given(self, objective: Any, definition: Definition) -> Definition:
        """Its definition before it was first evaluated, if nothing else has changed it since."""
        for known, before, after in self._known:
            if _is_same_object(known, objective) and after == definition.settings:
                return msgspec.structs.replace(definition, settings=before.settings)
        return definition

    def remember(self, objective: Any, before: Definition) -> None:
        """Note what a session has changed in an objective."""
        after = settings_of(objective)
        if after != before.settings:
            others = [entry for entry in self._known if not _is_same_object(entry[0], objective)]
            self._known = [*others, (objective, before, after)][-_MOST_REMEMBERED:]


memory = _Memory()


def _define_object(objective: Callable[..., Any]) -> Definition:
    describer = Describer()
    tree = describer.describe(objective)
    sources, constants = code_of_used(describer.used)
    file = module_name(_primary(objective).__module__)[1]
    own = readable(str(file.resolve())) if file is not None and is_local(file) else ""
    definition = Definition(file=own, settings=_short(tree), sources=_as_text(sources), constants=_short(constants))
    return memory.as_given(objective, definition)


def _short(tree: Any) -> dict[str, Any]:
    short = _as_text(shortened(tree))
    return short if isinstance(short, dict) else {"value": short}


def _as_text(tree: Any) -> Any:
    """A tree whose names and texts JSON can hold, in the form that they have under any locale."""
    if isinstance(tree, str):
        return readable(tree)
    if isinstance(tree, Mapping):
        return {_as_text(name): _as_text(value) for name, value in tree.items()}
    return [_as_text(each) for each in tree] if isinstance(tree, list | tuple) else tree


def _primary(objective: Any) -> Any:
    """The function or class that an objective comes from."""
    while isinstance(objective, functools.partial):
        objective = objective.func
    return objective if hasattr(objective, "__qualname__") else type(objective)


def _is_same_object(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, types.MethodType) and one == other)


def _is_same_name(old: str, new: str, old_file: str, new_file: str) -> bool:
    if old == new:
        return True
    old_place, _, old_function = old.rpartition(":")
    new_place, _, new_function = new.rpartition(":")
    if old_function != new_function:
        return False
    if not old_place.endswith(".py"):
        # The module of a notebook is unknown, and so is that of a script which an older evo has recorded.
        return not old_place or not new_place or (not (old_file and new_file) and same_name(old_place, new_place))
    # An older evo has recorded the path as it was given.
    if as_path(old_place).is_file():
        is_named_so = Reference(old_place, old_function).canonical == new
        return is_named_so and (not new_file or _is_same_code(old_place, new_file))
    steps, now = Path(old_place).with_suffix("").parts, Path(new_file).with_suffix("").parts
    return now[-len(steps) :] == steps or (Path(old_place).is_absolute() and same_name(".".join(steps[1:]), new_place))


def _is_same_code(one: str, other: str) -> bool:
    files = as_path(one).resolve(), as_path(other).resolve()
    return files[0] == files[1] or digest_of(files[0]) == digest_of(files[1])


def _refuse(where: str, what: str, found: list[tuple[str, Any, Any]]) -> None:
    if found:
        told = [_told(path, before, now) for path, before, now in found[:_MOST_SHOWN]]
        more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
        raise UserError(f"{where}: {what} differs: {'; '.join(told)}{more}; {ADVICE}")


def _told(path: str, before: Any, now: Any) -> str:
    above, _, last = path.rpartition(".")
    if last == CODE:
        return f"{above or 'it'} has different code"
    return f"{path or 'it'} was {brief(before)} and is {brief(now)}"


def _class_paths(tree: Any, key: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _class_paths(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from _class_paths(value)
    elif isinstance(tree, str) and key in ("class_path", "model", "data"):
        yield tree


def _place_of(path: str) -> Place | None:
    """Where the module of a class stands, if it is one of the user's."""
    place = path.rpartition(":" if ":" in path else ".")[0]
    if place.endswith(".py"):
        return find_place(Path(place)) if Path(place).is_file() else None
    file = find_module(place) if all(place.split(".")) else None
    return find_place(file) if file is not None and file.suffix == ".py" and is_local(file) else None


def _with_module_names(tree: Any, key: str = "") -> Any:
    """Sections in which every class has one name, whether it was given by a file or by a module."""
    if isinstance(tree, dict):
        return {name: _with_module_names(value, name) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_with_module_names(value) for value in tree]
    if isinstance(tree, str) and key in ("class_path", "model", "data"):
        place, name = _place_of(tree), tree.rpartition(":" if ":" in tree else ".")[2]
        return f"{place.name}.{name}" if place else tree.replace(":", ".")
    return tree
