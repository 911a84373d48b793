"""When which individuals travel between islands, and which make room for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import NOW, finished, migrated, pollinated, replayed, retired, started

from evo.islands.archipelago import Archipelago, make_archipelago
from evo.islands.migration import Migration, Migrator
from evo.islands.topology import Topology, make_topology
from evo.population.events import AnyEvent, Migrated, Pollinated, Retired
from evo.population.identity import Identity
from evo.population.population import Population
from evo.propagators import Propagator, SelectMax, SelectMin, SelectUniform
from evo.space.space import Space

SPACE = Space({"x": (0.0, 100.0)})
THREE = make_archipelago(6, sizes=[3, 2, 1])
Mode = Literal["move", "copy"]


def born(identity: Identity, island: int) -> list[AnyEvent]:
    """An individual that has completed, with the number of its generation as its loss."""
    rank, generation = identity
    return [
        started(identity, {"x": rank + generation / 10}, island=island),
        finished(identity, float(generation)),
    ]


def lived(archipelago: Archipelago, generations: int) -> list[AnyEvent]:
    """Every worker has evaluated so many individuals on its island."""
    return [
        event
        for worker in range(archipelago.workers)
        for generation in range(generations)
        for event in born((worker, generation), archipelago.island_of(worker))
    ]


def migrator(
    worker: int,
    events: Iterable[AnyEvent],
    *,
    mode: Mode = "move",
    archipelago: Archipelago = THREE,
    topology: Topology | None = None,
    probability: float = 1.0,
    emigration: Callable[[int], Propagator] = SelectMin,
    immigration: Callable[[int], Propagator] = SelectMax,
    seed: int = 0,
) -> tuple[Migrator, Population]:
    """A worker's part in migration, and what it knows."""
    rules = Migration(
        mode=mode,
        probability=probability,
        topology=topology or make_topology("full", archipelago.islands),
        emigration=emigration,
        immigration=immigration,
    )
    population = replayed(SPACE, events, archipelago.island_of(worker), archipelago.islands)
    return Migrator(rules, archipelago, population, worker, seed), population


def departures(one: Migrator, population: Population, finished: Identity) -> list[Any]:
    """Those that leave after an evaluation, each event applied before the next is asked for."""
    events = []
    for event in one.depart(finished, NOW):
        population.apply(event)
        events.append(event)
    return events


@pytest.mark.parametrize(("probability", "dead"), [(0.6, []), (0.3, []), (0.6, [1]), (0.6, [0, 1]), (1.0, [])])
def test_an_island_sends_with_its_probability_for_each_generation_of_all_its_live_workers(
    probability: float, dead: list[int]
) -> None:
    one, _ = migrator(2, lived(THREE, 6), probability=probability, mode="copy")
    one.lose(dead)
    sent = sum(any(True for _ in one.depart((2, generation), NOW)) for generation in range(4000))
    expected = probability / (3 - len(dead))
    assert abs(sent / 4000 - expected) < 4 * (expected * (1 - expected) / 4000) ** 0.5 + 1e-12


def test_nobody_leaves_with_a_probability_of_zero_and_someone_always_from_a_single_worker_with_one() -> None:
    never, _ = migrator(5, born((5, 0), 2), probability=0.0, mode="copy")
    always, _ = migrator(5, born((5, 0), 2), probability=1.0, mode="copy")
    for generation in range(500):
        assert not list(never.depart((5, generation), NOW))
        assert list(always.depart((5, generation), NOW))


@pytest.mark.parametrize("mode", ["move", "copy"])
@pytest.mark.parametrize("selection", [SelectMin, SelectMax, SelectUniform])
def test_as_many_leave_for_each_island_as_the_matrix_says(mode: Mode, selection: Callable[[int], Propagator]) -> None:
    topology = ((0, 0, 0, 0), (3, 0, 0, 2), (0, 1, 0, 0), (0, 0, 0, 0))
    islands = make_archipelago(4, 4)
    for worker, row in enumerate(topology):
        one, population = migrator(
            worker, lived(islands, 8), mode=mode, archipelago=islands, topology=topology, emigration=selection
        )
        events = departures(one, population, (worker, 7))
        assert Counter(event.island for event in events) == {target: count for target, count in enumerate(row) if count}
        assert {type(event) for event in events} <= {Migrated if mode == "move" else Pollinated}
        assert len({(event.individual, event.island) for event in events}) == len(events)


def test_fewer_leave_when_there_are_fewer() -> None:
    one, population = migrator(5, [*born((5, 0), 2), *born((5, 1), 2)], topology=((0, 0, 0), (0, 0, 0), (5, 5, 0)))
    leave = departures(one, population, (5, 1))
    assert [event.individual for event in leave] == [(5, 0), (5, 1)]
    assert leave[0].island == leave[1].island in (0, 1)
    assert not departures(one, population, (5, 2))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [(SelectMin, [(5, 0), (5, 1)]), (SelectMax, [(5, 6), (5, 7)])],
)
def test_the_best_or_the_worst_leave(selection: Callable[[int], Propagator], expected: list[Identity]) -> None:
    topology = ((0, 0, 0), (0, 0, 0), (2, 0, 0))
    one, population = migrator(5, lived(THREE, 8), topology=topology, emigration=selection)
    assert [event.individual for event in departures(one, population, (5, 7))] == expected


def test_any_may_leave_at_random() -> None:
    chosen: Counter[Identity] = Counter()
    for seed in range(400):
        one, population = migrator(
            5, lived(THREE, 4), topology=((0,) * 3, (0,) * 3, (1, 0, 0)), emigration=SelectUniform, seed=seed
        )
        chosen.update(event.individual for event in departures(one, population, (5, 3)))
    assert set(chosen) == {(5, generation) for generation in range(4)}
    assert min(chosen.values()) > 60


def test_who_leaves_depends_on_the_seed_and_on_who_has_finished_alone() -> None:
    def leave(seed: int, finished: Identity) -> list[Any]:
        return departures(*migrator(5, lived(THREE, 30), emigration=SelectUniform, seed=seed), finished)

    assert leave(0, (5, 7)) == leave(0, (5, 7))
    others = [leave(seed, (5, generation)) for seed in range(3) for generation in range(3)]
    assert len({repr(events) for events in others}) > 6


def test_what_moves_moves_once_and_what_is_copied_goes_to_every_target() -> None:
    moves = departures(*migrator(5, lived(THREE, 4)), (5, 3))
    assert [(event.individual, event.move) for event in moves] == [((5, 0), 1), ((5, 1), 1)]
    assert {event.island for event in moves} == {0, 1}
    copies = departures(*migrator(5, lived(THREE, 4), mode="copy"), (5, 3))
    assert [event.individual for event in copies] == [(5, 0), (5, 0)]
    assert {event.island for event in copies} == {0, 1}


def test_no_island_is_offered_the_best_more_often_than_another() -> None:
    first: Counter[int] = Counter()
    for generation in range(3, 303):
        (best, _) = departures(*migrator(5, lived(THREE, 4)), (5, generation))
        assert best.individual == (5, 0)
        first[best.island] += 1
    assert set(first) == {0, 1}
    assert min(first.values()) > 110


def test_what_has_moved_may_move_on_and_come_back() -> None:
    events = [*born((5, 0), 2), migrated((5, 0), 0, 1), migrated((5, 0), 1, 2), migrated((5, 0), 2, 3)]
    topology = ((0, 0, 0), (0, 0, 0), (1, 0, 0))
    one, population = migrator(5, events, topology=topology)
    (event,) = departures(one, population, (5, 1))
    assert (event.individual, event.island, event.move) == ((5, 0), 0, 4)


def test_a_copy_goes_nowhere_twice() -> None:
    one, population = migrator(5, born((5, 0), 2), mode="copy")
    assert sorted(event.island for event in departures(one, population, (5, 1))) == [0, 1]
    for generation in range(2, 20):
        assert not departures(one, population, (5, generation))


def test_a_copy_is_not_sent_where_another_island_has_sent_one_nor_to_its_home() -> None:
    events = [*born((5, 0), 0), pollinated((5, 0), 2), pollinated((5, 0), 1)]
    assert not departures(*migrator(5, events, mode="copy"), (5, 1))


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_who_has_made_room_on_an_island_never_returns_there(mode: Mode) -> None:
    events = [*born((5, 0), 2), pollinated((5, 0), 0), retired((5, 0), 0)]
    one, population = migrator(5, events, mode=mode)
    assert [event.island for event in departures(one, population, (5, 1))] == [1]
    for generation in range(2, 20):
        assert not departures(one, population, (5, generation))


def test_who_has_made_room_on_an_island_does_not_return_there_by_its_number_in_a_later_session() -> None:
    # Of the four islands of an earlier session, 1 and 3 have become island 1.
    two = make_archipelago(2, 2)
    events = [*born((0, 0), 0), pollinated((0, 0), 3), retired((0, 0), 3)]
    for mode in ("move", "copy"):
        assert not departures(*migrator(0, events, mode=mode, archipelago=two), (0, 1))


def test_only_what_is_at_home_moves_and_copies_of_an_earlier_session_stay() -> None:
    events = [*born((5, 0), 0), pollinated((5, 0), 2), *born((5, 1), 2)]
    assert [event.individual for event in departures(*migrator(5, events), (5, 1))] == [(5, 1)]


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_nobody_goes_to_an_island_whose_workers_are_all_dead(mode: Mode) -> None:
    one, population = migrator(5, lived(THREE, 4), mode=mode)
    one.lose([3, 4])
    assert [event.island for event in departures(one, population, (5, 3))] == [0]
    one.lose([0, 3, 4])
    assert [event.island for event in departures(one, population, (5, 4))] == [0]
    one.lose([0, 1, 2, 3, 4])
    assert not departures(one, population, (5, 5))


def _all_leave(archipelago: Archipelago, dead: Collection[int], events: Sequence[AnyEvent]) -> list[tuple[int, Any]]:
    """Every live worker sends all that it may send; as none has heard of any other's."""
    many = make_topology("full", archipelago.islands, migrants=1000)
    leavers = []
    for worker in sorted(set(range(archipelago.workers)) - set(dead)):
        one, population = migrator(worker, events, mode="copy", archipelago=archipelago, topology=many, probability=1.0)
        one.lose(dead)
        for generation in range(200):  # With a small probability each.
            leavers += [(worker, event) for event in departures(one, population, (worker, generation))]
    return leavers


@given(data=st.data())
def test_exactly_one_live_worker_of_an_island_may_send_an_individual(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
    archipelago = make_archipelago(sum(sizes), sizes=sizes)
    dead = data.draw(st.sets(st.integers(0, sum(sizes) - 1), max_size=sum(sizes) - 1))
    events = lived(archipelago, 3)
    leavers = _all_leave(archipelago, dead, events)
    live = [island for island, members in enumerate(archipelago.members) if set(members) - dead]
    senders: dict[Any, list[int]] = {}
    for worker, event in leavers:
        senders.setdefault((event.individual, event.island), []).append(worker)
    expected = {
        ((worker, generation), target)
        for worker in range(archipelago.workers)
        for generation in range(3)
        for target in live
        if archipelago.island_of(worker) in live and target != archipelago.island_of(worker)
    }
    assert set(senders) == expected
    for (identity, _), workers in senders.items():
        assert len(workers) == 1
        assert archipelago.island_of(workers[0]) == archipelago.island_of(identity[0])


@given(identity=st.tuples(st.integers(0, 2), st.integers(5, 30)), dead=st.sets(st.integers(0, 2), max_size=2))
def test_exactly_one_live_worker_lets_an_individual_make_room_for_a_copy(identity: Identity, dead: set[int]) -> None:
    copy = pollinated((3, identity[1]), 0)
    events = [*lived(THREE, 5), *born(copy.individual, 1)]
    made_room = {}
    for worker in {0, 1, 2} - dead:
        one, _ = migrator(worker, events, mode="copy")
        one.lose(dead)
        if answers := list(one.make_room(copy, NOW)):
            made_room[worker] = answers
    ((worker, answers),) = made_room.items()
    assert worker == THREE.owner(copy.individual, 0, dead)
    ((event),) = answers
    assert isinstance(event, Retired)
    assert event.island == 0
    assert THREE.owner(event.individual, 0, dead) == worker
    assert THREE.island_of(event.individual[0]) == 0


@pytest.mark.parametrize(("policy", "expected"), [(SelectMin, (5, 0)), (SelectMax, (5, 3))])
def test_the_best_or_the_worst_makes_room(policy: Callable[[int], Propagator], expected: Identity) -> None:
    events = [*lived(THREE, 4), *born((0, 9), 0)]
    one, _ = migrator(5, events, mode="copy", immigration=policy)
    assert list(one.make_room(pollinated((0, 9), 2), NOW)) == [retired(expected, 2)]


def test_any_may_make_room_at_random() -> None:
    events = [*lived(THREE, 4), *(event for generation in range(9, 209) for event in born((0, generation), 0))]
    one, _ = migrator(5, events, mode="copy", immigration=SelectUniform)
    chosen = Counter(
        event.individual  # type: ignore[union-attr]
        for generation in range(9, 209)
        for event in one.make_room(pollinated((0, generation), 2), NOW)
    )
    assert set(chosen) == {(5, generation) for generation in range(4)}
    assert min(chosen.values()) > 25


def test_nobody_makes_room_for_what_goes_elsewhere_or_is_there_or_has_made_room() -> None:
    events = [*lived(THREE, 4), *born((0, 9), 0)]
    copy = pollinated((0, 9), 2)
    for before in ([copy], [copy, retired((0, 9), 2)], [migrated((0, 9), 2)]):
        one, _ = migrator(5, [*events, *before], mode="copy")
        assert not list(one.make_room(copy, NOW))
    one, _ = migrator(5, events, mode="copy")
    assert not list(one.make_room(pollinated((5, 0), 2), NOW))
    assert not list(one.make_room(pollinated((0, 9), 1), NOW))
    assert list(one.make_room(copy, NOW))


def test_nobody_makes_room_where_the_owner_of_the_copy_owns_nobody() -> None:
    one, population = migrator(5, born((0, 9), 0), mode="copy")
    assert not list(one.make_room(pollinated((0, 9), 2), NOW))
    population.apply(pollinated((0, 9), 2))
    assert list(one.make_room(pollinated((1, 9), 2), NOW)) == [retired((0, 9), 2)]


def test_who_makes_room_does_so_under_all_numbers_of_its_island() -> None:
    # Of the four islands of an earlier session, 1 and 3 have become island 1.
    two = make_archipelago(2, 2)
    events = [*born((1, 0), 3), pollinated((1, 0), 1), *born((0, 0), 0)]
    one, population = migrator(1, events, mode="copy", archipelago=two)
    answers = list(one.make_room(pollinated((0, 0), 1), NOW))
    assert answers == [retired((1, 0), 1), retired((1, 0), 3)]
    for event in answers:
        population.apply(event)
    assert not population.active


def test_what_the_dead_owned_is_owned_by_others() -> None:
    topology = ((0, 1000, 0), (0, 0, 0), (0, 0, 0))
    one, population = migrator(0, lived(THREE, 3), topology=topology)
    mine = {
        identity
        for worker in (0, 1, 2)
        for identity in [(worker, generation) for generation in range(3)]
        if sum(identity) % 3 == 0
    }
    one.lose([])
    gone = {event.individual for generation in range(50) for event in departures(one, population, (0, generation))}
    assert gone == mine
    one.lose([1, 2])
    gone |= {event.individual for generation in range(50) for event in departures(one, population, (0, generation))}
    assert gone == {(worker, generation) for worker in (0, 1, 2) for generation in range(3)}


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), "often"])
def test_a_probability_is_between_zero_and_one(probability: Any) -> None:
    with pytest.raises(ValueError, match="migration_probability"):
        Migration(mode="move", probability=probability, topology=((0,),))
