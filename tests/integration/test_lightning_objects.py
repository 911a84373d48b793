"""Checkpoints that hold more than tensors and plain values are loaded where they are the training's own."""

from __future__ import annotations

import argparse
import enum
import functools
import operator
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import callbacks as shipped
from lightning.pytorch.utilities.parsing import AttributeDict
from test_lightning_metrics import Logs, Two
from torch import nn

from evo.lightning import LightningObjective
from evo.objective.objective import Interrupted
from evo.testing.trials import FakeTrial


class Color(enum.Enum):
    RED = "red"


@dataclass
class Settings:
    width: int = 8


class Scale:
    """Something with a state that can be called."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, value: float) -> float:
        return self.factor * value


THINGS: dict[str, Any] = {
    "path": Path("/data"),
    "enum": Color.RED,
    "number": np.float64(0.5),
    "integer": np.int32(3),
    "array": np.arange(3),
    "dataclass": Settings(),
    "mapping": AttributeDict(a=AttributeDict(b=1)),
    "namespace": argparse.Namespace(a=1),
    "partial": functools.partial(operator.mul, 2.0),
    "callable": Scale(3.0),
    "module": nn.MSELoss(),
    "slice": slice(0, 3),
    "generator": np.random.default_rng(0),
}


class Keeps(Logs):
    """Keeps all of them, in its hyperparameters and in its checkpoints."""

    def __init__(self, things: Any = THINGS, learning_rate: float = 0.1, **more: Any) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.learning_rate = learning_rate

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", float(self.current_epoch))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["things"] = {name: thing for name, thing in THINGS.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert checkpoint["things"]["dataclass"] == Settings()
        assert checkpoint["hyper_parameters"]["things"]["path"] == Path("/data")


class LoadsAnother(Keeps):
    """Begins with what is in a file of another training, which it does not call its own."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.load_state_dict(torch.load(file, weights_only=True)["state_dict"])


def objective(**settings: Any) -> LightningObjective:
    return LightningObjective(Keeps, Two, max_epochs=2, **settings)


def test_a_training_whose_checkpoints_hold_objects_goes_on_and_is_tested(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        objective()({}, FakeTrial(tmp_path, interrupted_after=3))
    trial = FakeTrial(tmp_path)
    assert objective()({}, trial) == 0.0
    assert trial.reports == [(1, 1.0)]
    assert objective().test({}, trial)["test_weight"] == -1.0


def test_lightnings_own_searches_load_what_they_have_saved(tmp_path: Path) -> None:
    for callback in (shipped.LearningRateFinder(num_training_steps=3), shipped.BatchSizeFinder(max_trials=1)):
        trial = FakeTrial(tmp_path / type(callback).__name__)
        objective(trainer={"callbacks": [callback]})({"batch_size": 1}, trial)
        assert trial.reports == [(0, 0.0), (1, 1.0)]


def test_where_another_training_s_file_is_refused_the_message_is_short(tmp_path: Path) -> None:
    objective()({}, FakeTrial(tmp_path / "first"))
    again = LightningObjective(LoadsAnother, Two, max_epochs=2)
    with pytest.raises(pickle.UnpicklingError) as caught:
        again({"file": str(tmp_path / "first/best.ckpt")}, FakeTrial(tmp_path / "second"))
    words = str(caught.value)
    assert "a checkpoint was not loaded, because it holds" in words
    assert "weights_only=False" in words
    assert len(words) < 300
    assert "\n" not in words
