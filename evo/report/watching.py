"""Where the search in a run directory stands, and what has become of it, told from its files alone."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from evo.report.course import Course
from evo.report.reader import CourseReader
from evo.report.standing import Standing
from evo.storage.completion import RecordedTests
from evo.storage.locks import are_held, are_shown
from evo.storage.rundir import RunDirectory, StudyRecord, study_forms

State: TypeAlias = Literal["running", "ending", "complete", "stopped", "killed", "silent"]
"""What has become of a search: it goes on; its workers have come to their ends, but it has not, since it tests the best
individual, say; its budget is spent; it has stopped cleanly, and the same command goes on; it has died; or nothing was
heard of it for long, so that it may have died, or evaluates for long."""

_LONG = 600.0  # Seconds without news before a search on other machines may have died.
_MOMENT = 30.0  # Seconds in which a search ends once its workers have.


class RunStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Where the search in one run directory stands.

    Args:
        run: The run directory.
        study: The name of the study.
        state: What has become of it.
        written: The time at which a journal was last written, in seconds since the epoch, by the file system's clock.
        quiet_seconds: The time since then.
        standing: Where it stands; when it does not run, at the time of its last record.
    """

    run: str
    study: str
    state: State
    written: float
    quiet_seconds: float
    standing: Standing

    @property
    def goes_on(self) -> bool:
        """Whether more may come, as far as can be told."""
        return self.state in ("running", "ending", "silent")


class RunWatch:
    """Looks at a run directory as often as it is asked to; it takes no lock and writes nothing.

    Args:
        path: The run directory.

    Attributes:
        directory: Where its files are.
        study: What is searched.
        forms: The limits that it has had; None when they cannot have changed.
        reader: Reads its journals.
        tested: What summary.json told of a complete search when this was last read; None when it was not complete.

    Raises:
        UserError: There is no study, or study.json is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.directory = RunDirectory(Path(path))
        self.study: StudyRecord = self.directory.begun_study()
        self.forms = study_forms(self.study)
        self.reader = CourseReader(self.directory, self.forms, self.study.objectives)
        self.tested: RecordedTests | None = None
        self._is_locked = False

    @property
    def course(self) -> Course:
        """What had happened when this was last looked at."""
        return self.reader.course

    def look(self, now: float | None = None) -> RunStanding:
        """Where the search stands.

        Args:
            now: The time, in seconds since the epoch. None means that of the clock.

        Raises:
            UserError: A journal cannot be read, or a line is damaged; the message names the file and the line.
        """
        now = time.time() if now is None else now
        self.read()
        return self.standing(now)

    def read(self) -> Course:
        """What has happened until now.

        Raises:
            UserError: A journal cannot be read, or a line is damaged; the message names the file and the line.
        """
        # The record is looked at first: it is removed when a search goes on, before anything else is written. The locks
        # come next: a search that ends while its journals are read has not been killed.
        self.tested = self.directory.tested()
        self._is_locked = self.tested is None and are_held(self.directory.journals())
        return self.reader.read()

    def standing(self, now: float) -> RunStanding:
        """Where the search stood when it was last read; nothing is read again.

        Args:
            now: The time of the reading, in seconds since the epoch.
        """
        course = self.course
        standing = course.standing(now)
        written = self.reader.changed or self.study.created
        quiet = max(0.0, now - written)
        is_complete, is_locked = self.tested is not None, self._is_locked
        is_here = socket.gethostname() in course.hosts and are_shown(self.directory.journals()[:1])
        state = judge_state(standing, quiet, is_complete=is_complete, is_locked=is_locked, is_here=is_here)
        if state in ("complete", "stopped", "killed"):
            standing = course.standing(max(course.last_time, self.study.created))
        return RunStanding(
            run=str(self.directory),
            study=self.study.name,
            state=state,
            written=written,
            quiet_seconds=quiet,
            standing=standing,
        )


def judge_state(standing: Standing, quiet: float, *, is_complete: bool, is_locked: bool, is_here: bool) -> State:
    """What has become of a search.

    Args:
        standing: Where it stands now.
        quiet: The seconds since its journals were last written.
        is_complete: Whether there is the record of a complete study.
        is_locked: Whether some process is seen to write the journals; that none is seen need not mean that none does.
        is_here: Whether the search was on this machine, and locks on its file system would be seen.
    """
    if is_complete:
        return "complete"
    if standing.has_ended:
        return "ending" if is_locked or (quiet < _MOMENT and not standing.is_before_the_end) else "stopped"
    if is_locked:
        return "running"
    if is_here and quiet > 1.0:
        return "killed"
    return "silent" if quiet > max(_LONG, 3 * _mean_seconds(standing)) else "running"


def _mean_seconds(standing: Standing) -> float:
    """How long an evaluation takes, by how many there were in the time of all workers."""
    workers = sum(one.state != "lost" for one in standing.workers)
    return standing.seconds * workers / standing.finished if standing.finished else 0.0
