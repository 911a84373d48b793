"""Ranks connected by MPI: the only folder that imports mpi4py, and only once it is called."""

from evo.mpi.process import (
    NoMPIError,
    communicator_alone,
    connect,
    is_fault_tolerant,
    is_launched,
    library,
    speaks,
    why_not_one_world,
)
from evo.mpi.transport import MPITransport

__all__ = [
    "MPITransport",
    "NoMPIError",
    "communicator_alone",
    "connect",
    "is_fault_tolerant",
    "is_launched",
    "library",
    "speaks",
    "why_not_one_world",
]
