"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers import Ended
from torch.utils.data import DataLoader, TensorDataset

from evo.lightning import LightningObjective
from evo.testing.trials import FakeTrial

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")


class Net(L.LightningModule):
    """Takes so many megabytes of the GPU beside its one layer, and notes where its batches are."""

    def __init__(self, megabytes: int = 1, lr: float = 0.01) -> None:
        super().__init__()
        self.linear, self.megabytes, self.lr = torch.nn.Linear(4, 1), megabytes, lr
        self.came_from: set[str] = set()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.came_from.add(batch[0].device.type)
        return batch

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        taken = torch.empty(self.megabytes, 2**20, dtype=torch.uint8, device=self.device)
        assert taken.is_cuda
        return self.linear(batch[0]).square().mean()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.linear(batch[0]).square().mean())
        self.log("from_gpu", float(self.came_from == {"cuda"}))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Data(L.LightningDataModule):
    def train_dataloader(self) -> DataLoader[Any]:
        rows = torch.arange(256.0).reshape(64, 4) / 256
        return DataLoader(TensorDataset(rows), batch_size=8, shuffle=True)

    val_dataloader = train_dataloader


objective = LightningObjective(Net, Data, max_epochs=2)


def summary(run: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return read


@pytest.mark.mpi
@pytest.mark.slow
def test_four_ranks_share_one_gpu(mpirun: Callable[..., Ended], tmp_path: Path) -> None:
    search = ["-m", "evo.run", "digits", "--evaluations", "8", "--gpus-per-node", "1", "--gpu-memory", "0.2"]
    ended = mpirun(4, *search, "--run-dir", "run", timeout=300)
    assert ended.status == 0, ended.err
    assert summary(tmp_path / "run")["completed"] >= 8
    lines = "".join(file.read_text() for file in (tmp_path / "run" / "journal").glob("*.jsonl")).splitlines()
    finished = [event for event in map(json.loads, lines) if event["type"] == "Finished"]
    assert {event["device"] for event in finished} == {"cuda:0"}


@pytest.mark.mpi
@pytest.mark.slow
def test_a_training_that_needs_more_than_its_share_of_memory_fails_and_its_neighbours_go_on(
    mpirun: Callable[..., Ended], tmp_path: Path
) -> None:
    whole = torch.cuda.get_device_properties(0).total_memory // 2**20
    limits = f"{{megabytes: {{type: choice, values: [1, {whole // 2}, 2]}}, lr: [0.001, 0.1]}}"
    search = [
        "-m",
        "evo.run",
        "test_gpu:objective",
        "--limits",
        limits,
        "--gpu-memory",
        "0.3",
        "--propagator",
        "random",
    ]
    ended = mpirun(2, *search, "--evaluations", "12", "--run-dir", "run", timeout=300)
    assert ended.status == 0, ended.err
    found = summary(tmp_path / "run")
    assert found["completed"] > 0
    assert found["failed"] > 0
    assert found["completed"] + found["failed"] == found["evaluations"]
    assert (
        "OutOfMemoryError: the memory of the GPU that this training may use (0.3 of it: gpu_memory) ran out"
        in ended.out
    )


def test_examples_that_are_kept_on_the_gpu_give_the_same_losses(tmp_path: Path) -> None:
    losses, places = [], []
    for place in (None, "device"):
        trial = FakeTrial(tmp_path / str(place))
        losses.append(LightningObjective(Net, Data, max_epochs=2, keep_data=place)({"lr": 0.01}, trial))
        places.append(trial.metrics["from_gpu"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert places == [0.0, 1.0]


@pytest.mark.mpi
@pytest.mark.slow
def test_two_ranks_of_a_worker_train_on_one_gpu(mpirun: Callable[..., Ended], tmp_path: Path) -> None:
    search = ["-m", "evo.run", "digits", "--evaluations", "2", "--ranks-per-worker", "2", "--run-dir", "run"]
    ended = mpirun(2, *search, timeout=300)
    assert ended.status == 0, ended.err
    assert summary(tmp_path / "run")["completed"] == 2


def test_16_bit_mixed_precision_trains(tmp_path: Path) -> None:
    trial = FakeTrial(tmp_path)
    loss = LightningObjective(Net, Data, max_epochs=2, trainer={"precision": "16-mixed"})({"lr": 0.01}, trial)
    assert 0 <= loss < 1
