"""The batch job that this process is in, and when it ends."""

from __future__ import annotations

import contextlib
import datetime
import os
import subprocess
from collections.abc import Mapping

_PATIENCE = 10.0  # Seconds that Slurm's controller may take to answer.


def allocation_end(environment: Mapping[str, str]) -> float | None:
    """When Slurm will end this job; None outside of one, when it has no end, or when Slurm does not say.

    Args:
        environment: Environment variables.

    Returns:
        Seconds since the epoch.
    """
    told = environment.get("SLURM_JOB_END_TIME", "")  # Newer Slurm tells it to the job.
    if told.isdecimal():
        return float(told)
    job = environment.get("SLURM_JOB_ID")
    return _parse_end(_ask_slurm(job), job) if job else None


def _ask_slurm(job: str) -> str:
    command = ["squeue", "--noheader", "--job", job, "--format", "%A %e"]
    environment = {**os.environ, "SLURM_TIME_FORMAT": "standard"}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, env=environment).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _parse_end(answer: str, job: str) -> float | None:
    """Seconds since the epoch of a local time as 2026-01-31T12:00:00; Slurm says N/A when there is no end.

    An array has the number of one of its tasks: then Slurm answers with a line for each of these.
    """
    for line in answer.splitlines():
        number, _, end = line.strip().partition(" ")
        if number == job:
            with contextlib.suppress(ValueError):
                return datetime.datetime.fromisoformat(end.strip()).timestamp()
    return None
