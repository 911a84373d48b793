"""What a worker tells its algorithm, what it makes of the candidates, and how a search goes on after a stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from records import NOW, ask, finished, make_worker, migrated, pollinated, replayed, started

import evo
from evo.algorithms import Algorithm, Learner, Setup, View
from evo.algorithms.modelled import ModelledSearch
from evo.algorithms.portfolio import Portfolio
from evo.algorithms.tpe import TPE
from evo.engine.budget import Budget
from evo.engine.learning import Standards
from evo.engine.worker import Worker
from evo.islands.archipelago import make_archipelago
from evo.population.events import AnyEvent, Started
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.outcome import Outcome
from evo.propagators.base import PropagatorError
from evo.pruning import Rungs, SuccessiveHalving
from evo.space.limits import Choice, Float
from evo.space.space import Space

SPACE = Space({"x": (-1.0, 1.0), "layers": (1, 9)})
MIXED = Space(
    {
        "x": (-1.0, 1.0),
        "n": (1, 9),
        "kind": ("a", "b", "c"),
        "rate": Float(1e-4, 1.0, log=True, when={"kind": ["a", "b"]}),
        "deep": Choice(False, True, when={"kind": "c"}),
    }
)


@dataclass
class Notes(Algorithm):
    """Notes what it is told, and proposes what it is given."""

    told: list[tuple[Identity, float | None]] = field(default_factory=list)
    strategies: list[dict[str, Any]] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    candidates: list[Any] = field(default_factory=list)
    setups: list[Setup] = field(default_factory=list)

    def start(self, setup: Setup) -> Learner:
        self.setups.append(setup)
        return NotesOfOne(self, setup.space)


class NotesOfOne(Learner):
    def __init__(self, notes: Notes, space: Space) -> None:
        self._notes, self._space = notes, space

    def learn(self, individual: Known, loss: float | None) -> None:
        self._notes.told.append((individual.identity, loss))
        self._notes.strategies.append(individual.strategy)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        self._notes.views.append(view)
        yield from self._notes.candidates or [Individual(genome=self._space.sample(rng)) for _ in range(5)]


def point(x: float, layers: int = 1) -> dict[str, Any]:
    return {"x": x, "layers": layers}


def test_every_individual_is_learnt_once_when_it_ends_and_interrupted_ones_are_not() -> None:
    notes = Notes()
    worker = make_worker(SPACE, notes)
    outcomes = [("completed", 0.5), ("failed", None), ("infeasible", None), ("pruned", 0.75), ("interrupted", None)]
    for status, loss in outcomes:
        individual = ask(worker)
        assert individual is not None
        worker.tell(individual.individual, Outcome(status=status, loss=loss), NOW)  # type: ignore[arg-type]
    assert notes.told == [((0, 0), 0.5), ((0, 1), None), ((0, 2), None), ((0, 3), None)]
    worker.receive(finished((0, 0), 0.5), NOW)
    ask(worker)
    assert len(notes.told) == 4


def test_what_others_evaluate_is_learnt_whichever_message_comes_first() -> None:
    notes = Notes()
    worker = make_worker(SPACE, notes, ranks=2)
    worker.receive(started((1, 0), point(0.5)), NOW)
    worker.receive(finished((1, 1), 0.25), NOW)
    assert notes.told == []
    worker.receive(started((1, 1), point(0.25)), NOW)
    ask(worker)
    worker.receive(finished((1, 0), 0.5), NOW)
    ask(worker)
    assert notes.told == [((1, 1), 0.25), ((1, 0), 0.5)]


def test_an_island_learns_from_its_own_and_from_those_that_arrive() -> None:
    notes = Notes()
    worker = make_worker(SPACE, notes, ranks=3, archipelago=make_archipelago(3, sizes=[2, 1]))
    for rank, island in ((1, 0), (2, 1)):
        for generation in range(3):
            worker.receive(started((rank, generation), point(rank / 9 + generation / 3 - 0.5), island=island), NOW)
            worker.receive(finished((rank, generation), float(generation)), NOW)
    ask(worker)
    assert [identity for identity, _ in notes.told] == [(1, 0), (1, 1), (1, 2)]
    worker.receive(migrated((2, 1), 0), NOW)
    worker.receive(pollinated((2, 2), 0), NOW)
    worker.receive(migrated((1, 0), 1), NOW)  # What it has learnt stays.
    ask(worker)
    assert [identity for identity, _ in notes.told][3:] == [(2, 1), (2, 2)]
    assert notes.setups[0].workers == 2


def test_the_strategy_of_a_migrant_reaches_no_algorithm_of_another_island() -> None:
    notes = Notes()
    worker = make_worker(SPACE, notes, ranks=2, archipelago=make_archipelago(2, islands=2))
    worker.receive(started((1, 0), point(0.5), island=1, run=6), NOW)
    worker.receive(finished((1, 0), 0.5), NOW)
    worker.receive(started((1, 1), point(0.25), island=1), NOW)
    worker.receive(migrated((1, 0), 0), NOW)
    ask(worker)
    assert [(identity, loss) for identity, loss in notes.told] == [((1, 0), 0.5)]
    assert notes.strategies == [{}]
    assert notes.views[0].running == []


def test_an_algorithm_sees_what_is_in_flight_and_how_much_of_the_budget_is_left() -> None:
    notes = Notes()
    worker = make_worker(SPACE, notes, Budget(evaluations=10), ranks=2)
    worker.receive(started((1, 0), point(0.5)), NOW)
    ask(worker)
    ask(worker)
    first, second = notes.views
    assert [one.identity for one in first.running] == [(1, 0)]
    assert [one.identity for one in second.running] == [(0, 0), (1, 0)]
    assert [(view.used, view.left) for view in (first, second)] == [(1, 9), (2, 8)]


def test_the_first_candidate_that_nobody_has_tried_is_taken() -> None:
    tried, in_flight, new = point(0.5), point(0.25), point(0.125)
    notes = Notes(candidates=[Individual(genome=SPACE.encode(one)) for one in (tried, in_flight, new)])
    worker = make_worker(SPACE, notes, ranks=2)
    worker.receive(started((1, 0), tried), NOW)
    worker.receive(finished((1, 0), 0.5), NOW)
    worker.receive(started((1, 1), in_flight), NOW)
    found = ask(worker)
    assert found is not None
    assert found.params == new
    assert found.bred_by == "Notes"


def test_without_a_new_candidate_a_point_is_drawn() -> None:
    notes = Notes(candidates=[Individual(genome=SPACE.encode(point(0.5)))])
    worker = make_worker(SPACE, notes)
    params = []
    for _ in range(3):
        individual = ask(worker)
        assert individual is not None
        params.append((individual.bred_by, individual.params == point(0.5)))
    assert params == [("Notes", True), ("random", False), ("random", False)]


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-6, 3.0), (1e9, -7e9)])
def test_one_that_violates_bounds_counts_as_worse_than_all_before_and_the_more_so_the_more_it_does(
    scale: float, shift: float
) -> None:
    standards = Standards({})

    def counted(number: int, own: float, violation: float = 0.0) -> float:
        known = Known(
            genome=np.zeros(1),
            identity=(0, number),
            status="completed",
            loss=scale * own + shift,
            violation=violation,
        )
        found = standards.loss(known)
        assert found is not None
        return (found - shift) / scale

    assert [counted(number, own) for number, own in enumerate((3.0, 1.0, 5.0))] == pytest.approx([3.0, 1.0, 5.0])
    found = [counted(3 + place, own, violation) for place, (own, violation) in enumerate([(0.0, 0.5), (2.0, 9.0)])]
    assert found == pytest.approx([10 + 5 / 3, 10 + 4.5])  # The highest, 5, and the range, 5, and a share of it.
    assert counted(5, -1.0) == pytest.approx(-1.0)


def test_a_violation_is_told_apart_from_the_losses_of_several_objectives() -> None:
    known = Known(genome=np.zeros(1), identity=(0, 0), status="completed", loss=2.0, losses=(2.0, 3.0), violation=1.0)
    assert Standards({}).loss(known) == 2.0


def test_a_pruned_individual_counts_as_much_worse_than_a_completed_one_as_it_was_at_the_same_rung() -> None:
    figures = {1: {(0, 0): 4.0, (0, 1): 6.0, (0, 2): 7.0, (0, 3): 3.0}, 3: {(0, 0): 2.0, (0, 1): 3.0}}
    standards = Standards(figures)

    def loss(generation: int, status: Any, own: float | None, rung: int = 0) -> float | None:
        return standards.loss(Known(genome=np.zeros(1), identity=(0, generation), status=status, loss=own, rung=rung))

    assert loss(2, "pruned", 7.0, 1) is None  # Nothing has completed yet.
    assert loss(0, "completed", 1.0) == 1.0
    assert loss(1, "pruned", 2.5, 3) == 2.0  # 1.0 and the 3.0 - 2.0 that it was worse at rung 3.
    assert loss(2, "pruned", 7.0, 1) == 4.0
    assert loss(3, "pruned", 3.0, 1) == 1.0  # Better at that rung, but never better than the one that has completed.
    assert loss(9, "failed", None) is None


class Evaluations:
    """A search of one worker, whose journal can be cut anywhere."""

    def __init__(self, space: Space, algorithm: Algorithm, before: list[AnyEvent] | None = None) -> None:
        self.events = list(before or [])
        self.space = space
        rungs = Rungs(SuccessiveHalving(maximum=9))
        for event in self.events:
            rungs.apply(event)
        self.worker = make_worker(space, algorithm, population=replayed(space, self.events), seed=3, rungs=rungs)
        self.now = NOW + len(self.events)

    def go_on(self, evaluations: int) -> list[Mapping[str, Any]]:
        while self.worker.population.started < evaluations or self.worker.population.running:
            self.now += 1
            individual, events = self.worker.ask(self.now, lambda: None)
            self.events += events
            assert individual is not None
            self._evaluate(individual)
        params = {event.individual: event.params for event in self.events if isinstance(event, Started)}
        return list(params.values())

    def _evaluate(self, individual: Started) -> None:
        loss = float(np.nansum((self.space.encode(individual.params) - 0.3) ** 2))
        for step in range(9):
            self.now += 1
            reported = self.worker.report(individual.individual, step, loss + 1 / (1 + step), self.now)
            self.events += reported
            if any(getattr(event, "stop", False) for event in reported):
                outcome = Outcome(status="pruned", loss=loss + 1 / (1 + step))
                break
        else:
            outcome = Outcome(status="completed", loss=loss)
        self.now += 1
        self.events += self.worker.tell(individual.individual, outcome, self.now)


@pytest.mark.parametrize("algorithm", [Portfolio(), TPE(), ModelledSearch()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("space", [SPACE, MIXED], ids=["numbers", "mixed"])
@pytest.mark.parametrize("cut", [0.3, 0.8])
def test_one_rank_that_is_stopped_anywhere_goes_on_as_if_it_had_never_stopped(
    space: Space, algorithm: Algorithm, cut: float
) -> None:
    whole = Evaluations(space, algorithm)
    expected = whole.go_on(45)
    at = round(cut * len(whole.events))
    resumed = Evaluations(space, algorithm, whole.events[:at])
    assert resumed.go_on(45) == expected


@dataclass(frozen=True)
class Wrong(Algorithm):
    """Fails in one way."""

    how: str

    def start(self, setup: Setup) -> Learner:
        if self.how == "start":
            return None  # type: ignore[return-value]
        return WrongOfOne(self.how)


class WrongOfOne(Learner):
    def __init__(self, how: str) -> None:
        self._how = how

    def learn(self, individual: Known, loss: float | None) -> None:
        if self._how == "learn":
            raise KeyError("momentum")

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        if self._how == "propose":
            raise ZeroDivisionError("division by zero")
        yield 3 if self._how == "kind" else Individual(genome=np.zeros(9))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "start",
            r"algorithm Wrong.start \(.*test_learners.py, line \d+\) returned None: it must return an evo.algorithms",
        ),
        ("learn", r"algorithm WrongOfOne.learn fails.*KeyError: 'momentum'"),
        (
            "propose",
            r"algorithm WrongOfOne.propose fails: ZeroDivisionError: division by zero.*test_learners.py, line \d+",
        ),
        (
            "kind",
            r"algorithm WrongOfOne.propose \(.*test_learners.py, line \d+\) returned 3: it must yield individuals",
        ),
        ("genome", r"algorithm WrongOfOne.propose .* proposed an individual with a genome of shape \(9,\)"),
    ],
)
def test_an_algorithm_of_a_users_that_fails_is_named_with_its_place(how: str, message: str) -> None:
    population = replayed(SPACE, [started((0, 0), point(0.5)), finished((0, 0), 0.5)])
    with pytest.raises(PropagatorError, match=message):
        ask(make_worker(SPACE, Wrong(how), population=population))


def test_an_algorithm_of_a_users_needs_no_more_than_minimize() -> None:
    notes = Notes()
    result = evo.minimize(lambda params: params["x"] ** 2, {"x": (-1.0, 1.0)}, propagator=notes, evaluations=9)
    assert len(notes.told) == 8  # The last one is not needed for another.
    assert {one.bred_by for one in result.events() if isinstance(one, Started)} == {"Notes"}


def test_no_point_of_a_small_space_is_tried_twice_by_the_default() -> None:
    tried = []

    def loss(params: Mapping[str, Any]) -> float:
        tried.append(tuple(params.values()))
        return float(params["b"])

    evo.minimize(loss, {"a": ("x", "y", "z"), "b": (1, 4)}, evaluations=50)
    assert len(tried) == len(set(tried)) == 12


def workers_of(space: Space, count: int) -> list[Worker]:
    return [make_worker(space, Portfolio(), rank=rank, ranks=count, seed=1) for rank in range(count)]


def test_ranks_that_know_the_same_agree_on_what_they_have_learnt() -> None:
    workers = workers_of(MIXED, 3)
    for generation in range(40):
        for rank, worker in enumerate(workers):
            individual = ask(worker)
            assert individual is not None
            loss = float(np.nansum((MIXED.encode(individual.params) - 0.3) ** 2))
            now = NOW + 3 * generation + rank
            (ended,) = worker.tell((rank, generation), Outcome(status="completed", loss=loss), now)
            for other in workers:
                if other is not worker:
                    other.receive(individual, now)
                    other.receive(ended, now)
    for worker in workers:
        worker._learning.catch_up()
    shares = [worker._learning._learner.shares() for worker in workers]  # type: ignore[attr-defined]
    assert shares[0] == shares[1] == shares[2]
