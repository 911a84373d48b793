"""Which individuals a picture shows where there are more than one can see."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from evo.report.records import Evaluation, rank_evaluations

_SEED = 0  # The same individuals whenever the same report is made.


def ends_in_order(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The individuals whose evaluation has ended, in the order in which they have.

    Args:
        evaluations: All evaluations of a study.
    """
    ended = [one for one in evaluations if one.status not in ("running", "interrupted")]
    return sorted(ended, key=lambda one: (one.started + one.seconds, one.individual))


def numbered(ended: Iterable[Evaluation]) -> list[tuple[int, Evaluation]]:
    """Each with its number among the evaluations, from 1; a result that is known from elsewhere counts none.

    Args:
        ended: The individuals in the order in which they have ended.
    """
    found: list[tuple[int, Evaluation]] = []
    number = 0
    for one in ended:
        number += not one.origin
        found.append((number, one))
    return found


def count_evaluated(evaluations: Iterable[Evaluation]) -> int:
    """How many evaluations of this study have ended.

    Args:
        evaluations: All evaluations of the study, those with results from elsewhere included.
    """
    return sum(one.status not in ("running", "interrupted") and not one.origin for one in evaluations)


def improvements(ended: Iterable[Evaluation]) -> list[tuple[int, Evaluation]]:
    """Those that were better than all before, each with its number; see `numbered`.

    Args:
        ended: The individuals in the order in which they have ended.
    """
    found: list[tuple[int, Evaluation]] = []
    lowest: float | None = None
    for number, one in numbered(ended):
        is_sound = one.status == "completed" and not one.is_set_aside and one.loss is not None
        if is_sound and (lowest is None or one.loss < lowest):  # type: ignore[operator]
            lowest = one.loss
            found.append((number, one))
    return found


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
