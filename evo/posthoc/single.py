"""Training and testing single individuals outside of a search, in a child process as in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from typing_extensions import Self

from evo.errors import UserError
from evo.evaluation import EvaluationSettings, ProcessEvaluator
from evo.evaluation.messages import Examined
from evo.objective.objective import Interrupted, describe
from evo.objective.references import Named
from evo.population.assignment import Assignment
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.randomness import training_seed
from evo.report.reading import Run
from evo.runtime.device import available_cores, bind, training_environment
from evo.runtime.gpus import find_gpus
from evo.runtime.signals import StopSignals
from evo.space.values import Params
from evo.storage.checkpoints import delete_state
from evo.storage.start_weights import same_start_weights
from evo.study.config import Config
from evo.study.durations import parse_duration
from evo.texts import as_path, readable

_TRACEBACK = "traceback.txt"


class PosthocError(RuntimeError):
    """A training or a test has failed; the message, one line, says which and why."""


class SingleEvaluator:
    """Trains and tests one individual after another on this machine; a context manager that ends its process.

    Args:
        run: The search that the individuals belong to.
        objective: The objective of that search.
        trust: Whether checkpoints of other users are loaded with any code in them.
    """

    def __init__(self, run: Run, objective: Callable[..., Any] | Named, trust: bool) -> None:
        self._run, self._objective = run, objective
        binding = bind(0, os.environ, None, find_gpus(os.environ), len(available_cores()))
        usual = Config()
        self._evaluator = ProcessEvaluator(
            objective,
            run.directory.folder,
            training_environment(os.environ, binding.environment),
            EvaluationSettings(
                threads=binding.threads,
                checkpoint_interval=parse_duration("checkpoint_interval", usual.checkpoint_interval),
                grace=parse_duration("grace", usual.grace),
                trust=trust,
                weights=same_start_weights(run.study.weights),
                objectives=run.study.objectives,
            ),
        )

    def __enter__(self) -> Self:
        """Start the process, which loads the objective.

        Raises:
            UserError: The objective cannot be loaded any more, or does not take the parameters.
        """
        try:
            self._evaluator.open(list(self._run.study.limits))
        except BaseException as error:
            self._evaluator.close()
            if isinstance(error, UserError):
                # An objective that was given as an object needs no advice on its name.
                advice = "; run this where the search was run, or name the objective with --objective module:name or "
                advice = f"{advice}path/to/file.py:name" if isinstance(self._objective, Named) else ""
                raise UserError(f"run directory {self._run.directory}: {error}{advice}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._evaluator.close()

    def train(self, name: str, identity: Identity, params: Params, folder: Path, seed: int | None = None) -> Outcome:
        """Train to the end; a training that was stopped goes on.

        Args:
            name: What messages call the training.
            identity: The identity of the individual.
            params: Its parameters.
            folder: The folder for all files of the training.
            seed: Its seed. None means the one that the individual has in the search.

        Raises:
            PosthocError: The training failed.
            Interrupted: A signal stopped it, and it has saved its state.
        """
        assignment = self.assign(identity, params, folder)
        if seed is not None:
            assignment = msgspec.structs.replace(assignment, seed=seed)
        outcome = self.train_part(name, assignment)
        delete_state(folder)
        return outcome

    def train_part(self, name: str, assignment: Assignment) -> Outcome:
        """Train as an assignment says, which may be a segment of a training; its state stays.

        Args:
            name: What messages call the training.
            assignment: What is trained; its folder must be there.

        Raises:
            PosthocError: The training failed.
            Interrupted: A signal stopped it, and it has saved its state.
        """
        folder = as_path(assignment.folder)
        (folder / _TRACEBACK).unlink(missing_ok=True)
        with StopSignals() as signals:
            signals.listen_to_hurry(self._evaluator.hurry)
            self._evaluator.start(assignment, lambda *report: False)
            while (outcome := self._evaluator.poll()) is None:
                if signals.reason:
                    self._evaluator.interrupt()
        if outcome.status == "interrupted":
            why = outcome.error or signals.reason
            raise Interrupted(f"the training of {name} is interrupted: {why}; run the same command again")
        if outcome.status == "infeasible":
            raise PosthocError(f"the training of {name} is infeasible: {outcome.error}")
        if outcome.status == "failed":
            (folder / _TRACEBACK).write_text(outcome.traceback, encoding="utf-8")
            raise PosthocError(f"the training of {name} failed: {outcome.error}; see {folder / _TRACEBACK}")
        return outcome

    def test(self, name: str, identity: Identity, params: Params, folder: Path, results: Path) -> Examined:
        """Test an individual from its saved weights.

        Args:
            name: What messages call the individual.
            identity: The identity of the individual.
            params: Its parameters.
            folder: The folder with its weights.
            results: The folder for what is found beside metrics; what an earlier test has left there is removed.

        Raises:
            PosthocError: The test failed, or the objective has none.
        """
        assignment = msgspec.structs.replace(self.assign(identity, params, folder), results=_as_text(results))
        try:
            examined = self._evaluator.examine(assignment)
        except RuntimeError as error:
            raise PosthocError(f"{name} cannot be tested: {error}") from error
        if not examined.metrics:
            raise PosthocError(
                f"{name} cannot be tested: the objective {describe(self._objective)} has no test, or its test finds no "
                "number; a LightningModule logs them in test_step, any other objective returns them from a method "
                "test(params, trial)"
            )
        return examined

    def assign(self, identity: Identity, params: Params, folder: Path) -> Assignment:
        """What trains or tests an individual, with the seed that it has in the search.

        Args:
            identity: The identity of the individual.
            params: Its parameters.
            folder: The folder for all files of it.
        """
        seed = training_seed(self._run.study.seed, identity)
        return Assignment(individual=identity, params=params, seed=seed, folder=_as_text(folder))


def _as_text(folder: Path) -> str:
    return readable(str(folder.absolute()))
