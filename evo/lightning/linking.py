"""Arguments that are taken from another part of a training, as LightningCLI's link_arguments does on instantiation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo.lightning.parts import Part
from evo.lightning.signatures import SectionError

_MISSING = object()
# Stands for the value of a link that is known only once the data module is set up.
_NEEDS_SETUP = object()


@dataclass(frozen=True)
class Link:
    """One argument that is taken from somewhere else.

    Args:
        source: The place of the value, with the name of its part before the first dot.
        target: The argument that gets it, in the same form.
    """

    source: str
    target: str

    @property
    def source_part(self) -> str:
        """The part that has the value."""
        return self.source.partition(".")[0]

    @property
    def target_part(self) -> str:
        """The part that gets it."""
        return self.target.partition(".")[0]

    @property
    def place(self) -> str:
        """The argument, within its part."""
        return self.target.partition(".")[2].removeprefix("init_args.")


def read_links(given: Mapping[str, Any] | None, parts: Collection[str]) -> list[Link]:
    """The links of a section.

    Args:
        given: The section, which maps each source to its target, or to a list of targets.
        parts: The names of all parts.

    Raises:
        SectionError: A link names no part, or model and data each wait for the other.
    """
    links = []
    for source, targets in (given or {}).items():
        links += [Link(str(source), str(target)) for target in (targets if isinstance(targets, list) else [targets])]
    for link in links:
        for what, of in (("source", link.source_part), ("target", link.target_part)):
            if of not in parts or (what == "target" and not link.place):
                raise SectionError(
                    f"link_arguments has the {what} {link.source if what == 'source' else link.target!r}: it must be "
                    f"a place in {', '.join(parts)}, for example data.num_classes: model.num_classes"
                )
    ways = {(link.source_part, link.target_part) for link in links}
    if ("model", "data") in ways and ("data", "model") in ways:
        raise SectionError(
            "link_arguments takes arguments of model from data, and of data from model: give one of the two"
        )
    return links


def comes_first(links: Sequence[Link]) -> str:
    """Which of model and data is made first."""
    return "model" if any((link.source_part, link.target_part) == ("model", "data") for link in links) else "data"


def linked_values(
    part: str,
    links: Sequence[Link],
    shares: Mapping[str, tuple[Part, Mapping[str, Any]]],
    made: Mapping[str, Any],
    set_up: Callable[[], object] | None,
) -> dict[str, Any] | None:
    """The arguments that a part takes from others, by their relative names.

    A value is an attribute of the other part, which its set-up may bring, or else an argument that it is made with.

    Args:
        part: The name of the part.
        links: All links.
        shares: The parts, with the parameters that each gets.
        made: What has been made already, by the names of its parts.
        set_up: Sets the data module up. None means that it is not to be set up.

    Returns:
        The arguments; None when one of them is known only after the set-up.

    Raises:
        SectionError: There is no such value.
    """
    values = {}
    for link in links:
        if link.target_part != part:
            continue
        value = _source_value(link, shares, made, set_up)
        if value is _NEEDS_SETUP:
            return None
        values[link.place] = value
    return values


def _source_value(
    link: Link,
    shares: Mapping[str, tuple[Part, Mapping[str, Any]]],
    made: Mapping[str, Any],
    set_up: Callable[[], object] | None,
) -> Any:
    first, _, place = link.source.partition(".")
    value = _find(made.get(first), place)
    if value is _MISSING:
        value = _argument(shares[first], place)
    if value is _MISSING and first == "data" and made.get(first) is not None:
        if set_up is not None:
            set_up()
            value = _find(made[first], place)
        elif _is_named_in(type(made[first]), place.partition(".")[0]):
            return _NEEDS_SETUP
    if value is _MISSING:
        thing = type(made[first]).__name__ if first in made else first
        raise SectionError(
            f"link_arguments takes {link.target} from {link.source}, but {thing} has neither an attribute nor an "
            f"argument {place!r}"
        )
    return value


def _is_named_in(owner: type, attribute: str) -> bool:
    """Whether the source of a class, or of a base of it, names this attribute, so that its set-up may bring it."""
    for each in owner.__mro__[:-1]:
        try:
            if f".{attribute}" in inspect.getsource(each):
                return True
        except (OSError, TypeError):
            return True  # There is no source, so it may.
    return False


def _find(thing: Any, place: str) -> Any:
    if thing is None:
        return _MISSING
    for step in place.split(".") if place else ():
        try:
            thing = thing[step] if isinstance(thing, Mapping) else getattr(thing, step)
        except (AttributeError, KeyError):
            return _MISSING
    return thing


def _argument(share: tuple[Part, Mapping[str, Any]], place: str) -> Any:
    part, params = share
    try:
        return part.value(params, place)
    except (KeyError, TypeError, IndexError):
        return _MISSING
