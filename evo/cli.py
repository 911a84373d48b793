"""The `evo` command, which is one of several; see `COMMANDS`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from evo import __version__
from evo.checks import did_you_mean
from evo.commands import STATUSES, ended_cleanly
from evo.texts import print_anything, printable

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
    "completion": ("evo.completion:main", "print what lets a shell complete commands, options and names"),
}
"""The commands by name: `module:function`, and what they do. The function takes the words after the command's name, and
the program's name for the help; it returns the exit status. Its module is loaded when the command is used."""


_GROUPS = {
    "before a search": ("doctor", "init", "check", "schema"),
    "search": ("run",),
    "while it runs, and afterwards": ("status", "list", "best", "report"),
    "afterwards": ("compare", "export", "test", "train", "replay", "repair"),
}
_FIRST_STEPS = """\
evo finds the hyperparameters of a network by evolution, on one machine or a cluster.

  evo run sphere --evaluations 200              a first search, of a second
  evo run digits --ranks 2                      networks trained on two ranks of this machine
  evo init network.Network --data network.Data  a study file for your own network
  evo check study.yaml                          everything but the search, to see mistakes before a job is queued
  evo run study.yaml                            the search; evo run --help shows what a study file may say
  evo status runs/digits                        where a search stands, and its best candidate
  evo doctor                                    what would hinder a search here

evo --help lists all commands."""


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
    if name == "help":  # As git, pip and cargo have it.
        name, rest = (rest[0], ["--help"]) if rest else ("--help", [])
    if name == "run":  # The signals that ask it to stop must not end this process afterwards.
        return _run(name, rest, ends=arguments is None)
    if name in COMMANDS:
        return ended_cleanly(lambda: _run(name, rest))
    if name in ("-h", "--help"):
        return ended_cleanly(lambda: print(usage()) or 0)
    if name == "--version":
        return ended_cleanly(lambda: print(f"evo {__version__}") or 0)
    if not name:
        return ended_cleanly(lambda: print(_FIRST_STEPS) or 0)
    known = f"use {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}"
    print(f"evo: error: {printable(repr(name))} is no command; {known}; evo --help explains them", file=sys.stderr)
    return 2


def _run(name: str, words: Sequence[str], **settings: bool) -> int:
    module, _, function = COMMANDS[name][0].partition(":")
    status: int = getattr(importlib.import_module(module), function)(words, f"evo {name}", **settings)
    return status


def usage() -> str:
    """What `evo --help` prints."""
    width = max(map(len, COMMANDS))
    others = [name for name in COMMANDS if not any(name in names for names in _GROUPS.values())]
    lines = ["usage: evo COMMAND [options]"]
    for heading, names in {**_GROUPS, "besides": others}.items():
        known = [name for name in names if name in COMMANDS]
        lines += ["", f"{heading}:", *(f"  {name:<{width}}  {COMMANDS[name][1]}" for name in known)] if known else []
    return "\n".join([*lines, "", STATUSES, "", "evo COMMAND --help says more about each; evo --version"])
