"""Learning curves, and what the rungs decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from evo.population.events import Judged
from evo.population.identity import Identity
from evo.report.pages.picture import BEST_COLOUR, STATUS_COLOURS, Axis, Picture, Series
from evo.report.pages.scales import Scale, scale_of
from evo.report.records import Evaluation
from evo.report.tables import number_text

# All curves of a picture have about so many points together, and each at most and at least so many.
_MOST_POINTS = 30_000
_MOST_OF_A_CURVE, _LEAST_OF_A_CURVE = 200, 50
_MOST_RUNGS = 20


class RungRow(NamedTuple):
    """What one rung decided.

    Args:
        rung: The number of complete steps.
        judged: How many individuals were compared there.
        stopped: How many of them were stopped.
        threshold: The latest threshold; None when there was never one.
    """

    rung: int
    judged: int
    stopped: int
    threshold: float | None


def rung_rows(judged: Sequence[Judged]) -> list[RungRow]:
    """What each rung decided, the lowest one first.

    Args:
        judged: All decisions at rungs, in any order.
    """
    of_rung: dict[int, list[Judged]] = {}
    for each in sorted(judged, key=lambda event: event.time):
        of_rung.setdefault(each.rung, []).append(each)
    return [
        RungRow(
            rung,
            len(events),
            sum(event.stop for event in events),
            next((event.threshold for event in reversed(events) if event.threshold is not None), None),
        )
        for rung, events in sorted(of_rung.items())
    ]


def learning_curves(
    shown: Sequence[Evaluation],
    best: Evaluation | None,
    curves: Mapping[Identity, Mapping[int, float]],
    judged: Sequence[Judged],
) -> Picture | None:
    """Reported losses by step, by what became of the individual; None when nothing was reported.

    Args:
        shown: The individuals whose curves are drawn.
        best: The best individual.
        curves: Losses by step of individuals.
        judged: All decisions at rungs.
    """
    drawn = [one for one in shown if one.individual in curves]
    if not drawn:
        return None
    scale = scale_of(loss for one in drawn for loss in curves[one.individual].values())
    series = []
    rungs = rung_rows(judged)
    most = max(_LEAST_OF_A_CURVE, min(_MOST_OF_A_CURVE, _MOST_POINTS // len(drawn)))
    kept = [row.rung - 1 for row in rungs[:_MOST_RUNGS]]
    thin = {one.individual: thinned(curves[one.individual], most, kept) for one in drawn}
    for status in [each for each in STATUS_COLOURS if any(one.status == each for one in drawn)]:
        members = [one for one in drawn if one.status == status and one != best]
        series.append(_lines(members, thin, scale, (status, STATUS_COLOURS[status], 1.0)))
    known = {one.individual for one in drawn}
    series.append(_stops([each for each in judged if each.stop and each.individual in known], scale))
    if best is not None and best.individual in curves:
        thin[best.individual] = thinned(curves[best.individual], _MOST_OF_A_CURVE, kept)
        series.append(_lines([best], thin, scale, (f"the best, {best.name}", BEST_COLOUR, 3.0)))
    return Picture(
        name="curves",
        title="Reported losses by step",
        hint="Dotted lines are rungs, where individuals are compared; a cross is one that was "
        "stopped there. If the best curve was among the worst at the first rung, prune later; if curves of pruned "
        "ones never cross those of the good ones, prune earlier.",
        x=Axis(title="step, for example the epoch, from 0"),
        y=Axis(title="reported loss", log=scale.log, ends=scale.ends),
        series=[each for each in series if each.x],
        marks=[(row.rung - 1, f"rung {row.rung}") for row in rungs],
        height=460,
    )


def thinned(curve: Mapping[int, float], most: int, kept: Collection[int] = ()) -> list[tuple[int, float]]:
    """The points of a curve that are drawn, by step: all, or the first, the last, the lowest and some others.

    Args:
        curve: Losses by step.
        most: About how many, at least 2.
        kept: Steps that are drawn if they are there, beside the others.

    Example:
        >>> thinned({step: abs(step - 30.0) for step in range(101)}, 3, kept=[10, 200])
        [(0, 30.0), (10, 20.0), (30, 0.0), (50, 20.0), (100, 70.0)]
    """
    points = sorted(curve.items())
    if len(points) <= most:
        return points
    last = len(points) - 1
    steps = {points[round(place * last / (most - 1))][0] for place in range(most)}
    steps |= {min(curve, key=curve.__getitem__), *(step for step in kept if step in curve)}
    return [(step, curve[step]) for step in sorted(steps)]


def _stops(stops: Sequence[Judged], scale: Scale) -> Series:
    return Series(
        kind="points",
        x=[each.rung - 1 for each in stops],
        y=[scale.place(each.value) for each in stops],
        name="stopped here",
        colour=STATUS_COLOURS["failed"],
        texts=[_stop_text(each) for each in stops],
        symbol="x",
        width=7.0,
    )


def _stop_text(each: Judged) -> str:
    name = "{}-{}".format(*each.individual)
    than = "" if each.threshold is None else f" > {number_text(each.threshold)}"
    return f"{name} stopped: {number_text(each.value)}{than}, among {each.among}"


def _lines(
    members: Sequence[Evaluation],
    curves: Mapping[Identity, Sequence[tuple[int, float]]],
    scale: Scale,
    label: tuple[str, str, float],
) -> Series:
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for one in members:
        points = curves[one.individual]
        x += [*(step for step, _ in points), None]
        y += [*(scale.place(loss) for _, loss in points), None]
        texts += [one.name] * len(points) + [""]
    return Series(kind="lines", x=x[:-1], y=y[:-1], name=label[0], colour=label[1], texts=texts[:-1], width=label[2])
