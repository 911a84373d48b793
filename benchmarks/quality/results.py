"""Runs that were made, in a folder: a line of JSON for each; several processes may add to it at once."""

from __future__ import annotations

import fcntl
import json
import math
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeAlias

Key: TypeAlias = tuple[str, str, str, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One tool on one problem with one seed.

    Args:
        suite: The suite.
        problem: The problem's name.
        tool: The tool's name.
        workers: The number of asynchronous workers.
        seed: The seed.
        evaluations: The budget.
        ended: The number of evaluations that there were; fewer than the budget when the space was exhausted.
        optimum: The lowest known loss, when this run was made.
        scale: What the differences from the optimum are measured in; see `problem.Problem`.
        steps: The evaluations, from 1, that were better than all before, and their differences from the optimum.
        seconds: Seconds per proposal that the tool took, by itself.
        version: The version of the tool's package.
    """

    suite: str
    problem: str
    tool: str
    workers: int
    seed: int
    evaluations: int
    ended: int = 0
    optimum: float = 0.0
    scale: float = 1.0
    steps: Sequence[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    version: str | None = None

    @property
    def key(self) -> Key:
        """What distinguishes this run from others."""
        return self.suite, self.problem, self.tool, self.workers, self.seed, self.evaluations

    def gap(self, evaluations: int) -> float:
        """The difference between the best of the first evaluations and the optimum; infinite without any."""
        return min((gap for number, gap in self.steps if number <= evaluations), default=math.inf)

    def first(self, gap: float) -> float:
        """The number of evaluations after which the difference from the optimum was at most this; infinite if never."""
        return min((number for number, reached in self.steps if reached <= gap), default=math.inf)

    def regret(self, evaluations: int) -> float:
        """The same, in units of the problem's scale."""
        return self.gap(evaluations) / self.scale


def steps_of(losses: Iterable[float], optimum: float) -> list[tuple[int, float]]:
    """The evaluations, from 1, that were better than all before, and their differences from the optimum.

    Args:
        losses: The losses in their order; nan where an evaluation failed.
        optimum: The lowest known loss.
    """
    best, steps = math.inf, []
    for number, loss in enumerate(losses, start=1):
        if loss < best:  # False for nan.
            best = loss
            steps.append((number, rounded(loss - optimum)))
    return steps


def rounded(number: float) -> float:
    """A number with six digits, which are enough for a difference, and keep lines short."""
    return float(f"{number:.6g}")


def rebased(run: Run, optimum: float, scale: float) -> Run:
    """A run whose problem is known to have a lower optimum since, or another scale."""
    steps = [(number, gap + run.optimum - optimum) for number, gap in run.steps]
    return replace(run, steps=steps, optimum=optimum, scale=scale)


class Results:
    """The runs in a folder.

    Args:
        folder: The folder, which is made if it does not exist.
        record: The class of its runs: `Run`, or another one with a `key`.
    """

    def __init__(self, folder: Path, record: type[Any] = Run) -> None:
        self._record = record
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "runs.jsonl"
        self._read = 0
        self._runs: dict[Key, Run] = {}
        # Held open: closing it would give back all that this process has claimed.
        self._claims: IO[bytes] = (folder / "claims").open("ab")

    @property
    def runs(self) -> dict[Key, Run]:
        """All runs so far, by key."""
        if self._file.exists():
            with self._file.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if line.endswith(b"\n"):  # What has no end yet is read next time.
                        self._read += len(line)
                        self._take(line)
        return self._runs

    def _take(self, line: bytes) -> None:
        try:
            run = self._record(**json.loads(line))
        except (ValueError, TypeError):  # A process died while it wrote this line.
            return
        self._runs[run.key] = run

    def claim(self, key: Key) -> bool:
        """Whether nobody has made this run, nor is making it; then it is this process's own until it is released.

        A claim ends with the process that has made it. Two runs may share a claim, so that one waits for another turn.
        """
        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except OSError:
            return False
        if key in self.runs:  # It was made since the last look.
            self.release(key)
            return False
        return True

    def release(self, key: Key) -> None:
        """Give a claim back."""
        fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, _place(key))

    def add(self, run: Run) -> None:
        """Keep a run."""
        line = json.dumps(asdict(run)).encode() + b"\n"
        with self._file.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":  # A process died while it wrote.
                    line = b"\n" + line
            file.write(line)


def _place(key: Key) -> int:
    """A place in the file of claims, which need not be that long."""
    return zlib.crc32(json.dumps(key).encode())


def select(runs: Iterable[Run], **wanted: Any) -> list[Run]:
    """The runs whose fields have (one of) these values; None stands for any."""
    return [
        run
        for run in runs
        if all(
            value is None or (getattr(run, name) in value if isinstance(value, list) else getattr(run, name) == value)
            for name, value in wanted.items()
        )
    ]
