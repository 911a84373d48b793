"""Tree-structured Parzen estimator: points that are likely among the good individuals and unlikely among the others.

Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; with joint kernels over several genes as in
Falkner et al., BOHB, ICML 2018, https://arxiv.org/abs/1807.01774. With several objectives, good and bad are told apart
by ranks and hypervolume contributions: Ozaki et al., Multiobjective Tree-Structured Parzen Estimator, 2022,
doi:10.1613/jair.1.13188.
"""

from __future__ import annotations

import bisect
import math
from collections import ChainMap
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.parzen import Floats, GeneGroup, KernelDensity, gene_groups
from evo.algorithms.selected import SelectedPopulation
from evo.checks import check_count, check_probability
from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.space.space import Genome, Space
from evo.space.values import Params

_Ranked: TypeAlias = list[tuple[float, Identity]]
_FIRST: Identity = (0, 0)  # The lowest identity.


@final
@dataclass(frozen=True)
class TPE(Algorithm):
    """Draws from a density of good individuals, and prefers what a density of all others makes unlikely.

    Genes that exist under the same condition form a group, with densities of the individuals in which it is active. A
    candidate is put together group by group, parents first, so that a branch is not preferred because it has many
    genes. What runs counts as bad, so that many workers spread out. With pruning, individuals are compared at the
    highest rung that enough of them have reached. A share of the proposals is drawn at random, because all good ones
    may lie in a branch of the space whose best point is not the best of all.

    Args:
        initial: The number of individuals that are drawn at random, and must have finished, before anything is
            learnt from them.
        good: The share of individuals that count as good, gamma.
        most_good: The number of individuals that count as good at most.
        candidates: The number of draws of which the best one is proposed.
        anywhere: The probability that a proposal is drawn at random.
        uniform: The weight of the uniform density among the kernels, each of which has the weight 1.
        kernels: The number of bad individuals, and of running ones, that are used at most. Of more, the best half is
            used, and of the others some with ranks that lie equally far apart.
    """

    initial: int = 10
    good: float = 0.1  # gamma
    most_good: int = 25
    candidates: int = 24
    anywhere: float = 0.1
    uniform: float = 1.0
    kernels: int = 200

    def __post_init__(self) -> None:
        for name, least in {"initial": 1, "most_good": 1, "candidates": 1, "kernels": 2}.items():
            check_count(name, getattr(self, name), least)
        check_probability("good", self.good)
        check_probability("anywhere", self.anywhere)
        if not 0 < self.uniform < math.inf:
            raise UserError(f"uniform is {self.uniform!r}: the weight of the uniform density is a number above 0")

    @property
    def bred_by(self) -> str:
        return "tpe"

    @property
    def takes_several(self) -> bool:
        return True

    def start(self, setup: Setup) -> Learner:
        several = setup.objectives.are_several
        return _ParzenLearnerOfFronts(self, setup.space) if several else _ParzenLearner(self, setup.space)


class _ParzenLearner(Learner):
    """All that has finished, in the order of losses."""

    def __init__(self, constants: TPE, space: Space) -> None:
        self._constants, self._space = constants, space
        self._groups = gene_groups(space)
        searched = [gene.name for gene in space.genes if not gene.is_constant]
        self._place_of = {name: place for place, name in enumerate(searched)}
        # The group of each gene, by the name of its parameter.
        self._group_of = {gene.name: number for number, group in enumerate(self._groups) for gene in group.genes}
        self._genomes: dict[Identity, Genome] = {}
        # The losses of all that has finished, in ascending order; infinite for failed ones.
        self._ranked: _Ranked = []
        self._completed: _Ranked = []
        self._failed: set[Identity] = set()

    def learn(self, individual: Known, loss: float | None) -> None:
        self._genomes[individual.identity] = individual.genome
        entry = (math.inf if loss is None else loss, individual.identity)
        bisect.insort(self._ranked, entry)
        if loss is None:
            self._failed.add(individual.identity)
        elif individual.status == "completed":
            bisect.insort(self._completed, entry)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        good, bad = self._split(view) if len(self._ranked) >= self._constants.initial else ([], [])
        anywhere = rng.random() < self._constants.anywhere
        while anywhere or not good or not self._groups:
            yield Individual(genome=self._space.sample(rng), parents=(), bred_by="random")
        ratios = _Ratios(self._groups, good, bad, self._constants)
        while True:
            for genes in ratios.draw(0, rng):
                yield Individual(genome=self._complete(genes, ratios, rng), parents=())

    def _split(self, view: View) -> tuple[list[Genome], list[Genome]]:
        """The genomes of good individuals, and those of bad ones, among which the running ones are."""
        running = {one.identity: one.genome for one in view.running}
        ranked, behind = self._compared(view.rungs, running) if view.rungs else (self._ranked, [])
        successes = bisect.bisect_left(ranked, (math.inf, _FIRST))
        share = math.ceil(self._constants.good * len(ranked))  # gamma n
        count = min(share, self._constants.most_good, successes)
        compared = {identity for _, identity in ranked} if view.rungs else set()
        others = sorted(identity for identity in running if identity not in compared)
        most = self._constants.kernels
        bad = [identity for _, identity in _some(ranked[count:] + behind, most // 2, most)] + _some(others, 0, most)
        genomes = ChainMap(self._genomes, running)
        return [genomes[identity] for _, identity in ranked[:count]], [genomes[identity] for identity in bad]

    def _compared(
        self, rungs: Mapping[int, Mapping[Identity, float]], running: Container[Identity]
    ) -> tuple[_Ranked, _Ranked]:
        """With pruning: those that got far, by their figures there, and all others, which are bad in any case.

        As far as genes + 2 individuals have got, as in BOHB: with fewer, the densities say little. At a rung, the
        figures of running ones count like any other.
        """
        enough = len(self._space) + 2
        ranked = self._completed
        for rung in sorted(rungs, reverse=True):
            if len(ranked) >= enough:
                break
            figures = {i: figure for i, figure in rungs[rung].items() if i in self._genomes or i in running}
            if len(figures) > len(ranked):
                ranked = sorted((math.inf if i in self._failed else figure, i) for i, figure in figures.items())
        compared = {identity for _, identity in ranked}
        return ranked, [entry for entry in self._ranked if entry[1] not in compared]

    def _complete(self, genes: Floats, ratios: _Ratios, rng: np.random.Generator) -> Genome:
        """A genome with the given genes of the first group, and the most promising ones of all others that are active.

        A gene is active when the values of those that it depends on say so, which come before it.
        """
        genome = np.full(len(self._space), np.nan)
        genome[self._groups[0].places] = genes
        if len(self._groups) == 1:
            return genome
        drawn, values = {0}, Params()
        for index in self._space.order:
            gene = self._space.genes[index]
            if not gene.exists(values):
                continue
            group = self._group_of.get(gene.name, 0)
            if group not in drawn:
                drawn.add(group)
                genome[self._groups[group].places] = ratios.draw(group, rng)[0]
            values[gene.name] = gene.decode(0.0 if gene.is_constant else genome[self._place_of[gene.name]])
        return genome


class _ParzenLearnerOfFronts(_ParzenLearner):
    """With several objectives: the best by ranks and contributions are good, and all others are bad.

    The good ones are chosen among a bounded population, so that a long front costs no more than a short one. With
    pruning, those that were pruned are bad, because their losses cannot be compared.
    """

    def __init__(self, constants: TPE, space: Space) -> None:
        super().__init__(constants, space)
        self._selected = SelectedPopulation(constants.most_good)
        self._newest: list[Identity] = []

    def learn(self, individual: Known, loss: float | None) -> None:
        super().learn(individual, loss)
        self._newest.append(individual.identity)
        if individual.status == "completed" and individual.losses:
            self._selected.add(individual)

    def _split(self, view: View) -> tuple[list[Genome], list[Genome]]:
        running = {one.identity: one.genome for one in view.running}
        count = min(math.ceil(self._constants.good * len(self._newest)), self._constants.most_good)  # gamma n
        good = [self._selected[place].identity for place in self._selected.order()[:count]]
        chosen = set(good)
        others = [identity for identity in reversed(self._newest) if identity not in chosen]
        most = self._constants.kernels
        bad = _some(others, most // 2, most) + _some(sorted(running), 0, most)
        genomes = ChainMap(self._genomes, running)
        return [genomes[identity] for identity in good], [genomes[identity] for identity in bad]


class _Ratios:
    """The densities of good and of bad individuals in each group of genes, made when they are first needed."""

    def __init__(
        self, groups: Sequence[GeneGroup], good: Sequence[Genome], bad: Sequence[Genome], constants: TPE
    ) -> None:
        self._groups, self._constants = groups, constants
        self._sides = np.array(good), np.array(bad).reshape(-1, len(good[0]))
        self._densities: dict[int, list[KernelDensity]] = {}

    def draw(self, number: int, rng: np.random.Generator) -> Floats:
        """Draws of the genes of a group from the density of the good, the most promising first.

        Returns:
            Shape (candidates, genes of the group).
        """
        if number not in self._densities:
            self._densities[number] = [self._density(self._groups[number], side) for side in self._sides]
        good, bad = self._densities[number]  # l and g
        points = good.draw(self._constants.candidates, rng)
        return points[np.argsort(bad.log(points) - good.log(points), kind="stable")]

    def _density(self, group: GeneGroup, genomes: Floats) -> KernelDensity:
        active = genomes[:, group.places]
        return KernelDensity(group, active[~np.isnan(active[:, 0])], self._constants.uniform)


_Item = TypeVar("_Item")


def _some(items: Sequence[_Item], first: int, most: int) -> list[_Item]:
    """At most some items: the first ones, and others that lie equally far apart."""
    if len(items) <= most:
        return list(items)
    spread = np.linspace(first, len(items) - 1, most - first).round().astype(int)
    return [*items[:first], *(items[place] for place in spread)]
