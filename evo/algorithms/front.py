"""The default for several objectives: operators and models around a population that spreads along the front."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import msgspec
import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.distribution import Array
from evo.algorithms.front_operators import by_differences, by_pairs
from evo.algorithms.improvement import volumes_added
from evo.algorithms.objective_models import Encoding, ObjectiveModels, Sample, random_radii, random_weights
from evo.algorithms.selected import SelectedPopulation
from evo.algorithms.tpe import TPE
from evo.checks import check_count, check_probability
from evo.population.individual import Individual, Known

# An operator begins as if it had this many evaluations with a reward of one half.
_PRIOR = 10.0
# Probabilities follow rewards to this power.
_POWER = 2.0
# The least share of near models, and of wide ones: of the first individuals, and in the end. They improve most while
# little is known, and slowly near to the front.
_LEADS, _EARLY, _LEADS_LATE = 0.4, 250, 0.1
_TINY = 1e-9
# The population has so many at least, and grows by one for so many individuals, up to the size.
_LEAST, _GROWTH = 20, 8
# The latest individuals that models may learn from beside the population.
_RECENT = 400
# Descents, and offspring of operators, among which models choose.
_DESCENTS, _OFFSPRING = 20, 60
# How often pairs are of the front rather than of the whole population.
_LEADING = 0.7
# What promises to violate bounds by v units counts exp(-v 10^u) times as much, u uniform between these: models are not
# exact where bounds are met, so that now and then they should keep away from them.
_CAUTION = (0.0, 2.0)
# So many candidates of one operator are tried before another one is asked.
_CANDIDATES = 16


@final
@dataclass(frozen=True)
class FrontSearch(Algorithm):
    """Searches the front of several objectives, with a population that is selected as in SMS-EMOA.

    Four operators have one history: Gaussian processes of all objectives, whose candidate is the one that promises to
    add most to the hypervolume; differential evolution; crossover and mutation; and TPE. Each is chosen as often as its
    individuals have recently reached the front. What runs counts as the models expect it, so that many workers spread
    out. Bounds are kept first: of individuals that violate some, those that do so less are better.

    Args:
        size: The number of individuals in the population at most, at least 4.
        initial: The number of individuals that are drawn at random at first; None chooses it from the parameters.
        floor: The least probability of each operator, from 0 to 0.25.
        forgetting: The weight of a new reward once an operator has had many, above 0 and at most 1.
    """

    size: int = 100
    initial: int | None = None
    floor: float = 0.05
    forgetting: float = 0.05

    def __post_init__(self) -> None:
        check_count("size", self.size, least=4)
        if self.initial is not None:
            check_count("initial", self.initial)
        check_probability("floor", self.floor)
        check_probability("forgetting", self.forgetting)

    @property
    def bred_by(self) -> str:
        return "front"

    @property
    def takes_several(self) -> bool:
        return True

    def start(self, setup: Setup) -> FrontLearner:
        return FrontLearner(self, setup)


class FrontLearner(Learner):
    """The population, what models learn from, and the credit of each operator.

    Args:
        constants: The constants of the algorithm.
        setup: What it knows from the start.
    """

    def __init__(self, constants: FrontSearch, setup: Setup) -> None:
        self.constants, self.setup, self.space = constants, setup, setup.space
        self.population = SelectedPopulation(min(_LEAST, constants.size))
        self.encoding = Encoding(setup.space)
        genes = len(setup.space)
        self.initial = constants.initial or min(8 + genes // 2, 20)
        self._recent: list[Known] = []
        self._told = 0
        # The losses of the first individuals, most of which were drawn at random.
        self._first: list[tuple[float, ...]] = []
        self._tpe = TPE().start(setup)
        self._operators: Mapping[str, Callable[[View, np.random.Generator], Iterator[Individual]]] = {
            "near": partial(self._of_models, False),
            "wide": partial(self._of_models, True),
            "differences": self._of_differences,
            "pairs": self._of_pairs,
            "tpe": self._of_tpe,
        }
        self._credit = dict.fromkeys(self._operators, 0.5)
        self._rewarded = dict.fromkeys(self._operators, _PRIOR)
        self._models: dict[bool, tuple[int, ObjectiveModels]] = {}

    # What is learnt.

    def learn(self, individual: Known, loss: float | None) -> None:
        self._told += 1
        self._tpe.learn(individual, loss)
        enters = False
        if individual.status == "completed" and len(individual.vector) == self.setup.objectives.count:
            grown = _LEAST + self._told // _GROWTH
            self.population.size = min(self.constants.size, grown)
            enters = self.population.add(individual)
            self._recent.append(individual)
            del self._recent[:-_RECENT]
            if len(self._first) < self.initial:
                self._first.append(individual.vector)
        operator = individual.bred_by.removeprefix("front/")
        if operator in self._credit:
            self._rewarded[operator] += 1
            weight = max(self.constants.forgetting, 1 / self._rewarded[operator])
            self._credit[operator] += weight * (enters - self._credit[operator])

    def shares(self) -> dict[str, float]:
        """The probability of each operator."""
        most = max(self._credit.values())
        powers = {name: max(credit / max(most, _TINY), _TINY) ** _POWER for name, credit in self._credit.items()}
        floor = min(self.constants.floor, 1 / len(powers))
        leading = max(_LEADS_LATE, _LEADS * min(1.0, _EARLY / max(self._told, 1)))
        leasts = {name: max(floor, leading if name in ("near", "wide") else 0.0) for name in powers}
        free, total = 1 - sum(leasts.values()), sum(powers.values())
        return {name: leasts[name] + free * power / total for name, power in powers.items()}

    # What is proposed.

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        if len(self.population) < 4 or self._told < self.initial or not len(self.space):
            while True:
                yield Individual(genome=self.space.sample(rng), parents=(), bred_by="random")
        shares = self.shares()
        names, chances = list(shares), np.array(list(shares.values()))
        for chosen in rng.choice(len(names), size=len(names), replace=False, p=chances / chances.sum()):
            name = names[chosen]
            for candidate, _ in zip(self._operators[name](view, rng), range(_CANDIDATES), strict=False):
                by = candidate.bred_by if candidate.bred_by == "random" else f"front/{name}"
                yield msgspec.structs.replace(candidate, bred_by=by)

    def _of_tpe(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        return self._tpe.propose(view, rng)

    def _of_differences(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        population, leading = self.population.genomes, np.array([one.genome for one in self.population.front])
        for genome in by_differences(population, leading, self.space, _CANDIDATES, rng):
            yield Individual(genome=genome, parents=())

    def _of_pairs(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        leading = np.array([one.genome for one in self.population.front])
        among = leading if rng.random() < _LEADING else self.population.genomes
        for genome in by_pairs(among, self.space, _CANDIDATES, rng):
            yield Individual(genome=genome, parents=())

    def _of_models(self, is_wide: bool, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Candidates by how much they promise to add to the front, beside what runs."""
        models = self.models(is_wide)
        genomes = self._candidates(models, rng)
        losses, violations = models.predict(self.encoding.points(genomes))
        front = self.population.front
        known = models.scaled(np.array([one.losses for one in front]))
        if view.running:
            expected, violated = models.predict(self.encoding.points(np.array([one.genome for one in view.running])))
            known = np.concatenate([known, expected[violated < 0.5]])
        reference = models.reference(rng.random() if is_wide else 0.0)
        if front[0].violation > 0.0:
            gains = -violations
        else:
            gains = volumes_added(known, losses, reference, rng) * np.exp(-(10 ** rng.uniform(*_CAUTION)) * violations)
        for place in np.argsort(-gains, kind="stable"):
            yield Individual(genome=genomes[place], parents=())

    def _candidates(self, models: ObjectiveModels, rng: np.random.Generator) -> Array:
        """Genomes of descents of the models from the population, and of both other operators."""
        population, front = self.population.genomes, self.population.front
        leading = np.array([one.genome for one in front])
        bred = by_differences(population, leading, self.space, _OFFSPRING // 2, rng)
        crossed = by_pairs(leading, self.space, _OFFSPRING // 2, rng)
        weights = random_weights(_DESCENTS, self.setup.objectives.count, rng)
        losses = models.scaled(np.array([one.losses for one in front]))
        terms = weights[:, None, :] * losses[None]
        scalarised = terms.max(axis=2) + 0.05 * terms.sum(axis=2)
        likes = [leading[place] for place in scalarised.argmin(axis=1)]
        radii = random_radii(_DESCENTS, self.encoding.numbers, rng)
        points = models.descend(self.encoding.points(np.array(likes)), weights, radii)[:, : self.encoding.numbers]
        low = [self.encoding.coordinates.genome(point, like) for point, like in zip(points, likes, strict=True)]
        return np.concatenate([bred, crossed, low])

    def models(self, is_wide: bool) -> ObjectiveModels:
        """The models of what is known now."""
        if is_wide not in self._models or self._models[is_wide][0] != self._told:
            made = ObjectiveModels(self.encoding, self.sample, is_wide)
            self._models[is_wide] = self._told, made
        return self._models[is_wide][1]

    @property
    def sample(self) -> Sample:
        """What models learn from."""
        members = [self.population[place] for place in self.population.order()]
        selected = {one.identity for one in members}
        others = [one for one in self._recent if one.identity not in selected]
        genomes = [*(one.genome for one in members), *(one.genome for one in others)]
        violations = [*(one.violation for one in members), *(one.violation for one in others)]
        return Sample(
            genomes=np.array(genomes),
            losses=np.array([*(one.losses for one in members), *(one.vector for one in others)], dtype=float),
            violations=np.array(violations),
            population=len(members),
            front=len(self.population.front),
            first=np.array(self._first, dtype=float),
        )
