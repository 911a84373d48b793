"""The `evo` command: `evo run …` searches, `evo best RUN` shows what was found, `evo repair RUN` mends journals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from evo import __version__

_USAGE = """usage: evo COMMAND [options]

commands:
  run    search; the same as python -m evo.run (evo run --help)
  best   show the best individual of a run directory (evo best --help)
  repair salvage what is sound in damaged journals (evo repair --help)"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as all of evo does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"evo: error: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Without the program's name; None: those of this process.

    Returns:
        The exit status: 0 success, 2 mistaken input; see `evo.run.main` for the others.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (given[0], given[1:]) if given else ("", [])
    if command == "run":
        from evo.run import main as run

        return run(rest, program="evo run")
    if command == "best":
        return _best(rest)
    if command == "repair":
        return _repair(rest)
    if command in ("-h", "--help"):
        print(_USAGE)
        return 0
    if command == "--version":
        print(f"evo {__version__}")
        return 0
    print(f"evo: error: {command!r} is no command; use run, best or repair" if command else _USAGE, file=sys.stderr)
    return 2


def _repair(arguments: Sequence[str]) -> int:
    from evo.repair import repair
    from evo.rundir import RunDirectory

    parser = _Parser(
        prog="evo repair",
        description="Write the sound lines of damaged journals anew. The damaged ones are kept beside them.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="A run directory in which no run is writing.")
    parser.add_argument("--dry-run", action="store_true", help="Only tell what is damaged.")
    options = parser.parse_args(arguments)
    try:
        for line in repair(RunDirectory(options.run), options.dry_run):
            print(line)
    except ValueError as error:
        print(f"evo: error: {error}", file=sys.stderr)
        return 2
    return 0


def _best(arguments: Sequence[str]) -> int:
    import msgspec

    from evo.report.records import gather_evaluations, rank_evaluations
    from evo.report.tables import best_text
    from evo.rundir import RunDirectory

    parser = _Parser(prog="evo best", description="Show the best individual of a run directory.")
    parser.add_argument("run", type=Path, metavar="RUN", help="A run directory, complete or not.")
    parser.add_argument("--json", action="store_true", help="One JSON object, for scripts.")
    options = parser.parse_args(arguments)
    directory = RunDirectory(options.run)
    try:
        if directory.study() is None:
            raise ValueError(f"{options.run} is no run directory: it has no study.json")
        ranking = rank_evaluations(gather_evaluations(directory.events()))
        if not ranking:
            raise ValueError(f"no individual in {options.run} has completed yet")
    except ValueError as error:
        print(f"evo: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(msgspec.json.encode(ranking[0]).decode())
    else:
        print(best_text(ranking[0]))
    return 0
