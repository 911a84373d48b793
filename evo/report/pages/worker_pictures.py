"""Who was busy when, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evo.population.identity import individual_name
from evo.report.display import duration_text
from evo.report.pages.picture import COLOURS, STATUS_COLOURS, Axis, Picture, Series
from evo.report.pages.scales import RunningTime, time_unit
from evo.report.pages.story import Busy, Use
from evo.report.times import OUTSIDE

_MOST_WORKERS = 64
_MOST_SPANS = 3000
_MOST_CELLS = 12_000


class Span(NamedTuple):
    """What a picture of the workers shows in one piece.

    Args:
        worker: The number of the worker.
        begin: The beginning, in seconds of searching.
        end: The end.
        status: How the evaluations in it ended.
        text: What it says under the mouse.
    """

    worker: int
    begin: float
    end: float
    status: str
    text: str


def spans_of(busy: Sequence[Busy], clock: RunningTime) -> list[Span]:
    """What a picture of the workers shows: each evaluation, or where these are too many, what fills each moment.

    Args:
        busy: When which worker evaluated what, by the time of the beginning.
        clock: The time of the search without its pauses.
    """
    placed = [Span(b.worker, clock.at(b.begin), clock.at(b.end), b.status, _span_text(b)) for b in busy]
    if len(placed) <= _MOST_SPANS or clock.total <= 0:
        return placed
    workers = {span.worker for span in placed}
    return _joined(placed, clock.total / max(100, _MOST_CELLS // len(workers)))


def _joined(spans: Sequence[Span], width: float) -> list[Span]:
    """Spans of equal moments: each has the status that took most of it, and is idle where nothing took half of it."""
    filled: dict[tuple[int, int], dict[str, float]] = {}
    counts: dict[tuple[int, int], int] = {}
    for span in spans:
        first, last = int(span.begin / width), int(span.end / width)
        counts[span.worker, first] = counts.get((span.worker, first), 0) + 1
        for cell in range(first, last + 1):
            part = min(span.end, (cell + 1) * width) - max(span.begin, cell * width)
            shares = filled.setdefault((span.worker, cell), {})
            shares[span.status] = shares.get(span.status, 0.0) + part
    found: list[Span] = []
    number = 0
    for (worker, cell), shares in sorted(filled.items()):
        if sum(shares.values()) < width / 2:
            continue
        status = max(shares, key=lambda name: shares[name])
        before = found[-1] if found else None
        if before and (before.worker, before.status) == (worker, status) and before.end >= (cell - 0.5) * width:
            number += counts.get((worker, cell), 0)
            found[-1] = before._replace(end=(cell + 1) * width, text=f"about {number} began here, mostly {status}")
        else:
            number = counts.get((worker, cell), 0)
            text = f"about {number} began here, mostly {status}"
            found.append(Span(worker, cell * width, (cell + 1) * width, status, text))
    return found


def _span_text(each: Busy) -> str:
    return f"{individual_name(each.individual)}: {each.status}, {duration_text(each.end - each.begin)}"


def timeline(busy: Sequence[Busy], use: Use, clock: RunningTime) -> Picture:
    """What every worker did when: one row for each, white where it was idle.

    Args:
        busy: When which worker evaluated what, by the time of the beginning.
        use: How busy the workers were.
        clock: The time of the search without its pauses.
    """
    unit, size = time_unit(clock.total)
    workers = sorted({each.worker for each in busy} | set(use.seconds))
    shown = set(workers[:_MOST_WORKERS])
    drawn = spans_of([each for each in busy if each.worker in shown], clock)
    groups: dict[str, list[Span]] = {}
    for span in drawn:
        groups.setdefault(span.status, []).append(span)
    series = [
        Series(
            kind="spans",
            starts=[span.begin / size for span in groups[status]],
            x=[(span.end - span.begin) / size for span in groups[status]],
            y=[f"worker {span.worker}" for span in groups[status]],
            name=status,
            colour=STATUS_COLOURS[status],
            texts=[span.text for span in groups[status]],
        )
        for status in STATUS_COLOURS
        if status in groups
    ]
    share = "" if use.share is None else f"Workers evaluated for {100 * use.share:.1f} % of their time. "
    joined = "There are too many to draw each: every moment shows what filled it." if len(busy) > _MOST_SPANS else ""
    more = f" Only the first {_MOST_WORKERS} of {len(workers)} workers are drawn." if len(workers) > len(shown) else ""
    return Picture(
        name="timeline",
        title="What every worker did",
        hint=f"{share}Gaps are time in which a worker was idle: at the end they mean that others still worked, between "
        "evaluations that something else was slow. Long bars that were pruned or failed late are time lost. "
        f"{joined}{more}",
        x=Axis(title=f"{unit} of searching", ends=(0.0, max(clock.total / size, 1e-9))),
        y=Axis(title="", categories=[f"worker {worker}" for worker in reversed(workers) if worker in shown]),
        series=series,
        marks=[(pause / size, "") for pause in clock.pauses],
        height=150 + 24 * max(1, min(len(shown), 40)),
    )


def where_time_went(times: Mapping[str, float]) -> Picture | None:
    """Seconds by activity; None when nothing was measured.

    Args:
        times: Seconds by activity, see `evo.report.times.Times`.
    """
    total = sum(times.values())
    if total <= 0:
        return None
    shown = [(name, seconds) for name, seconds in times.items() if seconds >= 0.0005 * total]
    names = [name for name, _ in shown]
    series = []
    for label, colour, is_outside in (("in evaluations", COLOURS[0], False), ("outside of them", COLOURS[1], True)):
        part = [(name, seconds) for name, seconds in shown if (name in OUTSIDE) == is_outside]
        series.append(
            Series(
                kind="bars",
                x=[100 * seconds / total for _, seconds in part],
                y=[name for name, _ in part],
                name=label,
                colour=colour,
                texts=[f"{name}: {100 * seconds / total:.1f} %, {duration_text(seconds)}" for name, seconds in part],
                labels=[f"{100 * seconds / total:.1f} %" for _, seconds in part],
            )
        )
    return Picture(
        name="times",
        title="Where the time went",
        hint="The time of all workers together. Much loading: use more loader workers or keep the data in memory. Much "
        "waiting: the last trainings are long, so a larger budget or fewer ranks use the machine better.",
        x=Axis(title="% of the time of all workers", ends=(0.0, 1.15 * max(100 * s / total for _, s in shown))),
        y=Axis(title="", categories=names[::-1]),
        series=[each for each in series if each.x],
        height=130 + 28 * len(names),
    )
