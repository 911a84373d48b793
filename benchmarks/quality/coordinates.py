"""A space as tools for vectors of numbers see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evo.space.space import Space

Vector = NDArray[np.float64]


def kinds_of(space: Space) -> set[str]:
    """What a tool must be able to handle besides floats: grids, categories, conditions, constraints."""
    ordered, finite = space.ordered, np.isfinite(space.cells)
    kinds = {"grids"} if bool(np.any(ordered & finite)) else set()
    if not ordered.all():
        kinds.add("categories")
    if any(gene.when for gene in space.genes):
        kinds.add("conditions")
    if space.feasibility is not None:
        kinds.add("constraints")
    return kinds


class Coordinates:
    """Coordinates of a space: floats and log-scaled grids from 0 to 1, other grids and categories as whole numbers.

    All parameters have a coordinate at all times; that of an inactive one has no effect.

    Args:
        space: The search space.
        rng: Is needed to complete parameters.
    """

    def __init__(self, space: Space, rng: np.random.Generator) -> None:
        self.space, self.rng = space, rng
        self.genes = [gene for gene in space.genes if not gene.is_constant]
        self.is_category = ~space.ordered
        in_log = np.array([getattr(gene, "log", False) for gene in self.genes], dtype=bool)
        self.is_whole = np.isfinite(space.cells) & ~in_log
        self.low = np.zeros(len(space))
        self.high = np.where(self.is_whole, space.cells - 1, 1.0)

    def __len__(self) -> int:
        """The number of coordinates."""
        return len(self.genes)

    def random(self) -> Vector:
        """A uniformly random point, of shape (coordinates,)."""
        return self.rng.uniform(self.low, self.high)

    def params(self, coordinates: Sequence[float] | Vector) -> Mapping[str, Any]:
        """The parameters of a point, of shape (coordinates,); what is out of bounds is clipped."""
        clipped = np.clip(np.asarray(coordinates, dtype=float), self.low, self.high)
        genome = np.array(
            [
                gene.of_cell(math.floor(value + 0.5)) if whole else value
                for gene, value, whole in zip(self.genes, clipped, self.is_whole, strict=True)
            ]
        )
        return self.space.complete(genome, self.rng)
