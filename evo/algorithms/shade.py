"""Asynchronous L-SHADE: differential evolution that adapts its own parameters, with a population that shrinks.

R. Tanabe and A. S. Fukunaga, "Improving the search performance of SHADE using linear population size reduction", 2014
IEEE Congress on Evolutionary Computation, doi:10.1109/CEC.2014.6900380; SHADE itself: doi:10.1109/CEC.2013.6557555;
current-to-pbest/1 with an archive: J. Zhang and A. C. Sanderson, "JADE", doi:10.1109/TEVC.2009.2014613.

There are no generations. Each target waits for one trial at a time, and the one that has waited longest is next. What a
trial was made from travels in its strategy, so that every worker computes the same population and memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.checks import check_count, check_probability
from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.space.space import Genome

_SPREAD = 0.1  # The scale of the Cauchy distribution of F and the standard deviation of CR.
_LEAST_PARENTS = 4  # A target, the best, and two others.
_SMALLEST, _FOR_EACH_GENE, _SHARE = 10, 18, 0.2  # Initial sizes without a size of the user; see `_initial_size`.
_WITHOUT_BUDGET = 30


@final
@dataclass(frozen=True)
class Shade(Algorithm):
    """L-SHADE: for numbers and long searches (1,000 evaluations), also on many workers; it is robust to rugged losses.

    Args:
        size: The number of individuals in the population at first; None chooses it from the budget and the number of
            parameters, at least 10, at most 18 for each parameter.
        least: The number of individuals at the end of the budget, to which the population shrinks linearly.
        memory: The number of entries in the memory of parameters that have led to better individuals.
        best: The share of the population towards the best of which trials move.
        archive: The size of the archive of replaced individuals, in sizes of the population.
        anew: The probability that a category is drawn at random.
    """

    size: int | None = None  # N_init
    least: int = 4  # N_min
    memory: int = 6  # H
    best: float = 0.11  # p
    archive: float = 2.0  # r_arc; 2.6 in the paper
    anew: float = 0.1

    def __post_init__(self) -> None:
        check_count("least", self.least, least=_LEAST_PARENTS)
        if self.size is not None:
            check_count("size", self.size, least=self.least)
        check_count("memory", self.memory)
        check_probability("best", self.best)
        check_probability("anew", self.anew)
        if isinstance(self.archive, bool) or not isinstance(self.archive, int | float) or not 0 <= self.archive < 100:
            raise UserError(f"archive is {self.archive!r}: give a number of sizes of the population, such as 2.0")

    @property
    def bred_by(self) -> str:
        return "shade"

    def start(self, setup: Setup) -> Learner:
        return _State(self, setup)

    def size_at(self, used: int, left: float, genes: int) -> int:
        """The number of individuals in the population after so many evaluations (linear reduction, L-SHADE).

        Args:
            used: The number of evaluations so far.
            left: The number of those that are left, or infinite.
            genes: The number of genes.
        """
        budget = used + left
        if math.isinf(budget):
            return self.size or max(self.least, _WITHOUT_BUDGET)
        initial = self.size or self._initial_size(budget, genes)
        return round(initial + (self.least - initial) * used / max(budget, 1))

    def _initial_size(self, budget: float, genes: int) -> int:
        # The paper's 18 for each gene would be a whole budget of hundreds, so that few trials would learn from another.
        affordable = round(_SHARE * math.sqrt(budget * genes))
        return max(self.least, min(max(_SMALLEST, affordable), max(_SMALLEST, _FOR_EACH_GENE * genes)))


@dataclass
class _Member:
    """A place in the population.

    Args:
        identity: The individual that holds it.
        genome: Its genome.
        loss: Its loss.
        trials: The number of trials so far for which this place was the target.
    """

    identity: Identity
    genome: Genome
    loss: float
    trials: int = 0


class _State(Learner):
    def __init__(self, algorithm: Shade, setup: Setup) -> None:
        self.algorithm, self.setup, self.space = algorithm, setup, setup.space
        self.members: list[_Member] = []  # P, the best first.
        self.archive: list[Genome] = []  # A
        self.size: int | None = None  # N, as the latest trial says; None before any says so.
        self.memory = _Memory(algorithm.memory)
        self.trials = self.told = 0

    def learn(self, individual: Known, loss: float | None) -> None:
        self.told += 1
        trial = _trial_of(individual)
        self.size = trial.get("size", self.size)
        target = next((member for member in self.members if member.identity == trial.get("target")), None)
        if target is not None:
            target.trials += 1
            self.trials += 1
        if loss is not None:
            new = _Member(individual.identity, individual.genome, loss)
            if target is None:
                self._add(new)
            elif loss <= target.loss:
                if loss < target.loss:
                    self.memory.note(trial["F"], trial["CR"], target.loss - loss)
                self._replace(target, new)
            self.members.sort(key=lambda member: (member.loss, member.identity))
        self._shrink()
        if self.trials >= len(self.members):  # As many trials as a generation has.
            self.trials = 0
            self.memory.update()

    def _add(self, new: _Member) -> None:
        """Add one of the initial population, or of somebody else, or one whose target is gone, if it is good enough."""
        if self.size is None or len(self.members) < self.size:
            new.trials = min((member.trials for member in self.members), default=0)
            self.members.append(new)
        elif new.loss < self.members[-1].loss:
            self._replace(self.members[-1], new)

    def _replace(self, member: _Member, new: _Member) -> None:
        if new.loss < member.loss:
            self.archive.append(member.genome)
        new.trials = member.trials
        self.members[self.members.index(member)] = new

    def _shrink(self) -> None:
        if self.size is not None:
            del self.members[max(self.size, _LEAST_PARENTS) :]
        excess = len(self.archive) - round(self.algorithm.archive * max(len(self.members), _LEAST_PARENTS))
        if excess > 0:
            rng = self.setup.generator(self.told)
            for _ in range(excess):
                self.archive.pop(int(rng.integers(len(self.archive))))

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        size = self.algorithm.size_at(view.used, view.left, len(self.space))
        trials = [trial for trial in map(_trial_of, view.running) if trial]
        flying = Counter(trial.get("target") for trial in trials)
        drawn = flying.pop(None, 0)
        if len(self.members) < _LEAST_PARENTS or len(self.members) + drawn < size:
            yield Individual(genome=self.space.sample(rng), strategy={"shade": {"size": size}}, parents=())
        if len(self.members) < _LEAST_PARENTS:
            return
        members = self.members[: max(size, _LEAST_PARENTS)]
        order = [members[place] for place in rng.permutation(len(members))]
        order.sort(key=lambda member: (flying[member.identity], member.trials))
        while True:
            for target in order:
                yield self._trial(target, members, size, rng)

    def _trial(self, target: _Member, members: Sequence[_Member], size: int, rng: np.random.Generator) -> Individual:
        factor, rate = self.memory.draw(rng)  # F, CR
        best = members[int(rng.integers(max(2, round(self.algorithm.best * len(members)))))]
        others = [member for member in members if member is not target]
        first = others[int(rng.integers(len(others)))]  # x_r1
        pool = [member.genome for member in others if member is not first] + self.archive
        second = pool[int(rng.integers(len(pool)))]  # x_r2, of the union of P and A
        x = target.genome
        mutant = _mutant((x, best.genome, first.genome, second), factor)
        mutant = np.where(self.space.ordered, mutant, self._categories((x, best.genome, first.genome), factor, rng))
        crossed = rng.random(len(x)) < rate  # Binomial crossover, of one gene at least.
        if len(x):
            crossed[int(rng.integers(len(x)))] = True
        return Individual(
            genome=np.where(crossed, mutant, x),
            strategy={"shade": {"F": factor, "CR": rate, "target": list(target.identity), "size": size}},
            parents=tuple(dict.fromkeys((target.identity, best.identity, first.identity))),
        )

    def _categories(self, given: tuple[Genome, ...], factor: float, rng: np.random.Generator) -> Genome:
        """Categories have no differences: each is that of the best, of another or of the target, or a random one."""
        x, best, first = given
        share = rng.random(len(x))
        taken = np.where(share < factor / 2, best, np.where(share < factor, first, x))
        anew = np.floor(rng.random(len(x)) * np.where(self.space.ordered, 1.0, self.space.cells))
        return np.where(rng.random(len(x)) < self.algorithm.anew, anew, taken)


class _Memory:
    """The memory of the parameters that have led to better individuals (L-SHADE, Algorithm 1)."""

    def __init__(self, entries: int) -> None:
        self.factors: list[float] = [0.5] * entries  # M_F
        self.rates: list[float | None] = [0.5] * entries  # M_CR; None is the terminal value.
        self.next = 0  # k
        self.successes: list[tuple[float, float, float]] = []  # S_F, S_CR, and by how much the loss became lower.

    def draw(self, rng: np.random.Generator) -> tuple[float, float]:
        """A scale factor and a crossover rate, near those of a random entry."""
        entry = int(rng.integers(len(self.factors)))  # r_i
        center = self.rates[entry]
        rate = 0.0 if center is None else min(max(float(rng.normal(center, _SPREAD)), 0.0), 1.0)
        factor = 0.0
        while factor <= 0.0:
            factor = self.factors[entry] + _SPREAD * float(rng.standard_cauchy())
        return min(factor, 1.0), rate

    def note(self, factor: float, rate: float, gain: float) -> None:
        """Note a success."""
        self.successes.append((factor, rate, gain))

    def update(self) -> None:
        """Replace the oldest entry by the means of the successes since the last update, if there were any."""
        if not self.successes:
            return
        factors, rates, gains = np.array(self.successes).T
        gains = np.minimum(gains, np.finfo(float).max)  # The difference of two losses may be infinite.
        weights = np.maximum(gains / gains.max(), 1e-12)  # Their sum cancels in the means.
        self.factors[self.next] = _lehmer(factors, weights)
        is_terminal = self.rates[self.next] is None or rates.max() == 0.0
        self.rates[self.next] = None if is_terminal else _lehmer(rates, weights)
        self.next = (self.next + 1) % len(self.factors)
        self.successes = []


def _lehmer(values: Genome, weights: Genome) -> float:
    """The weighted Lehmer mean (L-SHADE, mean_WL)."""
    return float((weights * values**2).sum() / (weights * values).sum())


def _mutant(given: tuple[Genome, ...], factor: float) -> Genome:
    """current-to-pbest/1 of numbers; a number that would leave its bounds stops half-way to them (JADE, SHADE)."""
    x, best, first, second = given
    # A gene that does not exist in the target is that of another; its differences are not known, so they are zero.
    base = np.where(np.isnan(x), np.where(np.isnan(best), first, best), x)
    moved = base + factor * np.nan_to_num(best - x) + factor * np.nan_to_num(first - second)
    return np.where(moved < 0.0, base / 2, np.where(moved > 1.0, (1 + base) / 2, moved))


def _trial_of(individual: Individual) -> dict[str, Any]:
    """What this algorithm has written into the strategy of an individual; empty if it did not breed it."""
    trial = individual.strategy.get("shade")
    if not isinstance(trial, dict):
        return {}
    return {**trial, "target": tuple(trial["target"])} if "target" in trial else trial
