"""What each parameter is, in words: short, whatever there is to say, and telling a range from choices."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import strategies
from hypothesis import given

import evo.space.description
from evo.space.description import limits_lines
from evo.space.limits import Choice, Float, Int, parse_limits


def lines(limits: dict[str, Any]) -> list[str]:
    return limits_lines(parse_limits(limits))


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ([32, 64], "integers 32 to 64"),
        (Choice(32, 64), "one of 32, 64, in this order"),
        ([8, 16, 64], "one of 8, 16, 64, in this order"),
        (["relu", "tanh"], "one of relu, tanh"),
        ([True, False], "one of true, false"),
        ([[64], [64, 32]], "one of [64], [64, 32]"),
        (Choice("none", None, 0.5, "1", "", "true"), 'one of none, null, 0.5, "1", "", "true"'),
        ([0.1, 0.0001], "floats 0.0001 to 0.1"),
        (Float(1e-4, 0.1, log=True), "floats 0.0001 to 0.1, log scale"),
        (Float(0.0, 1.0, step=0.1, default=0.5), "floats 0.0 to 1.0 in steps of 0.1, default 0.5"),
        (Int(0, 100, step=5), "integers 0 to 100 in steps of 5"),
        (Int(4, 256, log=True, default=8), "integers 4 to 256, log scale, default 8"),
        (Int(1, "layers - 1"), "integers 1 to layers - 1"),
        (Float("rate", 1.0), "floats rate to 1.0"),
        (Choice("a", "b", default="b", when={"act": "relu"}), "one of a, b, default b, where act is relu"),
        (
            Float(0.0, 0.9, when={"act": ["relu", "elu"], "layers": 3}),
            "floats 0.0 to 0.9, where act is relu or elu and layers is 3",
        ),
        (list(range(3, 30)), "one of 3, 4, 5, 6, 7, 8, 9, …, 29, in this order"),
        (["a" * 99, "b"], f"one of {'a' * 39}…, b"),
    ],
)
def test_a_parameter_is_described_in_a_few_words(limit: Any, text: str) -> None:
    others = {"act": ["relu", "elu", "tanh"], "layers": [2, 8], "rate": [0.0, 0.5]}
    assert lines({"x": limit, **others})[0] == f"x: {text}"


def test_what_may_change_by_default_is_said_where_trainings_go_on() -> None:
    limits = parse_limits({"optimizer.lr": (0.0, 1.0), "model.width": (8, 64), "data.seed": Choice(1)})
    text = "optimizer.lr: floats 0.0 to 1.0"
    assert limits_lines(limits)[0] == text
    assert limits_lines(limits, goes_on=True) == [
        f"{text}, may change in training",
        "model.width: integers 8 to 64",
        "constant: data.seed 1",
    ]


def test_parameters_of_which_the_same_is_said_share_a_line() -> None:
    limits = {f"x{index}": (-5.12, 5.12) for index in range(20)} | {"a": (0, 1), "b": (0, 1), "odd name": (0, 2)}
    assert lines(limits) == [
        "x0, x1, x2, x3, x4, …, x19: floats -5.12 to 5.12",
        "a, b: integers 0 to 1",
        '"odd name": integers 0 to 2',
    ]


def test_constants_are_named_after_what_is_searched() -> None:
    limits = {"epochs": 10, "act": ["relu", "tanh"], "name": "a b", "slope": Choice([0.1], when={"act": "relu"})}
    assert lines(limits) == ["act: one of relu, tanh", 'constant: epochs 10, name "a b", slope 0.1, where act is relu']


def test_of_many_parameters_the_first_are_shown_and_the_others_counted() -> None:
    shown = lines({f"x{index}": (0, index + 1) for index in range(25)})
    assert len(shown) == 20
    assert shown[18:] == ["x18: integers 0 to 19", "and 6 more parameters"]
    assert len(lines({f"x{index}": (0, index + 1) for index in range(20)})) == 20


@given(strategies.limits())
def test_whatever_is_searched_is_described_in_short_lines(limits: dict[str, Any]) -> None:
    for line in lines(limits):
        assert "\n" not in line
        assert len(line) < 800
        assert ": " in line


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.space.description).failed == 0
