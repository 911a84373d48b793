"""The `evo` command: `evo run` searches, `evo best` and `evo test` show what was found, and others; see _USAGE."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from evo import __version__
from evo.errors import UserError
from evo.texts import print_anything, printable, readable, show_error

if TYPE_CHECKING:
    from evo.report.records import Evaluation

_USAGE = """usage: evo COMMAND [options]

commands:
  run     search; the same as python -m evo.run (evo run --help)
  best    show the best individual of a run directory, or of several (evo best --help)
  test    test an individual on the test set, beside a baseline (evo test --help)
  train   train an individual again (evo train --help)
  repair  salvage what is sound in damaged journals (evo repair --help)
  doctor  say what would hinder a search here (evo doctor --help)"""


class _Parser(argparse.ArgumentParser):
    """Reports errors as all of evo does, with the whole traceback after --debug."""

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.add_argument("--debug", action="store_true", help="Show the whole traceback of an error.")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"evo: error: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The words after the program's name. None means those of this process.

    Returns:
        The exit status: 0 success, 2 mistaken input; see `evo.run.main` for the others.
    """
    print_anything()
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (given[0], given[1:]) if given else ("", [])
    if command == "run":
        from evo.run import main as run

        return run(rest, program="evo run", ends=arguments is None)
    if command == "best":
        return _best(rest)
    if command == "test":
        from evo.posthoc.command import test

        return test(rest, _Parser(prog="evo test", description="Test an individual from its saved weights."))
    if command == "train":
        from evo.posthoc.command import train

        return train(rest, _Parser(prog="evo train", description="Train an individual again, with its own seed."))
    if command == "doctor":
        from evo.doctor.command import main as doctor

        return doctor(rest, program="evo doctor")
    if command == "repair":
        return _repair(rest)
    if command in ("-h", "--help"):
        print(_USAGE)
        return 0
    if command == "--version":
        print(f"evo {__version__}")
        return 0
    known = "use run, best, test, train, repair or doctor"
    print(f"evo: error: {command!r} is no command; {known}" if command else _USAGE, file=sys.stderr)
    return 2


def _repair(arguments: Sequence[str]) -> int:
    from evo.storage.repair import repair
    from evo.storage.rundir import RunDirectory

    parser = _Parser(
        prog="evo repair",
        description="Write damaged journals anew, with their sound lines only. The damaged files are kept beside them.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="A run directory in which no run is writing.")
    parser.add_argument("--dry-run", action="store_true", help="Only tell what is damaged, and change nothing.")
    options = parser.parse_args(arguments)
    try:
        for line in repair(RunDirectory(options.run), options.dry_run):
            print(printable(line))
    except UserError as error:
        show_error(error, options.debug)
        return 2
    return 0


def _best(arguments: Sequence[str]) -> int:
    import msgspec

    from evo.report.reading import load, rank_runs
    from evo.report.tables import best_text, count_text, runs_text

    parser = _Parser(prog="evo best", description="Show the best individual of run directories.")
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="A run directory, complete or not. Several are compared."
    )
    parser.add_argument("--json", action="store_true", help="Print a JSON object for each run, for scripts.")
    options = parser.parse_args(arguments)
    found = []
    for name in options.runs:
        try:
            found.append(load(name))
        except UserError as error:
            show_error(error, options.debug)
    if not found:
        return 2
    runs = rank_runs(found)
    if runs[0].best is None:
        refused = sum(one.status == "infeasible" for run in runs for one in run.individuals)
        besides = f"; {refused} are infeasible" if refused else ""
        names = printable(", ".join(run.name for run in runs))
        print(f"evo: error: no individual in {names} has completed yet{besides}", file=sys.stderr)
        return 2
    if options.json:
        for run in runs:
            best = {} if run.best is None else _as_json(run.best)
            print(_printable_json(msgspec.json.encode({"run": run.name, **best}).decode()))
    else:
        if len(runs) > 1:
            print(f"{runs_text(runs)}\n\nThe best of them, of {printable(runs[0].name)}:")
        print(best_text(runs[0].best))
        if len(runs) == 1 and any(one.status == "infeasible" for one in runs[0].individuals):
            print(count_text(runs[0].individuals))
    return 0 if len(found) == len(options.runs) else 2


def _as_json(best: Evaluation) -> dict[str, Any]:
    import msgspec

    return {**msgspec.structs.asdict(best), "folder": readable(str(best.folder))}


def _printable_json(text: str) -> str:
    """JSON that is JSON still where the locale lacks a character of it, and that steers no terminal."""
    import json

    try:
        text.encode(sys.stdout.encoding or "utf-8")
        is_shown = text == printable(text)
    except UnicodeEncodeError:
        is_shown = False
    return text if is_shown else json.dumps(json.loads(text))
