"""Loggers beside TensorBoard's, tried with the libraries that they log to: what their own readers find there."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Ended, Launcher
from lightning.pytorch.loggers import Logger
from test_lightning_objective import Long, Scripted, scripted
from wandb_file import offline_run

import evo
from evo.errors import UserError
from evo.lightning.loggers import RunPlace, placed_loggers
from evo.objective.objective import Interrupted
from evo.testing.trials import FakeTrial

LOGGERS = "lightning.pytorch.loggers"


class Fails(Scripted):
    """Its training raises."""

    def training_step(self, batch: Any, index: int) -> Any:
        raise KeyError("x")


class Own(Logger):
    """A logger of the user's own, which writes lines."""

    name = version = "own"

    def __init__(self, file: str, run_name: str = "") -> None:
        super().__init__()
        self.file, self.run_name = file, run_name

    def _say(self, *words: Any) -> None:
        with open(self.file, "a") as stream:
            print(self.run_name, *words, file=stream)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self._say(step, metrics)

    def log_hyperparams(self, params: Any, *args: Any) -> None:
        self._say(params)

    def finalize(self, status: str) -> None:
        self._say(status)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which takes ten seconds to make."""
    from mlflow.tracking import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}")
    return file


@pytest.fixture
def study(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run directory of a study named digits; the working directory is beside it."""
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):  # The libraries set them.
        monkeypatch.setenv(variable, "")
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "digits"
    (folder / "individuals").mkdir(parents=True)
    (folder / "study.json").write_text("{}")
    shutil.copy(empty, folder)
    return folder


def trial(study: Path, name: str, **settings: Any) -> FakeTrial:
    worker, generation = map(int, name.split("-"))
    return FakeTrial(
        study / "individuals" / name, individual=(worker, generation), session=study.as_posix(), **settings
    )


def runs_in(database: Path) -> dict[str, tuple[Any, Any]]:
    """The runs of the one experiment, by name, each with MLflow's client for its curves."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("digits")
    return {run.info.run_name: (run, client) for run in client.search_runs([experiment.experiment_id])}


def curve(run: Any, client: Any, name: str) -> list[float]:
    return [point.value for point in client.get_metric_history(run.info.run_id, name)]


def test_each_individual_is_a_run_with_parameters_curve_loss_and_what_became_of_it(study: Path) -> None:
    wandb = {"class_path": f"{LOGGERS}.WandbLogger", "init_args": {"offline": True, "save_dir": "wb"}}
    own = {"class_path": f"{__name__}.Own", "init_args": {"file": "own.txt"}}
    settings = {"trainer": {"logger": [f"{LOGGERS}.MLFlowLogger", wandb, "CSVLogger", own]}}
    os.mkdir("wb")
    scripted(**settings)({"note": "a"}, trial(study, "0-0"))
    scripted(**settings)({"note": "b"}, trial(study, "1-0", stop_after=1))
    with pytest.raises(KeyError):
        scripted(model=Fails, **settings)({"note": "c"}, trial(study, "0-1"))
    found = runs_in(study / "mlflow.db")
    assert {name: (run.info.status, run.data.tags["evo.status"]) for name, (run, _) in found.items()} == {
        "0-0": ("FINISHED", "completed"),
        "1-0": ("FINISHED", "pruned"),
        "0-1": ("FAILED", "failed"),
    }
    assert found["0-1"][0].data.tags["evo.error"] == "KeyError: 'x'"
    assert [run.data.metrics.get("loss") for _, (run, _) in sorted(found.items())] == [1.0, None, 3.0]
    assert found["0-0"][0].data.params == {"note": "a"}
    assert (curve(*found["0-0"], "val_loss"), curve(*found["1-0"], "val_loss")) == ([3.0, 1.0, 2.0], [3.0])

    offline = {run["name"]: run for run in map(offline_run, Path("wb/wandb").glob("offline-run-*"))}
    ends = {name: (run["project"], run["exit"], run["summary"]["status"]) for name, run in offline.items()}
    assert ends == {
        "0-0": ("digits", 0, "completed"),
        "1-0": ("digits", 0, "pruned"),
        "0-1": ("digits", 1, "failed"),
    }
    assert (offline["0-0"]["config"]["note"], offline["0-0"]["summary"]["loss"]) == ("a", 1.0)
    assert offline["0-0"]["curves"]["val_loss"] == [3.0, 1.0, 2.0]

    folder = study / "individuals" / "1-0" / "csv"
    assert yaml.safe_load((folder / "hparams.yaml").read_text()) == {"note": "b", "evo.status": "pruned"}
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["val_loss"] for row in rows if row["val_loss"]] == ["3.0"]
    assert [(row["loss"], row["pruned"]) for row in rows if row["loss"]] == [("3.0", "1.0")]
    lines = Path("own.txt").read_text().splitlines()
    assert lines[0] == "0-0 {'note': 'a'}"
    assert {"1-0 1 {'loss': 3.0, 'pruned': 1.0}", "0-1 failed"} < set(lines)
    assert not list(study.rglob("runs.json"))  # Nothing is open any more.


def test_a_training_that_is_continued_goes_on_in_its_run_and_one_that_begins_anew_has_another(study: Path) -> None:
    settings: dict[str, Any] = {
        "model": Long,
        "max_epochs": 8,
        "early_stopping": None,
        "trainer": {"logger": [f"{LOGGERS}.MLFlowLogger", "CSVLogger"]},
    }
    with pytest.raises(Interrupted):
        scripted(**settings)({"batches": 3}, trial(study, "0-0", interrupted_after=7))
    (run, client), *others = runs_in(study / "mlflow.db").values()
    assert (run.info.status, run.data.tags["evo.status"], others) == ("KILLED", "interrupted", [])
    scripted(**settings)({"batches": 3}, trial(study, "0-0"))
    (run, client), *others = runs_in(study / "mlflow.db").values()
    assert (run.info.status, run.data.tags["evo.status"], others) == ("FINISHED", "completed", [])
    losses = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 5.0, 6.0]
    assert curve(run, client, "val_loss") == losses
    rows = csv.DictReader((study / "individuals" / "0-0" / "csv" / "metrics.csv").open())
    assert [float(row["val_loss"]) for row in rows if row["val_loss"]] == losses

    with pytest.raises(Interrupted):
        scripted(**settings)({"batches": 3}, trial(study, "0-1", interrupted_after=7))
    (study / "individuals" / "0-1" / "last.ckpt").unlink()
    scripted(**settings)({"batches": 3}, trial(study, "0-1"))
    experiment = client.get_experiment_by_name("digits").experiment_id
    found = client.search_runs([experiment], "tags.`evo.individual` = '0-1'", order_by=["start_time"])
    assert [run.data.tags["evo.status"] for run in found] == ["restarted", "completed"]


def test_a_check_opens_no_run_and_makes_no_store(study: Path) -> None:
    sections = [
        {"class_path": f"{LOGGERS}.MLFlowLogger", "init_args": {"tracking_uri": "sqlite:///new.db"}},
        {"class_path": f"{LOGGERS}.WandbLogger", "init_args": {"offline": True}},
        {"class_path": f"{__name__}.Own", "init_args": {"file": "own.txt"}},
    ]
    before = sorted(Path().rglob("*"))
    scripted(trainer={"logger": sections}).check(["note"], [{"note": "a"}, {"note": "b"}])
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("logger", "message"),
    [
        (
            f"{LOGGERS}.CometLogger",
            r"CometLogger needs a package that is not installed\..* `pip install",
        ),
        (
            {"class_path": f"{LOGGERS}.MLFlowLogger", "init_args": {"run_id": "a"}},
            "has run_id, so that all individuals",
        ),
        ({"class_path": f"{LOGGERS}.WandbLogger", "init_args": {"version": "a"}}, "has version, so that all"),
        ({"class_path": f"{LOGGERS}.MLFlowLogger", "init_args": {"uri": "a"}}, "has the argument 'uri'"),
        ("lightning.Trainer", "is a Trainer, which is no lightning.pytorch.loggers.Logger"),
    ],
)
def test_a_logger_that_cannot_work_is_refused_before_the_search(logger: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scripted(trainer={"logger": logger}).check(["note"], [{"note": "a"}])


def test_the_users_own_names_and_places_stay() -> None:
    place = RunPlace("f", "3-12", "digits", "home")

    def placed(kind: str, **given: Any) -> dict[str, Any]:
        found = placed_loggers({"class_path": f"{LOGGERS}.{kind}", "init_args": given}, place)
        return {**found["init_args"], **found.get("dict_kwargs", {})}

    assert placed("WandbLogger", project="p", name="mine") == {
        "project": "p", "name": "mine-3-12", "save_dir": "f", "group": "digits"
    }  # fmt: skip
    assert placed("MLFlowLogger") == {
        "experiment_name": "digits",
        "run_name": "3-12",
        "tracking_uri": "sqlite:///home/mlflow.db",
        "artifact_location": "home/mlartifacts",
    }
    given = {"experiment_name": "e", "tracking_uri": "http://host"}
    assert placed("MLFlowLogger", **given) == {**given, "run_name": "3-12"}
    assert placed("CSVLogger") == {"save_dir": "f", "name": "csv", "version": ""}
    assert placed("CSVLogger", save_dir="all") == {"save_dir": "all", "name": "digits", "version": "3-12"}
    assert placed("TensorBoardLogger") == {"save_dir": "f"}


def test_a_ready_logger_is_a_run_for_each_individual_too(study: Path) -> None:
    from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

    ready = [MLFlowLogger("digits", tracking_uri="sqlite:///digits/mlflow.db"), WandbLogger(project="p", offline=True)]
    mlflow, wandb = scripted(trainer={"logger": ready}).trainer["logger"]  # type: ignore[index]
    assert mlflow["init_args"] == {"experiment_name": "digits", "tracking_uri": "sqlite:///digits/mlflow.db"}
    assert wandb["init_args"] == {"project": "p", "offline": True}
    assert not Path("wandb").exists()

    class Mine(WandbLogger):
        pass

    with pytest.raises(UserError, match=r"a ready Mine, which cannot be copied .* give it as a section"):
        scripted(trainer={"logger": Mine(offline=True)})


STUDY_FILE = """
model: dying.Dying
data: test_lightning_objective.Zeros
trainer:
  max_epochs: 2
  logger: {class_path: lightning.pytorch.loggers.MLFlowLogger, init_args: {tracking_uri: "sqlite:///new.db"}}
limits:
  ends: [segfault, well]
  width: {type: int, low: 1, high: 2}
evaluations: 4
seed: 1
run_dir: digits
"""
DYING = """
import os
import shutil
from test_lightning_objective import Scripted

class Dying(Scripted):
    def __init__(self, ends: str = "well", width: int = 1) -> None:
        super().__init__()
        self.ends = ends

    def on_train_epoch_start(self) -> None:
        if self.ends == "segfault" and self.current_epoch:
            os.kill(os.getpid(), 11)
"""


def test_two_ranks_make_a_new_store_once_and_the_run_of_a_killed_training_is_ended(
    launcher: Launcher, mpirun: Callable[..., Ended]
) -> None:
    (launcher.folder / "study.yaml").write_text(STUDY_FILE)
    (launcher.folder / "dying.py").write_text(DYING)
    ended = mpirun(2, "-m", "evo.run", "study.yaml", timeout=240)
    assert ended.status == 0, ended.err + ended.out
    found = runs_in(launcher.folder / "new.db")
    individuals = {one.name: one for one in evo.load(launcher.folder / "digits").individuals}
    assert len(individuals) == 4
    assert {name: run.data.tags["evo.status"] for name, (run, _) in found.items()} == {
        name: one.status for name, one in individuals.items()
    }
    for name, (run, client) in found.items():
        dies = individuals[name].params["ends"] == "segfault"
        assert run.info.status == ("FAILED" if dies else "FINISHED")
        assert run.data.params == {key: str(value) for key, value in individuals[name].params.items()}
        assert curve(run, client, "val_loss") == [3.0] if dies else [3.0, 1.0]
        assert run.data.tags.get("evo.error", "").startswith("ProcessDied" if dies else "")
