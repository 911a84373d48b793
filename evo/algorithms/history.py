"""The points that are known and their losses, of which those near to a place are found fast however many there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evo.algorithms.distribution import Array, Distribution

# So many times as many candidates are kept for the nearest points as are asked for at once.
_SPARE = 4
# Points of another kind are farther by so many standard deviations.
_FAR = 1e9


class History:
    """Known points in the order in which they became known.

    Args:
        coordinates: The number of coordinates of a point.
    """

    def __init__(self, coordinates: int) -> None:
        self._points, self._losses = np.empty((256, coordinates)), np.empty(256)
        self._count = 0
        self.best = np.inf
        """The lowest loss."""
        self._kinds = np.zeros(256, dtype=int)
        self._numbers: dict[bytes, int] = {}
        self._candidates: list[int] = []
        self._wanted, self._most, self._wanted_kind, self._kind_of_candidates = 0, 0, 0, 0

    def __len__(self) -> int:
        return self._count

    @property
    def losses(self) -> Array:
        """All losses."""
        return self._losses[: self._count]

    def add(self, point: Array, loss: float, kind: bytes = b"") -> bool:
        """Add a point.

        Args:
            point: Shape (coordinates,).
            loss: The loss; infinite if its evaluation failed.
            kind: What else it is: points of different kinds are not compared, where there are enough of one.

        Returns:
            Whether it is better than all before.
        """
        if self._count == len(self._losses):
            self._points = np.concatenate([self._points, np.empty_like(self._points)])
            self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
            self._kinds = np.concatenate([self._kinds, np.empty_like(self._kinds)])
        self._kinds[self._count] = self._numbers.setdefault(kind, len(self._numbers))
        self._points[self._count], self._losses[self._count] = point, loss
        self._candidates.append(self._count)
        self._count += 1
        better = loss < self.best
        if better:
            self.best, self._wanted_kind = loss, int(self._kinds[self._count - 1])
            self._wanted = self._wanted if self._kind_of_candidates == self._wanted_kind else 0
        return better

    def forget_candidates(self) -> None:
        """Look among all points for the nearest again, because the distribution is elsewhere now."""
        self._wanted = 0

    def nearest(self, distribution: Distribution, count: int) -> tuple[Array, Array]:
        """The points nearest to the mean of a distribution, in its metric, of the kind of the best if there are enough.

        Among many points, only candidates are looked at: those that were nearest a while ago, and newer ones.

        Args:
            distribution: The distribution.
            count: The number of points at most.

        Returns:
            The points and their losses, the lowest loss first.
        """
        self._most = max(self._most, count)
        if self._wanted < count or len(self._candidates) > 2 * _SPARE * self._most:
            everything = np.arange(self._count)
            self._candidates = self._closest(everything, distribution, _SPARE * self._most).tolist()
            self._wanted, self._kind_of_candidates = self._most, self._wanted_kind
        chosen = self._closest(np.array(self._candidates), distribution, count)
        alike = chosen[self._kinds[chosen] == self._wanted_kind]
        chosen = np.sort(alike if len(alike) >= 2 * distribution.dimension + 3 else chosen)
        chosen = chosen[np.argsort(self._losses[chosen], kind="stable")]
        return self._points[chosen], self._losses[chosen]

    def _closest(self, indices: NDArray[np.int64], distribution: Distribution, count: int) -> NDArray[np.int64]:
        if len(indices) <= count:
            return indices
        distances = distribution.distances(self._points[indices])
        if len(self._numbers) > 1:
            distances += np.where(self._kinds[indices] == self._wanted_kind, 0.0, _FAR)
        return indices[np.argpartition(distances, count - 1)[:count]]
