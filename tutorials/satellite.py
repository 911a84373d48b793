"""Satellite images: a large network, many images, and trainings that are as fast as their hardware.

- `mpirun -N 4 python tutorials/satellite.py`: 4 ranks on each node, each with a GPU of its own if there are that many
- `mpirun -N 4 python tutorials/satellite.py --ranks-per-worker 2`: two GPUs for each training
- `python tutorials/satellite.py --smoke-test`: seconds, on small generated files
- `mpirun -N 4 python -m evo.run tutorials/satellite.yaml`: the same search, from a study file
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

import evo

try:
    import timm
    from datafiles.eurosat import CLASSES, prepare, read_packed, write_small_files
except ModuleNotFoundError as error:
    sys.exit(f"{error}, which this tutorial needs: pip install 'evo-mpi[tutorials]' brings it")

FOLDER = Path("data/eurosat")
BACKBONE = "efficientnet_b0"
EPOCHS = 20
LIMITS = {
    "lr": evo.Float(1e-4, 1e-2, log=True),
    "weight_decay": evo.Float(1e-4, 1e-1, log=True),
    "drop_rate": (0.0, 0.5),
    "batch_size": (32, 64, 128),
}
TRAINER = {"precision": "16-mixed" if torch.cuda.is_available() else "bf16-mixed"}


class Network(L.LightningModule):
    """One of timm's networks; `weights` is a file with weights from another task, to begin with."""

    def __init__(
        self, lr: float, weight_decay: float, drop_rate: float, backbone: str = BACKBONE, weights: str | None = None
    ) -> None:
        super().__init__()
        known: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": {"file": weights}} if weights else {}
        network = timm.create_model(backbone, num_classes=len(CLASSES), drop_rate=drop_rate, **known)
        self.network = network.to(memory_format=torch.channels_last)  # The layout of the images, fast on GPUs.
        self.lr, self.weight_decay = lr, weight_decay

    def forward(self, images: Tensor) -> Tensor:
        colours = images.permute(0, 3, 1, 2) / 4000  # Scaled on the GPU: until here, a number has two bytes.
        logits: Tensor = self.network(colours.clamp(0, 1))
        return logits

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("train", batch)

    def validation_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("val", batch)

    def test_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        return self.evaluate("test", batch)

    def evaluate(self, part: str, batch: list[Tensor]) -> Tensor:
        """The loss, which is logged with the accuracy, to TensorBoard and for evo."""
        images, labels = batch
        logits = self(images)
        loss = cross_entropy(logits, labels)
        hits = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_acc": hits}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Images(L.LightningDataModule):
    """EuroSAT, its red, green and blue bands: 80 % of the images to train, 10 % to validate, 10 % to test."""

    def __init__(self, batch_size: int = 64, folder: Path = FOLDER) -> None:
        super().__init__()
        self.batch_size, self.folder = batch_size, folder

    def prepare_data(self) -> None:
        prepare(self.folder)

    def setup(self, stage: str) -> None:
        known = TensorDataset(*read_packed(self.folder))
        self.train, self.val, self.test = random_split(known, [0.8, 0.1, 0.1], torch.Generator().manual_seed(0))

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.val, batch_size=500)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.test, batch_size=500)


# No training ends earlier, because the learning rate falls until the last epoch.
objective = evo.LightningObjective(Network, Images, max_epochs=EPOCHS, early_stopping=False, trainer=TRAINER)


def main() -> int:
    """Search as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description="Search for a network that tells what a satellite image shows.")
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder with the images, or to download them to")
    parser.add_argument("--weights", help=f"file with weights of {BACKBONE} to begin with; default: random ones")
    parser.add_argument("--ranks-per-worker", type=int, default=1, help="GPUs for each training; default: 1")
    parser.add_argument("--profile", action="store_true", help="Lightning's report on each training, which costs time")
    parser.add_argument("--run-dir", help="directory of the study; default: runs/satellite, none for a smoke test")
    parser.add_argument("--smoke-test", action="store_true", help="on small generated files, for seconds")
    asked = parser.parse_args()
    backbone = "test_efficientnet" if asked.smoke_test else BACKBONE
    network = partial(Network, backbone=backbone, weights=asked.weights)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if asked.smoke_test else asked.data
        if asked.smoke_test:
            write_small_files(folder)
        try:
            Images(folder=folder).prepare_data()  # Missing or damaged files are to be found before the search.
        except (OSError, ValueError) as error:
            parser.error(str(error))
        try:
            network(0.0, 0.0, 0.0)
        except Exception as error:  # Each format of weights has exceptions of its own.
            parser.error(f"{asked.weights} has no weights of {backbone}: {type(error).__name__} {error}")
        result = evo.minimize(
            replace(
                objective,
                model=network,
                data=partial(Images, folder=folder),
                max_epochs=2 if asked.smoke_test else EPOCHS,
                trainer=TRAINER | ({"profiler": "simple"} if asked.profile else {}),
            ),
            LIMITS,
            evaluations=4 if asked.smoke_test else 40,
            ranks_per_worker=asked.ranks_per_worker,
            run_dir=asked.run_dir or (None if asked.smoke_test else "runs/satellite"),
            quiet=False,
        )
    return 85 if result.interrupted else 0  # As for evo itself, 85 means: run the same command again.


if __name__ == "__main__":
    sys.exit(main())
