"""Runs that were made; `benchmarks.quality.results.Results` keeps them, a line of JSON for each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.fronts.problem import FrontProblem, Points, Value
from benchmarks.quality.results import Key, rounded
from benchmarks.quality.tools import Tool

MARKS = (50, 100, 200, 500, 1000)
"""The numbers of evaluations after which the hypervolume is kept."""


@dataclass(frozen=True, kw_only=True)
class FrontRun:
    """One tool on one problem with one seed.

    Args:
        suite: The suite.
        problem: The problem's name.
        tool: The tool's name.
        workers: The number of asynchronous workers.
        seed: The seed.
        evaluations: The budget.
        ended: The number of evaluations that there were.
        volumes: The hypervolume as a share of that of the best known front, by the number of evaluations as text.
        near: The same, up to the near reference point.
        feasible: The share of evaluations that kept all bounds, likewise.
        front: The scaled losses at the end that no others dominate, so that they can be measured otherwise later.
        seconds: Seconds per proposal that the tool took, by itself.
        cpu: CPU seconds of the whole run.
        version: The version of the tool's package.
    """

    suite: str
    problem: str
    tool: str
    workers: int
    seed: int
    evaluations: int
    ended: int = 0
    volumes: Mapping[str, float] = field(default_factory=dict)
    near: Mapping[str, float] = field(default_factory=dict)
    feasible: Mapping[str, float] = field(default_factory=dict)
    front: Sequence[Sequence[float]] = ()
    seconds: float = 0.0
    cpu: float = 0.0
    version: str | None = None

    @property
    def key(self) -> Key:
        """What distinguishes this run from others."""
        return self.suite, self.problem, self.tool, self.workers, self.seed, self.evaluations


def make_run(run: FrontRun, problem: FrontProblem, tool: Tool) -> FrontRun:
    """Make the run that a record without results describes; returns the whole record."""
    began = time.process_time()
    values: list[Value]
    values, seconds = tool.run(problem, run.workers, run.evaluations, run.seed)  # type: ignore[assignment]
    return replace(measured(run, problem, values), seconds=rounded(seconds), cpu=rounded(time.process_time() - began))


def measured(run: FrontRun, problem: FrontProblem, values: Sequence[Value]) -> FrontRun:
    """A record with the hypervolumes of what was found.

    Args:
        run: The record.
        problem: The problem.
        values: What the evaluations gave, in the order in which they ended.
    """
    volumes, near, feasible = {}, {}, {}
    for mark in sorted({*(mark for mark in MARKS if mark < run.evaluations), run.evaluations}):
        first = values[:mark]
        far_share, near_share = problem.shares(problem.front(first))
        volumes[str(mark)], near[str(mark)] = rounded(far_share), rounded(near_share)
        feasible[str(mark)] = rounded(sum(value.violation == 0.0 for value in first) / max(1, len(first)))
    points: Points = problem.front(values)
    front = [[rounded(loss) for loss in point] for point in points.tolist()]
    return replace(run, ended=len(values), volumes=volumes, near=near, feasible=feasible, front=front)
