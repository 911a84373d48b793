"""Bounds that depend on other parameters."""

from __future__ import annotations

import doctest
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from offspring import one_value
from records import evaluated, make_breeder

import evo
import evo.space.bounds
from evo.engine.budget import Budget
from evo.engine.settings import WorkerSettings
from evo.problems.functions import sphere
from evo.propagators import Compose, IntervalMutationNormal, PointMutation, SelectUniform, default_propagator
from evo.space.limits import Choice, Float, Int, describe_limits, parse_limits
from evo.space.space import Space
from evo.space.values import Params
from evo.storage.rundir import RunDirectory
from evo.study.files import load_limits

LIMITS: dict[str, Any] = {
    "unfrozen": Int(1, "layers"),  # Named before what it depends on.
    "layers": (1, 10),
    "low": (0.0, 1.0),
    "high": Float("low", 1.0),
    "wide": Int("layers", "2 * layers + 1", step=1),
    "model.lr": Float(1e-5, 1e-1, log=True),
    "model.max-lr": Float("model.lr", "min(10 * model.lr, 0.1)", log=True),
}


def fits(params: Params) -> bool:
    p: Any = params
    return bool(
        1 <= p["unfrozen"] <= p["layers"] <= p["wide"] <= 2 * p["layers"] + 1
        and p["low"] <= p["high"] <= 1
        and p["model.lr"] <= p["model.max-lr"] <= min(10 * p["model.lr"], 0.1)
    )


def test_the_range_is_the_widest_that_the_others_allow_and_the_names_are_kept() -> None:
    parsed = parse_limits(LIMITS)
    ends = {name: (parsed[name].low, parsed[name].high) for name in parsed}  # type: ignore[union-attr]
    assert ends["unfrozen"] == (1, 10)
    assert ends["wide"] == (1, 21)
    assert ends["high"] == (0.0, 1.0)
    assert ends["model.max-lr"] == (1e-5, 0.1)
    described = describe_limits(parsed)
    assert described["wide"] == {"type": "int", "low": "layers", "high": "2 * layers + 1"}
    assert Space(described).describe() == described
    assert describe_limits(parse_limits(parsed)) == described


def test_yaml_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("layers: [1, 10]\nunfrozen: {type: int, low: 1, high: layers}\n")
    space = Space(load_limits(str(file)))
    assert space.describe() == Space({"layers": (1, 10), "unfrozen": Int(1, "layers")}).describe()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"x": Int(1, "layers")}, ["'x'", "high = 'layers'", "no parameter 'layers'"]),
        ({"x": Int(1, "y"), "y": Int(1, "x")}, ["circle", "x -> y -> x"]),
        ({"x": Int(1, "x")}, ["circle", "x -> x"]),
        ({"x": Int(1, "y", when={"y": 3}), "y": Int(1, "z"), "z": Int(1, 5, when={"x": 2})}, ["circle"]),
        ({"x": Int(1, "y"), "y": ("a", "b")}, ["'y' is not always a number"]),
        ({"x": Int(1, "y"), "y": (False, True)}, ["'y' is not always a number"]),
        ({"x": Int(1, "y ** 2"), "y": (1, 3)}, ["'y ** 2'", "+ - * / // min max"]),
        ({"x": Float(1, "1 / y"), "y": (0, 3)}, ["divides by what may be 0"]),
        ({"x": Int(1, "y y"), "y": (1, 3)}, ["no expression"]),
        ({"x": Int(5, "y"), "y": (1, 3)}, ["'x'", "at least 5", "at most 3"]),
        ({"x": Float("y", 1, log=True), "y": (-1.0, 0.5)}, ["log scale"]),
        ({"x": Float("1e-4", 1.0)}, ["'1e-4'", "a finite number"]),
        ({"x": Float("1e-4", "y"), "y": (0.0, 1.0)}, ["'1e-4'", "a finite number"]),
    ],
)
def test_a_bound_that_cannot_be_is_told(limits: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match="limit") as raised:
        parse_limits(limits) if "z" not in limits else Space(limits)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_what_is_sampled_is_drawn_within_the_bounds_and_not_heaped_at_them() -> None:
    space, rng = Space({"layers": (1, 4), "unfrozen": Int(1, "layers"), "x": Float(0.0, "layers / 4")}), np.random
    points: list[Any] = [space.values(space.sample(rng.default_rng(seed)).tolist()) for seed in range(2000)]
    assert all(map(space.allows, points))
    assert Counter(point["layers"] for point in points).most_common()[-1][1] > 400
    counts = Counter(point["unfrozen"] for point in points if point["layers"] == 4)
    assert set(counts) == {1, 2, 3, 4}
    assert min(counts.values()) > 80
    assert np.mean([point["x"] / point["layers"] for point in points]) == pytest.approx(1 / 8, abs=0.01)


def test_what_is_bred_beyond_a_bound_is_clipped_to_it() -> None:
    space = Space({"layers": (1, 9), "unfrozen": Int(2, "layers"), "x": Float(0.0, "layers / 10")})
    params = space.complete(np.array([0.5, 0.99, 0.99]), np.random.default_rng(0))
    assert (params["layers"], params["unfrozen"]) == (5, 5)
    assert params["x"] == pytest.approx(0.5)
    # Where nothing is left, what it depends on moves.
    repaired: Any = space.repair(np.array([0.0, 0.5, 0.5]), [], np.random.default_rng(0))
    assert repaired["layers"] >= repaired["unfrozen"] >= 2


def test_a_gene_that_is_drawn_anew_is_drawn_within_its_bounds() -> None:
    space = Space({"layers": (1, 100), "unfrozen": Int(1, "layers")})
    parent = one_value(space, 0.105)  # 11 layers
    rng = np.random.default_rng(1)
    drawn = [PointMutation(2)([parent], space, rng)[0] for _ in range(400)]
    params: list[Any] = [space.complete(child.genome, rng) for child in drawn]
    at_the_bound = sum(each["unfrozen"] == each["layers"] for each in params) / len(params)
    assert at_the_bound < 0.5  # Those only whose layers were drawn after it, and are fewer.


def test_whatever_breeds_every_point_is_within_its_bounds() -> None:
    space = Space(LIMITS)
    rng = np.random.default_rng(1)
    first = [space.values(space.sample(rng).tolist()) for _ in range(20)]
    population = evaluated(space, [(params, float(place)) for place, params in enumerate(first)])
    wild = Compose([SelectUniform(1), PointMutation(3), IntervalMutationNormal(0.5, points=3)])
    for propagator in (default_propagator(8), wild):
        breeder = make_breeder(propagator, population, WorkerSettings(worker=0, workers=1, seed=1, budget=Budget()))
        for generation in range(300):
            bred = breeder.breed(generation)
            assert bred is not None
            assert fits(bred.params), bred.params
            assert space.decode(space.encode(bred.params)) == bred.params


def test_a_parameter_that_does_not_exist_sets_no_bound() -> None:
    space = Space(
        {
            "kind": ("a", "b"),
            "depth": Int(1, 3, when={"kind": "a"}),
            "width": Int(1, "depth", when={"kind": ["a", "b"]}),
        }
    )
    points: list[Any] = [space.values(space.sample(np.random.default_rng(seed)).tolist()) for seed in range(200)]
    assert all(point["width"] <= point["depth"] for point in points if point["kind"] == "a")
    assert {point["width"] for point in points if point["kind"] == "b"} == {1, 2, 3}


def test_ordered_choices_bound_as_well() -> None:
    space = Space({"batch": (8, 16, 32), "micro": Int(1, "batch")})
    assert all(space.allows(space.values(space.sample(np.random.default_rng(seed)).tolist())) for seed in range(100))
    assert parse_limits({"batch": Choice(8, 16, 32), "micro": Int(1, "batch")})["micro"].high == 32  # type: ignore[union-attr]


def test_a_finite_space_ends_and_a_study_keeps_the_names(tmp_path: Path) -> None:
    limits = {"layers": (1, 4), "unfrozen": Int(1, "layers")}
    result = evo.minimize(sphere, limits, evaluations=100, run_dir=str(tmp_path / "run"))
    assert len(result.individuals) == 10
    assert "have been tried" in result.stop_reason
    study = RunDirectory(tmp_path / "run").study()
    assert study is not None
    assert study.limits["unfrozen"] == {"type": "int", "low": 1, "high": "layers"}
    assert study.constraints == []
    again = evo.minimize(sphere, limits, evaluations=100, run_dir=str(tmp_path / "run"))
    assert len(again.individuals) == 10
    with pytest.raises(ValueError, match="its limit of 'unfrozen'"):
        evo.minimize(sphere, {"layers": (1, 4), "unfrozen": (1, 4)}, run_dir=str(tmp_path / "run"))


def test_the_example_in_the_text_runs() -> None:
    assert doctest.testmod(evo.space.bounds).failed == 0
