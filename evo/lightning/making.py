"""Instances from trees of plain values, as the type hints of constructors say how to read them."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evo.frames import cut_off, own_frames, told
from evo.lightning.signatures import SectionError, find_any, given_by_caller, takes
from evo.lightning.trees import CLASS_PATH, DICT_KWARGS, INIT_ARGS, for_parser, is_section

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_LONGEST = 400  # Characters that are shown of a message in another library's words.


def read_arguments(
    name: str, owner: Callable[..., Any], given: Mapping[str, Any], skipped: Collection[str] = (), *, make: bool = True
) -> dict[str, Any]:
    """The arguments of a class or function, with its own defaults: values converted, nested sections made.

    Args:
        name: The name of the part, for messages.
        owner: The class or function.
        given: The values that are given: plain ones and sections.
        skipped: Parameters that are given elsewhere.
        make: Whether nested sections are made, or only read.

    Raises:
        SectionError: A value does not fit its type hint.
        Exception: Whatever the constructor of a nested section raises.
    """
    from jsonargparse import ArgumentParser, Namespace

    parser = ArgumentParser(exit_on_error=False)
    skip: set[int | str] = {*skipped, *_with_odd_defaults(owner, given)}
    values = {place: for_parser(value, f"{name}.{place}") for place, value in given.items()}
    if isinstance(owner, type):
        added = parser.add_class_arguments(owner, "made", fail_untyped=False, instantiate=False, skip=skip)
    else:
        added = parser.add_function_arguments(owner, "made", fail_untyped=False, skip=skip)
    if not added:
        return {}
    try:
        with _numbers_as_given():
            parsed = parser.parse_object({"made": values})
    except argparse.ArgumentError as error:
        _read_sections(name, given)
        raise SectionError(_readable(name, str(error))) from error
    try:
        with _numbers_as_given():
            made = _instantiate(parser, parsed).made if make else parsed.made
    except Exception as error:
        root = _root(error)
        if not own_frames(root):
            _read_sections(name, given, make=True)
        raise root from None  # It says more than jsonargparse does where there are several types.
    return vars(made) if isinstance(made, Namespace) else dict(made)


def _instantiate(parser: ArgumentParser, parsed: Namespace) -> Any:
    """The arguments that were read, with their sections made."""
    name = "instantiate" if hasattr(parser, "instantiate") else "instantiate_classes"  # The name before 4.49.
    return getattr(parser, name)(parsed)


@contextmanager
def _numbers_as_given() -> Iterator[None]:
    """Let the parser leave numbers as they are where a Union allows it: 1 means one batch, and 1.0 all of them.

    The parser takes the first type that fits. Which one that is depends on what has been read before, since Python's
    typing takes Union[int, float] and Union[float, int] for the same. There is no setting for it.
    """
    typehints: Any = importlib.import_module("jsonargparse._typehints")
    usual = typehints.sort_subtypes_for_union

    def sort(subtypes: Any, value: Any, *others: Any, **more: Any) -> Any:
        found = usual(subtypes, value, *others, **more)
        return sorted(found, key=lambda each: each is not type(value)) if type(value) in (int, float) else found

    typehints.sort_subtypes_for_union = sort
    try:
        yield
    finally:
        typehints.sort_subtypes_for_union = usual


def split_known(owner: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that the signature of a class names, and those that it takes by `**kwargs` only."""
    names = takes(owner).names
    known = {name: value for name, value in arguments.items() if name in names}
    return known, {name: value for name, value in arguments.items() if name not in names}


def _with_odd_defaults(owner: Callable[..., Any], given: Collection[str]) -> list[str]:
    """Parameters that are not given and whose defaults cannot be compared, an array for example."""
    odd = []
    for name, parameter in inspect.signature(owner).parameters.items():
        try:
            bool(parameter.default == inspect.Parameter.empty)
        except Exception:
            odd += [name] if name not in given else []
    return odd


def _root(error: BaseException) -> BaseException:
    """The exception in a chain that comes from the user's own code; this one if none does."""
    chain, one = [error], error
    while one := one.__cause__ or one.__context__:  # type: ignore[assignment]
        chain.append(one)
    return next((each for each in chain if own_frames(each)), error)


def _read_sections(name: str, value: Any, *, make: bool = False) -> None:
    """Read or make the sections in a value one by one, the innermost first, so that an error names its exact place.

    Raises:
        SectionError: A section cannot be read, or made.
    """
    if isinstance(value, list | tuple):
        for number, each in enumerate(value):
            _read_sections(f"{name}.{number}", each, make=make)
    if not isinstance(value, Mapping):
        return
    given = (value.get(INIT_ARGS) or {}) if is_section(value) else value
    for place, each in given.items():
        _read_sections(f"{name}.{place}", each, make=make)
    if is_section(value):
        owner = find_any(value[CLASS_PATH], name)
        skipped = {*takes(owner).names, *inspect.signature(owner).parameters} - set(given)
        arguments = read_arguments(name, owner, given, skipped, make=make)
        if make and not given_by_caller(owner):
            try:
                owner(**arguments, **(value.get(DICT_KWARGS) or {}))
            except Exception as error:
                title = getattr(owner, "__name__", owner)
                raise SectionError(f"{name} cannot be made: {title}: {told(error)}") from error


def _readable(name: str, message: str) -> str:
    """One line for a person from what the parser says."""
    line = re.sub(r"<class '([\w.]*?)'>|typing\.", r"\1", " ".join(message.split())).replace("NoneType", "null")
    places = re.findall(r'Parser key "(?:made\.?)?([^"]*)":', line)
    where = ".".join([name, *filter(None, places)])
    line = re.sub(r'Parser key "[^"]*": ', "", line)
    union = re.match(
        r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] Errors:.*value: (.*)", line
    )
    inner = re.search(r"Problem with given class_path '([^']*)': (.*?)(?= - |$)", line)
    plain = re.match(r"Expected an? ([^.]*)\. Got value: (.*)", line)
    if inner:
        line = f"{inner[1]}: {inner[2]}"
    elif union:
        line = f"expected one of {union[1]}, got {union[2]}"
    elif plain:
        line = f"expected {plain[1]}, got {plain[2]}"
    return f"{where}: {cut_off(line, _LONGEST)}".replace("'made.", "'").replace(" made.", " ")
