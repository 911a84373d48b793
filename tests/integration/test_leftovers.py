"""A training that starts from nothing starts in an empty folder, whatever a killed attempt has left there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from lightning.pytorch.loggers import CSVLogger
from records import assigned

from evo.evaluation.settings import USUAL
from evo.evaluation.trial import RunningTrial
from evo.lightning import LightningObjective
from evo.lightning.group import forget_meetings
from evo.lightning.leftovers import remove_leftovers
from evo.testing.trials import FakeTrial


class Snapshots(BoringModel):
    """Makes a folder of its own, which must not be there yet."""

    def on_train_start(self) -> None:
        os.makedirs(os.path.join(self.trainer.default_root_dir, "snapshots"))

    def validation_step(self, batch: object, batch_idx: int) -> None:
        self.log("val_loss", self.step(batch))


def names(folder: Path) -> set[str]:
    return {os.fspath(path.relative_to(folder)) for path in folder.rglob("*")}


def leave(folder: Path, *names: str) -> None:
    """What a killed attempt has left."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("left")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "0-1"


def test_files_folders_and_links_go_and_what_they_link_to_stays(tmp_path: Path, folder: Path) -> None:
    leave(tmp_path / "data", "precious")
    leave(folder, "best.ckpt", "hparams.yaml", "events.out.tfevents.1", "version_0/metrics.csv", "a/b/c", ".hidden")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(tmp_path / "data")
    (folder / "gone").symlink_to(tmp_path / "nothing")
    remove_leftovers(FakeTrial(folder))
    assert names(folder) == set()
    assert names(tmp_path / "data") == {"precious"}


def test_what_is_printed_the_meeting_of_this_attempt_and_evos_records_stay(folder: Path) -> None:
    kept = {"output.log", "output-1.log", "output-12.log", "meeting-a.b-3", "trained.json", "baseline.json"}
    leave(folder, *kept, "meeting-a.b-2", "meeting-aXb-3", "output.log.1", "my-output.log", "test.json")
    remove_leftovers(FakeTrial(folder, session="a.b", attempt=3))
    assert names(folder) == kept


def test_meetings_of_earlier_sessions_are_forgotten_and_others_are_not(folder: Path) -> None:
    leave(folder, "meeting-a.b-2", "meeting-older-1")
    forget_meetings(FakeTrial(folder, session="a.b", attempt=3))
    assert {path.name for path in folder.iterdir() if path.name.startswith("meeting-")} == {"meeting-a.b-2"}


def test_what_a_function_around_the_objective_has_just_written_stays(folder: Path) -> None:
    leave(folder, "params.json", "logs/1", "plots/1")
    for name in ("params.json", "plots"):
        os.utime(folder / name, ns=(1, 1))
    trial = RunningTrial(assigned(folder=str(folder)), USUAL, lambda *report: False)
    leave(trial.folder, "params.json", "plots/2", "notes.txt")
    remove_leftovers(trial)
    assert names(folder) == {"params.json", "plots", "plots/1", "plots/2", "notes.txt"}


def test_a_training_that_makes_a_folder_of_its_own_can_be_repeated_after_a_kill(folder: Path) -> None:
    leave(folder, "snapshots/1", "version_0/metrics.csv")
    few = {"limit_train_batches": 1, "limit_val_batches": 1, "logger": CSVLogger(folder, name="")}
    objective = LightningObjective(Snapshots, BoringDataModule, max_epochs=1, trainer=few)
    objective({}, FakeTrial(folder))
    assert names(folder) >= {"snapshots", "version_0/metrics.csv", "best.ckpt"}
    assert not {"snapshots/1", "version_1"} & names(folder)
    assert "left" not in (folder / "version_0" / "metrics.csv").read_text()
