"""Which completed individuals of a study are the best, wherever they breed."""

from __future__ import annotations

from collections.abc import Sequence

from sortedcontainers import SortedKeyList

from evo.population.dominance import Front, Ordered
from evo.population.individual import Known, by_loss
from evo.population.views import Ranked


class Standings:
    """All completed individuals by their losses and, where there are several objectives, their front.

    Attributes:
        ranking: The individuals by how much they violate bounds, and then by their (first) losses.
    """

    def __init__(self) -> None:
        self.ranking: SortedKeyList = SortedKeyList(key=by_loss)
        # None while all have a single loss.
        self._front: Front | None = None

    @property
    def best(self) -> Known | None:
        """The first of the ranking."""
        return self.ranking[0] if self.ranking else None

    @property
    def front(self) -> Sequence[Known]:
        """The individuals that no other one dominates, by their losses; with one loss, the best one."""
        return self.ranking[:1] if self._front is None else list(self._front)

    @property
    def version(self) -> int:
        """A number that grows with every change of the front."""
        return 0 if self._front is None else self._front.version

    def in_order(self, part: Ranked) -> Ranked:
        """A sorted part of the population, in the order that counts for several objectives if there are some."""
        return part if self._front is None else Ordered(part)

    def update(self, before: Known, after: Known, is_set_aside: bool) -> None:
        """Take into account that an individual has completed, or has changed.

        Args:
            before: What it was.
            after: What it is now.
            is_set_aside: Whether it lies outside of the study's limits now.
        """
        was_there = before.status == "completed" and before in self.ranking
        if was_there:
            self.ranking.discard(before)
        is_there = after.status == "completed" and not is_set_aside
        if is_there:
            self.ranking.add(after)
            if after.losses and self._front is None:
                self._front = Front()
        if self._front is None:
            return
        if was_there:
            self._front.rebuild(self.ranking)
        elif is_there:
            self._front.add(after)
