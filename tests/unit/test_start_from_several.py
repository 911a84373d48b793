"""Warm starts of studies with several objectives, or with bounds of metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers import call

import evo
from evo.engine.starting import KnownPoint, known_events
from evo.errors import UserError
from evo.population.events import Started
from evo.population.population import Population
from evo.report.reading import Run
from evo.space.space import Space

LIMITS = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
TWO = {"acc": "max", "size": "min"}
BOUND = {"memory": "<= 2"}


def values(params: dict[str, Any]) -> dict[str, float]:
    return {"acc": params["x"], "size": params["x"] + params["y"], "memory": 3 * params["y"]}


def search(run_dir: Path, start_from: Any = None, evaluations: int = 3, **settings: Any) -> Run:
    given = {"objectives": TWO, "constraint_metrics": BOUND, "propagator": "random", "seed": 1, **settings}
    objective = values if given["objectives"] else lambda params: params["x"]
    evo.minimize(objective, LIMITS, evaluations=evaluations, run_dir=run_dir, start_from=start_from, **given)
    return evo.load(run_dir)


def known(run: Run) -> list[tuple[tuple[float, ...], float]]:
    return sorted((one.losses, one.violation) for one in run.individuals if one.origin)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_points_with_all_values_are_known_however_they_are_written(tmp_path: Path) -> None:
    point = {"x": 0.5, "y": 0.25}
    flat = {"acc": 0.9, "size": 7, "memory": 3}
    many = [
        [{**point, **flat}],
        [{**point, "values": flat}],
        [{"params": point, "objectives": {"acc": 0.9, "size": 7}, "metrics": {"memory": 3}}],
        write(tmp_path / "o.csv", "x,y,objectives.acc,objectives.size,memory\n.5,.25,.9,7,3\n"),
        [{"params": point, "metrics": flat}],
        [{"params": point, "values": {"acc": 0.9, "size": 7}, "metrics": {"memory": 3}}],
        write(tmp_path / "p.yaml", json.dumps({**point, **flat})),
        write(tmp_path / "p.csv", "x,y,acc,size,memory\n.5,.25,.9,7,3\n"),
        write(tmp_path / "m.csv", "x;y;metrics.acc;size;metrics.memory\n.5;.25;.9;7;3\n"),
        write(
            tmp_path / "e.csv", "name,status,acc,params.x,params.y,size,metrics.memory\n0-0,completed,.9,.5,.25,7,3\n"
        ),
    ]
    for number, start_from in enumerate(many):
        run = search(tmp_path / str(number), start_from, evaluations=1)
        assert known(run) == [((-0.9, 7.0), 0.5)], start_from
        first = next(one for one in run.individuals if one.origin)
        assert (first.params, first.metrics) == (point, flat)


def test_another_run_starts_a_search_from_its_directory_and_its_export(tmp_path: Path) -> None:
    source = search(tmp_path / "source", evaluations=8)
    for form in ("csv", "json", "optuna"):
        assert (
            call(
                "export", str(tmp_path / "source"), f"--{form}", str(tmp_path / f"x.{form.replace('optuna', 'db')}")
            ).status
            == 0
        )
    expected = sorted((one.losses, one.violation) for one in source.individuals)
    for name in ("source", "x.csv", "x.json", "x.db"):
        assert known(search(tmp_path / f"from-{name}", str(tmp_path / name))) == expected


def test_values_count_by_their_names_whatever_the_other_run_has_made_of_them(tmp_path: Path) -> None:
    search(tmp_path / "source", objectives={"size": "max"}, constraint_metrics=None, evaluations=2)
    assert all(len(losses) == 2 for losses, _ in known(search(tmp_path / "run", str(tmp_path / "source"))))


def test_points_that_lack_a_value_are_evaluated_and_results_that_do_are_left_out(tmp_path: Path) -> None:
    points = [{"x": 0.5, "acc": 0.5}, {"x": 0.25, "y": 0.5, "acc": 1, "size": 1, "memory": 1}, {"x": 0.125}]
    run = search(tmp_path / "run", points)
    assert known(run) == [((-1.0, 1.0), 0.0)]
    assert [one.params["x"] for one in run.individuals if not one.origin][:2] == [0.5, 0.125]
    plain = search(tmp_path / "plain", objectives=None, constraint_metrics=None)
    assert plain.best is not None
    with pytest.raises(UserError, match=r"no result that fits: left out: 3 that lack acc"):
        search(tmp_path / "other", str(tmp_path / "plain"))


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"x": 0.5, "y": 0.5, "loss": 3}, r"point 1: it has a loss, and this study has the objectives {acc: max"),
        ({"x": 0.5, "ac": 3}, r"ac is no parameter of this search; did you mean acc"),
        (
            {"x": 0.5, "values": {"acc": 1, "szie": 2}},
            r"values has 'szie', which is none of acc, size, memory; did you",
        ),
        ({"x": 0.5, "values": [1, 2]}, r"values is \[1, 2\]: it must be a mapping of acc, size, memory"),
        ({"x": 0.5, "y": 0.5, "acc": 1, "size": "nan", "memory": 1}, r"size is 'nan'"),
        ({"x": 0.5, "y": 0.5, "acc": "good", "size": 1, "memory": 1}, r"acc is 'good'"),
        ({"x": 0.5, "acc": 1, "size": 1, "memory": 1}, r"it lacks y: a result belongs to a complete point"),
    ],
)
def test_a_bad_point_is_refused_with_what_is_wrong(point: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        search(tmp_path / "run", [point])


def test_a_front_is_no_start_of_a_search_for_one_loss_without_a_name(tmp_path: Path) -> None:
    search(tmp_path / "source")
    with pytest.raises(UserError, match=r"and this study has one loss without a name: name objectives"):
        search(tmp_path / "run", str(tmp_path / "source"), objectives=None, constraint_metrics=None)


def test_a_table_with_a_column_of_another_name_is_refused(tmp_path: Path) -> None:
    table = write(tmp_path / "p.csv", "x,y,acc,sise\n.5,.25,.9,7\n")
    with pytest.raises(UserError, match=r"'sise' is no parameter; did you mean size.*or acc or size or memory: x, y"):
        search(tmp_path / "run", table)


def optuna_study(path: Path, directions: list[str], names: list[str]) -> str:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{path}", directions=directions)
    if names:
        study.set_metric_names(names)
    distributions = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in LIMITS}
    numbers = [0.75, 2.0]
    study.add_trial(
        optuna.trial.create_trial(
            params={"x": 0.5, "y": 0.5},
            distributions=distributions,
            values=numbers if directions[0] == "maximize" else numbers[::-1],
        )
    )
    return str(path)


@pytest.mark.filterwarnings("ignore")
def test_a_study_of_optuna_with_the_same_objectives_is_known(tmp_path: Path) -> None:
    for number, (directions, names) in enumerate(
        [(["maximize", "minimize"], []), (["minimize", "maximize"], ["size", "acc"])]
    ):
        store = optuna_study(tmp_path / f"{number}.db", directions, names)
        assert known(search(tmp_path / str(number), store, constraint_metrics=None)) == [((-0.75, 2.0), 0.0)]
    with pytest.raises(UserError, match=r"has the directions min, max, which is not as the objectives {acc: max"):
        search(tmp_path / "no", optuna_study(tmp_path / "no.db", ["minimize", "maximize"], []))
    with pytest.raises(UserError, match=r"does not minimise one value, as this study does"):
        search(tmp_path / "one", str(tmp_path / "0.db"), objectives=None, constraint_metrics=None)


def test_known_individuals_are_dealt_out_by_dominance_and_those_that_violate_come_last() -> None:
    losses = {0.1: (3.0, 3.0), 0.2: (0.0, 2.0), 0.3: (2.0, 0.0), 0.4: (1.0, 1.0)}
    points = [KnownPoint({"x": x}, pair[0], "here", losses=pair, violation=x == 0.4) for x, pair in losses.items()]
    events = known_events(points, Population(Space({"x": (0.0, 1.0)}), islands=2), 0.0)
    places = [event.params["x"] for event in events if isinstance(event, Started)]
    assert (set(places[:2]), places[2:]) == ({0.2, 0.3}, [0.1, 0.4])
