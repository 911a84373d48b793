"""Mutation, which changes some genes of one individual, and initialisation, which draws all genes anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from evo.checks import check_count
from evo.errors import UserError
from evo.population.individual import Active, Individual, ancestors
from evo.propagators.base import Propagator
from evo.propagators.selection import choose
from evo.space.space import Space


class _Mutation(Propagator):
    """One individual from one."""

    _says_parents: ClassVar[bool] = True

    @property
    def parents(self) -> int | None:
        return 1

    @property
    def offspring(self) -> int | None:
        return 1


@final
@dataclass(frozen=True)
class PointMutation(_Mutation):
    """Draw some active genes anew, uniformly over their range.

    Args:
        points: The number of genes that are changed; all when fewer are active.
    """

    points: int = 1

    def __post_init__(self) -> None:
        check_count("points", self.points)

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [_redrawn(parents[0], self.points, space, rng)]


@final
@dataclass(frozen=True)
class RandomPointMutation(_Mutation):
    """Draw a random number of active genes anew, uniformly over their range.

    Args:
        min_points: The smallest number of genes.
        max_points: The largest number of genes, at least `min_points`; all are changed when fewer are active.
    """

    min_points: int = 1
    max_points: int = 2

    def __post_init__(self) -> None:
        check_count("min_points", self.min_points)
        check_count("max_points", self.max_points)
        if self.min_points > self.max_points:
            raise UserError(f"min_points is {self.min_points}: it must not be above max_points = {self.max_points}")

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        points = int(rng.integers(self.min_points, self.max_points + 1))
        return [_redrawn(parents[0], points, space, rng)]


@final
@dataclass(frozen=True)
class IntervalMutationNormal(_Mutation):
    """Move some active ordered genes (numbers, not categories) by a normal deviate, clipped to the bounds.

    Args:
        sigma: The standard deviation as a share of the range (of the logarithm on a log scale), above 0. On a grid it
            is at least one grid step, since a smaller one would hardly ever change the value.
        points: The number of genes that are changed; all when fewer are active and ordered.
    """

    sigma: float = 0.05
    points: int = 1

    def __post_init__(self) -> None:
        check_count("points", self.points)
        if not self.sigma > 0:
            raise UserError(f"sigma is {self.sigma!r}: it must be above 0")

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        genome = parents[0].genome.copy()
        candidates = (~np.isnan(genome) & space.ordered).nonzero()[0]
        for index in _some(candidates, self.points, rng):
            sigma = max(self.sigma, 1 / space.cells[index])
            genome[index] = min(max(genome[index] + sigma * rng.standard_normal(), 0.0), 1.0)
        return [Individual(genome=genome, strategy=parents[0].strategy, parents=ancestors(parents))]


@final
@dataclass(frozen=True)
class InitUniform(Propagator):
    """A new individual, uniform over the space, regardless of the parents."""

    _says_parents: ClassVar[bool] = True

    @property
    def bred_by(self) -> str:
        return "random"

    @property
    def offspring(self) -> int | None:
        return 1

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [Individual(genome=space.sample(rng), parents=(), bred_by=self.bred_by)]


def _redrawn(parent: Individual, points: int, space: Space, rng: np.random.Generator) -> Individual:
    genome = parent.genome.copy()
    for index in _some((~np.isnan(genome)).nonzero()[0], points, rng):
        genome[index] = space.sample_gene(index, rng, genome)
    return Individual(genome=genome, strategy=parent.strategy, parents=ancestors([parent]))


def _some(
    candidates: np.ndarray[tuple[int], np.dtype[np.intp]], points: int, rng: np.random.Generator
) -> Iterable[int]:
    return (int(candidates[place]) for place in choose(len(candidates), min(points, len(candidates)), rng))
