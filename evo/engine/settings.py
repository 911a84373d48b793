"""The settings that do not change while a worker searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from evo.engine.budget import Budget
from evo.islands.archipelago import Archipelago
from evo.islands.migration import Migration
from evo.population.identity import Identity
from evo.population.objectives import ONE_LOSS, Objectives
from evo.population.segments import Donor
from evo.space.values import Params

TakeState: TypeAlias = Callable[[Identity, Donor], bool]
"""Makes the state of a donor ready for an individual, so that it stays there; returns whether there is one."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """The settings that do not change while a worker searches.

    Args:
        worker: The number of this worker, from 0.
        workers: The number of workers that take part.
        seed: The seed of the study, not negative.
        budget: The limits of the search.
        allow_duplicates: Whether a point may be tried twice, for noisy losses.
        host: The name of the machine, for the record.
        device: The device on which it evaluates, for the record.
        archipelago: The workers of each island; None means that all live on one.
        migration: The rules by which individuals travel; None means that they stay.
        ranks_per_worker: The number of ranks of which each worker consists.
        start: The points to try first, the same for all workers, which divide them among themselves.
        session: The number of this session of the study, from 1; 0 if it is not counted.
        objectives: What is minimised or maximised, and the bounds that metrics must keep.
        reference_point: A value of each of several objectives, up to which a hypervolume counts; for the record.
        recorded: What of all settings is recorded for the session; see `evo.population.events.Joined`.
    """

    worker: int
    workers: int
    seed: int
    budget: Budget
    allow_duplicates: bool = False
    host: str = ""
    device: str = ""
    archipelago: Archipelago | None = None
    migration: Migration | None = None
    ranks_per_worker: int = 1
    start: Sequence[Params] = ()
    session: int = 0
    objectives: Objectives = ONE_LOSS
    reference_point: Mapping[str, float] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)
