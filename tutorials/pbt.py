"""Population-based training: hyperparameters that change while networks learn to read MNIST.

- `mpirun -N 4 python tutorials/pbt.py`: 4 ranks on each node, each with a GPU of its own if there are that many
- `python tutorials/pbt.py --smoke-test`: seconds, on small generated files
- `mpirun -N 4 python -m evo.run tutorials/pbt.yaml`: the same search, from a study file
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning as L
import mnist
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import evo
from evo.report.lineages import LineageSegment

EPOCHS = 20
POPULATION = 8
LIMITS: dict[str, evo.Float | evo.Choice] = {
    "lr": evo.Float(1e-4, 1e-1, log=True, mutable=True),
    "weight_decay": evo.Float(1e-5, 1e-1, log=True, mutable=True),
    "dropout": evo.Float(0.0, 0.8, mutable=True),
    "batch_size": evo.Choice(32, 64, 128, 256, 512, mutable=True),
}


class Network(L.LightningModule):
    """Two convolutions, each followed by pooling, and two linear layers with dropout between them."""

    def __init__(self, lr: float = 0.001, weight_decay: float = 0.01, dropout: float = 0.25) -> None:
        super().__init__()
        convolutions = [
            nn.Conv2d(1, 16, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        linear = [nn.Linear(32 * 5 * 5, 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, 10)]
        self.network = nn.Sequential(*convolutions, nn.Flatten(), *linear)
        self.lr, self.weight_decay = lr, weight_decay

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("train", batch)

    def validation_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("val", batch)

    def test_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("test", batch)

    def evaluate(self, part: str, batch: list[Tensor]) -> Tensor:
        """The loss, which is logged with the accuracy, to TensorBoard and for evo."""
        images, labels = batch
        logits = self.network(images / 255)
        loss = cross_entropy(logits, labels)
        hits = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_acc": hits}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)


class Images(mnist.Images):
    """The images of the first tutorial, in batches of a size that is searched."""

    def __init__(self, batch_size: int = 64, folder: Path = mnist.FOLDER) -> None:
        super().__init__(folder)
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(mnist.read_parts(self.folder)["train"], self.batch_size, shuffle=True)


objective = evo.LightningObjective(Network, Images, max_epochs=EPOCHS, monitor="val_loss")


def draw_schedule(lineage: Sequence[LineageSegment], file: Path) -> None:
    """Draw the hyperparameters of a network epoch by epoch, each within its limits, and the validation loss."""
    figure = Figure(figsize=(7, 9), layout="constrained")
    *rows, last = figure.subplots(len(LIMITS) + 1, sharex=True)
    epochs = [lineage[0].begin, *(segment.until for segment in lineage)]
    for axes, (name, limit) in zip(rows, LIMITS.items(), strict=True):
        axes.stairs([segment.params[name] for segment in lineage], epochs, baseline=None, linewidth=2)
        axes.set(ylabel=name, yscale="linear" if name == "dropout" else "log")
        if isinstance(limit, evo.Choice):
            axes.minorticks_off()
            axes.set_yticks(limit.values, limit.values)
        else:
            axes.set_ylim(limit.low, limit.high)
    last.plot(epochs[1:], [segment.loss for segment in lineage], marker="o")
    last.set(ylabel="validation loss", xlabel="epochs", yscale="log")
    last.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(file)


def main() -> int:
    """Search as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description="Train a population of networks that read MNIST.")
    parser.add_argument("--data", type=Path, default=mnist.FOLDER, help="folder with the files, or to download them to")
    parser.add_argument("--run-dir", help="directory of the study; default: runs/pbt, none for a smoke test")
    parser.add_argument("--smoke-test", action="store_true", help="on small generated files, for seconds")
    asked = parser.parse_args()
    epochs, population = (3, 4) if asked.smoke_test else (EPOCHS, POPULATION)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if asked.smoke_test else asked.data
        if asked.smoke_test:
            mnist.write_small_files(folder)
        try:
            Images(folder=folder).prepare_data()  # Missing or damaged files are to be found before the search.
            mnist.read_parts.__wrapped__(folder)  # The images are not kept here, because a child process trains.
        except (OSError, ValueError) as error:
            parser.error(str(error))
        result = evo.minimize(
            replace(objective, data=partial(Images, folder=folder), max_epochs=epochs),
            LIMITS,
            propagator={"name": "pbt", "population": population, "interval": 1},
            evaluations=population * epochs,  # Each is one epoch of one network.
            run_dir=asked.run_dir or (None if asked.smoke_test else "runs/pbt"),
            quiet=False,
        )
    if result.is_first and result.best and result.run_dir:
        draw_schedule(result.lineage(), result.run_dir / "schedule.png")
    return 85 if result.interrupted else 0  # As for evo itself, 85 means: run the same command again.


if __name__ == "__main__":
    sys.exit(main())
