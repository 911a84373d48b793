"""What TensorBoard itself finds in a study: the requests of its pages, answered by its own server in this process."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tensorboard import default, program
from tensorboard.backend.application import TensorBoardWSGIApp
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_lightning_objective import Long, Raises, Scripted, scripted
from werkzeug.test import Client

from evo.lightning.hparams import row_logger
from evo.objective.objective import Interrupted
from evo.testing.trials import FakeTrial

STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
HPARAMS = "/data/plugin/hparams"


class Board:
    """TensorBoard on a folder of individuals."""

    def __init__(self, folder: Path) -> None:
        board = program.TensorBoard(plugins=default.get_plugins())
        once = ["--load_fast", "false", "--reload_interval", "0", "--reload_task", "blocking"]
        board.configure(argv=["tensorboard", "--logdir", str(folder), *once])
        provider, multiplexer = board._make_data_provider()
        app = TensorBoardWSGIApp(board.flags, board.plugin_loaders, provider, None, multiplexer)
        self._client = Client(app)

    def get(self, path: str, **request: Any) -> Any:
        response = self._client.post(path, json=request) if request else self._client.get(path)
        assert response.status_code == 200
        return response.json

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """What the page knows of each column."""
        return {info["name"]: info for info in self.get(f"{HPARAMS}/experiment", experimentName="")["hparamInfos"]}

    def rows(self, statuses: list[str] = STATUSES, **columns: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The rows of all pages, in their order: parameters, metrics and status."""
        params = [{"hparam": name, "includeInResult": True, **columns.get(name, {})} for name in self.parameters]
        metrics = [{"metric": {"tag": tag}, **what} for tag, what in columns.items() if tag not in self.parameters]
        rows: dict[str, dict[str, Any]] = {}
        total = math.inf
        while len(rows) < total:
            page = self.get(
                f"{HPARAMS}/session_groups",
                allowedStatuses=statuses,
                colParams=params + metrics,
                startIndex=len(rows),
                sliceSize=100,
            )
            total = page["totalSize"]
            for group in page["sessionGroups"]:
                found = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
                (session,) = group["sessions"]
                rows[group["name"]] = {"params": group["hparams"], "metrics": found, "status": session["status"]}
        return rows


def folder_of(run: Path, individual: str) -> Path:
    folder = run / individual
    folder.mkdir()
    return folder


def test_every_individual_is_a_row_with_all_its_parameters_whatever_became_of_it(tmp_path: Path) -> None:
    written: dict[str, dict[str, Any]] = {}
    for number in range(120):  # A page has 100.
        params = {
            "lr": 0.5 / (number + 1),
            "layers": number,
            "bias": number % 2 == 0,
            "clip": None if number % 3 else 2,
        }
        # The first one that TensorBoard finds does not have it.
        params |= {"optimizer": "sgd", "momentum": 0.9} if number % 4 == 1 else {"optimizer": "adam"}
        name = f"{number % 2}-{number // 2}"
        written[name] = params
        ending = {5: ZeroDivisionError, 6: Interrupted, 7: SystemExit}.get(number)
        with suppress(BaseException), row_logger(FakeTrial(folder_of(tmp_path, name)), params, writes=True) as logger:
            if ending:
                raise ending
            logger.log_loss(number / 4, 10, pruned=number == 8)
    board = Board(tmp_path)
    rows = board.rows()
    shown = {name: {key: "None" if value is None else value for key, value in p.items()} for name, p in written.items()}
    assert {name: row["params"] for name, row in rows.items()} == shown
    assert rows["0-50"] == {"params": shown["0-50"], "metrics": {"loss": 25.0, "pruned": 0.0}, "status": STATUSES[1]}
    assert rows["0-4"]["metrics"] == {"loss": 2.0, "pruned": 1.0}
    without_loss = {name: row["status"] for name, row in rows.items() if not row["metrics"]}
    assert without_loss == {"1-2": "STATUS_FAILURE", "0-3": "STATUS_UNKNOWN", "1-3": "STATUS_FAILURE"}
    assert set(board.rows(["STATUS_FAILURE"])) == {"1-2", "1-3"}


def test_a_row_is_there_as_soon_as_the_training_begins_so_that_a_killed_one_is_as_well(tmp_path: Path) -> None:
    with row_logger(FakeTrial(folder_of(tmp_path, "0-0")), {"lr": 0.5}, writes=True):
        assert Board(tmp_path).rows() == {"0-0": {"params": {"lr": 0.5}, "metrics": {}, "status": "STATUS_UNKNOWN"}}


def test_what_failed_only_for_want_of_room_has_no_end_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo.lightning.hparams.why_not_writable", lambda folder, error: "no space left")
    trial = FakeTrial(folder_of(tmp_path, "0-0"))
    with suppress(OSError), row_logger(trial, {"lr": 0.5}, writes=True):
        raise OSError
    assert Board(tmp_path).rows()["0-0"]["status"] == "STATUS_UNKNOWN"
    with row_logger(trial, {"lr": 0.5}, writes=True) as logger:
        logger.log_loss(0.5, 10, pruned=False)
    assert Board(tmp_path).rows()["0-0"]["status"] == "STATUS_SUCCESS"


def test_columns_can_be_sorted_by_and_filtered(tmp_path: Path) -> None:
    for number, (lr, bias, optimizer) in enumerate([(0.1, True, "sgd"), (0.3, False, "adam"), (0.2, True, "adam")]):
        params = {"lr": lr, "bias": bias, "optimizer": optimizer}
        with row_logger(FakeTrial(folder_of(tmp_path, f"0-{number}")), params, writes=True) as logger:
            logger.log_loss(-lr, 10, pruned=False)
    board = Board(tmp_path)
    assert board.parameters["lr"]["domainInterval"] == {"minValue": 0.1, "maxValue": 0.3}
    assert sorted(board.parameters["optimizer"]["domainDiscrete"]) == ["adam", "sgd"]
    assert list(board.rows(lr={"order": "ORDER_DESC"})) == ["0-1", "0-2", "0-0"]
    assert list(board.rows(loss={"order": "ORDER_ASC"})) == ["0-1", "0-2", "0-0"]
    assert set(board.rows(lr={"filterInterval": {"minValue": 0.15, "maxValue": "Infinity"}})) == {"0-1", "0-2"}
    assert set(board.rows(bias={"filterDiscrete": [True]}, optimizer={"filterDiscrete": ["adam"]})) == {"0-2"}


class Refuses(Scripted):
    def __init__(self, width: int) -> None:
        raise ZeroDivisionError(width)


def test_trainings_are_rows_and_time_series(tmp_path: Path) -> None:
    trial = FakeTrial(folder_of(tmp_path, "0-0"))
    scripted()({"note": "complete"}, trial)
    pruned = FakeTrial(folder_of(tmp_path, "0-1"), stop_after=1)
    scripted()({"note": "pruned"}, pruned)
    with pytest.raises(ZeroDivisionError):
        scripted(model=Refuses)({"width": 3}, FakeTrial(folder_of(tmp_path, "0-2")))
    with pytest.raises(FloatingPointError):
        scripted()({"script": (2.0, math.nan)}, FakeTrial(folder_of(tmp_path, "0-3")))
    with pytest.raises(KeyError):
        scripted(model=Raises)({"error": KeyError()}, FakeTrial(folder_of(tmp_path, "0-4")))
    board = Board(tmp_path)
    rows = board.rows()
    assert [(row["status"], row["metrics"].get("loss"), row["metrics"].get("pruned")) for row in rows.values()] == [
        ("STATUS_SUCCESS", 1.0, 0.0),
        ("STATUS_SUCCESS", 3.0, 1.0),
        ("STATUS_FAILURE", None, None),
        ("STATUS_FAILURE", None, None),
        ("STATUS_FAILURE", None, None),
    ]
    assert rows["0-0"]["params"] == {"note": "complete"}
    assert rows["0-2"]["params"] == {"width": 3}
    assert rows["0-3"]["metrics"]["val_loss"] == "NaN"
    tags = board.get("/data/plugin/scalars/tags")
    assert {"loss", "pruned", "val_loss", "val_epoch", "train_loss_epoch", "epoch"} <= set(tags["0-0"])
    assert {"loss", "val_loss"} <= set(tags["0-1"])
    assert "val_loss" in tags["0-3"]
    series = board.get("/data/plugin/scalars/scalars?tag=val_loss&run=0-0")
    assert [value for _, _, value in series] == [3.0, 1.0, 2.0]


def test_a_training_that_was_interrupted_is_one_row_and_one_series(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "0-0")
    objective = scripted(model=Long, max_epochs=8, early_stopping=None)
    with pytest.raises(Interrupted):
        objective({"batches": 3}, FakeTrial(folder, interrupted_after=7))
    assert Board(tmp_path).rows()["0-0"]["status"] == "STATUS_UNKNOWN"
    assert objective({"batches": 3}, FakeTrial(folder)) == 4.0
    assert len(list(folder.glob("events*"))) == 2
    board = Board(tmp_path)
    (row,) = board.rows().values()
    assert (row["status"], row["metrics"]["loss"]) == ("STATUS_SUCCESS", 4.0)
    series = board.get("/data/plugin/scalars/scalars?tag=val_loss&run=0-0")
    assert [value for _, _, value in series] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 5.0, 6.0]


def test_after_a_kill_each_epoch_is_shown_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "0-0")

    class Dies(Long):
        """After its state was saved for the last time, two more epochs end."""

        def on_train_batch_start(self, batch: Any, index: int) -> None:
            if self.current_epoch == 3:
                trial.checkpoint_interval = math.inf
            if self.current_epoch == 5:
                raise Interrupted  # As a kill, it leaves no end of the row.

    trial = FakeTrial(folder, checkpoint_interval=0.0)
    params = {"batches": 3}
    settings = {"max_epochs": 8, "early_stopping": None, "trainer": {"log_every_n_steps": 1}}
    with pytest.raises(Interrupted):
        scripted(model=Dies, **settings)(params, trial)
    assert scripted(model=Long, **settings)(params, FakeTrial(folder)) == 4.0
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.value for event in events.Scalars("val_loss")] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 5.0, 6.0]
    assert [event.step for event in events.Scalars("train_loss_step")] == list(range(24))
    (row,) = Board(tmp_path).rows().values()
    assert (row["status"], row["params"], row["metrics"]["loss"]) == ("STATUS_SUCCESS", {"batches": 3.0}, 4.0)


def test_another_logger_does_not_replace_the_row_but_none_at_all_does(tmp_path: Path) -> None:
    csv = {"class_path": "lightning.pytorch.loggers.CSVLogger"}
    own = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger"}
    for name, logger in [("0-0", csv), ("0-1", own), ("0-2", [csv, own]), ("0-3", False)]:
        trial = FakeTrial(folder_of(tmp_path, name))
        scripted(trainer={"logger": logger, "log_every_n_steps": 1})({"note": name}, trial)
    rows = Board(tmp_path).rows()
    assert [(name, row["params"]["note"], row["metrics"]["loss"]) for name, row in rows.items()] == [
        (name, name, 1.0) for name in ("0-0", "0-1", "0-2")
    ]
    assert (tmp_path / "0-0/csv/hparams.yaml").read_text() == "evo.status: completed\nnote: 0-0\n"
    assert {path.name for path in (tmp_path / "0-3").iterdir()} == {"best.ckpt"}
