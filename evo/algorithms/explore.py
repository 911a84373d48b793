"""How hyperparameters change when a training goes on from another individual's state: a little, or drawn anew.

M. Jaderberg and others, "Population Based Training of Neural Networks", 2017, section 4.1.1 ("explore"),
arXiv:1711.09846. As in Ray Tune, a number is multiplied by a factor, a value of an ordered list moves to a neighbour,
and each is drawn anew with a certain probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evo.space.genes import Gene
from evo.space.parameters import Choice
from evo.space.space import Genome, Space
from evo.space.values import is_number


@dataclass(frozen=True)
class Explorer:
    """Changes the genes that may change while a network trains; every other gene stays.

    Args:
        space: The search space.
        factors: The factors by which numbers are multiplied, each equally often.
        resample: The probability with which a gene is drawn anew instead.
    """

    space: Space
    factors: Sequence[float]
    resample: float

    def perturbed(self, genome: Genome, rng: np.random.Generator, strength: float = 1.0) -> Genome:
        """A genome of which each changeable gene has moved, or was drawn anew.

        Categories without order have no neighbours: they stay unless they are drawn anew. If nothing but such genes may
        change, one of them is drawn anew, so that something changes.

        Args:
            genome: The genome of the individual whose state is taken over, shape (genes,).
            rng: The only source of randomness.
            strength: The power to which factors are raised: less than 1 for smaller changes.

        Returns:
            Shape (genes,), with values that may violate constraints.
        """
        changed = genome.copy()
        places = self.changeable(genome)
        for place in places:
            if rng.random() < self.resample:
                changed[place] = self.space.sample_gene(place, rng, genome)
            elif self.space.ordered[place]:
                changed[place] = self._moved(place, float(genome[place]), rng, strength)
        if places and np.array_equal(changed, genome, equal_nan=True):
            place = places[int(rng.integers(len(places)))]
            changed[place] = self.space.sample_gene(place, rng, genome)
        return changed

    def crossed(self, genome: Genome, other: Genome, rng: np.random.Generator) -> Genome:
        """A genome that has each changeable gene of one of two parents, and is then perturbed a little.

        Args:
            genome: The genome of the individual whose state is taken over, shape (genes,).
            other: The genome of the second parent, which is equal where nothing may change in a training.
            rng: The only source of randomness.

        Returns:
            Shape (genes,), with values that may violate constraints.
        """
        of_other = self.space.mutable & (rng.random(len(genome)) < 0.5)
        return self.perturbed(np.where(of_other, other, genome), rng, strength=0.5)

    def changeable(self, genome: Genome) -> list[int]:
        """The places of genes that exist in a genome and may change while a network trains."""
        return [int(place) for place in np.flatnonzero(self.space.mutable & ~np.isnan(genome))]

    def _moved(self, place: int, gene: float, rng: np.random.Generator, strength: float) -> float:
        """An ordered gene, multiplied by one of the factors; where that changes nothing, by another one."""
        of_place = self.space.gene_at(place)
        factors = [float(factor) ** strength for factor in rng.permutation(self.factors)]
        is_list = isinstance(self.space.parameters[of_place.name], Choice)
        for factor in factors:
            moved = _neighbour(of_place, gene, factor) if is_list else _multiplied(of_place, gene, factor)
            if moved != gene:
                return moved
        return gene


def _neighbour(gene_of: Gene, gene: float, factor: float) -> float:
    """The gene of the next value of a list, upwards or downwards."""
    cell = round(gene * gene_of.cells - 0.5) + (1 if factor > 1 else -1)
    return gene_of.of_cell(min(max(cell, 0), int(gene_of.cells) - 1))


def _multiplied(gene_of: Gene, gene: float, factor: float) -> float:
    """The gene of a number times a factor, within its limits; of a grid, at least the next value."""
    value = gene_of.decode(gene)
    assert is_number(value)
    low, high = sorted((float(gene_of.decode(0.0)), float(gene_of.decode(1.0))))  # type: ignore[arg-type]
    # A factor cannot move zero, which instead moves by the same share of the range.
    target = float(value) * factor if value else (factor - 1.0) * (high - low)  # type: ignore[arg-type]
    target = min(max(target, low), high)
    if math.isinf(gene_of.cells):
        return gene_of.encode(target)
    # On a grid, cells are as far from one another as the values are, on a linear as on a log scale.
    cells = int(gene_of.cells)
    step = (high - low) / (cells - 1)
    cell, before = round((target - low) / step), round((float(value) - low) / step)  # type: ignore[arg-type]
    if cell == before:
        cell += (target > float(value)) - (target < float(value))  # type: ignore[arg-type]
    return gene_of.of_cell(min(max(cell, 0), cells - 1))
