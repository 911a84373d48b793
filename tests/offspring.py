"""Parents and their offspring, and what a share of many trials may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from evo.population.population import Active, Individual
from evo.propagators import Propagator
from evo.space.limits import Choice, Float, Int
from evo.space.space import Space

# Of every kind.
SPACES = {
    "floats": Space({"x": (-1.0, 1.0), "y": Float(1e-5, 1e-1, log=True), "z": (5.0, 0.5)}),
    "integers": Space({"x": (1, 30), "y": Int(1, 512, log=True), "z": Int(0, 100, step=5)}),
    "categories": Space({"x": ("a", "b", "c"), "y": (False, True), "z": Choice("a", None, 1)}),
    "mixed": Space({"x": (-1.0, 1.0), "y": (1, 30), "z": ("a", "b", "c"), "w": (8, 16, 64)}),
    "conditional": Space(
        {
            "momentum": Float(0, 1, when={"optimizer": "sgd"}),
            "optimizer": ("sgd", "adam"),
            "layers": (1, 3),
            "width": Int(1, 512, log=True, when={"layers": [2, 3]}),
            "nesterov": Choice(False, True, when={"momentum_kind": "fixed"}),
            "momentum_kind": Choice("fixed", "free", when={"optimizer": "sgd"}),
        }
    ),
}

# For statistics.
FLOATS = Space({f"x{i}": (0.0, 1.0) for i in range(40)})
CATEGORIES = Space({f"c{i}": Choice([f"v{j}" for j in range(100)]) for i in range(12)})


def one_value(space: Space, value: float, loss: float | None = None, **strategy: Any) -> Individual:
    """An individual all of whose genes are the same."""
    return Individual(genome=np.full(len(space), value), identity=(0, 0), loss=loss, strategy=strategy)


def offspring_of(propagator: Propagator, parents: Active, space: Space, count: int, seed: int = 1) -> list[Individual]:
    """What it breeds from the parents, so many times."""
    rng = np.random.default_rng(seed)
    return [child for _ in range(count) for child in propagator(parents, space, rng)]


def share(of: Callable[[Individual], bool], among: Sequence[Individual]) -> float:
    """Of how many of them something is true."""
    return sum(map(of, among)) / len(among)


def near(probability: float, count: int) -> Any:
    """Within four standard deviations of a share of so many trials."""
    return pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / count) + 1e-12)


def changed(child: Individual, parent: Individual) -> int:
    """How many genes differ."""
    return int((child.genome != parent.genome).sum())


class Average(Propagator):
    """What a user may write: one method."""

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [Individual(genome=np.mean([parent.genome for parent in parents], axis=0))]
