"""Searches whose individuals go on from one another's states: a small algorithm, a disk, and what must be true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from simulation import Result

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.engine.settings import TakeState
from evo.population.events import AnyEvent, Finished, Started, decode
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.segments import Donor, Segment
from evo.population.states import StatesInUse


@dataclass(frozen=True)
class GoOn(Algorithm):
    """Each place goes on from its own state, and now and then from another one's; the least advanced first.

    Args:
        places: The number of places of each island.
        leaps: The probability that a place goes on from another one's state.
    """

    places: int = 4
    leaps: float = 0.3

    @property
    def first_segment(self) -> Segment:
        return Segment(until=2)

    def start(self, setup: Setup) -> Learner:
        return _Places(self, setup)


class _Places(Learner):
    def __init__(self, constants: GoOn, setup: Setup) -> None:
        self._constants, self._setup = constants, setup
        self._known: dict[Identity, Known] = {}

    def learn(self, individual: Known, loss: float | None) -> None:
        self._known[individual.identity] = individual

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        busy = {one.segment.replaces for one in view.running if one.segment}
        kept = [self._known[one] for one in sorted(view.kept) if one in self._known and one not in view.lost]
        own = [one for one in kept if one.island % self._setup.islands == self._setup.island]
        made = sum(one.segment is not None and one.segment.replaces is None for one in view.running)
        if len(own) + made < self._constants.places:
            yield Individual(genome=self._setup.space.sample(rng), parents=())
        idle = sorted((one for one in own if one.identity not in busy), key=lambda one: (_step(one), one.identity))
        superfluous = [one.identity for one in idle[1:]][: max(0, len(own) - self._constants.places)]
        for place in idle:
            donor = kept[rng.integers(len(kept))] if rng.random() < self._constants.leaps else place
            until = _step(donor) + 2
            drops = tuple(one for one in superfluous if one != place.identity)
            segment = Segment(until=until, donor=donor.donor, replaces=place.identity, drops=drops)
            genome = donor.genome + rng.normal(scale=0.01, size=len(donor.genome))
            yield Individual(genome=genome, parents=(donor.identity,), segment=segment)


def _step(one: Known) -> int:
    assert one.state is not None
    return one.state.step


@dataclass
class Disk:
    """The states that individuals have left in their folders, which all ranks see.

    Args:
        states: The states that are there.
        inherited: Those that individuals in flight have taken over.
        most: The most states that were there at once.
        passed_over: The donors that were not there any more.
    """

    states: set[Identity] = field(default_factory=set)
    inherited: dict[Identity, Identity] = field(default_factory=dict)
    most: int = 0
    passed_over: list[Identity] = field(default_factory=list)
    _read: Counter[int] = field(default_factory=Counter)

    def taker(self, rank: int) -> TakeState:
        """Takes states over for a rank."""

        def take(identity: Identity, donor: Donor) -> bool:
            if identity in self.inherited:
                assert self.inherited[identity] == donor.individual
                return True
            if donor.individual not in self.states:
                self.passed_over.append(donor.individual)
                return False
            self.inherited[identity] = donor.individual
            return True

        return take

    def inspect(self, result: Result, rank: int) -> None:
        """Write and delete what a rank would, after each of its steps."""
        population, lines = result.workers[rank].population, result.journals[rank].lines
        for ended in map(decode, lines[self._read[rank] :]):
            if isinstance(ended, Finished) and ended.state is not None:
                self.states.add(ended.individual)
        self._read[rank] = len(lines)
        for identity in self.states - population.states.needed:
            known = population.find(identity)
            if known is not None and known.state is not None:
                self.states.remove(identity)
        self.most = max(self.most, len(self.states))


def check_segments(result: Result) -> StatesInUse:
    """Check that each segment goes on from where its donor ended, and that no place was taken twice knowingly."""
    starts, ends = result.of(Started), {one.individual: one for one in result.of(Finished) if one.state}
    steps = 0
    for start in starts:
        segment = start.segment
        assert segment is not None
        if segment.donor is not None:
            state = ends[segment.donor.individual].state
            assert (state.step, state.digest) == (segment.donor.step, segment.donor.digest), result.session
            steps = max(steps, segment.until)
    for identity, end in ends.items():
        segment = next(start.segment for start in starts if start.individual == identity)
        assert end.state.step == segment.until, result.session
    for rank, watched in enumerate(result.watched):
        _check_places(watched, rank, result)
    states = StatesInUse()
    for event in result.events:
        states.apply(event)
    for worker in result.survivors:
        if result.session.files:
            assert worker.population.states.needed == states.needed, result.session
    return states


def _check_places(watched: Sequence[AnyEvent], rank: int, result: Result) -> None:
    """Check that a rank has never taken a place of which it knew that another one was working on it."""
    before = [decode(line) for line in chain.from_iterable(result.before.values())]
    busy: dict[Identity, Identity] = {}
    for is_new, event in [*((False, one) for one in before), *((True, one) for one in watched)]:
        if isinstance(event, Started) and event.segment and event.segment.replaces:
            is_own = is_new and event.individual[0] == rank and event.individual not in busy and event.rank is None
            assert not (is_own and event.segment.replaces in busy.values()), (result.session, event)
            busy[event.individual] = event.segment.replaces
        elif isinstance(event, Finished) and event.status != "interrupted":
            busy.pop(event.individual, None)
