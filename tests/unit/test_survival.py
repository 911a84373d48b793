"""Ranks that die at any moment, one or several of them: the others go on, and nothing that was recorded is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from records import started
from schedules import (
    ENDING,
    PHASES,
    SCHEDULES,
    check_deaths,
    check_outcomes,
    check_replicas,
    island_sessions,
    random_deaths,
    spent,
)
from simulation import SPACE, Death, Result, Session, resumed, simulate
from travels import check_travels

import evo.engine.exchange
from evo.engine.budget import Budget
from evo.population.events import AnyEvent, Retired, Started, encode
from evo.propagators import default_propagator
from evo.space.space import Space
from evo.storage.journal import Memory

BLOCKS = range(3 * SCHEDULES)


def blocks(fan_out: int) -> pytest.MarkDecorator:
    """Each block of sessions once, every second one with a tree of this fan-out rather than flat."""
    return pytest.mark.parametrize(("block", "fan_out"), [(each, fan_out if each % 2 else None) for each in BLOCKS])


def deadly_sessions(block: int, count: int, phases: Any = PHASES, **fixed: Any) -> Iterator[Session]:
    """Sessions some of whose ranks die."""
    for session in island_sessions(block + 200, count, **fixed):
        yield replace(session, deaths=random_deaths(session, phases))


def check_survival(result: Result, session: Session) -> None:
    """The survivors know the same, and all that was asked for and all that was ever started has been evaluated."""
    check_replicas(result, session)
    check_deaths(result, session)
    population = result.survivors[0].population
    assert not population.running, session
    assert population.finished >= (session.budget.evaluations or 0), session
    if session.files:
        check_outcomes(result, session)
        check_travels(result, session)
        assert set(result.started) == set(result.evaluated), session


@blocks(fan_out=2)
def test_whoever_dies_whenever_the_others_complete_the_search(block: int, fan_out: int | None) -> None:
    died = 0
    for session in deadly_sessions(block, 40, fan_out=fan_out):
        result = simulate(session)
        check_survival(result, session)
        assert {str(worker.stop_reason) for worker in result.survivors} == {spent(session, result)}
        died += len(result.died)
    assert died > 30


@blocks(fan_out=3)
def test_whoever_dies_while_the_search_ends_the_others_end_it(block: int, fan_out: int | None) -> None:
    died = 0
    for session in deadly_sessions(block + 10, 40, ENDING, fan_out=fan_out, budget=Budget(evaluations=8)):
        result = simulate(session)
        check_survival(result, session)
        died += len(result.died)
    assert died > 25


@blocks(fan_out=2)
def test_the_others_also_go_on_where_no_files_are_kept(block: int, fan_out: int | None) -> None:
    died = 0
    for session in deadly_sessions(block + 20, 20, fan_out=fan_out, files=False):
        result = simulate(session)
        check_survival(result, session)
        died += len(result.died)
    assert died > 15


def test_who_dies_when_it_has_passed_on_what_was_concluded_leaves_nobody_waiting() -> None:
    for seed in range(40):
        deaths = {1: Death("left" if seed % 2 else "closed")}
        budget = Budget(evaluations=3)
        session = Session(seed=seed, ranks=4, budget=budget, polls=(1, 4), max_delay=20, fan_out=1, deaths=deaths)
        check_survival(simulate(session), session)


@pytest.mark.parametrize("fan_out", [2, 3])
def test_among_very_many_who_dies_before_it_has_passed_on_what_was_concluded_leaves_nobody_waiting(
    fan_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evo.engine.exchange, "FEW", 0)  # These few count as very many.
    again = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        others = rng.choice(range(1, 7), int(rng.integers(1, 4)), replace=False).tolist()
        deaths = {rank: Death("closed", later=int(rng.integers(4))) for rank in (0, *others)}
        budget = Budget(evaluations=3)
        session = Session(seed=seed, ranks=7, budget=budget, polls=(1, 4), max_delay=40, fan_out=fan_out, deaths=deaths)
        result = simulate(session)
        check_survival(result, session)
        again += len(result.conclusions) > 1
    assert again < 15  # Mostly some that live on had heard.


def test_whoever_has_heard_what_was_concluded_before_the_first_rank_died_concludes_nothing_else() -> None:
    again = 0
    for seed in range(300):
        deaths = {0: Death("closed")}
        session = Session(seed=seed, ranks=3, budget=Budget(evaluations=3), polls=(1, 4), max_delay=3, deaths=deaths)
        result = simulate(session)
        check_survival(result, session)
        again += len(result.conclusions) > 1
    assert again > 10  # Where nobody had heard.


def test_deaths_hit_the_first_rank_several_ranks_and_whole_islands_in_every_phase() -> None:
    hit: Counter[str] = Counter()
    for session in deadly_sessions(0, 110, fan_out=None):
        result = simulate(session)
        hit.update(session.deaths[rank].phase for rank in result.died)
        hit["first"] += 0 in result.died
        hit["several"] += len(result.died) > 1
        hit["island"] += any(result.died.issuperset(island) for island in session.archipelago.members)
        hit["noticed"] += any(worker.dead for worker in result.survivors)
        hit["by several"] += len({worker.dead for worker in result.survivors}) > 1
        for rank in result.died:
            lines, death = result.journals[rank].lines, session.deaths[rank]
            hit["kept and not sent"] += death.phase == "line" and len(lines) == death.number
    assert min(hit[name] for name in (*PHASES, "first", "several", "island", "noticed", "kept and not sent")) >= 3, hit


def test_survivors_breed_all_their_generations() -> None:
    for session in deadly_sessions(30, 40, budget=Budget(generations=6), fan_out=None):
        result = simulate(session)
        check_survival(result, session)
        bred = Counter(rank for rank, _ in set(result.started))
        for rank in range(session.ranks):
            assert bred[rank] == 6 or (rank in result.died and bred[rank] < 6), session
            assert {(rank, generation) for generation in range(bred[rank])} <= set(result.started), session


@pytest.mark.parametrize("files", [True, False])
def test_survivors_go_through_a_finite_space(files: bool) -> None:
    space = Space({"layers": (1, 6), "x": (8, 16, 64)})
    fixed = {"space": space, "propagator": default_propagator(4), "budget": Budget(), "fan_out": None, "files": files}
    for session in deadly_sessions(31, 20, ("step", "line"), **fixed):
        result = simulate(session)
        check_survival(result, session)
        tried = {repr(event.params) for events in result.watched for event in events if isinstance(event, Started)}
        assert tried == {repr(params) for params in space.points()}, session


def test_survivors_that_are_asked_to_stop_leave_what_the_dead_had_for_a_later_session() -> None:
    left = 0
    for session in deadly_sessions(32, 40, ("step", "line"), budget=Budget(evaluations=60), polls=(20, 40)):
        result = simulate(replace(session, stop=(session.seed % 300, 20)))
        check_replicas(result, session)
        running = set(result.started) - set(result.evaluated)
        left += len(running)
        later = resumed(session, result, ranks=1 + session.seed % 6, sizes=None, migration=None, deaths={})
        check_replicas(later, later.session)
        check_outcomes(later, session)
        assert running <= set(later.evaluated) == set(later.started), session
    assert left > 40


def test_ranks_may_die_in_every_session_of_a_study() -> None:
    resumes = 0
    for session in deadly_sessions(33, 50, fan_out=None):
        first = simulate(replace(session, kill=(session.seed % 200, 20)))
        rng = np.random.default_rng(session.seed)
        second = resumed(
            session,
            first,
            ranks=4,
            sizes=(2, 2),
            migration=None,
            budget=Budget(evaluations=len(set(first.started)) + 15),
            polls=(20, 40),
            deaths={int(rng.integers(4)): Death("step", int(rng.integers(1, 30)))},
        )
        check_survival(second, second.session)
        resumes += any(event.rank is not None for event in second.of(Started))
    assert resumes > 25


def test_what_the_dead_had_in_an_earlier_session_is_not_taken_from_those_who_have_it_now() -> None:
    rng = np.random.default_rng(0)
    flying = [started((1, number), SPACE.complete(SPACE.sample(rng), rng)) for number in range(5)]
    budget = Budget(evaluations=12)
    for seed in range(40):
        deaths = {1: Death("step", 1 + seed)}
        session = Session(seed=seed, ranks=3, budget=budget, polls=(1, 40), deaths=deaths)
        result = simulate(session, {1: [encode(event) for event in flying]})
        check_survival(result, session)


def test_without_files_what_was_published_again_is_recalled_once() -> None:
    # Or what the ranks repeat after each of several deaths would grow with the power of their number.
    known: list[AnyEvent] = [Retired(time=float(number), individual=(0, number), island=0) for number in range(3)]
    memory = Memory(known)
    known += [*memory.recall(), *memory.recall()]
    assert list(memory.recall()) == known[:3]
