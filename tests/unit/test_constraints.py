"""Constraints between parameters: how they are read, and that nothing which violates one is ever evaluated."""

from __future__ import annotations

import doctest
import functools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import evaluated, make_breeder
from simulation import Session, simulate
from test_propagators import PROPAGATORS

import evo
import evo.space.constraints
import evo.space.expressions
import evo.space.ordering
from evo.algorithms.catalogue import READY, make_propagator
from evo.engine.budget import Budget
from evo.engine.settings import WorkerSettings
from evo.population.events import Started
from evo.problems.functions import sphere
from evo.propagators import (
    Conditional,
    InitUniform,
    default_propagator,
)
from evo.space.constraints import ConstraintError, read_constraints
from evo.space.limits import Choice, Float, Int
from evo.space.ordering import put_in_order
from evo.space.space import Space
from evo.space.values import Params
from evo.storage.rundir import RunDirectory
from evo.study.beginning import find_study
from evo.study.wiring import MistakeFound

LIMITS: dict[str, Any] = {
    "x": (0.0, 1.0),
    "y": (0.0, 1.0),
    "n": (1, 10),
    "optimizer": ("sgd", "adam"),
    "momentum": Float(0, 1, when={"optimizer": "sgd"}),
    "model.lr": Float(1e-5, 1e-1, log=True),
    "model.max_lr": Float(1e-5, 1e-1, log=True),
    "batch-size": (8, 64),
    "lambda": (0, 5),
    "flag": (False, True),
    "odd": Choice(None, 1, 2),
}
FIVE = {f"t{i}": (0.0, 1.0) for i in range(5)}
IN_ORDER = [f"t{i} <= t{i + 1}" for i in range(4)]


def checked(limits: dict[str, Any], constraints: Any) -> Space:
    """A space as a search checks it at its start."""
    space = Space(limits, constraints)
    if space.feasibility is not None:
        space.feasibility.check()
    return space


# ---- Reading


@pytest.mark.parametrize(
    ("text", "fulfilled", "violated"),
    [
        ("x < y", {"x": 0.1, "y": 0.2}, {"x": 0.2, "y": 0.2}),
        ("x <= y", {"x": 0.2, "y": 0.2}, {"x": 0.3, "y": 0.2}),
        ("0.1 < x < y <= 0.9", {"x": 0.2, "y": 0.9}, {"x": 0.2, "y": 0.91}),
        ("n * params['lambda'] <= 20", {"n": 4, "lambda": 5}, {"n": 5, "lambda": 5}),
        ("params['batch-size'] % n == 0", {"batch-size": 16, "n": 8}, {"batch-size": 17, "n": 8}),
        ("model.lr < model.max_lr", {"model.lr": 1e-4, "model.max_lr": 1e-3}, {"model.lr": 1e-3, "model.max_lr": 1e-3}),
        ("n in [1, 2, 4]", {"n": 4}, {"n": 3}),
        ("n not in (1, 2)", {"n": 4}, {"n": 1}),
        ("optimizer == 'sgd' or n > 3", {"optimizer": "sgd", "n": 1}, {"optimizer": "adam", "n": 3}),
        ("not (x < y)", {"x": 0.3, "y": 0.2}, {"x": 0.1, "y": 0.2}),
        ("not not flag", {"flag": True}, {"flag": False}),
        ("x < 0.5 if flag else y < 0.5", {"x": 0.9, "y": 0.1, "flag": False}, {"x": 0.9, "y": 0.1, "flag": True}),
        ("max(x, y) < 0.5 and min(x, y) > 0.1", {"x": 0.4, "y": 0.2}, {"x": 0.4, "y": 0.1}),
        ("abs(x - y) < 0.1", {"x": 0.4, "y": 0.35}, {"x": 0.4, "y": 0.6}),
        ("sum([x, y, n]) <= 2", {"x": 0.4, "y": 0.35, "n": 1}, {"x": 0.4, "y": 0.7, "n": 1}),
        ("sum(x, y) <= 1", {"x": 0.4, "y": 0.35}, {"x": 0.4, "y": 0.7}),
        ("len(optimizer) == 3", {"optimizer": "sgd"}, {"optimizer": "adam"}),
        ("log(n) < 1 and exp(x) < 2 and sqrt(y) <= 0.5", {"n": 2, "x": 0.5, "y": 0.2}, {"n": 3, "x": 0.5, "y": 0.2}),
        ("n // 2 ** 2 == 1", {"n": 7}, {"n": 3}),
        ("odd is None or odd < 2", {"odd": None}, {"odd": 2}),
        ("1 / (n - 1) < 0.5", {"n": 4}, {"n": 1}),  # What has no value is violated.
    ],
)
def test_an_expression_means_what_it_means_in_python(text: str, fulfilled: Params, violated: Params) -> None:
    (constraint,) = read_constraints(text, LIMITS)
    assert constraint.violation(fulfilled) == 0
    assert constraint.violation(violated) > 0


def test_a_name_of_any_language_is_the_one_that_was_given() -> None:
    # Python reads these names in other letters.
    micro, ligature = "\N{MICRO SIGN}", "\N{LATIN SMALL LIGATURE FI}.größe"
    (constraint,) = read_constraints(f"{micro} < {ligature}", [micro, ligature])
    assert constraint.names == (micro, ligature)
    assert read_constraints(constraint.text, constraint.names)[0].text == constraint.text
    assert constraint.violation({micro: 1, ligature: 2}) == 0 < constraint.violation({micro: 3, ligature: 2})


@given(st.integers(-3, 3), st.integers(-3, 3), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_a_measure_is_zero_exactly_where_a_comparison_holds(one: int, other: int, sign: str) -> None:
    values = {"n": one, "lambda": other}
    for text in (f"n {sign} params['lambda']", f"not (n {sign} params['lambda'])"):
        (constraint,) = read_constraints(text, LIMITS)
        assert (constraint.violation(values) == 0) == constraint.value(values)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("x <", ["no expression"]),
        ("x = y", ["no expression", "column 3", "== compares"]),
        ("x := 3", ["no expression"]),
        ("min(x", ["no expression", "never closed", "in YAML quotes"]),
        ("", ["no expression"]),
        ("(" * 300 + "x" + ")" * 300, ["no expression"]),
        ("not " * 300 + "flag", ["more than 100 deep"]),
        ("x" + "+x" * 9000 + " < 1", ["characters", "at most"]),
        ("z < 1", ["no parameter 'z'", "x, y, n"]),
        ("optimizer == sgd", ["no parameter 'sgd'", "quotes"]),
        ("batch-size < 3", ["params['batch-size']"]),
        ("lambda < 3", ['params["odd-name"]']),
        ("params['nope'] < 1", ["no parameter 'nope'"]),
        ("x.real > 0", ["no parameter 'x.real'"]),
        ("1 < 2", ["names no parameter"]),
        ("__import__('os').system('true') == x", ["cannot be in it", "functions min"]),
        ("(lambda: x)()", ["cannot be in it"]),
        ("[i for i in x]", ["cannot be in it"]),
        ("f'{x}' == 'a'", ["cannot be in it"]),
        ("min(x, key=y) < 1", ["cannot be in it"]),
        ("x < y & y < 1", ["write and, or instead of &"]),
        ("x is y", ["== compares"]),
        ("optimizer < 3", ["'sgd'", "not supported"]),
        ("odd < 2", ["None", "not supported"]),
        ("'a' * 9 == optimizer", ["'a' is no number"]),
        ("x + y", ["neither true nor false"]),
        ("9 ** 9 ** 9 > x", ["too large", "9 ** 387420489"]),
        ("n ** 100000 > 2", ["too large"]),
        ("exp(1000 * n) > 2", ["too large"]),
        ("1 / (n - n) < 3", ["has no value"]),
        (3, ["neither text nor a function"]),
        ({"x": "y"}, ["neither text nor a function"]),
    ],
)
def test_what_is_no_constraint_is_told_with_the_place(wrong: Any, words: list[str]) -> None:
    with pytest.raises(ConstraintError) as raised:
        checked(LIMITS, [wrong])
    message = str(raised.value)
    assert all(word in message for word in ["constraint", *words]), message
    assert "\n" not in message
    assert len(message) < 1000


def returns_nothing(params: Params) -> None:
    return None


def forgets_the_condition(params: Any) -> bool:
    return bool(params["momentum"] < 0.5)


def divides_by_zero(params: Params) -> bool:
    return 1 / 0 > 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (returns_nothing, ["returns_nothing", "returned None", "True or False", __file__]),
        (forgets_the_condition, ["forgets_the_condition", "KeyError", "params.get('momentum')", __file__, "line"]),
        (divides_by_zero, ["divides_by_zero", "ZeroDivisionError", __file__, "line"]),
    ],
)
def test_a_function_that_fails_is_named_with_its_file_and_line(
    function: Callable[[Any], Any], words: list[str]
) -> None:
    with pytest.raises(ConstraintError) as raised:
        checked(LIMITS, function)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_a_function_may_answer_with_numpys_kind_of_bool() -> None:
    assert checked(LIMITS, lambda params: np.float64(params["x"]) < params["y"]).allows({"x": 0.1, "y": 0.2})


def test_a_constraint_of_a_parameter_that_does_not_exist_does_not_apply() -> None:
    space = checked(LIMITS, "momentum < x")
    assert space.allows({"x": 0.1, "optimizer": "adam"})
    assert not space.allows({"x": 0.1, "optimizer": "sgd", "momentum": 0.2})


def test_a_function_that_fails_in_the_midst_of_a_search_ends_it_with_its_place() -> None:
    seen: list[float] = []

    def fails_late(params: Any) -> bool:
        seen.append(params["x"])
        if len(seen) > 1500:
            raise RuntimeError("no licence")
        return params["x"] < 0.5 or params["x"] > 0.6

    with pytest.raises(MistakeFound, match=r"fails_late.*no licence.*line"):
        evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, constraints=fails_late, evaluations=5000)


# ---- Nothing to search


@pytest.mark.parametrize(
    ("limits", "constraints", "words"),
    [
        ({"x": (0.0, 1.0), "y": (0.0, 1.0)}, ["x + y > 0", "x > y + 1"], ["'x > y + 1'", "1000 of 1000"]),
        ({"x": (1, 5), "y": (1, 5)}, ["x < y", "y < x"], ["none of the 25 points"]),
        ({"x": (0.0, 1.0)}, [lambda params: False], ["function", "1000 of 1000"]),
    ],
)
def test_a_space_without_a_feasible_point_is_told_with_what_is_violated_most(
    limits: dict[str, Any], constraints: Any, words: list[str]
) -> None:
    with pytest.raises(ValueError, match="leave nothing to search") as raised:
        evo.minimize(lambda params: 0.0, limits, constraints=constraints, evaluations=10)
    assert all(word in str(raised.value) for word in words), str(raised.value)


# ---- Drawing


def drawn(space: Space, count: int) -> list[Params]:
    rng = np.random.default_rng(1)
    points = [space.values(space.sample(rng).tolist()) for _ in range(count)]
    assert all(map(space.allows, points))
    return points


def test_where_much_is_feasible_points_are_uniform_over_it() -> None:
    points = drawn(Space({"x": (-2.0, 2.0), "y": (-2.0, 2.0)}, "x < y"), 2000)
    assert np.mean([point["x"] for point in points]) == pytest.approx(-2 / 3, abs=0.09)  # Of a triangle.
    assert np.mean([point["y"] for point in points]) == pytest.approx(2 / 3, abs=0.09)


def test_ordered_thresholds_are_as_spread_as_sorted_random_numbers() -> None:
    points = drawn(Space(FIVE, " <= ".join(FIVE)), 500)
    means = np.mean([list(point.values()) for point in points], axis=0)
    assert means == pytest.approx(np.arange(1, 6) / 6, abs=0.04)


def test_even_one_in_millions_is_found_and_spread() -> None:
    ten = {f"t{i}": (0.0, 1.0) for i in range(10)}
    space = checked(ten, [f"t{i} < t{i + 1}" for i in range(9)])
    points = [list(point.values()) for point in drawn(space, 60)]
    assert np.mean(points, axis=0) == pytest.approx(np.arange(1, 11) / 11, abs=0.1)
    assert np.std(points, axis=0).min() > 0.05


def test_shares_that_sum_to_one_are_found_and_spread() -> None:
    weights = {f"w{i}": (0.0, 1.0) for i in range(4)}
    band = drawn(checked(weights, "abs(w0 + w1 + w2 + w3 - 1) <= 0.001"), 60)
    exact = drawn(checked(weights, "w0 + w1 + w2 + w3 == 1"), 60)
    for points in (band, exact):
        assert np.mean([list(point.values()) for point in points], axis=0) == pytest.approx([0.25] * 4, abs=0.1)
        assert min(len({point[name] for point in points}) for name in weights) > 40


@pytest.mark.parametrize("log", [False, True])
def test_the_pairs_with_a_given_product_are_all_found_equally_often(log: bool) -> None:
    space = checked({"batch": Int(1, 256, log=log), "accumulate": Int(1, 256, log=log)}, "batch * accumulate == 256")
    counts = Counter(point["batch"] for point in drawn(space, 900))
    assert set(counts) == {2**power for power in range(9)}
    assert min(counts.values()) > 60


def test_a_function_that_accepts_one_in_a_hundred_points_is_no_hurdle() -> None:
    space = checked({"x": (-1.0, 1.0), "y": (-1.0, 1.0)}, lambda p: p["x"] ** 2 + p["y"] ** 2 < 0.0127)
    points = drawn(space, 200)
    assert abs(np.mean([point["x"] for point in points])) < 0.02


def test_numbers_are_handed_out_anew_in_order() -> None:
    chain = [(f"t{i}", f"t{i + 1}") for i in range(4)]
    values = {"t0": 5, "t1": 3, "t2": 4, "t3": 1, "t4": 2, "other": 0}
    assert list(put_in_order(values, chain).values()) == [1, 2, 3, 4, 5]
    fork = put_in_order({"a": 3, "b": 2, "c": 1}, [("a", "b"), ("a", "c")])
    assert fork == {"a": 1, "b": 2, "c": 3} or fork == {"a": 1, "c": 2, "b": 3}
    assert put_in_order({"a": 1, "b": 2}, [("a", "b"), ("b", "a")]) == {}
    apart = put_in_order({"a": 4, "b": 3, "c": 2, "d": 1}, [("a", "b"), ("c", "d")])
    assert apart == {"a": 3, "b": 4, "c": 1, "d": 2}


@pytest.mark.parametrize(
    ("limits", "constraints"),
    [
        (
            {f"w{i}": (0.0, 1.0) for i in range(12)},
            "abs(sum([" + ", ".join(f"w{i}" for i in range(12)) + "]) - 1) < 1e-6",
        ),
        ({f"t{i}": (1, 512) for i in range(25)}, [f"t{i} > t{i + 1}" for i in range(24)]),
        ({f"t{i}": Int(8, 512, log=True) for i in range(5)}, [f"t{i} % t{i + 1} == 0" for i in range(4)]),
        ({f"c{i}": tuple("abcdef") for i in range(6)}, [f"c{i} != c{j}" for i in range(6) for j in range(i)]),
        ({"lr": Float(1e-3, 1.0, log=True), "batch": (8, 64)}, "lr == batch / 1000"),
        ({f"n{i}": (1, 10) for i in range(80)}, "sum([" + ", ".join(f"n{i}" for i in range(80)) + "]) >= 600"),
    ],
    ids=["a narrow band", "descending", "divisors", "all different", "a linear rule", "eighty"],
)
def test_other_tight_spaces_are_found(limits: dict[str, Any], constraints: Any) -> None:
    points = drawn(checked(limits, constraints), 8)
    assert len({tuple(point.values()) for point in points}) > 4


# ---- Breeding

SPACES = {
    "thresholds": checked(FIVE, IN_ORDER),
    "mixed": checked(
        {
            "batch": (8, 16, 32, 64),
            "accumulate": (1, 64),
            "optimizer": ("sgd", "adam", "lion"),
            "lr": Float(1e-5, 1e-1, log=True),
            "momentum": Float(0, 1, when={"optimizer": "sgd"}),
            "warmup": Float(1e-5, 1e-1, log=True, when={"optimizer": ["sgd", "adam"]}),
        },
        ["batch * accumulate == 512", "warmup < lr", "momentum < 0.9 or lr < 1e-3", "optimizer != 'lion' or lr < 1e-4"],
    ),
    "function": checked(
        {"x": (-1.0, 1.0), "y": (-1.0, 1.0), "n": (1, 9)}, [lambda p: p["x"] ** 2 + p["y"] ** 2 < 0.1 / p["n"]]
    ),
}
# All that there are, until there are parents a random one.
PARTS = [Conditional(4, part, InitUniform()) for part in PROPAGATORS.values()]
PARTS += [make_propagator(name, {"population": 8}) for name in READY]


@pytest.mark.parametrize("name", SPACES)
def test_whatever_breeds_no_point_violates_a_constraint(name: str) -> None:
    space = SPACES[name]
    rng = np.random.default_rng(2)
    count = math.ceil(3_000 / len(SPACES) / len(PARTS))
    for propagator in PARTS:
        first = [space.values(space.sample(rng).tolist()) for _ in range(12)]
        population = evaluated(space, [(params, float(place)) for place, params in enumerate(first)])
        breeder = make_breeder(propagator, population, WorkerSettings(worker=0, workers=1, seed=1, budget=Budget()))
        for generation in range(count):
            bred = breeder.breed(generation)
            assert bred is not None
            assert space.allows(bred.params), (propagator, bred.params)


def test_a_point_that_fulfils_all_is_left_as_it_is() -> None:
    space, rng = SPACES["thresholds"], np.random.default_rng(1)
    for _ in range(50):
        genome = space.sample(rng)
        assert space.repair(genome, [], rng) == space.values(genome.tolist())


def test_a_point_that_violates_a_little_is_moved_a_little() -> None:
    space, rng = SPACES["thresholds"], np.random.default_rng(1)
    wrong = np.array([0.1, 0.3, 0.29, 0.5, 0.9])
    for _ in range(50):
        repaired = space.repair(wrong, [], rng)
        assert repaired is not None
        assert np.abs(np.array(list(repaired.values())) - wrong).sum() < 0.6
        assert (repaired["t0"], repaired["t4"]) == (0.1, 0.9)


def test_where_only_a_parent_shows_the_way_a_point_is_moved_towards_it() -> None:
    space = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)}, lambda p: math.hypot(p["x"] - 0.3, p["y"] - 0.3) < 0.002)
    rng = np.random.default_rng(1)
    repaired = space.repair(np.array([0.9, 0.3]), [np.array([0.3, 0.3])], rng)
    assert repaired is not None
    assert repaired["x"] > 0.3015  # At the edge, not at the parent.
    assert space.repair(np.array([0.9, 0.9]), [], rng) is None


def test_whatever_a_propagator_returns_is_repaired_or_given_up() -> None:
    space = SPACES["mixed"]
    rng = np.random.default_rng(0)
    parents = [space.encode(space.values(space.sample(rng).tolist())) for _ in range(3)]
    for _ in range(100):
        wild = rng.choice([math.nan, math.inf, -math.inf, 3.0, -1e308, 0.3, 0.9], len(space))
        params = space.repair(wild, parents, rng)
        assert params is None or space.allows(params)


def tight(params: Any) -> float:
    values = [params[name] for name in FIVE]
    assert sorted(values) == values
    return sum((value - place / 4) ** 2 for place, value in enumerate(values))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_five_ordered_thresholds_are_searched_to_a_thousandth(seed: int) -> None:
    result = evo.minimize(tight, FIVE, constraints=IN_ORDER, evaluations=2000, target=1e-3, seed=seed)
    assert result.best is not None
    assert result.best.loss is not None
    assert result.best.loss < 1e-3
    assert {individual.status for individual in result.individuals} == {"completed"}


def test_one_rank_with_the_same_seed_repeats_itself() -> None:
    one, other = (
        evo.minimize(tight, FIVE, constraints=IN_ORDER, evaluations=100, seed=4, allow_duplicates=duplicates)
        for duplicates in (False, False)
    )
    assert [each.params for each in one.individuals] == [each.params for each in other.individuals]


# ---- The end of a space

EXHAUSTED = "all points of the space that fulfil the constraints have been tried"


@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize(
    ("limits", "constraint"),
    [
        ({"x": (1, 9), "y": (1, 9)}, "x < y"),
        ({"b": (1, 100), "a": (1, 100)}, "a * b == 96"),
        ({"o": (0, 1), "m": Int(0, 3, when={"o": 1}), "k": (1, 4)}, "m + k < 5"),
    ],
)
def test_a_finite_space_is_gone_through_without_what_violates(
    ranks: int, limits: dict[str, Any], constraint: str
) -> None:
    space = Space(limits, constraint)
    result = simulate(
        Session(
            seed=1,
            ranks=ranks,
            budget=Budget(evaluations=1000),
            propagator=default_propagator(4),
            space=space,
            polls=(1, 2),
            reports=0.0,
        )
    )
    points = [tuple(event.params.items()) for event in result.of(Started)]
    feasible = {tuple(params.items()) for params in space.points() if space.allows(params)}
    assert set(points) == feasible
    assert len(points) <= len(feasible) + ranks  # A message may take longer than an evaluation here.
    assert {done.reason for done in result.done} == {EXHAUSTED}


@pytest.mark.parametrize(
    ("limits", "constraint", "count"),
    [
        ({"x": (0.0, 5.0), "y": (1, 5)}, "x == y", 5),
        ({"x": (0.0, 1.0), "y": (0.0, 1.0)}, "x == 0.5 and y == 0.25", 1),
        ({"b": (1, 1000), "a": (1, 1000)}, "a * b == 7", 2),
    ],
)
def test_few_points_in_an_endless_space_are_found_and_then_it_ends(
    limits: dict[str, Any], constraint: str, count: int
) -> None:
    result = evo.minimize(lambda params: 0.0, limits, constraints=constraint, evaluations=100)
    assert result.stop_reason == "no further point that fulfils the constraints was found"
    assert len(result.individuals) == count


def test_points_may_be_tried_again_where_that_is_asked_for() -> None:
    result = evo.minimize(
        lambda params: 0.0, {"x": (1, 3), "y": (1, 3)}, constraints="x < y", evaluations=50, allow_duplicates=True
    )
    assert len(result.individuals) == 50
    assert all(individual.params["x"] < individual.params["y"] for individual in result.individuals)


# ---- Of a study


def in_order(params: Any) -> bool:
    return bool(params["x"] < params["y"])


def test_constraints_are_of_the_study_and_others_are_refused_with_the_difference(tmp_path: Path) -> None:
    def search(constraints: Any, evaluations: int = 5) -> Any:
        return evo.minimize(
            sphere,
            {"x": (-2.0, 2.0), "y": (-2.0, 2.0)},
            constraints=constraints,
            evaluations=evaluations,
            run_dir=str(tmp_path / "run"),
        )

    search(["x<y", "x + y <= 2", in_order])
    study = RunDirectory(tmp_path / "run").study()
    assert study is not None
    assert study.constraints == ["x < y", "x + y <= 2", f"function {__name__}:in_order"]
    again = search([in_order, "x  <  y", "x + y <= 2"], evaluations=10)  # In another order, and other spaces.
    assert len(again.individuals) == 10
    with pytest.raises(ValueError, match=r"its constraints differ: it has 'x \+ y <= 2', .* and lacks 'x > -1'"):
        search(["x < y", "x > -1"])
    with pytest.raises(ValueError, match="its constraints differ"):
        search(None)


@dataclass
class Within:
    """A constraint with a state, which changes with every point."""

    most: float
    func: Any = None
    asked: int = 0

    def __call__(self, params: Any) -> bool:
        self.asked += 1
        return bool(params["x"] + params["y"] <= self.most)

    def fits(self, params: Any) -> bool:
        return self(params)


def within(most: float, params: Any) -> bool:
    return bool(params["x"] + params["y"] <= most)


def closure(most: float) -> Any:
    def fits(params: Any) -> bool:
        return within(most, params)

    return fits


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Within, "Within"),
        (lambda most: Within(most).fits, "Within.fits"),
        (lambda most: functools.partial(within, most), "within"),
        (closure, "closure.<locals>.fits"),
        (lambda most: lambda params: within(most, params), "<lambda>.<locals>.<lambda> with the parameters params"),
        (lambda most: functools.partial(closure(most)), "closure.<locals>.fits"),
    ],
)
def test_a_function_as_a_constraint_is_known_by_what_it_carries(make: Any, name: str, tmp_path: Path) -> None:
    def search(most: float, evaluations: int) -> None:
        evo.minimize(
            sphere,
            {"x": (-2.0, 2.0), "y": (-2.0, 2.0)},
            constraints=[make(most), "x > -1"],
            evaluations=evaluations,
            run_dir=str(tmp_path),
        )

    search(1.5, 3)
    study = RunDirectory(tmp_path).study()
    assert study is not None
    assert study.constraints[0].startswith(f"function {__name__}:{name} which carries {{")
    search(1.5, 5)
    with pytest.raises(ValueError, match=r"its constraints differ: it has .*1\.5.* and lacks .*0\.5"):
        search(0.5, 7)


def test_a_study_of_yesterday_has_no_constraints(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"name": "old", "objective": "f", "limits": {}, "seed": 1}')
    study = RunDirectory(tmp_path).study()
    assert study is not None
    assert study.constraints == []
    assert find_study(RunDirectory(tmp_path), study, None) == study


def test_the_command_line_and_a_study_file_take_expressions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from evo.run import main

    monkeypatch.chdir(tmp_path)
    limits = "{x0: [-1.0, 1.0], x1: [-1.0, 1.0]}"
    (tmp_path / "study.yaml").write_text(
        f"objective: sphere\nlimits: {limits}\nconstraints:\n- x0 < x1\n- min(x0, x1) > -0.5\nevaluations: 5\n"
    )
    assert main(["study.yaml", "--run-dir", "file", "--quiet"], ends=False) == 0
    one = ["sphere", "--limits", limits, "--evaluations", "5", "--quiet", "--run-dir"]
    assert main([*one, "one", "--constraints", "x0 < x1"], ends=False) == 0
    assert main([*one, "list", "--constraints", '["x0 < x1", "min(x0, x1) > -0.5"]'], ends=False) == 0
    found = [RunDirectory(tmp_path / name).study() for name in ("file", "one", "list")]
    two = ["x0 < x1", "min(x0, x1) > -0.5"]
    assert [study and study.constraints for study in found] == [two, ["x0 < x1"], two]
    for wrong in ("x0 <", "[x0 < min(x1, 1)]", "x0 > 2", "z < x0"):
        capsys.readouterr()
        assert main([*one, "wrong", "--constraints", wrong], ends=False) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("evo: error: constraint")
        assert not (tmp_path / "wrong").exists()


def test_the_examples_in_the_texts_run() -> None:
    for module in (evo.space.constraints, evo.space.expressions, evo.space.ordering):
        assert doctest.testmod(module).failed == 0
