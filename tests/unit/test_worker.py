"""What one worker decides on what it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from records import NOW, ask, evaluate, finished, make_worker, pollinated, replayed, started

from evo.engine.budget import Budget
from evo.engine.worker import Worker
from evo.islands.archipelago import make_archipelago
from evo.islands.migration import Migration
from evo.islands.topology import make_topology
from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Joined,
    Migrated,
    Pollinated,
    Reported,
    Retired,
    Started,
)
from evo.population.goal import make_goal
from evo.population.identity import Identity
from evo.population.individual import Active, Individual
from evo.population.objectives import ONE_LOSS
from evo.population.outcome import Outcome
from evo.population.reason import StopKind, StopReason
from evo.propagators import InitUniform, Propagator, default_propagator
from evo.randomness import training_seed
from evo.space.limits import Float
from evo.space.space import Space

SPACE = Space({"x": (-1.0, 1.0), "layers": (1, 9)})
GRID = Space({"x": (1, 4), "y": ("a", "b", "c")})
GENETIC = default_propagator(4)
COMPLETED = Outcome(status="completed", loss=0.5)


def hear(worker: Worker, *events: AnyEvent) -> list[AnyEvent]:
    """What a worker answers to what another one sends."""
    return [answer for event in events for answer in worker.receive(event, NOW)]


def bereave(worker: Worker, *dead: int) -> list[AnyEvent]:
    """What a worker says to the death of others, when it knows all that they had published."""
    return worker.lose(dead, NOW)


def run_together(workers: Sequence[Worker], rng: np.random.Generator) -> list[Started]:
    """Let workers search that hear of each other at once, in random turns, to their ends."""
    tried: list[Started] = []
    searching = list(workers)
    for _ in range(10_000):
        if not searching:
            return tried
        worker = searching[int(rng.integers(len(searching)))]
        individual, events = worker.ask(NOW, lambda: None)
        if individual is not None:
            tried.append(individual)
            events = [*events, *worker.tell(individual.individual, COMPLETED, NOW)]
        for other in workers:
            for event in events if other is not worker else []:
                other.receive(event, NOW)
        searching = [one for one in searching if not one.is_done]
    raise AssertionError("the workers do not come to an end")


def test_a_worker_asks_for_the_evaluation_of_an_individual_that_it_has_recorded() -> None:
    worker = make_worker(SPACE, GENETIC, rank=2, ranks=3)
    individual, events = worker.ask(NOW, lambda: None)
    assert individual is not None
    assert events == [individual]
    assert individual.individual == (2, 0)
    SPACE.encode(individual.params)
    assert [one.identity for one in worker.population.running] == [(2, 0)]


def test_a_worker_records_how_an_evaluation_ended_and_who_did_it() -> None:
    worker = make_worker(SPACE, GENETIC, rank=2, ranks=3)
    assert ask(worker) is not None
    outcome = Outcome(
        status="completed", loss=0.25, seconds=3.0, metrics={"accuracy": 0.9}, error="no", traceback="none"
    )
    (event,) = worker.tell((2, 0), outcome, NOW)
    assert event == Finished(
        time=NOW,
        individual=(2, 0),
        status="completed",
        loss=0.25,
        seconds=3.0,
        rank=2,
        host="here",
        device="cpu",
        metrics={"accuracy": 0.9},
        error="no",
        traceback="none",
    )
    assert [one.loss for one in worker.population.active] == [0.25]


def test_a_worker_says_that_it_takes_part_and_reports_intermediate_losses() -> None:
    worker = make_worker(SPACE, GENETIC, rank=2, ranks=3)
    assert worker.join(NOW) == [Joined(time=NOW, rank=2, ranks=3, host="here", device="cpu")]
    assert worker.report((2, 0), 4, 0.5, NOW) == [Reported(time=NOW, individual=(2, 0), step=4, loss=0.5)]


def test_the_same_seed_gives_the_same_individuals_and_another_seed_or_rank_gives_others() -> None:
    def individuals(propagator: Propagator, seed: int, rank: int = 0) -> list[Any]:
        return evaluate(make_worker(SPACE, propagator, seed=seed, rank=rank, ranks=2), lambda params: params["x"], 30)

    assert individuals(GENETIC, 7) == individuals(GENETIC, 7)
    drawn = individuals(InitUniform(), 7)
    for other in (individuals(InitUniform(), 8), individuals(InitUniform(), 7, rank=1)):
        assert not [found for found in other if found in drawn]


def test_a_resumed_worker_breeds_what_it_would_have_bred() -> None:
    whole = evaluate(make_worker(SPACE, GENETIC), lambda params: params["x"], 20)
    first = make_worker(SPACE, GENETIC)
    half = evaluate(first, lambda params: params["x"], 10)
    resumed = make_worker(SPACE, GENETIC, population=first.population)
    assert half + evaluate(resumed, lambda params: params["x"], 10) == whole


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 9])
def test_individuals_in_flight_are_shared_out_exactly_once_and_keep_their_identity(ranks: int) -> None:
    flying = {(rank, 7 + rank): {"x": rank / 10, "layers": 1 + rank} for rank in range(6)}
    events: list[AnyEvent] = [started((0, 0), {"x": 0.9, "layers": 9}), finished((0, 0), 1.0)]
    events += [started(identity, params, velocity=[0.5]) for identity, params in flying.items()]
    events += [finished((2, 9), None, "interrupted")]
    resumed: list[Started] = []
    for rank in range(ranks):
        worker = make_worker(SPACE, GENETIC, rank=rank, ranks=ranks, population=replayed(SPACE, events))
        mine = len(flying) // ranks + (rank < len(flying) % ranks)
        for _ in range(mine):
            individual = ask(worker)
            assert individual is not None
            resumed.append(individual)
        bred = ask(worker)
        assert bred is not None
        assert bred.individual not in flying
    assert {one.individual: one.params for one in resumed} == flying
    assert len(resumed) == len(flying)
    assert all(one.strategy == {"velocity": [0.5]} for one in resumed)


def test_generations_go_on_where_a_rank_left_off_and_new_ranks_begin_at_zero() -> None:
    events: list[AnyEvent] = []
    for identity in [(0, 0), (0, 1), (1, 0), (1, 5)]:
        events += [started(identity, {"x": 0.5, "layers": 1}), finished(identity, 1.0)]
    asked = [
        ask(make_worker(SPACE, GENETIC, rank=rank, ranks=3, population=replayed(SPACE, events))) for rank in range(3)
    ]
    assert [one.individual for one in asked if one] == [(0, 2), (1, 6), (2, 0)]


def test_in_flight_individuals_do_not_count_as_generations_of_who_takes_them_up() -> None:
    population = replayed(SPACE, [started((1, 0), {"x": 0.5, "layers": 1}), started((1, 1), {"x": 0.1, "layers": 1})])
    worker = make_worker(SPACE, GENETIC, Budget(generations=2), population=population)
    found = [ask(worker) for _ in range(4)]
    assert [one.individual for one in found if one] == [(1, 0), (1, 1), (0, 0), (0, 1)]
    assert ask(worker) is None
    assert str(worker.stop_reason) == "2 generations are complete"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ranks", [1, 2, 3, 6, 20])
def test_a_finite_space_is_tried_point_by_point_and_then_the_workers_say_so(ranks: int, seed: int) -> None:
    workers = [make_worker(GRID, GENETIC, rank=rank, ranks=ranks, seed=seed) for rank in range(ranks)]
    tried = run_together(workers, np.random.default_rng(seed))
    assert Counter(repr(one.params) for one in tried) == Counter(repr(params) for params in GRID.points())
    assert {str(worker.stop_reason) for worker in workers} == {"all 12 points of the space have been tried"}
    assert not any(worker.stop_reason.is_before_the_end for worker in workers)


def test_ranks_that_breed_in_the_same_instant_choose_different_points() -> None:
    space = Space({"x": (1, 20), "y": ("a", "b", "c")})
    for seed in range(40):
        asked = [ask(make_worker(space, GENETIC, rank=rank, ranks=8, seed=seed)) for rank in range(8)]
        assert len({repr(one.params) for one in asked if one}) == 8


def test_a_rank_takes_over_the_points_of_ranks_that_are_busy() -> None:
    worker = make_worker(GRID, GENETIC, ranks=3)
    asked = [ask(worker) for _ in range(40) if not worker.is_done]
    assert Counter(repr(one.params) for one in asked if one) == Counter(repr(params) for params in GRID.points())
    assert None in asked[:-1]  # It waits a moment for them.


def test_one_worker_never_waits_for_others() -> None:
    worker = make_worker(GRID, GENETIC)
    for _ in range(12):
        assert ask(worker) is not None


def test_a_point_may_be_tried_again_when_duplicates_are_allowed() -> None:
    worker = make_worker(GRID, GENETIC, Budget(generations=50), allow_duplicates=True)
    found = evaluate(worker, lambda params: float(params["x"]))
    assert len(found) == 50
    assert str(worker.stop_reason) == "50 generations are complete"


def test_a_space_whose_only_float_is_rarely_there_never_ends() -> None:
    space = Space({"x": (1, 40), "rare": Float(0, 1, when={"x": 7})})
    found = evaluate(make_worker(space, GENETIC), lambda params: float(params["x"]), 120)
    assert len({repr(params) for params, _ in found}) == 120


class Fixed(Propagator):
    """Breeds the same points in every generation, one after another, the last one for ever."""

    def __init__(self, points: Sequence[dict[str, Any]]) -> None:
        self.points = list(points)
        self.bred = 0

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        params = self.points[min(self.bred, len(self.points) - 1)]
        self.bred += 1
        return [Individual(genome=space.encode(params), strategy={"number": self.bred})]


def test_a_point_that_another_rank_starts_while_this_one_breeds_is_bred_again() -> None:
    one, other = {"x": 0.5, "layers": 1}, {"x": 0.25, "layers": 2}
    worker = make_worker(SPACE, Fixed([one, other]), ranks=2)
    individual, _ = worker.ask(NOW, lambda: hear(worker, started((1, 0), one)))
    assert individual is not None
    assert individual.params == other
    assert individual.strategy == {"number": 2}


def test_a_budget_that_is_spent_while_a_rank_breeds_is_not_exceeded() -> None:
    worker = make_worker(SPACE, GENETIC, Budget(evaluations=1), ranks=2)
    individual, events = worker.ask(NOW, lambda: hear(worker, started((1, 0), {"x": 0.5, "layers": 1})))
    assert individual is None
    assert events == [Done(time=NOW, rank=0, reason="1 evaluation is complete", kind=StopKind.EVALUATIONS)]


def test_a_point_that_was_tried_is_bred_again_and_then_drawn_at_random() -> None:
    worker = make_worker(SPACE, Fixed([{"x": 0.5, "layers": 1}]))
    found = evaluate(worker, lambda params: 1.0, 3)
    assert found[0][0] == {"x": 0.5, "layers": 1}
    assert len({repr(params) for params, _ in found}) == 3


@pytest.mark.parametrize(
    ("budget", "now", "requested", "kind", "text", "interrupted"),
    [
        (Budget(generations=0), NOW, "", "generations", "0 generations are complete", False),
        (Budget(evaluations=0), NOW, "", "evaluations", "0 evaluations are complete", False),
        (Budget(goal=make_goal(1.0, None, ONE_LOSS)), NOW, "", "target", "the target loss 1 is reached", False),
        (Budget(deadline=NOW), NOW, "", "deadline", "the walltime is over", True),
        (Budget(), NOW, "SIGTERM", "requested", "SIGTERM", True),
        (Budget(generations=0, goal=make_goal(1.0, None, ONE_LOSS)), NOW, "SIGTERM", "requested", "SIGTERM", True),
    ],
)
def test_a_worker_that_stops_says_why_and_is_done(
    budget: Budget, now: float, requested: str, kind: str, text: str, interrupted: bool
) -> None:
    population = replayed(SPACE, [started((1, 0), {"x": 0.5, "layers": 1}), finished((1, 0), 1.0)])
    worker = make_worker(SPACE, GENETIC, budget, ranks=2, population=population)
    if requested:
        worker.stopping.request(requested)
        worker.stopping.request("and again")
    reason = StopReason(StopKind(kind), text)
    assert worker.ask(now, lambda: None) == (None, [Done(time=now, rank=0, reason=text, kind=reason.kind)])
    assert (worker.stop_reason, reason.is_before_the_end) == (reason, interrupted)
    assert worker.is_done
    with pytest.raises(AssertionError, match="a worker that is done was asked"):
        ask(worker)


@pytest.mark.parametrize("requested", [True, False])
def test_what_was_in_flight_is_taken_up_unless_the_search_stops(requested: bool) -> None:
    population = replayed(SPACE, [started((1, 0), {"x": 0.5, "layers": 1})])
    worker = make_worker(SPACE, GENETIC, Budget(evaluations=1), population=population)
    if requested:
        worker.stopping.request("SIGTERM")
    individual = ask(worker)
    assert (individual is None) == requested
    assert worker.is_done == requested


def test_all_are_done_when_every_rank_has_said_so() -> None:
    worker = make_worker(SPACE, InitUniform(), Budget(generations=0), ranks=3)
    for rank in (1, 1, 2):
        assert not worker.all_done
        hear(worker, Done(time=NOW, rank=rank, reason=""))
    assert not worker.all_done
    assert ask(worker) is None
    assert worker.all_done


def test_what_a_worker_emits_is_all_that_another_needs_to_know() -> None:
    worker, other = make_worker(SPACE, GENETIC, ranks=2), make_worker(SPACE, GENETIC, rank=1, ranks=2)
    outcomes = [COMPLETED, Outcome(status="failed"), Outcome(status="pruned", loss=2.0), Outcome(status="interrupted")]
    events = worker.join(NOW)
    for outcome in outcomes * 3:
        individual, emitted = worker.ask(NOW, lambda: None)
        assert individual is not None
        events += [*emitted, *worker.report(individual.individual, 0, 1.0, NOW)]
        events += worker.tell(individual.individual, outcome, NOW)
    for event in events:
        other.receive(event, NOW)
    assert other.population.digest() == worker.population.digest()
    # Those that were interrupted come next again, and complete.
    assert +other.population.counts == {"completed": 3, "failed": 3, "pruned": 3, "interrupted": 1}


def test_what_is_interrupted_while_the_search_goes_on_is_taken_up_at_once_under_its_own_identity() -> None:
    worker = make_worker(SPACE, GENETIC, Budget(evaluations=2))
    first = ask(worker)
    assert first is not None
    worker.tell(first.individual, Outcome(status="interrupted"), NOW)
    again = ask(worker)
    assert again is not None
    assert (again.individual, again.params) == (first.individual, first.params)
    worker.tell(again.individual, COMPLETED, NOW)
    second = ask(worker)
    assert second is not None
    worker.tell(second.individual, COMPLETED, NOW)
    assert ask(worker) is None
    assert worker.population.counts["completed"] == 2


def test_what_is_interrupted_because_the_search_stops_is_left_to_the_next_session() -> None:
    worker = make_worker(SPACE, GENETIC)
    first = ask(worker)
    assert first is not None
    worker.stopping.request("SIGUSR1 asked to stop")
    worker.tell(first.individual, Outcome(status="interrupted"), NOW)
    assert ask(worker) is None
    assert worker.stop_reason is not None
    assert worker.stop_reason.is_before_the_end


def test_nothing_is_launched_that_could_not_end_in_time_except_the_first_one_of_a_session() -> None:
    known = [started((0, 0), {"x": 0.5, "layers": 1}), finished((0, 0), 1.0, seconds=5.0)]
    worker = make_worker(SPACE, GENETIC, Budget(deadline=NOW + 4.0), population=replayed(SPACE, known))
    first = ask(worker)
    assert first is not None
    worker.tell(first.individual, Outcome(status="completed", loss=0.5, seconds=4.5), NOW)
    assert ask(worker) is None
    assert worker.stop_reason == StopReason(StopKind.TOO_SHORT, "the time left is too short for another evaluation")


def test_the_seed_of_a_training_depends_on_the_study_and_the_individual_alone() -> None:
    seeds = [
        training_seed(seed, (rank, generation)) for seed in (0, 1) for rank in (0, 1, 2) for generation in (0, 1, 2)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert training_seed(0, (1, 2)) == training_seed(0, (1, 2))


def islander(mode: Any, rank: int = 0, events: Sequence[AnyEvent] = (), **options: Any) -> Worker:
    """A worker of two islands, of one and of two workers, between which individuals always travel."""
    islands = make_archipelago(3, sizes=[1, 2])
    migration = Migration(mode=mode, probability=1.0, topology=make_topology("full", 2))
    population = replayed(SPACE, events, islands.island_of(rank), 2)
    return make_worker(
        SPACE, GENETIC, rank=rank, ranks=3, population=population, archipelago=islands, migration=migration, **options
    )


def born(identity: Identity, island: int, loss: float | None = 0.5) -> list[AnyEvent]:
    """An individual that has been evaluated."""
    return [started(identity, {"x": loss or 0.0, "layers": 1}, island=island), finished(identity, loss)]


def test_individuals_are_born_on_the_island_of_their_worker() -> None:
    for rank, island in enumerate([0, 1, 1]):
        individual = ask(islander("move", rank))
        assert individual is not None
        assert individual.island == island


def test_a_worker_breeds_from_its_own_island_only() -> None:
    class Seen(Propagator):
        def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
            seen.append([parent.identity for parent in parents])
            return [Individual(genome=space.sample(rng))]

    seen: list[Any] = []
    events = [*born((0, 0), 0), *born((1, 0), 1), *born((2, 0), 1), pollinated((0, 0), 1)]
    islands = make_archipelago(3, sizes=[1, 2])
    population = replayed(SPACE, events, 1, 2)
    ask(make_worker(SPACE, Seen(), rank=1, ranks=3, population=population, archipelago=islands))
    assert seen == [[(0, 0), (1, 0), (2, 0)]]


@pytest.mark.parametrize(("mode", "kind"), [("move", Migrated), ("copy", Pollinated)])
def test_a_worker_sends_individuals_when_an_evaluation_has_ended(mode: str, kind: type) -> None:
    for outcome in (COMPLETED, Outcome(status="failed"), Outcome(status="pruned", loss=2.0)):
        worker = islander(mode, events=born((0, 0), 0, loss=0.25))
        individual = ask(worker)
        assert individual is not None
        end, travel = worker.tell(individual.individual, outcome, NOW)
        assert isinstance(end, Finished)
        assert isinstance(travel, kind)
        assert (travel.individual, travel.island) == ((0, 0), 1)
        assert ((0, 0) in [one.identity for one in worker.population.active]) == (mode == "copy")


def test_nobody_travels_when_an_evaluation_was_interrupted() -> None:
    worker = islander("move", events=born((0, 0), 0))
    individual = ask(worker)
    assert individual is not None
    assert len(worker.tell(individual.individual, Outcome(status="interrupted"), NOW)) == 1


def test_a_worker_makes_room_for_a_copy_that_arrives_and_only_once() -> None:
    worker = islander("copy", events=[*born((0, 0), 0, 0.25), *born((0, 1), 0, 0.75), *born((1, 0), 1)])
    assert hear(worker, pollinated((1, 0), 0)) == [Retired(time=NOW, individual=(0, 1), island=0)]
    assert [one.identity for one in worker.population.active] == [(0, 0), (1, 0)]
    assert not hear(worker, pollinated((1, 0), 0))


def test_a_worker_that_is_done_makes_no_room() -> None:
    worker = islander("copy", events=[*born((0, 0), 0), *born((1, 0), 1)], budget=Budget(generations=0))
    assert ask(worker) is None
    assert worker.is_done
    assert not hear(worker, pollinated((1, 0), 0))
    assert [one.identity for one in worker.population.active] == [(0, 0), (1, 0)]


def test_what_one_island_is_sent_does_not_concern_another() -> None:
    worker = islander("copy", rank=1, events=[*born((0, 0), 0), *born((1, 0), 1)])
    assert not hear(worker, pollinated((1, 0), 0))
    assert [one.identity for one in worker.population.active] == [(1, 0)]


def test_what_a_dead_worker_was_to_send_is_sent_by_another_of_its_island() -> None:
    for dead in ([], [2], [0]):
        worker = islander("move", rank=1, events=[*born((0, 0), 0), *born((2, 1), 1)])
        bereave(worker, *dead)
        individual = ask(worker)
        assert individual is not None
        for _ in range(10):
            travels = worker.tell(individual.individual, Outcome(status="failed"), NOW)[1:]
            if travels:
                break
            individual = ask(worker)
            assert individual is not None
        assert len(travels) == (dead == [2])


def test_the_successor_of_a_rank_that_died_takes_up_what_it_was_evaluating() -> None:
    for rank in (0, 2, 3):
        worker = make_worker(SPACE, GENETIC, rank=rank, ranks=4)
        hear(
            worker, started((1, 0), {"x": 0.5, "layers": 1}), *born((1, 1), 0), started((0, 7), {"x": 0.1, "layers": 1})
        )
        said = bereave(worker, 1)
        individual = ask(worker)
        assert individual is not None
        if rank == 2:
            assert said == [Died(time=NOW, rank=1, heir=2)]
            assert (individual.individual, individual.rank) == ((1, 0), 2)
            individual = ask(worker)
            assert individual is not None
        else:
            assert not said
        assert individual.individual[0] == rank
        assert worker.dead == {1}


def test_a_successor_takes_over_what_its_dead_had_taken_over() -> None:
    worker = make_worker(SPACE, GENETIC, rank=3, ranks=4)
    hear(worker, started((1, 0), {"x": 0.5, "layers": 1}), started((2, 0), {"x": 0.25, "layers": 2}))
    assert not bereave(worker, 1)
    said = bereave(worker, 1, 2)
    # Rank 2 may have died before it had recorded the death of rank 1.
    assert said == [Died(time=NOW, rank=1, heir=3), Died(time=NOW, rank=2, heir=3)]
    taken = [ask(worker) for _ in range(3)]
    assert [one.individual for one in taken if one] == [(1, 0), (2, 0), (3, 0)]
    assert not bereave(worker, 1, 2, 0)[1:]


@pytest.mark.parametrize(("size", "who"), [(1, "ranks"), (2, "workers")])
def test_what_two_workers_have_died_with_fails_and_says_whether_they_were_single_ranks(size: int, who: str) -> None:
    worker = make_worker(SPACE, GENETIC, rank=3, ranks=4, ranks_per_worker=size)
    assert worker.join(NOW) == [
        Joined(time=NOW, rank=3, ranks=4, host="here", device="cpu", ranks_per_worker=size),
    ]
    hear(worker, started((1, 0), {"x": 0.5, "layers": 1}))
    bereave(worker, 1)
    hear(worker, Started(time=NOW, individual=(1, 0), island=0, params={"x": 0.5, "layers": 1}, rank=2))
    bereave(worker, 1, 2)
    errors = [event.error for event in worker.ask(NOW, lambda: None)[1] if isinstance(event, Finished)]
    assert errors == [f"RankDied: {who} 1, 2 died while they evaluated it, perhaps because of it"]


def test_what_an_heir_has_taken_up_is_not_taken_up_again_after_another_death() -> None:
    worker = make_worker(SPACE, GENETIC, rank=2, ranks=4)
    hear(worker, started((1, 0), {"x": 0.5, "layers": 1}), started((1, 1), {"x": 0.25, "layers": 1}))
    bereave(worker, 1)
    individual = ask(worker)
    assert individual is not None
    bereave(worker, 1, 0)
    worker.tell(individual.individual, COMPLETED, NOW)
    taken = [ask(worker) for _ in range(2)]
    assert [one.individual for one in taken if one] == [(1, 1), (2, 0)]


def test_what_a_rank_was_to_take_up_again_is_left_to_its_heir_when_it_dies_before() -> None:
    events = [started((rank, 0), {"x": rank / 10, "layers": 1}) for rank in range(4)]
    worker = make_worker(SPACE, GENETIC, rank=2, ranks=3, population=replayed(SPACE, events))
    bereave(worker, 0, 1)
    taken = [ask(worker) for _ in range(5)]
    assert [one.individual for one in taken if one] == [(2, 0), (0, 0), (1, 0), (3, 0), (2, 1)]


def test_nobody_is_done_any_more_when_a_rank_has_died() -> None:
    worker = make_worker(SPACE, GENETIC, Budget(evaluations=1), ranks=3)
    hear(worker, started((2, 0), {"x": 0.5, "layers": 1}), Done(time=NOW, rank=1, reason=""))
    assert ask(worker) is None
    assert worker.is_done
    bereave(worker, 2)
    assert not worker.is_done
    assert not worker.all_done
    individual = ask(worker)
    assert individual is not None
    assert individual.individual == (2, 0)
    worker.tell((2, 0), COMPLETED, NOW)
    assert ask(worker) is None
    hear(worker, Done(time=NOW, rank=1, reason=""))
    assert worker.all_done


def test_a_worker_that_inherits_something_while_it_breeds_is_not_done() -> None:
    worker = make_worker(SPACE, GENETIC, Budget(evaluations=1), ranks=2)

    def refresh() -> None:
        hear(worker, started((1, 0), {"x": 0.5, "layers": 1}))
        bereave(worker, 1)

    assert worker.ask(NOW, refresh) == (None, [])
    assert not worker.is_done
    individual = ask(worker)
    assert individual is not None
    assert individual.individual == (1, 0)


def test_what_the_dead_had_is_left_for_a_later_session_when_the_search_stops() -> None:
    worker = make_worker(SPACE, GENETIC, Budget(evaluations=1), ranks=2)
    hear(worker, started((1, 0), {"x": 0.5, "layers": 1}))
    worker.stopping.request("SIGTERM")
    bereave(worker, 1)
    assert ask(worker) is None
    assert str(worker.stop_reason) == "SIGTERM"
    assert [one.identity for one in worker.population.running] == [(1, 0)]


def test_a_worker_whose_folder_cannot_be_written_stops_for_that() -> None:
    worker = make_worker(SPACE, GENETIC)
    first = ask(worker)
    assert first is not None
    worker.tell(first.individual, Outcome(status="interrupted", error="OSError: no space left"), NOW)
    assert ask(worker) is None
    assert worker.stop_reason == StopReason(StopKind.STORAGE, "OSError: no space left")
    assert worker.stop_reason.is_before_the_end
