"""Where weights and results of a search are, which objective it had, and what of another user's may be run."""

from __future__ import annotations

import errno
import inspect
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.objective.places import Place, is_local, read_source
from evo.objective.references import Named, Reference, Training, parse_reference
from evo.ownership import belongs_to_user, why_foreign
from evo.problems.catalogue import PROBLEMS
from evo.report.reading import Run
from evo.report.records import Evaluation
from evo.space.values import Params
from evo.storage.checkpoints import find_weights
from evo.storage.rundir import RunDirectory
from evo.texts import as_path

_MOST_NAMED = 8
# Python's own library, of any version, which belongs to the user who has installed it.
_OF_PYTHON = re.compile(r"/lib(64)?/python\d[\d.]*/")
_CLASS_PATH = "class_path"


def find_results(run: Run, given: str | os.PathLike[str] | None) -> RunDirectory:
    """The directory for the results of tests and trainings, laid out like a run directory.

    Args:
        run: The search.
        given: The directory. None means the run directory itself.

    Raises:
        UserError: It is another run directory.
    """
    if given is None:
        return run.directory
    results = RunDirectory(as_path(given))
    if results.path.resolve() != run.directory.path.resolve() and (results.path / "study.json").exists():
        raise UserError(f"results is {results}, which is another run directory: choose another folder")
    return results


def make_folder(folder: Path) -> Path:
    """Make a folder for results, unless it exists.

    Raises:
        UserError: Nothing can be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error.strerror) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise not_writable(folder, os.strerror(errno.EACCES))
    return folder


def not_writable(folder: Path, why: str | None) -> UserError:
    """The error for results that cannot be written."""
    return UserError(f"{folder} cannot be written: {why}; make room for it, or name another folder with --results DIR")


def trained_folder(directory: RunDirectory, individual: Evaluation) -> Path:
    """The folder in which an individual is trained again.

    Args:
        directory: The run directory, or the one for results.
        individual: The individual.
    """
    return directory.path / "trained" / individual.name


def tested_folder(run: Run, individual: Evaluation, results: RunDirectory) -> Path:
    """The folder with an individual's weights: its own, or else that in which it was trained again.

    Args:
        run: The search.
        individual: The individual.
        results: The directory for the results of tests and trainings.

    Raises:
        UserError: Neither has weights, though those of other individuals have, or it was never trained here.
    """
    own = run.directory.folder(individual.individual)
    if individual.weights:
        return own
    for again in (trained_folder(results, individual), trained_folder(run.directory, individual)):
        if find_weights(again):
            return again
    if individual.origin:
        if (again := trained_folder(results, individual)).is_dir():
            return again
        raise UserError(
            f"individual {individual.name} has no weights in {run.name}: its loss is known from {individual.origin}, "
            f"and it was not trained here; evo train {run.name} --individual {individual.name} trains it, and then it "
            "can be tested"
        )
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
    foreign = "" if trust else why_foreign(run.directory.path / "study.json")
    if recorded.startswith("{"):
        if foreign:
            # Sections may call anything that can be imported, with any arguments.
            raise UserError(_refusal(run, foreign, "sections, which can run anything"))
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
    if not (found.is_found or _is_of_evo(found)) and Path(definition.file).is_file():
        found = replace(found, place=definition.file)
    if foreign and (flaw := _why_not_own_code(found)):
        raise UserError(_refusal(run, foreign, f"the objective {found}, {flaw}"))
    return found


def check_parameters(params: Params, what: str, files: Iterable[Path], trust: bool) -> None:
    """Refuse parameters that name a class if another user may have written them, because it would be imported and made.

    Args:
        params: The parameters.
        what: The name of their individual, for messages.
        files: The files that they were read from.
        trust: Whether the user trusts the writers of these files.

    Raises:
        UserError: One names a class, and one of the files is not the user's own.
    """
    if trust or not (name := _names_class(params)):
        return
    for file in files:
        if why := why_foreign(file):
            raise UserError(
                f"{what} has the parameter {name}, which names a class to be imported and made, and {file}, or its "
                f"folder, {why}: look at it, and run what is named there with --trust"
            )


def recorded_in(run: Run) -> list[Path]:
    """The files in which the individuals of a search are recorded."""
    return [run.directory.path / "study.json", *run.directory.journals()]


def _names_class(params: Params) -> str:
    """The first parameter that names a class, itself or anywhere in its value; empty when none does."""
    for name, value in params.items():
        waiting: list[Any] = [{name: value}]
        while waiting:
            one = waiting.pop()
            if isinstance(one, Mapping):
                if any(key.rpartition(".")[2] == _CLASS_PATH for key in one):
                    return name
                waiting += one.values()
            elif isinstance(one, list | tuple):
                waiting += one
            elif isinstance(one, str) and _CLASS_PATH in one:
                return name  # The parser of sections reads text as YAML.
    return ""


def _refusal(run: Run, foreign: str, what: str) -> str:
    return (
        f"run directory {run.name} {foreign}, and its study.json names {what}: name the objective "
        "yourself with --objective path/to/file.py:name, or run what is named there with --trust"
    )


def _why_not_own_code(objective: Reference) -> str:
    """The reason why an objective must not be run for another user's study; empty when it may be.

    Ready problems may be run, and what a file of the user's own defines. What such a file imports may not: with a
    function of Python's that starts programs, another user could run anything.
    """
    if _is_of_evo(objective):
        ready = any(str(objective) == str(problem.objective) for problem in PROBLEMS.values())
        return "" if ready else "which is no ready problem"
    try:
        place = objective.where()
        if place is None or not is_local(place.file) or _OF_PYTHON.search(str(place.file)):
            return "which is not your own"
        if not all(map(belongs_to_user, [place.file, *_packages(place)])):
            return "which is not your own"
        defined = read_source(place.file).defined
    except (UserError, OSError, SyntaxError, ValueError):
        return ""  # There is no such code; loading it says so.
    return "" if objective.name in defined else f"which {place.file} does not define itself"


def _is_of_evo(objective: Reference) -> bool:
    return objective.place.partition(".")[0] == "evo"


def _packages(place: Place) -> Iterator[Path]:
    """The files of the packages that a module is in, which run before it."""
    for folder in place.file.parents:
        if folder == place.root:
            return
        if (folder / "__init__.py").exists():
            yield folder / "__init__.py"
