"""What a run directory tells of a search: its individuals, where their weights are, and which objective it had."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.objective.references import Named, Reference, Training, parse_reference
from evo.population.events import Identity
from evo.report.records import Evaluation, gather_evaluations, rank_evaluations
from evo.storage.rundir import RunDirectory, Study, study_forms

WEIGHTS = "*.ckpt"
_MOST_NAMED = 8


@dataclass(frozen=True)
class Past:
    """A search as its run directory has it, complete or not.

    Args:
        directory: The run directory.
        study: What was searched.
        evaluations: What became of all individuals.
    """

    directory: RunDirectory
    study: Study
    evaluations: Sequence[Evaluation]

    @property
    def best(self) -> Evaluation:
        """The completed individual with the lowest loss.

        Raises:
            UserError: None has completed.
        """
        ranking = rank_evaluations(self.evaluations)
        if not ranking:
            raise UserError(f"no individual in {self.directory} has completed yet")
        return ranking[0]

    def find(self, name: str | None) -> Evaluation:
        """An individual.

        Args:
            name: Rank and generation, for example 3-1; None: the best.

        Raises:
            UserError: There is no such individual.
        """
        if name is None:
            return self.best
        if not re.fullmatch(r"\d+-\d+", name):
            raise UserError(f"individual is {name!r}: it must be rank-generation, as in the tables, for example 3-1")
        found = next((one for one in self.evaluations if one.name == name), None)
        if found is None:
            raise UserError(f"{self.directory} has no individual {name}; evo best {self.directory} shows the best one")
        return found

    def trained_folder(self, identity: Identity) -> Path:
        """Where an individual is trained again."""
        return self.directory.path / "trained" / "{}-{}".format(*identity)

    def tested_folder(self, individual: Evaluation) -> Path:
        """The folder with the individual's weights: its own, or else that in which it was trained again.

        Raises:
            UserError: Neither has any, though those of others have.
        """
        own, again = self.directory.folder(individual.individual), self.trained_folder(individual.individual)
        if not _has_weights(own) and _has_weights(again):
            return again
        others = [one.name for one in rank_evaluations(self.evaluations) if _has_weights(self._folder(one))]
        if others and not _has_weights(own):
            kept = ", ".join(others[:_MOST_NAMED])
            raise UserError(
                f"individual {individual.name} has no weights in {self.directory}, which keeps those of {kept}; "
                f"evo train {self.directory} --individual {individual.name} trains it again, and then it can be tested"
            )
        return own

    def _folder(self, individual: Evaluation) -> Path:
        return self.directory.folder(individual.individual)


@dataclass(frozen=True)
class RecordedObjective(Reference):
    """An objective as study.json names it, which need not name it well enough to find it again.

    Args:
        of_instance: Whether it was a method of an instance.
    """

    of_instance: bool = False

    def load(self) -> Callable[..., Any]:
        """Import it.

        Raises:
            UserError: It cannot be imported, or only the class of it can.
        """
        found = super().load()
        if inspect.isclass(found) or (self.of_instance and inspect.isfunction(found)):
            raise UserError(f"its objective was an instance of {self}, and study.json does not say which")
        return found


def read_past(name: str) -> Past:
    """What a run directory tells.

    Args:
        name: Its path.

    Raises:
        UserError: It is none, or damaged.
    """
    directory = RunDirectory(Path(name))
    study = directory.study()
    if study is None:
        raise UserError(f"{name} is no run directory: it has no study.json")
    return Past(directory, study, gather_evaluations(directory.events(), study_forms(study)))


def find_objective(past: Past, given: Callable[..., Any] | str | None) -> Callable[..., Any] | Named:
    """The objective of a search.

    Args:
        past: The search.
        given: The objective, or its name, as the user says; None: what study.json says.

    Raises:
        UserError: It has no name by which it could be found.
    """
    if given is not None:
        return parse_reference(given) if isinstance(given, str) else given
    recorded, definition = past.study.objective, past.study.definition
    if recorded.startswith("{"):
        try:
            return Training(**json.loads(recorded))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"run directory {past.directory}: its objective {recorded!r} is damaged: {error}"
            ) from error
    if ":" not in recorded or "<" in recorded:
        raise UserError(
            f"run directory {past.directory}: its objective is {recorded!r}, of a notebook or a script, or of a "
            "function in it, and cannot be found again: name it with --objective path/to/file.py:name, or give it to "
            "evo.test itself"
        )
    place, _, target = recorded.rpartition(":")
    # By its name, as where the search was run; elsewhere, or with its folder not on the path, by its file.
    found = RecordedObjective(place, target, of_instance="method" in definition.settings)
    return found if found.is_found or not Path(definition.file).is_file() else replace(found, place=definition.file)


def _has_weights(folder: Path) -> bool:
    return any(folder.glob(WEIGHTS))
