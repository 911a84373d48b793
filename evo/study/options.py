"""The options of the command line, made from the fields of `Config` and of `Training`: their types and their help."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
import types
import typing
from typing import Any, NoReturn, get_type_hints

from evo.checks import nearest
from evo.commands import STATUSES, VersionedParser
from evo.errors import UserError
from evo.objective.training import SECTIONS, Training
from evo.study.config import Config
from evo.texts import argument_texts


@functools.cache
def option_types() -> dict[str, Any]:
    """The type of each option by its name in a study file."""
    sections = get_type_hints(Training)
    return {"objective": str} | get_type_hints(Config) | {each.name: sections[each.name] for each in SECTIONS}


def unrecognized(line: str) -> str:
    """The message about an unknown option of the command line, with the one that may be meant."""
    name = next((word[2:].partition("=")[0] for word in line.split() if word.startswith("--")), "")
    meant = nearest(name.replace("-", "_"), [*option_types(), "ranks"]).replace("_", "-")
    return f"{line}{f'; did you mean --{meant}?' if meant else ''}; --help lists the options"


class _Parser(VersionedParser):
    def error(self, message: str) -> NoReturn:
        line = re.sub(r"^argument (--)?([\w-]+): ", lambda found: f"{found[2].replace('-', '_')}: ", message)
        raise UserError(unrecognized(line) if line.startswith("unrecognized arguments") else line)


def option_parser(program: str) -> argparse.ArgumentParser:
    """The parser of the command line, which raises a `UserError` rather than end the process.

    Args:
        program: The program's name, for the help.
    """
    parser = _Parser(
        prog=program,
        usage=f"{program} [OBJECTIVE | STUDY.yaml] [options]",
        description="Search for the parameters with the lowest loss. --ranks, mpirun or srun start several ranks.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "what",
        nargs="?",
        metavar="OBJECTIVE",
        help="What is minimised: a ready problem (digits by default, sphere, rastrigin, …), module:function, "
        "path/to/file.py:function, or a YAML study file, which may have any of the options below.",
    )
    parser.add_argument("--config", action="append", metavar="FILE", help="The same as a study file as first argument.")
    parser.add_argument(
        "--ranks",
        metavar="N",
        help="Start N ranks on this machine, by the mpirun of your MPI. Not where mpirun, srun or a batch job has.",
    )
    parser.add_argument("--objective", metavar="NAME", help="The same as the first argument.")
    for settings, fields in ((Config, dataclasses.fields(Config)), (Training, SECTIONS)):
        hints, texts = get_type_hints(settings), argument_texts(settings.__doc__ or "")
        for field in fields:
            option, text = "--" + field.name.replace("_", "-"), texts[field.name].replace("%", "%%")
            if hints[field.name] is bool:
                parser.add_argument(option, action="store_true", help=text)
            else:
                default = "" if field.default is None else f" (default: {field.default})"
                parser.add_argument(option, metavar=_metavar(hints[field.name]), help=text + default)
    return parser


def members_of(hint: Any) -> tuple[Any, ...]:
    """The types of which a value may have one."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def kinds_of(hint: Any) -> list[str]:
    """What a value may be, in words, for messages and the help."""
    names = []
    for member in members_of(hint):
        if typing.get_origin(member) is typing.Literal:
            names += [repr(value) for value in typing.get_args(member)]
        elif member is type(None):
            names.append("null")
        else:
            names.append(str(member).replace("typing.", "") if typing.get_args(member) else member.__name__)
    return names


def _metavar(hint: Any) -> str:
    return "|".join(kind for kind in kinds_of(hint) if kind != "null").replace("'", "")
