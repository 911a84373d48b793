"""The front of a study with several objectives, as its records tell it: who is on it, its knee and its hypervolume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evo.population.dominance import Losses, hypervolume, reference_point
from evo.population.objectives import Objectives
from evo.report.records import Evaluation


def front_of(ranking: Sequence[Evaluation]) -> list[Evaluation]:
    """The individuals that no other one dominates, by their losses in the order of the objectives.

    With one loss it is the best one; while every individual violates a bound, the one that does so least. Of several
    with the same losses it is the first one.

    Args:
        ranking: The completed individuals, the best first; see `evo.report.records.rank_evaluations`.
    """
    if not ranking or not ranking[0].losses or ranking[0].violation > 0.0:
        return list(ranking[:1])
    import moocore

    sound = sorted((one for one in ranking if one.violation == 0.0), key=lambda one: one.individual)
    kept = moocore.is_nondominated(_matrix(sound), keep_weakly=False)
    return sorted((one for one, stays in zip(sound, kept, strict=True) if stays), key=lambda one: one.losses)


def knee_of(front: Sequence[Evaluation]) -> Evaluation | None:
    """The individual that is nearest to the best values of all objectives together; None without any.

    Each loss is scaled to the extent of the front: the point of least distance to the ideal one is a usual choice where
    nobody says what matters more (P.-L. Yu, doi:10.1287/mnsc.19.8.936).

    Args:
        front: The individuals of a front.
    """
    if len(front) < 2:
        return front[0] if front else None
    losses = _matrix(front)
    low, high = losses.min(axis=0), losses.max(axis=0)
    distances = np.linalg.norm((losses - low) / np.where(high > low, high - low, 1.0), axis=1)
    return front[int(distances.argmin())]


def volume_of(front: Sequence[Evaluation], reference: Sequence[float] | None = None) -> float:
    """The hypervolume that a front dominates, in the units of its losses multiplied; 0 while bounds are violated.

    Args:
        front: The individuals of a front.
        reference: The losses up to which volume counts. None means a tenth of its extent beyond the front's worst.
    """
    if not front or not front[0].losses or front[0].violation > 0.0:
        return 0.0
    losses = _matrix(front)
    return hypervolume(losses, reference_point(losses) if reference is None else reference)


def values_of(one: Evaluation, objectives: Objectives) -> Mapping[str, float]:
    """The values of an individual by the names of the objectives, with the user's own signs; empty while it has none.

    Of a pruned individual with several objectives only the first is known.

    Args:
        one: The individual.
        objectives: The objectives of its study.
    """
    if one.losses and len(one.losses) == objectives.count:
        return objectives.values(one.losses)
    if one.loss is None:
        return {}
    values = objectives.values([one.loss, *[math.nan] * (objectives.count - 1)])
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _matrix(front: Sequence[Evaluation]) -> Losses:
    return np.array([one.losses for one in front], dtype=float)
