"""The front for people: which of its individuals a table shows, and what is said of it and of the bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evo.population.dominance import hypervolume_contributions
from evo.population.objectives import Objectives
from evo.report.fronts import knee_of, values_of
from evo.report.records import Evaluation
from evo.texts import printable


def spread_of(front: Sequence[Evaluation], most: int) -> list[Evaluation]:
    """Some individuals of a front that stand for all of it: the best by each objective, the knee, and then those
    without which the front would lose the most hypervolume.

    Args:
        front: The individuals of a front, by their losses.
        most: How many are wanted, at least 1. There are more where there are more objectives.

    Returns:
        Some of them, in the order given.
    """
    if len(front) <= most or not front[0].losses:
        return list(front)
    losses = np.array([one.losses for one in front], dtype=float)
    knee = knee_of(front)
    kept = {int(place) for place in losses.argmin(axis=0)} | {place for place, one in enumerate(front) if one is knee}
    # One after the other leaves, since of two neighbours each alone may contribute little, but not both together.
    left = list(range(len(front))) if len(front) <= _MOST_THINNED else _evenly(losses, kept)
    while len(left) > max(most, len(kept)):
        gains = hypervolume_contributions(losses[left])
        least = min((place for place in range(len(left)) if left[place] not in kept), key=lambda place: gains[place])
        left.pop(least)
    return [front[place] for place in left]


# Each one that leaves costs a look at all others; of more individuals, as many are taken evenly first.
_MOST_THINNED = 60


def _evenly(losses: Any, kept: set[int]) -> list[int]:
    steps = np.linspace(0, len(losses) - 1, _MOST_THINNED).astype(int)
    return sorted({int(place) for place in steps} | kept)


def knows_none_within(ranking: Sequence[Evaluation]) -> bool:
    """Whether some have completed, and each of them violates a bound."""
    return bool(ranking) and ranking[0].violation > 0.0


def front_note(front: Sequence[Evaluation], shown: int) -> str:
    """How many individuals are on a front, and which is its knee, in one line.

    Args:
        front: Its individuals, with several losses.
        shown: How many of them are shown.
    """
    many = f"{len(front)} individual{'' if len(front) == 1 else 's'}"
    are = "is" if len(front) == 1 else "are"
    some = f", of which {shown} are shown" if shown < len(front) else ""
    knee = knee_of(front)
    last = f"; the knee, nearest to the best of all objectives together, is {knee.name}" if knee and shown > 1 else ""
    return f"{many} {are} on the front{some}{last}"


def bounds_note(ranking: Sequence[Evaluation], objectives: Objectives) -> str:
    """How many of the completed individuals keep all bounds of metrics, in one line; empty where there are none.

    Args:
        ranking: The completed individuals, the best first.
        objectives: The objectives of their study.
    """
    if not objectives.bounds or not ranking:
        return ""
    bounds = printable(", ".join(map(str, objectives.bounds)))
    kept = sum(one.violation == 0.0 for one in ranking)
    if not kept:
        return f"none of {len(ranking)} completed individuals keeps the bounds ({bounds}): the nearest one is the best"
    return f"{kept} of {len(ranking)} completed individuals keep{'s' * (kept == 1)} the bounds ({bounds})"


def objectives_line(objectives: Objectives) -> str:
    """What is minimised and maximised, and the bounds that metrics must keep, in one line; empty for one plain loss.

    Example:
        >>> from evo.population.objectives import make_objectives
        >>> objectives_line(make_objectives({"acc": "max", "size": "min"}, {"memory": "<= 7"}))
        'maximised: acc; minimised: size; bounds: memory <= 7'
    """
    if objectives.is_plain:
        return ""
    modes = objectives.modes or {"the loss": "min"}
    parts = []
    for mode in dict.fromkeys(modes.values()):
        names = ", ".join(name for name, its in modes.items() if its == mode)
        parts.append(f"{'maximised' if mode == 'max' else 'minimised'}: {names}")
    if objectives.bounds:
        parts.append(f"bounds: {', '.join(map(str, objectives.bounds))}")
    return printable("; ".join(parts))


def loss_text(objectives: Objectives) -> str:
    """What pictures that show one loss call it: that of the first objective, which is minimised.

    Example:
        >>> from evo.population.objectives import ONE_LOSS, make_objectives
        >>> loss_text(ONE_LOSS), loss_text(make_objectives({"acc": "max"})), loss_text(make_objectives("size"))
        ('loss', '-acc', 'size')
    """
    name = objectives.names[0]
    return f"-{name}" if objectives.modes.get(name) == "max" else name


def loss_note(objectives: Objectives) -> str:
    """What "the loss" is in pictures and tables that show one only, as a sentence; empty for one without a name."""
    if not objectives.modes:
        return ""
    name = objectives.names[0]
    first = f"the first objective, {name}" if objectives.are_several else f"the objective, {name}"
    sign = ", with its sign changed since it is maximised" if objectives.modes[name] == "max" else ""
    return printable(f"The loss here is {first}{sign}.")


def objective_rows(shown: Sequence[Evaluation], objectives: Objectives) -> list[tuple[str, list[Any]]]:
    """The rows of a table that tell how good individuals are: each objective by its name, and violations if any.

    Args:
        shown: The individuals.
        objectives: The objectives of their study.
    """
    rows: list[tuple[str, list[Any]]]
    if objectives.modes:
        values = [values_of(one, objectives) for one in shown]
        rows = [(name, [each.get(name) for each in values]) for name in objectives.names]
    else:
        rows = [("loss", [one.loss for one in shown])]
    if any(one.violation > 0.0 for one in shown):
        rows.append(("beyond bounds", [f"{one.violation:.2g}" if one.violation else "" for one in shown]))
    return rows


def front_records(front: Sequence[Evaluation], objectives: Objectives) -> list[dict[str, Any]]:
    """The individuals of a front as summary.json tells them.

    Args:
        front: The individuals.
        objectives: The objectives of their study.
    """
    knee = knee_of(front)
    return [
        {
            "individual": one.individual,
            "values": {name: value for name, value in values_of(one, objectives).items() if math.isfinite(value)},
            "violation": one.violation,
            "is_knee": one is knee,
            "params": one.params,
            "metrics": one.metrics,
        }
        for one in front
    ]
