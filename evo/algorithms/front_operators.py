"""How genomes are made from those of a population that spreads along a front: differences, and pairs."""

from __future__ import annotations

import numpy as np

from evo.algorithms.distribution import Array
from evo.space.space import Genome, Space

# Factors of differences, and the probabilities of one of which a gene is changed.
_FACTORS, _RATES = (0.2, 0.9), (0.2, 0.6, 1.0)
# The standard deviation of a step is 10^-u of the range, u uniform between these; of a grid, at least so many cells.
_LARGEST, _SMALLEST, _CELLS = 0.5, 3.5, 0.7
# The distribution index of simulated binary crossover.
_INDEX = 15.0
_ANEW = 0.1  # The probability that a category is drawn at random.


def by_differences(population: Array, leading: Array, space: Space, rng: np.random.Generator) -> Genome:
    """current-to-pbest/1 of differential evolution (doi:10.1109/TEVC.2009.2014613), in which the front is the best.

    Args:
        population: Genomes of shape (individuals, genes), at least 3.
        leading: The genomes of the front.
        space: The search space.
        rng: The only source of randomness.
    """
    target, first, second = population[rng.permutation(len(population))[:3]]
    best = leading[int(rng.integers(len(leading)))]
    factor = rng.uniform(*_FACTORS)
    base = np.where(np.isnan(target), np.where(np.isnan(best), first, best), target)
    pull = rng.random() < 0.5
    moved = base + factor * (pull * np.nan_to_num(best - target) + np.nan_to_num(first - second))
    if not pull:  # rand/1: around one of the front.
        moved += np.nan_to_num(best - base)
    moved = np.where(moved < 0.0, base / 2, np.where(moved > 1.0, (1 + base) / 2, moved))
    crossed = rng.random(len(base)) < rng.choice(_RATES)
    if len(base):
        crossed[int(rng.integers(len(base)))] = True
    start = target if pull else best
    made = np.where(crossed, moved, start)
    categories = np.where(rng.random(len(base)) < 0.5, best, first)
    return np.where(space.ordered, made, np.where(crossed, _drawn_anew(categories, space, rng), start))


def by_pairs(population: Array, space: Space, rng: np.random.Generator) -> Genome:
    """Simulated binary crossover of two (Deb and Agrawal 1995), and a step along a few genes.

    Args:
        population: Genomes of shape (individuals, genes), at least 1.
        space: The search space.
        rng: The only source of randomness.
    """
    first, second = population[rng.integers(len(population), size=2)]
    genome, count = first.copy(), len(first)
    if not count:
        return genome
    if rng.random() < 0.7:
        uniform = rng.random(count)
        spread = np.where(uniform < 0.5, 2 * uniform, 1 / (2 - 2 * uniform)) ** (1 / (_INDEX + 1))  # beta
        near = 0.5 * ((1 + spread) * first + (1 - spread) * second)
        swapped = rng.random(count) < 0.5
        made = np.where(swapped, 0.5 * ((1 - spread) * first + (1 + spread) * second), near)
        whole = np.where(swapped, second, first)
        genome = np.where(space.ordered & ~np.isnan(made), made, whole)
    changed = rng.random(count) < 1 / count
    changed[int(rng.integers(count))] = True
    cells = np.maximum(space.cells, 1.0)
    deviations = np.maximum(10.0 ** -rng.uniform(_LARGEST, _SMALLEST), np.where(np.isinf(cells), 0.0, _CELLS / cells))
    steps = deviations * rng.normal(size=count)
    anew = np.floor(rng.random(count) * np.where(space.ordered, 1.0, space.cells))
    return np.where(changed, np.where(space.ordered, np.clip(genome + steps, 0.0, 1.0), anew), genome)


def _drawn_anew(categories: Genome, space: Space, rng: np.random.Generator) -> Genome:
    anew = np.floor(rng.random(len(categories)) * np.where(space.ordered, 1.0, space.cells))
    return np.where(rng.random(len(categories)) < _ANEW, anew, categories)
