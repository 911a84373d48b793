"""The figures of individuals at each rung, as far as a worker knows them.

With several objectives a pruner judges by the first one. That it would stop an individual counts only if the individual
cannot be on the front by another objective, as far as that is known at equal steps: some other individual was at least
as good in every objective at the same rung, and violated bounds no more there, since many bounds are kept only at the
end. So one that does not report all of its losses, or not all metrics that have a bound, goes on to its end.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

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
        are_several: Whether there are several objectives.
    """

    def __init__(self, pruner: Pruner, *, are_several: bool = False) -> None:
        self._are_several = are_several
        # What individuals have reported at each rung, where there are several objectives.
        self._reports: defaultdict[int, dict[Identity, Reported]] = defaultdict(dict)
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
                if self._are_several:
                    self._reports[rung].setdefault(event.individual, event)
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
        """Decide whether an individual that has reached a rung goes on; see `Pruner.judge`.

        With several objectives one that may still be on the front goes on, whatever the pruner says.
        """
        pruner = self._of(individual)
        others = [
            figure
            for identity, figure in self._figures[rung].items()
            if identity != individual and self._of(identity) is pruner
        ]
        verdict = pruner.judge(self._curves[individual], others, best)
        if verdict.stop and self._are_several and self._may_be_on_front(individual, rung):
            return replace(verdict, stop=False)
        return verdict

    def _may_be_on_front(self, individual: Identity, rung: int) -> bool:
        """Whether an individual that has reached a rung may still come to be on the front by some objective."""
        reports = self._reports[rung]
        own = reports[individual]
        if not own.losses:
            return True
        return not any(
            other.losses
            and other.violation <= own.violation
            and identity != individual
            and all(theirs <= ours for theirs, ours in zip(other.losses, own.losses, strict=True))
            for identity, other in reports.items()
        )

    def _of(self, individual: Identity) -> Pruner:
        """The pruner of the bracket that an individual is in, which follows from its identity."""
        place = sum(individual) * _GOLDEN % 1.0  # Spreads the individuals of every bracket evenly over time.
        return self._brackets[bisect.bisect_right(self._ends, place)]
