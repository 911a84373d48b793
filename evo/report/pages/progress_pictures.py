"""The best value over evaluations and over time, of one study or of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evo.report.improvements import count_evaluated, ends_in_order, improvements, numbered
from evo.report.pages.picture import BEST_COLOUR, COLOURS, STATUS_COLOURS, Axis, Picture, Series
from evo.report.pages.scales import RunningTime, Scale, scale_of, time_unit
from evo.report.records import Evaluation
from evo.report.tables import number_text

_MOST_PROPOSERS = 8
_OTHERS = "others"
_VIOLATING = "violates bounds"


def loss_scale(evaluations: Sequence[Evaluation]) -> Scale:
    """The part of the losses that pictures of a study show.

    Args:
        evaluations: All evaluations of the study.
    """
    return scale_of(one.loss for one in evaluations if one.loss is not None)


def over_evaluations(
    evaluations: Sequence[Evaluation], shown: Sequence[Evaluation], scale: Scale, label: str = "loss"
) -> Picture:
    """Every individual's loss by the number of those that have ended before, coloured by what proposed it.

    Args:
        evaluations: All evaluations of a study.
        shown: Those that are drawn as points.
        scale: The part of the losses that is shown.
        label: What the loss is called.
    """
    ended = ends_in_order(evaluations)
    numbers, evaluated = {one.individual: number for number, one in numbered(ended)}, count_evaluated(ended)
    drawn = [one for one in ends_in_order(shown) if one.individual in numbers]
    counts: dict[str, int] = {}
    for one in ended:
        counts[one.bred_by or "unknown"] = counts.get(one.bred_by or "unknown", 0) + 1
    frequent = sorted(counts, key=lambda name: (-counts[name], name))[:_MOST_PROPOSERS]

    def proposer(one: Evaluation) -> str:
        if one.violation:  # It may have a lower loss than the best, and is no better for it.
            return _VIOLATING
        return (one.bred_by or "unknown") if (one.bred_by or "unknown") in frequent else _OTHERS

    colours = {**dict(zip([*frequent, _OTHERS], COLOURS, strict=False)), _VIOLATING: STATUS_COLOURS["failed"]}
    series = _points(drawn, scale, lambda one: float(numbers[one.individual]), proposer, colours)
    line = _best_line([(float(n), one) for n, one in improvements(ended)], float(evaluated), scale)
    return Picture(
        name="best-over-evaluations",
        title="Best loss over evaluations",
        hint="The line is the best loss so far: flat for long means that more evaluations may bring little. "
        "Colours say which algorithm proposed each point: the lowest points show which of them still finds something.",
        x=Axis(title="evaluations that have ended", ends=(0.0, evaluated + 1.0)),
        y=Axis(title=label, log=scale.log, ends=scale.ends),
        series=[*series, *line],
    )


def over_time(
    evaluations: Sequence[Evaluation],
    shown: Sequence[Evaluation],
    scale: Scale,
    clock: RunningTime,
    label: str = "loss",
) -> Picture:
    """Every individual's loss by the time for which the search had run, coloured by what became of it.

    Args:
        evaluations: All evaluations of a study.
        shown: Those that are drawn as points.
        scale: The part of the losses that is shown.
        clock: The time of the search without its pauses.
        label: What the loss is called.
    """
    unit, size = time_unit(clock.total)

    def place(one: Evaluation) -> float:
        return clock.at(one.ended) / size

    best = improvements(ends_in_order(evaluations))
    line = _best_line([(place(one), one) for _, one in best], clock.total / size, scale)
    drawn = ends_in_order(shown)
    colours = {**STATUS_COLOURS, _VIOLATING: STATUS_COLOURS["failed"]}

    def what(one: Evaluation) -> str:
        return _VIOLATING if one.violation else one.status

    return Picture(
        name="best-over-time",
        title="Best loss over time",
        hint="The same line over the time for which the search has run; pauses between sessions are left out, and a "
        "dotted line marks each. Colours say what became of each individual. Those without a loss stand at the top.",
        x=Axis(title=f"{unit} of searching", ends=(0.0, max(clock.total / size, 1e-9) * 1.02)),
        y=Axis(title=label, log=scale.log, ends=scale.ends),
        series=[*_points(drawn, scale, place, what, colours), *line],
        marks=[(pause / size, "") for pause in clock.pauses],
    )


def compared(runs: Mapping[str, Sequence[Evaluation]], scale: Scale) -> Picture:
    """The best loss over evaluations of several studies.

    Args:
        runs: The evaluations of each study by its name.
        scale: The part of the losses that is shown.
    """
    bests = {name: _lowest(improvements(ends_in_order(evaluations))) for name, evaluations in runs.items()}
    everything = [one for evaluations in runs.values() for one in evaluations if one.status == "completed"]
    series = []
    for place, (name, found) in enumerate(bests.items()):
        ended = count_evaluated(runs[name])
        points = [(float(number), one) for number, one in found]
        series += _best_line(points, float(ended), scale, (name, COLOURS[place % len(COLOURS)]))
    longest = max(map(count_evaluated, runs.values()), default=0)
    return Picture(
        name="comparison",
        title="Best loss over evaluations, all runs",
        hint="Lower is better, and a line that is lower at the same place got there with fewer evaluations. Two runs "
        "that differ in their seed only show how much is luck."
        + ("" if everything else " Nothing has completed in any of them yet."),
        x=Axis(title="evaluations that have ended", ends=(0.0, longest + 1.0)),
        y=Axis(title="loss", log=scale.log, ends=scale.ends),
        series=series,
    )


def _lowest(found: Sequence[tuple[int, Evaluation]]) -> list[tuple[int, Evaluation]]:
    """The improvements by the loss, which of several objectives is the first: others have improved the front only."""
    kept: list[tuple[int, Evaluation]] = []
    for number, one in found:
        last = kept[-1][1] if kept else None
        if last is None or last.loss is None or one.violation < last.violation or (one.loss or 0.0) < last.loss:
            kept.append((number, one))
    return kept


def _best_line(
    found: Sequence[tuple[float, Evaluation]],
    end: float,
    scale: Scale,
    label: tuple[str, str] = ("best so far", BEST_COLOUR),
) -> list[Series]:
    found = [each for each in found if not each[1].violation]  # So that the line never rises.
    if not found:
        return []
    x = [place for place, _ in found]
    y = [scale.place(one.loss or 0.0) for _, one in found]
    texts = [f"{one.name}: {number_text(one.loss)}" for _, one in found]
    return [
        Series(
            kind="steps",
            x=[*x, max(end, x[-1])],
            y=[*y, y[-1]],
            name=label[0],
            colour=label[1],
            texts=[*texts, texts[-1]],
            width=2.5,
        )
    ]


def _points(
    drawn: Sequence[Evaluation],
    scale: Scale,
    place: Callable[[Evaluation], float],
    group: Callable[[Evaluation], str],
    colours: Mapping[str, str],
) -> list[Series]:
    groups: dict[str, list[Evaluation]] = {}
    for one in drawn:
        groups.setdefault(group(one), []).append(one)
    found = []
    for name in [each for each in colours if each in groups]:
        members = groups[name]
        without = all(one.loss is None for one in members)
        found.append(
            Series(
                kind="points",
                x=[place(one) for one in members],
                y=[scale.place(scale.high if one.loss is None else one.loss) for one in members],
                name=name,
                colour=colours[name],
                texts=[f"{one.name}: {number_text(one.loss) or one.status}" for one in members],
                symbol="x" if without or name == _VIOLATING else "circle",
                width=5.0,
            )
        )
    return found
