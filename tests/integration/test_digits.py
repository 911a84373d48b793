"""The digits problem: its data, its network, and the objective that ties them."""

from __future__ import annotations

import doctest
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import evo.problems.digits
from evo.problems.digits import Digits, DigitsNet, objective, parts
from evo.testing.trials import FakeTrial

PARAMETERS = ["conv_layers", "channels", "activation", "optimizer", "lr", "dropout", "momentum"]


@pytest.fixture
def trial(tmp_path: Path) -> FakeTrial:
    return FakeTrial(tmp_path)


def test_the_parts_share_1797_images_without_overlap() -> None:
    images = {name: part.tensors[0] for name, part in parts().items()}
    assert {name: len(rows) for name, rows in images.items()} == {"train": 1257, "val": 270, "test": 270}
    assert len(torch.cat(list(images.values())).flatten(1).unique(dim=0)) == 1797


def test_images_are_scaled_and_digits_are_labels() -> None:
    images, digits = parts()["train"].tensors
    assert images.shape[1:] == (1, 8, 8)
    assert images.dtype == torch.float32
    assert (float(images.min()), float(images.max())) == (0.0, 1.0)
    assert digits.dtype == torch.int64
    assert digits.unique().tolist() == list(range(10))


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_every_digit_has_its_share_of_every_part(name: str) -> None:
    everything = torch.cat([part.tensors[1] for part in parts().values()])
    digits = parts()[name].tensors[1]
    expected = everything.bincount() * len(digits) / len(everything)
    assert (digits.bincount() - expected).abs().max() <= 1


def test_the_split_is_the_same_in_every_process_and_does_not_depend_on_the_seed() -> None:
    first = parts()["val"].tensors[0].clone()
    parts.cache_clear()
    torch.manual_seed(5)
    assert torch.equal(parts()["val"].tensors[0], first)


def test_validation_and_test_are_one_batch_and_training_has_the_batch_size_asked_for() -> None:
    data = Digits(batch_size=100)
    assert len(data.train_dataloader()) == 13
    assert len(data.val_dataloader()) == len(data.test_dataloader()) == 1


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("conv_layers", [1, 4])
def test_every_architecture_of_the_search_space_gives_ten_logits(conv_layers: int, activation: Any) -> None:
    model = DigitsNet(conv_layers=conv_layers, channels=4, activation=activation, dropout=0.5)
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in model.modules()) == conv_layers


def test_momentum_is_that_of_sgd_and_adam_has_none() -> None:
    assert DigitsNet(optimizer="sgd", momentum=0.3).configure_optimizers().param_groups[0]["momentum"] == 0.3
    assert DigitsNet(optimizer="sgd").configure_optimizers().param_groups[0]["momentum"] == 0.9
    assert isinstance(DigitsNet(optimizer="adam", momentum=0.3).configure_optimizers(), torch.optim.Adam)


@pytest.mark.parametrize("wrong", [{"conv_layers": 0}, {"activation": "gelu"}, {"optimizer": "lion"}])
def test_a_parameter_that_is_not_in_range_is_named(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        DigitsNet(**wrong)


def test_the_objective_takes_every_parameter_of_the_search_space_and_pickles() -> None:
    objective.check([*PARAMETERS, "batch_size"])
    assert pickle.loads(pickle.dumps(objective)) == objective


def test_a_good_network_reads_nineteen_digits_of_twenty_and_its_test_agrees(trial: FakeTrial) -> None:
    params = {"conv_layers": 2, "channels": 16, "activation": "relu", "optimizer": "adam", "lr": 0.01}
    loss = objective(params, trial)
    assert loss == min(loss for _, loss in trial.reports) == trial.metrics["val_loss"]
    assert trial.metrics["val_acc"] > 0.95
    assert trial.metrics["best_epoch"] <= trial.metrics["epochs"] == len(trial.reports) <= 12
    metrics = objective.test(params, trial)
    assert set(metrics) == {"test_loss", "test_acc"}
    assert metrics["test_acc"] > 0.95


def test_the_same_seed_gives_the_same_losses(tmp_path: Path) -> None:
    short = replace(objective, max_epochs=2)
    trials = [FakeTrial(tmp_path, seed=seed) for seed in (3, 3, 4)]
    for trial in trials:
        short({"channels": 8, "optimizer": "sgd", "lr": 0.05, "dropout": 0.2}, trial)
    assert trials[0].reports == trials[1].reports != trials[2].reports


def test_the_best_weights_load_without_naming_the_parameters_again(trial: FakeTrial) -> None:
    replace(objective, max_epochs=1)({"conv_layers": 3, "channels": 5}, trial)
    model = DigitsNet.load_from_checkpoint(trial.folder / "best.ckpt", map_location="cpu")
    assert (model.hparams["conv_layers"], model.hparams["channels"]) == (3, 5)


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.problems.digits).failed == 0
