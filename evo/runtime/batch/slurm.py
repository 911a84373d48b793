"""The batch system Slurm."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping
from typing import final

from typing_extensions import override

from evo.runtime.batch.base import BatchSystem, Step, ask, whole_number


@final
class Slurm(BatchSystem):
    """Slurm. Its variables: https://slurm.schedmd.com/sbatch.html and https://slurm.schedmd.com/srun.html."""

    name = "Slurm"
    job = "SLURM_JOB_ID"
    prefixes = ("SLURM_",)
    tasks = "SLURM_NTASKS"
    again = "sbatch the same script again; jobs/chain.sh queues itself again"
    step = Step(
        launcher="srun",
        rank="SLURM_PROCID",
        size="SLURM_STEP_NUM_TASKS",
        local_rank="SLURM_LOCALID",
        local_size="SLURM_STEP_TASKS_PER_NODE",
        pmi="--mpi=",
        connecting="srun --mpi=pmix",
    )

    @override
    def end(self, environment: Mapping[str, str]) -> float | None:
        told = environment.get("SLURM_JOB_END_TIME", "")  # Only newer versions of Slurm set this.
        if told.isdecimal():
            return float(told)
        job = environment[self.job]
        command = ["squeue", "--noheader", "--job", job, "--format", "%A %e"]
        return _parse_squeue(ask(command, SLURM_TIME_FORMAT="standard"), job)

    @override
    def nodes(self, environment: Mapping[str, str]) -> int:
        return whole_number(environment.get("SLURM_JOB_NUM_NODES", ""))


def _parse_squeue(answer: str, job: str) -> float | None:
    """The end of a job, from a local time such as 2026-01-31T12:00:00; Slurm prints N/A when there is no end.

    An array shares its number with one of its tasks; asked for that number, Slurm prints a line for each task.
    """
    for line in answer.splitlines():
        number, _, end = line.strip().partition(" ")
        if number == job:
            with contextlib.suppress(ValueError):
                return datetime.datetime.fromisoformat(end.strip()).timestamp()
    return None
