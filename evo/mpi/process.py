"""This process as one rank of an MPI job: how it joins the others, and how it ends."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from evo.mpi.transport import MPITransport, history
from evo.signals import end_with_parent
from evo.transport import CutOff, SharedError, Stuck

if TYPE_CHECKING:
    from mpi4py import MPI

# These live exactly as long as their job.
_LAUNCHERS = ("prterun", "prted", "mpirun", "mpiexec", "orterun", "orted")
_FAULT_TOLERANT = "OMPI_MCA_mpi_ft_enable"  # What mpirun --with-ft ulfm sets.
_LAUNCH_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS")

# mpirun inside of a Slurm job leaves SLURM_PROCID as it is for the batch script: it comes last.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")


class NoMPIError(ValueError):
    """A launcher started several ranks that cannot reach each other."""


def is_launched(environment: Mapping[str, str]) -> bool:
    """Whether mpirun, or srun with an MPI plugin, started this process.

    Args:
        environment: Environment variables.
    """
    return any(variable in environment for variable in _LAUNCH_VARIABLES)


def why_not_one_world(size: int, environment: Mapping[str, str]) -> str:
    """Why the ranks that srun or mpirun started did not find each other; empty when they did.

    Args:
        size: Number of ranks in this world.
        environment: Environment variables.
    """
    started = int(environment.get("OMPI_COMM_WORLD_SIZE", "1"))
    if size == 1 and started > 1:
        # As a rank is that comes to MPI when its mpirun has been killed: it must not search on by itself.
        return f"mpirun started {started} ranks, but each is alone: it has ended, or is not of the MPI that mpi4py uses"
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if size == 1 and tasks > 1 and "OMPI_COMM_WORLD_SIZE" not in environment:
        return f"srun started {tasks} tasks, but each is alone: start them with srun --mpi=pmix, or with mpirun"
    return ""


def speaks(environment: Mapping[str, str]) -> bool:
    """Whether this process is the first of those that its launcher started, be they connected or not.

    Args:
        environment: Environment variables.
    """
    ranks = [environment[name] for name in _RANKS if name in environment]
    return not ranks or ranks[0] == "0"


def _parent_name() -> str:
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    except OSError:
        return ""


def connect() -> MPITransport | None:
    """Connect to the other ranks, if this process is one of an MPI job; None when it runs alone.

    From here on an uncaught exception in any rank ends all of them at once, instead of leaving the others waiting.

    Raises:
        NoMPIError: srun started several ranks that do not form one MPI job.
    """
    try:
        transport = _join_world() if is_launched(os.environ) else None
    except ImportError as error:
        raise NoMPIError(
            f"mpirun or srun started this process, but there is no MPI ({error}): pip install evo[mpi]"
        ) from None
    if transport and _parent_name() in _LAUNCHERS:
        # Or a rank in the middle of a long loss would go on after the others, and write where the next session does.
        end_with_parent()
    problem = why_not_one_world(transport.size if transport else 1, os.environ)
    if problem:
        raise NoMPIError(problem)
    return transport


def _join_world() -> MPITransport:
    import mpi4py

    # Open MPI 5: or a rank that has begun to finalize waits for ever for one that dies then.
    os.environ.setdefault("OMPI_MCA_async_mpi_finalize", "1")
    if "mpi4py.MPI" not in sys.modules:
        mpi4py.rc.finalize = False  # Or Python's end could hang, see below.
    from mpi4py import MPI

    if not mpi4py.rc.finalize:
        _finalize_at_exit()
    transport = MPITransport(MPI.COMM_WORLD.Dup())
    sys.excepthook = functools.partial(_end_all, transport)
    return transport


def is_fault_tolerant(environment: Mapping[str, str]) -> bool:
    """Whether ranks outlive each other: started with mpirun --with-ft ulfm.

    Args:
        environment: Environment variables.
    """
    return environment.get(_FAULT_TOLERANT, "").lower() in ("1", "true", "yes", "enabled")


def library() -> str:
    """The MPI library that this process uses: name and version.

    Example:
        >>> library()  # doctest: +SKIP
        'Open MPI v5.0.11'
    """
    from mpi4py import MPI

    return MPI.Get_library_version().rstrip("\0").splitlines()[0].split(",")[0].strip()


def communicator_alone() -> MPI.Intracomm:
    """A communicator of this process alone."""
    from mpi4py import MPI

    return MPI.COMM_SELF


@functools.cache  # Once.
def _finalize_at_exit() -> None:
    atexit.register(_finalize)


def _finalize() -> None:
    from mpi4py import MPI

    for transport in history.attended:
        transport.leave_alone()
    # With Open MPI 5, finalizing hangs now and then after the death of a rank; leaving without does not.
    if not history.someone_died and not MPI.Is_finalized():
        MPI.Finalize()


def _tells_of_death(error: BaseException) -> bool:
    from mpi4py import MPI

    return isinstance(error, MPI.Exception) and error.Get_error_class() == MPI.ERR_PROC_FAILED


def _end_all(
    transport: MPITransport, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """What becomes of an exception that nobody has caught."""
    if isinstance(error, SharedError):
        # All ranks are here: one speaks, and all end in good order.
        if transport.rank == 0:
            print(f"evo: error: {error}", file=sys.stderr, flush=True)
        transport.gather("")
        _finalize()
        os._exit(2)
    if _tells_of_death(error):
        print(
            f"evo: error: a rank died while the others waited for it, outside of the search ({error}): "
            "run the same command again",
            file=sys.stderr,
        )
    elif isinstance(error, Stuck | CutOff):
        print(f"evo: error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)
    sys.stderr.flush()
    sys.stdout.flush()
    if isinstance(error, CutOff) or is_fault_tolerant(os.environ):
        # Alone: the others go on. They learn of an end by a signal, but of Abort or an exit status nothing, and would
        # wait for ever.
        os.kill(os.getpid(), signal.SIGKILL)
    transport.communicator.Abort(error.status if isinstance(error, Stuck) else 1)
