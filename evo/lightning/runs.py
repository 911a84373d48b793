"""The runs of one individual in the user's loggers: begun before anything is built, and ended whatever happens."""

from __future__ import annotations

import csv
import functools
import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias, final

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from typing_extensions import override

from evo.evaluation.open_runs import (
    OpenRun,
    end_mlflow_run,
    forget_open_runs,
    note_open_runs,
    read_open_runs,
)
from evo.frames import one_line
from evo.lightning.loggers import RunPlace, run_place
from evo.objective.objective import Infeasible, Interrupted, Trial
from evo.population.events import Status
from evo.storage.checkpoints import STATE
from evo.storage.retry import why_not_writable

# How often Weights & Biases writes to the file of a run, in seconds: what it has not written dies with the process.
_OFTEN = ("WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL", "1")
_OPENING = ("name", "project", "group", "entity", "dir", "job_type", "mode")

Make: TypeAlias = Callable[[RunPlace, Iterator[OpenRun | None]], list[Logger] | None]
"""Makes the user's loggers for a place and the runs in which they go on; None where the user has none."""


class LoggedRun:
    """One run in a logger of any kind.

    Args:
        logger: The logger.
        goes_on: Whether the training goes on from a state, so that what was logged before counts.
    """

    def __init__(self, logger: Logger, goes_on: bool) -> None:
        self.logger: Any = logger
        self.goes_on = goes_on
        self.title = type(logger).__name__

    def begin(self, params: Mapping[str, Any], place: RunPlace) -> None:
        """Open the run, or go on in it, and write the parameters."""
        self.logger.log_hyperparams(dict(params))

    @property
    def noted(self) -> OpenRun | None:
        """How to find the run again; None where its files are all that there is."""
        return None

    def log_loss(self, loss: float, step: int, *, pruned: bool) -> None:
        """Write the loss, and whether the training was pruned, 0 or 1, at the last training step."""
        self.logger.log_metrics({"loss": loss, "pruned": float(pruned)}, step)

    def end(self, status: Status, error: str) -> None:
        """Write what became of the training."""
        self.logger.finalize("success" if status in ("completed", "pruned") else "failed")


@final
class MLflowRun(LoggedRun):
    """A run in a store of MLflow's, with the tags evo.study, evo.individual, evo.status and evo.error."""

    @override
    def begin(self, params: Mapping[str, Any], place: RunPlace) -> None:
        client, run = self.logger.experiment, self.logger.run_id
        client.update_run(run, status="RUNNING")
        for name, value in (("individual", place.individual), ("study", place.study), ("status", "running")):
            client.set_tag(run, f"evo.{name}", value)
        super().begin(params, place)

    @property
    @override
    def noted(self) -> OpenRun | None:
        return OpenRun(kind="mlflow", run=self.logger.run_id, store=self.logger._tracking_uri)

    @override
    def end(self, status: Status, error: str) -> None:
        end_mlflow_run(OpenRun(kind="mlflow", run=self.logger.run_id, store=self.logger._tracking_uri), status, error)


@final
class WandbRun(LoggedRun):
    """A run of Weights & Biases, whose summary has loss, status and error."""

    _params: Mapping[str, Any] = {}

    @override
    def begin(self, params: Mapping[str, Any], place: RunPlace) -> None:
        import wandb

        self._params = dict(params)
        os.environ.setdefault(*_OFTEN)
        if wandb.run is not None:  # Of a training that was given up: this one would become a part of it.
            wandb.finish(exit_code=1)
        if not self.logger._wandb_init.get("id"):
            self.logger._wandb_init["id"] = self.logger._id = secrets.token_hex(4)
        super().begin(params, place)
        self.logger.experiment.summary.update(
            {"individual": place.individual, "study": place.study, "status": "running"}
        )

    @property
    @override
    def noted(self) -> OpenRun | None:
        given = {**self.logger._wandb_init, "mode": "offline" if self.logger._offline else None}
        opening: dict[str, Any] = {name: given[name] for name in _OPENING if isinstance(given.get(name), str)}
        return OpenRun(kind="wandb", run=self.logger.experiment.id, opening={**opening, "config": self._params})

    @override
    def log_loss(self, loss: float, step: int, *, pruned: bool) -> None:
        super().log_loss(loss, step, pruned=pruned)
        self.logger.experiment.summary.update({"loss": loss, "pruned": float(pruned)})

    @override
    def end(self, status: Status, error: str) -> None:
        run = self.logger.experiment
        run.summary.update({"status": status, **({"error": error} if error else {})})
        run.finish(exit_code=0 if status in ("completed", "pruned") else 1)


@final
class CSVRun(LoggedRun):
    """A file metrics.csv, and hparams.yaml with the parameters and, as evo.status, what became of the training."""

    @override
    def begin(self, params: Mapping[str, Any], place: RunPlace) -> None:
        before = _rows_in(os.path.join(self.logger.log_dir, "metrics.csv")) if self.goes_on else []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Experiment logs directory")
            writer = self.logger.experiment  # This removes the file of the part of the training that is over.
        writer.metrics = before
        super().begin(params, place)
        self.logger.save()

    @override
    def end(self, status: Status, error: str) -> None:
        self.logger.experiment.log_hparams({"evo.status": status, **({"evo.error": error} if error else {})})
        super().end(status, error)


def forget_csv_rows(logger: CSVLogger, step: int) -> None:
    """Remove the rows of steps that are logged again, because the training goes on from an earlier one."""
    logger.save()
    writer = logger.experiment
    rows = _rows_in(writer.metrics_file_path)
    with suppress(FileNotFoundError):
        os.unlink(writer.metrics_file_path)
    writer.metrics = [row for row in rows if int(row["step"]) < step]
    logger.save()


def _rows_in(file: str) -> list[dict[str, str]]:
    """The rows of a CSV file without their empty cells; none if there is no file."""
    with suppress(FileNotFoundError), open(file, newline="", encoding="utf-8") as stream:
        return [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(stream)]
    return []


def as_run(logger: Logger, goes_on: bool) -> LoggedRun:
    """The run of a logger, as its kind needs it."""
    kinds: Sequence[tuple[type, type[LoggedRun]]]
    kinds = ((MLFlowLogger, MLflowRun), (WandbLogger, WandbRun), (CSVLogger, CSVRun))
    return next((run for kind, run in kinds if isinstance(logger, kind)), LoggedRun)(logger, goes_on)


@final
class LoggedRuns:
    """The runs of one individual.

    Args:
        runs: The runs; none where the user has no loggers.
        loggers: The loggers; None where the user has none.
    """

    def __init__(self, runs: Sequence[LoggedRun], loggers: list[Logger] | None) -> None:
        self._runs = runs
        self.loggers = loggers

    def log_loss(self, loss: float, step: int, *, pruned: bool) -> None:
        """Write the loss to all of them."""
        for run in self._runs:
            _warned(run.title, functools.partial(run.log_loss, loss, step, pruned=pruned))

    def end(self, status: Status, error: str = "") -> None:
        """End all of them."""
        for run in self._runs:
            _warned(run.title, functools.partial(run.end, status, error))


def _warned(title: str, write: Callable[[], object]) -> None:
    """Write to a logger once the training is over: what goes wrong there must not cost its loss, or hide its error."""
    try:
        write()
    except Exception as error:
        warnings.warn(f"{title}: {one_line(error)}", stacklevel=2)


@contextmanager
def logged_runs(trial: Trial, params: Mapping[str, Any], make: Make) -> Iterator[LoggedRuns]:
    """The individual's runs in the user's loggers, from their beginning to their end.

    A training that goes on from a saved state goes on in its runs. One that begins anew has new ones, and those of the
    attempt that was killed are ended.

    Args:
        trial: The trial.
        params: The individual's parameters.
        make: Makes the loggers.
    """
    place, writes = run_place(trial), trial.rank == 0
    noted = read_open_runs(trial.folder) if writes else []
    goes_on = (trial.folder / STATE).exists()
    for left in [] if goes_on else noted:
        if left and left.kind == "mlflow":
            _warned("an earlier attempt", functools.partial(end_mlflow_run, left, "restarted"))
    loggers = make(place, iter(noted if goes_on else []))
    # For TensorBoard, RowLogger writes the parameters and what became of them.
    others = [logger for logger in loggers or [] if writes and not isinstance(logger, TensorBoardLogger)]
    runs = LoggedRuns([as_run(logger, goes_on) for logger in others], loggers)
    if not runs._runs:
        yield runs
        return
    try:
        for number, run in enumerate(runs._runs, 1):
            run.begin(params, place)
            note_open_runs(trial.folder, [each.noted for each in runs._runs[:number]])
        yield runs
    except BaseException as error:
        runs.end(*_what_became(trial, error))
        raise
    runs.end("pruned" if trial.should_stop else "completed")
    forget_open_runs(trial.folder)


def _what_became(trial: Trial, error: BaseException) -> tuple[Status, str]:
    goes_on_later = isinstance(error, Interrupted) or why_not_writable(trial.folder, error)
    if goes_on_later:
        return "interrupted", ""
    forget_open_runs(trial.folder)
    return ("infeasible" if isinstance(error, Infeasible) else "failed"), one_line(error)
