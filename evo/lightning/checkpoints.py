"""The files of a training: the weights that its loss belongs to, and the state from which it goes on."""

from __future__ import annotations

import os
import pickle
import random
import re
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint, ModelPruning, SpikeDetection
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor
from typing_extensions import override

from evo.lightning.group import ALONE, Group
from evo.lightning.hparams import forget_from
from evo.lightning.reports import TrialReport
from evo.objectives import Interrupted, Trial

CHECKPOINT = "best.ckpt"  # the weights of the best validation
STATE = "last.ckpt"  # everything that a training needs to go on

# What a process of a training wants between two batches; the highest counts for all of them.
_DUE, _INTERRUPTED = 1, 2


@final
class BestWeights(ModelCheckpoint):
    """Keeps the weights that the best value belongs to as best.ckpt: one file, no version suffix.

    It is made as Lightning's own checkpoints are, whole: callbacks and modules that keep other weights for validations,
    an average for example, put them in only then. `WholeFiles` leaves out the optimizers' state. A validation's weights
    are saved when all of its hooks are over, so that whoever has exchanged weights for it has put them back, and before
    anything changes them, see `SaveState`; those of a value that is known only at the end of an epoch, here.

    A class of its own, so that a module whose `configure_callbacks` returns a ModelCheckpoint does not replace it.

    Args:
        folder: For the file.
        report: Knows whether there is something to save.
    """

    def __init__(self, folder: Path, report: TrialReport) -> None:
        super().__init__(
            dirpath=folder,
            filename=Path(CHECKPOINT).stem,
            monitor=report.monitor,
            mode=report.mode,
            save_top_k=1,
            enable_version_counter=False,
        )
        self._file = folder / CHECKPOINT
        self._report = report
        self._is_saving = False
        self._unpruned: dict[str, Tensor] | None = None

    def before_pruning(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember the weights that a validation has seen, where they are pruned before its hooks are over."""
        self._unpruned = None
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ModelPruning) and not callback._prune_on_train_epoch_end:
                weights = callback._make_pruning_permanent_on_state_dict(pl_module)
                self._unpruned = {name: weight.detach().clone() for name, weight in weights.items()}

    def save(self, trainer: L.Trainer) -> None:
        """Save the weights if the last value was the best so far, and they are not saved yet."""
        if not self._report.is_unsaved:
            return
        self._report.is_unsaved = False
        self._is_saving = True
        try:
            trainer.save_checkpoint(self._file)
        finally:
            self._is_saving = False
        self.note()
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(weakref.proxy(self))

    def note(self) -> None:
        """Set the attributes by which modules and loggers find the file, as ModelCheckpoint does."""
        best = self._report.best
        if best is None:
            return
        path = os.fspath(self._file)
        score = torch.tensor(best.loss if self.mode == "min" else -best.loss)
        self.best_model_path = self.kth_best_model_path = path
        self.best_model_score = self.current_score = self.kth_value = score
        self.best_k_models = {path: score}

    @override
    def state_dict(self) -> dict[str, Any]:
        return {}  # The report has it all.

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass

    @override
    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if not (self._is_saving or self._report.is_kept):
            return
        states = checkpoint.get("callbacks", {})
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            # Lightning's own need no state in a test, and some keep a second network; this one cannot load its own.
            of_lightning = type(callback).__module__.startswith("lightning.")
            if (self._is_saving and of_lightning) or isinstance(callback, SpikeDetection):
                states.pop(callback.state_key, None)
            # A new network has no masks.
            if isinstance(callback, ModelPruning) and not callback._make_pruning_permanent:
                checkpoint["state_dict"] = callback._make_pruning_permanent_on_state_dict(pl_module)
        if self._is_saving and self._unpruned is not None:
            checkpoint["state_dict"] = self._unpruned

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._report.end_epoch(trainer)
        self.save(trainer)

    @override
    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        pass

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pass

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pass

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        pass


@final
class SaveState(L.Callback):
    """Saves everything that a training needs to go on: at intervals, and when the trial is interrupted, which ends it.

    Between two batches, so that none counts twice. A training that goes on has the same weights, optimizers,
    schedulers, counters and states of the random number generators; but the loader shuffles anew, so that it is not
    the same bit for bit as one that was not interrupted. So the best weights are saved as well: those on disk may be
    of a validation after the state, which does not happen again.

    Of evo's callbacks it is the first, and so the first of all to hear that a validation is over: it has the weights
    saved before a callback changes them.

    Args:
        trial: Its folder gets the state.
        report: Its knowledge is part of the state.
        weights: Saves the best weights.
        group: The processes that train together.

    Raises:
        Interrupted: The trial was interrupted, and the state is saved.
    """

    def __init__(self, trial: Trial, report: TrialReport, weights: BestWeights, group: Group = ALONE) -> None:
        super().__init__()
        self._trial = trial
        self._report = report
        self._weights = weights
        self._group = group
        self._saved = time.monotonic()
        self._loaded: dict[str, Any] = {}
        self._logged: int | None = None  # the step of the loggers at which a training goes on

    @override
    def state_dict(self) -> dict[str, Any]:
        # Other checkpoints, of callbacks or for the search of a learning rate, are none of ours.
        if not self._report.is_kept:
            return {}
        best = self._trial.folder / CHECKPOINT
        content = bytearray(best.read_bytes() if best.exists() else b"")
        return {"generators": _generator_states(), "best": _tensor(content)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if (self._trial.folder / STATE).exists():
            # The learning rate that was found is in the state; to find another one would train before that is loaded.
            found = trainer.callbacks  # type: ignore[attr-defined]
            kept = [callback for callback in found if not _searches_first(callback)]
            trainer.callbacks = kept  # type: ignore[attr-defined]

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._loaded:
            _set_generators(self._loaded["generators"])
            self._weights.note()
            connector = trainer._checkpoint_connector
            if not connector._loaded_checkpoint:
                # A search for a batch size, which runs before this, has put its own file in the place of ours.
                connector.resume_start(self._trial.folder / STATE, weights_only=False)
        if self._loaded and self._group.is_first:
            best = self._trial.folder / CHECKPOINT
            best.unlink(missing_ok=True)
            if content := _content(self._loaded["best"]):
                best.write_bytes(content)

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._loaded:
            self._logged = trainer.fit_loop.epoch_loop._batches_that_stepped
            forget_from(trainer.loggers, self._logged)
            self._loaded = {}

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._logged is not None:
            # Lightning takes a state for one that was saved after a batch, and would leave out a step of its loggers.
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._logged
            self._logged = None
        self._weights.save(trainer)
        due = time.monotonic() - self._saved >= self._trial.checkpoint_interval
        request = self._group.highest(_INTERRUPTED if self._trial.interrupted else _DUE if due else 0)
        if request:
            with self._kept():
                trainer.save_checkpoint(self._trial.folder / STATE)
            self._saved = time.monotonic()
        if request == _INTERRUPTED:
            raise Interrupted

    @override
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._weights.before_pruning(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._weights.save(trainer)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        self._report.is_kept = True
        try:
            yield
        finally:
            self._report.is_kept = False


@final
class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: it is whole or absent.

    Lightning's own goes through the directory of temporary files, which is small on many nodes. Files in the folder of
    the training, which it has written itself, are read whatever they hold; torch would refuse what is neither a tensor
    nor a plain value.

    Args:
        folder: Of the training. The best weights in it get no state of optimizers and schedulers.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        file = Path(path)
        if file == self._folder / CHECKPOINT:
            checkpoint = {**checkpoint, "optimizer_states": [], "lr_schedulers": []}
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

    @override
    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        if weights_only is None and Path(path).resolve().is_relative_to(self._folder.resolve()):
            weights_only = False
        map_location = map_location or (lambda storage, location: storage)
        return super().load_checkpoint(path, map_location, weights_only)


@contextmanager
def short_refusals() -> Iterator[None]:
    """Let torch say in a few words that it does not load a checkpoint; its own message is a page.

    Raises:
        UnpicklingError: It does not.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error):
            raise
        refused = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        what = refused[1] if refused else "an object"
        raise pickle.UnpicklingError(
            f"a checkpoint was not loaded, because it holds {what}, and torch.load takes only tensors and plain values "
            "unless it is told weights_only=False: tell it so where the code loads that file, if you trust it."
        ) from error


def _searches_first(callback: L.Callback) -> bool:
    """Whether it searches for a learning rate before the training rather than in it."""
    return isinstance(callback, LearningRateFinder) and type(callback).on_fit_start is LearningRateFinder.on_fit_start


def _generator_states() -> dict[str, Any]:
    """The states of all global random number generators, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_generators(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]  # Earlier versions kept the keys as an array.
    np.random.set_state((name, np.asarray(keys).astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():  # Or the training goes on on another kind of machine.
        torch.cuda.set_rng_state_all(states["cuda"])


def _tensor(content: bytearray) -> Tensor:
    return torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def _content(kept: Tensor | bytes) -> bytes:
    """What `_tensor` was made of; earlier versions kept the bytes themselves."""
    return kept if isinstance(kept, bytes) else kept.cpu().numpy().tobytes()
