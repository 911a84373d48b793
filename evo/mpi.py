"""Ranks connected by MPI: the only file that imports mpi4py.

Nothing here blocks while a search runs: sends are asynchronous, receives are probed for, and waiting is sleeping,
because waiting inside MPI spins and takes the core from a training.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from evo.signals import end_with_parent
from evo.transport import SharedError

_TAG = 1
_PATIENCE = 0.05  # Seconds that a rank waits for its messages to leave, near the end of a budget.
_NAP = 0.01  # Seconds; a rank that waits costs nothing measurable, and evaluations take longer.
# So many messages to a rank that does not call MPI complete at once; further ones are put together into one.
_MOST_OUTSTANDING = 8
# These live exactly as long as their job.
_LAUNCHERS = ("prterun", "prted", "mpirun", "mpiexec", "orterun", "orted")
_LAUNCH_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS")


def is_launched(environment: Mapping[str, str]) -> bool:
    """Whether mpirun, or srun with an MPI plugin, started this process.

    Args:
        environment: Environment variables.
    """
    return any(variable in environment for variable in _LAUNCH_VARIABLES)


class NoMPIError(ValueError):
    """A launcher started several ranks that cannot reach each other."""


class MPITransport:
    """All ranks of this MPI job; see `evo.transport.Transport`.

    From here on an uncaught exception in any rank ends all of them at once, instead of leaving the others waiting.
    """

    def __init__(self) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self._comm = MPI.COMM_WORLD.Dup()
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        node = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        ranks = np.empty(node.Get_size(), dtype="i")
        node.Allgather(np.array([self.rank], dtype="i"), ranks)
        node.Free()
        self.node: Sequence[int] = ranks.tolist()
        self._outstanding: list[deque[tuple[MPI.Request, bytes]]] = [deque() for _ in range(self.size)]
        self._held_back: list[list[bytes]] = [[] for _ in range(self.size)]
        self._status = MPI.Status()
        sys.excepthook = self._abort

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        """Send one record, a line without its end, to some ranks; returns at once."""
        for rank in ranks:
            self._held_back[rank].append(message)
        self._progress()

    def receive(self) -> list[bytes]:
        """All records that have arrived."""
        self._progress()
        arrived: list[bytes] = []
        while self._probe() or self._probe():  # The first may only fetch what the second finds.
            buffer = bytearray(self._status.Get_count(self._mpi.BYTE))
            self._comm.Recv([buffer, self._mpi.BYTE], self._status.Get_source(), _TAG)
            arrived += bytes(buffer).split(b"\n")
        return arrived

    def settle(self) -> None:
        """Wait until what was sent has left, but not long: a rank that trains inline takes little."""
        patience = time.monotonic() + _PATIENCE
        self._progress()
        while (any(self._outstanding) or any(self._held_back)) and time.monotonic() < patience:
            time.sleep(_NAP / 100)
            self._progress()

    def wait(self) -> None:
        """Sleep a moment."""
        self._progress()
        time.sleep(_NAP)

    def gather(self, text: str) -> list[str]:
        """What every rank says, by rank; all ranks must call it."""
        self._meet()
        said = np.frombuffer(text.encode(), dtype="u1")
        lengths = np.empty(self.size, dtype="i")
        self._comm.Allgather(np.array([said.size], dtype="i"), lengths)
        everything = np.empty(int(lengths.sum()), dtype="u1")
        self._comm.Allgatherv(said, [everything, lengths.tolist()])
        parts = np.split(everything, np.cumsum(lengths)[:-1])
        return [part.tobytes().decode() for part in parts]

    def close(self) -> None:
        """End the connection once all that was sent has left."""
        while any(self._outstanding) or any(self._held_back):
            self.wait()
        self._meet()
        self._comm.Free()
        sys.excepthook = sys.__excepthook__

    def _meet(self) -> None:
        """Wait for all ranks, without spinning; what was sent before goes on leaving meanwhile."""
        request = self._comm.Ibarrier()
        while not request.Test():
            self._progress()
            time.sleep(_NAP / 10)

    def _probe(self) -> bool:
        return self._comm.iprobe(self._mpi.ANY_SOURCE, _TAG, self._status)

    def _progress(self) -> None:
        for rank, outstanding in enumerate(self._outstanding):
            while outstanding and outstanding[0][0].Test():
                outstanding.popleft()
            if self._held_back[rank] and len(outstanding) < _MOST_OUTSTANDING:
                # The buffer must live as long as the request.
                message = b"\n".join(self._held_back[rank])
                self._held_back[rank].clear()
                outstanding.append((self._comm.Isend([message, self._mpi.BYTE], rank, _TAG), message))

    def _abort(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, SharedError):
            # All ranks are here: one speaks, and all end in good order.
            if self.rank == 0:
                print(f"evo: error: {error}", file=sys.stderr, flush=True)
            self._meet()
            self._mpi.Finalize()
            os._exit(2)
        sys.__excepthook__(kind, error, traceback)
        sys.stderr.flush()
        sys.stdout.flush()
        self._comm.Abort(1)


def why_not_one_world(size: int, environment: Mapping[str, str]) -> str:
    """Why the ranks that srun started did not find each other; empty when they did.

    Args:
        size: Number of ranks in this world.
        environment: Environment variables.
    """
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if size == 1 and tasks > 1 and "OMPI_COMM_WORLD_SIZE" not in environment:
        return f"srun started {tasks} tasks, but each is alone: start them with srun --mpi=pmix, or with mpirun"
    return ""


def _parent_name() -> str:
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    except OSError:
        return ""


def connect() -> MPITransport | None:
    """Connect to the other ranks, if this process is one of an MPI job; None when it runs alone.

    Raises:
        NoMPIError: srun started several ranks that do not form one MPI job.
    """
    try:
        transport = MPITransport() if is_launched(os.environ) else None
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
