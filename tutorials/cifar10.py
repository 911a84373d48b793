"""CIFAR-10 with early termination: bad candidates are stopped after one, two, four or eight epochs.

- `mpirun -N 8 python tutorials/cifar10.py` on a node with 4 GPUs: two trainings share each of them
- `python tutorials/cifar10.py --smoke-test`: seconds, on small generated files
- `mpirun -N 8 python -m evo.run tutorials/cifar10.yaml`: the same search, from a study file
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from datafiles.cifar import ARCHIVE, read_batches, write_archive
from datafiles.cifar import FOLDER as UNPACKED
from datafiles.download import download
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

import evo

FOLDER = Path("data/cifar10")
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
MD5 = "c58f30108f718f92721af3b95e74349a"
TRAINING = [f"data_batch_{number}" for number in range(1, 6)]
EPOCHS = 10
WIDTHS = (4, 8, 16, 32, 64, 128, 256)
LIMITS = {"l1": WIDTHS, "l2": WIDTHS, "lr": evo.Float(1e-4, 1e-1, log=True), "batch_size": (2, 4, 8, 16)}


class Network(L.LightningModule):
    """Two convolutions and three linear layers, like LeNet; the search sets the widths of two of these."""

    def __init__(self, l1: int = 128, l2: int = 64, lr: float = 0.001) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
        linear = [nn.Linear(16 * 5 * 5, l1), nn.ReLU(), nn.Linear(l1, l2), nn.ReLU(), nn.Linear(l2, 10)]
        self.network = nn.Sequential(*convolutions, nn.Flatten(), *linear)
        self.lr = lr

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("train", batch)

    def validation_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("val", batch)

    def test_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("test", batch)

    def evaluate(self, part: str, batch: list[Tensor]) -> Tensor:
        """The loss, which is logged with the accuracy, to TensorBoard and for evo."""
        images, labels = batch
        logits = self.network(images / 127.5 - 1)
        loss = cross_entropy(logits, labels)
        hits = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_acc": hits}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Images(L.LightningDataModule):
    """CIFAR-10: 80 % of the 50,000 images to train, 20 % to validate; the 10,000 test images only at the end."""

    def __init__(self, batch_size: int = 4, folder: Path = FOLDER) -> None:
        super().__init__()
        self.batch_size, self.folder = batch_size, folder

    def prepare_data(self) -> None:
        if not (self.folder / UNPACKED).is_dir():
            download(self.folder / ARCHIVE, URL, MD5)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(read_parts(self.folder)["train"], batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(read_parts(self.folder)["val"], batch_size=1000)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(read_parts(self.folder)["test"], batch_size=1000)


@cache  # A process trains many networks on the same images.
def read_parts(folder: Path) -> dict[str, Dataset[tuple[Tensor, ...]]]:
    """Images (count, 3, 32, 32), bytes, with their labels (count,): to train, to validate, to test."""
    known, test = (TensorDataset(*map(torch.from_numpy, read_batches(folder, n))) for n in (TRAINING, ["test_batch"]))
    train, val = random_split(known, [0.8, 0.2], torch.Generator().manual_seed(0))
    return {"train": train, "val": val, "test": test}


def write_small_files(folder: Path, count: int = 20) -> None:
    """Write an archive like that of CIFAR-10, whose images are noise in a colour that tells the label."""
    rng, labels = np.random.default_rng(0), np.arange(count) % 10
    tints = 12 * np.stack([labels, 10 - labels, labels % 5], axis=1)[:, :, None, None]
    batches = {name: (rng.integers(0, 120, (count, 3, 32, 32)) + tints).astype(np.uint8) for name in TRAINING}
    batches["test_batch"] = (rng.integers(0, 120, (count, 3, 32, 32)) + tints).astype(np.uint8)
    write_archive(folder / ARCHIVE, {name: (images, labels) for name, images in batches.items()})


objective = evo.LightningObjective(Network, Images, max_epochs=EPOCHS, monitor="val_loss", early_stopping=False)


def table(candidates: Sequence[Any]) -> str:
    """A table of all candidates, with a line for each."""
    rows = [["name", "status", "place", *LIMITS, "loss", "accuracy", "epochs"]]
    for one in candidates:
        figures = [*(one.params[name] for name in LIMITS), one.loss, *map(one.metrics.get, ("val_acc", "epochs"))]
        place = f"rank {one.rank}, {one.host} {one.device}"
        rows.append([one.name, one.status, place, *("" if x is None else f"{x:.4g}" for x in figures)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main() -> int:
    """Search as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description="Search for a small network for CIFAR-10.")
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder with the archive, or to download it to")
    parser.add_argument("--run-dir", help="directory of the study; default: runs/cifar10, none for a smoke test")
    parser.add_argument("--smoke-test", action="store_true", help="on small generated files, for seconds")
    asked = parser.parse_args()
    epochs = 2 if asked.smoke_test else EPOCHS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if asked.smoke_test else asked.data
        if asked.smoke_test:
            write_small_files(folder)
        try:
            Images(folder=folder).prepare_data()  # Missing or damaged files are to be found before the search.
            read_parts.__wrapped__(folder)  # The images are not kept here, because a child process trains.
        except (OSError, ValueError) as error:
            parser.error(str(error))
        result = evo.minimize(
            replace(objective, data=partial(Images, folder=folder), max_epochs=epochs),
            LIMITS,
            evaluations=6 if asked.smoke_test else 40,
            pruning={"name": "halving", "grace": 1, "reduction": 2, "maximum": epochs},
            checkpoint_interval="1m",  # A training that is killed loses a minute at most.
            gpu_memory=0.45,  # Two trainings share a GPU. One that needs more fails by itself.
            run_dir=asked.run_dir or (None if asked.smoke_test else "runs/cifar10"),
            quiet=False,
        )
    if result.is_first:
        print(f"\nAll candidates\n\n{table(result.individuals)}\n")
        if result.best:
            print(f"best configuration: {result.best.params}")
            print(f"accuracy on the test set, from its saved weights: {result.test.get('test_acc', 'not known')}")
    return 85 if result.interrupted else 0  # As for evo itself, 85 means: run the same command again.


if __name__ == "__main__":
    sys.exit(main())
