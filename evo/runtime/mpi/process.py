"""How one rank of an MPI job joins the others, and what its launcher tells it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from evo.errors import UserError
from evo.runtime.mpi.ending import AloneError, CommunicatorError, EndAll, NoMPIError, finalize_at_exit, is_running
from evo.runtime.mpi.launch import is_fault_tolerant, is_launched, place_on_node, speaks, why_not_one_world
from evo.runtime.mpi.meeting import Absent, meet, waiting_time
from evo.runtime.mpi.transport import MPITransport, history
from evo.runtime.signals import end_with_parent
from evo.versions import DISTRIBUTION

if TYPE_CHECKING:
    from mpi4py import MPI

# Launchers that live exactly as long as their job.
_LAUNCHERS = ("prterun", "prted", "mpirun", "mpiexec", "orterun", "orted")


def _parent_name() -> str:
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def connect(
    comm: Any = None, is_given_up: Callable[[], bool] = lambda: False, wait: float | None = None
) -> MPITransport | None:
    """Connect to the other ranks, if this process is one of an MPI job; None when it runs alone.

    From here on an uncaught exception in any rank ends all of them at once, instead of leaving the others waiting.

    Args:
        comm: An mpi4py communicator whose ranks connect; None means that all ranks do.
        is_given_up: Whether to stop waiting for the others.
        wait: The seconds to wait for the others; None means the time that the environment gives, see
            `evo.runtime.mpi.meeting`.

    Raises:
        NoMPIError: The started ranks do not form one MPI job, or MPI is not installed or not in a usable state.
        CommunicatorError: `comm` is no communicator in which this rank can search.
    """
    try:
        transport = _join(comm, is_given_up, wait) if comm is not None or is_launched(os.environ) else None
    except ImportError as error:
        if comm is not None:
            raise CommunicatorError(_not_a_communicator(comm)) from error
        raise NoMPIError(
            f"mpirun or srun started this process, but there is no MPI ({error}): pip install {DISTRIBUTION}[mpi]"
        ) from error
    if transport and _parent_name() in _LAUNCHERS:
        # A rank in the middle of a long loss must not outlive the others and write to files of the next session.
        end_with_parent()
    if comm is None and (problem := why_not_one_world(transport.size if transport else 1, os.environ)):
        raise AloneError(problem)
    return transport


def end_all(error: BaseException) -> NoReturn:
    """End all ranks because of an exception of this one, which nobody can catch: the others would wait for ever.

    Args:
        error: The exception; it is shown as an uncaught one is.
    """
    EndAll(speaks(os.environ), is_fault_tolerant(os.environ))(type(error), error, error.__traceback__)


def _join(comm: Any, is_given_up: Callable[[], bool], wait: float | None) -> MPITransport:
    import mpi4py

    # Without this, a rank of Open MPI 5 that finalizes would wait for ever for one that dies meanwhile.
    os.environ.setdefault("OMPI_MCA_async_mpi_finalize", "1")
    if "mpi4py.MPI" not in sys.modules:
        mpi4py.rc.finalize = False  # Python's end could hang in it, see `evo.runtime.mpi.ending`.
    MPI = _load_mpi()

    sys.excepthook = EndAll(speaks(os.environ), is_fault_tolerant(os.environ))
    if not is_running():
        state = "has ended (MPI.Finalize)" if MPI.Is_finalized() else "is not initialized (mpi4py.rc.initialize)"
        raise NoMPIError(f"MPI {state}: search between MPI.Init_thread() and MPI.Finalize()")
    if not mpi4py.rc.finalize:
        finalize_at_exit()
    if comm is not None:
        _check_communicator(comm)
    try:
        ours = _meet(comm, is_given_up, _waiting_time() if wait is None else wait)
    except Absent as error:
        end_all(error)  # The others would wait for ever at the next meeting or at the end.
    ours.Set_errhandler(MPI.ERRORS_RETURN)
    is_part = comm is not None and ours.Get_size() < MPI.COMM_WORLD.Get_size()
    return MPITransport(ours, place_on_node(os.environ) if is_part else None)


def _load_mpi() -> ModuleType:
    """Load and initialize MPI.

    Raises:
        NoMPIError: There is mpi4py, but no MPI library that it could load.
    """
    try:
        from mpi4py import MPI
    except RuntimeError as error:
        said = "; ".join(str(error).splitlines())
        raise NoMPIError(
            f"mpirun or srun started this process, but mpi4py has no MPI library ({said}): load the module of the "
            "cluster's MPI, name its library in MPI4PY_LIBMPI, for example /opt/mpi/lib/libmpi.so, or "
            f"pip install {DISTRIBUTION}[mpi]"
        ) from error
    return MPI


def _waiting_time() -> float:
    try:
        return waiting_time(os.environ)
    except UserError as error:
        raise NoMPIError(str(error)) from error


def _meet(comm: MPI.Intracomm | None, is_given_up: Callable[[], bool], wait: float) -> MPI.Intracomm:
    """A new communicator of the ranks that search, once all of them are here."""
    from mpi4py import MPI

    where, name = (_Own.world or MPI.COMM_WORLD, "") if comm is None else (comm, " of the communicator")
    history.latest = where
    meet(where, wait, is_given_up, name)
    if comm is None and _Own.world is None:
        # From the second search on, this keeps evo apart from what others do in COMM_WORLD.
        where = history.latest = _Own.world = MPI.COMM_WORLD.Dup()
    return where.Dup()


class _Own:
    """The state that this process keeps from search to search.

    Attributes:
        world: The communicator of all ranks; None before they have met.
    """

    world: MPI.Intracomm | None = None


def _check_communicator(comm: Any) -> None:
    """Make sure that an object is a communicator in which this rank can search.

    Raises:
        CommunicatorError: The object is not such a communicator.
    """
    from mpi4py import MPI

    if not isinstance(comm, MPI.Comm):
        raise CommunicatorError(_not_a_communicator(comm))
    if comm == MPI.COMM_NULL:
        raise CommunicatorError(
            "comm is MPI.COMM_NULL: this rank is not in the communicator, or it was freed; only its ranks may call "
            "evo.minimize"
        )
    if comm.Is_inter():
        raise CommunicatorError("comm is an intercommunicator: make one group of it first, comm.Merge()")


def _not_a_communicator(comm: Any) -> str:
    return (
        f"comm is {comm!r} ({type(comm).__name__}): give an mpi4py communicator, for example "
        "MPI.COMM_WORLD.Split(color), or leave it out for all ranks"
    )


def why_too_few_threads() -> str:
    """The reason why MPI's level of thread support is too low for several ranks; empty when it is not.

    A thread of evo's sends and receives while the objective computes, which may call MPI as well.
    """
    import mpi4py
    from mpi4py import MPI

    levels = {
        MPI.THREAD_SINGLE: "MPI_THREAD_SINGLE",
        MPI.THREAD_FUNNELED: "MPI_THREAD_FUNNELED",
        MPI.THREAD_SERIALIZED: "MPI_THREAD_SERIALIZED",
    }
    level = MPI.Query_thread()
    if level not in levels:
        return ""
    cause = "initialize MPI with MPI.Init_thread(MPI.THREAD_MULTIPLE)"
    if mpi4py.rc.initialize and not mpi4py.rc.threads:
        cause = "leave mpi4py.rc.threads at True"
    elif mpi4py.rc.initialize and mpi4py.rc.thread_level != "multiple":
        cause = f"leave mpi4py.rc.thread_level, which is {mpi4py.rc.thread_level!r}, at 'multiple'"
    return (
        f"MPI runs at the thread level {levels[level]}, but evo needs MPI_THREAD_MULTIPLE, because a thread of its own "
        f"sends and receives while the objective computes: {cause}; or use an MPI library that supports threads"
    )


def library() -> str:
    """The name and version of the MPI library that this process uses.

    Example:
        >>> library()  # doctest: +SKIP
        'Open MPI v5.0.11'
    """
    from mpi4py import MPI

    return MPI.Get_library_version().rstrip("\0").splitlines()[0].split(",")[0].strip()


def communicator_alone() -> MPI.Intracomm:
    """The communicator of this process alone."""
    from mpi4py import MPI

    return MPI.COMM_SELF
