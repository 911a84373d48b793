"""The end of a search as text: the best candidates, what failed, and where everything is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evo.population.objectives import ONE_LOSS, Objectives
from evo.report.front_summary import bounds_note, front_note
from evo.report.fronts import bounds_text, find_front, keeps_bounds, spread_front, values_of
from evo.report.lineages import LineageSegment, names_text, schedule_of, schedule_text, steps_text
from evo.report.reading import Run, hypervolumes
from evo.report.reasons import failure_reasons
from evo.report.records import Evaluation, count_statuses, rank_evaluations
from evo.report.results import Result
from evo.report.times import OUTSIDE
from evo.texts import printable

if TYPE_CHECKING:  # The others load rich when they print, which only the first rank does.
    from rich.console import Console, RenderableType
    from rich.table import Table

_MOST_METRICS = 6
_MOST_REASONS = 5


def summary_text(
    evaluations: Sequence[Evaluation], names: Sequence[str], best: int = 5, objectives: Objectives = ONE_LOSS
) -> RenderableType:
    """What a search found, for a person.

    Args:
        evaluations: All evaluations of a study.
        names: The names of the parameters, in their order.
        best: The number of candidates to show.
        objectives: The objectives of the study.

    Returns:
        A table of the best candidates, or of individuals of the front, and the reasons of failures.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    ranking = rank_evaluations(evaluations)
    if ranking:
        title, shown = _shown_as_best(ranking, best, objectives)
        parts.append(_table_of_best(title, shown, names, objectives))
        front = find_front(ranking, objectives) if objectives.are_several else []
        notes = [front_note(front, len(shown)) if keeps_bounds(front) else "", bounds_note(ranking, objectives)]
        parts += [Text(note) for note in notes if note]
    parts += map(Text, failure_lines(evaluations, "infeasible"))
    parts += map(Text, failure_lines(evaluations))
    return Group(*parts)


def failure_lines(evaluations: Sequence[Evaluation], status: str = "failed") -> list[str]:
    """How many evaluations failed, or are infeasible, and then a line for each of the most frequent reasons.

    Nothing when there are none.
    """
    reasons = failure_reasons(evaluations, status)
    if not reasons:
        return []
    several = sum(len(reason.evaluations) for reason in reasons)
    here = sum(not one.origin for one in evaluations)  # A result that is known from elsewhere is no evaluation.
    lines = [f"{several} of {here} evaluations {'failed' if status == 'failed' else f'are {status}'}:"]
    lines += [f"  {reason.text}" for reason in reasons[:_MOST_REASONS]]
    if len(reasons) > _MOST_REASONS:
        lines.append(f"  and {len(reasons) - _MOST_REASONS} other reasons")
    return lines


def count_text(evaluations: Sequence[Evaluation]) -> str:
    """How many evaluations came to what end, as part of a sentence."""
    own = [evaluation for evaluation in evaluations if not evaluation.origin]
    aside = sum(evaluation.is_set_aside for evaluation in own)
    return statuses_text(count_statuses(own), aside, len(evaluations) - len(own))


def statuses_text(counts: Mapping[str, int], aside: int = 0, known: int = 0) -> str:
    """How many evaluations came to what end, as part of a sentence.

    Args:
        counts: How many have each status.
        aside: How many of them lie outside of the limits.
        known: How many results are known from elsewhere besides.
    """
    statuses = ("completed", "pruned", "infeasible", "failed", "interrupted", "running")
    kept = [f"{counts[status]} {status}" for status in statuses if counts.get(status)]
    outside = f", {aside} of them outside of the limits and set aside" if aside else ""
    besides = f", beside {known} known results" if known else ""
    return f"{sum(counts.values())} evaluations ({', '.join(kept) or 'none finished'}){outside}{besides}"


def _shown_as_best(ranking: Sequence[Evaluation], most: int, objectives: Objectives) -> tuple[str, list[Evaluation]]:
    """Which are shown in the table at the end, and its title."""
    front = find_front(ranking, objectives)
    if not keeps_bounds(front):
        return "The candidates that violate the bounds least: none keeps them", list(ranking[:most])
    if not objectives.are_several:
        return "The best candidates", list(ranking[:most])
    shown = spread_front(front, most)
    many = f"{len(shown)} of {len(front)}" if len(shown) < len(front) else str(len(front))
    return f"The front ({many})", shown


def best_text(best: Evaluation, lineage: Sequence[LineageSegment] = (), objectives: Objectives = ONE_LOSS) -> str:
    """One individual, a line for each thing that is known of it.

    Args:
        best: The individual.
        lineage: The segments of its training, if that was divided: then the parameters are shown as a schedule.
        objectives: The objectives of the study.
    """
    values: Mapping[str, Any] = values_of(best, objectives) or {"loss": best.loss}
    others = {name: value for name, value in best.metrics.items() if name not in values or not objectives.modes}
    figures: dict[str, Any] = {**values, **others}
    if "seconds" not in values:  # As an objective, it has the value that counts.
        figures["seconds"] = best.seconds
    if violated := bounds_text(best, best.metrics, objectives):
        figures["violates"] = violated
    params, schedule = best.params, ""
    if best.begin is not None:
        figures["steps"] = steps_text(best.begin, best.until or 0) + (f", from {best.donor}" if best.donor else "")
    if lineage:
        figures["lineage"] = names_text(lineage)
        found = schedule_of(lineage)
        schedule = schedule_text(found)
        params = found.constant if schedule else params
    width = max(map(len, [*figures, *(f"  {name}" for name in params), "individual"])) + 2
    who = f"known from {best.origin}" if best.origin else f"evaluated by {best.evaluator} on {best.host}, {best.device}"
    lines = [f"{'individual':{width}}{best.name}, {who}"]
    lines += [f"{name:{width}}{value}" for name, value in figures.items()]
    lines += ["parameters"] if params or not schedule else []
    lines += [f"  {name:{width - 2}}{value}" for name, value in params.items()]
    lines += ["schedule", *(f"  {line}" for line in schedule.splitlines())] if schedule else []
    return "\n".join(map(printable, lines))


def runs_text(runs: Sequence[Run]) -> str:
    """Several runs, a line for each, in the order given.

    Args:
        runs: The runs, at least one; if some have several objectives, all have the same ones.
    """
    are_several = runs[0].objectives.are_several
    volumes = hypervolumes(runs)
    names = {run.objectives.names for run in runs}
    what = f"best {next(iter(names))[0]}" if len(names) == 1 else "best loss"
    rows = [("run", *(("hypervolume", "knee") if are_several else (what, "individual")), "evaluations")]
    for run, volume in zip(runs, volumes, strict=True):
        values = run.values() if len(names) == 1 else run.best and {"loss": run.best.loss}
        loss, individual = (
            (str(next(iter(values.values()))), run.best.name) if run.best and values else ("none yet", "")
        )
        if are_several and run.knee is not None:
            loss, individual = number_text(volume), run.knee.name
        infeasible = run.counts["infeasible"]
        notes = [f"{infeasible} infeasible"] if infeasible else []
        notes += [f"{len(run.front)} on the front"] if are_several and keeps_bounds(run.front) else []
        notes += ["none keeps the bounds"] if run.best and run.best.violation else []
        notes += [f"beside {run.known} known"] if run.known else []
        if not run.is_complete:
            notes.append("not complete")
        rows.append((run.name, loss, individual, ", ".join([str(sum(run.counts.values())), *notes])))
    shown = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown)


def nothing_found_text(result: Result) -> str:
    """Why a search ended without a result, in one line."""
    reasons = failure_reasons(result.individuals)
    often = f"; the most frequent reason: {reasons[0].text}" if reasons else ""
    if refused := failure_reasons(result.individuals, "infeasible"):
        infeasible = sum(len(reason.evaluations) for reason in refused)
        who = "all" if infeasible == len(result.individuals) else f"{infeasible} of {len(result.individuals)}"
        often = f"; {who} are infeasible, the most frequent reason: {refused[0].text}{often}"
    why = result.stop_reason if result.gave_up else _outcomes_text(result)
    return printable(f"{_without_result(result)}: {why}{often}")


def all_reasons_text(result: Result) -> str:
    """Why a search ended without a result: a line, and one for each reason why evaluations failed."""
    lines = failure_lines(result.individuals) + failure_lines(result.individuals, "infeasible")
    first, *others = lines or [_outcomes_text(result)]
    return "\n".join([f"{_without_result(result)}: {first}", *others])


def _outcomes_text(result: Result) -> str:
    """What became of all, and what to do where they were all pruned."""
    pruned = count_statuses(result.individuals)["pruned"]
    advice = ": prune less, so that some complete" if pruned == len(result.individuals) else ""
    return f"{count_text(result.individuals)}{advice}"


def _without_result(result: Result) -> str:
    if result.gave_up:
        return "the search gave up"
    within = any(evaluation.is_set_aside for evaluation in result.individuals)
    return f"no evaluation completed{' within the limits' if within else ''}"


def shares_text(times: Mapping[str, float]) -> str:
    """The shares of all activities, training before the rest; empty when no evaluation has measured its own.

    Args:
        times: See `evo.report.times.gather_times`.

    Example:
        >>> shares_text({"forward": 60.0, "backward": 39.96, "breeding": 0.04, "waiting": 100.0})
        'forward 30.0 %, backward 20.0 %; outside of trainings: waiting 50.0 %'
    """
    if not set(times) - {"evaluation", *OUTSIDE}:
        return ""
    shares = {name: f"{name} {percent:.1f} %" for name in times if (percent := 100 * times[name] / sum(times.values()))}
    shown = {name: text for name, text in shares.items() if not text.endswith(" 0.0 %")}
    inside, outside = (
        ", ".join(text for name, text in shown.items() if (name in OUTSIDE) == is_outside)
        for is_outside in (False, True)
    )
    return inside + (f"; outside of trainings: {outside}" if outside else "")


def number_text(value: Any) -> str:
    """A value short enough for a table, four significant digits, and such that no terminal obeys it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else printable(str(value))


def plain_console(width: int = 120) -> Console:
    """A console for a log file: no colours, no escapes, long lines left whole.

    Args:
        width: The width of the console in characters.
    """
    from rich.console import Console

    return Console(width=width, force_terminal=False, no_color=True, highlight=False, soft_wrap=False)


def _table_of_best(title: str, ranking: Sequence[Evaluation], names: Sequence[str], objectives: Objectives) -> Table:
    """One column for each candidate, since there may be many parameters; fits 80 characters."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("individual", no_wrap=True)
    for evaluation in ranking:
        table.add_column(evaluation.name, justify="right", overflow="fold")

    def add(name: str, values: Iterable[Any], last: bool = False) -> None:
        # As text: a string would be read as markup.
        table.add_row(Text(printable(name)), *(Text(number_text(value)) for value in values), end_section=last)

    values = [values_of(evaluation, objectives) for evaluation in ranking]
    for name in objectives.names:
        add(name, (each.get(name) for each in values))
    if any(evaluation.violation for evaluation in ranking):
        add("violates", (bounds_text(one, one.metrics, objectives) for one in ranking))
    for metric in telling_metrics(ranking, objectives):
        add(metric, (evaluation.metrics.get(metric) for evaluation in ranking))
    if any(one.segment for one in ranking):
        add("steps", (steps_text(one.segment.begin, one.segment.until) if one.segment else "" for one in ranking))
    if "seconds" not in objectives.metrics:  # As an objective or with a bound, it has the value that counts.
        add("seconds", (f"{evaluation.seconds:.3g}" for evaluation in ranking))
    add("evaluated by", (evaluation.evaluator for evaluation in ranking))
    add("on", (f"{evaluation.host} {evaluation.device}" for evaluation in ranking), last=True)
    for name in names:
        add(name, (evaluation.params.get(name) for evaluation in ranking))
    return table


def telling_metrics(ranking: Sequence[Evaluation], objectives: Objectives = ONE_LOSS) -> list[str]:
    """Numbers that the objective recorded, but for those that only repeat the loss, or are objectives themselves.

    Args:
        ranking: The evaluations that are shown, with their losses.
        objectives: The objectives of the study.
    """
    found = {n: None for one in ranking for n, value in one.metrics.items() if isinstance(value, int | float)}
    repeats = {name for name in found if name in objectives.modes or all(_repeats_loss(one, name) for one in ranking)}
    return [name for name in found if name not in repeats][:_MOST_METRICS]


def _repeats_loss(one: Evaluation, name: str) -> bool:
    value = one.metrics.get(name)
    return value is None or (one.loss is not None and value in (one.loss, -one.loss))
