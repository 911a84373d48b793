"""The command line and the study file: a parser made from the fields of `Config`."""

from __future__ import annotations

import argparse
import codecs
import dataclasses
import functools
import json
import locale
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

from evo.config import Config
from evo.references import Training
from evo.texts import as_path, readable
from evo.traps import check_options, check_study_file

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


def parse_arguments(arguments: Sequence[str], program: str) -> tuple[str | Training, Config]:
    """Read a command line.

    Args:
        arguments: Without the program's name.
        program: Its name, for the help.

    Returns:
        The objective, as the user names it or as the sections of a training, and the settings.

    Raises:
        ValueError: An option is unknown or has a wrong value.
        SystemExit: Help was asked for.
    """
    parser, source = _parser(program), ""
    try:
        arguments = [readable(argument) for argument in arguments]
        check_options(arguments)
        namespace = parser.parse_args(list(arguments))
        what = namespace.what
        if what is not None and what.endswith((".yaml", ".yml")):
            check_study_file(what)
            source = f"study file {what}: "  # The rest has just been read without a mistake.
            namespace = parser.parse_args(["--config", _study_file(what), *arguments])
            what = namespace.objective
        values = {field.name: namespace[field.name] for field in dataclasses.fields(Config)}
        sections = {field.name: namespace[field.name] for field in dataclasses.fields(Training)}
        return _objective(what or namespace.objective, sections), Config(**values)
    except (argparse.ArgumentError, TypeError, OSError, ValueError) as error:
        raise ValueError(source + _readable(str(error))) from None


def _study_file(file: str) -> str:
    """The study file; or what it holds, where the parser would read it in another encoding, as the locale says."""
    from jsonargparse import get_loader

    if codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8":
        return file
    try:
        return json.dumps(get_loader("yaml")(as_path(file).read_text(encoding="utf-8")))
    except Exception:
        return file  # The parser says what is wrong with it.


def _objective(what: str | None, sections: dict[str, Any]) -> str | Training:
    defaults = {field.name: field.default for field in dataclasses.fields(Training)}
    given = {name: value for name, value in sections.items() if value != defaults[name]}
    if not given:
        return what or "digits"
    if what is not None:
        raise ValueError(f"{next(iter(given))} belongs to a training, but the objective is {what}: give one of the two")
    return Training(**given)


@functools.cache
def _parser(program: str) -> ArgumentParser:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=program,
        usage=f"{program} [OBJECTIVE | STUDY.yaml] [options]",
        description="Search for the parameters with the lowest loss. Start it under mpirun or srun to use many ranks.",
        exit_on_error=False,
        print_config=None,
    )
    parser.add_argument(
        "what",
        nargs="?",
        metavar="OBJECTIVE",
        help="A ready problem (digits by default, sphere, rastrigin, …), module:function, path/to/file.py:function, or "
        "a YAML study file with any of the options below, and objective.",
    )
    parser.add_argument("--config", action="config", help="The same as a study file as first argument.")
    parser.add_argument("--objective", type=str, default=None, help="The same as the first argument.")
    for settings in (Config, Training):
        hints, texts = get_type_hints(settings), _field_texts(settings)
        for field in dataclasses.fields(settings):
            option = "--" + field.name.replace("_", "-")
            if field.type == "bool":
                parser.add_argument(option, action="store_true", help=texts[field.name])
            else:
                parser.add_argument(option, type=hints[field.name], default=field.default, help=texts[field.name])
    return parser


def _field_texts(settings: type) -> dict[str, str]:
    from docstring_parser import parse

    return {text.arg_name: " ".join((text.description or "").split()) for text in parse(settings.__doc__ or "").params}


def _readable(message: str) -> str:
    """One line for a person from what the parser says."""
    line = " ".join(message.split())
    given = re.match(r'Parser key "(\w+)": Does not validate.*Subtypes: \[(.*)\] Errors:.*Given value: (.*)', line)
    if given:
        kinds = re.sub(r"<class '(.*?)'>|typing\.", r"\1", given[2]).replace("NoneType", "null")
        return f"{given[1]} is {given[3]!r}: it must be one of the types {kinds}"
    literal = re.match(r'Parser key "(\w+)": Expected a typing.Literal\[(.*?)\]. Got value:\s*(.*)', line)
    if literal:
        return f"{literal[1]} is {literal[3]!r}: it must be one of {literal[2]}"
    plain = re.match(r"Parser key \"(\w+)\": Expected a <class '(\w+)'>. Got value:\s*(.*)", line)
    if plain:
        return f"{plain[1]} is {plain[3]!r}: it must be of type {plain[2]}"
    line = re.sub(r'^Parser key "([^"]*)": ', r"\1: ", line)
    return f"{line}; --help lists the options" if line.startswith("unrecognized arguments") else line
