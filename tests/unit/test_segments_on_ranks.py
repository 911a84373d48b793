"""Many virtual ranks whose individuals go on from one another's states, under random schedules and deaths."""

from __future__ import annotations

from dataclasses import replace

import pytest
from schedules import SCHEDULES, check_deaths, check_replicas, island_sessions, random_deaths
from segmented import Disk, GoOn, check_segments
from simulation import Session, resumed, simulate

from evo.algorithms import PopulationBasedTraining
from evo.algorithms.base import Algorithm
from evo.engine.budget import Budget
from evo.space.parameters import Float, Int
from evo.space.space import Space

SPACE = Space({"x": Float(-1.0, 1.0, mutable=True), "layers": Int(1, 9)})
PBT = PopulationBasedTraining(interval=2, population=4)


def sessions(block: int, count: int, algorithm: Algorithm, **fixed: object) -> list[Session]:
    count *= SCHEDULES
    return list(island_sessions(block + 700, count, propagator=algorithm, space=SPACE, **fixed))


@pytest.mark.parametrize("algorithm", [GoOn(), PBT])
def test_places_go_on_wherever_the_ranks_are_in_the_search(algorithm: Algorithm) -> None:
    longest = 0
    for session in sessions(0, 12, algorithm, budget=Budget(evaluations=40)):
        disk = Disk()
        result = simulate(session, inspect=disk.inspect, take_state=disk.taker)
        check_replicas(result, session)
        states = check_segments(result)
        assert disk.states == states.needed, session
        assert all(donor not in states.needed for donor in disk.passed_over), session
        longest = max(longest, *(one.state.step for one in result.workers[0].population.ranking if one.state))
    assert longest >= 10


def test_no_more_states_are_kept_than_there_are_places_and_ranks_where_messages_are_faster_than_evaluations() -> None:
    for session in sessions(3, 12, PBT, budget=Budget(evaluations=60), max_delay=4, polls=(5, 20), reports=0.0):
        disk = Disk()
        simulate(session, inspect=disk.inspect, take_state=disk.taker)
        places = sum(max(PBT.population, len(members)) for members in session.archipelago.members)
        assert disk.most <= places + session.ranks, session


@pytest.mark.parametrize("algorithm", [GoOn(), PBT])
def test_whoever_dies_the_others_go_on_with_all_places(algorithm: Algorithm) -> None:
    died = 0
    for session in sessions(1, 10, algorithm, budget=Budget(evaluations=40)):
        session = replace(session, deaths=random_deaths(session))
        result = simulate(session)
        check_replicas(result, session)
        check_deaths(result, session)
        check_segments(result)
        assert set(result.started) == set(result.evaluated), session
        died += len(result.died)
    assert died > 5


@pytest.mark.parametrize("algorithm", [GoOn(), PBT])
def test_a_session_that_was_killed_goes_on_with_other_ranks(algorithm: Algorithm) -> None:
    for session in sessions(2, 8, algorithm, budget=Budget(evaluations=30)):
        killed = simulate(replace(session, kill=(10, 200)))
        result = resumed(session, killed, sizes=None, migration=None, ranks=1 + session.ranks % 5)
        check_replicas(result, result.session)
        check_segments(result)
        assert set(result.started) == set(result.evaluated), session
        assert result.workers[0].population.finished >= 30
