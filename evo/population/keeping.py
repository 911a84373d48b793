"""Which individuals of a study with several objectives keep their weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from evo.population.dominance import (
    Member,
    find_knee,
    hypervolume_contributions,
    loss_matrix,
    order_by_dominance,
)
from evo.population.identity import Identity
from evo.population.individual import Known, by_standing
from evo.population.population import Population

# A larger front is thinned to so many at once, since one by one would take long.
_ONE_BY_ONE = 60


class Keeping:
    """The individuals whose weights are kept while a search for several objectives runs.

    The front may change so that an individual which had to make room counts again, but its weights are gone. So only
    those that still have theirs compete, and the individual that has just ended; and twice as many keep theirs as are
    kept in the end, because workers that learn of two ends in another order would otherwise delete both.

    Members of the whole study's front come first. Those that add least to the hypervolume make room, one by one; the
    knee and the best of each objective stay. While there are fewer on the front, the next ones by dominance keep theirs
    as well.

    Args:
        population: The population; each event must have been applied to it before `add` is told of it.
        most: The number of individuals that keep their weights in the end.
        has_weights: Whether an individual of an earlier session still has its weights, as far as this worker can see.
    """

    def __init__(self, population: Population, most: int, has_weights: Callable[[Identity], bool]) -> None:
        self._population = population
        self._most = most
        self._dropped: set[Identity] = set()
        others = (one for one in population.ranking if not population.standings.is_on_front(one.identity))
        # Of those that are dominated few have kept weights, so few are looked at.
        candidates = itertools.chain(population.front, itertools.islice(others, 2 * most))
        found = [one for one in candidates if has_weights(one.identity)]
        self._members = {one.identity: one for one in self._best(self._trained(found), 2 * most)}

    @property
    def members(self) -> set[Identity]:
        """The individuals that keep their weights for now."""
        return set(self._members)

    def add(self, individual: Known) -> None:
        """Take into account that an individual has completed; one that had to make room stays out."""
        if individual.identity in self._dropped:
            return
        self._members.update((one.identity, one) for one in self._trained([individual]))
        if len(self._members) > 2 * self._most:
            kept = {one.identity: one for one in self._best(self._members.values(), 2 * self._most)}
            self._dropped.update(self._members.keys() - kept.keys())
            self._members = kept

    def last(self, identities: Iterable[Identity]) -> list[Known]:
        """Those that keep their weights in the end, of individuals that have some; those of the front come first.

        Args:
            identities: Individuals that have weights; those that have not completed never count.
        """
        known = [one for one in map(self._population.find, identities) if one and one.status == "completed"]
        return self._best(self._trained(known), self._most)

    def _trained(self, individuals: Iterable[Known]) -> list[Known]:
        """Those that may keep weights: one that was not trained here has none, and one that was set aside is none."""
        population = self._population
        return [
            one
            for one in individuals
            if one.identity not in population.imported and one.identity not in population.set_aside
        ]

    def _best(self, among: Iterable[Known], most: int) -> list[Known]:
        is_on_front = self._population.standings.is_on_front
        members = sorted(among, key=by_standing)
        best = [one for one in members if is_on_front(one.identity)]
        others = [one for one in members if not is_on_front(one.identity)]
        return thin_front(best, most) + order_by_dominance(others)[: max(0, most - len(best))]


def thin_front(front: list[Member], most: int) -> list[Member]:
    """A front without those that add least to its hypervolume, which go one by one.

    The knee stays, since it is the one that is taken where none is named; then the best of each objective do.

    Args:
        front: Individuals of which none dominates another one.
        most: The number of those that stay, at least 1.
    """
    members, knee = list(front), find_knee(front)
    if len(members) > (most_by_one := max(most, _ONE_BY_ONE)):
        contributed = hypervolume_contributions(loss_matrix(members))
        order = sorted(range(len(members)), key=lambda place: (members[place] is not knee, -contributed[place], place))
        members = [members[place] for place in sorted(order[:most_by_one])]
    while len(members) > most:
        contributed = hypervolume_contributions(loss_matrix(members))
        # Of several that add equally, the last one goes.
        places = [place for place, one in enumerate(members) if one is not knee]
        del members[min(places, key=lambda place: (contributed[place], -place))]
    return members
