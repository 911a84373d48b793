"""The Trainer of a training: its strategy and cluster, whatever the user's configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from evo.lightning import LightningObjective
from evo.lightning.environment import WorkerEnvironment
from evo.lightning.trainers import Seat, make_trainer
from evo.testing.trials import FakeTrial

DDP = {"class_path": "lightning.pytorch.strategies.DDPStrategy", "init_args": {"find_unused_parameters": True}}


def trainer_of(folder: Path, size: int = 1, **given: Any) -> Any:
    objective = LightningObjective(BoringModel, trainer={"max_epochs": 1, "accelerator": "cpu", **given})
    return make_trainer(objective._blueprint, objective._share_out({}), Seat(folder, 0, size), [], logger=False)[0]


@pytest.mark.parametrize("strategy", [None, "auto", "ddp", "ddp_find_unused_parameters_true", "ddp_spawn", DDP])
def test_one_that_trains_alone_needs_no_connection(strategy: Any, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, strategy=strategy)
    assert isinstance(trainer.strategy, SingleDeviceStrategy)
    assert isinstance(trainer._accelerator_connector.cluster_environment, WorkerEnvironment)


@pytest.mark.parametrize("strategy", ["ddp_find_unused_parameters_true", "ddp_spawn_find_unused_parameters_true", DDP])
def test_those_that_train_together_have_the_strategy_of_the_user_and_processes_of_the_launcher(
    strategy: Any, tmp_path: Path
) -> None:
    trainer = trainer_of(tmp_path, 2, strategy=strategy)
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy._ddp_kwargs["find_unused_parameters"] is True
    assert trainer.strategy._start_method == "popen"
    assert trainer.world_size == 2


def test_a_cluster_of_the_user_is_left_out(tmp_path: Path) -> None:
    path = "lightning.pytorch.plugins.environments.LightningEnvironment"
    for plugins in ({"class_path": path}, [LightningEnvironment()]):
        trainer = trainer_of(tmp_path, plugins=plugins)
        assert isinstance(trainer._accelerator_connector.cluster_environment, WorkerEnvironment)


class Logs(BoringModel):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.layer(batch).mean())

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.logger.experiment.add_scalar("seen", 1.0, batch_idx)
        self.logger.log_metrics({"seen": 1.0})
        Path(self.trainer.log_dir, "seen.txt").write_text(str(batch_idx))
        self.log("test_loss", 1.0)


@pytest.mark.parametrize("own", [False, True])
def test_a_test_may_log_by_itself_and_writes_nothing_to_the_loggers_of_the_training(own: bool, tmp_path: Path) -> None:
    given = {"logger": [CSVLogger(tmp_path)]} if own else {}
    trainer = {"accelerator": "cpu", "limit_train_batches": 1, "limit_val_batches": 1, "limit_test_batches": 1, **given}
    objective = LightningObjective(Logs, max_epochs=1, trainer=trainer)
    objective({}, FakeTrial(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert objective.test({}, FakeTrial(tmp_path)) == {"test_loss": 1.0}
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {tmp_path / "seen.txt"}
    assert before.items() <= after.items()
