"""The figures of individuals at each rung, as far as a worker knows them."""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Mapping

from evo.population.events import AnyEvent, Finished, Judged, Reported
from evo.population.identity import Identity
from evo.pruning.base import Pruner, Verdict
from evo.pruning.own import checked

_GOLDEN = 0.6180339887498949


class Rungs:
    """One worker's knowledge of intermediate losses, gathered from events of all workers.

    Each decision is made by one worker, the one that evaluates the individual, and is recorded. So workers need not
    know the same.

    Args:
        pruner: The pruner that decides.
    """

    def __init__(self, pruner: Pruner) -> None:
        # The pruner that each individual would have without brackets decides which figures are kept.
        self._pruner = checked(pruner)
        brackets = self._pruner.brackets
        self._brackets = [bracket for _, bracket in brackets]
        self._ends = list(itertools.accumulate(share for share, _ in brackets))[:-1]
        # The losses of individuals in evaluation, by the number of complete steps.
        self._curves: dict[Identity, dict[int, float]] = {}
        self._figures: defaultdict[int, dict[Identity, float]] = defaultdict(dict)
        # The individuals that went on, with the rungs at which they did.
        self._judged: set[tuple[Identity, int]] = set()

    @property
    def figures(self) -> Mapping[int, Mapping[Identity, float]]:
        """The figures of all individuals that have reached a rung, by rung; they follow the events."""
        return self._figures

    def highest(self, individual: Identity) -> int:
        """The highest rung that an individual has reached; 0 if it has reached none."""
        return max((rung for rung, figures in self._figures.items() if individual in figures), default=0)

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account."""
        if isinstance(event, Reported):
            steps = event.step + 1
            # Later steps are dropped, because an evaluation may begin again, or continue from an earlier step.
            before = {step: loss for step, loss in self._curves.get(event.individual, {}).items() if step < steps}
            curve = self._curves[event.individual] = {**before, steps: event.loss}
            rung = self._pruner.rung(steps)
            if rung is not None:
                self._figures[rung].setdefault(event.individual, self._pruner.value(curve))
        # A stopped individual may be judged again, because its worker may have died before it recorded the end.
        elif isinstance(event, Judged) and not event.stop:
            self._judged.add((event.individual, event.rung))
        elif isinstance(event, Finished) and event.status != "interrupted":
            self._curves.pop(event.individual, None)

    def reached(self, event: Reported) -> int | None:
        """The rung that an individual has reached; None when there is none, or when it has already gone on there.

        Args:
            event: The last report of the individual.
        """
        rung = self._of(event.individual).rung(event.step + 1)
        return None if (event.individual, rung) in self._judged else rung

    def judge(self, individual: Identity, rung: int, best: float | None) -> Verdict:
        """Decide whether an individual that has reached a rung goes on; see `Pruner.judge`."""
        pruner = self._of(individual)
        others = [
            figure
            for identity, figure in self._figures[rung].items()
            if identity != individual and self._of(identity) is pruner
        ]
        return pruner.judge(self._curves[individual], others, best)

    def _of(self, individual: Identity) -> Pruner:
        """The pruner of the bracket that an individual is in, which follows from its identity."""
        place = sum(individual) * _GOLDEN % 1.0  # Spreads the individuals of every bracket evenly over time.
        return self._brackets[bisect.bisect_right(self._ends, place)]
