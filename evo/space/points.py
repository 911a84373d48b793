"""Points of a space with constraints, each with the amount by which it violates them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from evo.space.constraints import Constraint
from evo.space.genes import Gene
from evo.space.values import Params
from evo.space.violations import Term


class Searched(Protocol):
    """The search space, as far as this package needs it; see `evo.space.space.Space`."""

    names: tuple[str, ...]
    size: float

    @property
    def genes(self) -> Sequence[Gene]:
        """The genes of all parameters."""

    def draw(self, rng: np.random.Generator) -> list[float]:
        """A random value for every gene, regardless of the constraints."""

    def values(self, genes: Sequence[float]) -> Params:
        """The active parameters of a full set of genes."""

    def points(self, start: int = 0) -> Iterator[Params]:
        """All points of a finite space."""


@dataclass(frozen=True, eq=False)
class Point:
    """A point, feasible or not.

    Args:
        genes: The genes of all parameters, the inactive ones included.
        values: The active parameters.
        constraints: The constraints by which it is measured.
    """

    genes: list[float]
    values: Params
    constraints: Sequence[Constraint] = field(repr=False)

    @cached_property
    def violation(self) -> float:
        """By how much it violates the constraints; 0 where it fulfils them all."""
        return sum([constraint.violation(self.values) for constraint in self.constraints])


class Points:
    """Makes points, and knows the index of each parameter's gene.

    Args:
        space: The search space.
        constraints: The constraints, at least one.
    """

    def __init__(self, space: Searched, constraints: Sequence[Constraint]) -> None:
        self.space = space
        self.constraints = constraints
        # The index of each parameter's gene.
        self.places = {name: index for index, name in enumerate(space.names)}

    def at(self, genes: list[float]) -> Point:
        """The point of these genes."""
        return Point(genes, self.space.values(genes), self.constraints)

    def drawn(self, rng: np.random.Generator) -> Point:
        """A random point, regardless of the constraints."""
        return self.at(self.space.draw(rng))

    def changed(self, point: Point, index: int, gene: float) -> Point:
        """A point with another value of one gene."""
        genes = point.genes.copy()
        genes[index] = gene
        return self.at(genes)

    def violated(self, point: Point) -> list[Term]:
        """The terms of the constraints that a point violates."""
        return [
            term
            for constraint in self.constraints
            if constraint.applies(point.values)
            for term in constraint.terms
            if term.measure(point.values)
        ]
