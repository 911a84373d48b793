"""A small genetic algorithm between the two best: it goes where models see nothing, and it changes categories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.checks import check_probability
from evo.population.individual import Individual, Known
from evo.space.space import Genome, Space

# The standard deviation of a step is 10^-u of the range, u uniform between these; of a grid, at least so many cells.
_SMALLEST, _LARGEST, _CELLS = 4.0, 0.5, 0.7


@final
@dataclass(frozen=True)
class PairSearch(Algorithm):
    """Crosses the two best, draws single genes anew, and makes steps of all lengths along single coordinates.

    Args:
        crossover: The probability that each gene is exchanged with a probability of one half.
        mutation: The probability that one gene is drawn anew.
        anywhere: The probability that a point is drawn at random instead.
    """

    crossover: float = 0.7
    mutation: float = 0.4
    anywhere: float = 0.1

    def __post_init__(self) -> None:
        check_probability("crossover", self.crossover)
        check_probability("mutation", self.mutation)
        check_probability("anywhere", self.anywhere)

    @property
    def bred_by(self) -> str:
        return "pair"

    def start(self, setup: Setup) -> PairLearner:
        return PairLearner(self, setup.space)


class PairLearner(Learner):
    """It has learnt nothing: it looks at those that breed.

    Args:
        constants: The constants of the algorithm.
        space: The search space.
    """

    def __init__(self, constants: PairSearch, space: Space) -> None:
        self.constants, self.space = constants, space
        self.steps = np.nonzero(space.ordered & (space.cells > 1))[0]

    def learn(self, individual: Known, loss: float | None) -> None:
        pass

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        while True:
            if len(view.active) < 2 or rng.random() < self.constants.anywhere:
                yield Individual(genome=self.space.sample(rng), parents=(), bred_by=self.constants.bred_by)
                continue
            first, second = view.active[:2] if rng.random() < 0.5 else view.active[1::-1]
            genome = self._changed(first.genome, second.genome, rng)
            parents = (first.identity, second.identity)
            yield Individual(genome=genome, parents=parents, bred_by=self.constants.bred_by)

    def _changed(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        genome = first.copy()
        if not len(genome):
            return genome
        if rng.random() < self.constants.crossover:
            swapped = rng.random(len(genome)) < 0.5
            genome[swapped] = second[swapped]
        if rng.random() < self.constants.mutation:
            index = int(rng.integers(len(genome)))
            genome[index] = self.space.sample_gene(index, rng)
        if len(self.steps):
            index = self.steps[rng.integers(len(self.steps))]
            deviation = 10.0 ** -rng.uniform(_LARGEST, _SMALLEST)
            genome[index] += max(deviation, _CELLS / self.space.cells[index]) * rng.normal()
        return genome
