"""Which individuals are better than others where there are several objectives, or bounds that metrics must keep.

An individual dominates another one if its violation of the bounds is smaller; or if both violate none, no loss of it is
higher, and one is lower (K. Deb, doi:10.1016/S0045-7825(99)00389-8; doi:10.1109/4235.996017).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from evo.population.identity import Identity
from evo.population.individual import Known, by_standing

Losses: TypeAlias = npt.NDArray[np.float64]
"""Losses of shape (individuals, objectives), which are minimised."""

# From so many objectives on, contributions are estimated from so many samples.
_SAMPLED_FROM, _SAMPLES = 5, 2000
# From so many objectives on, hypervolumes are approximated.
_APPROXIMATED_FROM = 7


class HasLosses(Protocol):
    """An individual with losses, as a population or a report knows it."""

    @property
    def identity(self) -> Identity:
        """The worker and the generation of its birth."""

    @property
    def vector(self) -> tuple[float, ...]:
        """The losses of all objectives in their order; empty while there are none."""

    @property
    def violation(self) -> float:
        """By how much it violates the bounds of metrics, at least 0."""


Member = TypeVar("Member", bound=HasLosses)
"""One kind of individuals."""


def ranks(losses: Losses) -> npt.NDArray[np.int_]:
    """The rank of each point by non-dominated sorting, from 0: those that no other one dominates.

    Args:
        losses: Finite losses, of shape (points, objectives).

    Example:
        >>> ranks(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])).tolist()
        [0, 0, 1]
    """
    import moocore  # It is slow to import, and a search for one loss needs none of it.

    return np.asarray(moocore.pareto_rank(losses), dtype=int)


def reference_point(losses: Losses) -> npt.NDArray[np.float64]:
    """A point that is worse than all these by a tenth of their extent in each objective (by 1 if they have none)."""
    low, high = losses.min(axis=0), losses.max(axis=0)
    return np.asarray(high + np.where(high > low, 0.1 * (high - low), 1.0))


def hypervolume_contributions(
    losses: Losses, reference: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """By how much the hypervolume of a front would shrink without each point.

    From five objectives on they are estimated, unless a reference point is given, since exact ones take too long.
    The losses are scaled to the extent of the front, so that no objective counts more because of its unit. The extremes
    contribute infinitely, so that they stay, unless a reference point is given.

    Args:
        losses: The losses of a front, of shape (points, objectives): no point dominates another one.
        reference: The point up to which volume counts, as worse as or worse than all. None means `reference_point`.
    """
    import moocore

    low, high = losses.min(axis=0), losses.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    if reference is None and losses.shape[1] >= _SAMPLED_FROM:
        return sampled_contributions(losses)
    worst = reference_point(losses) if reference is None else reference
    found = np.asarray(moocore.hv_contributions((losses - low) / extent, ref=(worst - low) / extent), dtype=float)
    if reference is None:
        found[np.unique(losses.argmin(axis=0))] = math.inf
    return found


def sampled_contributions(losses: Losses) -> Losses:
    """The hypervolume contributions of a front, estimated from points that fill the space evenly.

    J. Bader and E. Zitzler, "HypE: an algorithm for fast hypervolume-based many-objective optimization",
    doi:10.1162/EVCO_a_00009. The extremes contribute infinitely. The same front gives the same numbers.

    Args:
        losses: Shape (points, objectives).
    """
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    drawn = 1.1 * _spread_evenly(_SAMPLES, losses.shape[1])
    dominating = (scaled[:, None, :] <= drawn[None]).all(axis=2)
    alone = dominating & (dominating.sum(axis=0) == 1)
    found = alone.mean(axis=1)
    found[np.unique(losses.argmin(axis=0))] = np.inf
    return np.asarray(found)


def _spread_evenly(count: int, coordinates: int) -> Losses:
    """Points in the unit cube: the additive recurrence whose steps are powers of the generalised golden ratio."""
    ratio = 2.0
    for _ in range(50):
        ratio = (1.0 + ratio) ** (1.0 / (coordinates + 1))
    steps = ratio ** -np.arange(1.0, coordinates + 1)
    return np.asarray((0.5 + np.arange(1, count + 1)[:, None] * steps) % 1.0)


def hypervolume(losses: Losses, reference: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """The volume that points dominate, up to a reference point; those that do not dominate that count nothing.

    From seven objectives on it is approximated, always in the same way, since the exact one takes minutes.

    Args:
        losses: Losses of shape (points, objectives).
        reference: The reference point, in losses.

    Example:
        >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), [3.0, 3.0])
        3.0
    """
    import moocore

    if not len(losses):
        return 0.0
    find = moocore.hypervolume if losses.shape[1] < _APPROXIMATED_FROM else moocore.hv_approx
    return float(find(losses, ref=np.asarray(reference, dtype=float)))


def loss_matrix(individuals: Iterable[HasLosses]) -> Losses:
    """The losses of individuals that have some, of shape (individuals, objectives)."""
    return np.array([individual.vector for individual in individuals], dtype=float)


def find_knee(front: Sequence[Member]) -> Member | None:
    """The individual of a front that is nearest to the ideal point, which has the lowest loss of each objective.

    From five objectives on they are estimated, unless a reference point is given, since exact ones take too long.
    The losses are scaled to the extent of the front, so that the unit of an objective does not matter, and the distance
    is Euclid's: the compromise solution of P. L. Yu, doi:10.1287/mnsc.19.8.936.

    Args:
        front: The individuals of a front.

    Returns:
        The individual; the first of several that are equally near, and None if the front is empty.
    """
    if not front:
        return None
    losses = loss_matrix(front)
    extent = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(extent > 0, extent, 1.0)
    return front[int(np.square(scaled).sum(axis=1).argmin())]


def order_by_dominance(individuals: Iterable[Known]) -> list[Known]:
    """Individuals with several objectives, the best first.

    Completed ones come before pruned ones, by their violations, their ranks and then their contributions; the pruned
    ones follow by `evo.population.individual.standing`.
    """
    members = sorted(individuals, key=by_standing)
    sound = [one for one in members if one.status == "completed" and one.violation == 0.0]
    rest = [one for one in members if one.status != "completed" or one.violation > 0.0]
    if not sound:
        return rest
    losses = loss_matrix(sound)
    rank = ranks(losses)
    contributed = np.zeros(len(sound))
    for level in range(int(rank.max()) + 1):
        on_level = np.flatnonzero(rank == level)
        contributed[on_level] = hypervolume_contributions(losses[on_level])
    order = np.lexsort((-contributed, rank))
    return [sound[place] for place in order] + rest


class Ordered(Sequence[Known]):
    """Individuals in the order of `order_by_dominance`, which is found when it is first asked for.

    Args:
        individuals: The individuals, in any order.
    """

    def __init__(self, individuals: Sequence[Known]) -> None:
        self._given = individuals
        self._found: list[Known] | None = None

    @property
    def _members(self) -> list[Known]:
        if self._found is None:
            self._found = order_by_dominance(self._given)
        return self._found

    @overload
    def __getitem__(self, place: int) -> Known: ...
    @overload
    def __getitem__(self, place: slice) -> list[Known]: ...
    def __getitem__(self, place: int | slice) -> Known | list[Known]:
        return self._members[place]

    def __len__(self) -> int:
        return len(self._given)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._members)


class Front(Generic[Member]):
    """The completed individuals that no other one dominates, whatever the order in which they become known.

    Of individuals with the same losses, and of those that violate bounds equally, only the one with the lowest identity
    is among them. While every individual violates a bound, it is the one that does so least.
    """

    def __init__(self) -> None:
        self._members: dict[Identity, Member] = {}
        self._losses: Losses = np.empty((0, 0))
        self.version = 0

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """The individuals of the front, by their losses in the order of the objectives."""
        return iter(sorted(self._members.values(), key=lambda one: (one.vector, one.identity)))

    def __contains__(self, identity: object) -> bool:
        return identity in self._members

    def add(self, individual: Member) -> bool:
        """Take a completed individual into account; returns whether it is on the front now.

        Adding costs O(n) for n individuals on the front.
        """
        if self._members and (first := next(iter(self._members.values()))).violation != individual.violation:
            if first.violation < individual.violation:
                return False
            self._clear()
        if individual.violation > 0.0:
            return self._add_violating(individual)
        losses = np.array(individual.vector, dtype=float)
        if not self._members:
            self._keep([individual], losses[None])
            return True
        equal = (self._losses == losses).all(axis=1)
        if equal.any():
            place = int(equal.argmax())
            members = list(self._members.values())
            if members[place].identity <= individual.identity:
                return members[place].identity == individual.identity
            members[place] = individual
            self._keep(members, self._losses)
            return True
        if (self._losses <= losses).all(axis=1).any():
            return False
        stays = np.atleast_1d(~(losses <= self._losses).all(axis=1))
        if stays.all():  # The usual case on a large front, where a new list of its members would take milliseconds.
            self._members[individual.identity] = individual
            self._losses = np.vstack([self._losses, losses])
            self.version += 1
            return True
        members = [one for one, kept in zip(self._members.values(), stays, strict=True) if kept]
        self._keep([*members, individual], np.vstack([self._losses[stays], losses]))
        return True

    def rebuild(self, completed: Iterable[Member]) -> None:
        """Begin again with these individuals, after one has changed or was set aside."""
        self._clear()
        self.version += 1
        for individual in completed:
            self.add(individual)

    @property
    def losses(self) -> Losses:
        """The losses of the individuals of the front, of shape (individuals, objectives), in the order of `members`."""
        return self._losses

    @property
    def members(self) -> list[Member]:
        """The individuals of the front, in the order of `losses`."""
        return list(self._members.values())

    def _add_violating(self, individual: Member) -> bool:
        """The least violation counts alone, because losses of what may not be used say little."""
        (first,) = self._members.values() or (individual,)
        if individual.identity <= first.identity:
            self._keep([individual], np.array([individual.vector], dtype=float))
        return individual.identity <= first.identity

    def _keep(self, members: list[Member], losses: Losses) -> None:
        self._members = {one.identity: one for one in members}
        self._losses = losses
        self.version += 1

    def _clear(self) -> None:
        self._members, self._losses = {}, np.empty((0, 0))
