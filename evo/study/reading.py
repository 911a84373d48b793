"""The command line, which the first rank reads for all, so that only it opens files and loads what reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple

from evo.engine.transport import Transport, together
from evo.objective.training import SECTIONS, Training
from evo.study.config import Config
from evo.study.files import load_limits, read_parameters


class Command(NamedTuple):
    """What a command line asks for.

    Args:
        what: The objective, as the user names it or as the sections of a training.
        config: The settings.
        study: The name of the study file that says what is minimised, without its ending; empty when none does.
        notes: What to say about how a study file was understood.
    """

    what: str | Training
    config: Config
    study: str
    notes: Sequence[str] = ()


def read_command(parse: Callable[[], Command], transport: Transport) -> Command:
    """What the command line asks for, the same on all ranks.

    Args:
        parse: Reads the command line. Only the first rank calls it, unless the others cannot be told what it found.
        transport: The connection to the other ranks, which must call this too.

    Raises:
        SharedError: An option, or a file that is named, is wrong.
        SystemExit: Help was asked for, and the first rank has printed it.
    """
    told = together(transport, lambda: _tell(parse) if transport.rank == 0 else "")
    given = json.loads(transport.gather(told)[0])
    if given is None:
        # JSON cannot hold some value, such as a date, which the search will refuse.
        return together(transport, lambda: _with_files(parse()))
    if isinstance(given, int):
        raise SystemExit(given)
    what, settings, study, notes = given
    return Command(what if isinstance(what, str) else _training(what), Config(**settings), study, tuple(notes))


def _tell(parse: Callable[[], Command]) -> str:
    """The command as JSON, or the exit status after help, or null for a command that JSON cannot hold."""
    try:
        command = _with_files(parse())
    except SystemExit as end:
        return json.dumps(int(end.code or 0))
    config = {each.name: getattr(command.config, each.name) for each in fields(Config)}
    changed = {each.name: config[each.name] for each in fields(Config) if config[each.name] != each.default}
    what = command.what if isinstance(command.what, str) else {**asdict(command.what), "notes": [*command.what.notes]}
    given = [what, changed, command.study, list(command.notes)]
    try:
        text = json.dumps(given)
        return text if json.loads(text) == given else "null"
    except (TypeError, ValueError, RecursionError):
        return "null"


def _with_files(command: Command) -> Command:
    """The command with the content of files in place of their names."""
    config = command.config
    loaded: dict[str, Any] = {}
    if isinstance(config.limits, str):
        loaded["limits"] = load_limits(config.limits)
    if isinstance(config.baseline, str):
        loaded["baseline"] = read_parameters(config.baseline)
    return command._replace(config=replace(config, **loaded)) if loaded else command


def _training(given: dict[str, Any]) -> Training:
    sections = {each.name: given[each.name] for each in SECTIONS}
    return Training(**sections, notes=tuple(given["notes"]))
