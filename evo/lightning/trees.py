"""Arguments as trees of plain values with `class_path` sections in them, and searched values put where they belong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evo.checks import nearest
from evo.lightning.signatures import SectionError, Takes, find_any, record_of, takes

CLASS_PATH, INIT_ARGS, DICT_KWARGS = "class_path", "init_args", "dict_kwargs"
_KEYS = (CLASS_PATH, INIT_ARGS, DICT_KWARGS)
_ALIKE = 0.8  # From this similarity on, a name is taken for a misspelt other one.


@dataclass
class Tree:
    """The arguments of a class, into which values are put.

    Args:
        name: The name of the part, for messages.
        owner: The class.
        arguments: The arguments that are fixed; they are not changed.
        dropped: A list that gets what was dropped because another class does not take it, in words.
    """

    name: str
    owner: Callable[..., Any]
    arguments: Mapping[str, Any]
    dropped: list[str] = field(default_factory=list)
    _searched: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self.arguments = copy.deepcopy(dict(self.arguments))

    def put(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with these parameters, by their relative names.

        Raises:
            SectionError: There is no such place, or its class takes no such argument.
        """
        self._searched = frozenset(f"{self.name}.{name}".replace(f".{INIT_ARGS}", "") for name in params)
        # Classes are put first, because the class of a section decides what can be put into it.
        for name in sorted(params, key=lambda name: (not name.endswith(CLASS_PATH), name.count("."))):
            steps = [step for step in name.split(".") if step not in (INIT_ARGS, DICT_KWARGS)]
            self._put(self.arguments, self.owner, steps, params[name], self.name)
        return dict(self.arguments)

    def _put(self, place: Any, owner: Callable[..., Any] | None, steps: Sequence[str], value: Any, above: str) -> None:
        step, *rest = steps
        where = f"{above}.{step}"
        if isinstance(place, list):
            if not step.isdecimal() or int(step) >= len(place):
                raise SectionError(f"{where} is searched, but {above} is a list of {len(place)}, counted from 0")
            key: Any = int(step)
        else:
            check_taken(owner, place, step, above)
            key = step
        if not rest:
            place[key] = value
        elif rest == [CLASS_PATH]:
            place[key] = self._with_class(place[key] if isinstance(place, list) else place.get(key), value, where)
        else:
            self._put_below(place, key, owner, rest, value, where)

    def _put_below(
        self, place: Any, key: Any, owner: Callable[..., Any] | None, rest: Sequence[str], value: Any, where: str
    ) -> None:
        below = place[key] if isinstance(place, list) else place.get(key)
        record = record_of(owner, key)
        if isinstance(below, str) and "." in below:
            below = {CLASS_PATH: below}
        elif isinstance(below, tuple):
            below = list(below)
        elif below is None and record is not None:
            below = {}
        if not isinstance(below, dict | list):
            raise SectionError(f"{where}.{'.'.join(rest)} is searched, but {where} is no section: give its class_path")
        place[key] = below
        if isinstance(below, list) or not is_section(below):
            self._put(below, record, rest, value, where)
            return
        inner = find_any(below[CLASS_PATH], where)
        is_searched = f"{where}.{CLASS_PATH}" in self._searched
        check_taken(inner, below, rest[0], where, class_is_searched=is_searched)
        known = takes(inner).names
        kind = DICT_KWARGS if rest[0] in (below.get(DICT_KWARGS) or {}) or rest[0] not in known else INIT_ARGS
        below[kind] = dict(below.get(kind) or {})
        self._put(below[kind], None if kind == DICT_KWARGS else inner, rest, value, where)

    def _with_class(self, section: Any, path: Any, where: str) -> Any:
        """A section with another class, and without the fixed arguments that this one does not take."""
        if path is None:
            return None
        section = section if is_section(section) else {}
        kept, dropped = keep_taken(section, path, where)
        self.dropped += dropped
        return kept


def keep_taken(section: Mapping[str, Any], path: Any, where: str) -> tuple[dict[str, Any], list[str]]:
    """A section with this class, without the fixed arguments that it does not take; and what was dropped, in words.

    Args:
        section: A section, or an empty mapping.
        path: The import path of the class.
        where: The place of the section, for messages.

    Raises:
        SectionError: There is no such class.
    """
    known = takes(find_any(path, f"{where}.{CLASS_PATH}"))
    if section.get(CLASS_PATH) in (None, path):
        return {**section, CLASS_PATH: path}, []
    given = section.get(INIT_ARGS) or {}
    lost = [name for name in given if name not in known]
    kept = {CLASS_PATH: path, INIT_ARGS: {name: value for name, value in given.items() if name not in lost}}
    return kept, [f"{where}.{name}, which {path} does not take" for name in lost]


def is_section(value: Any) -> bool:
    """Whether a value is a mapping that names a class."""
    return isinstance(value, Mapping) and CLASS_PATH in value


def has_section(value: Any) -> bool:
    """Whether there is a section in a value, at any depth."""
    if isinstance(value, Mapping):
        return is_section(value) or any(map(has_section, value.values()))
    return isinstance(value, list | tuple) and any(map(has_section, value))


def is_plain_tree(value: Any) -> bool:
    """Whether a value could stand in a YAML file."""
    if isinstance(value, Mapping):
        return all(map(is_plain_tree, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain_tree, value))
    return value is None or type(value) in (str, int, float, bool)


def for_parser(value: Any, where: str) -> Any:
    """A value as jsonargparse takes it: full import paths in its sections, and no empty arguments.

    Raises:
        SectionError: A section has an argument that its class does not take.
    """
    if isinstance(value, list | tuple):
        return type(value)(for_parser(each, f"{where}.{number}") for number, each in enumerate(value))
    if not isinstance(value, Mapping):
        return value
    if not is_section(value):
        return {name: for_parser(each, f"{where}.{name}") for name, each in value.items()}
    try:
        owner = find_any(value[CLASS_PATH], where)
    except SectionError:
        return value  # It may mean something else to the class that takes it; otherwise jsonargparse refuses it.
    path = value[CLASS_PATH]
    made: dict[str, Any] = {
        CLASS_PATH: path if "." in path and ":" not in path else f"{owner.__module__}.{owner.__qualname__}"
    }
    for kind in (INIT_ARGS, DICT_KWARGS):
        for name, each in (value.get(kind) or {}).items():
            if kind == INIT_ARGS:
                check_fixed(owner, name, where)
            made.setdefault(kind, {})[name] = for_parser(each, f"{where}.{name}")
    return made | {name: each for name, each in value.items() if name not in _KEYS}


def check_fixed(owner: Callable[..., Any], name: str, above: str) -> None:
    """Make sure that a class takes an argument that stands in its section.

    Args:
        owner: The class.
        name: The name of the argument.
        above: Where the section stands, for messages.

    Raises:
        SectionError: The class does not take it.
    """
    known = takes(owner)
    if name not in known:
        raise SectionError(
            f"{above} has the argument {name!r}, which {_title(owner)} does not take. It takes: "
            f"{known}.{_did_you_mean(known, name, above)}"
        )


def check_taken(
    owner: Callable[..., Any] | None,
    place: Mapping[str, Any],
    name: str,
    above: str,
    *,
    class_is_searched: bool = False,
) -> None:
    """Make sure that a class takes an argument that is searched.

    A mapping without a class takes any argument but one that is nearly the name of another one in it.

    Args:
        owner: The class. None means that there is none.
        place: The section of the class, or the mapping.
        name: The name of the argument.
        above: Where the section or the mapping stands, for messages.
        class_is_searched: Whether the class is searched as well.

    Raises:
        SectionError: The class does not take it, or the mapping has another one of nearly that name.
    """
    where = f"{above}.{name}"
    if owner is None:
        if alike := nearest(name, place, _ALIKE):
            raise SectionError(
                f"{where} is searched, but {above} has {', '.join(place)}: did you mean {alike}? A new one has to "
                f"stand in {above} with some value"
            )
        return
    known = takes(owner)
    if name in known:
        return
    path = place.get(CLASS_PATH)
    only = f", or limit it to classes that take it: when: {{{above}.{CLASS_PATH}: …}}" if class_is_searched else ""
    raise SectionError(
        f"No constructor takes {where!r}. {path or _title(owner)} takes: {known}.{_did_you_mean(known, name, above)} "
        f"Rename it in the limits, or add it to the constructor{only}."
    )


def _title(owner: Callable[..., Any]) -> str:
    return getattr(owner, "__name__", str(owner))


def _did_you_mean(known: Takes, name: str, above: str) -> str:
    alike = nearest(name, known.names)
    return f" Did you mean {above}.{alike}?" if alike else ""
