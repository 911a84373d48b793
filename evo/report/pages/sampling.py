"""Which individuals a picture shows where there are more than one can see."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evo.report.improvements import ends_in_order, improvements
from evo.report.records import Evaluation, rank_evaluations

_SEED = 0  # The same individuals whenever the same report is made.


def sample_evaluations(evaluations: Sequence[Evaluation], most: int) -> list[Evaluation]:
    """All individuals, or as many as a picture can show: those that improved the best, the best third, random others.

    Args:
        evaluations: All evaluations of a study.
        most: How many are wanted at most, apart from those that improved the best.

    Returns:
        Some of the evaluations, in the order given; the same for the same evaluations.
    """
    if len(evaluations) <= most:
        return list(evaluations)
    kept = {one.individual for _, one in improvements(ends_in_order(evaluations))}
    kept |= {one.individual for one in rank_evaluations(evaluations)[: most // 3]}
    others = [one for one in evaluations if one.individual not in kept]
    rest = random.Random(_SEED).sample(others, min(len(others), max(0, most - len(kept))))
    kept |= {one.individual for one in rest}
    return [one for one in evaluations if one.individual in kept]
