"""The points that are known and their losses, of which those near to a place are found fast however many there are."""

from __future__ import annotations

import numpy as np

from evo.algorithms.distribution import Array, Distribution

# So many times as many candidates are kept for the nearest points as are asked for at once.
_SPARE = 4


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
        self._candidates: list[int] = []
        self._wanted = 0

    def __len__(self) -> int:
        return self._count

    @property
    def losses(self) -> Array:
        """All losses."""
        return self._losses[: self._count]

    def add(self, point: Array, loss: float) -> bool:
        """Add a point; its loss is infinite if its evaluation failed.

        Returns:
            Whether it is better than all before.
        """
        if self._count == len(self._losses):
            self._points = np.concatenate([self._points, np.empty_like(self._points)])
            self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
        self._points[self._count], self._losses[self._count] = point, loss
        self._candidates.append(self._count)
        self._count += 1
        better = loss < self.best
        self.best = min(self.best, loss)
        return better

    def forget_candidates(self) -> None:
        """Look among all points for the nearest again, because the distribution is elsewhere now."""
        self._wanted = 0

    def nearest(self, distribution: Distribution, count: int) -> tuple[Array, Array]:
        """The points nearest to the mean of a distribution, in its metric.

        Among many points, only candidates are looked at: those that were nearest a while ago, and newer ones.

        Args:
            distribution: The distribution.
            count: The number of points at most.

        Returns:
            The points and their losses, the lowest loss first.
        """
        if self._wanted < count or len(self._candidates) > 2 * _SPARE * count:
            everything = np.arange(self._count)
            self._candidates = self._closest(everything, distribution, _SPARE * count).tolist()
            self._wanted = count
        chosen = self._closest(np.array(self._candidates), distribution, count)
        chosen = np.sort(chosen)
        chosen = chosen[np.argsort(self._losses[chosen], kind="stable")]
        return self._points[chosen], self._losses[chosen]

    def _closest(self, indices: np.ndarray, distribution: Distribution, count: int) -> np.ndarray:
        if len(indices) <= count:
            return indices
        distances = distribution.distances(self._points[indices])
        return indices[np.argpartition(distances, count - 1)[:count]]
