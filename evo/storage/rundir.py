"""The run directory: the study, its events, and the files of every evaluation.

study.json              the study; written again only when it has changed
journal/RANK.jsonl      the events of one rank, one per line
individuals/R-G/        the files of one evaluation
summary.json            the completion record
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from evo.errors import UserError
from evo.objective.definition import Definition
from evo.population.events import AnyEvent, Moment
from evo.population.identity import Identity, individual_name
from evo.population.objectives import ONE_LOSS, Objectives
from evo.space.constraints import is_function
from evo.space.growth import Forms
from evo.space.space import Space
from evo.space.values import Params
from evo.storage.completion import RecordedTests
from evo.storage.files import write_whole
from evo.storage.journal import Journal, Memory, list_journals, open_locked, read_journal
from evo.storage.retry import persist
from evo.storage.start_weights import StartWeights
from evo.texts import readable

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # What damaged JSON raises.


class StudyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A study, as study.json records it.

    Args:
        name: The name of the study.
        objective: The name of the objective.
        definition: The definition of the objective, by which it is recognised; unknown for studies of an older evo.
        limits: The limits, as `evo.space.space.Space.describe` writes them.
        constraints: The constraints; a function is recorded with its name and a description of it.
        seed: The seed, not negative.
        propagator: The propagator of the first session.
        pruning: The pruner of the first session; empty when there was none.
        islands: The number of workers of each island in the first session.
        topology: The topology of the first session.
        baseline: Parameters with which the best individual is compared; None when there are none.
        weights: The weights with which all trainings begin; None when each begins with its own.
        objectives: What is minimised or maximised, and the bounds that metrics must keep.
        former: The limits before each change, the oldest first.
        versions: The versions of the packages that matter to reproduce the study.
        created: The time when the study was made, in seconds since the epoch.
    """

    name: str
    objective: str
    limits: dict[str, dict[str, Any]]
    seed: int
    definition: Definition = Definition()
    constraints: list[str] = []
    propagator: str = ""
    pruning: str = ""
    islands: list[int] = []
    topology: tuple[tuple[int, ...], ...] = ()
    baseline: Params | None = None
    weights: StartWeights | None = None
    objectives: Objectives = ONE_LOSS
    former: list[dict[str, dict[str, Any]]] = []
    versions: dict[str, str] = {}
    created: Moment = 0.0


def study_forms(study: StudyRecord) -> Forms | None:
    """The limits that a study has had; None when they never changed and there are no constraints, which may change."""
    if not study.former and not study.constraints:
        return None
    return Forms(study_space(study), [Space(limits) for limits in study.former])


def study_space(study: StudyRecord) -> Space:
    """The space of a study without constraints that are functions, which cannot be made from a record."""
    return Space(study.limits, [text for text in study.constraints if not is_function(text)])


class RunDirectory:
    """The directory in which one study keeps its files.

    Args:
        path: The path of the directory; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._name = readable(str(path))
        self.path = path.absolute()  # An objective may change the working directory.
        self.individuals = self.path / "individuals"  # The folder of the folders of all individuals.
        self._sizes: dict[Path, int] = {}  # The size of each journal when it was last read.
        self._has_begun = False
        self._latest: tuple[Identity | None, Path] = (None, self.individuals)

    def __str__(self) -> str:
        return self._name

    def folder(self, identity: Identity) -> Path:
        """The folder of one individual; it need not exist."""
        if identity != self._latest[0]:  # Each evaluation asks several times, and paths are slow to make.
            self._latest = identity, self.individuals / individual_name(identity)
        return self._latest[1]

    def study(self, has_advice: bool = True) -> StudyRecord | None:
        """The study of this directory; None when there is none yet.

        Args:
            has_advice: Whether the message about a damaged study.json says what to do.

        Raises:
            UserError: The directory is something else, or study.json is damaged.
        """
        study = self._read_study(has_advice)
        if study is None:
            # Folders and a part of study.json are no other files: a run may have been killed before it had written it.
            others = (path for path in self.path.rglob("*") if not path.name.startswith(".study.json."))
            if any(path.is_file() for path in others):
                raise UserError(
                    f"run directory {self} holds files but no study.json: choose an empty or a new directory"
                )
        return study

    def begun_study(self) -> StudyRecord:
        """The study of this directory, for who only reads it.

        Raises:
            UserError: There is none, or study.json is damaged.
        """
        study = self._read_study()
        if study is None:
            raise UserError(f"{self} is no run directory: it has no study.json; evo list FOLDER finds some")
        return study

    def _read_study(self, has_advice: bool = True) -> StudyRecord | None:
        try:
            return msgspec.json.decode((self.path / "study.json").read_bytes(), type=StudyRecord)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"run directory {self}: study.json cannot be read: {error.strerror}") from None
        except _UNREADABLE as error:
            advice = f"; evo repair {self} says how to mend it" if has_advice else ""
            raise UserError(f"run directory {self}: study.json cannot be read: {error}{advice}") from None

    def create(self, study: StudyRecord) -> None:
        """Make the directory.

        Raises:
            UserError: The directory cannot be written.
        """
        try:
            for folder in ("journal", "individuals"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            self._replace("study.json", study)
        except OSError as error:
            why = f"cannot be written: {error.strerror}; choose another with --run-dir"
            raise UserError(f"run directory {self} {why}") from None

    def check_writable(self) -> None:
        """Make sure that the directory can be made, without making it.

        Raises:
            UserError: The directory cannot be made.
        """
        existing = next(path for path in [self.path, *self.path.absolute().parents] if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            why = "cannot be written" if existing.is_dir() else "is a file"
            raise UserError(f"run directory {self}: {existing} {why}; choose another with --run-dir")

    def begin(self, study: StudyRecord) -> None:
        """Make the directory, or continue in it; then the completion record is removed, because it is no longer true.

        Raises:
            UserError: The directory cannot be written, or another run is writing there, or has written there since the
                events were read.
        """
        found = self.study()
        if found is None:
            self.create(study)
        self._check_alone()
        try:
            if found not in (None, study):
                # Fields that another version of evo has written are kept.
                recorded = msgspec.json.decode((self.path / "study.json").read_bytes())
                self._replace("study.json", {**recorded, **msgspec.to_builtins(study)})
            self._summary.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"run directory {self} cannot be written: {error.strerror}; make room for it") from None
        self._has_begun = True

    def _check_alone(self) -> None:
        for file in self.journals():
            with open_locked(file) as descriptor:
                if os.fstat(descriptor).st_size != self._sizes.get(file):
                    raise UserError(
                        f"run directory {self}: another run has just written {file}; run the same command again"
                    )

    def tested(self) -> RecordedTests | None:
        """The tests in the completion record; None when there is no sound one."""
        try:
            return msgspec.json.decode(self._summary.read_bytes(), type=RecordedTests)
        except (OSError, *_UNREADABLE):
            return None

    @property
    def _summary(self) -> Path:
        return self.path / "summary.json"

    def write(self, name: str, content: Any) -> None:
        """Write a JSON file of the directory, whole or not at all; tries again for a while when that fails.

        Raises:
            StorageError: Writing still fails after a while.
        """
        persist(f"{self.path / name} cannot be written", lambda: self._replace(name, content))

    def _replace(self, name: str, content: Any) -> None:
        text = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
        write_whole(self.path / name, lambda stream: stream.write(text))

    def journals(self) -> list[Path]:
        """The journals of all ranks.

        Raises:
            UserError: Their folder cannot be read.
        """
        return list_journals(self.path / "journal")

    def open_journal(self, rank: int) -> Journal:
        """Open the log of one rank to write it.

        Raises:
            UserError: The log cannot be written.
        """
        return Journal(self.path / "journal" / f"{rank}.jsonl")

    def remember(self, event: AnyEvent) -> None:
        """Do nothing, because the journals hold the event."""

    def close(self) -> None:
        """Do nothing, because no file is open."""

    def events(self) -> Iterator[AnyEvent]:
        """All events of all ranks, file by file, apart from `Heard`.

        Raises:
            UserError: A line is damaged; the message names the file and the line.
        """
        for file in self.journals():
            with suppress(OSError):  # Reading reports the error.
                self._sizes[file] = file.stat().st_size
            yield from read_journal(file, patient=self._has_begun)


class Scratch:
    """Replaces a run directory when no files are kept: remembers events, and gives evaluations temporary folders."""

    def __init__(self) -> None:
        import tempfile

        self.path = Path(tempfile.mkdtemp(prefix="evo-"))
        self._events: list[AnyEvent] = []

    def __str__(self) -> str:
        return "a temporary folder"

    def folder(self, identity: Identity) -> Path:
        """The folder of one individual; it need not exist."""
        return self.path / individual_name(identity)

    def study(self) -> StudyRecord | None:
        """None, because it is always new."""
        return None

    def check_writable(self) -> None:
        """Do nothing, because nothing is written."""

    def begin(self, study: StudyRecord) -> None:
        """Do nothing, because nothing is kept."""

    def tested(self) -> RecordedTests | None:
        """None, because it is never complete."""
        return None

    def write(self, name: str, content: Any) -> None:
        """Do nothing, because nothing is kept."""

    def remember(self, event: AnyEvent) -> None:
        """Remember an event of this or another rank."""
        self._events.append(event)

    def events(self) -> Iterator[AnyEvent]:
        """All remembered events."""
        return iter(self._events)

    def open_journal(self, rank: int) -> Memory:
        """The remembered events, which replace a file."""
        return Memory(self._events)

    def close(self) -> None:
        """Remove the folders of evaluations."""
        import shutil

        shutil.rmtree(self.path, ignore_errors=True)
