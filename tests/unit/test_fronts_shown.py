"""What people see of a study with several objectives, or with bounds of metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import check_golden

import evo
from evo.errors import UserError
from evo.population.dominance import find_knee
from evo.population.events import AnyEvent, Finished, Joined, Started
from evo.population.objectives import Objectives, make_objectives
from evo.report.best import front_text
from evo.report.best import main as best_main
from evo.report.contributions import contributions_text
from evo.report.course import Course
from evo.report.display import standing_line
from evo.report.fronts import violation_text
from evo.report.hypervolumes import hypervolume_steps, make_yardstick
from evo.report.optuna_study import optuna_study
from evo.report.progress import Lines
from evo.report.records import Evaluation, Findings, gather_evaluations
from evo.report.rows import table_rows
from evo.report.shell import Shell, ShellCommands
from evo.report.tables import best_text, plain_console, summary_text

OBJECTIVES = make_objectives({"val_acc": "max", "size": "min"}, {"memory": "<= 2e9"})
# Accuracy, size, and what the metric with a bound is.
POINTS = [(0.5, 50.0, 4e9), (0.7, 30.0, 3e9), (0.6, 40.0, 1e9), (0.9, 90.0, 1e9), (0.8, 20.0, 1e9), (0.3, 5.0, 1e9)]


def study(points: list[tuple[float, float, float]] = POINTS, objectives: Objectives = OBJECTIVES) -> Iterator[AnyEvent]:
    yield Joined(time=0.0, rank=0, ranks=1, host="node", device="cpu", evaluations=len(points))
    for number, (accuracy, size, memory) in enumerate(points):
        identity, metrics = (0, number), {"val_acc": accuracy, "size": size, "memory": memory}
        began, by = 10.0 * number, "tpe" if number % 2 else "random"
        yield Started(time=began, individual=identity, island=0, params={"lr": accuracy / 10}, bred_by=by)
        yield Finished(
            time=began + 8.0,
            individual=identity,
            status="completed",
            loss=-accuracy,
            losses=objectives.losses(metrics),
            violation=objectives.violation(metrics),
            metrics=metrics,
            rank=0,
            host="node",
            device="cpu",
            seconds=8.0,
        )


def found() -> Findings:
    return Findings(lambda: list(study()), objectives=OBJECTIVES)


def drawn(*parts: object) -> str:
    console = plain_console(100)
    with console.capture() as capture:
        console.print(*parts)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_the_front_is_of_those_that_keep_the_bounds_in_the_order_of_the_first_objective() -> None:
    assert [one.name for one in found().front] == ["0-3", "0-4", "0-5"]
    assert found().best is not None
    assert found().best == found().front[0]
    only_violating = Findings(lambda: list(study(POINTS[:2])), objectives=OBJECTIVES)
    assert [one.name for one in only_violating.front] == ["0-1"]  # The one that does so least.
    assert Findings(list).front == []


def test_the_knee_is_nearest_to_the_ideal_point_whatever_the_units_are() -> None:
    corner = [(0.0, 1e6), (0.1, 1e5), (1.0, 0.0)]
    front = [Evaluation(individual=(0, place), params={}, losses=losses) for place, losses in enumerate(corner)]
    knee = find_knee(front)
    assert knee is not None
    assert knee.name == "0-1"
    assert find_knee(front[:1]) == front[0]
    assert find_knee([]) is None


def test_progress_tells_of_the_front_once_the_bounds_are_kept() -> None:
    now, lines = [0.0], list[str]()
    watch = Lines(Course(objectives=OBJECTIVES), lines.append, lambda: now[0])
    for event in study():
        now[0] = event.time
        watch(event)
    watch.close()
    check_golden("progress-front.txt", "\n".join(lines))


@pytest.mark.parametrize("seed", range(3))
def test_the_course_has_the_front_of_the_findings_in_any_order_of_events(seed: int) -> None:
    events = [event for event in study() for _ in range(2)]
    np.random.default_rng(seed).shuffle(events)  # type: ignore[arg-type]
    course = Course(objectives=OBJECTIVES)
    course.add_all(events)
    assert course.leaders == ((0, 3), (0, 4), (0, 5))
    assert course.best == (0, 3)
    course.heed({(0, 4)})
    assert course.leaders == ((0, 2), (0, 3), (0, 5))


def test_an_outcome_that_replaces_another_one_leaves_the_front_right() -> None:
    course = Course(objectives=Objectives(modes={"a": "min", "b": "min"}))
    for number, losses in ((0, (1.0, 1.0)), (1, (2.0, 2.0)), (0, (0.5, 9.0))):
        course.add(Started(time=0.0, individual=(0, number), island=0, params={}))
        done = Finished(time=1.0, individual=(0, number), status="completed", loss=losses[0], losses=losses, rank=0)
        course.add(done)
    assert course.leaders == ((0, 0), (0, 1))
    assert standing_line(course.standing(9.0)).count("front of 2, best a 0.5, best b 2") == 1


def test_the_summary_and_the_best_show_the_front_by_the_names_of_the_objectives() -> None:
    evaluations = found().individuals
    whole = drawn(summary_text(evaluations, ["lr"], objectives=OBJECTIVES))
    none_keeps = drawn(summary_text(evaluations[:2], ["lr"], objectives=OBJECTIVES))
    thinned = drawn(summary_text(evaluations, ["lr"], best=2, objectives=OBJECTIVES))
    single = make_objectives({"val_acc": "max"}, {"memory": "<= 2e9"})
    one = gather_evaluations(study(objectives=single))[0]
    text = "\n\n".join([whole, none_keeps, thinned, best_text(one, objectives=single)])
    check_golden("summary-front.txt", text)
    told = "evaluations that entered the front: random 3 of 3, 1 still on it; tpe 3 of 3, 2 still on it"
    assert contributions_text(evaluations) == told


def test_the_hypervolume_is_that_up_to_a_point_in_the_users_signs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def loss(params: dict[str, float]) -> dict[str, float]:
        return {"up": params["x"], "down": params["x"]}

    result = evo.minimize(
        loss, {"x": [0.0, 0.5, 1.0]}, generations=3, run_dir=run, objectives={"up": "max", "down": "min"}, quiet=True
    )
    loaded = evo.load(run)
    assert [result.values(one) for one in result.front] == [{"up": x, "down": x} for x in (1.0, 0.5, 0.0)]
    assert [one.name for one in loaded.front] == [one.name for one in result.front]
    assert loaded.knee is not None
    assert loaded.values(loaded.knee)["up"] == 0.5
    # Beside each other: 1 wide and 1 high, 0.5 wide and 1.5 high, and nothing.
    assert loaded.hypervolume({"up": -1.0, "down": 2.0}) == pytest.approx(2 * 1 + 1.5 * 0.5 + 1 * 0.5)
    for wrong in ({"up": 1.0}, {"up": 1.0, "down": float("nan")}, {"up": 1.0, "down": "x"}, 3.0):
        with pytest.raises(UserError, match="reference"):
            loaded.hypervolume(wrong)  # type: ignore[arg-type]
    assert "the front has 3 individuals (up: max, down: min)" in front_text(loaded)
    frame = loaded.to_pandas()
    assert sorted(frame["objectives.up"]) == [0.0, 0.5, 1.0]
    trials = optuna_study(loaded)
    assert [direction.name for direction in trials.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert sorted(trial.values for trial in trials.best_trials) == [[x, x] for x in (0.0, 0.5, 1.0)]
    for asked in (["--knee", "--params"], ["--yaml"]):
        assert best_main([str(run), *asked], "evo best") == 0
        assert "x: 0.5" in capsys.readouterr().out
    assert best_main([str(run), "--json"], "evo best") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["objectives"]["up"] for one in told["front"]] == [1.0, 0.5, 0.0]
    assert told["knee"] == loaded.knee.name
    assert "front of 3, best up 1, best down 0" in standing_line(loaded.standing.standing)


def test_rows_have_a_column_for_each_objective_and_the_violation() -> None:
    row = table_rows(found().individuals, [], OBJECTIVES)[0]
    shown = {name: row[name] for name in ("loss", "objectives.val_acc", "objectives.size", "violation")}
    assert shown == {"loss": -0.5, "objectives.val_acc": 0.5, "objectives.size": 50.0, "violation": 1.0}
    assert "violation" not in table_rows(found().individuals, [])[0]


def test_hypervolumes_grow_to_the_whole_of_the_front() -> None:
    findings = found()
    yardstick = make_yardstick([findings.front])
    assert yardstick is not None
    shares = [share for _, _, share in hypervolume_steps(findings.individuals, yardstick)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert make_yardstick([]) is None


def test_violations_are_told_in_per_cent() -> None:
    assert [violation_text(each) for each in (0.12, 3.0, 1e-12)] == ["by 12 %", "by 300 %", "by less than 0.1 %"]


def test_an_improvement_is_one_of_the_front_and_a_command_gets_its_objectives() -> None:
    heard, shell = list[str](), list[dict[str, str]]()

    class Entered(evo.Callback):
        def on_improved(self, evaluation: Evaluation) -> None:
            heard.append(evaluation.name)
            commands = ShellCommands(
                None, None, Shell(environment={}, log=None, timeout=1.0, warn=print), int, "", goals
            )
            shell.append(commands._variables(evaluation, 1))

    goals = make_objectives({"up": "max", "down": "min"}, {"up": "<= 0.7"})
    points = iter([(0.9, 0.0), (0.5, 1.0), (0.4, 2.0), (0.1, 0.1)])
    evo.minimize(
        lambda params: dict(zip(("up", "down"), next(points), strict=True)),
        {"x": (0.0, 1.0)},
        evaluations=4,
        objectives={"up": "max", "down": "min"},
        constraint_metrics={"up": "<= 0.7"},
        callbacks=[Entered()],
        quiet=True,
    )
    assert heard == ["0-0", "0-1", "0-3"]
    assert json.loads(shell[-1]["EVO_OBJECTIVES"]) == {"up": 0.1, "down": 0.1}
    assert [each["EVO_VIOLATION"] for each in shell][1:] == ["0.0", "0.0"]
