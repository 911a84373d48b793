"""Processes that train together and do not do the same: they log other things, wait in vain, fail, or never come."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import journals
import pytest
import torch
import torch.distributed as dist
from helpers import Launcher, wait_until
from test_lightning_metrics import Logs, Two

from evo.frames import one_line
from evo.lightning import LightningObjective
from evo.population.objectives import make_objectives
from evo.testing.trials import FakeTrial

PATIENCE = 4.0  # Seconds that a process waits for the other one where that does not come.


class OnTwo(Logs):
    """Logs the same loss on both of two processes, before and after which something differs."""

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", torch.tensor(1.0 + self.trainer.global_rank))


class OtherNames(OnTwo):
    def on_validation_epoch_end(self) -> None:
        self.log("aaa" if self.trainer.global_rank == 0 else "zzz", torch.tensor(100.0))


class OneNameMore(OnTwo):
    def on_validation_epoch_end(self) -> None:
        if self.trainer.global_rank == 1:
            self.log("more", torch.tensor(7.0))

    def on_train_epoch_end(self) -> None:
        if self.trainer.global_rank == 0:
            self.log("at_the_end", torch.tensor(8.0))


class NoneOnTheFirst(Logs):
    def on_validation_epoch_end(self) -> None:
        if self.trainer.global_rank == 1:
            self.log("val_loss", torch.tensor(7.0))


class OnlyOnTheFirst(Logs):
    def on_train_epoch_end(self) -> None:
        if self.trainer.is_global_zero:
            self.log("val_loss", torch.tensor(7.0), rank_zero_only=True)


class Measured(OnTwo):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.layer(numbers.view(-1, 1))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return super().training_step(batch, index) + self(batch[0]).mean()

    def validation_step(self, batch: Any, index: int) -> None:
        self(batch[0])
        super().validation_step(batch, index)


class NeverComes(OnTwo):
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        marks = Path(self.trainer.default_root_dir)
        if self.trainer.global_rank == 1:
            wait_until((marks / "0.json").exists, 120)


class NeverGoesBack(OnTwo):
    """Where the other one waits in the middle of its backward pass."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        if self.trainer.global_rank == 1:
            wait_until((Path(self.trainer.default_root_dir) / "0.json").exists, 120)
        return super().training_step(batch, index)


class WaitsElsewhere(OnTwo):
    def on_validation_end(self) -> None:
        if self.trainer.global_rank == 0:
            dist.barrier()


class Fails(OnTwo):
    def on_validation_epoch_start(self) -> None:
        if self.trainer.global_rank == 1:
            raise ValueError("bad rows")


MODELS = (
    OtherNames,
    OneNameMore,
    NoneOnTheFirst,
    OnlyOnTheFirst,
    Measured,
    NeverComes,
    NeverGoesBack,
    WaitsElsewhere,
    Fails,
)


def train_all(folder: Path, rank: int) -> None:
    """Train each of the models as one of two processes, and write what came of it."""
    for model in MODELS:
        patience = PATIENCE if model in (NeverComes, NeverGoesBack, WaitsElsewhere) else 120.0
        trial = FakeTrial(folder / model.__name__, rank=rank, size=2, collective_timeout=patience)
        if model is Measured:
            trial.objectives = make_objectives(["val_loss", "parameters", "flops", "latency", "seconds", "peak_memory"])
        trial.folder.mkdir(parents=True, exist_ok=True)
        # Beside the folder: what an attempt finds in it, it takes for leftovers.
        ready = [folder / f"{model.__name__}-{each}.ready" for each in (0, 1)]
        ready[rank].touch()
        wait_until(ready[1 - rank].exists, 120)
        began = time.monotonic()
        try:
            loss = LightningObjective(model, Two, max_epochs=1, trainer={"accelerator": "cpu"})({}, trial)
            outcome: Any = [loss, trial.metrics]
        except (ValueError, OSError) as error:
            outcome = one_line(error)
        partial = trial.folder / f"{rank}.part"
        partial.write_text(json.dumps([outcome, time.monotonic() - began]))
        partial.rename(trial.folder / f"{rank}.json")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What both processes say of each model, and the seconds after which they do."""
    folder = tmp_path_factory.mktemp("two")
    launcher = Launcher(folder)
    try:
        both = [launcher.start(sys.executable, "-m", "test_lightning_ranks", str(folder), str(rank)) for rank in (0, 1)]
        ended = [launcher.finish(process, 240) for process in both]
        assert [process.status for process in ended] == [0, 0], ended
    finally:
        launcher.close()
    return {
        model: [json.loads((folder / model.__name__ / f"{rank}.json").read_text()) for rank in (0, 1)]
        for model in MODELS
    }


def test_metrics_that_all_have_are_averaged_and_others_are_recorded_too(outcomes: Any) -> None:
    for rank in (0, 1):
        loss, metrics = outcomes[OtherNames][rank][0]
        assert (loss, metrics["aaa"], metrics["zzz"]) == (1.5, 100.0, 100.0)
        loss, metrics = outcomes[OneNameMore][rank][0]
        assert (loss, metrics["more"], metrics["best_epoch"]) == (1.5, 7.0, 1)


def test_processes_that_train_together_have_the_same_values_of_all_objectives(outcomes: Any) -> None:
    (values, _), (others, _) = (outcome for outcome, _ in outcomes[Measured])
    assert values == others
    assert (values["val_loss"], values["parameters"], values["flops"]) == (1.5, 3, 2)
    assert 0 < values["latency"] < values["seconds"]


@pytest.mark.parametrize(("model", "rank"), [(NoneOnTheFirst, 1), (OnlyOnTheFirst, 0)])
def test_a_loss_that_only_some_have_is_an_error_on_all_that_names_them(model: Any, rank: int, outcomes: Any) -> None:
    for outcome, _ in outcomes[model]:
        assert outcome.startswith(f"UserError: Only rank {rank} of the 2 that train together logged 'val_loss'")


@pytest.mark.parametrize("model", [NeverComes, NeverGoesBack])
def test_who_waits_in_vain_says_for_whom_and_ends_soon(model: Any, outcomes: Any) -> None:
    (first, seconds), _ = outcomes[model]
    assert first.startswith("TimeoutError: rank 0 of the 2 that train together waited for rank 1 longer than")
    assert "collective_timeout, 4 s" in first
    assert PATIENCE <= seconds < 15 * PATIENCE


def test_who_waits_in_different_places_is_told_so(outcomes: Any) -> None:
    said = [outcome for outcome, _ in outcomes[WaitsElsewhere]]
    assert any("all 2 ranks that train together waited for each other longer" in outcome for outcome in said), said
    assert all(outcome.startswith("TimeoutError") for outcome in said), said


def test_who_waits_for_one_that_failed_says_why_that_one_did(outcomes: Any) -> None:
    (first, _), (second, _) = outcomes[Fails]
    assert second == "ValueError: bad rows"
    assert first == "ConnectionError: rank 1 of those that train together failed: ValueError: bad rows"


def test_the_time_that_ranks_wait_for_each_other_reaches_the_evaluation(launcher: Launcher) -> None:
    (launcher.folder / "waits.py").write_text("def loss(params, trial):\n    return trial.collective_timeout\n")
    arguments = ["waits.py:loss", "--limits", "{x: [0.0, 1.0]}", "--evaluations", "1", "--evaluate", "process"]
    for given, seconds in (([], 600.0), (["--collective-timeout", "1m30s"], 90.0)):
        ended = launcher.evo(*arguments, *given, "--run-dir", f"run-{seconds:g}")
        assert (ended.status, ended.err) == (0, "")
        (finished,) = journals.finished(launcher.folder / f"run-{seconds:g}").values()
        assert finished.loss == seconds


if __name__ == "__main__":
    train_all(Path(sys.argv[1]), int(sys.argv[2]))
