"""The evaluations in the order in which they ended, and those of them that were better than all before."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from evo.population.dominance import Losses
from evo.report.records import Evaluation


def ends_in_order(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The individuals whose evaluation has ended, in the order in which they have.

    That is the order of their ends as recorded, since an evaluation may have been interrupted for days.

    Args:
        evaluations: All evaluations of a study.
    """
    ended = [one for one in evaluations if one.status not in ("running", "interrupted")]
    return sorted(ended, key=lambda one: (one.ended, one.individual))


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

    Less violation of bounds is better than a lower loss. With several objectives, those that no individual before
    dominated, and that were not equal to one.

    Args:
        ended: The individuals in the order in which they have ended.
    """
    found: list[tuple[int, Evaluation]] = []
    lowest: tuple[float, float] | None = None
    entered = _Entered()
    for number, one in numbered(ended):
        is_sound = one.status == "completed" and not one.is_set_aside and one.loss is not None
        if not is_sound or one.loss is None:
            continue
        if one.losses:
            if entered.add(one):
                found.append((number, one))
        elif lowest is None or (one.violation, one.loss) < lowest:
            lowest = one.violation, one.loss
            found.append((number, one))
    return found


class _Entered:
    """The individuals that have entered the front until now.

    Those that later ones dominate stay, since these dominate whatever they did.
    """

    def __init__(self) -> None:
        self._losses: Losses = np.empty((0, 0))
        self._many = 0
        self._violation = math.inf

    def add(self, one: Evaluation) -> bool:
        """Take an individual into account; returns whether it enters the front."""
        if one.violation > 0.0 or one.violation < self._violation:
            is_less = one.violation < self._violation
            self._violation = min(one.violation, self._violation)
            self._many = 0 if is_less else self._many
            if one.violation > 0.0:
                return is_less
        losses = np.array(one.vector)
        if self._many and (self._losses[: self._many] <= losses).all(axis=1).any():
            return False
        if self._many == len(self._losses):
            more = np.empty((max(64, 2 * self._many), len(losses)))
            more[: self._many] = self._losses[: self._many] if self._many else 0.0
            self._losses = more
        self._losses[self._many] = losses
        self._many += 1
        return True
