"""Instances from trees of plain values, as the type hints of constructors say how to read them."""

from __future__ import annotations

import argparse
import re
import sysconfig
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from evo.lightning.trees import SectionError, for_parser, takes

_LONGEST = 400  # Of a message in another library's words, characters that are shown.
_NOT_THE_USERS = tuple(
    str(Path(folder).resolve())
    for folder in [*map(sysconfig.get_path, ("stdlib", "purelib", "platlib")), str(Path(__file__).parents[1])]
)


def read_arguments(
    name: str, owner: Callable[..., Any], given: Mapping[str, Any], skipped: Collection[str] = (), *, make: bool = True
) -> dict[str, Any]:
    """The arguments of a class or function, with its own defaults: values converted, nested sections made.

    Args:
        name: Of the part, for messages.
        owner: The class or function.
        given: Plain values and sections.
        skipped: Parameters that are given elsewhere.
        make: Whether nested sections are made, or only read.

    Raises:
        SectionError: A value does not fit its type hint.
        Exception: Whatever the constructor of a nested section raises.
    """
    from jsonargparse import ArgumentParser, Namespace

    parser = ArgumentParser(exit_on_error=False)
    skip: set[int | str] = set(skipped)
    values = {place: for_parser(value, f"{name}.{place}") for place, value in given.items()}
    if isinstance(owner, type):
        added = parser.add_class_arguments(owner, "made", fail_untyped=False, instantiate=False, skip=skip)
    else:
        added = parser.add_function_arguments(owner, "made", fail_untyped=False, skip=skip)
    if not added:
        return {}
    try:
        parsed = parser.parse_object({"made": values})
    except argparse.ArgumentError as error:
        raise SectionError(_readable(name, str(error))) from None
    made = parser.instantiate(parsed).made if make else parsed.made
    return vars(made) if isinstance(made, Namespace) else dict(made)


def split_known(owner: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that the signature of a class names, and those that it takes by `**kwargs` only."""
    names = takes(owner).names
    known = {name: value for name, value in arguments.items() if name in names}
    return known, {name: value for name, value in arguments.items() if name not in names}


def told(error: BaseException) -> str:
    """An exception in one line: its type, its message, and the place in the user's own code that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not str(Path(frame.filename).resolve()).startswith(_NOT_THE_USERS)]
    place = own[-1] if own else (frames[-1] if frames else None)
    at = f" ({place.filename}:{place.lineno})" if place else ""
    return f"{type(error).__name__}: {_shortened(str(error))}{at}"


def _readable(name: str, message: str) -> str:
    line = _shortened(message)
    line = re.sub(r'Parser key "made\.?([^"]*)":', lambda found: f"{name}.{found[1]}:".replace(".:", ":"), line)
    line = re.sub(r"<class '([\w.]*?)'>", r"\1", line.replace("NoneType", "null"))
    return line if line.startswith(name) else f"{name}: {line.replace('made.', '')}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
