"""The `evo` command, which is one of several; see `COMMANDS`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from evo import __version__
from evo.checks import did_you_mean
from evo.commands import ended_cleanly
from evo.texts import print_anything

COMMANDS = {
    "run": ("evo.run:main", "search; the same as python -m evo.run"),
    "init": ("evo.drafting.command:main", "write a study file for a LightningModule, with suggestions what to search"),
    "check": ("evo.rehearsal.command:main", "do everything but the search: make all parts, train a few batches"),
    "status": ("evo.report.status:main", "show where a search stands, while it runs or afterwards"),
    "best": ("evo.report.best:main", "show the best individual of a run directory, or of several"),
    "list": ("evo.report.listing:main", "list all run directories below a folder"),
    "compare": ("evo.report.compare:main", "compare runs, or two groups of runs: settings, results, significance"),
    "report": ("evo.report.pages.command:main", "write a page with pictures about a run directory, or several"),
    "export": ("evo.report.export:main", "write the individuals as CSV, Parquet or JSON, or for Optuna's dashboard"),
    "test": ("evo.posthoc.command:test", "test an individual on the test set, beside a baseline"),
    "train": ("evo.posthoc.command:train", "train an individual again"),
    "replay": ("evo.replay.command:main", "breed each individual again from the journals, and confirm it"),
    "repair": ("evo.storage.repair:main", "salvage what is sound in damaged journals"),
    "schema": ("evo.study.schema.command:main", "print a JSON Schema of study files, for editors"),
    "doctor": ("evo.doctor.command:main", "say what would hinder a search here"),
}
"""The commands by name: `module:function`, and what they do. The function takes the words after the command's name, and
the program's name for the help; it returns the exit status. Its module is loaded when the command is used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The words after the program's name. None means those of this process.

    Returns:
        The exit status: 0 success, 2 mistaken input; see `evo.run.main` for the others.
    """
    print_anything()
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (given[0], given[1:]) if given else ("", [])
    if name == "run":  # The signals that ask it to stop must not end this process afterwards.
        return _run(name, rest, ends=arguments is None)
    if name in COMMANDS:
        return ended_cleanly(lambda: _run(name, rest))
    if name in ("-h", "--help"):
        return ended_cleanly(lambda: print(usage()) or 0)
    if name == "--version":
        return ended_cleanly(lambda: print(f"evo {__version__}") or 0)
    known = f"use {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}"
    print(f"evo: error: {name!r} is no command; {known}" if name else usage(), file=sys.stderr)
    return 2


def _run(name: str, words: Sequence[str], **settings: bool) -> int:
    module, _, function = COMMANDS[name][0].partition(":")
    status: int = getattr(importlib.import_module(module), function)(words, f"evo {name}", **settings)
    return status


def usage() -> str:
    """What `evo --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    end = ["", "evo COMMAND --help says more about each; evo --version"]
    return "\n".join(["usage: evo COMMAND [options]", "", "commands:", *lines, *end])
