"""What individuals had reached at each rung, as far as a worker knows."""

from __future__ import annotations

from collections import defaultdict

from evo.population.events import AnyEvent, Finished, Identity, Judged, Reported
from evo.pruning.base import Pruner, Verdict
from evo.pruning.own import checked


class Rungs:
    """One worker's knowledge of intermediate losses, gathered from events of all workers.

    Each decision is made by one worker, that of the individual, and is recorded; so workers need not know the same.

    Args:
        pruner: Decides.
    """

    def __init__(self, pruner: Pruner) -> None:
        self._pruner = checked(pruner)
        # Of individuals that are being evaluated: their losses, by how many steps were complete.
        self._curves: dict[Identity, dict[int, float]] = {}
        self._figures: defaultdict[int, dict[Identity, float]] = defaultdict(dict)
        # Who went on at which rung.
        self._judged: set[tuple[Identity, int]] = set()

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account."""
        if isinstance(event, Reported):
            steps = event.step + 1
            # It may have been begun anew, or go on from an earlier step.
            before = {step: loss for step, loss in self._curves.get(event.individual, {}).items() if step < steps}
            curve = self._curves[event.individual] = {**before, steps: event.loss}
            rung = self._pruner.rung(steps)
            if rung is not None:
                self._figures[rung].setdefault(event.individual, self._pruner.value(curve))
        # One that was stopped is judged again, because its worker may have died before it said so.
        elif isinstance(event, Judged) and not event.stop:
            self._judged.add((event.individual, event.rung))
        elif isinstance(event, Finished) and event.status != "interrupted":
            self._curves.pop(event.individual, None)

    def reached(self, event: Reported) -> int | None:
        """The rung that an individual has reached, if that has not been decided yet.

        Args:
            event: Its last report.
        """
        rung = self._pruner.rung(event.step + 1)
        return None if (event.individual, rung) in self._judged else rung

    def judge(self, individual: Identity, rung: int, best: float | None) -> Verdict:
        """Whether an individual that has reached a rung goes on; see `Pruner.judge`."""
        others = [figure for identity, figure in self._figures[rung].items() if identity != individual]
        return self._pruner.judge(self._curves[individual], others, best)
