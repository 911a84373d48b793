"""Asynchronous searches with virtual workers whose evaluations report after each step, and may be ended early."""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.quality.curves import STEPS, Curves
from benchmarks.quality.shared import Shared
from benchmarks.quality.simulation import Timing
from evo.algorithms.base import Algorithm, View
from evo.engine.learning import Standards
from evo.population.events import Reported
from evo.population.individual import Known
from evo.pruning.base import Pruner
from evo.pruning.rungs import Rungs
from evo.space.space import Space


class PruningSearch(Protocol):
    """A tool that is asked for points, hears of every step, and decides which evaluations end early."""

    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        """A token, and the parameters to evaluate next."""

    def report(self, token: Any, steps: int, loss: float) -> bool:
        """The loss after a number of steps; returns whether the evaluation ends here."""

    def finish(self, token: Any, loss: float, pruned: bool) -> None:
        """The lowest loss of an evaluation that has ended."""


@dataclass(frozen=True)
class Course:
    """How a search went.

    Args:
        steps: The number of steps that all workers had taken, at each new lowest loss.
        losses: The lowest loss, at the same moments.
    """

    steps: list[int]
    losses: list[float]

    def until(self, target: float) -> float:
        """The number of steps until the lowest loss was at most the target; infinite if it never was."""
        return next(
            (float(steps) for steps, loss in zip(self.steps, self.losses, strict=True) if loss <= target), math.inf
        )


def simulate_pruned(
    search: PruningSearch, problem: Curves, workers: int, steps: int, seed: int, timing: Timing | None = None
) -> Course:
    """Let a tool search until a number of steps have been taken, or the problem's target is reached.

    Args:
        search: The tool.
        problem: The trainings.
        workers: The number of evaluations in flight at any time.
        steps: The number of training steps of all workers together.
        seed: Decides the times of evaluations, the same for all tools.
        timing: How long a step takes: all steps of an evaluation take equally long.
    """
    rng = np.random.default_rng([seed, 7])
    spread = (timing or Timing()).spread
    flying: list[tuple[float, int, int, float]] = []  # When a step ends, the evaluation, the step, a step's time.
    known: list[tuple[Any, Mapping[str, Any]]] = []
    course, taken, now = Course([], []), 0, 0.0
    while taken < steps and not (course.losses and course.losses[-1] <= problem.target):
        while len(flying) < workers:
            token, params = search.ask()
            seconds = rng.lognormal(0, spread)
            heapq.heappush(flying, (now + seconds, len(known), 1, seconds))
            known.append((token, params))
        now, number, step, seconds = heapq.heappop(flying)
        token, params = known[number]
        curve = problem.curve(params, step)[:step]
        taken += 1
        if not course.losses or curve[-1] < course.losses[-1]:
            course.steps.append(taken)
            course.losses.append(curve[-1])
        if step < STEPS and not search.report(token, step, curve[-1]):
            heapq.heappush(flying, (now + seconds, number, step + 1, seconds))
        else:
            search.finish(token, min(curve), pruned=step < STEPS)
    return course


class SharedPruned(Shared):
    """One state of an algorithm that all workers share, with one of evo's pruners.

    Args:
        algorithm: The algorithm.
        space: The search space.
        workers: The number of workers.
        seed: The seed.
        pruner: Decides which evaluations end early; None means that none does.
    """

    def __init__(self, algorithm: Algorithm, space: Space, workers: int, seed: int, pruner: Pruner | None) -> None:
        super().__init__(algorithm, space, workers, math.inf, seed)
        self._rungs = Rungs(pruner) if pruner else None
        self._standards = Standards(self._rungs.figures if self._rungs else {})
        self._best: float | None = None
        self._pruned: list[tuple[int, float, tuple[int, int], Known]] = []

    def view(self) -> View:
        pruned = [one for *_, one in self._pruned]
        return View(
            active=[*self.active, *pruned],
            running=list(self.running.values()),
            used=self.started,
            rungs=self._rungs.figures if self._rungs else {},
        )

    def report(self, token: Known, steps: int, loss: float) -> bool:
        """See `PruningSearch`."""
        if not self._rungs:
            return False
        event = Reported(time=0.0, individual=token.identity, step=steps - 1, loss=loss)
        self._rungs.apply(event)
        rung = self._rungs.reached(event)
        if rung is None or rung != steps:
            return False
        return self._rungs.judge(token.identity, rung, self._best).stop

    def finish(self, token: Known, loss: float, pruned: bool) -> None:
        """See `PruningSearch`."""
        del self.running[token.identity]
        rung = self._rungs.highest(token.identity) if self._rungs else 0
        known = Known(
            genome=token.genome,
            identity=token.identity,
            strategy=token.strategy,
            bred_by=token.bred_by,
            loss=loss,
            status="pruned" if pruned else "completed",
            rung=rung,
        )
        if pruned:
            bisect.insort(self._pruned, (-rung, loss, token.identity, known))
        else:
            bisect.insort(self.active, known, key=lambda one: (one.loss or 0.0, one.identity))
            self._best = min(loss, math.inf if self._best is None else self._best)
        self.learner.learn(known, self._standards.loss(known))
