"""Evaluation in this process: no overhead, and no protection either."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evo.engine.transport import Serial
from evo.errors import UserError
from evo.evaluation.evaluator import Opened, with_folder
from evo.evaluation.execution import check_objective, evaluate, run_test
from evo.evaluation.settings import USUAL, EvaluationSettings
from evo.evaluation.team import Team
from evo.evaluation.trial import RunningTrial
from evo.objective.objective import Interrupted, Trial, prepare, wants_trial
from evo.population.assignment import NOTHING_FURTHER, Assignment, Further, TakesReport
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.space.values import Params


class InlineEvaluator:
    """Evaluates in this process; see `evo.evaluation.evaluator.Evaluator`.

    Args:
        objective: The objective, loaded; see `evo.objective.objective.prepare`.
        folder: Returns the folder of an individual.
        environment: Variables that are set from `open` to `close`, for other libraries.
        settings: The settings of all evaluations.
        team: The ranks that evaluate together with this one. None means that it is alone.
        is_interrupted: Whether an evaluation should save its state and end.
    """

    def __init__(
        self,
        objective: Callable[..., Any],
        folder: Callable[[Identity], Path],
        environment: Mapping[str, str],
        settings: EvaluationSettings = USUAL,
        team: Team | None = None,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_interrupted = is_interrupted
        # Whether the objective is running, rather than code of ours that must not be broken off.
        self._may_give_up = False
        self._team = team or Team(Serial(), 1)
        self._team.lends = True
        self._objective = objective
        self._run = prepare(objective)
        self._folder = folder
        self._environment = environment
        self._before: dict[str, str | None] = {}
        self._settings = settings
        self._outcome: Outcome | None = None

    def open(self, names: Sequence[str], examples: Sequence[Params] = ()) -> Opened:
        """Check that the objective takes the parameters of these names.

        Args:
            names: The parameters that it must take.
            examples: Points that show them, see `evo.space.examples`.

        Returns:
            The remarks of the objective; what it depends on is known without this.

        Raises:
            UserError: The objective does not take them.
        """
        self._before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)
        notes = check_objective(self._objective, names, examples)
        return Opened(notes=notes, may_save=wants_trial(self._objective))

    def start(self, assignment: Assignment, report: TakesReport) -> None:
        """Evaluate, to the end."""
        refused: list[UserError] = []

        def report_whole(step: int, loss: float, further: Further = NOTHING_FURTHER, /) -> bool:
            self._may_give_up = False
            try:
                return report(step, loss, further)
            except UserError as error:
                refused.append(error)
                raise
            finally:
                self._may_give_up = True

        trial = self._trial(assignment, self._settings, self._team, report_whole)
        self._outcome = evaluate(self._run_whole, assignment.params, trial)
        if refused:  # By the search, which it ends; the objective has not failed.
            raise refused[0]

    def poll(self) -> Outcome | None:
        """The outcome."""
        return self._outcome

    def interrupt(self, failed: bool = False) -> None:
        """Do nothing: the evaluation has already ended."""

    def hurry(self) -> None:
        """Give up the evaluation in flight, by an exception in it."""
        if self._may_give_up:
            raise Interrupted

    def test(self, assignment: Assignment) -> dict[str, Any]:
        """Metrics of an evaluated individual on held-out data; empty when the objective has no test.

        Raises:
            RuntimeError: The test failed.
        """
        alone = msgspec.structs.replace(self._settings, rank=0, size=1)
        trial = self._trial(assignment, alone, Team(Serial(), 1), lambda *report: False)
        return run_test(self._objective, assignment.params, trial)

    def _trial(
        self, assignment: Assignment, settings: EvaluationSettings, team: Team, report: TakesReport
    ) -> RunningTrial:
        return RunningTrial(
            with_folder(assignment, self._folder),
            settings,
            report,
            communicator=team.lend,
            is_interrupted=self._is_interrupted,
            agree=functools.partial(team.agree, assignment.attempt),
        )

    def _run_whole(self, params: Params, trial: Trial) -> Any:
        self._may_give_up = True
        try:
            return self._run(params, trial)
        finally:
            self._may_give_up = False

    def close(self) -> None:
        """Put back the environment variables."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()
