"""Parents and their offspring, and what a share of many trials may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from evo.population.individual import Active, Individual, Known
from evo.propagators import Propagator
from evo.space.limits import Choice
from evo.space.space import Space

# Spaces with many genes, for statistics.
FLOATS = Space({f"x{i}": (0.0, 1.0) for i in range(40)})
CATEGORIES = Space({f"c{i}": Choice([f"v{j}" for j in range(100)]) for i in range(12)})


def one_value(space: Space, value: float, loss: float | None = None, **strategy: Any) -> Known:
    """An individual all of whose genes are the same."""
    return Known(genome=np.full(len(space), value), identity=(0, 0), loss=loss, strategy=strategy)


def offspring_of(propagator: Propagator, parents: Active, space: Space, count: int, seed: int = 1) -> list[Individual]:
    """What a propagator breeds from the parents, called `count` times."""
    rng = np.random.default_rng(seed)
    return [child for _ in range(count) for child in propagator(parents, space, rng)]


def share(of: Callable[[Individual], bool], among: Sequence[Individual]) -> float:
    """The share of individuals of which something is true."""
    return sum(map(of, among)) / len(among)


def near(probability: float, count: int) -> Any:
    """A probability, within four standard deviations of its share in `count` trials."""
    return pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / count) + 1e-12)


def changed(child: Individual, parent: Individual) -> int:
    """The number of genes that differ."""
    return int((child.genome != parent.genome).sum())


class Average(Propagator):
    """A propagator as a user may write it, with one method."""

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [Individual(genome=np.mean([parent.genome for parent in parents], axis=0))]
