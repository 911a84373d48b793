"""How a session of a study begins in its run directory: which study it is, and what has changed since then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from evo.engine.transport import Transport, together
from evo.errors import UserError
from evo.objective.definition import check_same, code_changes
from evo.report.screen import Screen
from evo.space.growth import Change, find_changes
from evo.storage.rundir import RunDirectory, Scratch, Study, another_study, find_study
from evo.study.config import Config


def agree_on_study(
    asked: Study, config: Config, directory: RunDirectory | Scratch, transport: Transport
) -> tuple[Study, list[Change]]:
    """The study that the first rank finds in the directory, or else the one asked for; the same on all ranks.

    Args:
        asked: What is to be searched.
        config: The settings.
        directory: Where.
        transport: To the other ranks.

    Returns:
        And how what it searches is changed by this session.

    Raises:
        SharedError: The directory holds another study.
    """

    def find() -> tuple[Study, list[Change]]:
        recorded = directory.study()
        found = find_study(directory, asked, config.seed, config.change_limits)
        if recorded is None or found is None:
            return asked, []
        if config.strict:
            _check_code(recorded, asked, directory)
        changes = find_changes(recorded.limits, found.limits)
        if recorded.constraints != found.constraints:
            changes.append(Change("constraints", str(recorded.constraints), str(found.constraints)))
        return _as_defined_now(found, asked), changes

    agreed = together(transport, lambda: find() if transport.rank == 0 else (asked, []))
    said = transport.gather(msgspec.json.encode(agreed).decode())
    return msgspec.json.decode(said[0], type=tuple[Study, list[Change]])


def _check_code(recorded: Study, asked: Study, directory: RunDirectory | Scratch) -> None:
    """Refuse code that is not that of earlier sessions."""
    if changed := code_changes(recorded.definition, asked.definition):
        raise UserError(
            f"{another_study(directory)}: the code of its objective {asked.objective} has changed since then: "
            f"{', '.join(changed)}; choose another directory with --run-dir, bring the old code back, or go on with "
            "the new one without --strict"
        )


def _as_defined_now(found: Study, asked: Study) -> Study:
    """A study that goes on, with its objective as it is now."""
    known = asked.definition.settings or found.definition.settings
    definition = msgspec.structs.replace(asked.definition, settings=known)
    name = asked.objective if definition.file else found.objective
    return msgspec.structs.replace(found, objective=name, definition=definition)


def begin_study(study: Study, settings: Mapping[str, Any], directory: RunDirectory | Scratch, screen: Screen) -> None:
    """Begin, or go on, now that the objective is loaded.

    Args:
        study: What is searched.
        settings: What its objective was found to depend on when it was loaded; empty: that was known before.
        directory: For its files.
        screen: Gets remarks.

    Raises:
        ValueError: The run directory holds a study of another objective, or cannot be written.
    """
    if settings:
        new = msgspec.structs.replace(study.definition, settings=dict(settings))
        check_same(another_study(directory), (study.objective, study.definition), (study.objective, new))
        study = msgspec.structs.replace(study, definition=new)
    tell_changes(study, directory, screen)
    directory.begin(study)


def tell_changes(study: Study, directory: RunDirectory | Scratch, screen: Screen) -> None:
    """Warn of code that is not that of earlier sessions; told once, since it is recorded when the search goes on."""
    found = directory.study()
    if found and (changed := code_changes(found.definition, study.definition)):
        screen.remark(
            f"run directory {directory}: its objective {study.objective} has changed since then: {', '.join(changed)}; "
            "the search goes on, and compares earlier losses with those of now: for another search choose another "
            "directory with --run-dir"
        )
