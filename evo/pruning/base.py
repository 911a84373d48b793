"""What every pruner has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A decision at a rung, and what it was based on.

    Args:
        stop: Whether to end the evaluation.
        value: What was compared: the individual's own figure at this rung.
        threshold: The highest figure with which it goes on; None when nothing was there to compare with.
        among: How many figures of other individuals it was compared with.
    """

    stop: bool
    value: float
    threshold: float | None
    among: int


class Pruner(ABC):
    """Decides at rungs, which are numbers of reports, whether an evaluation goes on.

    Pruners do not change: what individuals have reached is in `evo.pruning.Rungs`.
    """

    @abstractmethod
    def rung(self, steps: int) -> int | None:
        """The highest rung that so many steps reach; None below the lowest.

        Args:
            steps: How many steps are complete: one more than the number of the last.
        """

    @abstractmethod
    def value(self, curve: Mapping[int, float]) -> float:
        """The figure of an individual that is compared at a rung.

        Args:
            curve: Its losses so far, at least one, by how many steps were complete then; ascending.
        """

    @abstractmethod
    def judge(self, curve: Mapping[int, float], others: Sequence[float], best: float | None) -> Verdict:
        """Whether an individual that has just reached a rung goes on.

        Args:
            curve: Its losses so far, as for `value`.
            others: The figures of the other individuals that have reached this rung, in any order.
            best: The lowest loss of a complete evaluation; None: there is none.
        """
