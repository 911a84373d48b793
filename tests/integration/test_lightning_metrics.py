"""The loss is a metric as people log them: in some validations only, in training, at the end of an epoch, ..."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader, TensorDataset

from evo.lightning import LightningObjective
from evo.lightning.reports import combine
from evo.objective.objective import Interrupted
from evo.testing.trials import FakeTrial

LOSSES = (5.0, 3.0, 1.0, 2.0, 4.0, 6.0, 7.0, 8.0)


class Logs(L.LightningModule):
    """Its weight counts the epochs down from 0; what it logs, subclasses say."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.weight * 0.5  # Of two batches.

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        pass

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_weight", self.weight)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def value(self) -> float:
        return LOSSES[self.current_epoch]


class NowAndThen(Logs):
    every = 3

    def on_validation_epoch_end(self) -> None:
        self.log("always", 0.0)
        if self.current_epoch % self.every == 0:
            self.log("score", self.value())


class InTraining(Logs):
    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log("score", self.value(), on_step=False, on_epoch=True)
        return super().training_step(batch, index)


class InTrainingSteps(Logs):
    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log("score", self.value() - 1 + index, on_step=True, on_epoch=False)  # Lightning's rule: the last one.
        return super().training_step(batch, index)


class InTrainingNowAndThen(Logs):
    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        if self.current_epoch % 2 == 0:
            self.log("score", self.value(), on_epoch=True)
        return super().training_step(batch, index)


class AtTheEndOfTheEpoch(Logs):
    def on_train_epoch_end(self) -> None:
        self.log("score", self.value())


class InValidationSteps(Logs):
    def validation_step(self, batch: Any, index: int) -> None:
        self.log("score", self.value() - 1 + index, on_step=True, on_epoch=False)


class InBoth(InTraining):
    """By one name, in validations what counts, and in training another thing."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log("score", -100.0, on_epoch=True)
        return Logs.training_step(self, batch, index)

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("score", self.value())


class OfTwoLoaders(Logs):
    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        self.log("score", self.value() + 10 * dataloader_idx)


class Two(L.LightningDataModule):
    """Two batches."""

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.zeros(2)), batch_size=1)

    val_dataloader = test_dataloader = train_dataloader


class TwoLoaders(Two):
    def val_dataloader(self) -> Any:
        return [super().val_dataloader(), super().val_dataloader()]


class NoValidation(Two):
    val_dataloader = L.LightningDataModule.val_dataloader


def objective(model: Any, **settings: Any) -> LightningObjective:
    defaults = {"data": Two, "monitor": "score", "max_epochs": 5, "early_stopping": False}
    return LightningObjective(model, **defaults | settings)


@pytest.fixture
def trial(tmp_path: Path) -> FakeTrial:
    return FakeTrial(tmp_path)


EPOCHS = list(enumerate(LOSSES[:5]))


@pytest.mark.parametrize(
    ("model", "settings", "reports"),
    [
        (NowAndThen, {"early_stopping": True}, [(0, 5.0), (3, 2.0)]),
        (NowAndThen, {"early_stopping": {"strict": False}}, [(0, 5.0), (3, 2.0)]),
        (InTraining, {"early_stopping": True}, EPOCHS),
        (InTraining, {"data": NoValidation}, EPOCHS),
        (InTraining, {"trainer": {"limit_val_batches": 0}}, EPOCHS),
        (InTraining, {"trainer": {"val_check_interval": 0.5}, "early_stopping": True}, EPOCHS),
        (InTraining, {"trainer": {"check_val_every_n_epoch": 2}, "early_stopping": True}, EPOCHS),
        (InTrainingSteps, {}, EPOCHS),
        (InTrainingNowAndThen, {"early_stopping": True}, EPOCHS[::2]),
        (AtTheEndOfTheEpoch, {"early_stopping": True}, EPOCHS),
        (AtTheEndOfTheEpoch, {"trainer": {"num_sanity_val_steps": 1}}, EPOCHS),
        (InBoth, {}, EPOCHS),
        (InBoth, {"trainer": {"check_val_every_n_epoch": 2}}, [(0, -100.0), (0, 3.0), (1, 2.0)]),
        (
            OfTwoLoaders,
            {"data": TwoLoaders, "monitor": "score/dataloader_idx_1"},
            [(step, loss + 10) for step, loss in EPOCHS],
        ),
    ],
)
def test_the_loss_is_the_best_of_the_values_that_came_with_its_weights(
    model: Any, settings: dict[str, Any], reports: list[tuple[int, float]], trial: FakeTrial
) -> None:
    tuned = objective(model, **settings)
    loss = tuned({}, trial)
    assert trial.reports == reports
    assert loss == min(value for _, value in reports if value > -100)
    epoch = LOSSES.index(loss if loss < 10 else loss - 10) + 1
    assert (trial.metrics["epochs"], trial.metrics["best_epoch"]) == (5, epoch)
    assert trial.metrics[settings.get("monitor", "score")] == loss
    validated_within = settings.get("trainer", {}).get("val_check_interval") == 0.5
    assert tuned.test({}, trial) == {"test_weight": -float(epoch)} or validated_within


@pytest.mark.parametrize("model", [InTraining, AtTheEndOfTheEpoch, InTrainingNowAndThen])
def test_a_training_is_pruned_by_what_is_known_only_when_an_epoch_is_over(model: Any, trial: FakeTrial) -> None:
    trial.stop_after = 1
    assert objective(model)({}, trial) == 5.0
    assert (trial.reports, trial.metrics["epochs"]) == ([(0, 5.0)], 1)


@pytest.mark.parametrize("model", [InTraining, AtTheEndOfTheEpoch, NowAndThen])
def test_a_training_that_was_interrupted_knows_what_it_reported(model: Any, tmp_path: Path) -> None:
    reports: list[tuple[int, float]] = []
    for batches in (3, 4, None):
        trial = FakeTrial(tmp_path, interrupted_after=batches)
        try:
            loss = objective(model, early_stopping={"patience": 9})({}, trial)
        except Interrupted:
            assert batches is not None
        reports += trial.reports
    assert reports == (EPOCHS[::3] if model is NowAndThen else EPOCHS)
    assert loss == min(value for _, value in reports)
    assert trial.metrics["epochs"] == 5


def test_patience_counts_the_values_that_came(trial: FakeTrial) -> None:
    class Worse(NowAndThen):
        every = 2

        def value(self) -> float:
            return float(self.current_epoch)

    objective(Worse, early_stopping={"patience": 2}, max_epochs=8)({}, trial)
    assert [step for step, _ in trial.reports] == [0, 2, 4]


def test_strict_early_stopping_is_lightnings_own(trial: FakeTrial) -> None:
    class Late(NowAndThen):
        def on_validation_epoch_end(self) -> None:
            if self.current_epoch > 0:
                super().on_validation_epoch_end()

    with pytest.raises(RuntimeError, match="Early stopping conditioned on metric `score` which is not available"):
        objective(Late, early_stopping={"strict": True})({}, trial)


def test_another_early_stopping_takes_the_place_of_the_default_but_not_of_one_that_was_asked_for(
    tmp_path: Path,
) -> None:
    class Rises(InTraining):
        def value(self) -> float:
            return float(self.current_epoch)

    class Brings(Rises):
        def configure_callbacks(self) -> list[L.Callback]:
            return [EarlyStopping("score", patience=4)]

    for model, callbacks in ((Rises, [EarlyStopping("score", patience=4)]), (Brings, [])):
        for asked, epochs in ((True, 5), ({"patience": 2}, 3)):
            trial = FakeTrial(tmp_path / f"{model.__name__}-{epochs}")
            tuned = objective(model, max_epochs=7, early_stopping=asked, trainer={"callbacks": callbacks})
            tuned({}, trial)
            assert trial.metrics["epochs"] == epochs


def test_a_metric_that_never_came_is_an_error_that_says_which_did_and_where(trial: FakeTrial) -> None:
    with pytest.raises(ValueError, match=r"'loss'.*in training: nothing; in validation: always, score\.") as caught:
        objective(NowAndThen, monitor="loss")({}, trial)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"'loss'.*in training: score; in validation: nothing\."):
        objective(InTraining, monitor="loss", early_stopping=True)({}, trial)
    with pytest.raises(ValueError, match=r"in training: score, score_epoch, score_step; in validation: nothing\."):
        objective(InTrainingNowAndThen, monitor="loss", data=NoValidation)({}, trial)


def test_a_metric_of_validation_steps_alone_is_kept_from_callbacks_by_lightning_and_the_error_says_so(
    trial: FakeTrial,
) -> None:
    with pytest.raises(ValueError, match=r"did not log 'score'.*logged for steps of validations, .* on_epoch=True"):
        objective(InValidationSteps)({}, trial)


def test_a_training_without_a_validation_in_time_is_refused_before_it_begins(trial: FakeTrial) -> None:
    words = "check_val_every_n_epoch to 6, but max_epochs is 5: there would be no validation"
    with pytest.raises(ValueError, match=words):
        objective(NowAndThen, trainer={"check_val_every_n_epoch": 6})
    searched = objective(NowAndThen, max_epochs=9, trainer={"check_val_every_n_epoch": 4})
    with pytest.raises(ValueError, match="check_val_every_n_epoch to 10, but max_epochs is 9"):
        searched({"trainer.check_val_every_n_epoch": 10}, trial)
    for trainer in ({"check_val_every_n_epoch": 5}, {"check_val_every_n_epoch": 6, "limit_val_batches": 0}):
        objective(InTraining, trainer=trainer)
    objective(InTraining, max_epochs=-1, trainer={"check_val_every_n_epoch": 6, "max_steps": 1})


def test_a_state_of_an_earlier_version_is_taken_up(tmp_path: Path) -> None:
    class Validates(Logs):
        def validation_step(self, batch: Any, index: int) -> None:
            self.log("score", self.value())

    def as_before(states: dict[str, Any]) -> None:
        """What callbacks kept when they had one list of names, arrays and bytes."""
        report, saved = states["TrialReport"], states["SaveState"]
        report["logged"] = ["score"]
        saved["generators"] = {"python": random.getstate(), "numpy": np.random.get_state()} | {
            name: saved["generators"][name] for name in ("torch", "cuda")
        }
        saved["best"] = (tmp_path / "best.ckpt").read_bytes()
        stopping = next(key for key in states if key.startswith("Stopping"))
        states[stopping.removeprefix("Stopping").join(("EarlyStopping", ""))] = states.pop(stopping)

    tuned = objective(Validates, early_stopping={"patience": 2})
    with pytest.raises(Interrupted):
        tuned({}, FakeTrial(tmp_path, interrupted_after=8))  # After four epochs, one of them too many.
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    as_before(state["callbacks"])
    torch.save(state, tmp_path / "last.ckpt")
    trial = FakeTrial(tmp_path)
    assert tuned({}, trial) == 1.0
    assert trial.reports == [(4, 4.0)]
    assert tuned.test({}, trial) == {"test_weight": -3.0}


@pytest.mark.parametrize(
    ("shares", "combined"),
    [
        ([{"a": 1.0}], {"a": 1.0}),
        ([{"a": 1.0, "b": 3.0}, {"a": 2.0, "c": 5.0}], {"a": 1.5, "b": 3.0, "c": 5.0}),
        ([{"a": 1.0}, {"b": 2.0}, {"b": 3.0}], {"a": 1.0, "b": 2.0}),
        ([{}, {}], {}),
    ],
)
def test_metrics_of_several_processes_are_combined_by_their_names(
    shares: Sequence[dict[str, float]], combined: dict[str, float]
) -> None:
    assert combine(shares) == combined
