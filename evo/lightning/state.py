"""The state of a training: saved at intervals and when it is interrupted, and taken up again."""

from __future__ import annotations

import io
import pickle
import random
import time
from types import ModuleType
from typing import Any, final

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import LearningRateFinder
from torch import Tensor
from typing_extensions import override

from evo.lightning.accelerators import gpu_module
from evo.lightning.checkpoints import BestWeights, is_trusted, refusal_of_strange_file
from evo.lightning.group import ALONE, Group
from evo.lightning.hparams import forget_from
from evo.lightning.reports import TrialReport
from evo.lightning.segments import SegmentEnd, load_again, starting_state
from evo.objective.objective import Interrupted, Trial
from evo.storage.checkpoints import BEST, STATE

# What a process of a training wants between two batches; the highest number of all processes counts.
_DUE, _INTERRUPTED = 1, 2


@final
class SaveState(L.Callback):
    """Saves everything that a training needs to go on: at intervals, and when the trial is interrupted, which ends it.

    The state is saved between two batches, so that no batch counts twice. A training that goes on has the same weights,
    optimizers, schedulers, counters and states of the random number generators. It is not the same bit for bit as one
    that was not interrupted, because the loader shuffles anew. The best weights are therefore part of the state: those
    on disk may belong to a validation after the state, which does not happen again.

    This callback comes before all others, so that it hears first that a validation is over, and has the weights saved
    before another callback changes them. For the same reason the state at the end of a segment, from which others go
    on, is saved here: when all that belongs to its last epoch has happened, and before a callback does what it does
    when it takes the training for ended.

    Args:
        trial: The trial, whose folder gets the state.
        report: The report of the training, whose knowledge is part of the state.
        weights: Saves the best weights.
        end: Ends the training where its segment ends.
        group: The processes that train together.

    Raises:
        Interrupted: The trial was interrupted, and the state is saved.
    """

    def __init__(
        self, trial: Trial, report: TrialReport, weights: BestWeights, end: SegmentEnd, group: Group = ALONE
    ) -> None:
        super().__init__()
        self._trial = trial
        self._report = report
        self._weights = weights
        self._end = end
        self._group = group
        self._saved = time.monotonic()
        self._loaded: dict[str, Any] = {}
        self._logged: int | None = None  # the step of the loggers at which a training goes on
        self._is_at_end = False  # Whether the state that it goes on from is already the one that is wanted.

    @override
    def state_dict(self) -> dict[str, Any]:
        # Checkpoints by other callbacks, or for the search of a learning rate, get nothing of this.
        if not self._report.is_kept:
            return {}
        best = self._trial.folder / BEST
        content = bytearray(best.read_bytes() if best.exists() else b"")
        end = {"end": self._end.is_over} if self._end.is_reached else {}
        return {"generators": _generator_states(), "best": _tensor(content), **end}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if starting_state(self._trial):
            # The state has the learning rate that was found; a new search would train before the state is loaded.
            found = trainer.callbacks  # type: ignore[attr-defined]
            kept = [callback for callback in found if not _searches_first(callback)]
            trainer.callbacks = kept  # type: ignore[attr-defined]

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._loaded:
            self._is_at_end = "end" in self._loaded  # It was killed before its loss was recorded.
            self._end.is_over = self._loaded.get("end", False)
            _set_generators(self._loaded["generators"])
            self._weights.note()
            if not trainer._checkpoint_connector._loaded_checkpoint:
                load_again(trainer, self._trial)
        if self._loaded and self._group.is_first:
            best = self._trial.folder / BEST
            best.unlink(missing_ok=True)
            if content := _content(self._loaded["best"]):
                self._check_strange(content)
                best.write_bytes(content)

    def _check_strange(self, best: bytes) -> None:
        """Make sure that weights out of another user's state hold no code, since they become a file of this user's.

        Raises:
            UnpicklingError: They hold something else than tensors and plain values.
        """
        state = self._trial.folder / STATE
        if not is_trusted(state, self._trial.trust):
            try:
                torch.load(io.BytesIO(best), map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                raise refusal_of_strange_file(state, error) from error

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._loaded:
            self._logged = trainer.fit_loop.epoch_loop._batches_that_stepped
            forget_from(trainer.loggers, self._logged)
            if self._is_at_end:
                self._end.stop(trainer)
            self._loaded = {}

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._logged is not None:
            # Lightning expects a state that was saved after a batch, and would leave out a step of its loggers.
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._logged
            # It would also leave out the schedulers that follow a metric at the end of this epoch.
            trainer.fit_loop._restarting = False
            self._logged = None
        self._weights.save(trainer)
        due = time.monotonic() - self._saved >= self._trial.checkpoint_interval
        request = self._group.highest(_INTERRUPTED if self._trial.interrupted else _DUE if due else 0)
        if request:
            self._save(trainer)
        if request == _INTERRUPTED:
            raise Interrupted

    @override
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._weights.before_pruning(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._weights.save(trainer)

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._trial.until is None or self._is_at_end:
            return
        self._end.close(trainer)
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        self._report.is_kept = True
        try:
            trainer.save_checkpoint(self._trial.folder / STATE)
        finally:
            self._report.is_kept = False
        self._saved = time.monotonic()


def _searches_first(callback: L.Callback) -> bool:
    """Whether it searches for a learning rate before the training rather than in it."""
    return isinstance(callback, LearningRateFinder) and type(callback).on_fit_start is LearningRateFinder.on_fit_start


def _generator_states() -> dict[str, Any]:
    """The states of all global random number generators, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()
    gpus = gpu_module()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": [],  # Which states of earlier versions have as well.
        **({_short_name(gpus): gpus.get_rng_state_all()} if gpus else {}),
    }


def _set_generators(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]  # Earlier versions kept the keys as an array.
    np.random.set_state((name, np.asarray(keys).astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    gpus = gpu_module()
    kept = states.get(_short_name(gpus), []) if gpus else []
    # A training may go on on another kind of machine, whose generators stay as they are.
    if gpus and len(kept) == gpus.device_count():
        gpus.set_rng_state_all(kept)


def _short_name(gpus: ModuleType) -> str:
    """What generators of GPUs are called in a state: "cuda" or "xpu"."""
    return gpus.__name__.rpartition(".")[2]


def _tensor(content: bytearray) -> Tensor:
    return torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def _content(kept: Tensor | bytes) -> bytes:
    """The bytes that `_tensor` was given; earlier versions kept the bytes themselves."""
    return kept if isinstance(kept, bytes) else kept.cpu().numpy().tobytes()
