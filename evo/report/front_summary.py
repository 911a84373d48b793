"""What is said of objectives, bounds and a front to people, each in one line."""

from __future__ import annotations

from collections.abc import Sequence

from evo.population.dominance import find_knee
from evo.population.objectives import Objectives
from evo.report.records import Evaluation
from evo.texts import printable


def front_note(front: Sequence[Evaluation], shown: int) -> str:
    """How many individuals are on a front, and which is its knee, in one line.

    Args:
        front: Its individuals, with several losses.
        shown: How many of them are shown.
    """
    many = "1 individual is" if len(front) == 1 else f"{len(front)} individuals are"
    some = f", of which {shown} are shown" if shown < len(front) else ""
    knee = find_knee(front) if len(front) > 1 else None
    last = f"; its knee, the best compromise, is {knee.name}" if knee else ""
    return f"{many} on the front{some}{last}"


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
    who = f"{kept or 'none'} of {len(ranking)} completed individuals"
    return f"{who} {'keep' if kept > 1 else 'keeps'} the bounds ({bounds})"


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
    which = f"the first objective, {name}" if objectives.are_several else f"the objective, {name}"
    sign = ", with its sign changed since it is maximised" if objectives.modes[name] == "max" else ""
    return printable(f"The loss here is {which}{sign}.")
