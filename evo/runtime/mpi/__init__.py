"""Ranks connected by MPI. Only this folder imports mpi4py, and only when its functions are called."""

from evo.runtime.mpi.ending import AloneError, CommunicatorError, NoMPIError
from evo.runtime.mpi.launch import (
    Launched,
    find_started,
    is_fault_tolerant,
    is_launched,
    speaks,
    why_not_one_world,
)
from evo.runtime.mpi.process import (
    communicator_alone,
    connect,
    end_all,
    library,
    why_too_few_threads,
)
from evo.runtime.mpi.transport import MPITransport

__all__ = [
    "AloneError",
    "CommunicatorError",
    "Launched",
    "MPITransport",
    "NoMPIError",
    "communicator_alone",
    "connect",
    "end_all",
    "find_started",
    "is_fault_tolerant",
    "is_launched",
    "library",
    "speaks",
    "why_not_one_world",
    "why_too_few_threads",
]
