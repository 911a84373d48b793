"""Islands under arbitrary schedules: individuals travel, and nobody is lost, doubled, or left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from records import replayed
from schedules import SCHEDULES, check_conclusion, check_outcomes, check_replicas, island_sessions, members, spent
from simulation import Result, Session, resumed, simulate
from travels import Knowledge, check_owners, check_travels

from evo.engine.budget import Budget
from evo.population.events import Finished, Migrated, Pollinated, Retired, Started, decode
from evo.population.individual import Known

BLOCKS = range(3 * SCHEDULES)


class Watcher:
    """Compares all replicas, step by step, with what their ranks have been shown."""

    def __init__(self, session: Session) -> None:
        islands = session.archipelago.islands
        self.known = [Knowledge(islands) for _ in range(session.ranks)]
        self.truth = Knowledge(islands)  # What is in some journal.
        self.moving = session.migration is not None and session.migration.mode == "move"
        self._most = [0] * session.ranks
        self._shown = [0] * session.ranks
        self._kept = [0] * session.ranks

    def __call__(self, result: Result, rank: int) -> None:
        """Look at a rank."""
        lines, shown = result.journals[rank].lines, result.watched[rank][self._shown[rank] :]
        for line in lines[self._kept[rank] :]:
            self.truth.learn(decode(line))
        self._kept[rank] = len(lines)
        if not shown:
            return
        self._shown[rank] += len(shown)
        known, population = self.known[rank], result.workers[rank].population
        for event in shown:
            known.learn(event)
        active = members(population)
        assert active == known.active(population.island), result.session
        for identity in {event.individual for event in shown if isinstance(event, Finished | Migrated | Pollinated)}:
            if identity in known.births:
                individual = Known(genome=np.zeros(0), identity=identity, island=known.births[identity])
                islands = {island for island in range(known.islands) if population.is_on(individual, island)}
                assert islands == known.places(identity), result.session
                assert len(islands) == 1 or not self.moving, result.session
        # An island has never fewer than it had before, less the copies that were sent to it.
        self._most[rank] = max(self._most[rank], len(active))
        sent = self.truth.sent(population.island)
        assert self.moving or len(active) >= self._most[rank] - sent, result.session
        assert known.gone(population.island) <= sent, result.session


@pytest.mark.parametrize("block", BLOCKS)
def test_all_replicas_of_all_islands_are_equal_in_the_end_and_what_the_journals_say_in_any_order(block: int) -> None:
    for session in island_sessions(block, 40):
        result = simulate(session)
        assert result.survived
        check_replicas(result, session)
        check_conclusion(result)
        check_outcomes(result, session)
        check_travels(result, session)
        check_owners(result, session)
        assert Counter(result.started) == Counter(result.evaluated), session
        assert len(result.started) >= (session.budget.evaluations or 0), session
        assert {event.reason for event in result.done} == {spent(session, result)}


@pytest.mark.parametrize("block", BLOCKS)
def test_what_moves_is_on_one_island_in_every_replica_at_every_step(block: int) -> None:
    travelled = 0
    for session in island_sessions(block + 100, 30, mode="move"):
        watcher = Watcher(session)
        result = simulate(session, inspect=watcher)
        check_travels(result, session)
        check_owners(result, session)
        islands = [
            members(replayed(session.space, result.events, island, len(session.archipelago.members)))
            for island in range(session.archipelago.islands)
        ]
        everyone = [identity for island in islands for identity, _ in island]
        assert sorted(everyone) == sorted(watcher.truth.completed), session
        travelled += len(result.of(Migrated))
    assert travelled > 150


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_copied_arrives_and_no_island_shrinks_by_more_than_the_copies_sent_to_it(block: int) -> None:
    made_room = 0
    for session in island_sessions(block + 100, 30, mode="copy"):
        watcher = Watcher(session)
        result = simulate(session, inspect=watcher)
        check_travels(result, session)
        check_owners(result, session)
        truth = watcher.truth
        for identity, islands in truth.copies.items():
            assert islands <= truth.places(identity) | truth.retired[identity], session
        for island in range(session.archipelago.islands):
            born = sum(truth.births[identity] == island for identity in truth.completed)
            assert len(truth.active(island)) >= born, session
            assert truth.gone(island) <= truth.sent(island), session
        made_room += len(result.of(Retired))
    assert made_room > 75


@pytest.mark.parametrize("fan_out", [None, 2])
def test_each_rank_breeds_its_generations_on_its_island(fan_out: int | None) -> None:
    for session in island_sessions(110, 30, budget=Budget(generations=4), fan_out=fan_out):
        result = simulate(session)
        births = {event.individual: event.island for event in result.of(Started)}
        islands = session.archipelago
        assert births == {
            (rank, generation): islands.island_of(rank) for rank in range(session.ranks) for generation in range(4)
        }
        assert Counter(result.evaluated) == Counter(result.started) == Counter(births.keys()), session


@pytest.mark.parametrize("fan_out", [None, 2, 3])
def test_a_budget_is_exceeded_by_fewer_evaluations_than_there_are_ranks(fan_out: int | None) -> None:
    for session in island_sessions(111, 25, fan_out=fan_out, max_delay=3, polls=(60, 80)):
        result = simulate(session)
        wanted = session.budget.evaluations or 0
        assert wanted <= len(result.started) <= wanted + session.ranks - 1, session


@pytest.mark.parametrize("block", BLOCKS)
def test_a_study_goes_on_with_other_islands_and_nobody_who_was_active_is_lost(block: int) -> None:
    seen: Counter[str] = Counter()
    for session in island_sessions(block + 120, 20):
        first = simulate(replace(session, kill=(session.seed % 400, 20) if session.seed % 3 else None))
        before = Knowledge(session.archipelago.islands, first.events)
        (later,) = island_sessions(5000 + session.seed, 1, budget=Budget(evaluations=len(before.births) + 25))
        islands = later.archipelago.islands
        start = Knowledge(islands, first.events)
        for island in range(islands):
            population = replayed(later.space, first.events, island, islands)
            assert members(population) == start.active(island), (session, later)
        for identity in before.completed:
            assert start.places(identity) == {place % islands for place in before.places(identity)}, (session, later)
        second = resumed(later, first)
        check_replicas(second, later)
        check_outcomes(second, later)
        check_travels(second, later)
        check_owners(second, later)
        end = Knowledge(islands, second.events)
        gone = [decode(line) for journal in second.journals for line in journal.lines if b'"Retired"' in line]
        for event in gone:
            assert isinstance(event, Retired)
            assert event.island % islands not in end.places(event.individual), (session, later)
        for identity in start.completed:
            assert gone or not start.places(identity) or end.places(identity), (session, later)
        for island in range(islands if later.migration and later.migration.mode == "copy" else 0):
            assert len(end.active(island)) >= len(start.active(island)), (session, later)
        seen["retired"] += len(gone)
        seen["fewer"] += islands < before.islands
        seen["more"] += islands > before.islands
        seen["other mode"] += {type(event) for event in second.of(Pollinated) + second.of(Migrated)} == {
            Pollinated,
            Migrated,
        }
    assert min(seen["fewer"], seen["more"], seen["retired"], seen["other mode"]) >= 2, seen
