"""How a session of a study begins in its run directory, once its objective is loaded."""

from __future__ import annotations

from typing import Any

import msgspec

from evo.definition import changes, check_same
from evo.report.screen import Screen
from evo.rundir import RunDirectory, Scratch, Study, another_study


def begin_study(study: Study, settings: dict[str, Any], directory: RunDirectory | Scratch, screen: Screen) -> None:
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
        new = msgspec.structs.replace(study.definition, settings=settings)
        check_same(another_study(directory), (study.objective, study.definition), (study.objective, new))
        study = msgspec.structs.replace(study, definition=new)
    tell_changes(study, directory, screen)
    directory.begin(study)


def tell_changes(study: Study, directory: RunDirectory | Scratch, screen: Screen) -> None:
    """Warn of code that is not that of earlier sessions; told once, since it is recorded when the search goes on."""
    found = directory.study()
    if found and (changed := changes(found.definition, study.definition)):
        screen.remark(
            f"run directory {directory}: its objective {study.objective} has changed since then: {', '.join(changed)}; "
            "the search goes on, and compares earlier losses with those of now: for another search choose another "
            "directory with --run-dir"
        )
