"""The front of several objectives: by pairs of them and all at once, and its hypervolume over evaluations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from evo.population.dominance import Front, hypervolume, reference_point
from evo.population.identity import Identity
from evo.population.objectives import Objectives
from evo.report.fronts import find_knee, keeps_bounds, spread_front, values_of
from evo.report.improvements import count_evaluated, ends_in_order, improvements
from evo.report.pages.picture import BEST_COLOUR, COLOURS, STATUS_COLOURS, Axis, Picture, Series
from evo.report.pages.scales import Scale, scale_of
from evo.report.records import Evaluation
from evo.report.tables import number_text

_MOST_PAIRS = 6
_MOST_LINES = 50
_MOST_VOLUMES = {2: 300, 3: 300, 4: 60}  # By the number of objectives, since each takes longer the more there are.
_MOST_VOLUMES_OF_MANY = 20
_MOST_PROPOSERS = 8
_DECADES = 1000.0
_PALE = "#a9b8c6"
_OTHERS = "others"


class FrontChange(NamedTuple):
    """A moment at which the front grew or moved.

    Args:
        number: The number of the evaluation that has just ended, from 1.
        one: The individual that came onto the front.
        volume: The hypervolume of the front since then, as a share of that of the last front.
    """

    number: int
    one: Evaluation
    volume: float


class FrontPictures:
    """The pictures of a study with several objectives.

    Args:
        evaluations: All evaluations of the study.
        shown: Those that are drawn as points.
        front: The individuals on the front, by their losses.
        objectives: The objectives of the study.
    """

    def __init__(
        self,
        evaluations: Sequence[Evaluation],
        shown: Sequence[Evaluation],
        front: Sequence[Evaluation],
        objectives: Objectives,
    ) -> None:
        self._ended = ends_in_order(evaluations)
        self._front = list(front)
        self._keeps_bounds = keeps_bounds(front)
        self._objectives = objectives
        drawn = {one.individual: one for one in (*shown, *front) if _is_complete(one, objectives)}
        self._drawn = list(drawn.values())
        self._knee = find_knee(front) if self._keeps_bounds and len(front) > 2 else None
        self._changes = front_changes(self._ended, self._front) if self._keeps_bounds else []
        self._colours = proposer_colours([one.one for one in self._changes])

    def pairs(self) -> list[Picture]:
        """The individuals by pairs of objectives, at most six pairs; none while nothing has completed."""
        names = self._objectives.names
        pairs = list(itertools.combinations(range(len(names)), 2))[:_MOST_PAIRS] if self._drawn else []
        return [self._pair(one, other, len(pairs) > 1) for one, other in pairs]

    def _pair(self, first: int, second: int, has_others: bool) -> Picture:
        names = self._objectives.names
        scales = [self._scale(place) for place in (first, second)]
        places = {one.individual: self._place(one, (first, second), scales) for one in self._drawn}
        on_front = {one.individual for one in self._front} if self._keeps_bounds else set()
        beyond = [one for one in self._drawn if one.violation > 0.0]
        dominated = [one for one in self._drawn if one.violation == 0.0 and one.individual not in on_front]
        series = [
            self._points(dominated, places, "dominated", _PALE),
            self._points(beyond, places, "beyond the bounds", STATUS_COLOURS["failed"], ("x", 6.0)),
        ]
        if self._keeps_bounds:
            series += self._front_series(places, has_staircase=len(names) == 2)
        which = f"{names[first]} and {names[second]}"
        good = " and ".join(
            f"{'high' if self._mode(place) == 'max' else 'low'} {names[place]}" for place in (first, second)
        )
        others = " A point of the front may look dominated here, because it is better by another objective."
        return Picture(
            name="front" if not has_others else f"front-{first + 1}-{second + 1}",
            title=f"The front: {which}",
            hint=f"Good is {good}. Colours say which algorithm proposed the individuals of the front, which no other "
            f"one dominates; pale ones are dominated.{others if has_others else ''}",
            x=Axis(title=self._axis_title(first), log=scales[0].log, ends=scales[0].ends),
            y=Axis(title=self._axis_title(second), log=scales[1].log, ends=scales[1].ends),
            series=[one for one in series if one.x],
            height=420,
        )

    def _front_series(self, places: Mapping[Identity, tuple[float, float]], has_staircase: bool) -> list[Series]:
        found = []
        if has_staircase:
            x, y = zip(*(places[one.individual] for one in self._front), strict=True)
            found.append(Series(kind="steps", x=x, y=y, colour=BEST_COLOUR, width=1.5))
        for name, colour in self._colours.items():
            members = [one for one in self._front if _proposer(one, self._colours) == name]
            found.append(self._points(members, places, f"front, by {name}", colour, ("circle", 9.0)))
        if self._knee is not None:
            found.append(self._points([self._knee], places, "", "#111111", ("star", 16.0)))
            found.append(self._points([self._knee], places, "knee", "#f2c230", ("star", 10.0)))
        return found

    def parallel(self) -> Picture | None:
        """The front over all objectives at once, from three on; None where there are fewer, or no front."""
        names = self._objectives.names
        if len(names) < 3 or not self._keeps_bounds:
            return None
        front = spread_front(self._front, _MOST_LINES)
        is_thinned = len(front) < len(self._front)
        few = f" {len(front)} of {len(self._front)} are drawn, spread over the front." if is_thinned else ""
        losses = np.array([one.losses for one in self._front], dtype=float)
        low, high = losses.min(axis=0), losses.max(axis=0)
        extent = np.where(high > low, high - low, 1.0)
        axes = [
            f"{name}: {number_text(ends[0])} to {number_text(ends[1])}"
            for name, ends in zip(names, self._ends(low, high), strict=True)
        ]
        series = []
        for name, colour in self._colours.items():
            members = [one for one in front if _proposer(one, self._colours) == name]
            x: list[str | None] = []
            y: list[float | None] = []
            texts: list[str] = []
            for one in members:
                x += [*axes, None]
                y += [*((np.array(one.losses) - low) / extent).tolist(), None]
                texts += [self._text(one)] * (len(axes) + 1)
            series.append(Series(kind="lines", x=x, y=y, name=name, colour=colour, texts=texts, width=1.5))
        if self._knee is not None:
            heights = ((np.array(self._knee.losses) - low) / extent).tolist()
            text = [self._text(self._knee)] * len(axes)
            series.append(Series(kind="lines", x=axes, y=heights, colour="#111111", texts=text, width=4.0))
            series.append(Series(kind="lines", x=axes, y=heights, name="knee", colour="#f2c230", texts=text, width=2.0))
        return Picture(
            name="front-parallel",
            title="The front over all objectives",
            hint="Each line is an individual of the front; at the bottom of each axis is the best value that the front "
            "has, at the top the worst, whether small or large values are good. Where lines cross between two axes, "
            "one objective is paid for with the other." + few,
            x=Axis(title="from the best value on the front to the worst one", categories=axes),
            y=Axis(title="0 is the best", ends=(-0.05, 1.05)),
            series=[one for one in series if one.x],
        )

    def over_evaluations(self) -> Picture:
        """The hypervolume of the front over evaluations, with what brought it on."""
        evaluated = count_evaluated(self._ended)
        changes, colours = self._changes, self._colours
        series: list[Series] = []
        if changes:
            x, y = [float(each.number) for each in changes], [each.volume for each in changes]
            texts = [f"{each.one.name}: {number_text(each.volume)}" for each in changes]
            x, y, texts = [*x, max(float(evaluated), x[-1])], [*y, y[-1]], [*texts, texts[-1]]
            series.append(Series(kind="steps", x=x, y=y, colour=BEST_COLOUR, texts=texts, name="so far", width=2.5))
        for name, colour in colours.items():
            own = [each for each in changes if _proposer(each.one, colours) == name]
            series.append(
                Series(
                    kind="points",
                    x=[float(each.number) for each in own],
                    y=[each.volume for each in own],
                    name=name,
                    colour=colour,
                    texts=[self._text(each.one) for each in own],
                    width=7.0,
                )
            )
        nothing = "" if changes else " No individual keeps the bounds yet, so there is no hypervolume."
        return Picture(
            name="hypervolume",
            title="Hypervolume over evaluations",
            hint="The volume of objectives that the front dominates, as a share of what it dominates now: flat for "
            "long means that more evaluations may bring little. Each point is an individual that came onto the front, "
            "coloured by the algorithm that proposed it; later ones may have pushed it off." + nothing,
            x=Axis(title="evaluations that have ended", ends=(0.0, evaluated + 1.0)),
            y=Axis(title="share of the hypervolume now", ends=(0.0, 1.08)),
            series=series,
        )

    def _points(
        self,
        members: Sequence[Evaluation],
        places: Mapping[Identity, tuple[float, float]],
        name: str,
        colour: str,
        look: tuple[Literal["circle", "x", "star"], float] = ("circle", 6.0),
    ) -> Series:
        x, y = [places[one.individual][0] for one in members], [places[one.individual][1] for one in members]
        texts, (symbol, size) = [self._text(one) for one in members], look
        return Series(kind="points", x=x, y=y, name=name, colour=colour, texts=texts, symbol=symbol, width=size)

    def _text(self, one: Evaluation) -> str:
        values = [f"{name} {number_text(value)}" for name, value in values_of(one, self._objectives).items()]
        beyond = [f"beyond the bounds by {one.violation:.2g}"] if one.violation else []
        return "<br>".join([f"{one.name}, by {one.bred_by or 'unknown'}", *values, *beyond])

    def _mode(self, place: int) -> str:
        return self._objectives.modes[self._objectives.names[place]]

    def _axis_title(self, place: int) -> str:
        return f"{self._objectives.names[place]} ({'high is good' if self._mode(place) == 'max' else 'low is good'})"

    def _ends(self, low: Sequence[float], high: Sequence[float]) -> list[tuple[float, float]]:
        """The best and the worst value of each objective, with the user's signs."""
        best, worst = self._objectives.values(list(low)), self._objectives.values(list(high))
        return [(best[name], worst[name]) for name in self._objectives.names]

    def _scale(self, place: int) -> Scale:
        """The part of an objective's values that is shown: bad values do not hide good ones, and all of the front is
        shown. A front is read by distances, so that the scale is logarithmic only where it spans decades.
        """
        kept = self._front if self._keeps_bounds else self._drawn
        found = scale_of(one.losses[place] for one in self._drawn)
        good = [one.losses[place] for one in kept]
        low, high = min(found.low, *good), max(found.high, *good)
        if self._mode(place) == "max":
            return Scale(-high, -low, False, found.beyond)
        is_log = low > 0 and max(good) > _DECADES * min(good)
        if found.log and not is_log:  # Chosen for a log scale, where much higher losses take no room.
            high = min(high, max(good) + 2 * (max(good) - min(good)))
        return Scale(low, high, is_log, found.beyond)

    def _place(self, one: Evaluation, pair: tuple[int, int], scales: Sequence[Scale]) -> tuple[float, float]:
        values = list(values_of(one, self._objectives).values())
        x, y = (scale.place(values[place]) for place, scale in zip(pair, scales, strict=True))
        return x, y


def front_changes(ended: Sequence[Evaluation], front: Sequence[Evaluation]) -> list[FrontChange]:
    """When the front grew or moved, and its hypervolume then.

    The volume counts up to a tenth beyond the worst values of the last front, so that earlier points which are worse
    than that count nothing. Of very many changes, some are left out evenly.

    Args:
        ended: The individuals in the order in which they have ended.
        front: The individuals on the front now, which keep all bounds.
    """
    losses = np.array([one.losses for one in front], dtype=float)
    reference = reference_point(losses)
    whole = hypervolume(losses, reference)
    arrived = [(number, one) for number, one in improvements(ended) if one.violation == 0.0]
    most = _MOST_VOLUMES.get(losses.shape[1], _MOST_VOLUMES_OF_MANY)
    measured = {one.individual for _, one in _few(arrived, most)}
    growing: Front[Evaluation] = Front()
    changes = []
    for number, one in arrived:
        growing.add(one)
        if one.individual in measured:
            changes.append(FrontChange(number, one, hypervolume(growing.losses, reference) / whole))
    return changes


def without_legend(picture: Picture) -> Picture:
    """The same picture without names in a legend, for a place below another one that has them."""
    return replace(
        picture,
        title=picture.title.removeprefix("The front: "),
        series=[replace(series, name="") for series in picture.series],
    )


def proposer_colours(evaluations: Sequence[Evaluation]) -> Mapping[str, str]:
    """A colour for what has proposed individuals, the most frequent first, with one for all others together.

    Args:
        evaluations: The individuals.
    """
    counts: dict[str, int] = {}
    for one in evaluations:
        counts[one.bred_by or "unknown"] = counts.get(one.bred_by or "unknown", 0) + 1
    names = sorted(counts, key=lambda name: (-counts[name], name))
    shown = names[:_MOST_PROPOSERS] + ([_OTHERS] if len(names) > _MOST_PROPOSERS else [])
    return dict(zip(shown, COLOURS, strict=False))


def _proposer(one: Evaluation, colours: Mapping[str, str]) -> str:
    name = one.bred_by or "unknown"
    return name if name in colours else _OTHERS


def _is_complete(one: Evaluation, objectives: Objectives) -> bool:
    """Whether all values of an individual are known, and it lies within the limits."""
    whole = one.status == "completed" and not one.is_set_aside and len(one.losses) == objectives.count
    return whole and all(map(math.isfinite, one.losses))


def _few(things: Sequence[Any], most: int) -> list[Any]:
    """Things in their order, or as many of them as wanted, taken evenly, the first and the last included."""
    if len(things) <= most:
        return list(things)
    return [things[round(place * (len(things) - 1) / (most - 1))] for place in range(most)]
