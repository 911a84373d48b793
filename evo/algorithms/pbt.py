"""Population-based training: hyperparameters that change while networks train, and weights that are inherited.

M. Jaderberg, V. Dalibard, S. Osindero, W. M. Czarnecki and others, "Population Based Training of Neural Networks",
2017, Algorithm 1, with truncation selection (section 4.1.1), arXiv:1711.09846

Each individual is a segment of a training. Nobody waits for anybody: whoever is free goes on with the member of the
population that is the least advanced, so that most others have been at its step, and it is compared with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

import msgspec
import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.explore import Explorer
from evo.algorithms.pbt_members import Member, Members, Milestone
from evo.checks import check_count, check_probability
from evo.errors import UserError
from evo.frames import representation
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.segments import Segment

_INTERVAL = re.compile(r"\s*(\d+)(?:\s*(?:epochs?|steps?))?\s*")
_LONGEST = 2**31  # Steps of an interval.
_FOUNDERS = 30  # So many new trainings are proposed before others go on.
_VARIANTS = 4  # So many changes of one donor are proposed, as constraints or its own course may rule some out.
_NAME = "pbt"


@final
@dataclass(frozen=True)
class PopulationBasedTraining(Algorithm):
    """Trains a population whose worst members go on from the weights of the best, with changed hyperparameters.

    Only parameters that may change while a network trains are changed, see `mutable` of `evo.Float`.

    Args:
        interval: The number of training steps between two comparisons, such as 2, or "2 epochs"; what a step is says
            the objective, for a LightningModule it is an epoch.
        quantile: The share of the best, from which the worst take over, and of the worst; above 0, at most 0.5.
        perturb: The factors by which numbers are multiplied, at least one, each above 0 and not 1.
        resample: The probability with which a parameter is drawn anew instead.
        population: The number of trainings; at least that of the workers of an island.
        explore: How hyperparameters change: perturb, or crossover of two good members of the same architecture, which
            is followed by a small perturbation.
        growth: The factor by which intervals are longer in a new training than in the one before it in its place, a
            whole number. The best interval is not known beforehand: short ones find changes fast, long ones look
            farther ahead; see A. Chebykin, T. Alderliesten and P. A. N. Bosman, "Iterated Population Based Training
            with Task-Agnostic Restarts", 2025, arXiv:2511.09190. 1 means that all are equal.
    """

    interval: int | str = 1
    quantile: float = 0.25
    perturb: Sequence[float] = (0.8, 1.2)
    resample: float = 0.25
    population: int = 16
    explore: Literal["perturb", "crossover"] = "perturb"
    growth: int = 1

    def __post_init__(self) -> None:
        steps_of(self.interval)
        if not _is_number(self.quantile) or not 0 < self.quantile <= 0.5:
            raise UserError(f"quantile is {self.quantile!r}: give a share above 0 and not above 0.5, such as 0.25")
        factors = self.perturb
        if not isinstance(factors, list | tuple) or not factors or not all(map(_is_factor, factors)):
            raise UserError(
                f"perturb is {representation(factors)}: give a list of factors, each above 0 and not 1, such as "
                "[0.8, 1.2]"
            )
        check_probability("resample", self.resample)
        check_count("population", self.population, least=2, most=_LONGEST)
        if self.explore not in ("perturb", "crossover"):
            raise UserError(f"explore is {self.explore!r}: give perturb or crossover")
        check_count("growth", self.growth, most=_LONGEST)

    @property
    def bred_by(self) -> str:
        return _NAME

    @property
    def first_segment(self) -> Segment:
        return Segment(until=steps_of(self.interval))

    def start(self, setup: Setup) -> Learner:
        return _Population(self, setup)


def steps_of(interval: int | str) -> int:
    """The number of training steps of an interval.

    Raises:
        UserError: It is no such number.

    Example:
        >>> steps_of(3), steps_of("2 epochs")
        (3, 2)
    """
    found = _INTERVAL.fullmatch(interval) if isinstance(interval, str) else None
    steps = int(found[1]) if found else interval
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= _LONGEST:
        raise UserError(
            f"interval is {interval!r}: give a whole number of training steps from 1, such as 2, or with a unit, "
            "such as '2 epochs' or '100 steps'"
        )
    return steps


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_factor(value: object) -> bool:
    return _is_number(value) and value > 0 and value != 1  # type: ignore[operator]


class _Population(Learner):
    def __init__(self, constants: PopulationBasedTraining, setup: Setup) -> None:
        self._constants, self._space = constants, setup.space
        self._interval = steps_of(constants.interval)
        self._size = max(constants.population, setup.workers)
        self._members = Members(constants.quantile, self._interval, self._size, (setup.island, setup.islands))
        self._explorer = Explorer(setup.space, tuple(constants.perturb), constants.resample)

    def learn(self, individual: Known, loss: float | None) -> None:
        self._members.learn(individual, loss)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        idle, count = self._who_is_idle(view)
        drops = self._members.superfluous(idle, min(count - self._size, len(idle) - 1)) if count > self._size else []
        for candidate in self._candidates([one for one in idle if one.holder not in drops], count, view, rng):
            if drops and candidate.segment is not None:
                segment = msgspec.structs.replace(candidate.segment, drops=tuple(drops))
                candidate = msgspec.structs.replace(candidate, segment=segment)
            yield candidate

    def _who_is_idle(self, view: View) -> tuple[list[Member], int]:
        """The places that nobody works on, and the number of all places, with those that are being made."""
        places, busy, made, dropped = self._members.places, set[Identity](), 0, set[Identity]()
        for one in view.running:
            if one.segment is not None:
                dropped.update(one.segment.drops)
                if one.segment.replaces in places:
                    busy.add(one.segment.replaces)
                else:
                    made += 1
        kept = [place for holder, place in places.items() if holder not in dropped or holder in busy]
        return [place for place in kept if place.holder not in busy], len(kept) + made

    def _candidates(
        self, idle: Sequence[Member], count: int, view: View, rng: np.random.Generator
    ) -> Iterator[Individual]:
        if count < self._size:
            for _ in range(_FOUNDERS):
                yield self._founder(None, rng)
        for place in _in_turn(idle, view, rng):
            yield from self._at(place, view, rng)
        while True:
            yield self._founder(None, rng)

    def _at(self, place: Member, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Candidates for one place, in the order of Algorithm 1: exploit and explore if need be, or go on."""
        own = place.latest
        if own is not None and own.is_over:
            yield from self._anew(place, view, rng)
            return
        is_lost = own is None or own.identity in view.lost
        is_worst = own is not None and self._members.records.is_worst(own.step, own.loss)
        if is_lost or place.has_failed:
            yield from self._exploit(place, math.inf, view, rng)
        elif own is not None and is_worst:
            yield from self._exploit(place, own.loss, view, rng)
            if self._members.is_behind(own.step):
                yield from self._anew(place, view, rng)
        if own is None or is_lost:
            yield self._founder(place.holder, rng)
        elif place.has_failed:
            for _ in range(_VARIANTS):
                yield self._child(own, self._explorer.perturbed(own.genome, rng), place, "retry")
        else:
            yield self._child(own, own.genome, place, "continue")

    def _exploit(self, place: Member, loss: float, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Go on from the state of a better one, with changed hyperparameters."""
        best, others = self._members.better(place.step or self._interval, loss, view.lost)
        best = [best[chosen] for chosen in rng.permutation(len(best))]
        for donor in [*best, *others]:
            if donor is place.latest:
                continue
            for _ in range(_VARIANTS):
                yield self._explored(donor, best, place, rng)

    def _anew(self, place: Member, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Begin a new training, or help others to their end if the budget is not enough for new ones."""
        if not self._members.is_enough(view.left):
            yield from self._join(place, view, rng)
        own = place.latest
        grown = own is not None and own.is_over
        yield self._founder(place.holder, rng, min(_LONGEST, own.interval * self._constants.growth) if grown else 0)

    def _join(self, place: Member, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Go on from one of the best that are not over, whatever their step."""
        donors = self._members.by_share(view.lost)
        best = donors[: max(1, math.ceil(len(donors) * self._constants.quantile))]
        for donor in [*(best[chosen] for chosen in rng.permutation(len(best))), *donors[len(best) :]]:
            for _ in range(_VARIANTS):
                yield self._explored(donor, best, place, rng)

    def _explored(
        self, donor: Milestone, good: Sequence[Milestone], place: Member, rng: np.random.Generator
    ) -> Individual:
        if self._constants.explore == "crossover":
            mates = [one for one in good if one is not donor and self._is_alike(one, donor)]
            if mates:
                mate = mates[int(rng.integers(len(mates)))]
                genome = self._explorer.crossed(donor.genome, mate.genome, rng)
                return self._child(donor, genome, place, "crossover", mate.identity)
        return self._child(donor, self._explorer.perturbed(donor.genome, rng), place, "exploit")

    def _is_alike(self, one: Milestone, other: Milestone) -> bool:
        """Whether two have the same architecture: equal values of all that may not change."""
        fixed = ~self._space.mutable
        return np.array_equal(one.genome[fixed], other.genome[fixed], equal_nan=True)

    def _child(
        self, donor: Milestone, genome: np.typing.NDArray[np.float64], place: Member, how: str, *mates: Identity
    ) -> Individual:
        until = (donor.step // donor.interval + 1) * donor.interval
        return Individual(
            genome=genome,
            strategy=self._said(donor.interval),
            parents=(donor.identity, *mates),
            bred_by=f"{_NAME}/{how}",
            segment=Segment(until=until, donor=donor.donor, replaces=place.holder),
        )

    def _founder(self, replaces: Identity | None, rng: np.random.Generator, interval: int = 0) -> Individual:
        interval = interval or self._interval
        return Individual(
            genome=self._space.sample(rng),
            strategy=self._said(interval),
            parents=(),
            bred_by=f"{_NAME}/new",
            segment=Segment(until=interval, replaces=replaces),
        )

    def _said(self, interval: int) -> dict[str, int]:
        return {} if interval == self._interval else {"interval": interval}


def _in_turn(idle: Sequence[Member], view: View, rng: np.random.Generator) -> list[Member]:
    """Idle places in the order in which they go on: the least advanced first, and trainings that are over last.

    Among equals, each worker takes those first that it has trained itself. So two workers that ask at the same moment
    seldom take the same one, and the state is where it is needed.
    """
    chance = rng.permutation(len(idle))

    def turn(number: int) -> tuple[bool, int, bool, int]:
        place = idle[number]
        is_over = place.latest is not None and place.latest.is_over
        return is_over, place.step, place.holder[0] != view.worker, int(chance[number])

    return [idle[number] for number in sorted(range(len(idle)), key=turn)]
