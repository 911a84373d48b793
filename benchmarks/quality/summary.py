"""Tables of runs."""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from benchmarks.quality.coco import TARGETS
from benchmarks.quality.results import Run

_FUNCTIONS = ("nine", "mixed")
_REAL = ("tables", "tasks")
_Case: TypeAlias = tuple[str, int]
_Cases: TypeAlias = Mapping[str, Mapping[_Case, Run]]
"""Runs by tool, and by problem and seed."""


def tables(runs: Iterable[Run], marks: Sequence[int], against: str) -> str:
    """All tables, as text.

    Args:
        runs: The runs.
        marks: The evaluations at which tools are compared.
        against: The tool to which regret is compared.
    """
    by_part: dict[tuple[str, int, int], dict[str, dict[_Case, Run]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        by_part[run.suite, run.workers, run.evaluations][run.tool][run.problem, run.seed] = run
    parts = []
    for (suite, workers, evaluations), cases in sorted(by_part.items()):
        here = [mark for mark in marks if mark < evaluations] + [evaluations]
        count = f"{workers} worker" + "s" * (workers > 1)
        parts.append(f"\n{suite}, {count}, {evaluations} evaluations")
        if suite in _REAL:
            parts += [_regret_table(cases, here, against)]
        elif suite == "curves":
            parts += [_steps_table(cases)]
        elif suite in _FUNCTIONS:
            parts += [_medians_table(cases, evaluations)]
        else:
            parts += [_targets_table(cases, here)]
    return "\n".join(parts) if parts else "there are no such runs"


def share_of_targets(run: Run, evaluations: int) -> float:
    """The share of `TARGETS` that the first evaluations reach."""
    gap = run.gap(evaluations)
    return float(np.mean([gap <= target for target in TARGETS]))


def mean_ranks(cases: _Cases, score: Callable[[Run], float]) -> dict[str, float]:
    """The mean rank of each tool, 1 is best, over the cases of those that have the most; others are left out."""
    most = max(map(len, cases.values()))
    full = {tool: own for tool, own in cases.items() if len(own) == most}
    common = set.intersection(*(set(own) for own in full.values()))
    ranks: dict[str, list[float]] = defaultdict(list)
    for case in common:
        scores = {tool: score(own[case]) for tool, own in full.items()}
        for tool, value in scores.items():
            better = sum(other < value for other in scores.values())
            ties = sum(other == value for other in scores.values())
            ranks[tool].append(better + (ties + 1) / 2)
    return {tool: statistics.fmean(values) for tool, values in ranks.items()}


def paired(
    cases: Mapping[_Case, Run], others: Mapping[_Case, Run], score: Callable[[Run], float]
) -> tuple[float, float] | None:
    """The mean difference between two tools over the cases of both, and its standard error; None without any."""
    common = sorted(set(cases) & set(others))
    differences = [score(cases[case]) - score(others[case]) for case in common]
    differences = [one for one in differences if math.isfinite(one)]
    if not differences:
        return None
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    return statistics.fmean(differences), error


def dimension_of(problem: str) -> int:
    """The number of coordinates that the name of one of COCO's problems tells."""
    found = re.search(r"d(\d+)", problem)
    return int(found[1]) if found else 0


def _targets_table(cases: _Cases, marks: Sequence[int]) -> str:
    dimensions = sorted({dimension_of(problem) for own in cases.values() for problem, _ in own})
    rows = [["share of targets", *(f"d {one}" for one in dimensions), *(f"all at {one}" for one in marks), *_ENDS]]
    last, shares = marks[-1], {}
    for tool, own in cases.items():
        by_dimension = {
            dimension: [share_of_targets(run, last) for run in own.values() if dimension_of(run.problem) == dimension]
            for dimension in dimensions
        }
        means = [statistics.fmean(values) if values else math.nan for values in by_dimension.values()]
        totals = [statistics.fmean(share_of_targets(run, mark) for run in own.values()) for mark in marks]
        shares[tool] = totals[-1]
        rows.append([tool, *(_number(one, ".3f") for one in (*means, *totals)), *_ends(own)])
    return _text(rows[:1] + sorted(rows[1:], key=lambda row: -shares[row[0]]))


def _regret_table(cases: _Cases, marks: Sequence[int], against: str) -> str:
    head = ["regret in thousandths"]
    for mark in marks:
        head += [f"at {mark}", f"to {against}", "rank"]
    rows, totals = [[*head, *_ENDS]], {}
    scores = [partial(Run.regret, evaluations=mark) for mark in marks]
    ranks = [mean_ranks(cases, score) for score in scores]
    for tool, own in cases.items():
        row = [tool]
        for score, rank in zip(scores, ranks, strict=True):
            totals[tool] = 1e3 * statistics.fmean(map(score, own.values()))
            pair = None if tool == against else paired(own, cases.get(against, {}), score)
            shown = f"{1e3 * pair[0]:+.3g} ± {1e3 * pair[1]:.2g}" if pair else "-"
            row += [_number(totals[tool], ".3g"), shown, _number(rank.get(tool, math.nan), ".2f")]
        rows.append([*row, *_ends(own)])
    return _text(rows[:1] + sorted(rows[1:], key=lambda row: totals[row[0]]))


def _steps_table(cases: _Cases) -> str:
    problems = list(dict.fromkeys(problem for own in cases.values() for problem, _ in own))
    ranks = mean_ranks(cases, lambda run: run.first(0.0))
    rows = [["median steps to the target", *problems, "reached", "rank", *_ENDS]]
    for tool, own in cases.items():
        taken = {name: [run.first(0.0) for run in own.values() if run.problem == name] for name in problems}
        medians = [_number(statistics.median(steps) if steps else math.nan, ".0f") for steps in taken.values()]
        reached = statistics.fmean(math.isfinite(run.first(0.0)) for run in own.values())
        rows.append([tool, *medians, f"{reached:.2f}", _number(ranks.get(tool, math.nan), ".2f"), *_ends(own)])
    return _text(rows[:1] + sorted(rows[1:], key=lambda row: ranks.get(row[0], math.inf)))


def _medians_table(cases: _Cases, evaluations: int) -> str:
    problems = list(dict.fromkeys(problem for own in cases.values() for problem, _ in own))
    ranks = mean_ranks(cases, lambda run: run.gap(evaluations))
    rows = [["median above the optimum", *problems, "rank", *_ENDS]]
    for tool, own in cases.items():
        medians = []
        for problem in problems:
            gaps = [run.gap(evaluations) for run in own.values() if run.problem == problem]
            medians.append(_number(statistics.median(gaps) if gaps else math.nan, ".2g"))
        rows.append([tool, *medians, _number(ranks.get(tool, math.nan), ".2f"), *_ends(own)])
    return _text(rows[:1] + sorted(rows[1:], key=lambda row: ranks.get(row[0], math.inf)))


_ENDS = ("runs", "ms each")


def _ends(own: Mapping[_Case, Run]) -> list[str]:
    return [str(len(own)), f"{1e3 * statistics.fmean(run.seconds for run in own.values()):.2g}"]


def _number(value: float, shape: str) -> str:
    return "-" if math.isnan(value) else format(value, shape)


def _text(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, whose first column is flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)
