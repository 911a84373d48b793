"""Which algorithm has proposed what, and how often that was better than all before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from evo.population.dominance import Front
from evo.report.improvements import ends_in_order, improvements
from evo.report.records import Evaluation


class Contribution(msgspec.Struct, kw_only=True):
    """The proposals of one algorithm.

    Args:
        evaluations: The number of its individuals that have finished.
        improvements: How many of them completed with a lower loss than all that had ended before; with several
            objectives, how many entered the front.
        best: The lowest loss of those that completed and violate no bound; None when none did. Of several objectives,
            that of the first.
        front: How many of them are on the front now; unset with one objective.
    """

    evaluations: int = 0
    improvements: int = 0
    best: float | None = None
    front: int | msgspec.UnsetType = msgspec.UNSET


def contributions(evaluations: Iterable[Evaluation]) -> Mapping[str, Contribution]:
    """What each algorithm has contributed, by the names that journals give them, in the order of their names.

    Args:
        evaluations: All evaluations of a study.
    """
    found: dict[str, Contribution] = {}
    ended = ends_in_order(evaluations)
    improved = [one for _, one in improvements(ended)]
    better = {one.individual for one in improved}
    front = _last_front(improved)
    for one in ended:
        if one.origin:  # Nobody here has proposed it, but it was there to be improved on.
            continue
        contribution = found.setdefault(one.bred_by or "unknown", Contribution())
        contribution.evaluations += 1
        contribution.improvements += one.individual in better
        if front is not None:
            contribution.front = (contribution.front or 0) + (one.individual in front)  # Unset is false.
        if one.status != "completed" or one.loss is None or one.is_set_aside or one.violation:
            continue
        if contribution.best is None or one.loss < contribution.best:
            contribution.best = one.loss
    return dict(sorted(found.items()))


def _last_front(improved: Sequence[Evaluation]) -> Front[Evaluation] | None:
    """The front that is left of those who entered it; None with one objective."""
    if not improved or not improved[0].losses:
        return None
    front: Front[Evaluation] = Front()
    for one in improved:
        front.add(one)
    return front


def contributions_text(evaluations: Iterable[Evaluation]) -> str:
    """Who has improved the best how often, for people; empty where one algorithm has proposed everything.

    Example:
        >>> made = [Evaluation(individual=(0, n), params={}, status="completed", loss=2.0 - n, bred_by=by, ended=n)
        ...         for n, by in enumerate(["random", "tpe", "tpe"])]
        >>> contributions_text(made)
        'evaluations that improved the best: tpe 2 of 2, random 1 of 1'
    """
    found = contributions(evaluations)
    if len(found) < 2:
        return ""
    ranked = sorted(found.items(), key=lambda item: (-item[1].improvements, -item[1].evaluations, item[0]))
    if any(one.front for one in found.values()):
        told = [f"{name} {one.improvements} of {one.evaluations}, {one.front} still on it" for name, one in ranked]
        return f"evaluations that entered the front: {'; '.join(told)}"
    (first, most), *others = ranked
    said = [f"{first} {most.improvements} of {most.evaluations}"]
    said += [f"{name} {one.improvements} of {one.evaluations}" for name, one in others]
    return f"evaluations that improved the best: {', '.join(said)}"
