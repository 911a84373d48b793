"""The front of a study with several objectives, and its hypervolume over evaluations."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evo.population.objectives import Objectives
from evo.report.fronts import find_knee, keeps_bounds, spread_front, values_of
from evo.report.hypervolumes import Yardstick, hypervolume_steps
from evo.report.improvements import count_evaluated
from evo.report.pages.picture import BEST_COLOUR, COLOURS, Axis, Picture, Series
from evo.report.records import Evaluation
from evo.report.tables import number_text

_PALE, _VIOLATING = "#a9b6c2", "#d84a3a"
_MOST_IN_PAIRS = 4  # Of more objectives, the first ones are drawn in pairs.
_MOST_LINES = 100
_MOST_PROPOSERS = 6
_LOG_RATIO = 1000.0


def pairs_of_objectives(
    shown: Sequence[Evaluation], front: Sequence[Evaluation], objectives: Objectives
) -> list[Picture]:
    """The individuals by each two of the objectives, with the front in colour.

    Args:
        shown: The individuals that are drawn as points; those that have not completed are left out.
        front: The individuals of the front.
        objectives: The objectives, at least two.
    """
    names = objectives.names[:_MOST_IN_PAIRS]
    members = front if keeps_bounds(front) else []
    on_front = {one.individual for one in members}
    others = [
        one for one in shown if one.status == "completed" and not one.is_set_aside and one.individual not in on_front
    ]
    drawn = [one for one in others if values_of(one, objectives)]
    return [_pair(pair, drawn, members, objectives) for pair in itertools.combinations(names, 2)]


def _pair(
    pair: tuple[str, str], others: Sequence[Evaluation], front: Sequence[Evaluation], objectives: Objectives
) -> Picture:
    def points(name: str, members: Sequence[Evaluation], colour: str, **more: object) -> list[Series]:
        values = [values_of(one, objectives) for one in members]
        texts = [_text(one, objectives) for one in members]
        x, y = [each[pair[0]] for each in values], [each[pair[1]] for each in values]
        made = Series(kind="points", x=x, y=y, name=name, colour=colour, texts=texts, width=6.0)
        return [_replaced(made, more)] if members else []

    series = points("dominated", [one for one in others if not one.violation], _PALE)
    series += points("violates bounds", [one for one in others if one.violation], _VIOLATING, symbol="x")
    if front and objectives.count == 2:
        (line,) = points("", front, BEST_COLOUR)
        series.append(_replaced(line, {"kind": "steps", "width": 1.5, "texts": ()}))
    for number, (name, members) in enumerate(_by_proposer(front).items()):
        series += points(f"front: {name}", members, COLOURS[number % len(COLOURS)], width=9.0)
    knee = find_knee(front)
    series += points("knee", [knee] if knee else [], BEST_COLOUR, symbol="star", width=17.0)
    title = f"{pair[1]} against {pair[0]}"
    return Picture(
        name=f"front-{objectives.names.index(pair[0]) + 1}-{objectives.names.index(pair[1]) + 1}",
        title=f"The front: {title}",
        hint="Each point is an individual that has completed; those of the front are in the colour of the algorithm "
        "that proposed them, and the star is the knee, nearest to the best of all objectives. "
        + ("" if objectives.count == 2 else "Points of the front may lie behind others here, since the picture shows ")
        + ("" if objectives.count == 2 else "two objectives only. ")
        + "Individuals that are much worse lie outside of the picture.",
        x=_axis(pair[0], others, front, objectives),
        y=_axis(pair[1], others, front, objectives),
        series=series,
        height=460,
    )


def _replaced(series: Series, changes: Mapping[str, object]) -> Series:
    return replace(series, **changes)  # type: ignore[arg-type]


def _by_proposer(front: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """The individuals of a front by what proposed them, those that proposed most in front."""
    found: dict[str, list[Evaluation]] = {}
    for one in front:
        found.setdefault("known" if one.origin else one.bred_by or "unknown", []).append(one)
    ranked = sorted(found, key=lambda name: (-len(found[name]), name))
    kept = {name: found[name] for name in ranked[:_MOST_PROPOSERS]}
    rest = [one for name in ranked[_MOST_PROPOSERS:] for one in found[name]]
    return {**kept, **({"others": rest} if rest else {})}


def _text(one: Evaluation, objectives: Objectives) -> str:
    values = ", ".join(f"{name} {number_text(value)}" for name, value in values_of(one, objectives).items())
    return f"{one.name}: {values}" + (f", by {one.bred_by}" if one.bred_by else "")


def _axis(name: str, others: Sequence[Evaluation], front: Sequence[Evaluation], objectives: Objectives) -> Axis:
    """An axis that shows the front, and about as much that is worse."""
    values = [values_of(one, objectives)[name] for one in others]
    best = [values_of(one, objectives)[name] for one in front] or values
    title = f"{name} ({'higher' if objectives.modes[name] == 'max' else 'lower'} is better)"
    if not best:
        return Axis(title=title)
    low, high = min(best), max(best)
    if low > 0 and high > _LOG_RATIO * low:
        return Axis(title=title, log=True, ends=(low / 1.5, max([high, *values]) * 1.5))
    extent = (high - low) or max((abs(value - low) for value in values), default=0.0) or 1.0
    low, high = (low - extent, high) if objectives.modes[name] == "max" else (low, high + extent)
    low, high = max(low, min([*values, *best])), min(high, max([*values, *best]))
    margin = 0.06 * ((high - low) or 1.0)
    return Axis(title=title, ends=(low - margin, high + margin))


def parallel_objectives(front: Sequence[Evaluation], objectives: Objectives) -> Picture | None:
    """The individuals of a front as lines over all objectives; None with two, or while nothing keeps the bounds.

    Args:
        front: The individuals of the front.
        objectives: The objectives.
    """
    if objectives.count < 3 or not keeps_bounds(front):
        return None
    members = spread_front(front, _MOST_LINES)
    losses = [one.vector for one in members]
    ends = [(min(column), max(column)) for column in zip(*losses, strict=True)]
    heads = [
        f"{name} {_ends_text(name, low, high, objectives)}"
        for name, (low, high) in zip(objectives.names, ends, strict=True)
    ]
    series = []
    for number, (name, of_one) in enumerate(_by_proposer(members).items()):
        x: list[str | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        for one in of_one:
            x += [*heads, None]
            y += [(high - loss) / ((high - low) or 1.0) for loss, (low, high) in zip(one.vector, ends, strict=True)]
            y.append(None)
            texts += [_text(one, objectives)] * (len(heads) + 1)
        series.append(
            Series(kind="lines", x=x, y=y, name=name, colour=COLOURS[number % len(COLOURS)], texts=texts, width=1.2)
        )
    more = "" if len(members) == len(front) else f" {len(members)} of {len(front)} are shown."
    return Picture(
        name="front-parallel",
        title="The front over all objectives",
        hint="A line is an individual of the front, and the top is the best value of each objective. Lines that cross "
        f"between two objectives say that one is paid for with the other.{more}",
        x=Axis(title="", categories=heads),
        y=Axis(title="worst to best of the front", ends=(-0.05, 1.05)),
        series=series,
    )


def _ends_text(name: str, low: float, high: float, objectives: Objectives) -> str:
    sign = -1.0 if objectives.modes[name] == "max" else 1.0
    return f"({number_text(sign * high)} to {number_text(sign * low)})"


def hypervolume_over_evaluations(
    runs: Mapping[str, Sequence[Evaluation]], yardstick: Yardstick, objectives: Objectives
) -> Picture:
    """The hypervolume of one study, or of several, over evaluations.

    Args:
        runs: The evaluations of each study by its name.
        yardstick: What hypervolumes are measured with.
        objectives: The objectives that all of them have.
    """
    longest = max(map(count_evaluated, runs.values()), default=0)
    series = []
    for place, (name, evaluations) in enumerate(runs.items()):
        found = hypervolume_steps(evaluations, yardstick)
        if not found:
            continue
        x = [*(float(number) for number, _, _ in found), float(count_evaluated(evaluations))]
        y = [share for _, _, share in found]
        texts = [f"{_text(one, objectives)}: {share:.4f}" for _, one, share in found]
        colour = BEST_COLOUR if len(runs) == 1 else COLOURS[place % len(COLOURS)]
        series.append(
            Series(kind="steps", x=x, y=[*y, y[-1]], name=name, colour=colour, texts=[*texts, texts[-1]], width=2.5)
        )
    reference = objectives.values(yardstick.reference)
    where = ", ".join(f"{name} {number_text(value)}" for name, value in reference.items())
    whose = "the front" if len(runs) == 1 else "the joint front of all runs"
    return Picture(
        name="hypervolume" if len(runs) == 1 else "comparison",
        title="Hypervolume over evaluations" + ("" if len(runs) == 1 else ", all runs"),
        hint=f"The volume that the front until then dominates, as a share of that of {whose}, up to the point "
        f"({where}). Flat for long means that more evaluations may bring little.",
        x=Axis(title="evaluations that have ended", ends=(0.0, longest + 1.0)),
        y=Axis(title=f"share of the hypervolume of {whose}", ends=(0.0, 1.05)),
        series=series,
    )
