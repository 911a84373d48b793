"""By how much each of many candidates would enlarge the hypervolume of a front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evo.algorithms.distribution import Array

_SAMPLES = 1500


def volumes_added(front: Array, candidates: Array, reference: Array, rng: np.random.Generator) -> Array:
    """The hypervolume that each candidate alone adds to that of a front.

    Exact with one and with two objectives; otherwise the share of random points, between the lowest losses and the
    reference, that a candidate dominates and the front does not.

    Args:
        front: Losses of shape (points, objectives).
        candidates: Losses of shape (candidates, objectives).
        reference: The point up to which volume counts, of shape (objectives,).
        rng: Draws the points.

    Returns:
        Shape (candidates,), at least 0.

    Example:
        >>> front, reference = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([2.0, 2.0])
        >>> volumes_added(front, np.array([[0.5, 0.5], [1.0, 1.0]]), reference, np.random.default_rng(0)).tolist()
        [0.25, 0.0]
    """
    if front.shape[1] == 1:
        return np.asarray(np.maximum(0.0, np.minimum(front.min(), reference[0]) - candidates[:, 0]))
    if front.shape[1] == 2:
        return _in_plane(front, candidates, reference)
    lowest = np.minimum(front.min(axis=0), candidates.min(axis=0))
    drawn = lowest + rng.random((_SAMPLES, front.shape[1])) * np.maximum(reference - lowest, 0.0)
    free = drawn[~_dominated(front, drawn).any(axis=0)]
    return np.asarray(_dominated(candidates, free).sum(axis=1) / _SAMPLES)


def _dominated(points: Array, drawn: Array) -> NDArray[np.bool_]:
    """Whether each point dominates each of those drawn, of shape (points, drawn)."""
    found = points[:, None, 0] <= drawn[None, :, 0]
    for column in range(1, points.shape[1]):
        found &= points[:, None, column] <= drawn[None, :, column]
    return np.asarray(found)


def _in_plane(front: Array, candidates: Array, reference: Array) -> Array:
    """With two objectives: the area is cut into strips along the first, in each of which the front has one height."""
    inside = front[(front < reference).all(axis=1)]
    inside = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
    heights = np.minimum.accumulate(inside[:, 1]) if len(inside) else np.empty(0)
    # The strip before the first point is as high as the reference.
    left = np.concatenate([[-np.inf], inside[:, 0]])
    right = np.concatenate([inside[:, 0], [reference[0]]])
    top = np.concatenate([[reference[1]], heights])
    widths = np.maximum(0.0, right - np.maximum(left, candidates[:, :1]))
    return np.asarray((widths * np.maximum(0.0, top - candidates[:, 1:])).sum(axis=1))
