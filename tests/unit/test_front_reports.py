"""What is told of studies with several objectives, or with bounds, once they are on disk: commands and data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import optuna
import pytest
from records import NOW
from reported import write_run

import evo
from evo.cli import main
from evo.population.events import AnyEvent, Finished, Joined, Started
from evo.population.objectives import Objectives, make_objectives
from evo.report.contributions import contributions, contributions_text
from evo.report.improvements import ends_in_order, improvements
from evo.report.optuna_study import optuna_study
from evo.report.reading import hypervolumes, load
from evo.study.point_rows import PointForm, read_points

SEVERAL = make_objectives({"accuracy": "max", "size": "min"}, {"memory": "<= 100"})
# Accuracy, size and memory of individuals in their order.
FOUND = [(0.5, 9.0, 150.0), (0.5, 5.0, 80.0), (0.9, 9.0, 80.0), (0.4, 6.0, 80.0), (0.8, 6.0, 90.0), (0.5, 5.0, 70.0)]
FRONT = ["0-1", "0-4", "0-2"]


def run_of(path: Path, values: Sequence[Sequence[float]], objectives: Objectives = SEVERAL, **study: Any) -> Path:
    """A run directory whose individuals have these values of all metrics."""
    events: list[AnyEvent] = [Joined(time=NOW, rank=0, ranks=1, host="here", device="cpu")]
    for number, each in enumerate(values):
        metrics = dict(zip(objectives.metrics, each, strict=True))
        losses = objectives.losses(metrics)
        who, begin = (0, number), NOW + 2.0 * number
        events.append(
            Started(
                time=begin, individual=who, island=0, params={"x": number / 10}, bred_by=["random", "tpe"][number % 2]
            )
        )
        events.append(
            Finished(
                time=begin + 1, individual=who, status="completed", loss=losses[0], seconds=1.0, rank=0, host="here",
                device="cpu", metrics=metrics, violation=objectives.violation(metrics),
                losses=losses if objectives.are_several else (),
            )
        )  # fmt: skip
    return write_run(path, {0: events}, {"x": (0.0, 1.0)}, objectives=objectives, **study)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of(tmp_path / "run", FOUND)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints that ends well."""
    assert main(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_who_entered_the_front_has_improved_it_and_algorithms_are_told_by_that(run: Path) -> None:
    individuals = evo.load(run).individuals
    # Violating less than all before is better; 0-5 is as good as 0-1, and no better.
    assert [one.name for _, one in improvements(ends_in_order(individuals))] == ["0-0", "0-1", "0-2", "0-4"]
    found = contributions(individuals)
    assert {name: (one.evaluations, one.improvements, one.front) for name, one in found.items()} == {
        "random": (3, 3, 2),
        "tpe": (3, 1, 1),
    }
    told = "evaluations that entered the front: random 3 of 3, 2 still on it; tpe 1 of 3, 1 still on it"
    assert contributions_text(individuals) == told
    assert b"front" not in msgspec.json.encode(contributions([one for one in individuals if not one.losses]))


def test_the_best_of_several_objectives_is_a_front_and_one_of_it_is_the_knee(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(capsys, "best", str(run))
    assert "the front has 3 individuals (accuracy: max, size: min)" in shown
    assert [line.split()[:3] for line in shown.splitlines()[3:6]] == [
        ["0-1", "0.5", "5"],
        ["0-4", "0.8", "6"],
        ["0-2", "0.9", "9"],
    ][::-1]
    assert printed(capsys, "best", str(run), "--knee").startswith("individual  0-4, evaluated by")
    listed = json.loads(printed(capsys, "best", str(run), "--json"))
    assert [one["name"] for one in listed["front"]] == FRONT[::-1]
    assert (listed["knee"], listed["front"][0]["objectives"]) == ("0-4", {"accuracy": 0.9, "size": 9.0})
    # Whatever needs one individual takes the knee.
    assert evo.load(run).find().name == "0-4"
    assert "x: 0.4" in printed(capsys, "best", str(run), "--yaml")
    assert "x: 0.2" in printed(capsys, "best", str(run), "--yaml", "--individual", "0-2")


def test_a_loss_with_bounds_is_the_best_of_those_that_keep_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bounded = make_objectives({"cost": "min"}, {"memory": "<= 100"})
    none_keeps = run_of(tmp_path / "none", [(1.0, 120.0), (3.0, 112.0)], bounded)
    kept = run_of(tmp_path / "kept", [(1.0, 120.0), (3.0, 90.0)], bounded)
    assert "violates    memory <= 100 by 12 %" in printed(capsys, "best", str(none_keeps))
    assert evo.load(kept).find().name == "0-1"
    # A run that keeps the bounds is better than one with a lower loss that does not.
    lines = printed(capsys, "best", str(none_keeps), str(kept)).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [str(kept), str(none_keeps)]
    assert "best loss              none" in printed(capsys, "compare", str(none_keeps), str(kept))
    listed = printed(capsys, "list", str(tmp_path), "--by", "loss").splitlines()
    assert [line.split()[0] for line in listed[1:]] == [str(kept), str(none_keeps)]
    assert listed[2].endswith("2, none keeps the bounds")
    assert [one.name for _, one in improvements(ends_in_order(evo.load(kept).individuals))] == ["0-0", "0-1"]


def test_fronts_are_compared_by_hypervolumes_up_to_one_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = make_objectives({"a": "max", "b": "min"})
    small = run_of(tmp_path / "small", [(1.0, 2.0), (2.0, 3.0)], plain)
    large = run_of(tmp_path / "large", [(1.0, 1.0), (3.0, 3.0), (11.0, 11.0)], plain)
    # Up to a = 0 and b = 12, a tenth of the extents beyond the worst of the joint front, which is that of the larger.
    assert hypervolumes([load(small), load(large)]) == [1 * 10 + 1 * 9, 1 * 11 + 2 * 9 + 8 * 1]
    lines = printed(capsys, "best", str(small), str(large)).splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["run", "hypervolume", "knee"],
        [str(large), "37", "0-1"],
        [str(small), "19", "0-1"],
    ]
    compared = printed(capsys, "compare", str(small), str(large))
    assert f"missing hypervolume    {18 / 37:.4g}" in compared
    assert "B is better; two runs say nothing about chance" in compared
    other = run_of(tmp_path / "other", [(1.0, 1.0)], make_objectives({"a": "min", "b": "min"}))
    for command in ("best", "compare"):
        assert main([command, str(small), str(other)]) == 2
        assert "name runs with the same objectives" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "optuna"])
def test_what_is_exported_has_all_values_and_starts_another_search(
    run: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / ("journal.log" if form == "optuna" else f"points.{form}"))
    printed(capsys, "export", str(run), f"--{form}", file)
    if form == "parquet":
        import pandas

        frame = pandas.read_parquet(file)
        assert frame["objectives.accuracy"].tolist() == [each[0] for each in FOUND]
        assert frame["violation"].tolist() == [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
        return
    rows = read_points(file, PointForm(names=["x"], objectives=SEVERAL)).rows
    assert [dict(values_as_numbers(row.values)) for row in rows] == [
        dict(zip(SEVERAL.metrics, each, strict=True)) for each in FOUND
    ]


def values_as_numbers(values: Mapping[str, Any]) -> Mapping[str, float]:
    return {name: float(value) for name, value in values.items()}


def test_optuna_sees_directions_names_and_who_violates_bounds(run: Path) -> None:
    study = optuna_study(evo.load(run))
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "size"]
    assert sorted({trial.user_attrs["name"] for trial in study.best_trials} - {"0-5"}) == sorted(FRONT)
    assert optuna.study.Study is type(study)
