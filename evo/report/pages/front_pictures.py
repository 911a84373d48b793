"""The front of a study with several objectives, and its hypervolume over evaluations."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evo.population.dominance import find_knee
from evo.population.objectives import Objectives
from evo.report.fronts import keeps_bounds, spread_front, values_of
from evo.report.hypervolumes import Yardstick, hypervolume_steps
from evo.report.improvements import count_evaluated
from evo.report.pages.picture import BEST_COLOUR, COLOURS, Axis, Picture, Series
from evo.report.records import Evaluation
from evo.report.tables import number_text

_PALE, _VIOLATING = "#a9b6c2", "#d84a3a"
_MOST_IN_PAIRS = 4  # Of more objectives, the first ones are drawn in pairs.
_MOST_LINES = 50
_MOST_PROPOSERS = 6
_LOG_RATIO = 1000.0
_OTHERS = "others"
_KNEE = "#f2c230"


def colours_of_proposers(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """A colour for each algorithm that brought individuals onto the front, the same in all pictures of a study.

    Args:
        evaluations: The individuals, those included that others have pushed off the front since.
    """
    counts = Counter(map(_proposer, evaluations))
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    kept = ranked[:_MOST_PROPOSERS]
    return dict(zip([*kept, *([_OTHERS] if len(ranked) > len(kept) else [])], COLOURS, strict=False))


def without_legend(picture: Picture) -> Picture:
    """The same picture without names in a legend, for a place below another one that has them."""
    return replace(picture, series=[replace(each, name="") for each in picture.series])


def pairs_of_objectives(
    shown: Sequence[Evaluation], front: Sequence[Evaluation], objectives: Objectives, colours: Mapping[str, str]
) -> list[Picture]:
    """The individuals by each two of the objectives, with the front in colour.

    Args:
        shown: The individuals that are drawn as points; those that have not completed are left out.
        front: The individuals of the front.
        objectives: The objectives, at least two.
        colours: What `colours_of_proposers` returned.
    """
    names = objectives.names[:_MOST_IN_PAIRS]
    members = front if keeps_bounds(front) else []
    on_front = {one.individual for one in members}
    others = [
        one for one in shown if one.status == "completed" and not one.is_set_aside and one.individual not in on_front
    ]
    drawn = [one for one in others if values_of(one, objectives)]
    groups = _by_proposer(members, colours)
    return [_pair(pair, drawn, members, groups, objectives) for pair in itertools.combinations(names, 2)]


def _pair(
    pair: tuple[str, str],
    others: Sequence[Evaluation],
    front: Sequence[Evaluation],
    groups: Mapping[tuple[str, str], Sequence[Evaluation]],
    objectives: Objectives,
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
    for (name, colour), members in groups.items():
        series += points(f"front: {name}", members, colour, width=9.0)
    knee = find_knee(front)  # Its edge is dark, so that it stands out from all colours, on light pages and dark ones.
    series += points("", [knee] if knee else [], "#111111", symbol="star", width=17.0)
    series += points("knee", [knee] if knee else [], _KNEE, symbol="star", width=11.0)
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


def _proposer(one: Evaluation) -> str:
    return "known" if one.origin else one.bred_by or "unknown"


def _by_proposer(
    members: Sequence[Evaluation], colours: Mapping[str, str]
) -> dict[tuple[str, str], Sequence[Evaluation]]:
    """Individuals by what proposed them and its colour, in the order of the colours; empty groups are left out."""
    found: dict[str, list[Evaluation]] = {}
    for one in members:
        found.setdefault(name if (name := _proposer(one)) in colours else _OTHERS, []).append(one)
    return {(name, colour): found[name] for name, colour in colours.items() if name in found}


def _text(one: Evaluation, objectives: Objectives) -> str:
    values = ", ".join(f"{name} {number_text(value)}" for name, value in values_of(one, objectives).items())
    return f"{one.name}: {values}" + (f", by {one.bred_by}" if one.bred_by else "")


def _axis(name: str, others: Sequence[Evaluation], front: Sequence[Evaluation], objectives: Objectives) -> Axis:
    """An axis that shows the front, about as much that is worse, and what would be better but violates bounds."""
    values = [values_of(one, objectives)[name] for one in others]
    best = [values_of(one, objectives)[name] for one in front] or values
    title = f"{name} ({'higher' if objectives.modes[name] == 'max' else 'lower'} is better)"
    if not best:
        return Axis(title=title)
    low, high = min(best), max(best)
    if low > 0 and high > _LOG_RATIO * low:
        return Axis(title=title, log=True, ends=(low / 1.5, max([high, *values]) * 1.5))
    extent = (high - low) or max((abs(value - low) for value in values), default=0.0) or 1.0
    low, high = low - extent, high + extent
    low, high = max(low, min([*values, *best])), min(high, max([*values, *best]))
    margin = 0.06 * ((high - low) or 1.0)
    return Axis(title=title, ends=(low - margin, high + margin))


def parallel_objectives(
    front: Sequence[Evaluation], objectives: Objectives, colours: Mapping[str, str]
) -> Picture | None:
    """The individuals of a front as lines over all objectives; None with two, or while nothing keeps the bounds.

    Args:
        front: The individuals of the front.
        objectives: The objectives.
        colours: What `colours_of_proposers` returned.
    """
    if objectives.count < 3 or not keeps_bounds(front):
        return None
    members = spread_front(front, _MOST_LINES)
    ends = [(min(column), max(column)) for column in zip(*(one.vector for one in front), strict=True)]
    heads = [
        f"{name} {_ends_text(name, low, high, objectives)}"
        for name, (low, high) in zip(objectives.names, ends, strict=True)
    ]
    series = []
    for (name, colour), of_one in _by_proposer(members, colours).items():
        x: list[str | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        for one in of_one:
            x += [*heads, None]
            y += [(high - loss) / ((high - low) or 1.0) for loss, (low, high) in zip(one.vector, ends, strict=True)]
            y.append(None)
            texts += [_text(one, objectives)] * (len(heads) + 1)
        series.append(Series(kind="lines", x=x, y=y, name=name, colour=colour, texts=texts, width=1.2))
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
    runs: Mapping[str, Sequence[Evaluation]],
    yardstick: Yardstick,
    objectives: Objectives,
    colours: Mapping[str, str] | None = None,
) -> Picture:
    """The hypervolume of one study, or of several, over evaluations.

    Args:
        runs: The evaluations of each study by its name.
        yardstick: What hypervolumes are measured with.
        objectives: The objectives that all of them have.
        colours: What `colours_of_proposers` returned, to show which algorithm brought which step of a single study.
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
        places = {one.individual: (float(number), share) for number, one, share in found}
        for (proposer, its), members in _by_proposer([one for _, one, _ in found], colours or {}).items():
            x, y = (list(column) for column in zip(*(places[one.individual] for one in members), strict=True))
            told = [_text(one, objectives) for one in members]
            series.append(Series(kind="points", x=x, y=y, name=proposer, colour=its, texts=told, width=7.0))
    reference = objectives.values(yardstick.reference)
    where = ", ".join(f"{name} {number_text(value)}" for name, value in reference.items())
    whose = "the front" if len(runs) == 1 else "the joint front of all runs"
    return Picture(
        name="hypervolume" if len(runs) == 1 else "comparison",
        title="Hypervolume over evaluations" + ("" if len(runs) == 1 else ", all runs"),
        hint=f"The volume that the front until then dominates, as a share of that of {whose}, up to the point "
        f"({where}). Flat for long means that more evaluations may bring little."
        + (" Points are individuals that entered the front, coloured by what proposed them." if colours else ""),
        x=Axis(title="evaluations that have ended", ends=(0.0, longest + 1.0)),
        y=Axis(title=f"share of the hypervolume of {whose}", ends=(0.0, 1.05)),
        series=series,
    )
