"""A callback that notes what a training is doing, for a training that is only tried."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, final

import lightning as L
import torch
from typing_extensions import override

from evo.evaluation.stages import ENDED, ENDING, LAST, SETTING_UP, TRAINING_BATCH, VALIDATION_BATCH, note_stage


@final
class Observer(L.Callback):
    """Notes each batch, what is logged, and how many batches there would be; ends the training after one epoch.

    Args:
        folder: The folder for the notes, see `evo.evaluation.stages`.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self._before: dict[str, Any] = {}
        self._in_validation: dict[str, float] = {}
        self._batches = 0

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._note(SETTING_UP, device=str(pl_module.device))

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        sizes = {"train": _length(trainer.train_dataloader), "validation": _length(trainer.val_dataloaders)}
        count = sum(each.numel() for each in pl_module.parameters() if not _is_lazy(each))
        self._note(TRAINING_BATCH, 1, batches=sizes, weights=count, manual=not pl_module.automatic_optimization)

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._note(TRAINING_BATCH, batch_idx + 2, **_last(batch_idx + 1, trainer.num_training_batches))

    @override
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before, self._batches = dict(trainer.callback_metrics), 0
        self._note(VALIDATION_BATCH)

    @override
    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._batches += 1
        self._note(VALIDATION_BATCH, self._batches + 1, **_last(self._batches, sum(trainer.num_val_batches)))

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        logged = trainer.callback_metrics
        # A metric that was logged again is another tensor; callback_metrics keeps the old tensors of all others.
        new = {name: float(value) for name, value in logged.items() if value is not self._before.get(name)}
        self._in_validation |= new
        self._note(ENDING, validation=_finite(new))

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = True  # A limit that is searched, or linked, may ask for more epochs.
        self._note(ENDING)

    @override
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        training = {name: value for name, value in logged.items() if name not in self._in_validation}
        self._note(ENDED, training=_finite(training), validation=_finite(self._in_validation))

    def _note(self, doing: str, number: int = 1, **facts: Any) -> None:
        used = 0
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # A GPU works on while Python goes ahead.
            used = torch.cuda.max_memory_reserved()
        note_stage(Path(self._folder), doing, number, used, **facts)


def _last(done: int, of: float) -> dict[str, bool]:
    """The fact that no batch follows, but the end of the epoch, which may take long."""
    return {LAST: True} if done >= of else {}


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _length(loaders: Any) -> int | None:
    """The number of batches of a loader, or of all of several; None where they do not say."""
    if loaders is None:
        return 0
    if isinstance(loaders, list | tuple):
        lengths = [_length(each) for each in loaders]
        return None if None in lengths else sum(each for each in lengths if each)
    try:
        return len(loaders)
    except (TypeError, NotImplementedError, AttributeError):  # Of iterable data, or a wrapper.
        return None


def _is_lazy(weight: Any) -> bool:
    return isinstance(weight, torch.nn.parameter.UninitializedParameter)
