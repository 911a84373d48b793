"""Handwritten digits: 1,797 grey images of 8x8 pixels that come with scikit-learn, so nothing is downloaded.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, doi:10.24432/C50P49 (its test part).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, final

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from evo.errors import UserError
from evo.lightning import LightningObjective

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
SPLIT_SEED = 0  # The split has its own seed, so that all individuals of all studies see the same.
CLASSES = 10


@final
class DigitsNet(L.LightningModule):
    """A small convolutional network for 8x8 images; logs val_loss, val_acc, test_loss and test_acc.

    Args:
        conv_layers: Number of 3x3 convolutions, at least 1; the image is halved after the first one.
        channels: Channels of every convolution.
        activation: "relu", "sigmoid" or "tanh".
        optimizer: "sgd" or "adam".
        lr: Learning rate.
        dropout: Share of the features that is dropped before the last layer, 0 to 1.
        momentum: Momentum of SGD, 0 to 1; Adam does not use it.

    Raises:
        UserError: conv_layers is below 1, or activation or optimizer is none of these.

    Example:
        >>> import torch
        >>> DigitsNet(conv_layers=2, channels=8)(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        conv_layers: int = 2,
        channels: int = 16,
        activation: Literal["relu", "sigmoid", "tanh"] = "relu",
        optimizer: Literal["sgd", "adam"] = "adam",
        lr: float = 3e-3,
        dropout: float = 0.0,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        if conv_layers < 1:
            raise UserError(f"conv_layers is {conv_layers}: the network needs at least 1.")
        if activation not in ACTIVATIONS:
            raise UserError(f"activation is {activation!r}: it must be one of {', '.join(ACTIVATIONS)}.")
        if optimizer not in ("sgd", "adam"):
            raise UserError(f"optimizer is {optimizer!r}: it must be sgd or adam.")
        self.save_hyperparameters()  # so that DigitsNet.load_from_checkpoint(path) needs nothing else
        layers: list[nn.Module] = []
        for layer in range(conv_layers):
            layers += [nn.Conv2d(channels if layer else 1, channels, 3, padding=1), ACTIVATIONS[activation]()]
            if layer == 0:
                layers.append(nn.MaxPool2d(2))
        self.network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels * 4 * 4, CLASSES))
        self.optimizer, self.lr, self.momentum = optimizer, lr, momentum

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, 1, 8, 8), 0 to 1, to logits (batch, 10)."""
        logits: Tensor = self.network(images)
        return logits

    @override
    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, digits = batch
        loss = cross_entropy(self(images), digits)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(digits))
        return loss

    @override
    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        self._evaluate("val", batch)

    @override
    def test_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> dict[str, Tensor]:
        return {"preds": self._evaluate("test", batch), "target": batch[1]}  # for the confusion matrix

    def _evaluate(self, part: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, digits = batch
        logits: Tensor = self(images)
        hits = (logits.argmax(1) == digits).float().mean()
        metrics = {f"{part}_loss": cross_entropy(logits, digits), f"{part}_acc": hits}
        self.log_dict(metrics, batch_size=len(digits))
        return logits

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.optimizer == "sgd":
            return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=self.momentum)
        return torch.optim.Adam(self.parameters(), lr=self.lr)


@final
class Digits(L.LightningDataModule):
    """The digits, in memory: 1,257 images to train, 270 to validate, 270 to test, equal shares of every digit.

    Args:
        batch_size: Images in a training batch, at least 1. Validation and test are one batch each.

    Example:
        >>> data = Digits()
        >>> data.setup("fit")
        >>> images, digits = next(iter(data.train_dataloader()))
        >>> images.shape, digits.shape
        (torch.Size([64, 1, 8, 8]), torch.Size([64]))
    """

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        self.batch_size = batch_size

    @override
    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(parts()["train"], batch_size=self.batch_size, shuffle=True)

    @override
    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(parts()["val"], batch_size=len(parts()["val"]))

    @override
    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(parts()["test"], batch_size=len(parts()["test"]))


@lru_cache(maxsize=1)  # A process trains hundreds of individuals on the same images.
def parts() -> dict[str, TensorDataset]:
    """The split into train, val and test: images (count, 1, 8, 8) float32 from 0 to 1, digits (count,) int64."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    train, held_out = train_test_split(np.arange(len(digits)), test_size=540, stratify=digits, random_state=SPLIT_SEED)
    val, test = train_test_split(held_out, test_size=270, stratify=digits[held_out], random_state=SPLIT_SEED)
    return {
        name: TensorDataset(torch.from_numpy(images[rows]), torch.from_numpy(digits[rows]))
        for name, rows in {"train": train, "val": val, "test": test}.items()
    }


# The loss is the cross-entropy, not the accuracy: of 270 images, accuracy has so few values that good networks tie (the
# ten best of 240 random ones share four), while their cross-entropies differ and order the test loss better.
objective = LightningObjective(DigitsNet, Digits, monitor="val_loss", max_epochs=12)
