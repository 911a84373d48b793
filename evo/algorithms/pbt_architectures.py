"""Architectures whose members share out their trainings: which are good at equal steps, and what is tried next.

An architecture is what may not change while a network trains. It counts with the best of its members at each step. An
algorithm proposes new ones; it learns what each known one would probably have come to, so that early losses of young
architectures are not compared with late ones of old ones.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.pbt_members import Milestone, StepRecords
from evo.population.individual import Individual, Known
from evo.space.space import Genome, Space

# The inner algorithm learns from so many of the best architectures, so that proposals do not become slow.
_LEARNT = 200


def architecture_of(space: Space, genome: Genome) -> bytes:
    """What tells architectures apart: the genes that may not change in a training."""
    return np.where(space.mutable, 0.0, genome).tobytes()


class Architectures:
    """What is known of each architecture, as a fold over segments; what is proposed next.

    Args:
        inner: Proposes architectures.
        setup: What it knows from the start.
        quantile: The share of the worst, which are given up.
        lineages: The number of members that an architecture has had before it is judged.
    """

    def __init__(self, inner: Algorithm, setup: Setup, quantile: float, lineages: int) -> None:
        self._inner, self._setup = inner, setup
        self._records, self._lineages = StepRecords(quantile), lineages
        self._segments: Counter[bytes] = Counter()
        # The number of trainings that have begun, by architecture.
        self.begun: Counter[bytes] = Counter()
        # The best loss of each architecture at each step, and its best member at its latest step.
        self._losses: defaultdict[bytes, dict[int, float]] = defaultdict(dict)
        self._best: dict[bytes, Milestone] = {}
        self._learner: Learner | None = None
        self._standing: dict[bytes, float] = {}

    def learn(self, group: bytes, reached: Milestone, is_first: bool) -> None:
        """Take a segment of a member of an architecture into account; the first one of a training, or a later one."""
        self.begun[group] += is_first
        self._segments[group] += 1
        step, before = reached.step, self._losses[group].get(reached.step)
        if before is not None and before <= reached.loss:
            return
        if before is not None:
            self._records.remove(step, before)
        self._records.add(step, reached.loss)
        self._losses[group][step] = reached.loss
        if group not in self._best or step >= self._best[group].step:
            self._best[group] = reached
        self._learner = None  # It is told everything again when it is asked, because standings have changed.

    def is_worst(self, group: bytes, step: int) -> bool:
        """Whether an architecture is among the worst of those that have been at a step."""
        loss = self._losses[group].get(step)
        return loss is not None and self._segments[group] >= self._lineages and self._records.is_worst(step, loss)

    def __contains__(self, group: bytes) -> bool:
        """Whether a segment of this architecture has ended."""
        return group in self._best

    def is_given_up(self, group: bytes) -> bool:
        """Whether an architecture is among the worst at its latest step."""
        return group in self._best and self.is_worst(group, max(self._losses[group]))

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """New architectures, with hyperparameters to begin with."""
        if self._learner is None:
            self._standing = standings(self._losses)
            self._learner = self._inner.start(self._setup)
            for known in self._known():
                self._learner.learn(known, known.loss)
        share = View(
            active=sorted(self._known(), key=lambda one: (one.loss, one.identity)),
            used=len(self._best),
            left=view.left,
            worker=view.worker,
        )
        return self._learner.propose(share, rng)

    def _known(self) -> Sequence[Known]:
        """Each architecture as an individual with the loss that it would probably have come to."""
        best = sorted(self._standing, key=lambda group: (self._standing[group], group))[:_LEARNT]
        chosen = set(best)
        return [
            Known(
                genome=self._best[group].genome,
                identity=self._best[group].first.identity,
                status="completed",
                loss=self._standing[group],
                parents=(),
            )
            for group in self._best
            if group in chosen
        ]


def standings(losses: Mapping[bytes, Mapping[int, float]]) -> dict[bytes, float]:
    """The loss that each architecture would probably have come to at the latest step of all.

    One that has ended early counts as much worse than another as it was at its latest step: than the one that was next
    better there and has gone farther. If none was better, it counts as the one that was best there.

    Args:
        losses: The losses of each at the steps that it has reached.

    Example:
        >>> standings({b"long": {1: 5.0, 2: 3.0}, b"short": {1: 6.0}})
        {b'long': 3.0, b'short': 4.0}
    """
    expected: dict[bytes, float] = {}
    # By step: the losses of those that have gone farther, with what they are expected to come to.
    farther: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    latest = {group: max(steps) for group, steps in losses.items() if steps}
    for end in sorted(set(latest.values()), reverse=True):
        here = [group for group, last in latest.items() if last == end]
        for group in here:
            loss, known = losses[group][end], farther[end]
            place = bisect.bisect_right(known, (loss, float("inf")))
            if not known:
                expected[group] = loss
            elif place == 0:
                expected[group] = known[0][1]
            else:
                better, came_to = known[place - 1]
                expected[group] = came_to + (loss - better)
        for group in here:
            for step, loss in losses[group].items():
                if step < end:
                    bisect.insort(farther[step], (loss, expected[group]))
    return {group: expected[group] for group in latest}
