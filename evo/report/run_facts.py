"""What one run has found, and what it took, as numbers that can be compared with those of other runs."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence

import msgspec

from evo.population.dominance import Front, hypervolume
from evo.report.improvements import ends_in_order, improvements
from evo.report.reading import Run
from evo.report.records import Evaluation
from evo.report.times import OUTSIDE


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one run has found, and what it took.

    Args:
        run: Its path.
        seed: Its seed.
        is_complete: Whether the search is.
        loss: The lowest loss; None when none has completed. Of several objectives, that of the first.
        individual: Which individual has it.
        hypervolume: What the front dominates, up to the reference point of the comparison; None with one objective.
        front: How many individuals are on the front; 0 with one objective.
        finished: How many evaluations have finished.
        known: How many results were known from elsewhere, before any evaluation.
        counts: How many evaluations have each status.
        seconds: What all evaluations took together.
        span: From the first start to the last end, breaks between sessions included, in seconds.
        busy: The share of the workers' time in which they evaluated, from 0 to 1; None when no session has ended.
        steps: Each improvement: how many evaluations had finished with it, and its loss, or the hypervolume that the
            front has had since; known results count none.
    """

    run: str
    seed: int
    is_complete: bool
    loss: float | None
    individual: str
    hypervolume: float | None = None
    front: int = 0
    finished: int
    known: int = 0
    counts: Mapping[str, int]
    seconds: float
    span: float
    busy: float | None
    steps: Sequence[tuple[int, float]]

    @property
    def score(self) -> float:
        """What is compared, the lower the better: the lowest loss, infinite without any, or minus the hypervolume."""
        if self.hypervolume is not None:
            return -self.hypervolume
        return math.inf if self.loss is None else self.loss

    def best_after(self, evaluations: int) -> float:
        """The same as `score` for the first evaluations that finished."""
        place = bisect.bisect_right([count for count, _ in self.steps], evaluations)
        if self.hypervolume is not None:
            return -self.steps[place - 1][1] if place else 0.0
        return self.steps[place - 1][1] if place else math.inf

    def evaluations_to(self, score: float) -> float:
        """How many evaluations had finished when a score was reached; infinite when it was not."""
        sign = 1.0 if self.hypervolume is None else -1.0
        return next((float(count) for count, found in self.steps if sign * found <= score), math.inf)


def gather_facts(run: Run, reference: Mapping[str, float] | None = None) -> RunFacts:
    """What one run has found, and what it took.

    Args:
        run: The run.
        reference: With several objectives, the point up to which the hypervolume counts. None, or an empty one, means
            that no run has a front that keeps the bounds.
    """
    has_front = run.objectives.are_several
    ended = ends_in_order(run.individuals)
    own = [one for one in ended if not one.origin]
    outside = sum(run.times.get(name, 0.0) for name in OUTSIDE)
    total = sum(run.times.values())
    began = min((one.started for one in own), default=0.0)
    return RunFacts(
        run=run.name,
        seed=run.study.seed,
        is_complete=run.is_complete,
        loss=None if run.best is None else run.best.loss,
        individual="" if run.best is None else run.best.name,
        hypervolume=(run.hypervolume(reference) if reference else 0.0) if has_front else None,
        front=len(run.front) if has_front else 0,
        finished=len(own),
        known=len(ended) - len(own),
        counts=run.counts,
        seconds=sum(one.seconds for one in own),
        span=max((one.ended for one in own), default=0.0) - began,
        busy=1 - outside / total if outside and total else None,
        steps=_volumes(improvements(ended), run.objectives.losses(reference) if reference else ())
        if has_front
        else [(number, one.loss) for number, one in improvements(ended) if one.loss is not None],
    )


def _volumes(improved: Sequence[tuple[int, Evaluation]], reference: Sequence[float]) -> list[tuple[int, float]]:
    """The hypervolume after each individual that entered a front."""
    front: Front[Evaluation] = Front()
    steps = []
    for number, one in improved:
        front.add(one)
        keeps_bounds = one.violation == 0.0 and len(reference)
        steps.append((number, hypervolume(front.losses, reference) if keeps_bounds else 0.0))
    return steps
