"""The files of a training: how they are written and read, and the weights that its loss belongs to."""

from __future__ import annotations

import os
import pickle
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, ModelPruning, SpikeDetection
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor
from typing_extensions import override

from evo.lightning.reports import TrialReport
from evo.ownership import belongs_to_user, why_foreign
from evo.storage.checkpoints import BEST, partial_checkpoint
from evo.storage.files import write_whole


@final
class BestWeights(ModelCheckpoint):
    """Keeps the weights that the best value belongs to as best.ckpt: one file, no version suffix.

    It is made whole, as Lightning's own checkpoints are, because callbacks and modules that keep other weights for
    validations, an average for example, put them in only then. `WholeFiles` leaves out the optimizers' state. A
    validation's weights are saved after all of its hooks, when weights that were exchanged for it are back in place,
    and before anything changes them, see `SaveState`. Those of a value that is known only at the end of an epoch are
    saved here.

    This class has a name of its own, so that a module whose `configure_callbacks` returns a ModelCheckpoint does not
    replace it.

    Args:
        folder: The folder for the file.
        report: The report of the training, which knows whether there is something to save.
    """

    def __init__(self, folder: Path, report: TrialReport) -> None:
        super().__init__(
            dirpath=folder,
            filename=Path(BEST).stem,
            monitor=report.monitor,
            mode=report.mode,
            save_top_k=1,
            enable_version_counter=False,
        )
        self._file = folder / BEST
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
            # Lightning's callbacks need no state in a test, and some keep a second network. SpikeDetection cannot load
            # its own.
            of_lightning = type(callback).__module__.startswith("lightning.")
            if (self._is_saving and of_lightning) or isinstance(callback, SpikeDetection):
                states.pop(callback.state_key, None)
            # The pruned weights are saved as they are, because a new network has no masks.
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


def is_trusted(file: Path, trust: bool) -> bool:
    """Whether a checkpoint is loaded with any code in it; of others, torch loads tensors and plain values only.

    Args:
        file: The checkpoint.
        trust: Whether the user trusts files of other users.
    """
    return trust or belongs_to_user(file)


@final
class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there, so that it is whole or absent.

    Lightning's own way uses the directory of temporary files, which is small on many nodes. Files in the folder of the
    training that belong to the user are read whatever they hold, where torch by itself would refuse what is neither a
    tensor nor a plain value.

    Args:
        folder: The folder of the training. The best weights in it get no state of optimizers and schedulers.
        trust: Whether files in it are read whatever they hold, whoever they belong to.
    """

    def __init__(self, folder: Path, trust: bool = False) -> None:
        super().__init__()
        self._folder = folder
        self._trust = trust

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        file = Path(path)
        if file == self._folder / BEST:
            checkpoint = {**checkpoint, "optimizer_states": [], "lr_schedulers": []}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda stream: torch.save(checkpoint, stream), partial_checkpoint(file))

    @override
    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        file = Path(path)
        is_of_training = file.resolve().is_relative_to(self._folder.resolve())
        if weights_only is None and is_of_training:
            weights_only = not is_trusted(file, self._trust)
        map_location = map_location or (lambda storage, location: storage)
        try:
            return super().load_checkpoint(path, map_location, weights_only)
        except pickle.UnpicklingError as error:
            if is_of_training and weights_only and not is_trusted(file, self._trust):
                raise refusal_of_strange_file(file, error) from error
            raise


def refusal_of_strange_file(file: Path, error: pickle.UnpicklingError) -> pickle.UnpicklingError:
    """Why a checkpoint of another user was not loaded, and what to do.

    Args:
        file: The checkpoint.
        error: The error that torch has raised.
    """
    return pickle.UnpicklingError(
        f"checkpoint {file} was not loaded, because it holds {what_was_refused(error)} and it, or its folder, "
        f"{why_foreign(file)}: of such files only tensors and plain values are loaded. The setting trust (--trust) "
        "loads it in full, which runs any code in it."
    )


def what_was_refused(error: pickle.UnpicklingError) -> str:
    """What torch has found in a file that is neither a tensor nor a plain value."""
    # Only the text of torch's message has the name.
    refused = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
    return refused[1] if refused else "an object"


@contextmanager
def short_refusals() -> Iterator[None]:
    """Let torch say in a few words that it does not load a checkpoint; its own message is a page.

    Raises:
        UnpicklingError: Torch does not load a checkpoint.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error):
            raise
        raise pickle.UnpicklingError(
            f"a checkpoint was not loaded, because it holds {what_was_refused(error)}, and torch.load takes only "
            "tensors and plain values unless it is told weights_only=False: tell it so where the code loads that file, "
            "if you trust it."
        ) from error
