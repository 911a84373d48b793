"""The processes that train one individual together: how they meet, agree and part."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, final

import torch
import torch.distributed as dist

from evo.frames import one_line
from evo.objective.objective import Trial

# Seconds in which the others learn that this process waits no longer, and say what they are doing. It is less than the
# time that a process has to end by itself when another one of its worker has failed.
_ANSWER = 1.0
_WAITS = "waits"


@final
class Group:
    """What the processes of one training agree on; a single one agrees with itself.

    Messages go through the CPU, whatever the network trains on: they wait for no GPU.

    Args:
        rank: The place of this process.
        size: The number of processes.
        patience: How many seconds each waits for the others.
    """

    def __init__(self, rank: int, size: int, patience: float = 0.0) -> None:
        self.is_first = rank == 0
        self._size = size
        limit = timedelta(seconds=patience)
        self._processes: Any = dist.new_group(backend="gloo", timeout=limit) if size > 1 else None

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

    def gather(self, metrics: Mapping[str, float]) -> Sequence[Mapping[str, float]]:
        """The metrics of each process, in the order of their ranks; names may differ. They travel as JSON."""
        if self._size == 1:
            return [metrics]
        text = json.dumps(metrics).encode()  # NaN may be among them, which Python's JSON can hold.
        own = torch.frombuffer(bytearray(text.ljust(self.highest(len(text)))), dtype=torch.uint8)
        shares = [torch.empty_like(own) for _ in range(self._size)]
        dist.all_gather(shares, own, self._processes)
        return [json.loads(share.numpy().tobytes()) for share in shares]


ALONE = Group(0, 1)


@contextmanager
def process_group(trial: Trial) -> Iterator[Group]:
    """Connect the processes that train an individual together, for as long as they do.

    They meet by a file in the individual's folder, which all of them see, so that no other study can take their port.
    None of them waits for another longer than the trial says, in a collective of evo's, Lightning's or the user's.

    Args:
        trial: The trial, which says which of how many processes this one is, and how long it may wait.

    Raises:
        TimeoutError: This process waited longer; the message says for whom.
        ConnectionError: Another process has failed, or is gone; the message says which.
    """
    if trial.size == 1:
        yield ALONE
        return
    meeting = meeting_file(trial)
    if trial.rank == 0:
        forget_meetings(trial)
    limit = timedelta(seconds=trial.collective_timeout)
    store = dist.FileStore(os.fspath(meeting), trial.size)  # type: ignore[attr-defined]
    store.set_timeout(limit)
    with _explained(store, trial), _connected(store, trial, limit) as group:
        yield group
    meeting.unlink(missing_ok=True)  # After a failure it stays, because others may still read it.


@contextmanager
def _connected(store: Any, trial: Trial, limit: timedelta) -> Iterator[Group]:
    backend = _choose_backend(store, trial)
    dist.init_process_group(backend, store=store, rank=trial.rank, world_size=trial.size, timeout=limit)
    try:
        yield Group(trial.rank, trial.size, limit.total_seconds())
    finally:
        dist.destroy_process_group()


@contextmanager
def _explained(store: Any, trial: Trial) -> Iterator[None]:
    """Let a process that has waited for another one in vain say what became of that one.

    Each process that fails leaves a message in the file by which they met. A process that leaves none in time, after
    the connections are closed, is the one that the others waited for.
    """
    try:
        yield
    except BaseException as error:
        waited = _is_of_a_collective(error)
        with suppress(Exception):
            store.set(f"end-{trial.rank}", _WAITS if waited else one_line(error))
        if not waited:
            raise
        ends = _listen(store, trial)
        reason, kind = _explain(trial, ends, is_late=_is_late(error))
        raise kind(reason) from error


def _is_of_a_collective(error: BaseException) -> bool:
    """Whether an exception comes from where processes wait for each other."""
    frames = traceback.extract_tb(error.__traceback__)
    place = Path(frames[-1].filename).as_posix() if frames else ""
    inside = place == Path(__file__).as_posix() or "torch/distributed/" in place
    # A collective inside the backward pass has no frame of its own, so its message is looked at.
    named = any(word in str(error) for word in ("/gloo/", "NCCL"))
    return isinstance(error, RuntimeError) and (inside or named or isinstance(error, dist.DistError))


def _is_late(error: BaseException) -> bool:
    # Gloo's timeout has no class of its own, so the message is looked at.
    return "timed out" in str(error).lower() or "timeout" in str(error).lower()


def _listen(store: Any, trial: Trial) -> dict[int, str]:
    """The messages of those of the others that leave one in time, by rank."""
    others = [rank for rank in range(trial.size) if rank != trial.rank]
    found: dict[int, str] = {}
    end = time.monotonic() + _ANSWER
    while True:
        with suppress(RuntimeError):
            for rank in others:
                if rank not in found and store.check([f"end-{rank}"]):
                    found[rank] = store.get(f"end-{rank}").decode()
        if len(found) == len(others) or time.monotonic() >= end:
            return found
        time.sleep(0.01)


def _explain(trial: Trial, ends: dict[int, str], is_late: bool) -> tuple[str, type[OSError]]:
    """The message about a wait in vain, and the class of its error, given the messages of the others by rank."""
    for rank, word in sorted(ends.items()):
        if word != _WAITS:
            return f"rank {rank} of those that train together failed: {word}", ConnectionError
    absent = [rank for rank in range(trial.size) if rank != trial.rank and rank not in ends]
    whom = f"rank{'s' if len(absent) > 1 else ''} {', '.join(map(str, absent))}"
    if not is_late:
        return f"rank {trial.rank} lost its connection to {whom if absent else 'the others'}", ConnectionError
    limit = f"longer than collective_timeout, {trial.collective_timeout:g} s"
    if absent:
        return (
            f"rank {trial.rank} of the {trial.size} that train together waited for {whom} {limit}: let all of them "
            "train alike, or allow more",
            TimeoutError,
        )
    return (
        f"all {trial.size} ranks that train together waited for each other {limit}: let them make the same "
        "collective calls in the same order",
        TimeoutError,
    )


def meeting_file(trial: Trial) -> Path:
    """The file by which the processes of this attempt meet; no other attempt has it."""
    return trial.folder / f"meeting-{trial.session}-{trial.attempt}"


def forget_meetings(trial: Trial) -> None:
    """Remove the meeting files of earlier sessions, none of whose processes is alive any more."""
    for path in trial.folder.glob("meeting-*"):
        if not path.name.startswith(f"meeting-{trial.session}-"):
            path.unlink(missing_ok=True)


def _choose_backend(store: Any, trial: Trial) -> str:
    """NCCL if each process has a GPU of its own, since it refuses two on one; otherwise gloo."""
    gpu = str(torch.cuda.get_device_properties(0).uuid) if torch.cuda.is_available() else ""
    store.set(f"gpu-{trial.rank}", gpu or "none")
    gpus = {store.get(f"gpu-{rank}").decode() for rank in range(trial.size)}
    return "nccl" if gpu and len(gpus) == trial.size and dist.is_nccl_available() else "gloo"
