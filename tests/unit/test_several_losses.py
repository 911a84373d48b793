"""The events of a study with several objectives: in any order, after a restart, damaged, migrated and replayed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import started
from simulation import SEVERAL, Session, resumed, simulate

from evo.algorithms.catalogue import make_propagator
from evo.engine.budget import Budget
from evo.islands.archipelago import make_archipelago
from evo.islands.migration import Migration, Migrator
from evo.islands.topology import make_topology
from evo.population.events import AnyEvent, Finished, Migrated, Pollinated, Reported, encode
from evo.population.population import Population
from evo.propagators import SelectMax, SelectMin
from evo.replay.journals import divide_journals
from evo.replay.replaying import replay_journals
from evo.space.space import Space
from evo.storage.repair import repair
from evo.storage.rundir import RunDirectory, StudyRecord

SPACE = Space({"x": (-1.0, 1.0)})
STUDY = StudyRecord(name="two", objective="o", limits=SPACE.describe(), seed=0, objectives=SEVERAL)


def ended(number: int, losses: tuple[float, ...], violation: float = 0.0, rank: int = 0, time: float = 1.0) -> Finished:
    several = {"loss": losses[0], "losses": losses if len(losses) > 1 else (), "violation": violation}
    return Finished(time=time, individual=(0, number), status="completed", rank=rank, **several)


small = st.integers(0, 3).map(float)
ends = st.lists(
    st.builds(
        ended, st.integers(0, 9), st.tuples(small, small), st.sampled_from([0.0, 0.0, 0.0, 0.5]), st.integers(0, 3)
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(ends=ends, seed=st.randoms(use_true_random=False))
def test_any_order_of_events_gives_the_same_front_also_where_two_workers_have_evaluated_one(
    ends: list[Finished], seed: object
) -> None:
    events: list[AnyEvent] = [*(started((0, number), {"x": number / 10}) for number in range(10)), *ends]
    found = []
    for _ in range(3):
        population = Population(SPACE)
        for event in events:
            population.apply(event)
            population.apply(event)
        found.append(
            (
                population.digest(),
                [(one.identity, one.vector) for one in population.front],
                [one.identity for one in population.active],
                [one.identity for one in population.ranking],
            )
        )
        seed.shuffle(events)  # type: ignore[attr-defined]
    assert found[0] == found[1] == found[2]
    front, ranking = population.front, population.ranking
    for one in ranking:
        assert any(
            other.violation <= one.violation
            if one.violation or other.violation
            else all(map(lambda a, b: a <= b, other.vector, one.vector))
            for other in front
        )
    assert not ranking or (front[0] == ranking[0] == population.best)


def write_journal(directory: RunDirectory, *events: AnyEvent) -> None:
    directory.write("study.json", STUDY)
    (directory.path / "journal").mkdir()
    lines = b"".join(encode(event) + b"\n" for event in events)
    (directory.path / "journal" / "0.jsonl").write_bytes(lines)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (ended(1, (1.0, 2.0, 3.0)), "it has 3 losses, but the study has 2"),
        (ended(1, (1.0,)), "it has one loss, but the study has 2: loss, other"),
        (Reported(time=1.0, individual=(0, 1), step=0, loss=1.0, losses=(1.0, 2.0, 3.0)), "it has 3 losses"),
    ],
)
def test_an_event_of_other_objectives_is_damage_that_repair_removes(tmp_path: Path, wrong: AnyEvent, why: str) -> None:
    directory = RunDirectory(tmp_path)
    sound = [started((0, 0), {"x": 0.5}), ended(0, (1.0, 2.0)), started((0, 1), {"x": 0.25}), ended(2, (3.0, 1.0))]
    write_journal(directory, *sound, wrong)
    told = list(repair(directory, dry_run=False))
    assert any(why in line for line in told), told
    assert list(directory.events()) == sound
    assert list(repair(directory, dry_run=True)) == [f"the 1 journal(s) of {directory} are sound: nothing to repair"]


def test_a_study_of_an_earlier_version_has_one_loss() -> None:
    document = msgspec.to_builtins(STUDY)
    del document["objectives"]
    assert msgspec.convert(document, StudyRecord).objectives.is_plain


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_members_of_the_front_travel_and_the_worst_make_room(mode: str) -> None:
    """By the first objective alone, the second of the front would be among the last."""
    population = Population(SPACE, 0, 2)
    losses = [(0.0, 9.0), (9.0, 0.0), (1.0, 9.5), (2.0, 9.6), (3.0, 9.7)]
    for number, each in enumerate(losses):
        population.apply(started((0, number), {"x": number / 10}))
        population.apply(ended(number, each))
    rules = Migration(
        mode=mode,  # type: ignore[arg-type]
        probability=1.0,
        topology=make_topology("full", 2, migrants=2),
        emigration=SelectMin,
        immigration=SelectMax,
    )
    migrator = Migrator(rules, make_archipelago(2, sizes=(1, 1)), population, 0, seed=1)
    left = list(migrator.depart((0, 4), 2.0))
    assert {event.individual for event in left if isinstance(event, Migrated | Pollinated)} == {(0, 0), (0, 1)}
    if mode == "copy":
        copy = Pollinated(time=1.0, individual=(1, 0), island=0)
        assert [event.individual for event in migrator.make_room(copy, 2.0)] in ([(0, 4)], [])


def test_the_decisions_of_a_search_for_a_front_are_confirmed_also_after_a_kill() -> None:
    session = Session(
        seed=5,
        ranks=3,
        budget=Budget(evaluations=30),
        kill=(400, 50),
        propagator=make_propagator("front", {}),
        several=True,
    )
    first = simulate(session)
    final = resumed(session, first, kill=None, budget=Budget(evaluations=60))
    study = StudyRecord(
        name="", objective="", limits=session.space.describe(), constraints=[], seed=0, objectives=SEVERAL
    )
    lines = {rank: [msgspec.json.decode(line, type=AnyEvent) for line in each] for rank, each in final.by_rank.items()}
    found = replay_journals(study, divide_journals(lines))
    assert not [one for one in found.decisions if one.finding in ("deviates", "undecided")]
    assert found.counts["confirmed"] > 25
