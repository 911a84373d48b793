"""How a process was started, from what launchers tell their processes."""

from __future__ import annotations

from collections.abc import Mapping

from evo.doctor.facts import Launch
from evo.runtime.mpi import is_fault_tolerant

_OF_MPIRUN = ("OMPI_COMM_WORLD_SIZE", "PRTE_LAUNCHED", "HYDI_CONTROL_FD", "MPI_LOCALNRANKS")


def find_launch(environment: Mapping[str, str]) -> Launch:
    """How the launcher says that it has started this process.

    Args:
        environment: Environment variables, before MPI has added its own.

    Example:
        >>> find_launch({"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}).plugin
        'pmix'
    """
    launcher, plugin, expected = "", "", "1"
    if any(name in environment for name in _OF_MPIRUN):
        launcher = "mpirun"
        expected = environment.get("OMPI_COMM_WORLD_SIZE", environment.get("PMI_SIZE", "1"))
    elif "SLURM_STEP_NUM_TASKS" in environment:
        launcher = "srun"
        plugin = "pmix" if "PMIX_RANK" in environment else "pmi2" if "PMI_RANK" in environment else ""
        expected = environment["SLURM_STEP_NUM_TASKS"]
    elif "PMIX_RANK" in environment or "PMI_RANK" in environment:
        launcher = "another launcher"
        expected = environment.get("PMI_SIZE", "1")
    return Launch(
        launcher=launcher,
        plugin=plugin,
        expected=int(expected),
        slurm_tasks=int(environment.get("SLURM_NTASKS", "0")),
        fault_tolerant=is_fault_tolerant(environment),
    )
