"""A training of no size, for the run directories beside this file."""

import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset

import evo


class Network(L.LightningModule):
    """One neuron.

    Args:
        lr: Its learning rate.
    """

    def __init__(self, lr=0.1):
        super().__init__()
        self.lr = lr
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, index):
        return (self.layer(batch[0]) - batch[1]).pow(2).mean()

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def test_step(self, batch, index):
        self.log("test_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Data(L.LightningDataModule):
    """A sum of two numbers.

    Args:
        batch_size: Examples in a batch.
    """

    def __init__(self, batch_size=8):
        super().__init__()
        self.batch_size = batch_size

    def _loader(self):
        points = torch.linspace(-1, 1, 32).reshape(16, 2)
        return DataLoader(TensorDataset(points, points.sum(1, keepdim=True)), batch_size=self.batch_size)

    train_dataloader = val_dataloader = test_dataloader = _loader


objective = evo.LightningObjective(Network, Data, max_epochs=2)
