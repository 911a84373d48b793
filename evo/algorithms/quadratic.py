"""Quadratic models of the loss near a point, by weighted least squares.

After N. Hansen: A global surrogate assisted CMA-ES, GECCO 2019, DOI 10.1145/3321707.3321842: linear, diagonal or full,
as the number of points allows, with weights by rank.
"""

from __future__ import annotations

import math

import numpy as np

from evo.algorithms.distribution import Array

_BISECTIONS = 60


def full_size(dimension: int) -> int:
    """The number of coefficients of a full quadratic model."""
    return (dimension + 1) * (dimension + 2) // 2


class Quadratic:
    """A quadratic function: constant + gradient · z + z · hessian z / 2.

    Args:
        constant: Its value at the origin.
        gradient: Shape (coordinates,).
        hessian: Shape (coordinates, coordinates), symmetric.
    """

    def __init__(self, constant: float, gradient: Array, hessian: Array) -> None:
        self.constant, self.gradient, self.hessian = constant, gradient, hessian

    def __call__(self, points: Array) -> Array:
        """The values at points, of shape (points, coordinates)."""
        values: Array = self.constant + points @ self.gradient + 0.5 * ((points @ self.hessian) * points).sum(axis=1)
        return values

    def minimiser(self, radius: float) -> Array:
        """The point of the lowest value at most `radius` from the origin (Moré and Sorensen 1983, by bisection).

        Args:
            radius: The radius of the trust region, positive.
        """
        curvatures, axes = np.linalg.eigh(self.hessian)
        slopes = axes.T @ self.gradient
        largest = max(abs(curvatures[0]), abs(curvatures[-1]))
        if curvatures[0] > 1e-10 * largest:
            inside = slopes / curvatures
            if np.linalg.norm(inside) <= radius:
                return np.asarray(-axes @ inside)
        # On the border, (hessian + multiplier I) z = -gradient, with a multiplier that leaves no negative curvature.
        least = max(0.0, -float(curvatures[0]))
        low, high = 0.0, float(np.linalg.norm(slopes)) / radius + largest
        for _ in range(_BISECTIONS):
            middle = math.sqrt(low * high) if low else high * 1e-3
            if np.linalg.norm(slopes / np.maximum(curvatures + least + middle, 1e-300)) > radius:
                low = middle
            elif middle <= 1e-14 * (largest + 1e-300):
                high = middle
                break
            else:
                high = middle
        point = -slopes / np.maximum(curvatures + least + high, 1e-300)
        missing = radius**2 - float(point @ point)
        if missing > 1e-9 * radius**2 and curvatures[0] < 0:  # The hard case: along the axis of the lowest curvature.
            point[0] = math.copysign(math.sqrt(missing + point[0] ** 2), point[0])
        return np.asarray(axes @ point)


def fit_quadratic(points: Array, losses: Array, weights: Array, enough: float) -> tuple[Quadratic, str] | None:
    """The quadratic model of the richest kind that the number of points allows; None when they are too few for any.

    Args:
        points: Shape (points, coordinates).
        losses: Shape (points,).
        weights: The weights of the squared errors, of shape (points,).
        enough: The number of points per coefficient that a kind needs; a linear one needs one more than coefficients.

    Returns:
        The model and its kind: linear, diagonal or full.
    """
    count, d = points.shape
    if count < d + 2:
        return None
    pairs = np.triu_indices(d, 1)
    columns = [np.ones((count, 1)), points]
    kind = "linear"
    if count >= enough * (2 * d + 1):
        columns.append(0.5 * points * points)
        kind = "diagonal"
    if count >= enough * full_size(d):
        columns.append(points[:, pairs[0]] * points[:, pairs[1]])
        kind = "full"
    features = np.hstack(columns)
    scale = np.sqrt((features**2).mean(axis=0)) + 1e-300
    roots = np.sqrt(weights)
    features = features / scale * roots[:, None]
    normal = features.T @ features
    normal[np.diag_indices(len(normal))] += 1e-10 * len(features)  # Only against singular systems.
    found = np.linalg.solve(normal, features.T @ (roots * losses)) / scale
    hessian = np.zeros((d, d))
    if kind == "full":
        hessian[pairs] = found[2 * d + 1 :]
        hessian += hessian.T
    if kind != "linear":
        hessian[np.diag_indices(d)] = found[d + 1 : 2 * d + 1]
    return Quadratic(float(found[0]), found[1 : d + 1], hessian), kind
