"""Many ranks, arbitrary schedules: nothing is lost, nothing is repeated, and all know the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from records import NOW, make_worker
from schedules import SCHEDULES, check_conclusion, check_outcomes, digests, sessions, spent
from simulation import SPACE, Ending, Evaluator, Fate, Journal, resumed, simulate

from evo.engine.budget import Budget
from evo.engine.exchange import Exchange
from evo.engine.loop import Effects, search
from evo.engine.transport import Serial
from evo.population.assignment import Assignment, TakesReport
from evo.population.events import AnyEvent, Finished, Heard, Joined, Reported, Started, decode
from evo.population.goal import make_goal
from evo.population.objectives import ONE_LOSS
from evo.propagators import default_propagator
from evo.space.space import Space
from evo.testing.loopback import Loopback

BLOCKS = range(4 * SCHEDULES)


@pytest.mark.parametrize("block", BLOCKS)
def test_all_ranks_end_with_the_same_population_whatever_the_schedule(block: int) -> None:
    for session in sessions(block, 100):
        result = simulate(session)
        assert result.survived
        assert len(digests(result)) == 1, session
        check_outcomes(result, session)
        check_conclusion(result)
        assert Counter(result.started) == Counter(result.evaluated), session
        wanted = session.budget.evaluations or 0
        assert len(result.started) >= wanted, session
        if session.max_delay == 0:
            assert len(result.started) == wanted, session
        elif session.max_delay <= session.polls[0]:
            assert len(result.started) <= wanted + session.ranks - 1, session
        assert {event.reason for event in result.done} == {spent(session, result)}
        assert not any(worker.stop_reason.is_before_the_end for worker in result.workers)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_study_that_is_killed_goes_on_with_any_number_of_ranks_and_loses_nothing(block: int) -> None:
    for session in sessions(block, 40):
        rng = np.random.default_rng(session.seed)
        result = simulate(replace(session, kill=(int(rng.integers(200)), 20)))
        for _ in range(int(rng.integers(3))):  # And perhaps again.
            kill = (int(rng.integers(200)), 20)
            result = resumed(session, result, seed=int(rng.integers(2**32)), ranks=int(rng.integers(1, 7)), kill=kill)
        known = set(result.started)
        final = resumed(session, result, seed=int(rng.integers(2**32)), ranks=int(rng.integers(1, 7)))
        assert final.survived
        assert len(digests(final)) == 1, session
        assert known <= set(final.evaluated), session
        assert set(final.evaluated) == set(final.started), session
        check_outcomes(final, session)
        wanted = session.budget.evaluations or 0
        assert len(final.evaluated) >= wanted, session
        if session.max_delay <= session.polls[0]:
            assert len(final.evaluated) <= max(len(known), wanted + len(final.workers) - 1), session
        assert {event.reason for event in final.done} == {spent(session, final)}


def test_kills_hit_before_and_after_a_line_is_sent_and_in_every_phase() -> None:
    cut: Counter[str] = Counter()
    for session in sessions(0, 200, ranks=2):
        result = simulate(replace(session, kill=(session.seed, 20)))
        cut["survived"] += result.survived
        for journal in result.journals:
            cut[type(decode(journal.lines[-1])).__name__ if journal.lines else "nothing"] += 1
        sent = {repr(event) for event in result.watched[1]}
        cut["kept but not sent"] += any(repr(decode(line)) not in sent for line in result.journals[0].lines)
    assert min(cut[name] for name in ("Started", "Finished", "Done", "Reported", "survived", "kept but not sent")) >= 5


@pytest.mark.parametrize("block", BLOCKS)
def test_ranks_that_are_asked_to_stop_do_so_at_once_and_leave_what_they_had_for_later(block: int) -> None:
    cut_short = 0
    for session in sessions(block, 20, budget=Budget(evaluations=40), polls=(30, 60)):
        result = simulate(replace(session, stop=(session.seed % 100, 20)))
        assert result.survived
        assert len(digests(result)) == 1, session
        interrupted = [event.individual for event in result.of(Finished) if event.status == "interrupted"]
        cut_short += len(interrupted) == session.ranks
        assert sorted(interrupted + result.evaluated) == sorted(result.started), session
        assert len(result.started) < 40, session
        assert all(worker.stop_reason.is_before_the_end for worker in result.workers)
        assert {event.reason for event in result.done} == {"asked to stop"}
        later = resumed(session, result, ranks=1 + session.seed % 6)
        assert len(digests(later)) == 1, session
        assert set(later.evaluated) == set(later.started) >= set(result.started), session
        assert len(later.evaluated) >= 40, session
        check_outcomes(later, session)
    assert cut_short > 12  # A rank is hardly ever between two evaluations.


def test_each_rank_breeds_its_generations_however_long_the_others_take() -> None:
    for session in sessions(0, 100, budget=Budget(generations=4)):
        result = simulate(session)
        expected = {(rank, generation) for rank in range(session.ranks) for generation in range(4)}
        assert set(result.started) == expected
        assert len(result.evaluated) == len(expected)
        assert len(digests(result)) == 1, session


def test_a_study_is_extended_by_a_larger_budget() -> None:
    for session in sessions(0, 40, budget=Budget(evaluations=6)):
        first = simulate(session)
        more = resumed(session, first, ranks=1 + session.seed % 5, budget=Budget(evaluations=50), max_delay=0)
        assert set(first.started) < set(more.started)
        assert len(more.started) == 50, session
        check_outcomes(more, session)


def test_all_ranks_stop_when_one_has_reached_the_target() -> None:
    budget = Budget(evaluations=300, goal=make_goal(1.5, None, ONE_LOSS))
    cut_short = 0
    for session in sessions(0, 100, budget=budget, reports=0.0):
        result = simulate(session)
        assert len(digests(result)) == 1, session
        cut_short += any(event.status == "interrupted" for event in result.of(Finished))
        best = result.workers[0].population.best
        assert best is not None
        assert best.loss is not None
        assert best.loss <= 1.5
        assert len(result.started) < 300
        assert "the target loss 1.5 is reached" in {event.reason for event in result.done}
        assert not any(worker.stop_reason.is_before_the_end for worker in result.workers)
    assert cut_short > 50


@pytest.mark.parametrize("max_delay", [0, 20])
def test_a_finite_space_is_gone_through_and_point_by_point_if_ranks_hear_of_each_other_at_once(max_delay: int) -> None:
    space = Space({"layers": (1, 6), "x": (8, 16, 64)})
    propagator = default_propagator(4)
    for session in sessions(0, 25, space=space, propagator=propagator, budget=Budget(), max_delay=max_delay):
        result = simulate(session)
        tried = Counter(repr(event.params) for event in result.of(Started))
        assert set(tried) == {repr(params) for params in space.points()}, session
        assert {event.reason for event in result.done} == {"all 18 points of the space have been tried"}
        assert len(digests(result, space)) == 1, session
        if max_delay == 0:
            assert set(tried.values()) == {1}, session


def test_the_same_schedule_gives_the_same_journals() -> None:
    for session in sessions(0, 50, propagator=default_propagator(4)):
        one, other = simulate(session), simulate(session)
        assert [journal.lines for journal in one.journals] == [journal.lines for journal in other.journals]


def test_every_rank_is_shown_what_every_rank_recorded() -> None:
    for session in sessions(0, 100, duplicates=0.0):
        result = simulate(session)
        everything = Counter(repr(event) for event in result.events if not isinstance(event, Heard))
        for rank, watched in enumerate(result.watched):
            shown = Counter(repr(event) for event in watched)
            # What arrives after all are done does not exist.
            assert shown == everything, (session, rank)


def test_a_line_is_in_the_journal_before_it_is_sent() -> None:
    journal = Journal()
    sent: list[bytes] = []

    class Spy(Exchange):
        def publish(self, line: bytes) -> None:
            assert journal.lines[-1] == line
            sent.append(line)

    worker = make_worker(SPACE, default_propagator(4), Budget(generations=5))
    watched: list[AnyEvent] = []
    ending = Ending(worker, Fate([]), [])
    evaluator = Evaluator((20, 20), np.random.default_rng(0))
    effects = Effects(evaluator=evaluator, journal=journal, ending=ending, watch=watched.append, clock=lambda: NOW)
    for _ in search(worker, Spy(Serial()), effects):
        pass
    assert sent == journal.lines
    assert [decode(line) for line in journal.lines] == watched
    assert {type(event) for event in watched} > {Joined, Started, Reported, Finished}


def test_the_evaluations_of_a_session_are_counted_and_have_seeds_of_their_own() -> None:
    assignments: list[Assignment] = []

    class Notes(Evaluator):
        def start(self, assignment: Assignment, report: TakesReport) -> None:
            assignments.append(assignment)
            super().start(assignment, report)

    worker = make_worker(SPACE, default_propagator(4), Budget(generations=5))
    evaluator = Notes((1, 1), np.random.default_rng(0))
    journal = Journal()
    ending = Ending(worker, Fate([]), [])
    effects = Effects(evaluator=evaluator, journal=journal, ending=ending, watch=id, clock=lambda: NOW)
    for _ in search(worker, Exchange(Serial()), effects):
        pass
    started = [event for event in map(decode, journal.lines) if isinstance(event, Started)]
    assert [(each.individual, each.params) for each in assignments] == [(e.individual, e.params) for e in started]
    assert [each.attempt for each in assignments] == [1, 2, 3, 4, 5]
    assert len({each.seed for each in assignments}) == 5


def test_messages_between_two_ranks_arrive_late_perhaps_twice_and_in_order() -> None:
    network = Loopback(2, np.random.default_rng(0), max_delay=10, duplicates=0.5)
    arrived: list[tuple[int, int]] = []
    for network.now in range(300):
        if network.now < 200:
            network.endpoints[0].send(str(network.now).encode(), [1])
        arrived += [(int(message), network.now) for _, message in network.endpoints[1].receive()]
    numbers = [number for number, _ in arrived]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(200))
    assert 250 < len(numbers) < 350
    delays = {time - number for number, time in arrived}
    assert max(delays) > 5
    assert min(delays) >= 0
    assert not network.endpoints[0].receive()


def test_of_a_rank_that_dies_some_messages_are_lost_from_some_point_on_and_the_others_notice_sooner_or_later() -> None:
    lost: Counter[int] = Counter()
    for seed in range(300):
        network = Loopback(3, np.random.default_rng(seed), max_delay=10)
        for number in range(4):
            network.endpoints[0].send(str(number).encode(), [1, 2])
        network.endpoints[2].send(b"from another", [1])
        network.kill(0)
        arrived: list[tuple[int, bytes]] = []
        noticed = []
        for network.now in range(30):
            arrived += network.endpoints[1].receive()
            noticed.append(network.endpoints[1].dead)
        numbers = [int(message) for sender, message in arrived if sender == 0]
        assert numbers == list(range(len(numbers)))
        assert (2, b"from another") in arrived
        when = noticed.index(frozenset({0}))
        assert noticed == [frozenset()] * when + [frozenset({0})] * (30 - when)
        lost[4 - len(numbers)] += 1
        lost[-1] += when > 0
    assert min(lost[number] for number in range(-1, 5)) > 20
