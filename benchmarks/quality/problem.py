"""What searches are compared on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evo.space.space import Space


@dataclass(frozen=True)
class Problem:
    """One function to minimise.

    Args:
        suite: The suite that it belongs to.
        name: Its name, unique within the suite.
        limits: What is searched, as evo's limits.
        loss: The function; it depends on the parameters alone, unless the suite says otherwise.
        optimum: The lowest loss that is known.
        scale: What a loss of 1 above the optimum is counted as in tables of regret: for tables of real trainings the
            distance from the best to the median.
    """

    suite: str
    name: str
    limits: Mapping[str, Any]
    loss: Callable[[Mapping[str, Any]], float] = field(compare=False)
    optimum: float = 0.0
    scale: float = 1.0

    @property
    def space(self) -> Space:
        """The search space."""
        return Space(self.limits)
