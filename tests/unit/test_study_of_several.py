"""Studies with several objectives: what their settings may say, and how a study goes on, asks and is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import call

import evo
from evo.errors import UserError
from evo.study.arguments import parse_arguments
from evo.study.config import Config

LIMITS = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
TWO = {"acc": "max", "size": "min"}


def values(params: dict[str, Any]) -> dict[str, float]:
    return {"acc": params["x"], "size": params["x"] + params["y"], "memory": 3 * params["y"]}


def search(run_dir: Path, evaluations: int = 2, **settings: Any) -> evo.Result:
    given = {"objectives": TWO, "propagator": "random", "seed": 1, **settings}
    return evo.minimize(values, LIMITS, evaluations=evaluations, run_dir=run_dir, **given)


def modes(*arguments: str) -> dict[str, str]:
    return dict(parse_arguments(["sphere", *arguments], "evo run").config.goals.modes)


def test_objectives_are_written_on_the_command_line_as_a_name_a_list_or_a_mapping_or_one_by_one() -> None:
    assert modes("--objectives", "acc") == {"acc": "min"}
    assert list(modes("--objectives", "[b, a]").items()) == [("b", "min"), ("a", "min")]
    assert list(modes("--objectives", "{b: max, a: min}").items()) == [("b", "max"), ("a", "min")]
    assert list(modes("--objectives.val/acc", "max", "--objectives.a", "min")) == ["val/acc", "a"]
    assert modes("--objectives", "[b, a]", "--objectives.a=max") == {"b": "min", "a": "max"}
    assert modes("--objectives", "b", "--objectives.a=max") == {"b": "min", "a": "max"}
    config = parse_arguments(["sphere", "--constraint-metrics.m", "<= 2e9", "--constraint-metrics.a=>= .5"], "").config
    assert list(map(str, config.goals.bounds)) == ["m <= 2e+09", "a >= 0.5"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": {}}, "objectives is empty: name at least one"),
        ({"objectives": []}, "objectives is empty"),
        ({"objectives": 5}, "objectives is 5: give a mapping of names to min or max, or a list of names"),
        ({"objectives": {"a": "maximum"}}, "objectives.a is 'maximum'.*: it must be min or max"),
        ({"objectives": {"a": None}}, "objectives.a is None: it must be min or max"),
        ({"objectives": {1: "min"}}, "objectives has the name 1: give the name of a metric"),
        ({"objectives": [["a"]]}, "objectives has the name"),
        ({"objectives": ["a", "b", "a"]}, "objectives has 'a' twice"),
        ({"objectives": " "}, "objectives has the name ' '"),
        ({"objectives": "a, b"}, r"objectives is 'a, b': write several names as a list, \[a, b\]"),
        ({"constraint_metrics": {}}, "constraint_metrics is empty"),
        ({"constraint_metrics": "m <= 5"}, "constraint_metrics is 'm <= 5': give a mapping of metrics to bounds"),
        ({"constraint_metrics": {"m": 5}}, "constraint_metrics.m is 5: give a comparison with a number"),
        ({"constraint_metrics": {"m": "< 5"}}, "constraint_metrics.m is '< 5': give a comparison"),
        ({"constraint_metrics": {"m": "<= 1e999"}}, "constraint_metrics.m is '<= 1e999'"),
        ({"constraint_metrics": {"m": []}}, r"constraint_metrics.m is \[\]"),
        ({"constraint_metrics": {"m": ["<= 1", ">= 2"]}}, "has m >= 2 and m <= 1, which no value keeps"),
        ({"objectives": ["a", "b"], "target": 3}, "target is 3.*, but there are 2 objectives"),
        ({"reference_point": {"a": 1}}, "reference_point is .*, but there is one objective"),
    ],
)
def test_a_setting_that_is_no_objective_or_bound_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": ["x", "size"]}, "objectives names 'x', which is a parameter: record the value by another name"),
        (
            {"constraint_metrics": {"y": "<= 1"}},
            "constraint_metrics names 'y', which is a parameter: write a condition",
        ),
        ({"propagator": "shade"}, "propagator shade minimises one loss, but objectives has 2: acc, size; leave"),
        ({"propagator": {"name": "pbt"}}, "propagator pbt minimises one loss, but objectives has 2"),
        ({"islands": [{"workers": 1, "propagator": "cmaes"}]}, "propagator cmaes minimises one loss, but objectives"),
    ],
)
def test_what_does_not_fit_several_objectives_is_refused_before_anything_starts(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    given = {"propagator": None, **settings}
    with pytest.raises(UserError, match=message):
        search(tmp_path / "run", **given)
    assert not (tmp_path / "run" / "study.json").exists()


def test_a_wrong_objective_on_the_command_line_is_one_line_and_status_2() -> None:
    for arguments in (["--objectives", "{}"], ["--objectives.a", "best"], ["--constraint-metrics.a", "5"]):
        ended = call("run", "sphere", *arguments)
        assert (ended.status, ended.err.count("\n")) == (2, 1)
        assert ended.err.startswith("evo: error: ")


def test_a_study_goes_on_with_its_objectives_in_their_recorded_order(tmp_path: Path) -> None:
    search(tmp_path / "run", constraint_metrics={"memory": "<= 2", "size": "<= 9"})
    turned = {"size": "min", "acc": "max"}
    bounds = {"size": "<= 9", "memory": ["<= 2"]}
    again = search(tmp_path / "run", 6, objectives=turned, constraint_metrics=bounds, target={"size": 0.0, "acc": 1.0})
    assert all(one.losses == (-one.params["x"], one.params["x"] + one.params["y"]) for one in again.individuals)
    assert len(again.individuals) == 6
    recorded = evo.load(tmp_path / "run").study.objectives
    assert recorded.names == ("acc", "size")
    reached = search(tmp_path / "run", 9, objectives=turned, constraint_metrics=bounds, target={"acc": 0.0})
    assert (reached.stop_kind.name, len(reached.individuals)) == ("TARGET", 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": {"acc": "min", "size": "min"}}, "its objectives are {acc: max, size: min}, not {acc: min, si"),
        ({"objectives": {"acc": "max"}}, "its objectives are {acc: max, size: min}, not {acc: max}; "),
        ({"objectives": None}, "its objectives are {acc: max, size: min}, not one loss without a name"),
        (
            {"constraint_metrics": {"memory": "<= 3"}},
            "its constraint_metrics are memory <= 2, not memory <= 3, and canno",
        ),
        ({"constraint_metrics": None}, "its constraint_metrics are memory <= 2, not none, and cannot change, not even"),
    ],
)
def test_a_study_with_other_objectives_or_bounds_is_another_one(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    same = {"constraint_metrics": {"memory": "<= 2"}}
    search(tmp_path / "run", **same)
    with pytest.raises(UserError, match=f"run holds another study: {message}"):
        search(tmp_path / "run", change_limits=True, **{**same, **settings})


def test_a_loop_of_ones_own_tells_several_values_and_sees_the_front() -> None:
    bounds = {"memory": "<= 2"}
    with evo.Study(LIMITS, evaluations=12, seed=1, objectives=TWO, constraint_metrics=bounds) as study:
        number = 0
        while (one := study.ask()) is not None:
            found, number = values(one.params), number + 1
            if number % 3 == 0:
                assert study.tell(one, found) == "completed"
            elif number % 3 == 1:
                assert not study.report(one, [found["acc"], 9.0])
                assert (
                    study.tell(one, [found["acc"], found["size"]], metrics={"memory": found["memory"]}) == "completed"
                )
            else:
                assert not study.report(one, found, step=7)
                assert study.tell(one, metrics=found) == "completed"
        front = study.front
    assert study.front == front
    assert study.result is not None
    sound = [one for one in study.result.individuals if one.violation == 0]
    losses = {one.individual: one.losses for one in sound}
    dominated = {
        name
        for name, mine in losses.items()
        if any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in losses.values())
    }
    assert {one.individual for one in front} == set(losses) - dominated
    assert study.best == front[0]


def test_what_is_told_wrongly_is_a_failed_individual_with_its_reason() -> None:
    with evo.Study(LIMITS, evaluations=4, seed=1, objectives=TWO) as study:
        for told in ({"acc": 1.0}, [1.0], [1.0, float("nan")], "good"):
            one = study.ask()
            assert one is not None
            assert study.tell(one, told) == "failed"
        assert study.ask() is None
        assert study.front == []
    assert study.result is not None
    said = [one.error for one in study.result.individuals]
    assert [
        "has no value" in said[0],
        "1 values are returned" in said[1],
        "is nan" in said[2],
        "'good'" in said[3],
    ] == [True] * 4


TRIED = """
LIMITS = {"u": [0.0, 1.0]}
def loss(params): return {"acc": params["u"], "size": 3 * params["u"]}
def lacks(params): return {"acc": params["u"]}
"""


def test_a_check_and_a_training_show_all_values_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tried.py").write_text(TRIED)
    search = ["--limits", "{u: [0.0, 1.0]}", "--objectives", "{acc: max, size: min}"]
    search += ["--constraint-metrics.size", "<= 1.5", "--evaluations", "2", "--run-dir", "run", "--quiet"]
    checked = call("check", "tried.py:loss", *search)
    assert "objective: acc, max" in checked.out
    assert "the values at u=1: acc 1, size 3, which violates size <= 1.5 after" in checked.out
    assert "objective 'size' has no value" in call("check", "tried.py:lacks", *search).err
    assert call("run", "tried.py:loss", *search).status == 0
    trained = call("train", "run", "--individual", "0-1").out
    assert "the same values as recorded" in trained
    assert [line.split()[0] for line in trained.splitlines()[1:5]] == ["recorded", "acc", "size", "seconds"]
