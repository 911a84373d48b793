"""Individuals that go on from the states of others: what is bred, and when nothing is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from records import NOW, finished, make_breeder, make_worker
from segmented import GoOn

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.own import checked_algorithm
from evo.engine.budget import Budget
from evo.engine.settings import WorkerSettings
from evo.engine.worker import Worker
from evo.errors import UserError
from evo.population.events import Started
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.outcome import Outcome
from evo.population.population import Population
from evo.population.segments import Donor, SavedState, Segment
from evo.space.parameters import Choice, Float, Int
from evo.space.space import Space

A, B, C = (0, 0), (0, 1), (0, 2)
SPACE = Space({"x": Float(1e-4, 1.0, log=True, mutable=True), "width": Int(1, 900), "rate": Float(1e-3, 0.9, log=True)})


def state(step: int = 1, **more: Any) -> SavedState:
    return SavedState(step=step, digest="d", **more)


def donor(identity: Identity = A, step: int = 1) -> Donor:
    return Donor(individual=identity, step=step, digest="d")


def population_of(space: Space, *params: dict[str, Any]) -> Population:
    """One that has trainings of these parameters, each with a state after one step."""
    population = Population(space)
    for generation, values in enumerate(params):
        segment = Segment(until=1)
        population.apply(Started(time=NOW, individual=(0, generation), island=0, params=values, segment=segment))
        population.apply(finished((0, generation), 0.5 + generation, state=state()))
    return population


@dataclass(frozen=True)
class Proposes(Algorithm):
    """Proposes these individuals, whatever it is told."""

    individuals: Sequence[Individual]
    until: int = 1

    @property
    def first_segment(self) -> Segment:
        return Segment(until=self.until)

    def start(self, setup: Setup) -> Learner:
        return _Proposes(self.individuals)


class _Proposes(Learner):
    def __init__(self, individuals: Sequence[Individual]) -> None:
        self._individuals = individuals

    def learn(self, individual: Known, loss: float | None) -> None:
        pass

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        return iter(self._individuals)


def going_on(genome: Any, come_from: Donor, **more: Any) -> Individual:
    return Individual(genome=np.asarray(genome, float), parents=(), segment=Segment(until=9, donor=come_from, **more))


def settings(**more: Any) -> WorkerSettings:
    values = {"worker": 0, "workers": 1, "seed": 0, "budget": Budget(), "host": "", "device": "cpu", **more}
    return WorkerSettings(**values)


def test_what_may_not_change_in_a_training_is_exactly_the_donors() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        params = SPACE.complete(SPACE.sample(rng), rng)
        population = population_of(SPACE, params)
        found = make_breeder(Proposes([going_on(SPACE.sample(rng), donor())]), population, settings()).breed(1)
        assert found is not None
        assert found.donor == donor()
        assert {**found.params, "x": 0} == {**params, "x": 0}
        assert found.params["x"] != params["x"]


def test_a_donor_that_is_unknown_replaced_lost_over_or_another_state_is_passed_over() -> None:
    params = [{"x": 0.1 * one, "width": one, "rate": 0.5} for one in range(1, 6)]
    population = population_of(SPACE, *params)
    over = finished((0, 2), 0.5, state=state(is_over=True))
    population.apply(over)
    replaced = Segment(until=1, replaces=B)
    population.apply(Started(time=NOW, individual=(0, 7), island=0, params=params[0], segment=replaced))
    wrong = [donor((9, 9)), donor(A, step=2), donor(B), donor(C), donor((0, 3)), donor((0, 7))]
    genome = SPACE.encode(params[0])
    candidates = [going_on(genome, one) for one in wrong]
    breeder = make_breeder(Proposes([*candidates, going_on(genome, donor((0, 4)))]), population, settings())
    breeder._learning.lose((0, 3))
    found = breeder.breed(8)
    assert found is not None
    assert found.donor == donor((0, 4))


def test_a_point_is_tried_again_from_another_state_and_not_from_the_same() -> None:
    params = {"x": 0.1, "width": 3, "rate": 0.5}
    population = population_of(SPACE, params, {**params, "x": 0.2})
    same = [going_on(SPACE.encode(params), donor(A)), going_on(SPACE.encode(params), donor(B))]
    breeder = make_breeder(Proposes(same), population, settings())
    for generation, parent in enumerate((A, B), start=2):
        found = breeder.breed(generation)
        assert found is not None
        assert (found.donor, found.params) == (donor(parent), params)
        identity = (0, generation)
        population.apply(Started(time=NOW, individual=identity, island=0, params=found.params, segment=found.segment))
        assert not breeder.is_new(found)
    drawn = breeder.breed(4)
    assert drawn is not None
    assert (drawn.bred_by, drawn.segment) == ("random", Segment(until=1))


def test_an_individual_that_is_passed_on_unchanged_begins_anew() -> None:
    population = population_of(SPACE, {"x": 0.1, "width": 3, "rate": 0.5})
    known = population.find(A)
    assert known is not None
    breeder = make_breeder(Proposes([known]), population, settings(allow_duplicates=True))
    found = breeder.breed(1)
    assert found is not None
    assert (found.segment, found.parents, found.bred_by) == (Segment(until=1), (A,), "Proposes")


def test_where_what_may_change_decides_on_what_may_not_only_points_that_fit_the_state_are_bred() -> None:
    space = Space({"kind": Choice("a", "b", mutable=True), "size": Int(1, 9, when={"kind": "b"})})
    population = population_of(space, {"kind": "a"})
    other = space.encode({"kind": "b", "size": 3})
    breeder = make_breeder(Proposes([going_on(other, donor())]), population, settings())
    found = breeder.breed(1)
    assert found is not None
    assert found.donor is None


def test_what_constraints_have_moved_still_has_the_donors_genes() -> None:
    space = Space({"x": Float(0.0, 1.0, mutable=True), "y": Float(0.0, 1.0, mutable=False)}, ["x + y < 1"])
    population = population_of(space, {"x": 0.1, "y": 0.8})
    found = make_breeder(Proposes([going_on([0.9, 0.1], donor())] * 9), population, settings()).breed(1)
    assert found is not None
    assert found.donor is None or found.params["y"] == 0.8
    assert sum(found.params.values()) < 1


def search(worker: Worker, *, saves: bool = True, take: Any = lambda identity, come_from: True) -> list[Started]:
    """Let a worker search alone until it is done."""
    begun: list[Started] = []
    for _ in range(300):
        if worker.is_done:
            return begun
        started, _events = worker.ask(NOW, lambda: None, take_state=take)
        if started is not None:
            assert started.segment is not None
            begun.append(started)
            saved = state(started.segment.until) if saves else None
            worker.tell(started.individual, Outcome(status="completed", loss=1.0, state=saved), NOW)
    raise AssertionError("it does not end")


def test_a_finite_space_is_not_exhausted_while_a_training_can_go_on() -> None:
    space = Space({"x": Choice(1, 2, mutable=True)})
    begun = search(make_worker(space, GoOn(places=2), Budget(evaluations=40)))
    assert len(begun) == 40
    assert max(one.segment.until for one in begun if one.segment) > 20


def test_where_nothing_can_go_on_the_worker_says_so() -> None:
    for saves, take in ((False, lambda identity, come_from: True), (True, lambda identity, come_from: False)):
        worker = make_worker(Space({"x": Choice(1, 2, 3, mutable=True)}), GoOn(places=9, leaps=1.0))
        assert len(search(worker, saves=saves, take=take)) == 3
        assert str(worker.stop_reason) == "no training can go on, and all points have been tried"


def test_donors_whose_states_are_gone_are_recorded_once_with_the_next_individual() -> None:
    worker = make_worker(SPACE, GoOn(places=3, leaps=0.0), Budget(evaluations=12))
    gone = {A, C}
    begun = search(worker, take=lambda identity, come_from: come_from.individual not in gone)
    lost = [identity for one in begun for identity in one.lost]
    assert sorted(lost) == sorted(gone)
    assert len(begun) == 12
    assert not {one.segment.donor.individual for one in begun if one.segment and one.segment.donor} & gone


def test_a_place_that_another_worker_takes_while_this_one_breeds_is_left_to_it_and_its_state_is_not_lost() -> None:
    space = Space({"x": Float(0.0, 1.0, mutable=True)})
    for news in ([on_a((7, 0))], [on_a((7, 0)), finished((7, 0), 0.1, state=state(2))], [on_a((7, 0), donor(B))]):
        population = population_of(space, {"x": 0.1}, {"x": 0.2})
        worker = make_worker(space, GoOn(places=2, leaps=0.0), population=population)
        arrived: list[Any] = []

        def refresh(worker: Worker = worker, news: Any = news, arrived: Any = arrived) -> None:
            if not arrived:
                arrived.extend(news)
                for event in news:
                    worker.receive(event, NOW)

        started, _events = worker.ask(NOW, refresh)
        assert started is not None
        assert started.segment is not None
        assert started.segment.replaces != A
        assert started.lost == ()


def test_a_state_that_went_because_its_place_was_taken_is_not_lost() -> None:
    space = Space({"x": Float(0.0, 1.0, mutable=True)})
    for is_taken in (True, False):
        population = population_of(space, {"x": 0.1})
        worker = make_worker(space, GoOn(places=1, leaps=0.0), population=population)
        tried: list[Identity] = []

        def take(identity: Identity, come_from: Donor, tried: Any = tried) -> bool:
            tried.append(come_from.individual)
            return False

        def refresh(worker: Worker = worker, tried: Any = tried, is_taken: bool = is_taken) -> None:
            if tried and is_taken:  # The news comes later than the file has gone.
                worker.receive(on_a((7, 0)), NOW)

        started, _events = worker.ask(NOW, refresh, take_state=take)
        assert tried == [A]
        assert started is not None
        assert started.lost == (() if is_taken else (A,))


def on_a(identity: Identity, come_from: Donor | None = None) -> Started:
    """Another worker's start in the first one's place."""
    segment = Segment(until=2, donor=come_from or donor(), replaces=A)
    return Started(time=NOW, individual=identity, island=0, params={"x": 0.5}, segment=segment)


def test_a_segment_in_flight_is_taken_up_under_its_own_identity_or_fails_where_the_state_is_gone() -> None:
    segment = Segment(until=2, donor=donor(), replaces=A)
    for is_there in (True, False):
        population = population_of(SPACE, {"x": 0.1, "width": 3, "rate": 0.5})
        params = {"x": 0.2, "width": 3, "rate": 0.5}
        population.apply(Started(time=NOW, individual=B, island=0, params=params, segment=segment))
        worker = make_worker(SPACE, GoOn(places=1), population=population)
        asked: list[tuple[Identity, Donor]] = []

        def take(identity: Identity, come_from: Donor, asked: Any = asked, is_there: bool = is_there) -> bool:
            asked.append((identity, come_from))
            return is_there

        started, events = worker.ask(NOW, lambda: None, take_state=take)
        assert asked == [(B, donor())]
        if is_there:
            assert started is not None
            assert (started.individual, started.params, started.segment) == (B, params, segment)
        else:
            assert started is None
            failed = population.find(B)
            assert failed is not None
            assert failed.status == "failed"
            assert events[0].error == "the state of its donor 0-0 is gone, and it has none of its own"  # type: ignore[union-attr]
            assert population.states.needed == {A}  # Another worker may have it.


@pytest.mark.parametrize(
    ("segment", "why"),
    [
        (Segment(until=0), "it must end after step 0"),
        (Segment(until=3, donor=donor(step=3)), "it must end after step 3"),
        ({"until": 3}, r"it must be an evo.algorithms.Segment, or None"),
        (Segment(until=-1), "it must be an evo.algorithms.Segment, or None"),
        (Segment(until=2**60), "it must be an evo.algorithms.Segment, or None"),
        (Segment(until=2, replaces=(-1, 0)), "it must be an evo.algorithms.Segment, or None"),
    ],
)
def test_a_users_algorithm_that_gives_an_impossible_segment_is_told_so(segment: Any, why: str) -> None:
    one = Individual(genome=np.full(len(SPACE), 0.5), segment=segment)

    class Own(Proposes):
        pass

    worker = make_worker(SPACE, Own([one]))
    with pytest.raises(UserError, match=why):
        worker.ask(NOW, lambda: None)


def test_the_first_segment_of_a_users_algorithm_is_checked() -> None:
    class Own(Proposes):
        @property
        def first_segment(self) -> Any:
            return 3

    with pytest.raises(UserError, match=r"Own\.first_segment fails.*segment 3: it must be an evo.algorithms.Segment"):
        _ = checked_algorithm(Own([])).first_segment
