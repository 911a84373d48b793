"""Hyperparameters and losses over the steps of trainings that were divided into segments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from evo.population.identity import Identity, individual_name
from evo.report.lineages import LineageSegment, steps_text
from evo.report.pages.picture import BEST_COLOUR, STATUS_COLOURS, Axis, Picture, Series
from evo.report.pages.scales import Scale, scale_of
from evo.report.records import Evaluation
from evo.report.tables import number_text
from evo.space.mutability import is_mutable
from evo.space.parameters import Float, Int, Parameter
from evo.space.space import Space
from evo.space.written import text_of_value

_COLOUR = "#9aa4b0"
_MOST_PICTURES = 24
_HINT = (
    "Each line goes from the end of a segment to the end of one that has gone on from it, so that a fork is a state "
    "from which several have gone on. A cross is a training that was given up for another one's state. Steep lines "
    "after a fork are changes of hyperparameters that brought much; the pictures above say which."
)
_ROOM = 0.05


def schedules(
    shown: Sequence[Evaluation], known: Mapping[Identity, Evaluation], best: Sequence[LineageSegment], space: Space
) -> list[Picture]:
    """A picture of each parameter that may change while a network trains, over the steps of all trainings.

    Args:
        shown: The individuals that are drawn; those that are whole trainings are not.
        known: All individuals, the donors among them.
        best: The lineage of the best individual; empty if there is none.
        space: The search space.

    Returns:
        The pictures, by the order of the parameters; none for a study without segments.
    """
    drawn = [one for one in shown if one.segment]
    if not drawn:
        return []
    names = [name for name in space.names if is_mutable(name, space.parameters[name])]
    names = [name for name in names if any(name in one.params for one in drawn)][:_MOST_PICTURES]
    return [
        _schedule(number, name, space.parameters[name], _Lines(name, space.parameters[name], drawn, known, best))
        for number, name in enumerate(names)
    ]


class _Lines:
    """The values of one parameter as lines over the steps, of all segments and of those of the best lineage."""

    def __init__(
        self,
        name: str,
        parameter: Parameter,
        drawn: Sequence[Evaluation],
        known: Mapping[Identity, Evaluation],
        best: Sequence[LineageSegment],
    ) -> None:
        self._name = name
        self.is_number = isinstance(parameter, Float | Int)
        self.values = [one.params[name] for one in drawn if name in one.params]
        # A parameter may have been another kind in limits that have changed.
        self.is_number = self.is_number and all(isinstance(value, int | float) for value in self.values)
        lines = _Broken()
        for one in drawn:
            assert one.segment is not None
            donor = known.get(one.segment.donor.individual) if one.segment.donor else None
            before = donor.params.get(name) if donor else None
            until = one.segment.until if one.state is None else one.state.step
            text = f"{one.name}, steps {steps_text(one.segment.begin, until)}: {_text(one.params.get(name))}"
            self._add(lines, (one.segment.begin, until), (before, one.params.get(name)), text)
        of_best = _Broken()
        value = None
        for segment in best:
            before, value = value, segment.params.get(name)
            text = f"{segment.name}, steps {steps_text(segment.begin, segment.until)}: {_text(value)}"
            self._add(of_best, (segment.begin, segment.until), (before, value), text)
        self.series = [lines.series("", _COLOUR, 1.0)]
        if of_best.x:
            self.series.append(of_best.series(f"the best, {best[-1].name}", BEST_COLOUR, 3.0))

    def _add(self, lines: _Broken, steps: tuple[int, int], values: tuple[Any, Any], text: str) -> None:
        """A line at the value of a segment, from that of its donor; none where the parameter is inactive."""
        before, value = values
        if value is None:
            return
        points = [(steps[0], value), (steps[1], value)]
        if before is not None and before != value:
            points.insert(0, (steps[0], before))
        lines.add([(x, y if self.is_number else _text(y)) for x, y in points], text)


class _Broken:
    """Lines that are drawn as one series, with a gap after each."""

    def __init__(self) -> None:
        self.x: list[Any] = []
        self.y: list[Any] = []
        self.texts: list[str] = []

    def add(self, points: Sequence[tuple[Any, Any]], text: str) -> None:
        """Add a line through points, all of which have the same text."""
        self.x += [*(x for x, _ in points), None]
        self.y += [*(y for _, y in points), None]
        self.texts += [*([text] * len(points)), ""]

    def series(self, name: str, colour: str, width: float) -> Series:
        """All lines."""
        x, y, texts = self.x[:-1], self.y[:-1], self.texts[:-1]
        return Series(kind="lines", x=x, y=y, name=name, colour=colour, width=width, texts=texts)


def _text(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else text_of_value(value)


def _schedule(number: int, name: str, parameter: Parameter, lines: _Lines) -> Picture:
    axis = Axis(title=name, categories=sorted({_text(value) for value in lines.values}))
    if lines.is_number:
        log = isinstance(parameter, Float | Int) and parameter.log and min(lines.values) > 0
        axis = Axis(title=name, log=log, ends=_ends(lines.values, log))
    return Picture(
        name=f"schedule-{number}",
        title=f"{name} over the training",
        hint="",
        x=Axis(title="step"),
        y=axis,
        series=lines.series,
        height=320,
    )


def _ends(values: Collection[float], log: bool) -> tuple[float, float]:
    low, high = float(min(values)), float(max(values))
    if log:
        factor = (high / low) ** _ROOM if high > low else 2.0
        return low / factor, high * factor
    room = (high / 2 - low / 2) * 2 * _ROOM or abs(low) * _ROOM or 1.0
    return low - room, high + room


def losses_along_lineages(
    shown: Sequence[Evaluation], known: Mapping[Identity, Evaluation], best: Sequence[LineageSegment]
) -> Picture | None:
    """The losses at the ends of segments, each joined with its donor's, and who gave up its place; None without any.

    Args:
        shown: The individuals that are drawn.
        known: All individuals, the donors among them.
        best: The lineage of the best individual; empty if there is none.
    """
    drawn = [one for one in shown if one.segment and one.loss is not None]
    if not drawn:
        return None
    scale = scale_of(one.loss for one in drawn if one.loss is not None)
    of_best = [(segment.until, segment.loss) for segment in best if segment.loss is not None]
    series = [
        _from_donors(drawn, known, scale),
        Series(
            kind="points",
            x=[_end(one) for one in drawn],
            y=[_height(one, scale) for one in drawn],
            colour=_COLOUR,
            width=4.0,
            texts=[f"{one.name}: {number_text(one.loss)}" for one in drawn],
        ),
        _given_up(drawn, known, scale),
        Series(
            kind="lines",
            x=[step for step, _ in of_best],
            y=[scale.place(loss) for _, loss in of_best],
            name=f"the best, {best[-1].name}" if best else "",
            colour=BEST_COLOUR,
            width=3.0,
        ),
    ]
    return Picture(
        name="lineages",
        title="Losses along lineages",
        hint=_HINT,
        x=Axis(title="step, for example the epoch"),
        y=Axis(title="loss", log=scale.log, ends=scale.ends),
        series=[each for each in series if each.x],
        height=460,
    )


def _from_donors(drawn: Iterable[Evaluation], known: Mapping[Identity, Evaluation], scale: Scale) -> Series:
    """Lines from the ends of donors to the ends of those that have gone on from them."""
    lines = _Broken()
    for one in drawn:
        donor = known.get(one.segment.donor.individual) if one.segment and one.segment.donor else None
        if donor is not None and donor.loss is not None:
            begin = one.begin, scale.place(donor.loss)
            lines.add(
                [begin, (_end(one), _height(one, scale))], f"{one.name} from {donor.name}: {number_text(one.loss)}"
            )
    return lines.series("", _COLOUR, 1.0)


def _end(one: Evaluation) -> int:
    assert one.segment is not None
    return one.segment.until if one.state is None else one.state.step


def _height(one: Evaluation, scale: Scale) -> float:
    return scale.place(scale.high if one.loss is None else one.loss)


def _given_up(drawn: Iterable[Evaluation], known: Mapping[Identity, Evaluation], scale: Scale) -> Series:
    """A cross at the end of each training whose place was taken by one that goes on from another state."""
    found = []
    for one in drawn:
        segment = one.segment
        if segment is None or segment.replaces is None:
            continue
        if segment.donor is not None and segment.donor.individual == segment.replaces:
            continue
        replaced = known.get(segment.replaces)
        if replaced is not None and replaced.state is not None and replaced.state.is_over:
            continue  # It was at its end.
        if replaced is not None and replaced.segment is not None and replaced.loss is not None:
            instead = f"goes on from {one.donor}" if segment.donor else "begins a training"
            text = f"{individual_name(segment.replaces)} was given up: {one.name} {instead} in its place"
            found.append((_end(replaced), _height(replaced, scale), text))
    return Series(
        kind="points",
        x=[x for x, _, _ in found],
        y=[y for _, y, _ in found],
        name="given up",
        colour=STATUS_COLOURS["failed"],
        texts=[text for _, _, text in found],
        symbol="x",
        width=8.0,
    )
