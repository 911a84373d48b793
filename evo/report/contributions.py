"""Which algorithm has proposed what, and how often that was better than all before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

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
    """

    evaluations: int = 0
    improvements: int = 0
    best: float | None = None


def contributions(evaluations: Iterable[Evaluation]) -> Mapping[str, Contribution]:
    """What each algorithm has contributed, by the names that journals give them, in the order of their names.

    Args:
        evaluations: All evaluations of a study.
    """
    found: dict[str, Contribution] = {}
    ended = ends_in_order(evaluations)
    better = {one.individual for _, one in improvements(ended)}
    for one in ended:
        if one.origin:  # Nobody here has proposed it, but it was there to be improved on.
            continue
        contribution = found.setdefault(one.bred_by or "unknown", Contribution())
        contribution.evaluations += 1
        contribution.improvements += one.individual in better
        if one.status != "completed" or one.loss is None or one.is_set_aside or one.violation:
            continue
        if contribution.best is None or one.loss < contribution.best:
            contribution.best = one.loss
    return dict(sorted(found.items()))


def contributions_text(evaluations: Iterable[Evaluation]) -> str:
    """Who has improved the best how often, for people; empty where one algorithm has proposed everything.

    Example:
        >>> made = [Evaluation(individual=(0, n), params={}, status="completed", loss=2.0 - n, bred_by=by, ended=n)
        ...         for n, by in enumerate(["random", "tpe", "tpe"])]
        >>> contributions_text(made)
        'evaluations that improved the best: tpe 2 of 2, random 1 of 1'
    """
    evaluations = list(evaluations)
    found = contributions(evaluations)
    if len(found) < 2:
        return ""
    ranked = sorted(found.items(), key=lambda item: (-item[1].improvements, -item[1].evaluations, item[0]))
    (first, most), *others = ranked
    said = [f"{first} {most.improvements} of {most.evaluations}"]
    said += [f"{name} {one.improvements} of {one.evaluations}" for name, one in others]
    what = "front" if any(one.losses for one in evaluations) else "best"
    return f"evaluations that improved the {what}: {', '.join(said)}"
