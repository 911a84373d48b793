"""The parts of a report that are text and tables: how it stands, the best, failures, the configuration."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evo.population.dominance import loss_matrix
from evo.report.contributions import Contribution
from evo.report.display import duration_text, state_text
from evo.report.front_summary import bounds_note, front_note, objectives_line
from evo.report.fronts import bounds_text, spread_front, values_of
from evo.report.improvements import count_evaluated, ends_in_order, improvements
from evo.report.lineages import LineageSegment, changing_names, names_text, schedule_of, schedule_rows, steps_text
from evo.report.pages.curve_pictures import RungRow
from evo.report.pages.markup import details, escaped, facts, paragraph, table
from evo.report.pages.scales import RunningTime
from evo.report.pages.story import Attendance, Story, Use
from evo.report.reading import Run
from evo.report.reasons import failure_reasons
from evo.report.records import Evaluation
from evo.report.tables import count_text, number_text, telling_metrics
from evo.space.description import parameter_text
from evo.space.limits import parse_limits

BEST_SHOWN = 20
_MOST_REASONS = 20
_MOST_HOSTS = 8
_MOST_METRICS = 8
_MOST_PARAMETERS = 16
_MOST_ISLANDS = 32


def time_text(moment: float) -> str:
    """A time for people, as this machine's clock would show it; empty for none.

    Args:
        moment: Seconds since the epoch.
    """
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment)) if moment > 0 else ""
    except (OverflowError, ValueError, OSError):
        return f"{moment:.0f} s since 1970"


def headline(run: Run, story: Story, parts: Sequence[Attendance], use: Use, clock: RunningTime) -> str:
    """How a study stands, in figures and facts.

    Args:
        run: The study.
        story: What its events tell.
        parts: Each worker's part in each session.
        use: How busy the workers were.
        clock: The time of the search without its pauses.
    """
    counts = run.counts
    known = sum(bool(one.origin) for one in run.individuals)
    figures = [
        *_best_figures(run),
        (str(count_evaluated(run.individuals)), "evaluations have ended"),
        (str(known or ""), "results were known before"),
        (str(counts["running"] + counts["interrupted"]), "in flight"),
        ("" if use.share is None else f"{100 * use.share:.1f} %", "of the workers' time busy"),
        (duration_text(clock.total), "of searching"),
    ]
    shown = "".join(f"<div><b>{escaped(text)}</b><span>{escaped(name)}</span></div>" for text, name in figures if text)
    listed = facts(
        {
            "State": state_text(run.standing),
            "Objective": run.study.objective,
            "Objectives": objectives_line(run.objectives),
            "Bounds": bounds_note(run.ranking, run.objectives) if run.objectives.bounds else "",
            "Evaluations": count_text(run.individuals),
            "Front last changed" if run.objectives.are_several else "Best found": _when_text(run, clock),
            _params_title(run): _params_text(one) if (one := _shown_best(run)) else "",
            "Test of the best": ", ".join(f"{name} {number_text(value)}" for name, value in run.test.items()),
            "Began": time_text(run.study.created),
            "Last record": time_text(story.last),
            "Workers": workers_text(parts),
            "Directory": str(run.directory.path),
            "Versions": ", ".join(f"{name} {version}" for name, version in run.study.versions.items()),
        }
    )
    return f'<div class="best">{shown}</div>{listed}'


def _shown_best(run: Run) -> Evaluation | None:
    return run.knee if run.objectives.are_several else run.best


def _params_title(run: Run) -> str:
    if run.best is not None and run.best.violation:
        return "Parameters of the nearest"
    return "Parameters of the knee" if run.objectives.are_several else "Best parameters"


def _best_figures(run: Run) -> list[tuple[str, str]]:
    """The best, or what is best on the front, with what it is."""
    first = run.objectives.names[0]
    if run.best is None:
        return [("none yet", f"best {first}")]
    if run.best.violation:
        return [("none yet", "keeps the bounds"), (run.best.name, "violates them least")]
    if not run.objectives.are_several:
        return [(number_text(run.values()[first]), f"best {first}"), (run.best.name, "best individual")]
    best = run.objectives.values(loss_matrix(run.front).min(axis=0).tolist())
    shown = [(number_text(value), f"best {name}") for name, value in best.items()]
    return [(str(len(run.front)), "on the front"), *shown, (run.knee.name if run.knee else "", "is the knee")]


def _when_text(run: Run, clock: RunningTime) -> str:
    ended = ends_in_order(run.individuals)
    found = improvements(ended)
    if not found:
        return ""
    number, best = found[-1]
    moment = best.ended
    since = count_evaluated(ended) - number
    if best.origin:
        return f"known from {best.origin}; {since} evaluation{'' if since == 1 else 's'} since then"
    return (
        f"{time_text(moment)}, after {duration_text(clock.at(moment))} of searching, as number {number}; "
        f"{since} evaluation{'' if since == 1 else 's'} since then"
    )


def _params_text(best: Evaluation) -> str:
    shown = [f"{name}: {value}" for name, value in list(best.params.items())[:_MOST_PARAMETERS]]
    more = len(best.params) - len(shown)
    return "\n".join([*shown, f"and {more} more, see the table of the best"] if more else shown)


def workers_text(parts: Sequence[Attendance]) -> str:
    """Where the workers of the last session run, machine by machine.

    Args:
        parts: Each worker's part in each session.
    """
    latest: dict[int, Attendance] = {}
    for part in parts:
        latest[part.worker] = max(part, latest.get(part.worker, part), key=lambda each: each.begin)
    if not latest:
        return ""
    newest = max(latest.values(), key=lambda part: part.begin).joined.ranks
    hosts: dict[str, list[str]] = {}
    for worker, part in sorted(latest.items()):
        if worker < newest:
            hosts.setdefault(part.joined.host or "unknown", []).append(f"{worker} on {part.joined.device or '?'}")
    lines = [f"{host}: {', '.join(workers)}" for host, workers in list(hosts.items())[:_MOST_HOSTS]]
    if len(hosts) > _MOST_HOSTS:
        lines.append(f"and {len(hosts) - _MOST_HOSTS} more machines")
    size = max(part.joined.ranks_per_worker for part in latest.values())
    each = f", {size} ranks each" if size > 1 else ""
    return "\n".join([f"{newest} worker{'' if newest == 1 else 's'}{each}", *lines])


def table_of_best(run: Run) -> str:
    """The best individuals, a row for each."""
    objectives = run.objectives
    ranking = spread_front(run.front, BEST_SHOWN) if objectives.are_several else run.ranking[:BEST_SHOWN]
    if not ranking:
        return paragraph("Nothing has completed yet.")
    metrics = telling_metrics(ranking, objectives)[:_MOST_METRICS]
    violates = any(one.violation for one in ranking)
    is_divided = any(one.segment for one in ranking)
    names = [name for name in run.study.limits if any(name in one.params for one in ranking)]
    rows = [
        [
            one.name,
            *(values_of(one, objectives).get(name) for name in objectives.names),
            *([bounds_text(one, one.metrics, objectives)] if violates else []),
            *(one.params.get(name) for name in names),
            *(one.metrics.get(name) for name in metrics),
            *([steps_text(one.begin or 0, one.until or 0), one.donor] if is_divided else []),
            duration_text(one.seconds),
            one.bred_by,
            one.island,
            f"{one.evaluator}, {one.host} {one.device}",
        ]
        for one in ranking
    ]
    steps = ["steps", "goes on from"] if is_divided else []
    head = [
        "individual",
        *objectives.names,
        *(["violates"] if violates else []),
        *names,
        *metrics,
        *steps,
        "took",
        "proposed by",
        "island",
        "evaluated by",
    ]
    if objectives.are_several:
        note = front_note(run.front, len(ranking)) if not violates else "None keeps the bounds; this is the nearest"
        return paragraph(f"{note}.") + table(head, rows)
    more = f" of {len(run.ranking)} that have completed" if len(run.ranking) > len(ranking) else ""
    order = "those that keep the bounds first" if objectives.bounds else "the lowest loss first"
    return paragraph(f"The best {len(ranking)}{more}, {order}.") + table(head, rows)


def table_of_schedule(lineage: Sequence[LineageSegment]) -> str:
    """What changed in the course of the training that has led to the best; empty if it was not divided."""
    if not lineage:
        return ""
    schedule = schedule_of(lineage)
    names = changing_names(schedule)
    many = f"{len(lineage)} segment{'' if len(lineage) == 1 else 's'}"
    text = f"The training of the best, {lineage[-1].name}, in {many}: {names_text(lineage)}."
    if not names:
        return paragraph(f"{text} No parameter has changed on the way.")
    return paragraph(text) + table(["steps", *names], schedule_rows(schedule))


def failures(run: Run) -> str:
    """Why individuals failed or were infeasible, by kind and place, each with an example in full."""
    parts = []
    for status, what in (("failed", "failed"), ("infeasible", "are infeasible: the objective refused these points")):
        reasons = failure_reasons(run.individuals, status)
        if not reasons:
            continue
        several = sum(len(reason.evaluations) for reason in reasons)
        here = sum(not one.origin for one in run.individuals)
        parts.append(paragraph(f"{several} of {here} {what}."))
        for reason in reasons[:_MOST_REASONS]:
            example = reason.evaluations[0]
            values = ", ".join(f"{name}={number_text(value)}" for name, value in example.params.items())
            text = f"{example.name} with {values[:2000]}\n\n{example.traceback or example.error}"
            parts.append(details(reason.text, text))
        if len(reasons) > _MOST_REASONS:
            parts.append(paragraph(f"and {len(reasons) - _MOST_REASONS} other reasons"))
    return "".join(parts) or paragraph("None failed, and none was infeasible.")


def table_of_proposers(found: Mapping[str, Contribution], has_front: bool = False) -> str:
    """What each algorithm proposed, as numbers."""
    rows = [[name, one.evaluations, one.improvements, one.best] for name, one in found.items()]
    return (
        table(["proposed by", "individuals", f"improved the {'front' if has_front else 'best'}", "its best loss"], rows)
        if rows
        else ""
    )


def table_of_rungs(rows: Sequence[RungRow]) -> str:
    """What each rung decided, as numbers."""
    shown = [
        [f"after {row.rung} step{'' if row.rung == 1 else 's'}", row.judged, row.stopped, row.threshold] for row in rows
    ]
    return table(["rung", "compared", "stopped", "latest threshold"], shown) if rows else ""


def table_of_workers(use: Use) -> str:
    """How busy each worker was; the least busy ones first where there are many."""
    shares = {worker: use.busy[worker] / seconds for worker, seconds in use.seconds.items() if seconds > 0}
    shown = sorted(shares, key=lambda worker: (shares[worker], worker))[:16] if len(shares) > 16 else sorted(shares)
    rows = [
        [f"worker {worker}", duration_text(use.seconds[worker]), duration_text(use.busy[worker]), _percent(share)]
        for worker in shown
        for share in [shares[worker]]
    ]
    note = paragraph(f"The 16 least busy of {len(shares)} workers.") if len(shares) > 16 else ""
    return note + table(["worker", "took part", "evaluated", "busy"], rows) if rows else ""


def table_of_islands(run: Run, born: Mapping[Any, int]) -> str:
    """What came of the individuals born on each island."""
    rows = []
    of_island: dict[int, list[Evaluation]] = {island: [] for island in sorted(set(born.values()))[:_MOST_ISLANDS]}
    for one in run.individuals:
        if one.island in of_island:
            of_island[one.island].append(one)
    for island, members in of_island.items():
        losses = [one.loss for one in members if one.status == "completed" and one.loss is not None]
        rows.append([f"island {island}", len(members), len(losses), min(losses, default=None)])
    more = len(set(born.values())) - len(rows)
    note = paragraph(f"and {more} more islands") if more else ""
    return table(["born on", "individuals", "completed", "best loss"], rows) + note if len(rows) > 1 else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def configuration(run: Run) -> str:
    """What is searched and how, and with which versions."""
    study = run.study
    parameters = parse_limits(study.limits)
    known = facts(
        {
            "Objective": study.objective,
            "Defined in": study.definition.file,
            "Seed": study.seed,
            "Propagator": study.propagator,
            "Pruning": study.pruning or "none",
            "Workers of each island": ", ".join(map(str, study.islands)),
            "Constraints": "\n".join(study.constraints),
            "Baseline": ", ".join(f"{name}={value}" for name, value in (study.baseline or {}).items()),
            "Earlier limits": f"they have changed {len(study.former)} times" if study.former else "",
            "Versions": ", ".join(f"{name} {version}" for name, version in study.versions.items()),
        }
    )
    goes_on = any(one.segment is not None for one in run.individuals)
    texts = [[name, parameter_text(limit, name if goes_on else None)] for name, limit in parameters.items()]
    limits = table(["parameter", "values"], texts)
    whole = msgspec.json.format(msgspec.json.encode(study), indent=2).decode()
    return known + limits + details("study.json, the record of the study", whole)
