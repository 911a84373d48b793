"""Metrics for modules that log none: the losses that their steps return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import lightning as L
import torch
from typing_extensions import override

TRAIN_LOSS, VAL_LOSS = "train_loss", "val_loss"


@final
class LogReturned(L.Callback):
    """Logs the mean loss of an epoch for a module that does not log it: what its steps return.

    `train_loss` is what training_step returns, and `val_loss` what validation_step returns, as a tensor of one number
    or as "loss" of a mapping. In a study file: `trainer: {callbacks: [{class_path: evo.lightning.LogReturned}]}`.
    """

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        _log(pl_module, TRAIN_LOSS, outputs)

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
        _log(pl_module, VAL_LOSS, outputs)


def _log(module: L.LightningModule, name: str, outputs: Any) -> None:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    if isinstance(loss, torch.Tensor) and loss.numel() == 1:
        module.log(name, loss.detach(), on_step=False, on_epoch=True, batch_size=1, add_dataloader_idx=False)
