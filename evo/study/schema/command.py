"""The command `evo schema`: a JSON Schema of study files, for editors."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from evo.commands import CommandParser, status_of
from evo.errors import UserError
from evo.study.schema.document import build_schema
from evo.texts import as_path

_DESCRIPTION = (
    "Print a JSON Schema of study files, with which editors complete and check them. A study file names it in its "
    "first line: # yaml-language-server: $schema=study.schema.json"
)


def main(arguments: Sequence[str], program: str) -> int:
    """Print the schema, or write it to a file.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 done, 2 the file cannot be written.
    """
    options = _make_parser(program).parse_args(arguments)
    return status_of(lambda: _write(options), options.debug)


def _make_parser(program: str) -> CommandParser:
    parser = CommandParser(prog=program, description=_DESCRIPTION)
    parser.add_argument("--out", metavar="FILE", help="Write it to this file rather than print it.")
    return parser


def _write(options: Namespace) -> None:
    text = json.dumps(build_schema(), indent=2, ensure_ascii=False) + "\n"
    if options.out is None:
        print(text, end="")
        return
    try:
        as_path(options.out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {options.out} cannot be written: {error.strerror}") from None
