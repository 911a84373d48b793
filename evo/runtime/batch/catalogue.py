"""The batch systems that evo knows, and the one in whose job a process is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evo.runtime.batch.base import BatchSystem, Step
from evo.runtime.batch.flux import Flux
from evo.runtime.batch.lsf import LSF
from evo.runtime.batch.pbs import PBS
from evo.runtime.batch.slurm import Slurm

BATCH_SYSTEMS: Sequence[BatchSystem] = (Flux(), Slurm(), PBS(), LSF())
"""All that evo knows. Flux comes first, because it often runs inside of a job of another one."""

STEPS: Sequence[Step] = tuple(system.step for system in BATCH_SYSTEMS if system.step)
"""What their own launchers set."""

LAUNCH_PREFIXES = tuple(prefix for system in BATCH_SYSTEMS for prefix in system.prefixes)
"""How the variables begin that they set for launched processes."""


def find_batch_system(environment: Mapping[str, str]) -> BatchSystem | None:
    """The batch system in whose job this process is; None outside of one.

    Args:
        environment: Environment variables.

    Example:
        >>> find_batch_system({"PBS_JOBID": "7.server"}).name
        'PBS'
    """
    return next((system for system in BATCH_SYSTEMS if system.job in environment), None)


def find_step(environment: Mapping[str, str]) -> Step | None:
    """The step of a batch system's own launcher to which this process belongs; None when no such launched it.

    Args:
        environment: Environment variables.
    """
    return next((step for step in STEPS if step.count(environment)), None)


def allocation_end(environment: Mapping[str, str]) -> float | None:
    """When the batch system will end this job; None outside of one, when it has no end, or when nothing tells.

    Args:
        environment: Environment variables.

    Returns:
        Seconds since the epoch.
    """
    system = find_batch_system(environment)
    return system.end(environment) if system else None
