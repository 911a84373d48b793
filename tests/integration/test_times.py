"""Where the time went: what a training measures, what a rank does besides, and the sums over a study."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers import RunOnce
from lightning.pytorch.profilers import SimpleProfiler
from torch.utils.data import DataLoader, TensorDataset

import evo
from evo.lightning import LightningObjective
from evo.lightning.activities import PROFILERS, Activities, make_profiler
from evo.population.events import AnyEvent, Done, Finished, Joined
from evo.report.tables import shares_text
from evo.report.times import MEASURED, OUTSIDE, Times
from evo.testing.trials import FakeTrial


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


# Of one training.


@pytest.mark.parametrize(
    ("action", "activity"),
    [
        ("[_TrainingEpochLoop].train_dataloader_next", "loading"),
        ("[_EvaluationLoop].val_next", "loading"),
        ("[Strategy]SingleDeviceStrategy.batch_to_device", "loading"),
        ("[LightningDataModule]Images.setup", "loading"),
        ("[Strategy]DDPStrategy.training_step", "forward"),
        ("[Strategy]SingleDeviceStrategy.backward", "backward"),
        ("[LightningModule]Net.optimizer_step", "optimizer"),
        ("[LightningModule]Net.optimizer_zero_grad", "optimizer"),
        ("optimizer_step", "optimizer"),
        ("[Strategy]SingleDeviceStrategy.validation_step", "validation"),
        ("[Callback]EarlyStopping{'monitor': 'val_loss', 'mode': 'min'}.on_validation_end", "validation"),
        ("save_checkpoint", "checkpoints"),
        ("[Callback]SaveState.on_save_checkpoint", "checkpoints"),
        ("[Callback]EarlyStopping{'monitor': 'validation_loss', 'mode': 'min'}.on_train_batch_start", None),
        ("[Callback]SaveState.on_after_backward", None),
        ("run_training_batch", None),
    ],
)
def test_an_action_of_lightning_belongs_to_an_activity(action: str, activity: str | None) -> None:
    clock = Clock()
    activities = Activities(clock=clock)
    with activities.profile(action):
        clock.spend(2.0)
    assert activities.seconds == ({activity: 2.0} if activity else {})


def test_the_innermost_action_counts_and_what_is_none_belongs_to_what_it_is_part_of() -> None:
    clock = Clock()
    activities = Activities(clock=clock)
    with activities.profile("[LightningModule]Net.optimizer_step"):
        clock.spend(1.0)
        with activities.profile("[Strategy]X.training_step"):
            clock.spend(10.0)
            with activities.profile("[LightningModule]Net.something"):
                clock.spend(100.0)
        clock.spend(1000.0)
    clock.spend(10_000.0)
    assert activities.seconds == {"optimizer": 1001.0, "forward": 110.0}


def test_an_action_that_raises_has_taken_its_time_as_well() -> None:
    clock = Clock()
    activities = Activities(clock=clock)
    with suppress(StopIteration), activities.profile("[_EvaluationLoop].val_next"):
        clock.spend(1.0)
        raise StopIteration
    clock.spend(1.0)
    assert activities.seconds == {"loading": 1.0}


def test_another_profiler_sees_the_same(tmp_path: Path) -> None:
    simple = SimpleProfiler()
    with make_profiler(simple, tmp_path).profile("a"):
        pass
    assert list(simple.recorded_durations) == ["a"]


class Net(L.LightningModule):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.linear, self.lr = torch.nn.Linear(2, 1), lr

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.linear(batch[0]).square().mean()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.linear(batch[0]).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Data(L.LightningDataModule):
    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.ones(64, 2)), batch_size=8)

    val_dataloader = train_dataloader


@pytest.mark.parametrize("name", [None, *PROFILERS])
def test_a_training_measures_all_activities_and_writes_the_report_of_the_profiler_that_is_asked_for(
    name: str | None, tmp_path: Path
) -> None:
    trial = FakeTrial(tmp_path)
    LightningObjective(Net, Data, max_epochs=1, trainer={"profiler": name})({"lr": 0.1}, trial)
    assert set(trial.times) == set(MEASURED)
    assert all(seconds > 0 for seconds in trial.times.values())
    reports = [file.read_text() for file in tmp_path.glob("fit-profile*.txt")]
    assert len(reports) == (name is not None)
    assert all(report.startswith("FIT Profiler Report") for report in reports)


class Failing(Net):
    def validation_step(self, batch: Any, index: int) -> None:
        raise KeyError("no such thing")


@pytest.mark.parametrize("name", [None, *PROFILERS])
def test_a_training_that_fails_has_its_report_too_and_leaves_the_next_one_alone(
    name: str | None, tmp_path: Path
) -> None:
    for number, module in enumerate((Failing, Net, Failing, Net)):
        trial = FakeTrial(tmp_path / str(number))
        objective = LightningObjective(module, Data, max_epochs=1, trainer={"profiler": name})
        with nullcontext() if module is Net else pytest.raises(KeyError):
            objective({"lr": 0.1}, trial)
        assert {"loading", "forward", "backward", "optimizer"} <= set(trial.times)
        gc.collect()  # A profiler that is still at work would be ended now, in the middle of another's.
    assert len(list(tmp_path.glob("*/fit-profile.txt"))) == (4 if name else 0)


def test_what_is_waited_for_on_the_gpu_is_a_part_of_the_action_in_another_profilers_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Report(SimpleProfiler):
        def stop(self, action_name: str) -> None:
            order.append("stopped")

    order: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: order.append("waited"))
    with Activities(Report(), waits_for_gpu=True).profile("[Strategy]X.training_step"):
        pass
    assert order == ["waited", "stopped"]


def test_a_profiler_that_does_not_exist_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ValueError, match="profiler 'fast': it must be one of simple, advanced, pytorch"):
        LightningObjective(Net, Data, max_epochs=1, trainer={"profiler": "fast"})


# Of a study.


def join(rank: int, time: float, ranks: int = 2) -> Joined:
    return Joined(time=time, rank=rank, ranks=ranks, host="", device="")


def finish(rank: int, generation: int, time: float, seconds: float, status: Any = "failed", **times: float) -> Finished:
    return Finished(time=time, individual=(rank, generation), status=status, seconds=seconds, rank=rank, times=times)


def done(rank: int, time: float, **times: float) -> Done:
    return Done(time=time, rank=rank, reason="", times=times)


EVENTS: list[AnyEvent] = [
    join(0, 0.0),
    join(1, 0.5),
    finish(0, 0, 10.0, 8.0, forward=3.0, backward=4.0),
    finish(1, 0, 11.0, 8.0, forward=8.0, status="interrupted"),
    done(1, 12.0, breeding=0.25, waiting=0.5),
    done(0, 13.0, breeding=0.25, exchange=1.0),
    join(1, 20.0, ranks=3),
    join(0, 20.0, ranks=3),
    finish(1, 0, 30.0, 5.0, backward=5.0),
    done(0, 22.0, handover=2.0),
    done(1, 31.0),
    done(1, 32.0, breeding=0.5),  # Rank 2 died, and this one went on.
]


def total(events: Iterable[AnyEvent]) -> Mapping[str, float]:
    times = Times()
    for event in events:
        times.add(event)
    return times.total()


@pytest.mark.parametrize("seed", range(5))
def test_times_are_summed_up_over_workers_and_sessions_in_any_order_and_once(seed: int) -> None:
    events = EVENTS + EVENTS
    random.Random(seed).shuffle(events)
    assert total(events) == {
        "forward": 11.0,
        "backward": 9.0,
        "other": 1.0,
        "handover": 2.0,
        "breeding": 1.0,
        "exchange": 1.0,
        "waiting": 0.5 + 1.0 + 10.0,
    }


def test_evaluations_that_measure_nothing_are_one_activity_and_others_have_their_own_names() -> None:
    assert total([finish(0, 0, 1.0, 2.0)]) == {"evaluation": 2.0}
    assert total([finish(0, 0, 1.0, 2.0, solving=1.5)]) == {"other": 0.5, "solving": 1.5}


def test_shares_are_shown_where_something_was_measured() -> None:
    assert shares_text({"evaluation": 3.0, "waiting": 1.0}) == ""
    assert shares_text({"forward": 3.0, "waiting": 1.0}) == "forward 75.0 %; outside of trainings: waiting 25.0 %"
    assert shares_text({"forward": 3.0, "breeding": 1e-9}) == "forward 100.0 %"
    assert shares_text({"solving": 1.0, "other": 1.0}) == "solving 50.0 %, other 50.0 %"


def measured(params: dict[str, Any], trial: Any) -> float:
    trial.times["solving"] = 0.5
    trial.times["nonsense"] = "x"
    return float(params["x"])


def test_an_objective_may_measure_what_it_likes_and_a_run_tells_all_of_it(tmp_path: Path) -> None:
    result = evo.minimize(measured, {"x": (0.0, 1.0)}, evaluations=3, run_dir=str(tmp_path))
    assert result.times["solving"] == 1.5
    assert {"breeding", "exchange"} <= set(result.times)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["times"]["solving"] == 1.5
    assert "nonsense" not in summary["times"]


@pytest.mark.mpi
def test_a_study_of_trainings_says_where_its_time_went(main_job: RunOnce) -> None:
    assert main_job.ended.status == 0, main_job.ended.err
    out = main_job.ended.out
    (line,) = [line for line in out.splitlines() if line.startswith("where the time went: loading ")]
    assert "; outside of trainings: " in line
    summary = json.loads((main_job.folder / "runs" / "digits" / "summary.json").read_text())
    assert {*MEASURED, "other", *OUTSIDE} == set(summary["times"])
    # Both ranks, from when they join: all of their time but the start of the two processes and the test at the end.
    assert sum(summary["times"].values()) <= 2 * summary["seconds"]
