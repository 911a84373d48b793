"""A replica is the set of the events applied to it: their order and their repetition change nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import NOW, finished, individual, migrated, pollinated, replayed, retired, started

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
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.population import Population
from evo.space.limits import Float
from evo.space.space import Space

SPACE = Space({"layers": (1, 9), "optimizer": ("sgd", "adam"), "momentum": Float(0, 1, when={"optimizer": "sgd"})})
# The last one was an island in an earlier session only.
ISLANDS = (0, 1, 2)


def params_of(identity: Identity) -> dict[str, Any]:
    rng = np.random.default_rng(identity)
    return SPACE.complete(SPACE.sample(rng), rng)


def home(identity: Identity) -> int:
    return sum(identity) % 3


def start(identity: Identity) -> Started:
    return started(identity, params_of(identity), island=home(identity), velocity=list(identity))


_identities = st.tuples(st.integers(0, 1), st.integers(0, 1))
_losses = st.sampled_from([0.0, -0.0, 1.0, -1e300])
_finished = st.one_of(
    st.builds(finished, _identities, _losses, st.sampled_from(["completed", "completed", "pruned"])),
    st.builds(finished, _identities, st.none(), st.sampled_from(["failed", "interrupted", "pruned"])),
)
_others = st.sampled_from(
    [
        Joined(time=NOW, rank=0, ranks=3, host="", device=""),
        Reported(time=NOW, individual=(0, 0), step=0, loss=-9.0),
        Done(time=NOW, rank=0, reason=""),
        Died(time=NOW, rank=0, heir=1),
    ]
)
_places = st.sampled_from(ISLANDS)
_travels = (
    st.builds(retired, _identities, _places)
    | st.builds(pollinated, _identities, _places)
    | st.builds(migrated, _identities, _places, st.integers(1, 3))
)
_histories = st.lists(st.builds(start, _identities) | _finished | _travels | _others, max_size=30)
_numbers = st.integers(1, 3)


def seen(population: Population) -> dict[str, Any]:
    """All that can be asked of a population."""
    everyone = [*population.running, *population.view(lambda individual: True)]
    identities = [(rank, generation) for rank in (0, 1) for generation in (0, 1)]
    places = [(identity, island) for identity in identities for island in range(population.islands)]
    return {
        "digest": population.digest(),
        "active": [(one.identity, one.loss, one.status, one.island, one.strategy) for one in population.active],
        "running": [(one.identity, one.status) for one in population.running],
        "counts": +population.counts,
        "best": population.best,
        "started": population.started,
        "tried": population.tried,
        "generations": [population.next_generation(rank) for rank in range(4)],
        "places": [population.places(one, island) for one in everyone for island in range(population.islands)],
        "homes": [population.is_home(one, island) for one in everyone for island in range(population.islands)],
        "been": [population.has_been_on(*place) for place in places],
        "retired": [population.has_retired(*place) for place in places],
        "moves": [population.moves(identity) for identity in identities],
    }


def places_of(history: list[AnyEvent], identity: Identity) -> set[int]:
    """The islands that an individual belongs to, by their numbers in whichever session."""
    moves = [(event.move, event.island) for event in history if isinstance(event, Migrated) and about(event, identity)]
    copies = {event.island for event in history if isinstance(event, Pollinated) and about(event, identity)}
    gone = {event.island for event in history if isinstance(event, Retired) and about(event, identity)}
    return ({max(moves)[1] if moves else home(identity)} | copies) - gone


def about(event: Any, identity: Identity) -> bool:
    """Whether an event is about an individual."""
    return bool(event.individual == identity)


@given(history=_histories, islands=_numbers, data=st.data())
def test_a_replica_does_not_depend_on_the_order_or_the_repetition_of_events(
    history: list[AnyEvent], islands: int, data: st.DataObject
) -> None:
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=10) if history else st.just([]))
    shuffled = data.draw(st.permutations(repeated))
    for island in range(islands):
        assert seen(replayed(SPACE, shuffled, island, islands)) == seen(replayed(SPACE, history, island, islands))


@given(history=_histories, islands=_numbers)
def test_the_active_are_those_of_the_island_the_completed_first_and_then_the_pruned_by_their_rungs(
    history: list[AnyEvent], islands: int
) -> None:
    born = {event.individual for event in history if isinstance(event, Started)}
    active: dict[Identity, tuple[bool, int, float]] = {}
    for event in history:
        if isinstance(event, Finished) and event.status in ("completed", "pruned"):
            is_pruned, loss = event.status == "pruned", math.inf if event.loss is None else event.loss
            key = (is_pruned, -event.rung if is_pruned else 0, loss)
            active[event.individual] = min(
                key, active.get(event.individual, key), key=lambda one: (one[0], one[2], one[1])
            )
    for island in range(islands):
        assert [one.identity for one in replayed(SPACE, history, island, islands).active] == [
            identity
            for _, identity in sorted((key, identity) for identity, key in active.items())
            if identity in born and island in {place % islands for place in places_of(history, identity)}
        ]


@given(history=_histories, islands=_numbers)
def test_views_follow_the_population_from_whenever_they_were_made(history: list[AnyEvent], islands: int) -> None:
    def has_even_rank(one: Known) -> bool:
        return one.identity[0] % 2 == 0

    population = Population(SPACE, 0, islands)
    early = population.view(has_even_rank)
    for event in history:
        population.apply(event)
    expected = [one.identity for one in population.active if one.status == "completed" and has_even_rank(one)]
    assert [one.identity for one in early] == expected
    assert [one.identity for one in population.view(has_even_rank)] == expected


def test_a_view_that_has_changed_its_mind_looks_at_all_again() -> None:
    population = replayed(SPACE, [start((0, 0)), finished((0, 0), 0.5), start((1, 2)), finished((1, 2), 0.25)])
    wanted = {(0, 0)}
    view = population.view(lambda one: one.identity in wanted)
    assert [one.identity for one in view] == [(0, 0)]
    wanted.add((1, 2))
    population.refresh()
    assert [one.identity for one in view] == [(1, 2), (0, 0)]
    wanted.clear()
    population.refresh()
    assert not view
    assert len(population.active) == 2


@given(history=_histories)
def test_every_individual_is_counted_once(history: list[AnyEvent]) -> None:
    population = replayed(SPACE, history)
    born = {event.individual for event in history if isinstance(event, Started)}
    assert population.counts.total() == population.started == len(born)
    assert population.counts["running"] + population.counts["interrupted"] == len(population.running)
    assert len(population.tried.begun) == len({SPACE.encode(params_of(identity)).tobytes() for identity in born})


def test_what_was_interrupted_runs_until_it_completes() -> None:
    events: list[AnyEvent] = [start((0, 0)), finished((0, 0), None, "interrupted")]
    population = replayed(SPACE, events)
    assert [one.identity for one in population.running] == [(0, 0)]
    assert not population.active
    for event in (start((0, 0)), finished((0, 0), 0.5), finished((0, 0), None, "interrupted"), start((0, 0))):
        population.apply(event)
    assert not population.running
    assert [one.loss for one in population.active] == [0.5]
    assert +population.counts == {"completed": 1}


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        ([("completed", 0.5), ("completed", 0.25)], ("completed", 0.25)),
        ([("completed", 0.5), ("failed", None)], ("completed", 0.5)),
        ([("completed", 0.5), ("pruned", 0.1)], ("completed", 0.5)),
        ([("pruned", 0.5), ("failed", None)], ("pruned", 0.5)),
        ([("failed", None), ("interrupted", None)], ("failed", None)),
        ([("completed", 0.0), ("completed", -0.0)], ("completed", 0.0)),
    ],
)
def test_of_two_evaluations_of_one_individual_all_replicas_keep_the_same(
    outcomes: list[tuple[Any, Any]], kept: tuple[str, float | None]
) -> None:
    events = [finished((0, 0), loss, status) for status, loss in outcomes]
    one, other = (replayed(SPACE, [start((0, 0)), *order]) for order in (events, events[::-1]))
    assert one.digest() == other.digest()
    for population in (one, other):
        assert +population.counts == {kept[0]: 1}
        assert [one.loss for one in population.active] == ([] if kept[0] == "failed" else [kept[1]])
        assert (population.best is not None) == (kept[0] == "completed")


def test_a_retirement_may_arrive_before_the_individual_that_it_retires() -> None:
    population = replayed(SPACE, [retired((0, 0)), start((0, 0)), finished((0, 0), 0.5)])
    assert not population.active
    assert population.counts["completed"] == 1


def test_a_retirement_from_another_island_changes_nothing_here() -> None:
    population = replayed(SPACE, [start((0, 0)), finished((0, 0), 0.5), retired((0, 0), island=1)])
    assert [one.identity for one in population.active] == [(0, 0)]


def where(events: list[AnyEvent], islands: int = 4) -> list[int]:
    """The islands on which the one individual breeds."""
    return [island for island in range(islands) if replayed(SPACE, events, island, islands).active]


BORN = [started((0, 0), params_of((0, 0)), island=3), finished((0, 0), 0.5)]


def test_what_moves_is_on_the_island_of_its_latest_move_and_nowhere_else() -> None:
    assert where([*BORN, migrated((0, 0), 1, 1)]) == [1]
    assert where([*BORN, migrated((0, 0), 2, 2), migrated((0, 0), 1, 1)]) == [2]
    assert where([migrated((0, 0), 3, 3), *BORN, migrated((0, 0), 2, 2), migrated((0, 0), 1, 1)]) == [3]


def test_of_two_moves_at_once_all_replicas_keep_the_same() -> None:
    moves = [migrated((0, 0), 1, 1), migrated((0, 0), 2, 1)]
    assert where([*BORN, *moves]) == where([*moves[::-1], *BORN]) == [2]


def test_a_copy_breeds_there_as_well_until_it_makes_room() -> None:
    assert where([*BORN, pollinated((0, 0), 1), pollinated((0, 0), 1)]) == [1, 3]
    assert where([*BORN, pollinated((0, 0), 1), retired((0, 0), 1)]) == [3]
    assert where([*BORN, retired((0, 0), 3), pollinated((0, 0), 1)]) == [1]
    assert where([retired((0, 0), 1), pollinated((0, 0), 1), *BORN]) == [3]


def test_with_fewer_islands_their_number_goes_round() -> None:
    assert where(BORN, 2) == [1]
    assert where([*BORN, pollinated((0, 0), 1), retired((0, 0), 3)], 2) == [1]
    assert where([*BORN, pollinated((0, 0), 2)], 3) == [0, 2]
    assert where([*BORN, pollinated((0, 0), 2)], 1) == [0]
    population = replayed(SPACE, [*BORN, pollinated((0, 0), 1), pollinated((0, 0), 2)], 1, 2)
    assert population.places(population.active[0], 1) == [1, 3]
    assert population.places(population.active[0], 0) == [2]
    assert population.is_home(population.active[0], 1)
    assert not population.is_home(population.active[0], 0)


def test_the_best_is_that_of_all_islands_and_stays_it_when_it_makes_room() -> None:
    population = replayed(SPACE, [*BORN, start((1, 2)), finished((1, 2), 0.75), retired((0, 0), 3)], 0, 4)
    assert population.best is not None
    assert population.best.identity == (0, 0)
    assert [one.identity for one in population.active] == [(1, 2)]


def test_the_active_view_follows_the_population() -> None:
    population = Population(SPACE)
    active = population.active
    for generation, loss in ((0, 3.0), (2, 1.0), (4, 2.0), (6, 1.0)):
        population.apply(start((0, generation)))
        population.apply(finished((0, generation), loss))
    assert [(one.loss, one.identity) for one in active] == [(1.0, (0, 2)), (1.0, (0, 6)), (2.0, (0, 4)), (3.0, (0, 0))]


def test_the_next_generation_of_a_rank_follows_its_latest() -> None:
    population = replayed(SPACE, [start((1, 4)), start((1, 2)), start((0, 0))])
    assert [population.next_generation(rank) for rank in range(3)] == [1, 5, 0]


def test_a_point_is_tried_as_soon_as_it_is_started() -> None:
    population = replayed(SPACE, [start((0, 0))])
    assert population.has_tried(params_of((0, 0)))
    assert not population.has_tried(params_of((0, 1)))


def test_an_individual_outside_the_space_is_refused_and_leaves_no_trace() -> None:
    population = replayed(SPACE, [start((0, 0))])
    before = seen(population)
    with pytest.raises(ValueError, match="parameter 'layers' = 10 is not within its limits"):
        population.apply(started((0, 1), {"layers": 10, "optimizer": "adam"}))
    assert seen(population) == before


def test_replicas_that_differ_have_different_digests() -> None:
    history: list[AnyEvent] = [start((0, 0)), start((1, 1)), finished((0, 0), 0.5), finished((1, 1), 0.25)]
    histories = [
        history,
        history[:-1],
        history[:-2],
        [*history, start((0, 2))],
        [*history, retired((0, 0))],
        [*history, migrated((0, 0), 1)],
        [*history, pollinated((0, 0), 1)],
        [*history[:-1], finished((1, 1), 0.125)],
        [*history[:-1], finished((1, 1), None)],
        [started((0, 0), params_of((2, 2))), *history[1:]],
    ]
    assert len({replayed(SPACE, events, islands=2).digest() for events in histories}) == len(histories)


def test_individuals_are_equal_when_their_identities_are() -> None:
    one, other = params_of((0, 0)), params_of((0, 1))
    assert individual(SPACE, one) == individual(SPACE, other, loss=1.0)
    assert len({individual(SPACE, one), individual(SPACE, other)}) == 1
    assert individual(SPACE, one, generation=0) != individual(SPACE, one, generation=1)
    newborn = Individual(genome=SPACE.encode(one))
    assert newborn != Individual(genome=SPACE.encode(one))
