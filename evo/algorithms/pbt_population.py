"""Proposes the segments of a population of trainings: who goes on, from whose state, and with which hyperparameters.

Nobody waits for anybody: whoever is free goes on with the member that is the least advanced, so that most others have
been at its step, and it is compared with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import msgspec
import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.explore import Explorer
from evo.algorithms.own import checked_algorithm
from evo.algorithms.pbt_architectures import Architectures, architecture_of
from evo.algorithms.pbt_members import Member, Members, Milestone
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.segments import Segment
from evo.space.space import Genome

NAME = "pbt"
"""The short name by which its individuals are recorded."""
LONGEST_INTERVAL = 2**31
"""The most steps of an interval."""
_FOUNDERS = 30  # So many new trainings are proposed before others go on.
_VARIANTS = 4  # So many changes of one donor are proposed, as constraints or its own course may rule some out.


@dataclass(frozen=True, kw_only=True)
class TrainingRules:
    """The constants of population-based training; see `evo.algorithms.pbt.PopulationBasedTraining`.

    Args:
        interval: The number of steps between two comparisons.
        quantile: The share of the best, and of the worst.
        factors: The factors by which numbers are multiplied.
        resample: The probability with which a parameter is drawn anew.
        population: The number of members.
        is_crossed: Whether hyperparameters of two members are combined.
        lineages: The number of members of each architecture; 0 if architectures are not told apart.
        inner: Proposes architectures.
        growth: The factor by which intervals grow from training to training.
    """

    interval: int
    quantile: float
    factors: Sequence[float]
    resample: float
    population: int
    is_crossed: bool
    lineages: int
    inner: Algorithm
    growth: int


@dataclass(frozen=True)
class _Now:
    """What a proposal goes by.

    Args:
        view: What is known now.
        idle: The places that nobody works on.
        count: The number of all places, with those that are being made.
    """

    view: View
    idle: Sequence[Member]
    count: int

    def is_donor(self, one: Milestone) -> bool:
        """Whether others may go on from the state of a segment."""
        return one.donor is not None and one.identity in self.view.kept and one.identity not in self.view.lost


class TrainedPopulation(Learner):
    """The state of population-based training on one worker.

    Args:
        rules: The constants.
        setup: What is known from the start.
    """

    def __init__(self, rules: TrainingRules, setup: Setup) -> None:
        self._rules, self._space = rules, setup.space
        self._interval = rules.interval
        self._size = max(rules.population, setup.workers)
        group_of = (lambda genome: architecture_of(setup.space, genome)) if rules.lineages else lambda genome: b""
        self._group_of: Callable[[Genome], bytes] = group_of
        self._members = Members(rules.quantile, self._interval, self._size, setup, group_of)
        self._explorer = Explorer(setup.space, rules.factors, rules.resample)
        self._architectures: Architectures | None = None
        if rules.lineages:
            self._architectures = Architectures(checked_algorithm(rules.inner), setup, rules.quantile, rules.lineages)

    def learn(self, individual: Known, loss: float | None) -> None:
        reached = self._members.learn(individual, loss)
        if reached and self._architectures:
            is_first = individual.segment is not None and individual.segment.donor is None
            self._architectures.learn(reached.group, reached, is_first)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        now = self._now(view)
        too_many = min(now.count - self._size, len(now.idle) - 1)
        drops = self._members.superfluous(now.idle, too_many) if too_many > 0 else []
        idle = [one for one in now.idle if one.holder not in drops]
        for candidate in self._candidates(replace(now, idle=idle), rng):
            if drops and candidate.segment is not None:
                segment = msgspec.structs.replace(candidate.segment, drops=tuple(drops))
                candidate = msgspec.structs.replace(candidate, segment=segment)
            yield candidate

    def _now(self, view: View) -> _Now:
        # In a session with other islands, an individual of another one may have taken a place.
        places = {
            holder: place
            for holder, place in self._members.places.items()
            if place.latest is None or place.latest.donor is None or place.latest.identity in view.kept
        }
        busy, made, dropped = set[Identity](), 0, set[Identity]()
        for one in view.running:
            if (segment := one.segment) is not None:
                dropped.update(segment.drops)
                if segment.replaces in places:
                    busy.add(segment.replaces)
                else:
                    made += 1
        kept = [place for holder, place in places.items() if holder not in dropped or holder in busy]
        idle = [place for place in kept if place.holder not in busy]
        return _Now(view, idle, len(kept) + made)

    def _candidates(self, now: _Now, rng: np.random.Generator) -> Iterator[Individual]:
        if now.count < self._size:
            yield from islice(self._founders(None, now, rng), _FOUNDERS)
        for place in _in_turn(now.idle, now.view, rng):
            yield from self._at(place, now, rng)
        yield from self._founders(None, now, rng)

    def _at(self, place: Member, now: _Now, rng: np.random.Generator) -> Iterator[Individual]:
        """Candidates for one place, in the order of Algorithm 1: exploit and explore if need be, or go on."""
        own = place.latest
        if (own is not None and own.is_over) or self._is_given_up(place, now):
            yield from self._anew(place, now, rng)
        if own is not None and own.is_over:
            return
        if own is None or not now.is_donor(own):
            yield from self._exploit(place, math.inf, now, rng)
            yield from islice(self._founders(place, now, rng), _FOUNDERS)
        elif place.has_failed:
            yield from self._exploit(place, math.inf, now, rng)
            for _ in range(_VARIANTS):
                yield self._child(own, self._explorer.perturbed(own.genome, rng), place, "retry")
        else:
            if self._members.is_worst(own):
                yield from self._exploit(place, own.loss, now, rng)
                if self._members.is_behind(own.step):
                    yield from self._anew(place, now, rng)
            yield self._child(own, own.genome, place, "continue")

    def _is_given_up(self, place: Member, now: _Now) -> bool:
        """Whether the architecture of a member is among the worst; not while others of it come to this step."""
        if not self._architectures or not self._architectures.is_worst(place.group, place.step):
            return False
        coming = (one for one in now.view.running if one.segment is not None and one.segment.until <= place.step)
        return all(self._group_of(one.genome) != place.group for one in coming)

    def _exploit(self, place: Member, loss: float, now: _Now, rng: np.random.Generator) -> Iterator[Individual]:
        """Go on from the state of a better one, with changed hyperparameters."""
        best, others = self._members.better(place, loss, now.is_donor)
        yield from self._from(best, others, place, rng)

    def _anew(self, place: Member, now: _Now, rng: np.random.Generator) -> Iterator[Individual]:
        """Begin a new training, or help others to their end if the budget is not enough for new ones."""
        if not self._members.is_enough(now.view.left):
            donors = self._members.by_share(now.is_donor)
            count = max(1, math.ceil(len(donors) * self._rules.quantile))
            yield from self._from(donors[:count], donors[count:], place, rng)
        yield from islice(self._founders(place, now, rng), _FOUNDERS)

    def _from(
        self, best: Sequence[Milestone], others: Sequence[Milestone], place: Member, rng: np.random.Generator
    ) -> Iterator[Individual]:
        """Go on from one of the best, or else, where their states are missing, from the next best."""
        for donor in [*(best[chosen] for chosen in rng.permutation(len(best))), *others]:
            mates = [one for one in best if one is not donor and self._is_alike(one, donor)]
            for _ in range(_VARIANTS):
                if self._rules.is_crossed and mates:
                    mate = mates[int(rng.integers(len(mates)))]
                    genome = self._explorer.crossed(donor.genome, mate.genome, rng)
                    yield self._child(donor, genome, place, "crossover", mate.identity)
                else:
                    yield self._child(donor, self._explorer.perturbed(donor.genome, rng), place, "exploit")

    def _is_alike(self, one: Milestone, other: Milestone) -> bool:
        return architecture_of(self._space, one.genome) == architecture_of(self._space, other.genome)

    def _child(self, donor: Milestone, genome: Genome, place: Member, how: str, *mates: Identity) -> Individual:
        until = (donor.step // donor.interval + 1) * donor.interval
        return Individual(
            genome=genome,
            strategy=self._said(donor.interval),
            parents=(donor.identity, *mates),
            bred_by=f"{NAME}/{how}",
            segment=Segment(until=until, donor=donor.donor, replaces=place.holder),
        )

    def _founders(self, place: Member | None, now: _Now, rng: np.random.Generator) -> Iterator[Individual]:
        """New trainings, of which one in a place that is over has longer intervals than the one before it."""
        interval = self._interval
        if place is not None and place.latest is not None and place.latest.is_over:
            interval = min(LONGEST_INTERVAL, place.latest.interval * self._rules.growth)
        segment = Segment(until=interval, replaces=place.holder if place else None)
        for genome, parents, name in self._beginnings(now, rng):
            yield Individual(
                genome=genome, strategy=self._said(interval), parents=parents, bred_by=name, segment=segment
            )

    def _beginnings(self, now: _Now, rng: np.random.Generator) -> Iterator[tuple[Genome, tuple[Identity, ...], str]]:
        """Genomes of new trainings, their parents, and the names of what proposes them."""
        if self._architectures:
            if (genome := self._incomplete(now)) is not None:
                for _ in range(_FOUNDERS):
                    drawn = self._space.sample(rng)
                    yield np.where(self._space.mutable, drawn, genome), (), f"{NAME}/member"
            begun = {self._group_of(one.genome) for one in now.view.running}
            for one in islice(self._architectures.propose(now.view, rng), _FOUNDERS):
                if (group := self._group_of(self._whole(one.genome, rng))) in begun or group in self._architectures:
                    continue  # Another choice of what may change is no other architecture.
                name = f"{NAME}/{one.bred_by or 'architecture'}"
                yield one.genome, () if one.parents is None else one.parents, name
        while True:
            yield self._space.sample(rng), (), f"{NAME}/new"

    def _whole(self, genome: Genome, rng: np.random.Generator) -> Genome:
        """A genome as it will be recorded."""
        return self._space.encode(self._space.complete(genome, rng))

    def _incomplete(self, now: _Now) -> Genome | None:
        """The genome of a member of an architecture that has fewer members than it is to have; None if none has."""
        assert self._architectures is not None
        begun, genomes = self._architectures.begun.copy(), dict[bytes, Genome]()
        for one in now.idle:
            if one.latest is not None:
                genomes.setdefault(one.group, one.latest.genome)
        for running in now.view.running:
            if running.segment is not None:
                genomes.setdefault(group := self._group_of(running.genome), running.genome)
                begun[group] += running.segment.donor is None
        for group, genome in genomes.items():
            if begun[group] < self._rules.lineages and not self._architectures.is_given_up(group):
                return genome
        return None

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
