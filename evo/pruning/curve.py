"""Learning-curve extrapolation: an individual that will not reach the best loss stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from evo.checks import check_count, check_probability
from evo.pruning.base import Pruner, Verdict

_POWERS = (0.5, 1.0)
_FEWEST = 4  # The smallest number of losses from which their noise can be estimated.


@final
@dataclass(frozen=True)
class CurveExtrapolation(Pruner):
    """Stops an individual whose own learning curve, with a stated confidence, will not reach the best loss.

    The loss after t of T steps is modelled as a + b t^(-1/2) + c t^(-1), because learning curves resemble power laws
    (Domhan et al., IJCAI 2015). Bayesian linear regression (scikit-learn's BayesianRidge) gives the prediction for T
    and its uncertainty. The figure compared is the lowest loss that the curve reaches at T with this confidence.

    Args:
        maximum: The number of steps of a complete evaluation, T.
        grace: The number of steps before the first decision; at least 4.
        interval: The number of steps from one decision to the next; at least 1.
        confidence: The confidence that the best loss will not be reached, with which an individual is stopped; between
            0 and 1.

    Example:
        >>> pruner = CurveExtrapolation(maximum=50, grace=5)
        >>> curve = {step: 1.0 + 1.0 / step for step in range(1, 11)}
        >>> pruner.judge(curve, others=[], best=0.5).stop, pruner.judge(curve, others=[], best=1.1).stop
        (True, False)
    """

    maximum: int
    grace: int = 5
    interval: int = 1
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_count("grace", self.grace, _FEWEST)
        check_count("interval", self.interval)
        check_count("maximum", self.maximum, self.grace + 1)
        check_probability("confidence", self.confidence)

    def rung(self, steps: int) -> int | None:
        steps = min(steps, self.maximum - 1)
        return None if steps < self.grace else steps - (steps - self.grace) % self.interval

    def value(self, curve: Mapping[int, float]) -> float:
        return min(curve.values())

    def judge(self, curve: Mapping[int, float], others: Sequence[float], best: float | None) -> Verdict:
        lowest = self.value(curve)
        if best is None or len(curve) < _FEWEST:
            return Verdict(False, lowest, None, len(others))
        if lowest <= best:
            return Verdict(False, lowest, best, len(others))
        reached = min(lowest, self._lowest_at_the_end(curve))
        return Verdict(reached > best, reached, best, len(others))

    def _lowest_at_the_end(self, curve: Mapping[int, float]) -> float:
        from statistics import NormalDist

        from sklearn.linear_model import BayesianRidge

        steps, losses = np.array([*curve, self.maximum]), np.array([*curve.values()])
        basis = steps[:, None] ** -np.asarray(_POWERS)
        # Losses are standardised, because their scale is arbitrary while the priors of the model are fixed.
        center, scale = losses[-1], max(np.ptp(losses), np.finfo(float).tiny)
        model = BayesianRidge().fit(basis[:-1], (losses - center) / scale)
        mean, deviation = model.predict(basis[-1:], return_std=True)
        return float(center + scale * (mean[0] - NormalDist().inv_cdf(self.confidence) * deviation[0]))
