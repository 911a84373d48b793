"""What a launcher tells its processes by environment variables: their ranks, their number, and fault tolerance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from evo.runtime.batch import STEPS, find_step
from evo.runtime.batch.base import whole_number

_FAULT_TOLERANT = "OMPI_MCA_mpi_ft_enable"  # Set by mpirun --with-ft ulfm.
_OF_MPIRUN = ("OMPI_COMM_WORLD_SIZE", "PRTE_LAUNCHED", "HYDI_CONTROL_FD", "MPI_LOCALNRANKS")
_LAUNCH_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PALS_RANKID", "MPI_LOCALNRANKS")

# Variables of a batch system's own launcher come last, because mpirun passes on those of the batch script.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PALS_RANKID", *(step.rank for step in STEPS))

# The variables with a rank's place on its machine and the number of ranks there. Those of batch systems come last for
# the same reason.
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
        environment: The environment variables.
    """
    return any(variable in environment for variable in _LAUNCH_VARIABLES)


@final
@dataclass(frozen=True)
class Launched:
    """The processes that a launcher has started, as far as it tells.

    Args:
        launcher: The launcher: "mpirun", a batch system's own such as "srun", "another launcher", or empty for none.
        count: The number of processes.
        advice: How a batch system's own launcher starts processes that find each other. Empty for other launchers.
    """

    launcher: str = ""
    count: int = 1
    advice: str = ""


def find_started(environment: Mapping[str, str]) -> Launched:
    """The processes that the launcher of this process has started.

    Of two nested launchers the inner one counts, although the variables of the outer one are set too. An mpirun runs
    inside a step of a batch system, and the one of Open MPI may run inside PALS or Hydra, which set PMI variables. For
    Open MPI and Hydra, nothing tells which is the inner one, so the smaller number counts: a rank that was started
    alone on purpose must not be taken for one that has lost the others.

    Args:
        environment: The environment variables, before MPI has added its own.

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
    """The reason why the ranks that a launcher started did not find each other; empty when they did.

    A rank that is alone must not search on by itself: each would do all of the work, into the same run directory.

    Args:
        size: The number of ranks in this world.
        environment: The environment variables.
    """
    started = find_started(environment)
    if size > 1 or started.count < 2:
        return ""
    if started.advice:
        return f"{started.launcher} started {started.count} tasks, but each is alone: {started.advice}"
    if "OMPI_COMM_WORLD_SIZE" in environment:
        # A rank that joins MPI after its mpirun was killed is alone as well.
        reason = "it has ended, or is not of the MPI that mpi4py uses"
    else:
        reason = (
            "the MPI that mpi4py uses does not know this launcher; start them with the mpirun of that MPI, or name the "
            "library of this launcher's MPI in MPI4PY_LIBMPI"
        )
    launcher = started.launcher if started.launcher == "mpirun" else "the launcher"
    return f"{launcher} started {started.count} ranks, but each is alone: {reason}"


def speaks(environment: Mapping[str, str]) -> bool:
    """Whether this process is the first of those that its launcher started, whether they are connected or not.

    Args:
        environment: The environment variables.
    """
    ranks = [environment[name] for name in _RANKS if name in environment]
    return not ranks or ranks[0] == "0"


def place_on_node(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """The place of this rank among all ranks on its machine, and the number of these, as the launcher says.

    This is needed only where a part of the ranks searches, because all ranks together can find it out by MPI.

    Args:
        environment: The environment variables.

    Returns:
        The place and the number; None when the launcher does not say.

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
    """Whether ranks outlive each other, because they were started with mpirun --with-ft ulfm.

    Args:
        environment: The environment variables.
    """
    return environment.get(_FAULT_TOLERANT, "").lower() in ("1", "true", "yes", "enabled")
