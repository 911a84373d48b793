"""The search distribution of CMA-ES with active updates, which also learns from points that it has not sampled.

N. Hansen: The CMA evolution strategy: a tutorial, arXiv:1604.00772 (the equation numbers below).
N. Hansen: Injecting external solutions into CMA-ES, arXiv:1110.4181.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

# The widest axis may be so many times as long as the narrowest one: beyond it, rounding errors decide.
_LONGEST_TO_SHORTEST = 1e7


class Recombination:
    """The weights of the points of an update, and the learning rates that follow from them.

    Args:
        dimension: The number of coordinates.
        offspring: The number of points of an update, at least 2.
    """

    def __init__(self, dimension: int, offspring: int) -> None:
        d = dimension
        self.offspring = offspring  # lambda
        self.parents = offspring // 2  # mu
        raw = math.log((offspring + 1) / 2) - np.log(np.arange(1, offspring + 1))  # (49)
        better, worse = raw[: self.parents], raw[self.parents :]
        effective = self.effective = float(better.sum() ** 2 / (better**2).sum())  # mu_eff
        effective_of_worse = float(worse.sum() ** 2 / max((worse**2).sum(), 1e-300))  # mu_eff^-
        self.shape_memory = (4 + effective / d) / (d + 4 + 2 * effective / d)  # c_c, (56)
        self.step_memory = (effective + 2) / (d + effective + 5)  # c_sigma, (55)
        self.rank_one = 2 / ((d + 1.3) ** 2 + effective)  # c_1, (57)
        rank_mu = 2 * (0.25 + effective + 1 / effective - 2) / ((d + 2) ** 2 + effective)
        self.rank_mu = min(1 - self.rank_one, rank_mu)  # c_mu, (58)
        self.damping = 1 + 2 * max(0.0, math.sqrt((effective - 1) / (d + 1)) - 1) + self.step_memory  # d_sigma, (55)
        scale_of_worse = min(
            1 + self.rank_one / self.rank_mu,  # (50)
            1 + 2 * effective_of_worse / (effective + 2),  # (51)
            (1 - self.rank_one - self.rank_mu) / (d * self.rank_mu),  # (52)
        )
        scale = np.where(raw > 0, 1 / better.sum(), max(scale_of_worse, 0.0) / max(-raw[raw < 0].sum(), 1e-300))
        self.weights: Array = raw * scale  # w, (53)


class Distribution:
    """A normal distribution that moves towards good points and takes their shape.

    Args:
        mean: Where it starts, of shape (coordinates,).
        step: The first standard deviation of all coordinates.
        offspring: The number of points of an update, at least 2.
    """

    def __init__(self, mean: Array, step: float, offspring: int) -> None:
        d = self.dimension = len(mean)
        self.recombination = Recombination(d, offspring)
        self.mean, self.step, self.updates = mean.copy(), step, 0  # m, sigma, g
        self.covariance: Array = np.eye(d)  # C
        self._shape_path, self._step_path = np.zeros(d), np.zeros(d)  # p_c, p_sigma
        self._expected = math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d))  # chi_n, the length of a normal vector
        self._longest = math.sqrt(d) + 2 * d / (d + 2)  # c_y, the length to which steps are cut (injection, section 3)
        self._decompose()

    @property
    def offspring(self) -> int:
        """The number of points of an update."""
        return self.recombination.offspring

    def _decompose(self) -> None:
        values, self._axes = np.linalg.eigh((self.covariance + self.covariance.T) / 2)  # C = B D^2 B^T
        least = values[-1] / _LONGEST_TO_SHORTEST**2
        if values[0] < least:  # Negative weights and rounding errors can leave it indefinite.
            values = np.maximum(values, least)
            self.covariance = (self._axes * values) @ self._axes.T
        self.lengths: Array = np.sqrt(values)
        """The lengths of the axes relative to the step, the shortest first."""
        self.__dict__.pop("to_sphere", None)
        self.__dict__.pop("from_sphere", None)

    @cached_property
    def from_sphere(self) -> Array:
        """The matrix that makes steps from vectors of independent standard normal numbers."""
        return self._axes * (self.step * self.lengths)

    @cached_property
    def to_sphere(self) -> Array:
        """The inverse of `from_sphere`."""
        return (self._axes / (self.step * self.lengths)).T

    @property
    def deviations(self) -> Array:
        """The standard deviations of the coordinates."""
        return self.step * np.sqrt(np.diag(self.covariance))

    @property
    def is_degenerate(self) -> bool:
        """Whether it is as narrow as the resolution of numbers, as long as rounding errors allow, or has no end."""
        ratio = self.lengths[-1] / max(self.lengths[0], 1e-300)
        return bool(not 1e-14 < self.step < 1e4 or self.deviations.max() < 1e-11 or ratio > 0.99 * _LONGEST_TO_SHORTEST)

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """Random points, of shape (count, coordinates)."""
        return self.mean + rng.normal(size=(count, self.dimension)) @ self.from_sphere.T  # (5)

    def distances(self, points: Array) -> Array:
        """The Mahalanobis distances of points from the mean, in standard deviations."""
        spherical: Array = (points - self.mean) @ self.to_sphere.T
        return np.asarray(np.linalg.norm(spherical, axis=1))

    def update(self, points: Array) -> None:
        """Learn from as many points as an update needs, wherever they come from.

        Args:
            points: Shape (offspring, coordinates), the best first.
        """
        d, of = self.dimension, self.recombination
        lengths = self.distances(points)
        cut = np.minimum(1.0, self._longest / np.maximum(lengths, 1e-300))
        steps = (points - self.mean) / self.step * cut[:, None]  # y
        lengths = lengths * cut
        shift = of.weights[: of.parents] @ steps[: of.parents]  # <y>_w, (41)
        independent = self._axes @ (self.to_sphere @ shift) * self.step  # C^-1/2 <y>_w
        self.mean = self.mean + self.step * shift  # (42)
        rate = of.step_memory
        self._step_path = (1 - rate) * self._step_path + math.sqrt(
            rate * (2 - rate) * of.effective
        ) * independent  # (43)
        self.updates += 1
        length = float(np.linalg.norm(self._step_path))
        settled = length / math.sqrt(1 - (1 - rate) ** (2 * self.updates)) < (1.4 + 2 / (d + 1)) * self._expected  # h
        rate = of.shape_memory
        late = math.sqrt(rate * (2 - rate) * of.effective) * shift if settled else 0.0
        self._shape_path = (1 - rate) * self._shape_path + late  # (45)
        scaled = np.where(of.weights >= 0, of.weights, of.weights * d / np.maximum(lengths**2, 1e-9))  # w°, (46)
        scaled[(of.weights < 0) & (lengths < 1e-3)] = 0.0  # A step of no length has no direction to be avoided.
        lost = 0.0 if settled else of.rank_one * rate * (2 - rate)
        self.covariance = (  # (47)
            (1 + lost - of.rank_one - of.rank_mu * of.weights.sum()) * self.covariance
            + of.rank_one * np.outer(self._shape_path, self._shape_path)
            + of.rank_mu * (steps.T * scaled) @ steps
        )
        self.step *= math.exp(min(1.0, of.step_memory / of.damping * (length / self._expected - 1)))  # (44)
        self._decompose()
