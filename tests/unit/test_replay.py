"""Searches of virtual ranks, whose decisions are made again from their journals alone."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from schedules import island_sessions, random_deaths
from simulation import SPACE, Result, Session, resumed, simulate

from evo.algorithms.catalogue import READY, make_propagator
from evo.algorithms.portfolio import Portfolio
from evo.engine.budget import Budget
from evo.engine.hearing import MOST_WORKERS, Hearing
from evo.engine.settings import TakeState
from evo.engine.starting import KnownPoint, known_events
from evo.errors import UserError
from evo.islands.migration import Migration
from evo.population import Active, Individual
from evo.population.events import Finished, Heard, Retired, Started, decode, encode
from evo.population.identity import Identity
from evo.population.population import Population
from evo.propagators import Propagator, default_propagator
from evo.pruning import SuccessiveHalving
from evo.replay.decisions import as_decided
from evo.replay.journals import Journals, divide_journals
from evo.replay.replaying import Replay, replay_journals
from evo.replay.settings import in_words
from evo.report.course import Course
from evo.report.records import gather_evaluations
from evo.space.limits import Choice, Float
from evo.space.space import Space
from evo.storage.rundir import StudyRecord

SMALL = Space({"layers": (1, 6), "x": (8, 16, 64)})
CONSTRAINED = Space({"x": (-1.0, 1.0), "layers": (1, 9)}, ["x * layers < 2"])
MIXED = Space(
    {
        "x": (-1.0, 1.0),
        "n": (1, 9),
        "kind": (2, 4, 8),
        "rate": Float(1e-4, 1.0, log=True, when={"kind": [2, 4]}),
        "deep": Choice(0, 1, when={"kind": 8}),
    }
)


def study_of(space: Space) -> StudyRecord:
    return StudyRecord(name="", objective="", limits=space.describe(), constraints=list(space.constraints), seed=0)


def journals_of(lines: Mapping[int, Sequence[bytes]]) -> Journals:
    return divide_journals({rank: [decode(line) for line in lines[rank]] for rank in sorted(lines, key=str)})


def replayed(result: Result) -> Replay:
    return replay_journals(study_of(result.session.space), journals_of(result.by_rank))


def check_confirmed(result: Result) -> Counter[str]:
    found = replayed(result)
    wrong = [one for one in found.decisions if one.finding in ("deviates", "undecided")]
    assert not wrong, (result.session, wrong[0])
    assert Counter(one.recorded.individual for one in found.decisions) == Counter(result.started)
    return Counter(found.counts)


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_every_decision_is_confirmed_whatever_the_schedule_flat_and_in_trees(mode: str) -> None:
    for session in island_sessions(7, 8, duplicates=0.0, mode=mode, propagator=make_propagator("portfolio", {})):
        check_confirmed(simulate(replace(session, budget=Budget(evaluations=40))))


def test_where_the_states_of_some_donors_are_missing_too() -> None:
    space = Space({"x": Float(-1.0, 1.0, mutable=True), "layers": (1, 9)})
    propagator = make_propagator("pbt", {"interval": 2, "population": 4})
    lost = 0
    for session in island_sessions(21, 6, duplicates=0.0, propagator=propagator, space=space):

        def take_state(rank: int) -> TakeState:
            return lambda identity, donor: zlib.crc32(repr((rank, donor.individual)).encode()) % 3 > 0

        session = replace(session, budget=Budget(evaluations=40), deaths=random_deaths(session))
        result = simulate(session, take_state=take_state)
        check_confirmed(result)
        lost += sum(len(event.lost) for event in result.of(Started))
    assert lost > 10


def test_after_deaths_too() -> None:
    counts: Counter[str] = Counter()
    for session in island_sessions(8, 25, duplicates=0.0, propagator=default_propagator(4)):
        start = [{"x": place / 16, "layers": 1} for place in range(9)]
        session = replace(session, budget=Budget(evaluations=30), start=start)
        counts += check_confirmed(simulate(replace(session, deaths=random_deaths(session))))
    assert min(counts[kind] for kind in ("confirmed", "start", "again")) > 5


def known_points(number: int, seed: int) -> list[KnownPoint]:
    rng = np.random.default_rng(seed)
    places = np.round(rng.uniform(-1, 1, number), 6).tolist()
    return [KnownPoint({"x": x, "layers": 2}, x**2, "elsewhere") for x in places]


def test_known_results_are_nobodys_decisions_also_after_deaths_and_where_more_are_given_later() -> None:
    counts: Counter[str] = Counter()
    for session in island_sessions(12, 6, duplicates=0.0, propagator=make_propagator("tpe", {})):
        session = replace(session, budget=Budget(evaluations=30), known=known_points(9, 0))
        first = simulate(replace(session, deaths=random_deaths(session)))
        counts += check_confirmed(first)
        more = {"ranks": 2, "sizes": None, "migration": None, "known": known_points(5, 1)}
        counts += check_confirmed(resumed(session, first, budget=Budget(evaluations=60), **more))
    assert counts["known"] == 6 * (9 + 9 + 5)
    assert counts["confirmed"] > 6 * 90
    assert counts["again"] > 1


def test_a_kill_between_any_two_lines_of_known_results_costs_nothing_and_is_confirmed() -> None:
    space = Space({"x": (-1.0, 1.0), "layers": (1, 9)})
    points = [{"x": x, "layers": 2} for x in (0.5, -0.25, 0.125)]
    known = [KnownPoint(point, place + 0.5, "elsewhere") for place, point in enumerate(points)]
    lines = [encode(event) for event in known_events(known, Population(space), 0.0)]
    session = Session(seed=3, ranks=2, budget=Budget(evaluations=8), propagator=make_propagator("tpe", {}), known=known)
    for count, given in [*((count, known) for count in range(7)), (1, []), (3, [])]:
        result = simulate(replace(session, known=given), {0: lines[:count]})
        again = simulate(replace(session, known=given, budget=Budget(evaluations=12)), result.by_rank)
        events = [decode(line) for each in again.by_rank.values() for line in each]
        ended = [one for one in gather_evaluations(events) if one.origin]
        assert [one.loss for one in sorted(ended, key=lambda one: one.loss or 0)] == [0.5, 1.5, 2.5][
            : len(given) or count // 2
        ]
        course = Course()
        course.add_all(events)
        assert (course.known, sum(course.counts.values())) == (len(ended), 12)
        starts = Counter(str(event.params) for event in events if isinstance(event, Started) and not event.origin)
        assert not given or not {str(point) for point in points} & starts.keys()
        found = replay_journals(study_of(space), journals_of(again.by_rank))
        assert set(found.counts) <= {"confirmed", "known", "start"}, found.deviations or found.reasons
        assert found.counts["known"] == len(ended)


@pytest.mark.parametrize("name", sorted(READY))
def test_every_algorithm_is_confirmed_with_pruning_and_another_number_of_ranks(name: str) -> None:
    breeding = make_propagator(name, {"population": 4})
    for session in island_sessions(9, 2, duplicates=0.0, propagator=breeding, space=MIXED):
        pruner = SuccessiveHalving(maximum=20)
        session = replace(session, budget=Budget(evaluations=45), pruner=pruner, reports=0.5)
        first = simulate(replace(session, stop=(300, 20)))
        final = resumed(session, first, ranks=2, sizes=None, migration=None, budget=Budget(evaluations=70))
        counts = check_confirmed(final)
        assert counts["confirmed"] >= 70


@pytest.mark.parametrize("space", [SMALL, CONSTRAINED], ids=["small", "constrained"])
@pytest.mark.parametrize("allow_duplicates", [False, True])
def test_finite_and_constrained_spaces_are_confirmed_to_their_end(space: Space, allow_duplicates: bool) -> None:
    budget = Budget(evaluations=None if space is SMALL and not allow_duplicates else 40)
    breeding = make_propagator("portfolio", {})
    settings: dict[str, Any] = {"space": space, "propagator": breeding, "budget": budget, "duplicates": 0.0}
    for session in island_sessions(10, 10, allow_duplicates=allow_duplicates, **settings):
        check_confirmed(simulate(session))


def test_what_is_learnt_while_an_evaluation_runs_is_confirmed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    early = 0
    for session in island_sessions(11, 6, duplicates=0.0, propagator=make_propagator("portfolio", {}), polls=(1, 90)):
        session = replace(session, budget=Budget(evaluations=60))
        monkeypatch.setattr("evo.engine.learning._MANY", 2)
        result = simulate(session)
        monkeypatch.undo()
        check_confirmed(result)
        early += len(result.of(Heard)) > len(result.of(Started))
    assert early > 1


def test_what_has_been_heard_is_recorded_but_never_sent() -> None:
    result = search()
    assert len(result.of(Heard)) > 50
    assert not any(isinstance(event, Heard) for events in result.watched for event in events)


def test_what_came_before_a_session_is_gathered_once_for_all_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    first = search()
    final = resumed(first.session, first, budget=Budget(evaluations=140))
    gathered, before = [], Journals.before
    monkeypatch.setattr(Journals, "before", lambda self, number: gathered.append(number) or before(self, number))
    check_confirmed(final)
    assert gathered == [1, 2]


def test_with_too_many_workers_nothing_is_recorded_of_them_even_when_few_were_heard() -> None:
    noted: list[Heard] = []
    for workers in (MOST_WORKERS + 1, MOST_WORKERS):
        Hearing({1: 3}, noted.append, workers).note(1.0, has_learnt=True)
    assert noted == [Heard(time=1.0, counts="03")]


def test_records_of_one_decision_that_are_alike_differ_in_time() -> None:
    noted: list[Heard] = []
    known = {1: 0}
    hearing = Hearing(known, noted.append, 2)
    for _ in range(4):  # Another worker took the place that was chosen, again and again.
        known[1] += 5
        hearing.note(1.0, has_learnt=True)
    assert [heard.counts for heard in noted] == ["05"] * 4
    assert len(set(noted)) == 4
    assert noted[-1].time == pytest.approx(1.0)


def search() -> Result:
    migration = Migration(mode="copy", probability=0.9, topology=((0, 1), (1, 0)))
    breeding = make_propagator("portfolio", {})
    budget = Budget(evaluations=120)
    return simulate(Session(seed=0, ranks=4, sizes=(2, 2), migration=migration, budget=budget, propagator=breeding))


def altered(result: Result, identity: Identity, kind: type, before: bytes, after: bytes) -> Replay:
    """What a replay says when one line was altered by hand."""
    lines = {rank: list(each) for rank, each in result.by_rank.items()}
    for each in lines.values():
        for place, line in enumerate(each):
            event = decode(line)
            if isinstance(event, kind) and event.individual == identity:
                assert before in line
                each[place] = line.replace(before, after, 1)
    return replay_journals(study_of(result.session.space), journals_of(lines))


def test_an_altered_parameter_is_found_where_it_is() -> None:
    result = search()
    bred = [event for event in result.of(Started) if event.bred_by != "start"]
    for event in (bred[40], bred[-1]):
        x = event.params["x"]
        now = round(x / 2, 6)
        found = altered(result, event.individual, Started, f'"x":{x}'.encode(), f'"x":{now}'.encode())
        first = found.deviations[0]
        assert first.recorded.individual == event.individual
        recorded, _, again = first.why.partition(", bred again ")
        assert f'"x":{now}' in recorded
        assert f'"x":{x}' in again


def test_an_altered_loss_is_found_by_the_decisions_that_followed_from_it() -> None:
    result = search()
    best = min(result.of(Finished)[40:60], key=lambda end: 9.0 if end.loss is None else end.loss)
    found = altered(result, best.individual, Finished, f'"loss":{best.loss}'.encode(), b'"loss":7.5')
    assert len(found.deviations) > 1
    assert found.deviations[0].recorded.time > best.time
    assert found.counts["confirmed"] > 40


def test_records_that_were_written_twice_count_once() -> None:
    result = search()
    lines = {rank: [*each[:30], *each[20:]] for rank, each in result.by_rank.items()}
    found = replay_journals(study_of(result.session.space), journals_of(lines))
    assert set(found.counts) == {"confirmed"}


def test_a_journal_that_lacks_what_others_have_heard_of_leaves_their_decisions_open() -> None:
    result = search()
    lines = {rank: list(each) for rank, each in result.by_rank.items()}
    del lines[2][20:]
    found = replay_journals(study_of(result.session.space), journals_of(lines))
    assert found.counts["undecided"] > 20
    assert found.counts["confirmed"] > 5
    assert not found.deviations
    assert "has heard of records that the journal of rank 2 lacks" in next(iter(found.reasons))


def test_a_session_that_tells_of_an_individual_whose_start_is_lost_cannot_be_decided() -> None:
    result = search()
    lines = {rank: list(each) for rank, each in result.by_rank.items()}
    lines[2] = [line for line in lines[2] if not (b'"Started"' in line and b"[2,3]" in line)]
    found = replay_journals(study_of(result.session.space), journals_of(lines))
    assert found.reasons == {"its journals were repaired, and lack records": len(found.decisions)}


def test_who_made_room_while_an_individual_was_bred_is_taken_into_account_after_it() -> None:
    before, during = (Retired(time=time, individual=(0, 0), island=0) for time in (1.0, 3.0))
    heard = Heard(time=2.0, counts="01")
    start = Started(time=2.0, individual=(0, 1), island=0, params={})
    assert [*as_decided([before, heard, during, start])] == [before, heard, start, during]
    assert [*as_decided([before, during, heard, start])] == [before, during, heard, start]
    assert [*as_decided([before, during])] == [before, during]


@dataclass(frozen=True)
class Own(Propagator):
    """A class of the user's own."""

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [Individual(genome=space.sample(rng))]


@pytest.mark.parametrize("name", [name for name in READY if name != "genetic"])
def test_every_ready_algorithm_given_as_an_object_is_made_again_from_its_words(name: str) -> None:
    one = make_propagator(name, {})
    assert repr(make_propagator(in_words(one), {})) == repr(one)


def test_objects_that_no_words_tell_are_left_open_and_of_evos_own_nested_ones_are_told() -> None:
    members = {"a": make_propagator("tpe", {}), "b": default_propagator(4)}
    told = Portfolio(members=members)
    assert repr(make_propagator(in_words(told), {})) == repr(told)
    assert list(make_propagator({"name": "portfolio", "members": {"fast": "cmaes"}}, {}).members) == ["fast"]  # type: ignore[union-attr,arg-type]
    assert in_words(Portfolio(members={"a": Own()})) is None
    assert in_words({"name": "genetic", "population": np.int64(4)}) == {"name": "genetic", "population": 4}
    result = simulate(replace(search().session, propagator=Own(), budget=Budget(evaluations=5)))
    assert set(replayed(result).counts) == {"undecided"}


def test_classes_that_another_user_may_have_named_are_not_run(tmp_path: Path) -> None:
    record = tmp_path / "study.json"
    record.touch()
    record.chmod(0o666)
    lines = search().by_rank
    lines[0][0] = lines[0][0].replace(b'"name":"portfolio"', b'"class_path":"shutil.Mine"')
    with pytest.raises(UserError, match=r"names? the class shutil\..* can be written by other users .* with --trust"):
        replay_journals(study_of(SPACE), journals_of(lines), [record])
