"""Trainings in segments, as people see them: the lineage of the best, its schedule, tables, pictures and lines."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from reported import BEGIN, HOSTILE, LINEAGE_LIMITS, divided, write_run

from evo.cli import main
from evo.errors import UserError
from evo.population.events import AnyEvent, Died, Finished, Started
from evo.population.segments import Donor, Segment
from evo.posthoc.schedules import PlannedSegment, TrainingPlan, checked_plan, planned, read_plan
from evo.report.course import Course
from evo.report.display import standing_view
from evo.report.lineages import LineageSegment, lineage_of, names_text, schedule_of
from evo.report.pages.plotly_drawing import plotly_figure
from evo.report.pages.schedule_pictures import losses_along_lineages, schedules
from evo.report.pages.sections import table_of_schedule
from evo.report.reading import Run, load
from evo.report.screen import lost_text
from evo.report.tables import plain_console
from evo.storage.rundir import study_space


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of four members and three segments of two steps, of which 0-8 is the best."""
    return write_run(tmp_path_factory.mktemp("divided") / "run", divided(), LINEAGE_LIMITS)


@pytest.fixture(scope="module")
def run(path: Path) -> Run:
    return load(path)


def test_the_lineage_of_an_individual_goes_through_the_donors_and_not_through_the_places(run: Run) -> None:
    assert [(one.name, one.begin, one.until, one.loss) for one in run.lineage()] == [
        ("0-0", 0, 2, 1.0), ("0-4", 2, 4, 0.5), ("0-8", 4, 6, 1 / 3),
    ]  # fmt: skip
    assert [one.name for one in run.lineage("0-11")] == ["0-0", "0-4", "0-11"]  # It has taken the place of 0-7.
    assert [one.name for one in run.lineage("0-3")] == ["0-3"]
    six = [LineageSegment(individual=(0, n), begin=n, until=n + 1, params={}) for n in range(6)]
    assert names_text(six).startswith("1 segment before, 0-1 to step 2, ")


def test_an_ancestor_that_is_not_recorded_ends_a_lineage_and_a_circle_does_too(run: Run) -> None:
    known = {one.individual: one for one in run.individuals}
    best = known[0, 8]
    assert [one.begin for one in lineage_of(best, {**known, (0, 4): best})] == [4]
    del known[0, 0]
    assert [one.begin for one in lineage_of(best, known)] == [2, 4]
    whole = msgspec.structs.replace(best, segment=None)
    assert lineage_of(whole, known) == []


def test_the_schedule_of_the_best_is_shown_and_written_so_that_it_is_read_again(
    path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["best", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  width" in lines[lines.index("parameters") + 1]
    assert [line.split()[:2] for line in lines[lines.index("schedule") + 1 :]] == [
        ["steps", "lr"], ["0-2", "0.5"], ["2-4", "0.25"], ["4-6", "0.125"],
    ]  # fmt: skip
    assert main(["best", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["begin"], found["until"], found["donor"], len(found["lineage"])) == (4, 6, "0-4", 3)
    assert main(["best", str(path), "--yaml"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text) == found["params"]  # A program that knows no schedule sees the parameters alone.
    plan = read_plan(text, "file")
    assert [tuple(one)[:2] for one in plan.segments] == [tuple(one)[:2] for one in planned(run.lineage())]
    assert plan.seed is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lr: 0.1", "holds no schedule"),
        ("[1, 2]", "holds no schedule"),
        ("schedule: []", "at least one"),
        ("schedule: {until: 2}", "must be a list"),
        ("schedule: [3]", "part 1 of the schedule is 3"),
        ("schedule: [{until: 2}]", "must be {until: STEP"),
        ("schedule: [{until: 0, params: {}}]", "a whole number above 0"),
        ("schedule: [{until: 2, params: {a: 1}}, {until: 2, params: {a: 1}}]", "part 2 .* above 2"),
        ("schedule: [{until: true, params: {a: 1}}]", "a whole number"),
        ("schedule: [{until: 2, params: [1]}]", "names with values"),
        ("schedule: [{until: 2, params: {a: .nan}}]", "finite"),
        ("schedule: [{until: 2, params: {a: 1}}]\nseed: -1", "seed is -1"),
        ("schedule: [{until: 2, params: {a: 1", "not valid YAML"),
        ("# schedule:\n# - until: 2\n#   params: [\na: 1", "not valid YAML"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_place(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_plan(text, "plan.yaml")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model.width": 16}, "parameter 'optimizer.lr' is missing from "),
        ({"optimizer.lr": "abc", "model.width": 16}, "parameter 'optimizer.lr' = 'abc' is not within its limits"),
        ({"optimizer.lr": 55, "model.width": 16}, "parameter 'optimizer.lr' = 55.0 is not within its limits"),
        (
            {"optimizer.lr": 1, "model.width": 24},
            "has 'model.width' 24, which is 16 in part 1, but may not change in a",
        ),
    ],
)
def test_a_schedule_that_cannot_be_a_training_of_the_study_is_refused(params: dict[str, Any], said: str) -> None:
    first = PlannedSegment(2, {"optimizer.lr": 1, "model.width": 16})
    limits = {"optimizer.lr": (0.0, 1.0), "model.width": (8, 64)}
    assert checked_plan(TrainingPlan([first]), limits, "a.yaml").segments[0].params["optimizer.lr"] == 1.0
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        checked_plan(TrainingPlan([first, PlannedSegment(4, params)]), limits, "a.yaml")
    assert str(raised.value).startswith("a.yaml: part 2 of the schedule")


def test_parameters_that_stay_are_named_once_and_equal_parts_are_one(run: Run) -> None:
    first, second, third = run.lineage()
    same = msgspec.structs.replace(second, params=first.params)
    schedule = schedule_of([first, same, third])
    assert schedule.constant == {"width": 8, HOSTILE: "sgd"}
    assert [(part.begin, part.until) for part in schedule.parts] == [(0, 4), (4, 6)]
    assert [part.params for part in schedule_of([first, same]).parts] == [{}]


def test_exports_name_the_donor_and_the_steps_where_there_are_segments(
    path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(path), "--csv"]) == 0
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert [rows["0-11"][name] for name in ("donor", "begin", "until")] == ["0-4", "4", "6"]
    assert [rows["0-0"][name] for name in ("donor", "begin", "until")] == ["", "0", "2"]
    frame = run.to_pandas()
    assert (str(frame["begin"].dtype), frame["donor"].iloc[8]) == ("int64", "0-4")


def test_a_worker_shows_how_far_the_whole_training_is_and_whose_state_it_goes_on_from() -> None:
    events = divided()[0]
    started = [event for event in events if isinstance(event, Started)][-1]
    last = [event for event in events if not isinstance(event, Finished) or event.individual != started.individual]
    course = Course()
    course.add_all(last)
    (worker,) = course.standing(BEGIN + 20).workers
    assert (worker.individual, worker.begin, worker.until, worker.donor) == ("0-11", 4, 6, "0-4")
    console = plain_console(100)
    with console.capture() as shown:
        console.print(standing_view(course.standing(BEGIN + 20)))
    head, line = shown.get().splitlines()[-2:]
    assert "from" in head.split()
    assert "0-4" in line.split()
    assert "5 of 6" in line


@pytest.mark.parametrize(
    ("lost", "donor", "said"),
    [
        (((0, 4),), (2, 3), "the state of 0-4 is gone: 1-7 goes on from 2-3 instead"),
        (((0, 4), (0, 5)), None, "the state of 0-4, 0-5 is gone: 1-7 begins a training instead"),
    ],
)
def test_a_donor_whose_state_is_gone_is_one_line_on_the_screen(
    lost: tuple[tuple[int, int], ...], donor: tuple[int, int] | None, said: str
) -> None:
    goes_on = None if donor is None else Donor(individual=donor, step=2, digest="")
    segment = Segment(until=4, donor=goes_on)
    event = Started(time=0.0, individual=(1, 7), island=0, params={}, segment=segment, lost=lost)
    assert lost_text(event) == said


def test_a_report_draws_what_may_change_over_the_training_and_who_was_given_up(run: Run) -> None:
    known = {one.individual: one for one in run.individuals}
    rate, kind = schedules(run.individuals, known, run.lineage(), study_space(run.study))  # The width may not change.
    assert rate.y.log
    assert list(kind.y.categories) == ["<b>bold</b>", "sgd"]
    of_best = rate.series[-1]
    assert of_best.name == "the best, 0-8"
    assert of_best.x == [0, 2, None, 2, 2, 4, None, 4, 4, 6]
    assert of_best.y == [0.5, 0.5, None, 0.5, 0.25, 0.25, None, 0.25, 0.125, 0.125]
    losses = losses_along_lineages(run.individuals, known, run.lineage())
    assert losses is not None
    said = "0-{} was given up: 0-{} goes on from 0-{} in its place"
    assert [each.texts for each in losses.series if each.name == "given up"] == [
        [said.format(3, 7, 0), said.format(7, 11, 4)]
    ]
    figures = json.dumps([plotly_figure(picture) for picture in (rate, kind, losses)])
    assert "<" not in figures
    assert "in 3 segments: 0-0 to step 2" in table_of_schedule(run.lineage())
    assert "<b>" not in table_of_schedule(run.lineage())


def test_a_whole_training_has_no_lineage_and_nothing_is_said_of_any(tmp_path: Path) -> None:
    events: list[AnyEvent] = []
    for event in divided()[0]:
        without = {"segment": None} if isinstance(event, Started) else {"state": None}
        has_any = isinstance(event, Started | Finished)
        events.append(msgspec.structs.replace(event, **without) if has_any else event)  # type: ignore[arg-type]
    run = load(write_run(tmp_path / "run", {0: [*events, Died(time=BEGIN + 99, rank=1, heir=0)]}, LINEAGE_LIMITS))
    assert run.lineage() == []
    known = {one.individual: one for one in run.individuals}
    assert schedules(run.individuals, known, [], study_space(run.study)) == []
    assert losses_along_lineages(run.individuals, known, []) is None
    assert not {"donor", "begin", "until"} & set(run.to_pandas().columns)
