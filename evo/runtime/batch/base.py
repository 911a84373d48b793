"""What a batch system tells of its job and of what it launches."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

_PATIENCE = 10.0  # Seconds that a batch system's server may take to answer.


@final
@dataclass(frozen=True)
class Step:
    """The variables that a batch system's own launcher sets for the processes of one step.

    Args:
        launcher: The command that launches a step.
        rank: Names the variable with a process's number in the step.
        size: Names the variable with the number of processes.
        local_rank: Names the variable with a process's number on its node.
        local_size: Names the variable with the number of processes on a node; empty when there is none.
        pmi: The option that chooses how the processes find each other, up to the name of a way; empty if there is none.
        connecting: The command that launches processes which find each other; empty when only mpirun does.
    """

    launcher: str
    rank: str
    size: str
    local_rank: str
    local_size: str = ""
    pmi: str = ""
    connecting: str = ""

    @property
    def advice(self) -> str:
        """How to start processes that find each other."""
        return "start them with " + (f"{self.connecting}, or with mpirun" if self.connecting else "mpirun")

    def count(self, environment: Mapping[str, str]) -> int:
        """How many processes the step has that this one belongs to; 0 when it belongs to none."""
        return whole_number(environment.get(self.size, ""))


class BatchSystem(ABC):
    """What a batch system tells of the job that this process is in.

    Attributes:
        name: What people call it.
        job: Names the variable with the number of the job; a process that has it is in a job of this batch system.
        prefixes: The variables that it sets for a launched process begin so. A training must not see them.
        tasks: Names the variable that says how many processes the job is meant for; empty when there is none.
        threads: Names the variable with the cores of the job, if it sets OMP_NUM_THREADS to as many for each process,
            which is nothing that the user asked for; empty when it does not.
        again: How to have an incomplete search go on, after status 85.
        step: What its own launcher sets; None when it has none.
    """

    name: ClassVar[str]
    job: ClassVar[str]
    prefixes: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[str] = ""
    threads: ClassVar[str] = ""
    again: ClassVar[str]
    step: ClassVar[Step | None] = None

    @abstractmethod
    def end(self, environment: Mapping[str, str]) -> float | None:
        """When the job ends, in seconds since the epoch; None when it has no end or the batch system does not say.

        Args:
            environment: Environment variables of a process in the job.
        """

    def tasks_asked(self, environment: Mapping[str, str]) -> int:
        """How many processes the job is meant for; 0 when the environment does not say.

        Args:
            environment: Environment variables of a process in the job.
        """
        return whole_number(environment.get(self.tasks, ""))

    @abstractmethod
    def nodes(self, environment: Mapping[str, str]) -> int:
        """How many nodes the job has; 0 when the environment does not say.

        Args:
            environment: Environment variables of a process in the job.
        """


def ask(command: Sequence[str], **variables: str) -> str:
    """What a command of a batch system prints; nothing when there is no such command, or no answer in time.

    Args:
        command: The command and its arguments.
        variables: Environment variables beside those of this process.
    """
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            env={**os.environ, **variables},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout


def whole_number(text: str) -> int:
    """What a variable says that should be a number; 0 when it is none."""
    return int(text) if text.isascii() and text.isdecimal() else 0
