"""Batch systems: one class for each, chosen by the environment."""

from evo.runtime.batch.base import BatchSystem, Step
from evo.runtime.batch.catalogue import (
    BATCH_SYSTEMS,
    LAUNCH_PREFIXES,
    STEPS,
    allocation_end,
    find_batch_system,
    find_step,
)

__all__ = [
    "BATCH_SYSTEMS",
    "LAUNCH_PREFIXES",
    "STEPS",
    "BatchSystem",
    "Step",
    "allocation_end",
    "find_batch_system",
    "find_step",
]
