"""What a launcher tells the processes that it starts: who they are, how many there are, and what they may survive."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from evo.runtime.batch import STEPS, find_step
from evo.runtime.batch.base import whole_number

_FAULT_TOLERANT = "OMPI_MCA_mpi_ft_enable"  # What mpirun --with-ft ulfm sets.
_OF_MPIRUN = ("OMPI_COMM_WORLD_SIZE", "PRTE_LAUNCHED", "HYDI_CONTROL_FD", "MPI_LOCALNRANKS")
_LAUNCH_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PALS_RANKID", "MPI_LOCALNRANKS")

# mpirun leaves the variables of a batch system's own launcher as they are for the batch script: they come last.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PALS_RANKID", *(step.rank for step in STEPS))

# A rank's place on its machine, and how many ranks that has. Those of batch systems come last for the same reason.
_LOCAL = (
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"),
    ("PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"),
    *((step.local_rank, step.local_size) for step in STEPS),
)


def is_launched(environment: Mapping[str, str]) -> bool:
    """Whether mpirun, or srun with an MPI plugin, started this process.

    Args:
        environment: Environment variables.
    """
    return any(variable in environment for variable in _LAUNCH_VARIABLES)


@final
@dataclass(frozen=True)
class Launched:
    """What a launcher says that it has started.

    Args:
        launcher: "mpirun", a batch system's own such as "srun", "another launcher", or empty when there is none.
        count: How many processes, as far as it says.
        advice: How a batch system's own launcher starts processes that find each other; empty with others.
    """

    launcher: str = ""
    count: int = 1
    advice: str = ""


def find_started(environment: Mapping[str, str]) -> Launched:
    """What the launcher says that it has started, this process among others.

    The inner one of two launchers counts, although the variables of the outer one are there as well: any mpirun runs
    inside of a step of a batch system, and that of Open MPI inside of what another launcher has started, such as PALS
    or Hydra, which tell by PMI. Of mpirun of Open MPI and of Hydra nothing tells which is the inner one: the smaller
    number counts, so that a rank which was started alone on purpose is not taken for one that has lost the others.

    Args:
        environment: Environment variables, before MPI has added its own.

    Example:
        >>> find_started({"PMI_SIZE": "2", "PALS_RANKID": "1"})
        Launched(launcher='another launcher', count=2, advice='')
    """
    step, by_pmi = find_step(environment), whole_number(environment.get("PMI_SIZE", ""))
    if any(name in environment for name in _OF_MPIRUN):
        by_open_mpi = whole_number(environment.get("OMPI_COMM_WORLD_SIZE", ""))
        by_hydra = by_pmi if "HYDI_CONTROL_FD" in environment else 0
        return Launched("mpirun", min(filter(None, (by_open_mpi, by_hydra)), default=by_pmi or 1))
    if step and by_pmi in (0, step.count(environment)):
        return Launched(step.launcher, step.count(environment), step.advice)
    if by_pmi or any(name in environment for name in _LAUNCH_VARIABLES):
        return Launched("another launcher", by_pmi or 1)
    return Launched()


def why_not_one_world(size: int, environment: Mapping[str, str]) -> str:
    """Why the ranks that a launcher started did not find each other; empty when they did.

    A rank that is alone must not search on by itself: each would do all of the work, into the same run directory.

    Args:
        size: Number of ranks in this world.
        environment: Environment variables.
    """
    started = find_started(environment)
    if size > 1 or started.count < 2:
        return ""
    if started.advice:
        return f"{started.launcher} started {started.count} tasks, but each is alone: {started.advice}"
    if "OMPI_COMM_WORLD_SIZE" in environment:
        # So it is too for a rank that comes to MPI when its mpirun has been killed.
        reason = "it has ended, or is not of the MPI that mpi4py uses"
    else:
        reason = (
            "the MPI that mpi4py uses does not know this launcher; start them with the mpirun of that MPI, or name the "
            "library of this launcher's MPI in MPI4PY_LIBMPI"
        )
    launcher = started.launcher if started.launcher == "mpirun" else "the launcher"
    return f"{launcher} started {started.count} ranks, but each is alone: {reason}"


def speaks(environment: Mapping[str, str]) -> bool:
    """Whether this process is the first of those that its launcher started, be they connected or not.

    Args:
        environment: Environment variables.
    """
    ranks = [environment[name] for name in _RANKS if name in environment]
    return not ranks or ranks[0] == "0"


def place_on_node(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """The place of this rank among all ranks on its machine, and how many these are, as the launcher says.

    Only where a part of the ranks searches, since all of them together find out for themselves.

    Args:
        environment: Environment variables.

    Returns:
        None when the launcher does not say.

    Example:
        >>> place_on_node({"OMPI_COMM_WORLD_LOCAL_RANK": "3", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"})
        (3, 4)
    """
    for place, size in _LOCAL:
        if environment.get(place, "").isdigit():
            count = re.match(r"\d+", environment.get(size, ""))
            rank = int(environment[place])
            return rank, max(rank + 1, int(count[0]) if count else 0)
    return None


def is_fault_tolerant(environment: Mapping[str, str]) -> bool:
    """Whether ranks outlive each other: started with mpirun --with-ft ulfm.

    Args:
        environment: Environment variables.
    """
    return environment.get(_FAULT_TOLERANT, "").lower() in ("1", "true", "yes", "enabled")
