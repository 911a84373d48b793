"""The trial: what an objective gets of the evaluation that it is in."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from evo.evaluation.settings import EvaluationSettings
from evo.objective.losses import reported_losses
from evo.objective.steps import ReportedSteps, state_step
from evo.population.assignment import Assignment, Further, TakesReport
from evo.population.identity import Identity
from evo.population.scalars import json_text
from evo.population.segments import SavedState
from evo.storage.checkpoints import STATE
from evo.storage.retry import why_not_writable
from evo.storage.states import has_state, state_digest
from evo.texts import as_path


class RunningTrial:
    """What the objective gets of the evaluation that it is in; see `evo.objective.objective.Trial`.

    Args:
        assignment: What is evaluated, with its folder.
        settings: The settings of all evaluations of this rank.
        report: Takes intermediate losses, and returns whether to stop early.
        communicator: Returns a communicator of the ranks that evaluate it together. None means that this process has no
            MPI.
        is_interrupted: Whether it should save its state and end, as far as this process knows.
        agree: Returns, given this process's answer, the one that counts for all ranks that evaluate it together.
    """

    def __init__(
        self,
        assignment: Assignment,
        settings: EvaluationSettings,
        report: TakesReport,
        *,
        communicator: Callable[[], Any] | None = None,
        is_interrupted: Callable[[], bool] = lambda: False,
        agree: Callable[[bool], bool] = bool,
    ) -> None:
        self.individual = assignment.individual
        self._assignment = assignment
        self.seed = assignment.seed
        self.attempt = assignment.attempt
        self.results = as_path(assignment.results) if assignment.results else None
        self.threads = settings.threads
        self.rank = settings.rank
        self.size = settings.size
        self.checkpoint_interval = math.inf if settings.checkpoint_interval is None else settings.checkpoint_interval
        self.session = settings.session
        self.gpu_memory = settings.gpu_memory
        self.collective_timeout = settings.collective_timeout
        self.trust = settings.trust
        self.objectives = settings.objectives
        self.weights = as_path(settings.weights) if settings.weights else None
        self.metrics: dict[str, Any] = {}
        self.times: dict[str, float] = {}
        self.found: Mapping[str, int] | None = _times_of_change(assignment.folder)
        self._communicator = communicator
        self._is_interrupted = is_interrupted
        self._agree = agree
        self._was_told = False
        self._report = report
        self._began = time.perf_counter()
        self._should_stop = False
        segment = assignment.segment
        self.begin = segment.begin if segment else 0
        self._steps = ReportedSteps(self.begin)
        self.until = segment.until if segment else None
        self.inherit = as_path(assignment.inherited) if assignment.inherited else None
        # What the objective says of its state: after how many steps it was saved, and whether the training is over.
        self._noted: tuple[int, bool] | None = None

    @functools.cached_property
    def parents(self) -> Mapping[Identity, Path]:
        """The individuals that it was bred from, each with its folder."""
        return dict(zip(self._assignment.parents, map(as_path, self._assignment.inherits), strict=True))

    @functools.cached_property
    def _folder(self) -> Path:
        # A plain loss that asks for no folder does without a path.
        return as_path(self._assignment.folder)

    @property
    def folder(self) -> Path:
        """The individual's own folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @property
    def communicator(self) -> Any:
        """An mpi4py communicator of the ranks that evaluate this individual.

        Raises:
            RuntimeError: The objective runs in a child process, which has no MPI.
        """
        if self._communicator is None:
            raise RuntimeError("a child process has no MPI communicator: use trial.rank and trial.size, or run inline")
        return self._communicator()

    @property
    def interrupted(self) -> bool:
        """Whether the evaluation should save its state in its folder now and raise `evo.Interrupted`."""
        self._was_told = self._agree(self._is_interrupted())
        return self._was_told

    @property
    def was_interrupted(self) -> bool:
        """Whether it was told to end, or would be now."""
        return self._was_told or self._is_interrupted()

    @property
    def should_stop(self) -> bool:
        """Whether the evaluation should end early, with the loss so far."""
        return self._should_stop

    def note_state(self, step: int, *, is_over: bool = False) -> None:
        """Say after how many steps the state in its folder was saved, and whether the training is at its end.

        Raises:
            UserError: The step is no whole number from that at which it began, and up to `until`.
        """
        self._noted = state_step(step, self.begin, self.until), bool(is_over)

    def saved_state(self) -> SavedState | None:
        """The state that it has left for others to go on from; None if it is a whole training, or is over.

        Raises:
            OSError: It has left none, or it cannot be read.
        """
        if self.until is None or self.rank != 0:
            return None
        if self._noted is None and self.should_stop:
            return None  # It has ended before the step that it does not say.
        step, is_over = self._noted or (self.until, False)
        if not has_state(state := self._folder / STATE):
            if is_over:
                return None
            raise FileNotFoundError(
                f"it has left no state, from which others would go on: save it as trial.folder / {STATE!r} at step "
                f"{self.until}, which is trial.until"
            )
        return SavedState(step=step, digest=state_digest(state), is_over=is_over)

    def why_not_writable(self, error: BaseException) -> str:
        """Why its folder cannot be written, if the evaluation may have failed because of that; empty otherwise."""
        return json_text(why_not_writable(self._folder, error))

    def report(self, loss: Any, *others: Any, step: int | None = None) -> None:
        """TakesReport an intermediate loss; one that is not finite is ignored.

        Raises:
            TypeError: The loss is not one number.
            UserError: The step is no whole number from 0, or is given by position.
        """
        number = self._steps.take(loss, *others, step=step)
        # The time so far is known as well as that of the whole evaluation will be.
        recorded = {} if self.objectives.is_plain else {"seconds": time.perf_counter() - self._began, **self.metrics}
        found = reported_losses(loss, self.objectives, recorded)
        if math.isfinite(found.loss):
            further = Further(losses=found.losses, violation=found.violation)
            self._should_stop = self._report(number, found.loss, further) or self._should_stop


def _times_of_change(folder: str) -> dict[str, int]:
    found: dict[str, int] = {}
    place = folder if folder.isascii() else as_path(folder)
    if not os.path.isdir(place):
        return found
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            found[entry.name] = entry.stat(follow_symlinks=False).st_mtime_ns
    return found
