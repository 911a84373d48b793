"""The base class of pruners."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A decision at a rung, and the numbers that it was based on.

    Args:
        stop: Whether to end the evaluation.
        value: The individual's own figure at this rung.
        threshold: The highest figure with which it goes on; None when there was nothing to compare with.
        among: The number of other individuals whose figures it was compared with.
    """

    stop: bool
    value: float
    threshold: float | None
    among: int


class Pruner(ABC):
    """Decides at rungs, which are numbers of reports, whether an evaluation goes on.

    Pruners have no state: `evo.pruning.Rungs` keeps what individuals have reached.
    """

    @property
    def brackets(self) -> Sequence[tuple[float, Pruner]]:
        """The pruners among which individuals are divided, each with the share of individuals that it gets.

        An individual is compared with those of its own bracket only. Without brackets, all have the same pruner.
        """
        return [(1.0, self)]

    @abstractmethod
    def rung(self, steps: int) -> int | None:
        """The highest rung that this number of steps reaches; None below the lowest.

        Args:
            steps: The number of complete steps, which is one more than the number of the last step.
        """

    @abstractmethod
    def value(self, curve: Mapping[int, float]) -> float:
        """The figure of an individual that is compared at a rung.

        Args:
            curve: Its losses so far, at least one, by the number of complete steps in ascending order.
        """

    @abstractmethod
    def judge(self, curve: Mapping[int, float], others: Sequence[float], best: float | None) -> Verdict:
        """Decide whether an individual that has just reached a rung goes on.

        Args:
            curve: Its losses so far, as for `value`.
            others: The figures of the other individuals that have reached this rung, in any order.
            best: The lowest loss of a complete evaluation; None means that there is none.
        """
