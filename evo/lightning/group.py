"""The processes that train one individual together: how they meet, agree and part."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, final

import torch
import torch.distributed as dist

from evo.objectives import Trial

_PATIENCE = timedelta(minutes=30)  # One of them may load its data for long, and the rank ends those that wait in vain.


@final
class Group:
    """What the processes of one training agree on; a single one agrees with itself.

    Messages go through the CPU, whatever the network trains on: they wait for no GPU.

    Args:
        rank: Place of this process.
        size: How many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.is_first = rank == 0
        self._size = size
        self._processes: Any = dist.new_group(backend="gloo") if size > 1 else None

    def wait(self) -> None:
        """Wait for the others."""
        if self._size > 1:
            dist.barrier(self._processes)

    def highest(self, number: int) -> int:
        """The highest of their numbers."""
        if self._size == 1:
            return number
        tensor = torch.tensor(number)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, self._processes)
        return int(tensor)

    def mean(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """The mean of each of their numbers; all have the same names."""
        if self._size == 1:
            return dict(numbers)
        names = sorted(numbers)
        tensor = torch.tensor([numbers[name] for name in names], dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.SUM, self._processes)
        means = dict(zip(names, (tensor / self._size).tolist(), strict=True))
        return {name: means[name] for name in numbers}


ALONE = Group(0, 1)


@contextmanager
def process_group(trial: Trial) -> Iterator[Group]:
    """Connect the processes that train an individual together, for as long as they do.

    They meet by a file in the individual's folder, which all of them see: no port that another study might take.

    Args:
        trial: Says which of how many this one is.
    """
    if trial.size == 1:
        yield ALONE
        return
    meeting = meeting_file(trial)
    store = dist.FileStore(os.fspath(meeting), trial.size)  # type: ignore[attr-defined]
    backend = _choose_backend(store, trial)
    dist.init_process_group(backend, store=store, rank=trial.rank, world_size=trial.size, timeout=_PATIENCE)
    try:
        yield Group(trial.rank, trial.size)
    finally:
        dist.destroy_process_group()
        meeting.unlink(missing_ok=True)


def meeting_file(trial: Trial) -> Path:
    """The file by which the processes of this attempt meet; no other attempt has it."""
    return trial.folder / f"meeting-{trial.session}-{trial.attempt}"


def _choose_backend(store: Any, trial: Trial) -> str:
    """NCCL where each process has a GPU of its own; it refuses two on one."""
    gpu = str(torch.cuda.get_device_properties(0).uuid) if torch.cuda.is_available() else ""
    store.set(f"gpu-{trial.rank}", gpu or "none")
    gpus = {store.get(f"gpu-{rank}").decode() for rank in range(trial.size)}
    return "nccl" if gpu and len(gpus) == trial.size and dist.is_nccl_available() else "gloo"
