"""Two objectives: networks that read digits, as accurate and as small as can be.

- `mpirun -N 4 python tutorials/objectives.py`: 4 ranks on each node, on two islands
- `python tutorials/objectives.py --smoke-test`: seconds, on few images
- `mpirun -N 4 python -m evo.run tutorials/objectives.yaml`: the same search, from a study file
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import evo
from evo.problems.digits import Digits  # 1,797 images of 8x8 pixels that come with scikit-learn.

EPOCHS = 20
OBJECTIVES: dict[str, Literal["min", "max"]] = {"val_acc": "max", "parameters": "min"}
LIMITS: dict[str, evo.Int | evo.Float | evo.Choice] = {
    "layers": evo.Int(1, 3),
    "channels": evo.Int(1, 32, log=True),
    "kernel": evo.Choice(1, 3, 5),
    "pooled": evo.Choice(1, 2, 4),
    "lr": evo.Float(1e-3, 1e-1, log=True),
    "batch_size": evo.Choice(16, 32, 64, 128),
}


class Network(L.LightningModule):
    """Convolutions of equal width, each followed by a ReLU; their means over parts of the image; one linear layer."""

    def __init__(
        self, layers: int = 2, channels: int = 16, kernel: int = 3, pooled: int = 4, lr: float = 0.003
    ) -> None:
        super().__init__()
        convolutions: list[nn.Module] = []
        for layer in range(layers):
            convolutions += [nn.Conv2d(channels if layer else 1, channels, kernel, padding=kernel // 2), nn.ReLU()]
        means = [nn.AdaptiveAvgPool2d(pooled), nn.Flatten()]
        self.network = nn.Sequential(*convolutions, *means, nn.Linear(channels * pooled**2, 10))
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
        logits = self.network(images)
        loss = cross_entropy(logits, labels)
        hits = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_acc": hits}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


# The best epoch is that of the best accuracy, since this is the first objective that the network logs. How many
# parameters it has, evo counts.
objective = evo.LightningObjective(Network, Digits, max_epochs=EPOCHS, early_stopping={"monitor": "val_loss"})


def main() -> int:
    """Search as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description="Search for accurate and small networks that read digits.")
    parser.add_argument("--run-dir", help="directory of the study; default: runs/objectives, none for a smoke test")
    parser.add_argument("--smoke-test", action="store_true", help="on few images, for seconds")
    asked = parser.parse_args()
    few = replace(objective, max_epochs=2, trainer={"limit_train_batches": 4})
    result = evo.minimize(
        few if asked.smoke_test else objective,
        LIMITS,
        objectives=OBJECTIVES,
        islands=1 if asked.smoke_test else 2,
        evaluations=8 if asked.smoke_test else 100,
        keep_checkpoints=20,  # More than the front has, so that each network on it keeps its weights.
        run_dir=asked.run_dir or (None if asked.smoke_test else "runs/objectives"),
        quiet=False,
    )
    if result.is_first:
        individuals = {one.name: one for one in result.individuals}
        print("\nThe front, on the test images\n\nparameters  accuracy  network")
        for name, found in result.tests.items():
            print(f"{individuals[name].metrics['parameters']:10}  {found['test_acc']:8.3f}  {individuals[name].params}")
    return 85 if result.interrupted else 0  # As for evo itself, 85 means: run the same command again.


if __name__ == "__main__":
    sys.exit(main())
