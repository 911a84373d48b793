"""Crossover: one individual whose genes come from several parents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from evo.checks import check_count, check_probability
from evo.errors import UserError
from evo.population.individual import Active, Individual, ancestors
from evo.propagators.base import Propagator
from evo.space.space import Genome, Space


class _Crossover(Propagator):
    """One individual from two."""

    _says_parents: ClassVar[bool] = True

    @property
    def parents(self) -> int | None:
        return 2

    @property
    def offspring(self) -> int | None:
        return 1


@final
@dataclass(frozen=True)
class CrossoverUniform(_Crossover):
    """Each gene comes from the first of two parents with a fixed probability, otherwise from the second.

    Args:
        contribution: The probability of a gene of the first parent, in [0, 1].
    """

    contribution: float = 0.5

    def __post_init__(self) -> None:
        check_probability("contribution", self.contribution)

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        first, second = parents
        return [_mixed(first, second, self.contribution, rng)]


@final
@dataclass(frozen=True)
class CrossoverMultiple(Propagator):
    """Each gene comes from any of several parents, all equally likely.

    Args:
        count: The number of parents that it takes; None means any number.
    """

    _says_parents: ClassVar[bool] = True

    count: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            check_count("count", self.count)

    @property
    def parents(self) -> int | None:
        return self.count

    @property
    def offspring(self) -> int | None:
        return 1

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        if not parents:
            raise UserError(f"{self!r} was given no parents: put it behind a Conditional that waits until there are")
        genomes = np.stack([parent.genome for parent in parents])
        chosen = rng.integers(len(parents), size=len(space))
        genome = genomes[chosen, np.arange(len(space))]
        contributors = [parents[index] for index in sorted(set(chosen.tolist()))]
        return [
            Individual(genome=_inherit(genome, *genomes), strategy=parents[0].strategy, parents=ancestors(contributors))
        ]


@final
@dataclass(frozen=True)
class CrossoverSigmoid(_Crossover):
    """Each gene comes from the better of two parents with a probability that grows with their difference in loss.

    The probability of the better parent is 1 / (1 + exp(-d / T)), where d is the difference of the losses: one half for
    equal parents, near one for a large difference (Boltzmann's sigmoid, as in simulated annealing).

    Args:
        temperature: The temperature T, in the units of the loss, above 0; the higher, the less the losses matter.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UserError(f"temperature is {self.temperature!r}: it must be above 0")

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        losses = [math.inf if parent.loss is None else parent.loss for parent in parents]
        better, worse = parents if losses[0] <= losses[1] else (parents[1], parents[0])
        difference = 0.0 if losses[0] == losses[1] else abs(losses[1] - losses[0])
        favour = 1 / (1 + math.exp(-difference / self.temperature))
        return [_mixed(better, worse, favour, rng)]


def _mixed(first: Individual, second: Individual, contribution: float, rng: np.random.Generator) -> Individual:
    genome = np.where(rng.random(len(first.genome)) < contribution, first.genome, second.genome)
    genome = _inherit(genome, first.genome, second.genome)
    return Individual(genome=genome, strategy=first.strategy, parents=ancestors([first, second]))


def _inherit(genome: Genome, *parents: Genome) -> Genome:
    """Fill genes that were inactive in the chosen parent with those of a parent that has them."""
    for parent in parents:
        missing = np.isnan(genome)
        if not missing.any():
            break
        genome = np.where(missing, parent, genome)
    return genome
