"""The median stopping rule: an individual that is worse than half of the others at the same step stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from evo.checks import check_count
from evo.pruning.base import Pruner, Verdict


@final
@dataclass(frozen=True)
class MedianStopping(Pruner):
    """Stops an individual whose best loss is worse than the median of the others' averages up to the same step.

    Golovin et al., Google Vizier, KDD 2017, section 3.2.2, https://doi.org/10.1145/3097983.3098043.

    Args:
        grace: The number of steps before the first decision; at least 1.
        interval: The number of steps from one decision to the next; at least 1.
        enough: The number of others that must have come so far before an individual is stopped; at least 1.

    Example:
        >>> pruner = MedianStopping(grace=4, interval=2, enough=3)
        >>> [pruner.rung(steps) for steps in (3, 4, 5, 6)]
        [None, 4, 4, 6]
        >>> pruner.judge({3: 0.9, 4: 0.6}, others=[0.5, 0.4, 0.8], best=None)
        Verdict(stop=True, value=0.6, threshold=0.5, among=3)
    """

    grace: int = 5
    interval: int = 1
    enough: int = 5

    def __post_init__(self) -> None:
        for name in ("grace", "interval", "enough"):
            check_count(name, getattr(self, name))

    def rung(self, steps: int) -> int | None:
        return None if steps < self.grace else steps - (steps - self.grace) % self.interval

    def value(self, curve: Mapping[int, float]) -> float:
        from statistics import fmean

        return fmean(curve.values())

    def judge(self, curve: Mapping[int, float], others: Sequence[float], best: float | None) -> Verdict:
        from statistics import median  # Loads fractions and random, which few searches need.

        lowest = min(curve.values())
        if len(others) < self.enough:
            return Verdict(False, lowest, None, len(others))
        threshold = median(others)
        return Verdict(lowest > threshold, lowest, threshold, len(others))
