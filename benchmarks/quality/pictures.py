"""Pictures of runs: the share of targets that are reached, by the number of evaluations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.results import Run
from benchmarks.quality.summary import dimension_of

_FUNCTION_TARGETS = 10.0 ** np.arange(2, -8.1, -0.2)  # As COCO has them.
# In units of the distance from the best to the median of a table of real trainings.
_REGRET_TARGETS = 10.0 ** np.arange(0, -3.1, -0.1)
_REAL = ("tables", "tasks")


def draw(runs: Iterable[Run], folder: Path) -> list[Path]:
    """Draw one picture for each suite, number of workers and budget, with one panel for each dimension.

    There is none of `curves`, which has one target for each problem.

    Args:
        runs: The runs.
        folder: Where the pictures are saved.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    parts: dict[tuple[str, int, int], list[Run]] = defaultdict(list)
    for run in runs:
        if run.suite == "curves":
            continue
        parts[run.suite, run.workers, run.evaluations].append(run)
    return [_draw_part(part, own, folder) for part, own in sorted(parts.items())]


def shares(runs: Sequence[Run], evaluations: int) -> Any:
    """The share of (run, target) pairs that are reached after each number of evaluations.

    Args:
        runs: The runs of one tool on one suite.
        evaluations: The budget.

    Returns:
        Shape (evaluations,).
    """
    targets = _REGRET_TARGETS if runs[0].suite in _REAL else _FUNCTION_TARGETS
    reached = np.zeros(evaluations + 1)
    for run in runs:
        numbers = np.array([number for number, _ in run.steps], dtype=int)
        gaps = np.array([gap for _, gap in run.steps]) / run.scale
        for target in targets:
            hits = numbers[gaps <= target]
            if len(hits):
                reached[hits[0]] += 1
    return np.cumsum(reached)[1:] / (len(runs) * len(targets))


def _draw_part(part: tuple[str, int, int], runs: Sequence[Run], folder: Path) -> Path:
    import matplotlib.pyplot as plt

    suite, workers, evaluations = part
    dimensions = sorted({dimension_of(run.problem) for run in runs})
    tools = sorted({run.tool for run in runs})
    colours = dict(zip(tools, plt.get_cmap("tab20")(np.arange(len(tools)) % 20), strict=True))
    figure, panels = plt.subplots(1, len(dimensions), figsize=(6.4 * len(dimensions), 4.8), squeeze=False)
    for panel, dimension in zip(panels[0], dimensions, strict=True):
        here = [run for run in runs if dimension_of(run.problem) == dimension]
        curves = {tool: shares(own, evaluations) for tool in tools if (own := [r for r in here if r.tool == tool])}
        for tool, curve in sorted(curves.items(), key=lambda one: -one[1][-1]):
            width = 3.0 if tool.startswith(("evo", "shared")) else 1.5
            label = f"{tool} {curve[-1]:.2f}"
            panel.plot(np.arange(1, evaluations + 1), curve, label=label, color=colours[tool], linewidth=width)
        panel.set(xscale="log", xlim=(1, evaluations), ylim=(0, 1), xlabel="evaluations", ylabel="share of targets")
        panel.set_title(f"{suite}, W = {workers}" + (f", d = {dimension}" if dimension else ""))
        panel.legend(loc="upper left", fontsize=8)
        panel.grid(alpha=0.3)
    file = folder / f"{suite}-{workers}-{evaluations}.png"
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    plt.close(figure)
    return file
