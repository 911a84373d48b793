"""How one evaluation ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evo.population.events import Status


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an evaluation ended.

    Args:
        status: See `evo.population.events.Finished`.
        loss: Finite when completed or pruned, else None.
        seconds: Time it took.
        metrics: JSON scalars.
        times: Seconds by activity, parts of `seconds`.
        error: Why it failed, is infeasible, or was interrupted without a request, one line.
        traceback: Where it failed, as Python prints it.
    """

    status: Status
    loss: float | None = None
    seconds: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""
