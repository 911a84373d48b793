"""What does not change while a worker searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evo.engine.budget import Budget
from evo.islands.archipelago import Archipelago
from evo.islands.migration import Migration
from evo.space.values import Params


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What does not change while a worker searches.

    Args:
        worker: This worker's number, from 0.
        workers: How many workers take part.
        seed: The study's seed, not negative.
        budget: When to stop.
        allow_duplicates: Whether a point may be tried twice, for noisy losses.
        host: Name of the machine, for the record.
        device: What it evaluates on, for the record.
        archipelago: Which workers live on which island; None: all on one.
        migration: How individuals travel; None: they stay.
        start: Points to be tried first, the same for all workers, which share them out.
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
    start: Sequence[Params] = ()
