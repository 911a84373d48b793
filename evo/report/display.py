"""Where a search stands, for people: one line for a log, and a view for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evo.report.fronts import violation_text
from evo.report.standing import Standing, WorkerStanding
from evo.report.tables import number_text
from evo.report.watching import RunStanding
from evo.texts import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_MOST_WORKERS = 12
_MOST_REASONS = 3


def duration_text(seconds: float) -> str:
    """A time span in two units at most.

    Example:
        >>> [duration_text(seconds) for seconds in (4.25, 65, 7500, 100_000)]
        ['4.2 s', '1 min 5 s', '2 h 5 min', '1 d 3 h']
    """
    if seconds < 59.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = math.floor(seconds + 0.5)
    for unit, name, smaller, small_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def standing_line(standing: Standing, has_improved: bool = False) -> str:
    """Where a search stands, in one line.

    Args:
        standing: Where it stands.
        has_improved: Whether the best one is new since the last line.
    """
    parts = [f"{_progress_text(standing)} evaluations{_besides_text(standing)}, {_best_text(standing)}"]
    best = standing.best
    if has_improved:
        parts[0] += " *"
    elif best is not None and best.evaluations_ago:
        parts[0] += f", {best.evaluations_ago} ago"
    parts += [text for text in (*_activity_texts(standing), _left_text(standing)) if text]
    return f"[{duration_text(standing.seconds):>11}] {'; '.join(parts)}"


def run_view(found: RunStanding) -> RenderableType:
    """Where the search in a run directory stands: which study it is, what has become of it, and `standing_view`."""
    from rich.console import Group
    from rich.text import Text

    return Group(Text(run_heading(found), style="bold"), standing_view(found.standing, found.goes_on))


def standing_view(standing: Standing, goes_on: bool = True) -> RenderableType:
    """Where a search stands, in a few lines, and one for each of the busiest workers.

    Args:
        standing: Where it stands.
        goes_on: Whether it runs; else nothing is left to be waited for.
    """
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = [_bar(standing, goes_on)]
    what, told = _best_parts(standing)
    best = Text(what).append(told, style="bold green" if standing.best and not standing.best.violation else "")
    if standing.best is not None:
        many = standing.best.evaluations_ago
        ago, when = duration_text(standing.best.seconds_ago), "before the end" if standing.has_ended else "ago"
        best.append(f", {many} evaluation{'s' * (many > 1)} ({ago}) {when}" if many else f", {ago} {when}")
    lines.append(best)
    if several_ends := _counts_text(standing):
        lines.append(several_ends)
    if activity := ", ".join(_activity_texts(standing)):
        lines.append(Text(activity))
    shown, others = _busiest([] if standing.has_ended else standing.workers)
    if shown:
        lines += [Text(), _workers_table(shown)]
    if others:
        states = Counter(one.state for one in others)
        what = ", ".join(f"{many} {state}" for state, many in sorted(states.items()))
        lines.append(Text(f"  and {len(others)} more: {what}", style="dim"))
    return Group(*lines)


def state_text(found: RunStanding) -> str:
    """What has become of a search, in a few words.

    Args:
        found: Where it stands.
    """
    news = duration_text(found.quiet_seconds)
    why = "; ".join(found.standing.stop_reasons[:_MOST_REASONS])
    if found.state == "complete":
        return f"complete{f': {why}' if why else ''}"
    if found.state == "stopped":
        again = "; the same command goes on" if found.standing.is_before_the_end else ""
        return f"stopped{f': {why}' if why else ''}{again}"
    return {
        "running": f"running, last record {news} ago",
        "ending": f"ending: {why}" if why else "ending",
        "killed": "killed: its processes are gone; the same command goes on, with what was in evaluation first",
    }.get(found.state, f"silent: no record for {news}, its processes may be gone, or evaluate for long")


def run_heading(found: RunStanding) -> str:
    """The line above the view of a run: which study, where, and what has become of it."""
    return printable(f"study {found.study} in {found.run}: {state_text(found)}")


def _progress_text(standing: Standing, of: str = "/") -> str:
    return f"{standing.finished}{'' if standing.total is None else f'{of}{standing.total}'}"


def _besides_text(standing: Standing) -> str:
    """How many of those that have ended have not completed, and how many results are known besides."""
    counts = standing.counts
    texts = [f"{counts[status]} {status}" for status in ("pruned", "infeasible", "failed") if counts[status]]
    besides = f" beside {standing.known} known results" if standing.known else ""
    return (f" ({', '.join(texts)})" if texts else "") + besides


def _best_text(standing: Standing) -> str:
    return "".join(_best_parts(standing))


def _best_parts(standing: Standing) -> tuple[str, str]:
    """The best, or the front: what it is, and what is known of it."""
    best = standing.best
    if best is None:
        return "best ", "none yet"
    if best.violation:
        return "none keeps the bounds yet, ", f"{best.individual} violates them least, {violation_text(best.violation)}"
    values = [f"{name} {number_text(value)}" for name, value in best.values.items()]
    if best.members:
        return f"front of {best.members}, ", f"best {', best '.join(values)}"
    return "best ", f"{', '.join(values) or number_text(best.loss)} by {best.individual}"


def _activity_texts(standing: Standing) -> list[str]:
    """What happens now: individuals in evaluation, the share of busy time, and travels between islands."""
    texts = [f"{standing.running} in evaluation"] if standing.running else []
    if standing.waiting:
        texts.append(f"{standing.waiting} to be evaluated again")
    if standing.busy is not None:
        texts.append(f"busy {100 * standing.busy:.0f} %")
    if standing.islands > 1:
        texts.append(f"{standing.islands} islands")
    if standing.pollinated:
        texts.append(f"{standing.pollinated} {'copy' if standing.pollinated == 1 else 'copies'} travelled")
    if standing.migrated:
        texts.append(f"{standing.migrated} move{'s' * (standing.migrated > 1)} between islands")
    lost = sum(one.state == "lost" for one in standing.workers)
    if lost:
        texts.append(f"{lost} worker{'s' * (lost > 1)} lost")
    return texts


def _left_text(standing: Standing) -> str:
    """The time left: until the budget is spent, or the deadline, whichever comes first; empty when nothing tells."""
    left, deadline = standing.seconds_left, standing.seconds_to_deadline
    if standing.has_ended or left == 0:
        return ""
    if deadline is not None and (left is None or deadline < left):
        return f"{duration_text(deadline)} left until the deadline"
    return "" if left is None else f"about {duration_text(left)} left"


def _bar(standing: Standing, goes_on: bool) -> Table:
    """How much of the budget is spent, for how long it has gone on and will."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    left = _left_text(standing) if goes_on else ""
    times = duration_text(standing.seconds) + (f", {left}" if left else "")
    evaluated = f"{_progress_text(standing, ' of ')} evaluations"
    if standing.total:
        bar = ProgressBar(
            total=standing.total,
            completed=standing.finished,
            width=20,
            style="dim",
            complete_style="green",
            finished_style="green",
        )
        grid.add_row(bar, evaluated, times)
    else:
        grid.add_row(evaluated, times, "")
    return grid


def _counts_text(standing: Standing) -> Text | None:
    """How the evaluations have ended, when they have ended in several ways, and how many results are known besides."""
    from rich.text import Text

    text = Text()
    for status, many in standing.counts.items():
        if many and standing.finished != standing.counts["completed"]:
            text.append(", " if text else "").append(f"{many} {status}", style="red" if status == "failed" else "")
    if standing.known:
        text.append(" " if text else "").append(f"beside {standing.known} known results")
    return text or None


def _busiest(workers: Sequence[WorkerStanding]) -> tuple[list[WorkerStanding], list[WorkerStanding]]:
    """The workers to be shown, and the others: those that have evaluated the same individual for longest come first."""
    shown = sorted(workers, key=lambda one: (one.state != "evaluating", -one.seconds, one.worker))[:_MOST_WORKERS]
    numbers = {one.worker for one in shown}
    shown.sort(key=lambda one: one.worker)
    return shown, [one for one in workers if one.worker not in numbers]


def _workers_table(workers: Sequence[WorkerStanding]) -> Table:
    from rich.table import Table
    from rich.text import Text

    has_islands = any(one.island for one in workers)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    has_donors = any(one.donor for one in workers)
    columns = ["worker", *(["island"] if has_islands else []), "individual", *(["from"] if has_donors else [])]
    columns += ["for", "step", "loss", "on"]
    for name in columns:
        # Only the place, which tells least, gets shorter where there is no room: a column that may not wrap stays.
        table.add_column(name, justify="left" if name == "on" else "right", no_wrap=name != "on")
    for one in workers:
        host = one.host.partition(".")[0] or one.host
        place = Text(printable(f"{one.device} {host}"), style="dim", no_wrap=True, overflow="ellipsis")
        island = [str(one.island) if one.individual else ""] if has_islands else []
        donor = [one.donor or ""] if has_donors else []
        if not one.individual:
            table.add_row(str(one.worker), *island, Text(one.state, style="dim"), *donor, "", "", "", place)
            continue
        most = one.most_steps if one.until is None else one.until
        done = max(one.steps, one.begin or 0)  # A segment has the steps of its donors behind it.
        steps = f"{done} of {most}" if done <= most else str(done)
        table.add_row(
            str(one.worker),
            *island,
            one.individual + (f" +{one.others}" if one.others else ""),
            *donor,
            duration_text(one.seconds),
            steps if one.steps or one.until is not None else "",
            Text(number_text(one.value)),
            place,
        )
    return table
