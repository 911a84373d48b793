"""Sorted parts of a population that follow it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sortedcontainers import SortedKeyList

from evo.population.identity import Identity
from evo.population.individual import Known, by_standing

Ranked: TypeAlias = Sequence[Known]
"""Finished individuals, the best first."""


@dataclass(frozen=True)
class _Part:
    members: SortedKeyList
    belongs: Callable[[Known], bool]
    statuses: Collection[str]


class Views:
    """All sorted parts of one population.

    Args:
        individuals: All individuals by their identities.
        is_here: Whether an individual belongs to the island of the population, and can be compared with the others.
    """

    def __init__(self, individuals: Mapping[Identity, Known], is_here: Callable[[Known], bool]) -> None:
        self._individuals = individuals
        self._is_here = is_here
        self._parts: list[_Part] = []
        # Grows whenever a part may have changed.
        self.changes = 0

    def make(self, belongs: Callable[[Known], bool], statuses: Collection[str]) -> Ranked:
        """The individuals of this island that belong and have one of these statuses, the best first.

        Args:
            belongs: Whether an individual is in the view; the answer may change only with an event about it.
            statuses: The statuses: "completed", "pruned" or both.
        """
        part = _Part(SortedKeyList(key=by_standing), belongs, statuses)
        self._parts.append(part)
        self._fill(part)
        return part.members  # type: ignore[no-any-return]

    def refresh(self) -> None:
        """Fill all parts again, after the answers of their `belongs` have changed."""
        self.changes += 1
        for part in self._parts:
            part.members.clear()
            self._fill(part)

    def update(self, before: Known, after: Known) -> None:
        """Take into account that an individual has changed, or where it belongs."""
        self.changes += 1
        for part in self._parts:
            if before.status in part.statuses:
                part.members.discard(before)
            if self._is_in(part, after):
                part.members.add(after)

    def _fill(self, part: _Part) -> None:
        part.members.update(one for one in self._individuals.values() if self._is_in(part, one))

    def _is_in(self, part: _Part, individual: Known) -> bool:
        return individual.status in part.statuses and self._is_here(individual) and part.belongs(individual)
