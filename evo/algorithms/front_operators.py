"""How genomes are made from those of a population that spreads along a front: by differences, and by pairs."""

from __future__ import annotations

import numpy as np

from evo.algorithms.distribution import Array
from evo.space.space import Space

# Factors of differences, and the probabilities of one of which a gene is changed.
_FACTORS, _RATES = (0.2, 0.9), (0.2, 0.6, 1.0)
# The standard deviation of a step is 10^-u of the range, u uniform between these; of a grid, at least so many cells.
_LARGEST, _SMALLEST, _CELLS = 0.5, 3.5, 0.7
# The probability of a crossover, and its distribution index.
_CROSSED, _INDEX = 0.7, 15.0
_ANEW = 0.1  # The probability that a category is drawn at random.


def by_differences(population: Array, leading: Array, space: Space, count: int, rng: np.random.Generator) -> Array:
    """Differential evolution: half current-to-pbest/1 (doi:10.1109/TEVC.2009.2014613), half best/1.

    The best is any of the front. A number that would leave its bounds stops half-way to them.

    Args:
        population: Genomes of shape (individuals, genes), at least 3.
        leading: The genomes of the front, of shape (individuals, genes).
        space: The search space.
        count: The number of genomes to make.
        rng: The only source of randomness.

    Returns:
        Shape (count, genes).
    """
    genes = population.shape[1]
    chosen = rng.random((count, len(population))).argsort(axis=1)[:, :3]
    target, first, second = (population[chosen[:, place]] for place in range(3))
    best = leading[rng.integers(len(leading), size=count)]
    factor, pulled = rng.uniform(*_FACTORS, (count, 1)), rng.random((count, 1)) < 0.5
    start = np.where(pulled, target, best)
    # A gene that does not exist in the start is that of another; its differences are not known, so they are zero.
    base = np.where(np.isnan(start), np.where(np.isnan(best), first, best), start)
    moved = base + factor * (np.nan_to_num(best - start) + np.nan_to_num(first - second))
    moved = np.where(moved < 0.0, base / 2, np.where(moved > 1.0, (1 + base) / 2, moved))
    crossed = rng.random((count, genes)) < rng.choice(_RATES, (count, 1))
    crossed[np.arange(count), rng.integers(genes, size=count)] = True
    categories = np.where(rng.random((count, genes)) < 0.5, best, first)
    categories = np.where(rng.random((count, genes)) < _ANEW, _any_categories(space, count, rng), categories)
    return np.where(crossed, np.where(space.ordered, moved, categories), start)


def by_pairs(population: Array, space: Space, count: int, rng: np.random.Generator) -> Array:
    """Simulated binary crossover of two (Deb and Agrawal, 1995), and steps along one or a few genes.

    Args:
        population: Genomes of shape (individuals, genes), at least 1.
        space: The search space.
        count: The number of genomes to make.
        rng: The only source of randomness.

    Returns:
        Shape (count, genes).
    """
    genes = population.shape[1]
    first, second = (population[rng.integers(len(population), size=count)] for _ in range(2))
    uniform, swapped = rng.random((count, genes)), rng.random((count, genes)) < 0.5
    spread = np.where(uniform < 0.5, 2 * uniform, 1 / (2 - 2 * uniform)) ** (1 / (_INDEX + 1))  # beta
    spread = np.where(swapped, -spread, spread)
    mixed = 0.5 * ((1 + spread) * first + (1 - spread) * second)
    mixed = np.where(space.ordered & ~np.isnan(mixed), mixed, np.where(swapped, second, first))
    made = np.where(rng.random((count, 1)) < _CROSSED, mixed, first)
    changed = rng.random((count, genes)) < 1 / genes
    changed[np.arange(count), rng.integers(genes, size=count)] = True
    finest = np.where(np.isinf(space.cells), 0.0, _CELLS / np.maximum(space.cells, 1.0))
    deviations = np.maximum(10.0 ** -rng.uniform(_LARGEST, _SMALLEST, (count, 1)), finest)
    stepped = np.clip(made + deviations * rng.normal(size=(count, genes)), 0.0, 1.0)
    return np.where(changed, np.where(space.ordered, stepped, _any_categories(space, count, rng)), made)


def _any_categories(space: Space, count: int, rng: np.random.Generator) -> Array:
    """Categories that are drawn at random; what stands in the places of numbers means nothing."""
    return np.asarray(np.floor(rng.random((count, len(space))) * np.where(space.ordered, 1.0, space.cells)))
