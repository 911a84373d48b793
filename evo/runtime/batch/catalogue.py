"""The batch systems that evo knows, and the search for the one that runs this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evo.runtime.batch.base import BatchSystem, Step
from evo.runtime.batch.flux import Flux
from evo.runtime.batch.lsf import LSF
from evo.runtime.batch.pbs import PBS
from evo.runtime.batch.slurm import Slurm

BATCH_SYSTEMS: Sequence[BatchSystem] = (Flux(), Slurm(), PBS(), LSF())
"""All batch systems that evo knows. Flux comes first, because it often runs inside of another one's job."""

STEPS: Sequence[Step] = tuple(system.step for system in BATCH_SYSTEMS if system.step)
"""The variables of their own launchers."""

LAUNCH_PREFIXES = tuple(prefix for system in BATCH_SYSTEMS for prefix in system.prefixes)
"""The prefixes of the variables that they set for launched processes."""


def find_batch_system(environment: Mapping[str, str]) -> BatchSystem | None:
    """The batch system whose job this process is in; None outside of a job.

    Args:
        environment: The environment variables.

    Example:
        >>> find_batch_system({"PBS_JOBID": "7.server"}).name
        'PBS'
    """
    return next((system for system in BATCH_SYSTEMS if system.job in environment), None)


def find_step(environment: Mapping[str, str]) -> Step | None:
    """The step of a batch system's own launcher that this process belongs to; None when none launched it.

    Args:
        environment: The environment variables.
    """
    return next((step for step in STEPS if step.count(environment)), None)


def allocation_end(environment: Mapping[str, str]) -> float | None:
    """The time when the batch system will end this job.

    Args:
        environment: The environment variables.

    Returns:
        Seconds since the epoch; None outside of a job, and when the job has no end or the end is not known.
    """
    system = find_batch_system(environment)
    return system.end(environment) if system else None
