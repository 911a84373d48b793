"""Who was busy when, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evo.population.events import individual_name
from evo.report.pages.picture import COLOURS, STATUS_COLOURS, Axis, Picture, Series
from evo.report.pages.scales import RunningTime, duration_text, time_unit
from evo.report.pages.story import Busy, Use
from evo.report.times import OUTSIDE

_MOST_WORKERS = 64
_PARTS = 1500  # As many parts of the time as can be told from each other on a wide screen.


def merge_short(busy: Sequence[Busy], resolution: float) -> list[tuple[Busy, int]]:
    """What a picture of the workers can show: evaluations too short to be seen are joined with their neighbours.

    Args:
        busy: When which worker evaluated what, by the time of the beginning.
        resolution: The shortest time that can be seen, in seconds.

    Returns:
        The spans, each with the number of evaluations in it.
    """
    found: list[tuple[Busy, int]] = []
    last: dict[int, int] = {}
    for each in busy:
        place = last.get(each.worker)
        if place is not None:
            before, count = found[place]
            is_short = min(before.end - before.begin, each.end - each.begin) < resolution
            if is_short and before.status == each.status and each.begin - before.end < resolution:
                found[place] = (before._replace(end=max(before.end, each.end)), count + 1)
                continue
        last[each.worker] = len(found)
        found.append((each, 1))
    return found


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
    merged = merge_short([each for each in busy if each.worker in shown], clock.total / _PARTS)
    groups: dict[str, list[tuple[Busy, int]]] = {}
    for each, count in merged:
        groups.setdefault(each.status, []).append((each, count))
    series = []
    for status in [each for each in STATUS_COLOURS if each in groups]:
        spans = groups[status]
        starts = [clock.at(each.begin) / size for each, _ in spans]
        series.append(
            Series(
                kind="spans",
                starts=starts,
                x=[clock.at(each.end) / size - start for (each, _), start in zip(spans, starts, strict=True)],
                y=[f"worker {each.worker}" for each, _ in spans],
                name=status,
                colour=STATUS_COLOURS[status],
                texts=[_span_text(each, count) for each, count in spans],
            )
        )
    share = "" if use.share is None else f"Workers evaluated for {100 * use.share:.1f} % of their time. "
    more = f" Only the first {_MOST_WORKERS} of {len(workers)} workers are drawn." if len(workers) > len(shown) else ""
    return Picture(
        name="timeline",
        title="What every worker did",
        hint=f"{share}Gaps are time in which a worker was idle: at the end they mean that others still worked, between "
        "evaluations that something else was slow. Long bars that were pruned or failed late are time lost. "
        f"Neighbours too short to be seen are joined.{more}",
        x=Axis(title=f"{unit} of searching", ends=(0.0, max(clock.total / size, 1e-9))),
        y=Axis(title="", categories=[f"worker {worker}" for worker in workers if worker in shown]),
        series=series,
        marks=[(pause / size, "") for pause in clock.pauses],
        height=150 + 24 * max(1, min(len(shown), 40)),
    )


def _span_text(each: Busy, count: int) -> str:
    took = duration_text(each.end - each.begin)
    name = individual_name(each.individual)
    return f"{name}: {each.status}, {took}" if count == 1 else f"{count} from {name} on: {each.status}, {took}"


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
