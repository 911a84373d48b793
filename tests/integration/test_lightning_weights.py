"""The weights that are kept are those that the loss belongs to, whatever callbacks and modules do with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch import callbacks as shipped
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from evo.lightning import LightningObjective
from evo.objective.objective import Interrupted
from evo.testing.trials import FakeTrial


class Net(L.LightningModule):
    """A small network that learns so fast that the weights of no two validations are alike."""

    def __init__(self, lr: float = 0.05) -> None:
        super().__init__()
        self.lr, self.batch_size = lr, 16
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)

    def loss(self, batch: Any) -> torch.Tensor:
        return mse_loss(self.head(self.backbone(batch[0])), batch[1])

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_loss", self.loss(batch))

    def predict_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.head(self.backbone(batch[0]))

    def configure_optimizers(self) -> Any:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.SGD(trained, lr=self.lr)


class Data(L.LightningDataModule):
    """Validation and test see the very same rows."""

    def setup(self, stage: str) -> None:
        x = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
        self.rows = TensorDataset(x, x.sum(1, keepdim=True))

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.rows, batch_size=16)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.rows, batch_size=48)

    test_dataloader = val_dataloader


class EveryEpoch(shipped.WeightAveraging):
    """Averages after the validation, so that the average of the validation is the one before."""

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None


class Writer(shipped.BasePredictionWriter):
    def __init__(self) -> None:
        super().__init__("batch")


CALLBACKS: dict[str, Callable[[str], Any]] = {
    "EMAWeightAveraging": lambda folder: shipped.EMAWeightAveraging(decay=0.7),
    "WeightAveraging": lambda folder: shipped.WeightAveraging(),
    "WeightAveraging of epochs": lambda folder: EveryEpoch(),
    "StochasticWeightAveraging": lambda folder: shipped.StochasticWeightAveraging(0.05, swa_epoch_start=1),
    "ModelPruning": lambda folder: shipped.ModelPruning("l1_unstructured", amount=0.3),
    "ModelPruning after validations": lambda folder: shipped.ModelPruning(
        "l1_unstructured", amount=0.3, prune_on_train_epoch_end=False
    ),
    "ModelPruning with masks": lambda folder: shipped.ModelPruning(
        "l1_unstructured", amount=0.3, make_pruning_permanent=False
    ),
    "LearningRateFinder": lambda folder: shipped.LearningRateFinder(num_training_steps=5, max_lr=0.1),
    "BatchSizeFinder": lambda folder: shipped.BatchSizeFinder(max_trials=2, steps_per_trial=1),
    "BackboneFinetuning": lambda folder: shipped.BackboneFinetuning(unfreeze_backbone_at_epoch=1),
    "GradientAccumulationScheduler": lambda folder: shipped.GradientAccumulationScheduler({0: 2, 1: 1}),
    "EarlyStopping": lambda folder: shipped.EarlyStopping("val_loss", patience=1),
    # Those that only watch, which nothing keeps from watching together, but for two of a kind.
    "what watches": lambda folder: [
        shipped.LearningRateMonitor(),
        shipped.DeviceStatsMonitor(cpu_stats=False),
        shipped.Timer(duration="00:01:00:00"),
        shipped.LambdaCallback(on_train_start=print),
        shipped.ThroughputMonitor(batch_size_fn=len, window_size=2),
        shipped.SpikeDetection(),
        shipped.ModelCheckpoint(folder, monitor="val_loss", save_last=True),
        shipped.OnExceptionCheckpoint(folder),
        shipped.RichProgressBar(),
        shipped.RichModelSummary(),
        Writer(),
    ],
    "what else watches": lambda folder: [shipped.TQDMProgressBar(), shipped.ModelSummary()],
}


def callbacks_of(name: str, folder: Path) -> list[Any]:
    """Callbacks by the name of one, or of several."""
    made = CALLBACKS[name](str(folder / "own"))
    return made if isinstance(made, list) else [made]


def recorded_and_tested(model: Any, folder: Path, **settings: Any) -> tuple[float, float]:
    """The loss of a training, and that of the test of its best weights on the same rows."""
    objective = LightningObjective(model, Data, **{"max_epochs": 3} | settings)
    loss = objective({}, FakeTrial(folder))
    return loss, objective.test({}, FakeTrial(folder))["test_loss"]


@pytest.mark.parametrize("often", [1.0, 0.5], ids=["at the end of epochs", "within epochs"])
@pytest.mark.parametrize("name", CALLBACKS)
def test_the_test_of_the_best_weights_gives_the_recorded_loss(name: str, often: float, tmp_path: Path) -> None:
    trainer = {"callbacks": callbacks_of(name, tmp_path), "val_check_interval": often, "log_every_n_steps": 1}
    loss, tested = recorded_and_tested(Net, tmp_path / "0-0", trainer=trainer)
    assert tested == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("name", CALLBACKS)
def test_so_it_does_when_the_training_was_interrupted(name: str, tmp_path: Path) -> None:
    trainer = {"callbacks": callbacks_of(name, tmp_path)}
    objective = LightningObjective(Net, Data, max_epochs=3, trainer=trainer, early_stopping=False)
    with pytest.raises(Interrupted):
        objective({}, FakeTrial(tmp_path / "0-0", interrupted_after=2))
    trial = FakeTrial(tmp_path / "0-0")
    loss = objective({}, trial)
    assert trial.metrics["epochs"] == len(trial.reports) == (4 if name == "StochasticWeightAveraging" else 3)
    assert objective.test({}, FakeTrial(tmp_path / "0-0"))["test_loss"] == pytest.approx(loss, rel=1e-5)


class Averaged(Net):
    """Validates and tests with averaged weights, which it exchanges for its own, as many packages do."""

    hooks = ("validation_start", "validation_end")

    def __init__(self) -> None:
        super().__init__(lr=0.2)
        self.average = nn.ModuleDict(
            {"backbone": nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), "head": nn.Linear(4, 1)}
        )
        self.average.requires_grad_(False)
        self.is_exchanged = False

    def exchange(self) -> None:
        self.is_exchanged = not self.is_exchanged
        own = [*self.backbone.state_dict().values(), *self.head.state_dict().values()]
        for mine, other in zip(own, self.average.state_dict().values(), strict=True):
            kept = mine.clone()
            mine.copy_(other)
            other.copy_(kept)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        own = [*self.backbone.state_dict().values(), *self.head.state_dict().values()]
        for mine, other in zip(own, self.average.state_dict().values(), strict=True):
            other.copy_(other * 0.5 + mine * 0.5)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert not self.is_exchanged, "the checkpoint would hold the averages as the weights"
        assert checkpoint["optimizer_states"]
        assert "callbacks" in checkpoint

    def on_test_start(self) -> None:
        assert not self.is_exchanged
        self.exchange()

    def on_test_end(self) -> None:
        self.exchange()


class InStartAndEnd(Averaged):
    def on_validation_start(self) -> None:
        self.exchange()

    def on_validation_end(self) -> None:
        self.exchange()


class InEpochStartAndEnd(Averaged):
    def on_validation_epoch_start(self) -> None:
        self.exchange()

    def on_validation_epoch_end(self) -> None:
        self.exchange()


class UntilTrainingGoesOn(Averaged):
    def on_validation_start(self) -> None:
        self.exchange()

    def on_validation_model_train(self) -> None:
        super().on_validation_model_train()
        self.exchange()


class AverageOfItsOwn(L.Callback):
    """Keeps averaged weights in its state, and puts them in for validations and tests."""

    def __init__(self) -> None:
        self.average: dict[str, torch.Tensor] = {}
        self.kept: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average = state_dict["average"]

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: Any) -> None:
        for name, value in pl_module.state_dict().items():
            self.average[name] = self.average.get(name, value) * 0.5 + value * 0.5

    def put_in(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.kept = {name: value.clone() for name, value in pl_module.state_dict().items()}
        pl_module.load_state_dict(self.average)

    def put_back(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.load_state_dict(self.kept)

    on_validation_start = on_test_start = put_in
    on_validation_end = on_test_end = put_back


@pytest.mark.parametrize("often", [1.0, 0.5], ids=["at the end of epochs", "within epochs"])
@pytest.mark.parametrize("model", [InStartAndEnd, InEpochStartAndEnd, UntilTrainingGoesOn, AverageOfItsOwn])
def test_a_module_or_a_callback_may_exchange_the_weights_for_validations(
    model: Any, often: float, tmp_path: Path
) -> None:
    callbacks = [AverageOfItsOwn()] if model is AverageOfItsOwn else []
    trainer = {"val_check_interval": often, "callbacks": callbacks}
    loss, tested = recorded_and_tested(Net if callbacks else model, tmp_path, trainer=trainer)
    assert tested == pytest.approx(loss, rel=1e-5)


def test_what_evo_needs_to_go_on_is_in_no_other_checkpoint(tmp_path: Path) -> None:
    own = shipped.ModelCheckpoint(tmp_path / "own", save_last=True)
    trial = FakeTrial(tmp_path, checkpoint_interval=0.0)
    LightningObjective(Net, Data, max_epochs=2, trainer={"callbacks": [own]})({}, trial)
    for file in [tmp_path / "best.ckpt", *(tmp_path / "own").iterdir()]:
        content = torch.load(file, weights_only=True)
        assert not {"SaveState", "TrialReport"} & content["callbacks"].keys()
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert {"SaveState", "TrialReport"} <= state["callbacks"].keys()
    assert (tmp_path / "best.ckpt").stat().st_size < (tmp_path / "last.ckpt").stat().st_size


def test_modules_and_loggers_find_the_best_weights_by_lightnings_attributes(tmp_path: Path) -> None:
    class Looks(Net):
        def on_train_end(self) -> None:
            checkpoint = self.trainer.checkpoint_callback
            found.append((checkpoint.best_model_path, float(checkpoint.best_model_score)))

    found: list[tuple[str, float]] = []
    loss = LightningObjective(Looks, Data, max_epochs=1)({}, FakeTrial(tmp_path))
    assert found == [(str(tmp_path / "best.ckpt"), pytest.approx(loss))]
