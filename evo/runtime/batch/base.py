"""What a batch system tells about its job and about the processes that it launches."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

_PATIENCE = 10.0  # The seconds that a batch system's server may take to answer.


@final
@dataclass(frozen=True)
class Step:
    """The variables that a batch system's own launcher sets for the processes of one step.

    Args:
        launcher: The command that launches a step.
        rank: The name of the variable with a process's number in the step.
        size: The name of the variable with the number of processes.
        local_rank: The name of the variable with a process's number on its node.
        local_size: The name of the variable with the number of processes on a node; empty when there is none.
        pmi: The option that chooses how the processes find each other, without its value; empty when there is none.
        connecting: The command that launches processes which find each other; empty when only mpirun can.
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
        """The advice how to start processes that find each other."""
        return "start them with " + (f"{self.connecting}, or with mpirun" if self.connecting else "mpirun")

    def count(self, environment: Mapping[str, str]) -> int:
        """The number of processes of the step that this process belongs to; 0 when it belongs to none."""
        return whole_number(environment.get(self.size, ""))


class BatchSystem(ABC):
    """A batch system, and what it tells about the job that this process is in.

    Attributes:
        name: The name of the batch system.
        job: The name of the variable with the number of the job. Only processes in a job of this batch system have it.
        prefixes: The prefixes of the variables that it sets for launched processes. A training must not see these.
        tasks: The name of the variable with the number of processes that the job is meant for; empty when there is
            none.
        threads: The name of the variable with the number of cores of the job, if the batch system sets OMP_NUM_THREADS
            to this number for each process without being asked; otherwise empty.
        again: The advice how to continue an incomplete search, after status 85.
        step: The variables of its own launcher; None when it has no launcher.
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
        """The end of the job in seconds since the epoch; None when it has none or the batch system does not say.

        Args:
            environment: The environment variables of a process in the job.
        """

    def tasks_asked(self, environment: Mapping[str, str]) -> int:
        """The number of processes that the job is meant for; 0 when the environment does not say.

        Args:
            environment: The environment variables of a process in the job.
        """
        return whole_number(environment.get(self.tasks, ""))

    @abstractmethod
    def nodes(self, environment: Mapping[str, str]) -> int:
        """The number of nodes of the job; 0 when the environment does not say.

        Args:
            environment: The environment variables of a process in the job.
        """


def ask(command: Sequence[str], **variables: str) -> str:
    """The output of a batch system's command; empty when there is no such command, or no answer in time.

    Args:
        command: The command and its arguments.
        variables: Environment variables in addition to those of this process.
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
    """The whole number in a text; 0 when it holds none."""
    return int(text) if text.isascii() and text.isdecimal() else 0
