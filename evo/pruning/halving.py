"""Asynchronous successive halving: at each rung only the best share goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from evo.checks import check_count
from evo.errors import UserError
from evo.pruning.base import Pruner, Verdict


@final
@dataclass(frozen=True)
class SuccessiveHalving(Pruner):
    """Each rung is a fixed factor higher than the one before, and the best 1/factor of those that reach it go on.

    The stopping variant of ASHA: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020,
    https://arxiv.org/abs/1810.05934. No evaluation waits: an individual is compared with those that reached the rung
    before it, and the first ones go on. The figure compared is the lowest loss so far.

    A grace period that is too short ends slow starters, one that is too long wastes steps. With several graces, as in
    Hyperband (Li et al., JMLR 18, 2018, https://arxiv.org/abs/1603.06560), individuals are divided among brackets: each
    has the grace of the one before times the reduction factor, and that many times fewer individuals.

    Args:
        grace: The number of steps before the first rung, r; at least 1.
        reduction: The reduction factor, eta; at least 2.
        maximum: The number of steps of a complete evaluation, R, where nothing is left to stop; None means unknown.
        graces: The number of different grace periods, at least 1.

    Example:
        >>> pruner = SuccessiveHalving(grace=1, reduction=3, maximum=27)
        >>> [pruner.rung(steps) for steps in (1, 2, 3, 8, 9, 27)]
        [1, 1, 3, 3, 9, 9]
        >>> pruner.judge({1: 0.5}, others=[0.4, 0.6, 0.7, 0.3, 0.8], best=None)
        Verdict(stop=True, value=0.5, threshold=0.4, among=5)
    """

    grace: int = 1
    reduction: int = 3
    maximum: int | None = None
    graces: int = 1

    def __post_init__(self) -> None:
        check_count("grace", self.grace)
        check_count("reduction", self.reduction, 2)
        if self.maximum is not None:
            check_count("maximum", self.maximum, self.grace + 1)
        check_count("graces", self.graces)
        longest = self.grace * self.reduction ** (self.graces - 1)
        if self.maximum is not None and longest >= self.maximum:
            raise UserError(
                f"graces is {self.graces}: the longest grace would be {longest} steps, but maximum is {self.maximum}: "
                "give fewer, so that it is below the maximum"
            )

    @property
    def brackets(self) -> Sequence[tuple[float, Pruner]]:
        graces = [self.grace * self.reduction**number for number in range(self.graces)]
        total = sum(1 / grace for grace in graces)
        return [(1 / grace / total, replace(self, grace=grace, graces=1)) for grace in graces]

    def rung(self, steps: int) -> int | None:
        if steps < self.grace:
            return None
        rung = self.grace  # r * eta^k
        while (higher := rung * self.reduction) <= steps and (self.maximum is None or higher < self.maximum):
            rung = higher
        return rung

    def value(self, curve: Mapping[int, float]) -> float:
        return min(curve.values())

    def judge(self, curve: Mapping[int, float], others: Sequence[float], best: float | None) -> Verdict:
        value = self.value(curve)
        figures = sorted([*others, value])
        places = len(figures) // self.reduction
        if not places:  # The share of so few is less than one individual, so the first ones go on.
            return Verdict(False, value, None, len(others))
        threshold = figures[places - 1]
        return Verdict(value > threshold, value, threshold, len(others))
