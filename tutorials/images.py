"""Images in class folders, with an architecture search: two to four stages, each with choices of its own.

- `mpirun -N 4 python tutorials/images.py`: 4 ranks on each node, each with a GPU of its own if there are that many
- `mpirun -N 4 python tutorials/images.py --ranks-per-worker 2`: two of them train each network together
- `python tutorials/images.py --smoke-test`: seconds, on small generated files
- `mpirun -N 4 python -m evo.run tutorials/images.yaml`: the same search, from a study file
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from datafiles.folders import read_folders, write_small_folders
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, random_split

import evo

FOLDER = Path("data/images")
SOURCE = "kaggle.com has the data set, Intel Image Classification, for those with an account: unpack it in"
TRAIN, TEST = "seg_train/seg_train", "seg_test/seg_test"  # The folders that unpacking makes.
CLASSES = ("buildings", "forest", "glacier", "mountain", "sea", "street")
STAGE: dict[str, tuple[Any, ...]] = {  # The choices for each stage; the baseline has the first ones.
    "block": ("plain", "residual"),
    "channels": (32, 64, 128),
    "kernel": (3, 5, 7),
    "activation": ("ReLU", "GELU", "SiLU"),
    "norm": (False, True),
    "pooling": ("MaxPool2d", "AvgPool2d"),
}
BASELINE = {"stages": 3, "lr": 1e-4}
LIMITS: dict[str, Any] = {"stages": (2, 4), "lr": evo.Float(1e-5, 1e-2, log=True)}
for stage in range(1, 5):
    when = {"stages": tuple(range(stage, 5))} if stage > 2 else None  # Smaller networks lack this stage.
    LIMITS |= {f"{name}{stage}": evo.Choice(*values, when=when) for name, values in STAGE.items()}


class Block(nn.Module):
    """Two convolutions; a residual block adds its input to their result."""

    def __init__(self, inputs: int, block: str, channels: int, kernel: int, activation: str, norm: bool) -> None:
        super().__init__()
        self.activation, normed = getattr(nn, activation)(), nn.BatchNorm2d if norm else nn.Identity
        first = nn.Conv2d(inputs, channels, kernel, padding="same"), normed(channels), self.activation
        second = nn.Conv2d(channels, channels, kernel, padding="same"), normed(channels)
        self.convolutions = nn.Sequential(*first, *second)
        self.shortcut = nn.Conv2d(inputs, channels, 1) if block == "residual" else None

    def forward(self, images: Tensor) -> Any:
        made = self.convolutions(images)
        return self.activation(made if self.shortcut is None else made + self.shortcut(images))


class Network(L.LightningModule):
    """Each stage is a block, then halves the image; in the end, the scores of all places are averaged."""

    def __init__(self, stages: int = 3, lr: float = 1e-4, **choices: Any) -> None:
        super().__init__()
        layers, channels = list[nn.Module](), 3
        for stage in range(1, stages + 1):
            chosen = {name: choices.get(f"{name}{stage}", values[0]) for name, values in STAGE.items()}
            pooling = getattr(nn, chosen.pop("pooling"))
            layers += [Block(channels, **chosen), pooling(2)]
            channels = chosen["channels"]
        self.network, self.lr = nn.Sequential(*layers, nn.Conv2d(channels, len(CLASSES), 1)), lr

    def training_step(self, batch: list[Tensor], batch_index: int) -> dict[str, Tensor]:
        """The loss, which is logged with the accuracy, and what the confusion matrix is made of."""
        images, labels = batch
        part = "test" if self.trainer.testing else "train" if self.trainer.training else "val"
        scores = self.network(images / 127.5 - 1).mean((2, 3))
        loss, hits = cross_entropy(scores, labels), (scores.argmax(1) == labels).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_acc": hits}, on_step=False, on_epoch=True)
        return {"loss": loss, "preds": scores, "target": labels}

    validation_step = test_step = training_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Images(L.LightningDataModule):
    """80 % of the first folder to train, 20 % to validate; the test images only at the end. evo keeps it in memory."""

    classes = CLASSES  # The names beside the confusion matrix.

    def __init__(self, folder: Path = FOLDER, size: int = 150) -> None:
        super().__init__()
        self.folder, self.size = folder, size

    def setup(self, stage: str) -> None:
        if stage == "fit":
            known = read_folders(self.folder / TRAIN, CLASSES, self.size)
            self.train, self.val = random_split(known, [0.8, 0.2], torch.Generator().manual_seed(0))
        else:
            self.test = read_folders(self.folder / TEST, CLASSES, self.size)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.train, batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.val, batch_size=100)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.test, batch_size=100)

    def on_after_batch_transfer(self, batch: list[Tensor], dataloader_index: int) -> list[Tensor]:
        """Mirror about half of the images, at random, during training; on the GPU, if there is one."""
        images, labels = batch
        chance = 0.5 if self.trainer is not None and self.trainer.training else 0.0
        mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < chance
        return [torch.where(mirrored, images.flip(3), images), labels]


objective = evo.LightningObjective(Network, Images, max_epochs=20, monitor="val_acc", mode="max", early_stopping=False)


def main() -> int:
    """Search as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description="Search for a network that tells landscapes apart.")
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder with seg_train and seg_test")
    parser.add_argument("--run-dir", help="directory of the study; default: runs/images, removed after a smoke test")
    parser.add_argument("--ranks-per-worker", type=int, default=1, help="how many ranks train each network together")
    parser.add_argument("--smoke-test", action="store_true", help="on small generated files, for seconds")
    asked = parser.parse_args()
    run_dir = asked.run_dir or ("images-smoke-test" if asked.smoke_test else "runs/images")
    with tempfile.TemporaryDirectory() as temporary:
        folder, size = (Path(temporary), 16) if asked.smoke_test else (asked.data, 150)
        try:
            for stage, place in (("fit", TRAIN), ("test", TEST)):
                if asked.smoke_test:
                    write_small_folders(folder / place, CLASSES)
                Images(folder, size).setup(stage)  # Missing or damaged files are to be found before the search.
        except ValueError as error:
            parser.error(f"{error} {SOURCE} {FOLDER}, or name its folder with --data.")
        trained = replace(objective, data=partial(Images, folder, size), max_epochs=2 if asked.smoke_test else 20)
        budget = {"evaluations": 2 if asked.smoke_test else 60, "ranks_per_worker": asked.ranks_per_worker}
        result = evo.minimize(trained, LIMITS, **budget, pruning="median", run_dir=run_dir, quiet=False)
        if result.is_first and result.best and not result.interrupted:
            try:
                evo.test(run_dir, trained, baseline=BASELINE)
            except evo.Interrupted as why:
                parser.exit(85, f"{why}\n")
    if asked.smoke_test and not asked.run_dir and result.is_first:
        shutil.rmtree(run_dir)
    return 85 if result.interrupted else 0  # As for evo itself, 85 means: run the same command again.


if __name__ == "__main__":
    sys.exit(main())
