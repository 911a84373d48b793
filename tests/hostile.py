"""A LightningModule and a LightningDataModule that misbehave as the parameter `behaviour` says.

`FAILS` has each behaviour that fails an individual with the error that it must give; `COMPLETES` the others.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset

from evo.lightning import LightningObjective

THIRD = 2  # The place of the third of four batches.
LOUD = 8_000_000  # Bytes.
DIED = "ProcessDied: the evaluation process"

FAILS = {
    "raises_in_the_module": "ValueError: width is -1",
    "raises_in_the_data_module": "KeyError: 'no such data set'",
    "raises_in_setup": "FileNotFoundError: [Errno 2] No such file or directory: 'images.tar'",
    "raises_in_the_third_batch": "IndexError: label 7 of 5 classes",
    "raises_in_validation": "AssertionError: the shapes differ",
    "raises_in_a_loading_process": "KeyError: 'image 2 is broken' (Caught KeyError in DataLoader worker process 0)",
    "loses_a_loading_process": "RuntimeError: DataLoader worker (pid",
    "has_a_loss_of_nan": "FloatingPointError: val_loss is nan in epoch 1: the training diverged",
    "needs_more_memory_than_there_is": "RuntimeError: ",
    "meets_its_memory_limit": "MemoryError",
    "is_killed": f"{DIED} was killed by SIGKILL, perhaps because memory ran out",
    "exits_with_0": "SystemExit: 0",
    "exits_with_3": "SystemExit: 3",
    "hangs": "TimeLimit: it took longer than the time limit of ",
}
COMPLETES = ("behaves", "prints_megabytes", "leaves_a_process", "leaves_a_daemon")


def raise_(error: BaseException) -> None:
    raise error


def meet_a_memory_limit() -> None:
    """Run out of memory as under ulimit -v; the limit is taken back, because the process goes on afterwards."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, before[1]))
    try:
        bytearray(1_000_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def print_megabytes() -> None:
    for _ in range(LOUD // 200):
        print("x" * 99)
        print("y" * 99, file=sys.stderr)


def leave_a_daemon() -> None:
    """Start a daemon in a session of its own, which is no child of anyone here, since its shell ends at once."""
    subprocess.run(["sh", "-c", "sleep 1000 &"], start_new_session=True, check=True)


IN_THE_THIRD_BATCH: dict[str, Callable[[], Any]] = {
    "raises_in_the_third_batch": lambda: raise_(IndexError("label 7 of 5 classes")),
    "needs_more_memory_than_there_is": lambda: torch.empty(2**55),
    "meets_its_memory_limit": meet_a_memory_limit,
    "is_killed": lambda: os.kill(os.getpid(), signal.SIGKILL),  # The kernel does so when memory runs out.
    "exits_with_0": lambda: sys.exit(0),
    "exits_with_3": lambda: sys.exit(3),
    "hangs": lambda: time.sleep(1000),
    "prints_megabytes": print_megabytes,
    "leaves_a_process": lambda: multiprocessing.Process(target=time.sleep, args=(1000,), daemon=True).start(),
    "leaves_a_daemon": leave_a_daemon,
}


class Module(L.LightningModule):
    def __init__(self, behaviour: str) -> None:
        super().__init__()
        if behaviour == "raises_in_the_module":
            raise ValueError("width is -1")
        self.behaviour = behaviour
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, index: int) -> Any:
        if index == THIRD:
            IN_THE_THIRD_BATCH.get(self.behaviour, lambda: None)()
        return self.layer(batch).sum() ** 2

    def validation_step(self, batch: Any, index: int) -> None:
        assert self.behaviour != "raises_in_validation", "the shapes differ"
        self.log("val_loss", math.nan if self.behaviour == "has_a_loss_of_nan" else 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Images(Dataset[torch.Tensor]):
    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == THIRD and self.behaviour == "raises_in_a_loading_process":
            raise KeyError("image 2 is broken")
        if self.behaviour == "loses_a_loading_process":
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.ones(1)


class Data(L.LightningDataModule):
    def __init__(self, behaviour: str) -> None:
        super().__init__()
        if behaviour == "raises_in_the_data_module":
            raise KeyError("no such data set")
        self.behaviour = behaviour

    def setup(self, stage: str) -> None:
        if self.behaviour == "raises_in_setup":
            os.stat("images.tar")

    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        return DataLoader(Images(self.behaviour), num_workers=int(self.behaviour.endswith("a_loading_process")))

    def val_dataloader(self) -> DataLoader[torch.Tensor]:
        return DataLoader(Images("behaves"))


objective = LightningObjective(Module, Data, max_epochs=1)
