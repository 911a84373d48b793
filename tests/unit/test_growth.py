"""A study goes on with other limits: its earlier individuals breed on where they fit, and are set aside elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import strategies
from hypothesis import assume, given
from hypothesis import strategies as st

import evo
from evo.cli import main
from evo.population.events import AnyEvent, Finished, Started, encode
from evo.population.population import Population
from evo.report.reading import load
from evo.report.records import gather_evaluations, rank_evaluations
from evo.space.growth import Forms, check_growth, find_changes
from evo.space.limits import describe_limits, parse_limits
from evo.space.space import Space
from evo.storage.rundir import RunDirectory, StudyRecord

OLD = {"x": (-1.0, 1.0), "act": ("relu", "tanh")}


def forms(*limits: dict[str, Any]) -> Forms:
    *former, recorded = (Space(each) for each in limits)
    return Forms(recorded, former)


@pytest.mark.parametrize(
    ("new", "params", "becomes"),
    [
        pytest.param({**OLD, "act": ("relu", "tanh", "gelu")}, {"x": 0.5, "act": "relu"}, {}, id="one more choice"),
        pytest.param({**OLD, "x": (-5.0, 5.0)}, {"x": 0.5, "act": "relu"}, {}, id="wider"),
        pytest.param({**OLD, "x": (0.0, 1.0)}, {"x": 0.5, "act": "relu"}, {}, id="narrower, inside"),
        pytest.param({**OLD, "x": (0.0, 1.0)}, {"x": -0.5, "act": "relu"}, None, id="narrower, outside"),
        pytest.param({**OLD, "act": "relu"}, {"x": 0.5, "act": "relu"}, {}, id="now a constant"),
        pytest.param({**OLD, "act": "relu"}, {"x": 0.5, "act": "tanh"}, None, id="another constant"),
        pytest.param({"act": OLD["act"], "x": OLD["x"]}, {"x": 0.5, "act": "relu"}, {}, id="another order"),
        pytest.param({"x": OLD["x"]}, {"x": 0.5, "act": "relu"}, None, id="one is gone"),
        pytest.param({**OLD, "x": evo.Float(0.1, 1.0, log=True)}, {"x": 0.5, "act": "relu"}, {}, id="log"),
        pytest.param({**OLD, "x": evo.Float(-1.0, 1.0, step=0.1)}, {"x": 0.3, "act": "relu"}, {}, id="on the grid"),
        pytest.param({**OLD, "x": evo.Float(-1.0, 1.0, step=0.1)}, {"x": 0.35, "act": "relu"}, None, id="off the grid"),
        pytest.param({**OLD, "epochs": 10}, {"x": 0.5, "act": "relu"}, {"epochs": 10}, id="a new constant"),
        pytest.param(
            {**OLD, "wd": evo.Float(0, 1, default=0)}, {"x": 0.5, "act": "relu"}, {"wd": 0.0}, id="a new parameter"
        ),
        pytest.param(
            {**OLD, "slope": evo.Float(0, 1, when={"act": "relu"}, default=0.1)},
            {"x": 0.5, "act": "tanh"},
            {},
            id="a new one that this does not have",
        ),
        pytest.param(
            {**OLD, "hidden": evo.Choice([8], [8, 8], default=[8])},
            {"x": 0.5, "act": "relu"},
            {"hidden": [8]},
            id="a new list",
        ),
    ],
)
def test_an_individual_keeps_its_place_gets_a_default_or_is_set_aside(
    new: dict[str, Any], params: dict[str, Any], becomes: dict[str, Any] | None
) -> None:
    fitted = forms(OLD, new).fit(params)
    if becomes is None:
        assert fitted.genome is None
    else:
        assert fitted.params == params | becomes
        assert fitted.genome is not None
        assert Space(new).decode(fitted.genome) == params | becomes


def test_whole_numbers_are_real_ones_once_the_range_is() -> None:
    fitted = forms({"x": (1, 9)}, {"x": (0.5, 9.0)}).fit({"x": 3})
    assert fitted.genome is not None
    assert repr(fitted.params) == "{'x': 3.0}"


def test_a_parameter_that_came_and_went_leaves_those_who_never_had_it() -> None:
    with_wd = {**OLD, "wd": evo.Float(0, 1, default=0)}
    history = forms(OLD, with_wd, OLD)
    assert history.fit({"x": 0.5, "act": "relu"}).genome is not None
    assert history.fit({"x": 0.5, "act": "relu", "wd": 0.5}).genome is None
    grown = forms(OLD, with_wd, {**with_wd, "x": (-2.0, 2.0)}).fit({"x": 0.5, "act": "relu"})
    assert grown.params == {"x": 0.5, "act": "relu", "wd": 0.0}


def test_what_was_never_within_the_limits_is_no_individual() -> None:
    with pytest.raises(ValueError, match=r"'x' = 7\.0"):
        forms(OLD, {**OLD, "x": (-5.0, 5.0)}).fit({"x": 7.0, "act": "relu"})


@pytest.mark.parametrize(
    ("new", "named"),
    [
        ({**OLD, "wd": (0.0, 1.0)}, "wd"),
        ({**OLD, "slope": evo.Float(0, 1, when={"act": "relu"})}, "slope"),
        ({**OLD, "act": ("relu", "gelu"), "slope": evo.Float(0, 1, when={"act": ["gelu", "relu"]})}, "slope"),
        ({**OLD, "act": ("relu", "gelu"), "slope": evo.Float(0, 1, when={"act": "gelu"})}, None),
        ({**OLD, "wd": evo.Float(0.0, 1.0, default=0.5)}, None),
        ({**OLD, "mode": evo.Choice("a", "b", default="a"), "b": evo.Int(1, 2, when={"mode": "b"})}, None),
        ({**OLD, "mode": evo.Choice("a", "b", default="a"), "a": evo.Int(1, 2, when={"mode": "a"})}, "a"),
    ],
)
def test_a_new_parameter_that_earlier_individuals_would_have_needs_a_default(
    new: dict[str, Any], named: str | None
) -> None:
    limits = [describe_limits(parse_limits(each)) for each in (OLD, new)]
    if named is None:
        check_growth(*limits)
        return
    with pytest.raises(ValueError, match=f"limit '{named}' is new in this study: give it a default"):
        check_growth(*limits)


def test_a_default_makes_no_other_limits() -> None:
    with_default = describe_limits(parse_limits({**OLD, "x": evo.Float(-1.0, 1.0, default=0.5)}))
    assert find_changes(describe_limits(parse_limits(OLD)), with_default) == []


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[AnyEvent]]:
    """Two forms of limits, and what happened under both, as journals tell it."""
    old = draw(strategies.limits())
    new = {name: draw(st.just(limit) | strategies.parameters) for name, limit in old.items() if draw(st.integers(0, 3))}
    new |= draw(st.dictionaries(strategies.names, strategies.parameters, max_size=1 if new else 2, min_size=not new))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    try:
        spaces = [Space(old), Space(new)]
    except ValueError:
        assume(False)
    # Any value that the new limits may have is a default.
    example = spaces[1].complete(spaces[1].sample(rng), rng)
    described = {
        name: limit | ({"default": example[name]} if name in example else {})
        for name, limit in spaces[1].describe().items()
    }
    history = forms(old, described)
    events: list[AnyEvent] = []
    for number in range(draw(st.integers(1, 8))):
        identity, space = (number % 2, number), spaces[draw(st.integers(0, 1))]
        params = space.complete(space.sample(rng), rng)
        events.append(Started(time=number, individual=identity, island=0, params=params))
        fitted = history.fit(params)
        if draw(st.booleans()) and fitted.genome is not None:  # Taken up again.
            events.append(Started(time=number + 50, individual=identity, island=0, params=fitted.params))
        for _ in range(draw(st.integers(0, 2))):
            status, loss = draw(st.sampled_from([("completed", 1.0), ("completed", 0.5), ("failed", None)]))
            status = draw(st.sampled_from([status, "interrupted"]))
            loss = loss if status == "completed" else None
            events.append(Finished(time=number + 60, individual=identity, status=status, loss=loss, rank=0))
    return [old, described], events


@given(history=histories(), data=st.data())
def test_any_order_of_what_happened_under_any_limits_makes_the_same_population(
    history: tuple[list[dict[str, Any]], list[AnyEvent]], data: st.DataObject
) -> None:
    limits, events = history
    populations = []
    for order in (events, data.draw(st.permutations(events)), [*events, *events]):
        population = Population(Space(limits[-1]), forms=forms(*limits))
        for event in order:
            population.apply(event)
        populations.append(population)
    shown = [
        (
            each.digest(),
            each.set_aside,
            each.tried,
            [(one.identity, one.loss) for one in each.ranking],
            [one.identity for one in each.active],
            [(one.identity, each.params(one)) for one in each.running],
            each.started,
            each.finished,
        )
        for each in populations
    ]
    assert shown[0] == shown[1] == shown[2]
    population = populations[0]
    assert not population.set_aside & {one.identity for one in [*population.ranking, *population.running]}
    evaluations = gather_evaluations(events, forms(*limits))
    assert {one.individual for one in evaluations if one.is_set_aside} == population.set_aside
    assert [one.individual for one in rank_evaluations(evaluations)] == [one.identity for one in population.ranking]
    space = Space(limits[-1])
    for one in evaluations:
        if not one.is_set_aside:
            space.encode(one.params)


def loss(params: dict[str, Any]) -> float:
    return float((params["x"] - 3) ** 2 + {"relu": 1.0, "tanh": 2.0, "gelu": 0.0}[params["act"]] + params.get("wd", 0))


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., evo.Result]:
    monkeypatch.chdir(tmp_path)

    def run(limits: dict[str, Any], evaluations: int, **settings: Any) -> evo.Result:
        return evo.minimize(
            loss, limits, evaluations=evaluations, run_dir="run", seed=settings.pop("seed", 1), **settings
        )

    return run


def test_a_study_grows_shrinks_and_remembers(
    search: Callable[..., evo.Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = search(OLD, 20).individuals
    more = {**OLD, "act": ("relu", "tanh", "gelu")}
    before = (tmp_path / "run" / "study.json").read_bytes()
    with pytest.raises(ValueError, match=r"its limit of 'act' is .*'tanh'\]}, not .*gelu.*--change-limits"):
        search(more, 40)
    with pytest.raises(ValueError, match="limit 'wd' is new in this study: give it a default"):
        search({**more, "wd": (0.0, 1.0)}, 40, change_limits=True)
    assert (tmp_path / "run" / "study.json").read_bytes() == before
    grown = search(more, 40, change_limits=True, quiet=False)
    assert "other limits from now on: act was {" in capsys.readouterr().out
    assert [one.params for one in grown.individuals[:20]] == [one.params for one in first]
    assert "gelu" in {one.params["act"] for one in grown.individuals[20:]}
    search(more, 45)  # The new ones are the study's now.
    with pytest.raises(ValueError, match="its limit of 'act' is"):
        search(OLD, 50)

    narrow = {"x": (-1.0, 0.5), "act": ("relu", "tanh")}
    kept = search(narrow, 45, change_limits=True, quiet=False)
    printed = capsys.readouterr().out
    outside = [one for one in kept.individuals if one.params["x"] > 0.5 or one.params["act"] == "gelu"]
    assert outside
    assert [one.individual for one in kept.individuals if one.is_set_aside] == [one.individual for one in outside]
    assert f"45 evaluations (45 completed), {len(outside)} of them outside of the limits and set aside" in printed
    inside = [one for one in kept.individuals if not one.is_set_aside]
    best = min(inside, key=lambda one: (one.loss, one.individual))
    assert kept.best == best
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["best"]["individual"] == list(best.individual)
    assert load("run").find().individual == best.individual
    assert main(["best", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["individual"] == list(best.individual)
    assert main(["repair", "run"]) == 0
    assert "sound" in capsys.readouterr().out

    again = search({**OLD, "wd": evo.Float(0.0, 1.0, default=0.0)}, 60, change_limits=True)
    assert [one.params.get("wd") for one in again.individuals[:45] if not one.is_set_aside] == [0.0] * sum(
        one.params["act"] != "gelu" for one in again.individuals[:45]
    )
    study = RunDirectory(tmp_path / "run").study()
    assert study is not None
    assert [list(each) for each in study.former] == [["x", "act"]] * 3
    search({**OLD, "wd": (0.0, 1.0)}, 61)  # The default has done its work.
    assert gather_evaluations(RunDirectory(tmp_path / "run").events())  # And the journals hold what they held.


def test_what_was_in_flight_is_evaluated_in_the_new_form_or_set_aside(
    search: Callable[..., evo.Result], tmp_path: Path
) -> None:
    search(OLD, 4)
    journal = tmp_path / "run" / "journal" / "0.jsonl"
    with journal.open("ab") as stream:
        for number, x in enumerate([0.123456789012345, -0.75]):
            params = {"x": x, "act": "relu"}
            stream.write(encode(Started(time=1e9, individual=(0, 10 + number), island=0, params=params)) + b"\n")
    (tmp_path / "run" / "summary.json").unlink()
    new = {"x": evo.Float(0.1, 1.0, log=True), "act": OLD["act"], "wd": evo.Float(0, 1, default=0.25)}
    result = search(new, 8, change_limits=True)
    found = {one.individual: one for one in result.individuals}
    # Exactly as it was, though a genome on a log scale has fewer digits.
    assert found[0, 10].params == {"x": 0.123456789012345, "act": "relu", "wd": 0.25}
    assert found[0, 10].loss == loss(found[0, 10].params)
    assert found[0, 11].is_set_aside
    assert found[0, 11].status == "running"
    assert sum(one.status == "completed" for one in result.individuals) == 8  # It was not evaluated.


def test_a_study_file_of_an_earlier_evo_has_had_no_other_limits() -> None:
    described = json.dumps(describe_limits(parse_limits(OLD)))
    study = msgspec.json.decode(
        f'{{"name": "a", "objective": "b", "limits": {described}, "seed": 0}}', type=StudyRecord
    )
    assert study.former == []
