"""How one evaluation ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evo.population.events import Status
from evo.population.segments import SavedState


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an evaluation ended.

    Args:
        status: The status, as in `evo.population.events.Finished`.
        loss: A finite number when completed or pruned, otherwise None. Of several objectives, that of the first.
        losses: The losses of all objectives in their order, if there are several; empty otherwise.
        violation: By how much it violates the bounds of its metrics, at least 0.
        seconds: The time that it took.
        metrics: Values that the objective recorded beside the loss, as JSON scalars.
        times: The seconds spent on each activity, parts of `seconds`.
        error: The reason why it failed, is infeasible, or was interrupted without a request, in one line.
        traceback: The traceback of the failure, as Python prints it.
        state: The state that it has left, from which others may go on; None if it has left none.
    """

    status: Status
    loss: float | None = None
    losses: tuple[float, ...] = ()
    violation: float = 0.0
    seconds: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""
    state: SavedState | None = None
