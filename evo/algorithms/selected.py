"""A bounded population for several objectives, from which the worst is left out, one at a time.

M. Emmerich, N. Beume and B. Naujoks, "An EMO algorithm using the hypervolume measure as selection criterion", 2005,
doi:10.1007/978-3-540-31880-4_5 (SMS-EMOA): of those on the last front of a non-dominated sorting, the one that
contributes the least hypervolume goes. Those that violate bounds go first, the most violated before others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evo.algorithms.distribution import Array
from evo.population.dominance import hypervolume_contributions, ranks
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.space.space import Genome


@dataclass(frozen=True)
class Selected:
    """One of the population.

    Args:
        identity: The individual.
        genome: Its genome.
        losses: Its losses, of shape (objectives,).
        violation: By how much it violates bounds, at least 0.
    """

    identity: Identity
    genome: Genome
    losses: Array
    violation: float = 0.0


class SelectedPopulation:
    """The best individuals by feasibility, non-domination and contribution to the hypervolume.

    It depends on the individuals that were added, and on their order.

    Args:
        size: The number of individuals at most; it may be changed, and counts from the next one on.

    Example:
        >>> population = SelectedPopulation(2)
        >>> for number, losses in enumerate([(0.0, 1.0), (0.5, 0.6), (1.0, 0.0)]):
        ...     _ = population.add(Known(genome=np.zeros(1), identity=(0, number), loss=losses[0], losses=losses))
        >>> [one.identity for one in population]
        [(0, 0), (0, 2)]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._members: list[Selected] = []
        self._ranks = np.empty(0, dtype=int)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Selected]:
        return iter(self._members)

    def __getitem__(self, place: int) -> Selected:
        return self._members[place]

    @property
    def losses(self) -> Array:
        """The losses, of shape (individuals, objectives)."""
        return np.array([member.losses for member in self._members])

    @property
    def genomes(self) -> Array:
        """The genomes, of shape (individuals, genes)."""
        return np.array([member.genome for member in self._members])

    @property
    def violations(self) -> Array:
        """The violations, of shape (individuals,)."""
        return np.array([member.violation for member in self._members])

    @property
    def front(self) -> list[Selected]:
        """Those that no other one dominates; while all violate bounds, those that do so least."""
        return [member for member, rank in zip(self._members, self._ranks, strict=True) if rank == 0]

    def add(self, individual: Known) -> bool:
        """Add an individual that has completed, and leave out the worst when there are too many.

        Returns:
            Whether it is on the front of the population now.
        """
        new = Selected(individual.identity, individual.genome, np.array(individual.vector), individual.violation)
        if any(one.violation == new.violation and np.array_equal(one.losses, new.losses) for one in self._members):
            return False  # Equal losses contribute nothing, but would fill the population.
        self._members.append(new)
        self._rank()
        while len(self._members) > self.size:
            del self._members[self._worst()]
            self._rank()
        place = next((place for place, one in enumerate(self._members) if one is new), None)
        return place is not None and bool(self._ranks[place] == 0)

    def order(self) -> list[int]:
        """The places of the members, the best first: by rank, then by contribution, then by identity."""
        contributed = np.zeros(len(self))
        for rank in set(self._ranks.tolist()):
            alike = np.flatnonzero(self._ranks == rank)
            contributed[alike] = self._contributions(alike)
        keys = zip(self._ranks.tolist(), (-contributed).tolist(), self._members, range(len(self)), strict=True)
        return [place for *_, place in sorted((rank, less, one.identity, place) for rank, less, one, place in keys)]

    def _rank(self) -> None:
        """Non-dominated sorting of those that keep all bounds; behind them the others, by their violations."""
        violations = self.violations
        found = np.zeros(len(violations), dtype=int)
        sound = np.flatnonzero(violations == 0.0)
        if len(sound):
            losses = self.losses[sound]
            found[sound] = ranks(losses) if losses.shape[1] > 1 else np.unique(losses, return_inverse=True)[1].ravel()
        others = np.flatnonzero(violations > 0.0)
        if len(others):
            first = found[sound].max() + 1 if len(sound) else 0
            found[others] = first + np.unique(violations[others], return_inverse=True)[1]
        self._ranks = found

    def _worst(self) -> int:
        last = np.flatnonzero(self._ranks == self._ranks.max())
        if len(last) == 1:
            return int(last[0])
        contributed = self._contributions(last)
        # Of equal ones, the newest goes.
        return int(last[len(last) - 1 - int(np.argmin(contributed[::-1]))])

    def _contributions(self, places: NDArray[np.intp]) -> Array:
        losses = np.array([self._members[place].losses for place in places])
        if self._members[places[0]].violation > 0.0 or losses.shape[1] == 1:
            return np.zeros(len(places))
        return hypervolume_contributions(losses)
