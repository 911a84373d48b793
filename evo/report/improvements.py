"""The evaluations in the order in which they ended, and those of them that were better than all before."""

from __future__ import annotations

from collections.abc import Iterable

from evo.population.dominance import Front
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
    front: Front[Evaluation] = Front()
    for number, one in numbered(ended):
        is_sound = one.status == "completed" and not one.is_set_aside and one.loss is not None
        if not is_sound or one.loss is None:
            continue
        if one.losses:
            if not _is_equal(one, front) and front.add(one):
                found.append((number, one))
        elif lowest is None or (one.violation, one.loss) < lowest:
            lowest = one.violation, one.loss
            found.append((number, one))
    return found


def _is_equal(one: Evaluation, front: Front[Evaluation]) -> bool:
    """Whether the front has one as good, which is only replaced because of its name."""
    members = front.members
    if not members or members[0].violation != one.violation:
        return False
    return one.violation > 0.0 or bool((front.losses == one.vector).all(axis=1).any())
