"""What evo hangs into a Lightning training: reports to the trial, the best weights, and the caller's signal handler."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor
from typing_extensions import override

from evo.lightning.group import ALONE, Group
from evo.objectives import Interrupted, Trial

CHECKPOINT = "best.ckpt"  # the weights of the best validation
STATE = "last.ckpt"  # everything that a training needs to go on

Mode = Literal["min", "max"]

# What a process of a training wants between two batches; the highest counts for all of them.
_DUE, _INTERRUPTED = 1, 2


@final
@dataclass(frozen=True)
class Best:
    """The best validation of a training: its epoch (counted from 1), loss (minimised) and finite metrics."""

    epoch: int
    loss: float
    metrics: dict[str, float]


@final
class TrialReport(L.Callback):
    """Reports every validation to the trial, remembers the best one, and ends the training when the trial says so.

    The loss is the monitored metric, with its sign turned for mode "max". A step is one validation, counted from 0;
    with Lightning's defaults, an epoch. A sanity check, the validation before any training, counts for nothing. Of
    equal validations the earliest is the best, as for ModelCheckpoint.

    Attributes:
        epochs: How many epochs were trained, the one that was cut short included.
        best: The best validation, None before the first one.
        logged: Names of all metrics that the module logged.

    Raises:
        ValueError: The monitored metric is not among those that the module logs in its validation.
        FloatingPointError: The monitored metric was NaN or infinite.
    """

    def __init__(
        self, trial: Trial, parameters: Mapping[str, Any], monitor: str, mode: Mode, group: Group = ALONE
    ) -> None:
        super().__init__()
        self._group = group
        self.epochs = 0
        self.best: Best | None = None
        self.logged: set[str] = set()
        self._trial = trial
        self._parameters = parameters
        self._monitor = monitor
        self._sign = 1.0 if mode == "min" else -1.0
        self._step = 0
        self._before: dict[str, Tensor] = {}

    @override
    def state_dict(self) -> dict[str, Any]:
        best = None if self.best is None else asdict(self.best)
        return {"epochs": self.epochs, "best": best, "logged": sorted(self.logged), "step": self._step}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self._step = state_dict["epochs"], state_dict["step"]
        self.logged = set(state_dict["logged"])
        self.best = None if state_dict["best"] is None else Best(**state_dict["best"])

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoardLogger):  # For these, RowLogger does it.
                logger.log_hyperparams(dict(self._parameters))

    @override
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before = dict(trainer.callback_metrics)

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        # callback_metrics keeps what training logged, too: this validation's values are the tensors that are new
        logged = trainer.callback_metrics
        metrics = {name: float(value) for name, value in logged.items() if value is not self._before.get(name)}
        metrics = self._group.mean(metrics)  # Each has validated its share, and not all modules log with sync_dist.
        self.logged.update(logged)
        if self._monitor not in metrics:
            raise ValueError(_not_logged(self._monitor, metrics, during="in its validation"))
        value = metrics[self._monitor]
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{self._monitor} is {value} in epoch {trainer.current_epoch + 1}: the training diverged. A smaller "
                "learning rate or gradient_clip_val helps where this happens often."
            )
        loss = self._sign * value
        if self.best is None or loss < self.best.loss:
            finite = {name: number for name, number in metrics.items() if math.isfinite(number)}
            self.best = Best(trainer.current_epoch + 1, loss, finite)
        self._trial.report(self._step, loss)
        self._step += 1
        if self._group.highest(self._trial.should_stop):
            trainer.should_stop = True

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.epochs += 1
        self.logged.update(trainer.callback_metrics)
        if not trainer.enable_validation:
            self.result()  # says so after one epoch rather than after all

    def result(self) -> Best:
        """The best validation of the finished training.

        Raises:
            ValueError: There was no validation.
        """
        if self.best is None:
            raise ValueError(_not_logged(self._monitor, self.logged, during="(there was no validation)"))
        return self.best


@final
class SaveState(L.Callback):
    """Saves everything that a training needs to go on: at intervals, and when the trial is interrupted, which ends it.

    Between two batches, so that none counts twice. A training that goes on has the same weights, optimizers,
    schedulers, counters and states of the random number generators; but the loader shuffles anew, so that it is not
    the same bit for bit as one that was not interrupted. So the best weights are saved as well: those on disk may be
    of a validation after the state, which does not happen again.

    Raises:
        Interrupted: The trial was interrupted, and the state is saved.
    """

    def __init__(self, trial: Trial, group: Group = ALONE) -> None:
        super().__init__()
        self._trial = trial
        self._group = group
        self._saved = time.monotonic()
        self._loaded: dict[str, Any] = {}

    @override
    def state_dict(self) -> dict[str, Any]:
        best = self._trial.folder / CHECKPOINT
        return {"generators": _generator_states(), "best": best.read_bytes() if best.exists() else b""}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._loaded:
            _set_generators(self._loaded["generators"])
        if self._loaded and self._group.is_first:
            best = self._trial.folder / CHECKPOINT
            best.unlink(missing_ok=True)
            if self._loaded["best"]:
                best.write_bytes(self._loaded["best"])

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        due = time.monotonic() - self._saved >= self._trial.checkpoint_interval
        request = self._group.highest(_INTERRUPTED if self._trial.interrupted else _DUE if due else 0)
        if request:
            trainer.save_checkpoint(self._trial.folder / STATE)
            self._saved = time.monotonic()
        if request == _INTERRUPTED:
            raise Interrupted


@final
class BestWeights(ModelCheckpoint):
    """Keeps the weights of the best validation as best.ckpt: one file, no version suffix, no optimiser state.

    A class of its own, so that a module whose `configure_callbacks` returns a ModelCheckpoint does not replace it.
    """

    def __init__(self, folder: Path, monitor: str, mode: Mode) -> None:
        super().__init__(
            dirpath=folder,
            filename=Path(CHECKPOINT).stem,
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_weights_only=True,
            save_on_train_epoch_end=False,  # at the validation's end, as the report: the same value, the same weights
            enable_version_counter=False,
        )


@final
class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: it is whole or absent.

    Lightning's own goes through the directory of temporary files, which is small on many nodes.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.stem}.part{file.suffix}")
        try:
            with partial.open("wb") as stream:
                torch.save(checkpoint, stream)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@final
class KeepSigterm(L.Callback):
    """Puts the caller's SIGTERM handler back, which Lightning replaces while it trains.

    Lightning's own only notes the signal and raises SystemExit, status 0, after the batch: a hung batch would survive
    it, and a caller that only wants to know of the signal would lose the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self._handler = signal.getsignal(signal.SIGTERM)

    def _put_back(self) -> None:
        if self._handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)

    @override
    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._put_back()

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._put_back()

    @override
    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._put_back()


def _generator_states() -> dict[str, Any]:
    """The states of all global random number generators."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_generators(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():  # Or the training goes on on another kind of machine.
        torch.cuda.set_rng_state_all(states["cuda"])


def _not_logged(monitor: str, names: Collection[str], *, during: str) -> str:
    found = ", ".join(sorted(names)) or "none"
    return (
        f"The module does not log {monitor!r} {during}, so there is no loss. It logs: {found}. Set monitor to one of "
        "them, or log it."
    )
