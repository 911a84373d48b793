"""Values of parameters: what users write, in Python and YAML, and what objectives, journals and tables get of it."""

from __future__ import annotations

import enum
import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import evo
from evo.population.events import Started, decode, encode
from evo.population.individual import Individual
from evo.propagators import IntervalMutationNormal, PointMutation
from evo.report.tables import best_text
from evo.space.limits import describe_limits, parse_limits
from evo.space.parameters import Choice, Float, Grid, Int
from evo.space.space import Space
from evo.space.values import fresh, identical, key, plain, why_no_value
from evo.storage.rundir import RunDirectory
from evo.study.config import Config
from evo.study.files import load_limits

SIZES = [[64], [64, 32], [128, 64, 32]]


class Width(enum.IntEnum):
    """Equal to numbers."""

    NARROW = 8
    WIDE = 64


class Name(str, enum.Enum):
    """Equal to texts."""

    RELU = "relu"


class Colour(enum.Enum):
    """Equal to nothing else."""

    RED = 1


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("relu"), "relu"),
        (np.array(3), 3),
        (np.array([1, 2]), [1, 2]),
        (np.array([[1.5], [2.5]]), [[1.5], [2.5]]),
        (np.array(["a", "b"]), ["a", "b"]),
        ((64, (32, np.int64(16))), [64, [32, 16]]),
        (range(0, 6, 2), [0, 2, 4]),
        ({"a": (1, np.float64(2.0))}, {"a": [1, 2.0]}),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (Width.WIDE, 64),
        (Name.RELU, "relu"),
    ],
)
def test_numbers_and_sequences_of_any_kind_become_pythons_own(given: Any, value: Any) -> None:
    assert repr(plain(given)) == repr(value)
    assert why_no_value(plain(given)) == ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (math.nan, "must be finite"),
        ([1.0, [math.inf]], "must be finite"),
        ({"a": [-math.inf]}, "must be finite"),
        (2**63, "up to 2**63"),
        (float, "give its name, 'float' or 'builtins.float'"),
        (np.mean, "'numpy.mean'"),
        ([max], "'builtins.max'"),
        (Colour.RED, "not Colour: give its name"),
        (b"relu", "not bytes: give its name"),
        ({1, 2}, "not set"),
        (1 + 2j, "not complex"),
        (Path("x"), "Path: give its name"),
        ({1: "a"}, "keys of a mapping must be texts"),
        ("\ud800", "valid Unicode"),
    ],
)
def test_what_json_cannot_hold_is_no_value_and_the_message_says_what_to_do(value: Any, problem: str) -> None:
    assert problem in why_no_value(plain(value))
    for limit in (Choice("a", value), {"type": "choice", "values": [value, None]}):
        with pytest.raises(ValueError, match=r"limit 'x' has the choice") as raised:
            parse_limits({"x": limit})
        assert problem in str(raised.value)


@pytest.mark.parametrize("limit", [(float, int), Colour.RED, [np.mean, np.median], float])
def test_classes_and_functions_are_to_be_given_by_name(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"limit 'x' is .*give its name"):
        parse_limits({"x": limit})


def test_values_are_told_apart_as_json_does() -> None:
    alike = [1, 1.0, True, "1", [1], [1.0], [True], [[1]], {"a": 1}, {"a": 1.0}, None, [], {}, False, 0]
    for one in range(len(alike)):
        for other in range(len(alike)):
            assert identical(alike[one], alike[other]) == (one == other)
            assert (key(alike[one]) == key(alike[other])) == (one == other)
    assert identical({"a": 1, "b": [2]}, {"b": [2], "a": 1})


def test_a_fresh_value_shares_nothing() -> None:
    value = {"a": [1, [2]]}
    copy = fresh(value)
    copy["a"][1].append(3)
    assert value == {"a": [1, [2]]}


@pytest.mark.parametrize(
    ("python", "yaml", "meaning"),
    [
        (SIZES, "[[64], [64, 32], [128, 64, 32]]", Choice(SIZES)),
        (tuple(map(tuple, SIZES)), "[[64], [64, 32], [128, 64, 32]]", Choice(SIZES)),
        (evo.Choice(*SIZES), "{type: choice, values: [[64], [64, 32], [128, 64, 32]]}", Choice(SIZES)),
        (evo.Choice(SIZES), "[[64], [64, 32], [128, 64, 32]]", Choice(SIZES)),
        (((1, 2), (3, 4)), "[[1, 2], [3, 4]]", Choice([[1, 2], [3, 4]])),
        (([64, 32],), "[[64, 32]]", Choice([[64, 32]])),
        (([[1, 2], [3]], [[4]]), "[[[1, 2], [3]], [[4]]]", Choice([[[1, 2], [3]], [[4]]])),
        (
            evo.Choice({"kind": "a"}, {"kind": "b", "n": (1, 2)}),
            "{type: choice, values: [{kind: a}, {kind: b, n: [1, 2]}]}",
            Choice({"kind": "a"}, {"kind": "b", "n": [1, 2]}),
        ),
        ((np.float32(1), np.float32(5)), "[1.0, 5.0]", Float(1.0, 5.0)),
        (
            evo.Int(np.int64(1), np.int64(9), step=np.int64(2)),
            "{type: int, low: 1, high: 9, step: 2}",
            Int(1, 9, step=2),
        ),
        (np.logspace(-2, 0, 3), "[0.01, 0.1, 1.0]", Choice(0.01, 0.1, 1.0)),
        (evo.Choice(*np.linspace(0, 1, 3)), "[0.0, 0.5, 1.0]", Choice(0.0, 0.5, 1.0)),
        (np.linspace(0, 1, 2), "{type: choice, values: [0.0, 1.0]}", Choice(0.0, 1.0)),
        (np.array([[64, 32], [32, 16]]), "[[64, 32], [32, 16]]", Choice([[64, 32], [32, 16]])),
        (np.int64(7), "7", Choice(7)),
        (range(2, 5), "[2, 4]", Int(2, 4)),
        (range(10, 0, -3), "{type: int, low: 1, high: 10, step: 3}", Int(1, 10, step=3)),
        (range(3, 4), "3", Choice(3)),
        ((Decimal("0.1"), 1), "[0.1, 1]", Float(0.1, 1.0)),
        ([np.bool_(False), True], "[false, true]", Choice(False, True)),
        ((Width.NARROW, Width.WIDE), "[8, 64]", Int(8, 64)),
        (
            evo.Float(1, 0, step=np.float64(0.25)),
            "{type: float, low: 0, high: 1, step: 0.25}",
            Float(0.0, 1.0, step=0.25),
        ),
        (evo.Choice("a", None, default=None), "{type: choice, values: [a, null], default: null}", None),
        (evo.Float(0, 1, default=np.float32(0.5)), "{type: float, low: 0, high: 1, default: 0.5}", None),
        (evo.Int(1, 9, default=3), "{type: int, low: 1, high: 9, default: 3}", None),
        (evo.Choice(*SIZES, default=(64, 32)), f"{{type: choice, values: {SIZES}, default: [64, 32]}}", None),
        ((1e-4, 1e-1), "[1e-4, 1e-1]", Float(1e-4, 0.1)),
    ],
)
def test_a_limit_means_the_same_in_python_and_yaml(python: Any, yaml: str, meaning: Any, tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(f"x: {yaml}\n")
    described = describe_limits(parse_limits({"x": python}))
    assert repr(described) == repr(describe_limits(parse_limits(load_limits(str(tmp_path / "limits.yaml")))))
    assert repr(described) == repr(describe_limits(parse_limits(json.loads(json.dumps(described)))))
    if meaning is not None:
        assert repr(described) == repr(describe_limits({"x": meaning}))


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (evo.Float(0, 1, default=2), r"default = 2: it must be a number from 0.0 to 1.0"),
        (evo.Float(0, 1, step=0.25, default=0.3), r"default = 0.3: .* from 0.0 to 1.0 in steps of 0.25"),
        (evo.Int(1, 9, step=2, default=2), r"default = 2: it must be a whole number from 1 to 9 in steps of 2"),
        (evo.Int(1, 9, default=2.5), r"default = 2.5: it must be a whole number"),
        (evo.Int(1, 9, default=True), r"default = True: it must be a whole number"),
        (evo.Choice("a", "b", default="c"), r"default = 'c': it must be one of 'a', 'b'"),
        (evo.Choice("a", "b", default=None), r"default = None: it must be one of"),
        (evo.Choice(1, 2, default=1.0), r"default = 1.0: it must be one of 1, 2"),
        (evo.Float(0, 1, step=0), r"step = 0: it must be a number above 0"),
        (evo.Float(0, 1, step=2), r"step = 2: .*at most high - low = 1.0"),
        (evo.Float(0, 1, step="a"), r"step = 'a'"),
        (evo.Float(0, 1, step=1e-13), r"more than 2\*\*40 steps"),
        (evo.Float(1e6, 1e6 + 10, step=1e-9), r"more than 2\*\*40 steps"),
    ],
)
def test_defaults_and_steps_fit_their_limits(limit: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"limit 'x' .*{message}"):
        parse_limits({"x": limit})


def test_the_values_of_a_step_are_those_that_are_written() -> None:
    tenths = [point["x"] for point in Space({"x": evo.Float(0.0, 1.0, step=0.1)}).points()]
    assert tenths == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert [point["x"] for point in Space({"x": evo.Float(0.1, 0.75, step=0.2)}).points()] == [0.1, 0.3, 0.5, 0.7]
    assert [point["x"] for point in Space({"x": evo.Float(-0.3, 0.3, step=0.1)}).points()] == pytest.approx(
        [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3], abs=0
    )
    for parameter in (Float(1e-4, 1.0, log=True, step=1e-4), Float(-1e9, 1e9, step=1e-2), Float(0.1, 7.7, step=1 / 3)):
        space, grid, rng = Space({"x": parameter}), Grid(parameter), np.random.default_rng(0)
        assert space.size == grid.count
        for cell in [0, 1, grid.count // 3, grid.count - 1, *rng.integers(grid.count, size=50)]:
            params = {"x": grid.value(int(cell))}
            assert grid.cell(params["x"]) == cell
            assert space.decode(space.encode(params)) == params


def test_a_parameter_may_depend_on_a_step_a_list_or_a_constant() -> None:
    space = Space(
        {
            "rate": evo.Float(0.0, 1.0, step=0.1),
            "hidden": evo.Choice([], [64], [64, 32]),
            "epochs": 10,
            "a": evo.Int(1, 2, when={"rate": 0.3}),
            "b": evo.Int(1, 2, when={"hidden": [64, 32]}),
            "c": evo.Int(1, 2, when={"hidden": ([64], [64, 32])}),
            "d": evo.Int(1, 2, when={"hidden": []}),
            "e": evo.Choice("only", when={"epochs": np.int64(10), "hidden": [64]}),
        }
    )
    params = {"rate": 0.3, "hidden": [64, 32], "epochs": 10, "a": 1, "b": 2, "c": 1}
    assert space.decode(space.encode(params)) == params
    params = {"rate": 0.2, "hidden": [64], "epochs": 10, "c": 1, "e": "only"}
    assert space.decode(space.encode(params)) == params
    points = [space.encode(point).tobytes() for point in space.points()]
    assert len(points) == len(set(points)) == space.size == 12 * (2 + 2 + 4)
    with pytest.raises(ValueError, match=r"depends on hidden = 64, which 'hidden' can never be"):
        Space({"hidden": SIZES, "x": evo.Int(1, 2, when={"hidden": [64, 32, 16]})})


def test_constants_take_no_part_in_the_search() -> None:
    limits = {"x": (0.0, 1.0), "act": "relu", "epochs": 10, "deep": True, "none": None, "same": (3, 3), "sizes": [[8]]}
    space, rng = Space(limits), np.random.default_rng(0)
    constants = {"act": "relu", "epochs": 10, "deep": True, "none": None, "same": 3, "sizes": [8]}
    assert space.constants == constants
    assert len(space) == len(space.cells) == len(space.ordered) == 1
    assert list(space.names) == list(limits)
    parent = Individual(genome=space.encode({"x": 0.5, **constants}))
    for mutation in (PointMutation(), IntervalMutationNormal()):
        offspring = [space.complete(mutation([parent], space, rng)[0].genome, rng) for _ in range(50)]
        assert all(params["x"] != 0.5 and params == {**params, **constants} for params in offspring)
    assert Space({"n": (1, 3), "act": "relu"}).size == 3
    with pytest.raises(ValueError, match="parameter 'epochs' = 11 is not within its limits"):
        space.encode({"x": 0.5, **constants, "epochs": 11})


@pytest.mark.parametrize("propagator", ["genetic", "random"])
def test_a_space_of_constants_is_evaluated_once(propagator: str) -> None:
    result = evo.minimize(lambda params: params["n"], {"n": 3, "act": "relu"}, evaluations=5, propagator=propagator)
    assert [one.params for one in result.individuals] == [{"n": 3, "act": "relu"}]
    assert result.stop_reason == "all 1 points of the space have been tried"


def test_an_objective_gets_lists_of_its_own_wherever_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def loss(params: dict[str, Any]) -> float:
        size = sum(params["hidden"])
        params["hidden"].append(1000)  # Spoils nothing.
        params["table"]["a"].clear()
        return float((size - 100) ** 2)

    limits = {"hidden": SIZES, "table": evo.Choice({"a": [1]}), "rate": evo.Float(0, 1, step=0.5)}
    result = evo.minimize(loss, limits, evaluations=9, run_dir=str(tmp_path / "run"), quiet=False)
    assert len({json.dumps(one.params) for one in result.individuals}) == 9
    assert all(one.params["hidden"] in SIZES and one.params["table"] == {"a": [1]} for one in result.individuals)
    assert result.best is not None
    assert result.best.params["hidden"] == [64, 32]
    printed = capsys.readouterr().out
    assert 'constant: table {"a": [1]}' in printed
    assert "[64, 32]" in printed
    assert "hidden    [64, 32]" in best_text(result.best)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["best"]["params"]["hidden"] == [64, 32]
    study = RunDirectory(tmp_path / "run").study()
    assert study is not None
    assert study.limits["hidden"] == {"type": "choice", "values": SIZES}


def test_parameters_of_any_value_pass_through_records() -> None:
    params = {"hidden": [64, [32.0, None]], "table": {"a": [True, "ä"]}, "one": 1, "real": 1.0}
    started = decode(encode(Started(time=0.0, individual=(0, 0), island=0, params=params)))
    assert isinstance(started, Started)
    assert repr(started.params) == repr(params)
    assert msgspec.json.decode(encode(started))["params"] == params


def test_settings_take_numbers_of_numpy() -> None:
    config = Config(evaluations=np.int64(5), seed=np.int32(1), target=np.float32(0.5), sigma=np.float64(0.1))  # type: ignore[arg-type]
    assert repr((config.evaluations, config.seed, config.target, config.sigma)) == "(5, 1, 0.5, 0.1)"
    with pytest.raises(ValueError, match=r"evaluations is 2\.5"):
        Config(evaluations=np.float64(2.5))  # type: ignore[arg-type]
