"""Which completed individuals of a study are the best, wherever they breed."""

from __future__ import annotations

from collections.abc import Sequence

from sortedcontainers import SortedKeyList

from evo.population.dominance import Front, Ordered, loss_matrix
from evo.population.goal import Goal
from evo.population.identity import Identity
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
        self._front: Front[Known] | None = None
        self._in_order: tuple[int | None, Ranked] = (None, ())
        # The last answer of `has_reached`, with the question and the version of the front.
        self._answered: tuple[Goal | None, int, bool] = (None, 0, False)

    @property
    def best(self) -> Known | None:
        """The first of the ranking."""
        return self.ranking[0] if self.ranking else None

    @property
    def has_several(self) -> bool:
        """Whether individuals have several losses, as far as any has completed."""
        return self._front is not None

    @property
    def front(self) -> Sequence[Known]:
        """The individuals that no other one dominates, by their losses; with one loss, the best one."""
        return self.ranking[:1] if self._front is None else list(self._front)

    def is_on_front(self, identity: Identity) -> bool:
        """Whether an individual is on the front; it costs O(1)."""
        return self.best is not None and (
            self.best.identity == identity if self._front is None else identity in self._front
        )

    @property
    def version(self) -> int:
        """A number that grows with every change of the front."""
        return 0 if self._front is None else self._front.version

    def in_order(self, part: Ranked, changes: int | None = None) -> Ranked:
        """A sorted part of the population, in the order that counts for several objectives if there are some.

        Args:
            part: The part.
            changes: A number that grows whenever this part changes, so that its order is found once. None means that
                there is none; it is the same part in all calls with a number.
        """
        if self._front is None:
            return part
        if changes is None or changes != self._in_order[0]:
            self._in_order = changes, Ordered(part)
        return self._in_order[1]

    def has_reached(self, goal: Goal) -> bool:
        """Whether the target of a search is reached, by individuals that keep all bounds.

        It costs O(1) while the front is the same.
        """
        if self._front is None:
            best = self.best
            return best is not None and best.violation == 0.0 and goal.is_reached_by(loss_matrix([best]))
        asked, version, answer = self._answered
        if asked is not goal or version != self._front.version:
            members = self._front.members
            answer = bool(members) and members[0].violation == 0.0 and goal.is_reached_by(self._front.losses)
            self._answered = (goal, self._front.version, answer)
        return answer

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
