"""What YAML reads as something else than was written: off as false, 1:30 as ninety, 010 as eight.

This is checked only where values are searched and recorded: in limits, and in points within them. The rest of a study
file is read as YAML reads it, but no name may stand twice in one mapping, of which YAML would take the last one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from evo.errors import UserError
from evo.texts import as_path

Node: TypeAlias = Any
"""Of `yaml.compose`."""

SECTIONS = ("limits", "start_from", "baseline")
"""Where a study file holds values."""

_WORDS = re.compile("true|false", re.IGNORECASE)
_NULL = re.compile("null", re.IGNORECASE)


def check_values(text: str, path: Sequence[str] = (), what: str = "limits") -> None:
    """Refuse values that YAML reads as something else than was written.

    Args:
        text: The text of a YAML file, or of an option that holds YAML.
        path: The keys of the mappings that lead to the values, which may lead nowhere.
        what: What the text is, for the message.

    Raises:
        UserError: YAML reads such a value; the message says where, what it reads, and how to write either meaning.

    Example:
        >>> check_values("{bias: [on, off]}")
        Traceback (most recent call last):
        UserError: limits: 'bias' holds on, which YAML reads as true: write "on" for the text, or true
    """
    node = _compose(text)
    for key in path:
        node = next((value for name, value in _items(node) if getattr(name, "value", None) == key), None)
    if node is None or node.id == "scalar":
        return
    if twice := _twice(node):
        raise UserError(f"{what}: {twice}")
    for name, place, scalar in _scalars(node, (), True):
        if problem := _problem(scalar):
            where = f"{what}: {name!r} holds" if place else f"{what}: a name is written"
            raise UserError(f"{where} {problem}")


def check_study_file(file: str) -> None:
    """Refuse names that a study file has twice, and call `check_values` for all of its sections that hold values.

    A file that cannot be read is left alone.
    """
    try:
        text = as_path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    node = _compose(text)
    if node is not None and (twice := _twice(node)):
        raise UserError(f"study file {file}: {twice}")
    for section in SECTIONS:
        check_values(text, [section], f"study file {file}, {section}")


def check_options(arguments: Sequence[str]) -> None:
    """Call `check_values` for the options of a command line that hold values, or name a study file."""
    for section in SECTIONS:
        for text in _given(f"--{section.replace('_', '-')}", arguments):
            check_values(text, what=f"--{section.replace('_', '-')}")
    for file in _given("--config", arguments):
        check_study_file(file)


def _given(option: str, arguments: Sequence[str]) -> list[str]:
    """What an option is given on a command line."""
    following = [after for argument, after in itertools.pairwise(arguments) if argument == option]
    joined = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{option}=")]
    return following + joined


def _compose(text: str) -> Node:
    """The text as YAML sees it; None when it is not YAML, which its loading will refuse."""
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _items(node: Node) -> list[tuple[Node, Node]]:
    return list(node.value) if node is not None and node.id == "mapping" else []


def _scalars(
    node: Node, names: tuple[str, ...], is_value: bool, above: tuple[Node, ...] = ()
) -> Iterator[tuple[str, bool, Node]]:
    """All scalars: the parameter to which each belongs, whether it is a value of it, and itself."""
    if any(node is each for each in above):
        return  # It is an alias of what it stands in, which is refused later.
    above = (*above, node)
    if node.id == "scalar":
        yield (names[0] if names else "the list"), is_value, node
    elif node.id == "sequence":
        for each in node.value:
            yield from _scalars(each, names, is_value, above)
    else:
        for name, value in node.value:
            yield from _scalars(name, names, bool(names), above)
            yield from _scalars(value, names or (str(name.value),), True, above)


def _twice(node: Node, above: tuple[Node, ...] = ()) -> str:
    """A name that one mapping has twice, as a sentence; empty when there is none."""
    if node.id == "scalar" or any(node is each for each in above):
        return ""
    above = (*above, node)
    if node.id == "sequence":
        return next(filter(None, (_twice(each, above) for each in node.value)), "")
    names = [name.value for name, _ in node.value if name.id == "scalar"]
    for place, name in enumerate(names):
        if name in names[:place] and name != "<<":
            line = node.value[place][0].start_mark.line + 1
            return f"{name!r} is written twice, again in line {line}: YAML takes the last one; name it once"
    return next(filter(None, (_twice(value, above) for _, value in node.value)), "")


def _problem(scalar: Node) -> str:
    """What is wrong with how a scalar is written; empty when nothing is."""
    written = scalar.value
    if not _is_plain(scalar):
        return ""
    read = _read(written)
    text = f'write "{written}" for the text'
    if isinstance(read, bool) and not _WORDS.fullmatch(written):
        word = str(read).lower()
        return f"{written}, which YAML reads as {word}: {text}, or {word}"
    if read is None and not _NULL.fullmatch(written):
        return f"{written or 'nothing'}, which YAML reads as null: {text}, or null"
    if isinstance(read, int | float) and ":" in written:
        return f"{written}, which YAML reads as the number {read}: {text}, or {read}"
    if isinstance(read, int) and not isinstance(read, bool) and re.fullmatch("[-+]?0[0-9_]+", written):
        decimal = "-" * written.startswith("-") + (written.replace("_", "").lstrip("+-0") or "0")
        either = f", {decimal} or {read}" if decimal != str(read) else f", or {read}"
        return f"{written}, which YAML reads as an octal number, {read}: {text}{either}"
    if isinstance(read, str) and _number(written) is not None:
        return f"{written}, which YAML reads as a text: {text}, or {_number(written)}"
    return ""


def _is_plain(scalar: Node) -> bool:
    """Whether a scalar has no quotes, so that YAML decides what it is."""
    import yaml

    found = yaml.SafeLoader("").resolve(yaml.ScalarNode, scalar.value, (True, False))
    return not scalar.style and bool(scalar.tag == found)


def _read(written: str) -> Any:
    """The value of a scalar in a study file."""
    import yaml
    from jsonargparse import get_loader

    try:
        return get_loader("yaml")(f"- {written}")[0]
    except yaml.YAMLError:
        return written  # Its loading will refuse it.


def _number(written: str) -> int | float | None:
    """The number that a text may mean; None for a word."""
    if not (written.isascii() and re.search("[0-9]", written)):
        return None
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return None
