"""The front of a study as people see it: its members, its knee, its hypervolume, in the user's own names and signs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evo.errors import UserError
from evo.population.dominance import (
    HasLosses,
    Member,
    hypervolume,
    loss_matrix,
    reference_point,
)
from evo.population.keeping import thin_front
from evo.population.objectives import Objectives


def find_front(ranking: Sequence[Member], objectives: Objectives) -> list[Member]:
    """The individuals that no other one dominates, ordered by the first objective; with one loss, the best one.

    Of individuals with the same losses only the one with the lowest identity is among them. While every individual
    violates a bound, it is the one that does so least.

    Args:
        ranking: The completed individuals, sorted by their violations, their losses and their identities.
        objectives: The objectives of the study.
    """
    sound = [one for one in ranking if one.violation == 0.0 and len(one.vector) == objectives.count]
    if not objectives.are_several or not sound:
        return list(ranking[:1])
    import moocore  # It is slow to import, and a search for one loss needs none of it.

    first: dict[tuple[float, ...], Member] = {}
    for one in sorted(sound, key=lambda one: (one.vector, one.identity)):
        first.setdefault(one.vector, one)
    stays = moocore.is_nondominated(loss_matrix(first.values()))
    return [one for one, kept in zip(first.values(), stays, strict=True) if kept]


def keeps_bounds(front: Sequence[HasLosses]) -> bool:
    """Whether there is a front whose individuals violate no bound."""
    return bool(front) and front[0].violation == 0.0


def front_hypervolume(
    front: Sequence[HasLosses], objectives: Objectives, reference: Mapping[str, float] | None = None
) -> float:
    """The volume that a front dominates, up to a reference point; 0 while it is empty, or violates bounds.

    Args:
        front: The individuals of the front.
        objectives: The objectives of the study.
        reference: The value of each objective at the reference point, in the user's names and signs. None means a point
            that is worse than the front by a tenth of its extent in each objective, which differs from front to front:
            to compare two, give one point.

    Raises:
        UserError: The reference point lacks an objective, or has something else.
    """
    if reference is not None:
        _check_reference(reference, objectives)
    if not keeps_bounds(front):
        return 0.0
    losses = loss_matrix(front)
    if reference is None:
        return hypervolume(losses, reference_point(losses))
    worst = objectives.losses(reference) if objectives.modes else (reference["loss"],)
    return hypervolume(losses, worst)


def _check_reference(reference: Mapping[str, float], objectives: Objectives) -> None:
    names = ", ".join(objectives.names)
    if not isinstance(reference, Mapping) or set(reference) != set(objectives.names):
        raise UserError(f"reference is {reference!r}: give the value of each objective by its name: {names}")
    for name, value in reference.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise UserError(f"reference.{name} is {value!r}: it must be a finite number")


def spread_front(front: Sequence[Member], most: int) -> list[Member]:
    """As many individuals of a front as can be shown: those that add least to its hypervolume are left out.

    The knee and the best of each objective stay, as long as there is room for them. The order stays.

    Args:
        front: The individuals of the front.
        most: How many are shown at most.
    """
    return thin_front(list(front), most)


def values_of(one: HasLosses, objectives: Objectives) -> dict[str, float]:
    """The values of the objectives in the user's names and signs; empty while the individual has not all of them.

    Args:
        one: An individual.
        objectives: The objectives of the study.
    """
    return objectives.values(one.vector) if len(one.vector) == objectives.count else {}


def violation_text(violation: float) -> str:
    """By how much bounds are violated, in per cent of them.

    Example:
        >>> violation_text(0.125), violation_text(1e-9)
        ('by 12.5 %', 'by less than 0.1 %')
    """
    return f"by {100 * violation:.3g} %" if violation >= 0.001 else "by less than 0.1 %"


def bounds_text(one: HasLosses, metrics: Mapping[str, object], objectives: Objectives) -> str:
    """Which bounds an individual violates, and by how much; empty when it keeps all.

    Args:
        one: The individual.
        metrics: Its metrics.
        objectives: The objectives of the study.

    Example:
        >>> from evo.population.objectives import make_objectives
        >>> from evo.report.records import Evaluation
        >>> made = Evaluation(individual=(0, 1), params={}, violation=0.25)
        >>> bounds_text(made, {"memory": 2.5e9}, make_objectives(None, {"memory": "<= 2e9"}))
        'memory <= 2e+09 by 25 %'
    """
    if not one.violation:
        return ""
    found = []
    for bound in objectives.bounds:
        value = metrics.get(bound.metric)
        if isinstance(value, int | float) and (violation := bound.violation(value)):
            found.append(f"{bound} {violation_text(violation)}")
    return ", ".join(found) or f"bounds {violation_text(one.violation)}"
