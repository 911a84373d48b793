"""Where the weights of a search are, and which objective it had, as its run directory tells."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.objective.references import Named, Reference, Training, parse_reference
from evo.report.reading import Run
from evo.report.records import Evaluation
from evo.storage.checkpoints import find_weights
from evo.storage.files import belongs_to_user

_MOST_NAMED = 8
_OF_EVO = Path(__file__).resolve().parents[1]


def trained_folder(run: Run, individual: Evaluation) -> Path:
    """The folder in which an individual is trained again."""
    return run.directory.path / "trained" / individual.name


def tested_folder(run: Run, individual: Evaluation) -> Path:
    """The folder with an individual's weights: its own, or else that in which it was trained again.

    Raises:
        UserError: Neither has weights, though those of other individuals have.
    """
    own, again = run.directory.folder(individual.individual), trained_folder(run, individual)
    if individual.weights:
        return own
    if find_weights(again):
        return again
    others = [one.name for one in run.ranking if one.weights]
    if others:
        kept = ", ".join(others[:_MOST_NAMED])
        raise UserError(
            f"individual {individual.name} has no weights in {run.name}, which keeps those of {kept}; "
            f"evo train {run.name} --individual {individual.name} trains it again, and then it can be tested"
        )
    return own


@dataclass(frozen=True)
class RecordedObjective(Reference):
    """An objective as study.json names it, which may not be enough to find it again.

    Args:
        of_instance: Whether it was a method of an instance.
    """

    of_instance: bool = False

    def load(self) -> Callable[..., Any]:
        """Import it.

        Raises:
            UserError: It cannot be imported, or was an instance, of which only the class can be found.
        """
        found = super().load()
        if inspect.isclass(found) or (self.of_instance and inspect.isfunction(found)):
            raise UserError(f"its objective was an instance of {self}, and study.json does not say which")
        return found


def find_objective(run: Run, given: Callable[..., Any] | str | None, trust: bool) -> Callable[..., Any] | Named:
    """The objective of a search.

    Args:
        run: The search.
        given: The objective, or its name, from the user. None means that of study.json.
        trust: Whether the user trusts the owner of study.json.

    Raises:
        UserError: It has no name by which it could be found; or another user has written its name, and its code is not
            the user's own.
    """
    if given is not None:
        return parse_reference(given) if isinstance(given, str) else given
    recorded, definition = run.study.objective, run.study.definition
    is_safe = trust or belongs_to_user(run.directory.path / "study.json")
    if recorded.startswith("{"):
        if not is_safe:
            # Sections may call anything that can be imported, with any arguments.
            raise UserError(_refusal(run, "sections, which can run anything"))
        try:
            return Training(**json.loads(recorded))
        except (ValueError, TypeError) as error:
            raise UserError(f"run directory {run.name}: its objective {recorded!r} is damaged: {error}") from error
    if ":" not in recorded or "<" in recorded:
        raise UserError(
            f"run directory {run.name}: its objective is {recorded!r}, of a notebook or a script, or of a "
            "function in it, and cannot be found again: name it with --objective path/to/file.py:name, or give it to "
            "evo.test itself"
        )
    place, _, target = recorded.rpartition(":")
    # It is found by its name where the search was run; elsewhere, or if its folder is not on the path, by its file.
    found = RecordedObjective(place, target, of_instance="method" in definition.settings)
    if not found.is_found and Path(definition.file).is_file():
        found = replace(found, place=definition.file)
    if not is_safe and not _is_own_code(found):
        raise UserError(_refusal(run, f"the objective {found}, which is not your own"))
    return found


def _refusal(run: Run, what: str) -> str:
    return (
        f"run directory {run.name} belongs to another user, and its study.json names {what}: name the objective "
        "yourself with --objective path/to/file.py:name, or run what is named there with --trust"
    )


def _is_own_code(objective: Reference) -> bool:
    """Whether the file of an objective is the user's, or evo's."""
    try:
        place = objective.where()
    except UserError:
        return True  # There is no such code, which its loading will say.
    return place is not None and (place.file.resolve().is_relative_to(_OF_EVO) or belongs_to_user(place.file))
