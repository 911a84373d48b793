"""MNIST with evolution: the depth, the activation and the learning rate of a small convolutional network.

- `mpirun -N 4 python tutorials/mnist.py`: 4 ranks on each node, each with a GPU of its own if there are that many
- `python tutorials/mnist.py --smoke-test`: seconds, on small generated files
- `mpirun -N 4 python -m evo.run tutorials/mnist.yaml`: the same search, from a study file
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import lightning as L
import numpy as np
import torch
from datafiles.download import download
from datafiles.idx import read_idx, write_idx
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

import evo

FOLDER = Path("data/mnist")
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {  # The files, with their MD5 checksums.
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
LIMITS = {"conv_layers": (2, 10), "activation": ("relu", "sigmoid", "tanh"), "lr": (0.01, 0.0001)}


class Network(L.LightningModule):
    """3x3 convolutions of 10 channels each, then one linear layer."""

    def __init__(self, conv_layers: int = 2, activation: str = "relu", lr: float = 0.01) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for layer in range(conv_layers):
            layers += [nn.Conv2d(10 if layer else 1, 10, 3, padding=1), ACTIVATIONS[activation]()]
        self.network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(10 * 28 * 28, 10))
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
        logits = self.network(images / 255)  # Until here they are bytes, which take a quarter of the memory.
        loss = cross_entropy(logits, labels)
        hits = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_acc": hits}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Images(L.LightningDataModule):
    """MNIST: 50,000 images to train, 10,000 to validate, and the 10,000 test images to test the best network."""

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__()
        self.folder = folder

    def prepare_data(self) -> None:
        for name, md5 in FILES.items():
            if not (self.folder / name).with_suffix("").exists():
                download(self.folder / name, URL + name, md5)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(read_parts(self.folder)["train"], batch_size=8, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(read_parts(self.folder)["val"], batch_size=1000)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(read_parts(self.folder)["test"], batch_size=1000)


@cache  # A process trains many networks on the same images.
def read_parts(folder: Path) -> dict[str, Dataset[tuple[Tensor, ...]]]:
    """Images (count, 1, 28, 28), bytes, with their labels (count,): to train, to validate, to test."""
    images, labels, test_images, test_labels = (torch.from_numpy(read_idx(folder / name)) for name in FILES)
    known = TensorDataset(images[:, None], labels.long())
    train, val = random_split(known, [5 / 6, 1 / 6], torch.Generator().manual_seed(0))
    return {"train": train, "val": val, "test": TensorDataset(test_images[:, None], test_labels.long())}


def write_small_files(folder: Path, count: int = 120) -> None:
    """Write files like those of MNIST, whose images are noise with a bright square where the label says."""
    rng = np.random.default_rng(0)
    for images_name, labels_name, size in zip(list(FILES)[::2], list(FILES)[1::2], (count, count // 2), strict=True):
        labels = np.arange(size) % 10
        images = rng.integers(0, 100, (size, 28, 28))
        for image, label in zip(images, labels, strict=True):
            row, column = 14 * (label // 5), 5 * (label % 5)
            image[row + 2 : row + 12, column + 2 : column + 6] = 255
        write_idx(folder / images_name, images)
        write_idx(folder / labels_name, labels)


objective = evo.LightningObjective(
    Network,
    Images,
    max_epochs=100,
    monitor="val_acc",  # The loss is the negative best validation accuracy,
    mode="max",
    early_stopping={"monitor": "val_loss"},  # but the training ends when the validation loss no longer falls.
)


def main() -> int:
    """Search as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description="Search for a network that reads MNIST.")
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder with the files of MNIST, or to download to")
    parser.add_argument("--run-dir", help="directory of the study; default: runs/mnist, none for a smoke test")
    parser.add_argument("--smoke-test", action="store_true", help="on small generated files, for seconds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if asked.smoke_test else asked.data
        if asked.smoke_test:
            write_small_files(folder)
        try:
            Images(folder).prepare_data()  # Missing or damaged files are to be found before the search.
            read_parts.__wrapped__(folder)  # The images are not kept here, because a child process trains.
        except (OSError, ValueError) as error:
            parser.error(str(error))
        result = evo.minimize(
            replace(objective, data=partial(Images, folder=folder), max_epochs=2 if asked.smoke_test else 100),
            LIMITS,
            generations=2 if asked.smoke_test else 10,  # The number that each rank breeds.
            propagator={"name": "genetic", "crossover": 0.7, "mutation": 0.4, "random_init": 0.1},
            run_dir=asked.run_dir or (None if asked.smoke_test else "runs/mnist"),
            quiet=False,
        )
    return 85 if result.interrupted else 0  # As for evo itself, 85 means: run the same command again.


if __name__ == "__main__":
    sys.exit(main())
