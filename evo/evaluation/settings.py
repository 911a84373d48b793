"""What does not change from evaluation to evaluation, on one rank and in one session."""

from __future__ import annotations

import msgspec

from evo.population.objectives import ONE_LOSS, Objectives


class EvaluationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of all evaluations of one rank: the one channel by which a setting reaches a trial.

    An evaluation in the rank's own process and one in a child process read the same record; to the child it goes as
    JSON. Environment variables hold only what other libraries read there.

    Args:
        threads: CPU threads that an evaluation may use.
        rank: The place of this process among those that evaluate an individual together, from 0.
        size: The number of these processes.
        checkpoint_interval: Seconds after which a long evaluation should save its state again. None means never.
        session: The name of the session, the same on all ranks and no other session's.
        gpu_memory: The share of its GPU's memory that each evaluation may use.
        collective_timeout: Seconds that a rank of a worker waits for the others inside a training.
        time_limit: Seconds after which the rank ends an evaluation in a child process, which then counts as failed.
            None means no limit.
        grace: Seconds that an interrupted evaluation in a child process may take to save its state.
        trust: Whether checkpoints of other users are loaded with any code in them.
        weights: The file of weights with which all trainings begin. Empty means that each begins with its own.
        objectives: What is minimised or maximised, and the bounds that metrics must keep.
    """

    threads: int = 1
    rank: int = 0
    size: int = 1
    checkpoint_interval: float | None = None
    session: str = ""
    gpu_memory: float = 1.0
    collective_timeout: float = 600.0
    time_limit: float | None = None
    grace: float = 45.0
    trust: bool = False
    weights: str = ""
    objectives: Objectives = ONE_LOSS


USUAL = EvaluationSettings()
"""The settings of a process alone, where nothing else is set."""
