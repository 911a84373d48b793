"""The processes of lightning.py that train, and what they take."""

from __future__ import annotations

import json
import math
import os
import resource
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, final

TICKS = os.sysconf("SC_CLK_TCK")  # Per second.

Candidate = tuple[dict[str, Any], int]
"""Parameters, and the seed of the training."""


class Training(NamedTuple):
    """What a training took, in seconds on the clock and of all CPUs, and its loss."""

    wall: float
    cpu: float
    loss: float


class Way(ABC):
    """A way to have candidates trained.

    Attributes:
        startup: Seconds until it could begin.
    """

    startup = math.nan

    @abstractmethod
    def train(self, candidate: Candidate) -> Training:
        """Train a candidate to the end."""


class Served(Way):
    """A process that trains what it is told.

    Args:
        name: Of the way.
        job: See `lightning_trainings.Job`.
    """

    def __init__(self, name: str, job: dict[str, Any], closing: ExitStack) -> None:
        address = f"{job['runs']}/socket"
        Path(job["runs"]).mkdir()
        began = time.perf_counter()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(address)
            server.listen()
            server.settimeout(0.2)
            self._process = subprocess.Popen(command(name, job, address), stdout=subprocess.DEVNULL)
            closing.callback(end, self._process)
            self._channel = accept(server, self._process)
        closing.callback(self._channel.close)
        self.startup = time.perf_counter() - began

    def train(self, candidate: Candidate) -> Training:
        return self._measure(lambda: self._ask(candidate))

    def _ask(self, candidate: Candidate) -> float:
        self._channel.send(candidate)
        return float(self._channel.recv())

    def _measure(self, act: Callable[[], float]) -> Training:
        cpu, began = cpu_seconds(self._process.pid), time.perf_counter()
        loss = act()
        wall = time.perf_counter() - began
        return Training(wall, cpu_seconds(self._process.pid) - cpu, loss)


@final
class Search(Served):
    """A search of evo: it breeds the candidates itself, and waits until each may be trained."""

    def __init__(self, name: str, job: dict[str, Any], closing: ExitStack) -> None:
        super().__init__(name, job, closing)
        self.candidate = self._hear("asked")

    def _ask(self, candidate: Candidate) -> float:
        if candidate != self.candidate:
            raise RuntimeError(f"evo bred {self.candidate}, and not {candidate}")
        self._channel.send(None)
        loss = self._hear("loss")
        self.candidate = self._hear("asked")
        return float(loss)

    def train_bare(self, candidate: Candidate) -> tuple[float, float]:
        """Let the process that trains for the search train a candidate by Lightning alone; loss and CPU seconds."""
        self._channel.send(candidate)
        loss, cpu = self._hear("bare")
        return loss, cpu

    def _hear(self, kind: str) -> Any:
        heard, said = self._channel.recv()
        if heard != kind:
            raise RuntimeError(f"a training of evo failed; its search goes on with {said}")
        return said


@final
class Bare(Way):
    """Trainings without evo, in the process that trains for a search.

    Two processes of the very same program may differ by several percent, for as long as they live.
    """

    def __init__(self, search: Search) -> None:
        self._search = search

    def train(self, candidate: Candidate) -> Training:
        began = time.perf_counter()
        loss, cpu = self._search.train_bare(candidate)
        return Training(time.perf_counter() - began, cpu, loss)


@final
class Anew(Way):
    """A new process for each training."""

    def __init__(self, name: str, job: dict[str, Any]) -> None:
        self._name, self._job = name, job
        self._number = 0

    def train(self, candidate: Candidate) -> Training:
        self._number += 1
        job = {**self._job, "runs": f"{self._job['runs']}/{self._number}"}
        program = [*command(self._name, job, ""), json.dumps(candidate)]
        cpu, began = cpu_of_ended(), time.perf_counter()
        said = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True).stdout
        wall = time.perf_counter() - began
        return Training(wall, cpu_of_ended() - cpu, float(said.splitlines()[-1]))


def command(name: str, job: dict[str, Any], address: str) -> list[str]:
    """The command that trains in one of the ways."""
    return [sys.executable, str(Path(__file__).with_name("lightning_trainings.py")), name, json.dumps(job), address]


def accept(server: socket.socket, process: subprocess.Popen[bytes]) -> Connection:
    """The connection to a process, or to one that it has started."""
    while process.poll() is None:
        with suppress(TimeoutError):
            accepted, _ = server.accept()
            accepted.setblocking(True)
            return Connection(accepted.detach())
    raise RuntimeError(f"{process.args} has ended with status {process.returncode}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process whose connection is closed."""
    process.terminate()
    process.wait()


def cpu_seconds(root: int) -> float:
    """What a process, those that it has started and those that these have started have had of all CPUs so far."""
    parents, seconds = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It has ended.
            fields = file.read_text().rpartition(")")[2].split()
            number = int(file.parent.name)
            parents[number] = int(fields[1])
            seconds[number] = sum(map(int, fields[11:15])) / TICKS  # Those that have ended and were waited for, too.
    family = {root}
    while found := {number for number, parent in parents.items() if parent in family} - family:
        family |= found
    return sum(seconds[number] for number in family)


def cpu_of_ended() -> float:
    """What the processes that this one has started and waited for have had of all CPUs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
