"""Digits trainings that write down every step that they take, for tests that kill or interrupt them.

`short` takes 200 steps; `long` ends with the epoch in which the file `enough` appears.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from evo.lightning import LightningObjective
from evo.problems.digits import DigitsNet, parts

LIMITS = "{lr: [1e-4, 1e-2], workers: {type: choice, values: [0, 1]}}"
FILE = "steps.jsonl"
ENOUGH = "enough"
BATCHES = 20
GAMMA = 0.9  # What the scheduler multiplies the learning rate with after each epoch.


class Net(DigitsNet):
    """DigitsNet with a scheduler."""

    def __init__(self, lr: float) -> None:
        super().__init__(conv_layers=1, channels=8, lr=lr)

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=GAMMA)}


class Images(L.LightningDataModule):
    """Digits, loaded by `workers` processes."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self.workers = workers

    def train_dataloader(self) -> DataLoader[Any]:
        loading = {"num_workers": self.workers, "persistent_workers": self.workers > 0}
        return DataLoader(parts()["train"], batch_size=64, shuffle=True, **loading)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(parts()["val"], batch_size=270)


@dataclass(frozen=True)
class Step:
    """A step that was taken.

    Args:
        individual: The name of its folder.
        process: The process that took the step.
        time: The time of the step, seconds since the epoch.
        epoch: The epoch, from 0.
        step: How many steps the training has taken, including this one.
        lr: The learning rate.
        optimizer_steps: How many steps the optimizer has counted.
    """

    individual: str
    process: int
    time: float
    epoch: int
    step: int
    lr: float
    optimizer_steps: int


def read_steps(folder: Path) -> list[Step]:
    """All steps that were written down in a folder."""
    file = folder / FILE
    return [Step(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def count_steps(folder: Path) -> int:
    """How many steps were written down; quick, for conditions to wait for."""
    file = folder / FILE
    return file.read_bytes().count(b"\n") if file.exists() else 0


class UntilEnough(L.Callback):
    """Ends a training once a file says so."""

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        trainer.should_stop = Path(ENOUGH).exists()


class Log(L.Callback):
    """Appends a line for each step, which no kill can take back."""

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *batch: Any) -> None:
        (optimizer,) = trainer.optimizers
        (group,) = optimizer.param_groups
        step = Step(
            individual=Path(trainer.default_root_dir).name,
            process=os.getpid(),
            time=time.time(),
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            lr=group["lr"],
            optimizer_steps=int(optimizer.state[group["params"][0]]["step"]),
        )
        file = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, json.dumps(asdict(step)).encode() + b"\n")
        os.close(file)


def _train(epochs: int, *callbacks: L.Callback) -> LightningObjective:
    settings = {"callbacks": [Log(), *callbacks], "logger": False}
    return LightningObjective(Net, Images, max_epochs=epochs, early_stopping=None, trainer=settings)


short = _train(10)
long = _train(100_000, UntilEnough())
