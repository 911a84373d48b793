"""Ranks connected by MPI. Only this folder imports mpi4py, and only when its functions are called."""

from evo.runtime.mpi.ending import CommunicatorError, NoMPIError
from evo.runtime.mpi.process import (
    communicator_alone,
    connect,
    end_all,
    is_fault_tolerant,
    is_launched,
    library,
    speaks,
    why_not_one_world,
    why_too_few_threads,
)
from evo.runtime.mpi.transport import MPITransport

__all__ = [
    "CommunicatorError",
    "MPITransport",
    "NoMPIError",
    "communicator_alone",
    "connect",
    "end_all",
    "is_fault_tolerant",
    "is_launched",
    "library",
    "speaks",
    "why_not_one_world",
    "why_too_few_threads",
]
