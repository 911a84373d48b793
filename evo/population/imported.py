"""Which individuals have results that are known from elsewhere, so that this study has not evaluated them."""

from __future__ import annotations

from collections import defaultdict

from evo.population.events import Started
from evo.population.identity import Identity


class Imported:
    """The individuals whose results are known from elsewhere; see `Started.origin`.

    They have a loss, breed, and are learnt from as any other. They do not count as evaluations of this study. A process
    that is killed between its two records may leave one whose result is not there: there is nothing to evaluate, so
    that it is no individual; its identity is used up, and its point is free.

    Attributes:
        expected: The starts of those whose results are not there, or not yet.

    Example:
        >>> imported = Imported()
        >>> imported.apply(Started(time=0.0, individual=(0, 3), island=0, params={}, origin="points.csv row 2"))
        >>> (0, 3) in imported, len(imported), imported.of(0), imported.of(1)
        (True, 1, 1, 0)
    """

    def __init__(self) -> None:
        self._generations: defaultdict[int, set[int]] = defaultdict(set)
        self._count = 0  # Asked for several times in each evaluation.
        self.expected: dict[Identity, Started] = {}

    def apply(self, event: Started) -> None:
        """Note that the result of an individual is known from elsewhere, if the event says so."""
        if event.origin and event.individual not in self:
            self._count += 1
            self._generations[event.individual[0]].add(event.individual[1])

    def of(self, worker: int) -> int:
        """The number of identities with the number of a worker that they take, those without a result among them."""
        return len(self._generations.get(worker, ())) + sum(identity[0] == worker for identity in self.expected)

    def __contains__(self, identity: Identity) -> bool:
        return identity[1] in self._generations.get(identity[0], ())

    def __len__(self) -> int:
        return self._count
