"""Tables of runs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from benchmarks.fronts.runs import FrontRun

_Cells: TypeAlias = dict[str, dict[str, list[float]]]
"""Figures of all seeds, by tool and problem."""


def tables(runs: Iterable[FrontRun], mark: int, near: bool = False) -> str:
    """All tables, as text.

    Args:
        runs: The runs.
        mark: The number of evaluations after which they are compared.
        near: Whether volume counts up to the near reference point.
    """
    known = [run for run in runs if str(mark) in run.volumes]
    if not known:
        return "there are no such runs"
    parts = []
    for suite in dict.fromkeys(run.suite for run in known):
        here = [run for run in known if run.suite == suite]
        point = "the near" if near else "the"
        parts.append(f"\n{suite}, {mark} evaluations: share of the known hypervolume up to {point} reference point")
        volumes = _cells(here, lambda run: (run.near if near else run.volumes)[str(mark)])
        parts += _table(volumes)
        if any(run.feasible[str(mark)] < 1 for run in here):
            parts.append(f"\n{suite}, {mark} evaluations: share of evaluations that keep all bounds")
            parts += _table(_cells(here, lambda run: run.feasible[str(mark)]))
        parts += _ratios(volumes)
    return "\n".join(parts)


def means(cells: Mapping[str, Mapping[str, list[float]]]) -> dict[str, float]:
    """The mean over problems of the medians of each tool, of the problems that all of them have."""
    common = set.intersection(*(set(own) for own in cells.values()))
    return {
        tool: statistics.fmean(statistics.median(own[problem]) for problem in common) if common else float("nan")
        for tool, own in cells.items()
    }


def _cells(runs: Iterable[FrontRun], figure: Callable[[FrontRun], float]) -> _Cells:
    found: _Cells = defaultdict(lambda: defaultdict(list))
    for run in runs:
        found[f"{run.tool} x{run.workers}" if run.workers > 1 else run.tool][run.problem].append(figure(run))
    return found


def _table(cells: _Cells) -> list[str]:
    problems = list(dict.fromkeys(problem for own in cells.values() for problem in own))
    width = max(12, *(len(tool) + 2 for tool in cells))
    lines = [" " * 12 + "".join(tool.rjust(width) for tool in cells)]
    for problem in problems:
        figures = (f"{statistics.median(own[problem]):.4f}" if own.get(problem) else "-" for own in cells.values())
        lines.append(problem.ljust(12) + "".join(figure.rjust(width) for figure in figures))
    common = set.intersection(*(set(own) for own in cells.values()))
    lines.append(
        f"mean of {len(common)}".ljust(12) + "".join(f"{one:.4f}".rjust(width) for one in means(cells).values())
    )
    counts = ("/".join(sorted({str(len(seeds)) for seeds in own.values()}, key=int)) for own in cells.values())
    lines.append("seeds".ljust(12) + "".join(count.rjust(width) for count in counts))
    return lines


def _ratios(cells: _Cells) -> list[str]:
    """How good tools with several workers are compared to one, over the problems of both."""
    lines = []
    for tool, own in cells.items():
        alone, _, workers = tool.rpartition(" x")
        if workers.isdigit() and alone in cells:
            both = means({tool: own, alone: cells[alone]})
            lines.append(f"{alone} with {workers} workers to 1: {both[tool] / both[alone]:.4f}")
    return ["", *lines] if lines else []
