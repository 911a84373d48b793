"""The command `evo best`: the best individual of a run directory, or of several."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from evo.commands import CommandParser
from evo.errors import MISTAKEN, UserError
from evo.report.reading import load, rank_runs
from evo.report.records import Evaluation
from evo.report.tables import best_text, runs_text, statuses_text
from evo.texts import printable, readable, show_error


def main(arguments: Sequence[str], program: str) -> int:
    """Show the best individual of run directories.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 shown, 2 a run directory cannot be read, or none has a best one.
    """
    parser = CommandParser(prog=program, description="Show the best individual of run directories.")
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
        return MISTAKEN
    runs = rank_runs(found)
    if runs[0].best is None:
        refused = sum(run.counts["infeasible"] for run in runs)
        besides = f"; {refused} are infeasible" if refused else ""
        names = printable(", ".join(run.name for run in runs))
        print(f"evo: error: no individual in {names} has completed yet{besides}", file=sys.stderr)
        return MISTAKEN
    if options.json:
        for run in runs:
            best = {} if run.best is None else _as_json(run.best)
            print(printable_json(msgspec.json.encode({"run": run.name, **best}).decode()))
    else:
        if len(runs) > 1:
            print(f"{runs_text(runs)}\n\nThe best of them, of {printable(runs[0].name)}:")
        print(best_text(runs[0].best))
        if len(runs) == 1 and runs[0].counts["infeasible"]:
            print(statuses_text(runs[0].counts))
    return 0 if len(found) == len(options.runs) else MISTAKEN


def _as_json(best: Evaluation) -> dict[str, Any]:
    known = msgspec.structs.asdict(best)
    return {**{name: value for name, value in known.items() if name != "home"}, "folder": readable(str(best.folder))}


def printable_json(text: str) -> str:
    """JSON that is JSON still where the locale lacks a character of it, and that steers no terminal.

    Args:
        text: The JSON.
    """
    try:
        text.encode(sys.stdout.encoding or "utf-8")
        is_shown = text == printable(text)
    except UnicodeEncodeError:
        is_shown = False
    return text if is_shown else json.dumps(json.loads(text))
