"""The user's own checkpoints and code are loaded as what they are; of other users, only what can do no harm."""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers import Launcher
from test_lightning_objective import LONG, Long, ThreeBatches

import evo
from evo.errors import UserError
from evo.lightning import LightningObjective
from evo.objective.definition import Definition
from evo.objective.objective import Interrupted
from evo.objective.references import Training
from evo.ownership import belongs_to_user
from evo.posthoc.past import find_objective
from evo.report.reading import load
from evo.storage.rundir import RunDirectory, StudyRecord
from evo.testing.trials import FakeTrial

STRANGER = 12345


class Note:
    """Something that torch takes for neither a tensor nor a plain value."""


class Annotated(Long):
    """Puts an object into each of its checkpoints."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["note"] = Note()


class Explosive:
    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, this process is somebody else's than the files are."""
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)


def objective(model: type[L.LightningModule] = Annotated) -> LightningObjective:
    return LightningObjective(model, ThreeBatches, max_epochs=len(LONG))


def interrupt(folder: Path, model: type[L.LightningModule]) -> None:
    with pytest.raises(Interrupted):
        objective(model)({}, FakeTrial(folder, interrupted_after=7))


def test_a_file_is_ones_own_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    assert not belongs_to_user(file)
    file.touch()
    link = tmp_path / "link"
    link.symlink_to(file)
    assert belongs_to_user(file)
    assert belongs_to_user(link)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert not belongs_to_user(file)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_whatever_of_a_file_belongs_to_another_makes_it_the_others(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").touch()
    link = folder / "link"
    link.symlink_to(folder / "file")
    assert belongs_to_user(link)
    os.chown({"file": folder / "file", "link": link, "folder": folder}[what], STRANGER, -1, follow_symlinks=False)
    assert not belongs_to_user(link)


def test_ones_own_training_goes_on_and_is_tested_whatever_its_checkpoints_hold(tmp_path: Path) -> None:
    interrupt(tmp_path, Annotated)
    assert objective()({}, FakeTrial(tmp_path)) == 4.0
    assert objective().test({}, FakeTrial(tmp_path))


def test_a_training_of_another_user_goes_on_where_its_checkpoints_hold_plain_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(tmp_path, Long)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    trial = FakeTrial(tmp_path)
    assert objective(Long)({}, trial) == 4.0
    assert trial.reports[0][0] > 0  # It has not begun anew.
    assert objective(Long).test({}, FakeTrial(tmp_path))


def test_objects_in_a_state_of_another_user_are_refused_unless_they_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(tmp_path, Annotated)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(pickle.UnpicklingError, match=r"last\.ckpt was not loaded, because .*another user.*--trust"):
        objective()({}, FakeTrial(tmp_path))
    assert objective()({}, FakeTrial(tmp_path, trust=True)) == 4.0


def test_objects_in_weights_of_another_user_are_refused_unless_they_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective()({}, FakeTrial(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(pickle.UnpicklingError, match=r"best\.ckpt was not loaded, because .*another user.*--trust"):
        objective().test({}, FakeTrial(tmp_path))
    assert objective().test({}, FakeTrial(tmp_path, trust=True))


def test_code_in_the_weights_inside_of_a_state_of_another_user_does_not_become_a_file_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "individual"
    interrupt(folder, Long)
    state = torch.load(folder / "last.ckpt", weights_only=True)
    (own,) = (found for found in state["callbacks"].values() if "best" in found and "generators" in found)
    hidden = io.BytesIO()
    torch.save({"state_dict": Explosive()}, hidden)
    own["best"] = torch.frombuffer(bytearray(hidden.getvalue()), dtype=torch.uint8)
    torch.save(state, folder / "last.ckpt")
    (folder / "best.ckpt").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(pickle.UnpicklingError, match=r"last\.ckpt was not loaded, because .*another user.*--trust"):
        objective(Long)({}, FakeTrial(folder))
    assert not (folder / "best.ckpt").exists()
    assert not (tmp_path / "exploded").exists()


TRUSTING = """
def loss(params, trial):
    trial.metrics["trust"] = trial.trust
    return params["x"]
"""


@pytest.mark.parametrize("evaluate", ["inline", "process"])
def test_an_objective_is_told_whether_the_user_trusts(
    evaluate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a file of its own, from which a child need not load torch.
    (tmp_path / "trusting.py").write_text(TRUSTING)
    monkeypatch.syspath_prepend(tmp_path)
    loss = importlib.import_module("trusting").loss
    for trust in (False, True):
        found = evo.minimize(loss, {"x": (0.0, 1.0)}, evaluations=1, evaluate=evaluate, trust=trust)
        assert [one.metrics for one in found.individuals] == [{"trust": trust}]


def study_of(path: Path, name: str, file: str = "") -> Path:
    limits = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
    RunDirectory(path).create(
        StudyRecord(name="s", objective=name, definition=Definition(file=file), limits=limits, seed=0)
    )
    return path


def test_sections_in_a_study_of_another_user_are_loaded_only_when_they_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = json.dumps({"model": {"class_path": "subprocess.Popen"}})
    run = load(study_of(tmp_path, named))
    assert isinstance(find_objective(run, None, trust=False), Training)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(UserError, match=r"belongs to another user, and its study.json names sections.*--trust"):
        find_objective(run, None, trust=False)
    assert isinstance(find_objective(run, None, trust=True), Training)


@pytest.mark.usefixtures("stranger")
def test_a_ready_problem_in_a_study_of_another_user_is_evos_own(tmp_path: Path) -> None:
    run = load(study_of(tmp_path, "evo.problems.functions:sphere"))
    assert str(find_objective(run, None, trust=False)) == "evo.problems.functions:sphere"


OWN = """
class Loss:
    def __call__(self, params, trial):
        (trial.folder / "best.ckpt").write_text("weights")
        return params["x"] ** 2

    def test(self, params, trial):
        return {"trust": trial.trust}

loss = Loss()
"""

EVO = [sys.executable, "-c", "import sys; from evo.cli import main; sys.exit(main())"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_code_that_a_study_of_another_user_names_is_run_when_it_is_ones_own_or_trusted(launcher: Launcher) -> None:
    (launcher.folder / "own.py").write_text(OWN)
    search = ["own.py:loss", "--limits", "{x: [-5.0, 5.0]}", "--evaluations", "2", "--run-dir", "here", "--quiet"]
    assert launcher.evo(*search).status == 0
    for path in [launcher.folder / "here", *(launcher.folder / "here").rglob("*")]:
        os.chown(path, STRANGER, -1)
    found = launcher.run(*EVO, "test", "here")
    assert found.status == 0, found.err  # The code is the user's own.
    shutil.rmtree(launcher.folder / "here" / "test")
    os.chown(launcher.folder / "own.py", STRANGER, -1)
    for command in ("test", "train"):
        refused = launcher.run(*EVO, command, "here")
        assert refused.status == 2
        assert refused.err == (
            "evo: error: run directory here belongs to another user, and its study.json names the objective own:loss, "
            "which is not your own: name the objective yourself with --objective path/to/file.py:name, or run what is "
            "named there with --trust\n"
        )
    assert launcher.run(*EVO, "best", "here").status == 0
    named = launcher.run(*EVO, "test", "here", "--objective", "own.py:loss")
    assert (named.status, "trust" in named.out and "False" in named.out) == (0, True), named.err
    trusted = launcher.run(*EVO, "test", "here", "--trust")
    assert (trusted.status, "True" in trusted.out) == (0, True), trusted.err
