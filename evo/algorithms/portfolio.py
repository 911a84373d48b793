"""The default: a portfolio of algorithms with one history, chosen for each proposal by what each has achieved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import msgspec
import numpy as np

from evo.algorithms.additive import AdditiveLearner, AdditiveSearch
from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.bred import Breeding, as_algorithm
from evo.algorithms.modelled import ModelledLearner, ModelledSearch
from evo.algorithms.own import checked_algorithm
from evo.algorithms.tpe import TPE
from evo.checks import check_probability
from evo.errors import UserError
from evo.population.individual import Individual, Known
from evo.propagators.base import Propagator
from evo.propagators.genetic import default_propagator
from evo.space.space import Space

# A member begins as if it had this many evaluations with a reward of one half.
_PRIOR = 10.0
# The least share of the modelled search where all genes are numbers with at least so many values, and while it cannot
# tell which of its points will be good: while their rank correlation with its predictions is below so much.
_LEADING, _LEADING_BLINDLY, _FINE = 0.7, 0.3, 8
_BLIND = 0.25
# The additive search is asked only where losses are nearly such sums, from this rank correlation with its predictions,
# and while the modelled search is blind: where both foresee, the modelled one gets nearer to the optimum.
_ADDITIVE = 0.6
# Credit and probabilities do not become smaller.
_TINY = 1e-9
# The individuals that breed in the genetic algorithm.
_PAIR = 2
# So many candidates of one member are tried before another member is asked.
_CANDIDATES = 24


@final
@dataclass(frozen=True)
class Portfolio(Algorithm):
    """Chooses among algorithms with probabilities that follow what each has recently achieved.

    Every member learns from all individuals, whoever proposed them. One that is better than all before is a reward,
    so that neither the scale of the loss nor its shift matters. Rewards are averaged over the evaluations of a member,
    not over time, so that a member is not preferred because its trainings are short. Of the usual members, the additive
    search is asked only while its model foresees what comes out, whoever has proposed it, and the modelled search's do
    not.

    Args:
        members: The algorithms and propagators by name. None means those of `usual_members`.
        floor: The least probability of each member, from 0 to 1 divided by the number of members.
        forgetting: The weight of a new reward once a member has had many, above 0 and at most 1.
        power: How strongly better members are preferred, at least 0: probabilities follow rewards to this power.
    """

    members: Mapping[str, Breeding] | None = None
    floor: float = 0.05
    forgetting: float = 0.05
    power: float = 3.0

    def __post_init__(self) -> None:
        check_probability("floor", self.floor)
        check_probability("forgetting", self.forgetting)
        if not (isinstance(self.power, int | float) and 0 <= self.power < math.inf):
            raise UserError(f"power is {self.power!r}: it must be a number, at least 0")
        if self.forgetting == 0:
            raise UserError("forgetting is 0: rewards would never change anything; give a number above it")
        if self.members is not None:
            _check_members(self.members)

    @property
    def bred_by(self) -> str:
        return "portfolio"

    def start(self, setup: Setup) -> PortfolioLearner:
        members = usual_members() if self.members is None else self.members
        algorithms = {name: checked_algorithm(as_algorithm(one)) for name, one in members.items()}
        return PortfolioLearner(self, algorithms, setup)


def _check_members(members: Any) -> None:
    if not isinstance(members, Mapping) or not members:
        raise UserError(f"members is {members!r}: give at least one algorithm by name, or leave it out")
    for name, one in members.items():
        if not isinstance(name, str) or "/" in name or not name:
            raise UserError(f"members has the name {name!r}: it must be a text without '/'")
        if not isinstance(one, Propagator | Algorithm):
            raise UserError(f"members has {name}: {one!r}, which is neither an algorithm nor a propagator")
        if isinstance(one, Algorithm) and one.first_segment is not None:
            raise UserError(
                f"members has {name}, which trains in parts, whose losses cannot be compared with those of whole "
                "trainings: give it as propagator itself"
            )


def usual_members() -> Mapping[str, Breeding]:
    """The members of a portfolio that names none."""
    return {
        "modelled": ModelledSearch(),
        "tpe": TPE(),
        "genetic": default_propagator(_PAIR),
        "additive": AdditiveSearch(),
    }


def least_share(space: Space, foresight: float = 1.0) -> float:
    """The least share of proposals of the modelled search: the more of a space are numbers, the more it needs.

    It improves nothing for a while and then fast, so that its share must not follow what it has just achieved alone.
    Where its models foresee nothing, as on functions with many local optima, the others are as good or better.

    Args:
        space: The search space.
        foresight: See `evo.algorithms.modelled.ModelledLearner.foresight`.
    """
    fine = space.ordered & (space.cells >= _FINE)
    leading = _LEADING_BLINDLY if foresight < _BLIND else _LEADING
    return leading * float(fine.mean()) if len(space) else 0.0


class PortfolioLearner(Learner):
    """The states of all members, and the credit of each.

    Args:
        constants: The constants of the portfolio.
        members: The algorithms by name.
        setup: What they know from the start.
    """

    def __init__(self, constants: Portfolio, members: Mapping[str, Algorithm], setup: Setup) -> None:
        self._constants = constants
        self._learners = {name: algorithm.start(setup) for name, algorithm in members.items()}
        self._names = {name: algorithm.bred_by for name, algorithm in members.items()}
        self._least = {name: min(constants.floor, 1 / len(members)) for name in members}
        self._space = setup.space
        self._credit = dict.fromkeys(members, 0.5)
        self._rewarded = dict.fromkeys(members, _PRIOR)
        self._best = math.inf

    def learn(self, individual: Known, loss: float | None) -> None:
        proposer, _, operator = individual.bred_by.partition("/")
        if proposer in self._credit:
            self._reward(proposer, float(loss is not None and loss < self._best))
        self._best = min(self._best, math.inf if loss is None else loss)
        # A member finds its own as it has proposed them; a strategy of others it could take for one of its own.
        own = msgspec.structs.replace(individual, bred_by=operator or self._names.get(proposer, ""))
        foreign = msgspec.structs.replace(individual, strategy={})
        for name, learner in self._learners.items():
            learner.learn(own if name == proposer else foreign, loss)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        shares = {name: share for name, share in zip(self._learners, self.shares(), strict=True) if share > 0}
        names = list(shares)
        for chosen in rng.choice(len(names), size=len(names), replace=False, p=list(shares.values())):
            name = names[chosen]
            for candidate, _ in zip(self._learners[name].propose(view, rng), range(_CANDIDATES), strict=False):
                operator = candidate.bred_by if candidate.bred_by != self._names[name] else ""
                by = candidate.bred_by if candidate.bred_by == "random" else f"{name}/{operator}".rstrip("/")
                yield msgspec.structs.replace(candidate, bred_by=by)

    def shares(self) -> list[float]:
        """The probability of each member, in their order; 0 if it is not asked at all."""
        most = max(self._credit.values())  # Credit becomes very small where nothing has improved for long.
        powers = {name: max(credit / most, _TINY) ** self._constants.power for name, credit in self._credit.items()}
        leasts = self._leasts()
        blind = self._blind()
        for name in blind:
            powers[name] = leasts[name] = 0.0
        free, total = max(0.0, 1 - sum(leasts.values())), sum(powers.values())
        shares = {name: leasts[name] + free * power / total for name, power in powers.items()}
        # Each of the others may be asked, after those that come first.
        shares = {name: 0.0 if name in blind else max(share, _TINY) for name, share in shares.items()}
        return [share / sum(shares.values()) for share in shares.values()]

    def _blind(self) -> list[str]:
        """The usual members that cannot tell which points will be good, and are not asked: the additive search."""
        additive, modelled = self._learners.get("additive"), self._learners.get("modelled")
        if self._constants.members is not None or not isinstance(additive, AdditiveLearner):
            return []
        is_led = isinstance(modelled, ModelledLearner) and modelled.foresight >= _BLIND
        return ["additive"] if is_led or additive.foresight < _ADDITIVE else []

    def _leasts(self) -> dict[str, float]:
        """The least probability of each member."""
        modelled, least = self._learners.get("modelled"), dict(self._least)
        if self._constants.members is None and isinstance(modelled, ModelledLearner):
            others = sum(least.values()) - least["modelled"]
            least["modelled"] = max(least["modelled"], min(least_share(self._space, modelled.foresight), 1 - others))
        return least

    def _reward(self, name: str, reward: float) -> None:
        self._rewarded[name] += 1
        weight = max(self._constants.forgetting, 1 / self._rewarded[name])
        self._credit[name] = max(_TINY, self._credit[name] + weight * (reward - self._credit[name]))
