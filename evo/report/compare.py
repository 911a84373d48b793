"""The command `evo compare`: runs, or groups of runs with several seeds, side by side."""

from __future__ import annotations

import itertools
import math
import statistics
import string
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from evo.commands import CommandParser, status_of
from evo.errors import UserError
from evo.report.best import printable_json
from evo.report.columns import columns_text
from evo.report.comparing import (
    RunFacts,
    Side,
    SideVerdict,
    by_configuration,
    corrected,
    different_settings,
    judge_sides,
    make_side,
)
from evo.report.display import duration_text
from evo.report.reading import Run, check_objectives, common_yardstick, load
from evo.report.tables import number_text
from evo.texts import as_path, printable

_LONGEST = 44  # Characters of one setting in the table.
_KEPT = 12  # Characters before the first one that differs.
_MOST_SIDES = 12


def main(arguments: Sequence[str], program: str) -> int:
    """Compare runs.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 compared, 2 a run directory cannot be read, or there is nothing to compare.
    """
    parser = CommandParser(
        prog=program,
        usage=f"{program} [-h] [--debug] [--json] RUN RUN [RUN ...] | RUN [RUN ...] -- RUN [RUN ...]",
        description="Compare runs: what differs in their settings, what they found, and, with several seeds on each "
        "side, whether it may be chance. Of more than two runs without --, those with the same settings but for the "
        "seed are a side.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="A run directory, complete or not; -- stands between two sides."
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON object, for scripts.")
    groups: list[list[str]] = [[]]
    for word in arguments:
        if word == "--":
            groups.append([])
        else:
            groups[-1].append(word)
    options = parser.parse_args([word for group in groups for word in group])

    def show() -> None:
        sides = make_sides([[word for word in group if not word.startswith("--")] for group in groups])
        verdicts = judge_all(sides)
        print(printable_json(_as_json(sides, verdicts)) if options.json else comparison_text(sides, verdicts))

    return status_of(show, options.debug)


def make_sides(groups: Sequence[Sequence[str]]) -> list[Side]:
    """The sides to be compared.

    Args:
        groups: The run directories of each side; of a single group, the sides are found by the runs' settings.

    Raises:
        UserError: A run cannot be read, is there twice, or there is nothing to compare.
    """
    names = [name for group in groups for name in group]
    places = [as_path(name).resolve() for name in names]
    for place, name in zip(places, names, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{name} is given twice: give each run once")
    if not all(groups) or len(names) < 2:
        raise UserError("a comparison needs two runs: RUN1 RUN2, or several on each side, A/* -- B/*")
    runs: list[list[Run]] = [[load(name) for name in group] for group in groups]
    if len(runs) == 1:
        runs = [[run] for run in runs[0]] if len(names) == 2 else by_configuration(runs[0])
        if len(runs) == 1:  # Runs that differ in nothing but their seeds.
            runs = [[run] for run in runs[0]]
    if len(runs) > _MOST_SIDES:
        raise UserError(
            f"these are {len(runs)} different studies, and at most {_MOST_SIDES} are compared: evo list shows many runs"
        )
    every = [run for group in runs for run in group]
    check_objectives(every)
    yardstick = common_yardstick(every)
    return [make_side(letter, group, yardstick) for letter, group in zip(string.ascii_uppercase, runs, strict=False)]


def judge_all(sides: Sequence[Side]) -> list[SideVerdict]:
    """What can be said of each two sides; also after as many evaluations as all runs have, if that is not the same."""
    pairs = list(itertools.combinations(sides, 2))
    least = min(run.finished for side in sides for run in side.runs)
    verdicts = corrected([judge_sides(one, other) for one, other in pairs])
    early = corrected([judge_sides(one, other, least) for one, other in pairs]) if least else []
    other = [
        later
        for verdict, later in zip(verdicts, early, strict=False)
        if (verdict.better, verdict.wins, verdict.medians) != (later.better, later.wins, later.medians)
    ]
    return [*verdicts, *other]


def verdicts_text(sides: Sequence[Side], verdicts: Sequence[SideVerdict]) -> str:
    """All verdicts, a line for each; one line for many single runs, of which no pair says anything."""
    if len(sides) > 2 and all(len(side.runs) == 1 for side in sides):
        best = min(sides, key=lambda side: side.losses())
        return f"{best.name} is the best; single runs say nothing about chance: give several seeds on each side"
    return "\n".join(verdict.text for verdict in verdicts)


def comparison_text(sides: Sequence[Side], verdicts: Sequence[SideVerdict]) -> str:
    """Sides beside each other, with what differs between them and what can be said of them."""
    rows = [("", *(side.name for side in sides)), *_fact_rows(sides)]
    parts = [columns_text(rows), *_hypervolume_notes(sides[0].runs[0])]
    differing = different_settings(sides)
    if differing:
        rows = [("what differs", *(side.name for side in sides))]
        rows += [(name, *_apart(values)) for name, values in differing.items()]
        parts.append(columns_text(rows))
    else:
        parts.append("nothing that is recorded of their settings differs")
    if any(name.partition(".")[0] in ("objective", "objectives") for name in differing):
        parts.append("note: the objectives differ, so their losses may mean different things")
    unfinished = [run.run for side in sides for run in side.runs if not run.is_complete]
    if unfinished:
        shown = ", ".join(unfinished[:3]) + (f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else "")
        parts.append(f"note: not complete: {printable(shown)}")
    parts.append(verdicts_text(sides, verdicts))
    return "\n\n".join(parts)


def _hypervolume_notes(facts: RunFacts) -> list[str]:
    """What the hypervolumes mean, if they count instead of losses."""
    if not facts.reference:
        return []
    where = ", ".join(f"{name} {number_text(value)}" for name, value in facts.reference.items())
    return [
        "the missing hypervolume is the share of what the fronts of all these runs dominate together, up to the "
        f"reference point {where}, that a run's own front does not: 0 is the best"
    ]


def _fact_rows(sides: Sequence[Side]) -> list[tuple[str, ...]]:
    def row(title: str, tell: Callable[[Side], str]) -> tuple[str, ...]:
        return (title, *map(tell, sides))

    several = any(len(side.runs) > 1 for side in sides)
    rows = [row("runs" if several else "run", _names_text)]
    have_fronts = sides[0].runs[0].reference is not msgspec.UNSET
    what = "missing hypervolume" if have_fronts else "best loss"
    rows.append(row(what, lambda side: _range_text(side.losses(), number_text)))
    if have_fronts:
        rows.append(row("on the front", lambda side: _range_text([run.front or 0 for run in side.runs], str)))
    elif not several:
        rows.append(row("individual", lambda side: side.runs[0].individual))
    rows.append(row("evaluations", lambda side: _range_text([run.finished for run in side.runs], lambda x: f"{x:g}")))
    for status in ("pruned", "infeasible", "failed", "interrupted", "running"):
        if any(run.counts.get(status) for side in sides for run in side.runs):
            rows.append(row(f"  {status}", lambda side, status=status: _counts_text(side.runs, status)))  # type: ignore[misc]
    if any(run.known for side in sides for run in side.runs):
        rows.append(row("  beside known", lambda side: _range_text([run.known for run in side.runs], str)))
    if len(sides) == 2:
        other = {sides[0].name: sides[1], sides[1].name: sides[0]}
        what = "to the other's median" if several else "to the other's best"
        rows.append(row(f"  {what}", lambda side: _reached_text(side, statistics.median(other[side.name].losses()))))
    rows.append(row("evaluating", lambda side: _range_text([run.seconds for run in side.runs], duration_text)))
    rows.append(row("from start to end", lambda side: _range_text([run.span for run in side.runs], duration_text)))
    rows.append(row("busy", _busy_text))
    return rows


def _names_text(side: Side) -> str:
    first, last = side.runs[0].run, side.runs[-1].run
    return first if len(side.runs) == 1 else f"{len(side.runs)}: {first} … {last}"


def _range_text(values: Sequence[float], show: Callable[[Any], str]) -> str:
    """The median and the extremes of what the runs have, or the one value that they all have."""
    shown = [("none" if math.isinf(value) else show(value)) for value in (min(values), max(values))]
    if shown[0] == shown[1]:
        return shown[0]
    median = statistics.median(values)
    return f"{'none' if math.isinf(median) else show(median)} ({shown[0]} to {shown[1]})"


def _counts_text(runs: Sequence[RunFacts], status: str) -> str:
    return str(sum(run.counts.get(status, 0) for run in runs))


def _reached_text(side: Side, loss: float) -> str:
    """After how many evaluations the runs have reached a loss: the median of all, those that have not counting last."""
    needed = sorted(run.evaluations_to(loss) for run in side.runs)
    reached = sum(map(math.isfinite, needed))
    median = statistics.median_low(needed)
    text = "never" if math.isinf(median) else f"{median:g}"
    return text if len(needed) == 1 else f"{text} ({reached} of {len(needed)} runs)"


def _busy_text(side: Side) -> str:
    known = [run.busy for run in side.runs if run.busy is not None]
    return _range_text(known, lambda share: f"{100 * share:.0f} %") if known else "unknown"


def _apart(values: Sequence[str]) -> list[str]:
    """Values short enough for a table: long ones from about where they begin to differ."""
    if max(map(len, values)) <= _LONGEST:
        return [value or "-" for value in values]
    common = 0
    given = [value for value in values if value]
    while all(common < len(value) and value[common] == given[0][common] for value in given):
        common += 1
    start = max(0, common - _KEPT)
    cut = [("…" if start else "") + value[start:] if value else "-" for value in values]
    return [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in cut]


def _as_json(sides: Sequence[Side], verdicts: Sequence[SideVerdict]) -> str:
    differing = {
        name: dict(zip(_names(sides), values, strict=True)) for name, values in different_settings(sides).items()
    }
    tree = {
        "sides": [{"name": side.name, "runs": side.runs} for side in sides],
        "differences": differing,
        "verdicts": [{**msgspec.structs.asdict(verdict), "text": verdict.text} for verdict in verdicts],
    }
    return msgspec.json.encode(tree).decode()


def _names(sides: Sequence[Side]) -> list[str]:
    return [side.name for side in sides]
