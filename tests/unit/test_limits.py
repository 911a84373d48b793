"""Every way to write limits, and every way to get them wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import evo
from evo.space.limits import Choice, Float, Int, describe_limits, parse_limits
from evo.space.space import Space

OPTIMIZER = ("sgd", "adam")


@pytest.mark.parametrize(
    ("limit", "meaning"),
    [
        ((3, 3), Choice(3)),
        ((0.5, 0.5), Choice(0.5)),
        ((0.0, -0.0), Choice(0.0)),
        ((1,), Choice(1)),
        (Choice("a"), Choice("a")),
        (5, Choice(5)),
        ("relu", Choice("relu")),
        (None, Choice(None)),
        ((np.int64(1), np.int64(2)), Int(1, 2)),
        (Choice("a", ["b"]), Choice("a", ["b"])),
        (Choice(np.float64(0.5), 1.5), Choice(0.5, 1.5)),
        (Float(1, 2, step=1), Float(1.0, 2.0, step=1.0)),
        ((2, 10), Int(2, 10)),
        ((10, 2), Int(2, 10)),
        ([2, 10], Int(2, 10)),
        ((-3, 3), Int(-3, 3)),
        ((2.0, 10.0), Float(2.0, 10.0)),
        ((0.01, 0.0001), Float(0.0001, 0.01)),
        ([0.0001, 0.1], Float(0.0001, 0.1)),
        ((0, 0.5), Float(0.0, 0.5)),
        ((1, 2.5), Float(1.0, 2.5)),
        (("relu", "tanh"), Choice("relu", "tanh")),
        (["relu", "sigmoid", "tanh"], Choice("relu", "sigmoid", "tanh")),
        ((False, True), Choice(False, True)),
        ((8, 16, 64), Choice(8, 16, 64)),
        ((64, 8, 16), Choice(8, 16, 64)),
        ((0.1, 0.2, 0.5), Choice(0.1, 0.2, 0.5)),
        ((1, 2.5, 4), Choice(1, 2.5, 4)),
        (Float(1, 0), Float(0.0, 1.0)),
        (Float(1e-4, 1e-1, log=True), Float(1e-4, 1e-1, log=True)),
        (Int(256, 4, log=True), Int(4, 256, log=True)),
        (Int(8, 64, step=8), Int(8, 64, step=8)),
        (Choice("a", 1, 1.0, True, None), Choice("a", 1, 1.0, True, None)),
        (Choice([64, 8]), Choice(8, 64)),
        ({"type": "float", "low": 0.1, "high": 0.001, "log": True}, Float(0.001, 0.1, log=True)),
        ({"type": "int", "low": 1, "high": 9, "step": 2}, Int(1, 9, step=2)),
        ({"type": "choice", "values": [1, 2]}, Choice(1, 2)),
        ({"type": "choice", "values": ["a", None]}, Choice("a", None)),
    ],
)
def test_a_limit_may_be_written_as(limit: Any, meaning: Float | Int | Choice) -> None:
    parsed = parse_limits({"x": limit})["x"]
    assert repr(parsed) == repr(meaning)  # Unlike ==, it tells 1 from 1.0.


def test_the_classes_of_limits_are_those_of_the_package() -> None:
    assert (evo.Float, evo.Int, evo.Choice) == (Float, Int, Choice)


def test_numbers_are_ordered_choices_and_other_values_are_not() -> None:
    assert Choice(8, 16.5).ordered
    assert not Choice(False, True).ordered
    assert not Choice("1", "2").ordered
    assert not Choice(1, "2").ordered
    assert Choice("b", "a").values == ("b", "a")


@pytest.mark.parametrize("when", [{"optimizer": "sgd"}, {"optimizer": ["sgd", "adam"]}, {"optimizer": ("sgd",)}])
def test_a_parameter_may_depend_on_the_value_of_another(when: dict[str, Any]) -> None:
    for limit in (Float(0.5, 0.9, when=when), {"type": "float", "low": 0.5, "high": 0.9, "when": when}):
        parsed = parse_limits({"momentum": limit, "optimizer": OPTIMIZER})
        assert parsed["momentum"].when == {
            name: list(value) if isinstance(value, tuple) else value for name, value in when.items()
        }


def test_a_parameter_may_depend_on_one_that_depends_on_another() -> None:
    parsed = parse_limits(
        {
            "nesterov": Choice(False, True, when={"momentum": [0.8, 0.9]}),
            "momentum": Choice(0.0, 0.8, 0.9, when={"optimizer": "sgd"}),
            "optimizer": OPTIMIZER,
            "width": Int(1, 9, step=4, when={"optimizer": "adam"}),
            "depth": Int(1, 2, when={"width": [1, 5], "optimizer": "adam"}),
        }
    )
    assert list(parsed) == ["nesterov", "momentum", "optimizer", "width", "depth"]


def test_described_limits_are_json_and_leave_out_what_is_usual() -> None:
    parsed = parse_limits(
        {"lr": Float(0.1, 1, log=True), "optimizer": OPTIMIZER, "width": Int(1, 9, step=4, when={"optimizer": "adam"})}
    )
    assert describe_limits(parsed) == {
        "lr": {"type": "float", "low": 0.1, "high": 1.0, "log": True},
        "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
        "width": {"type": "int", "low": 1, "high": 9, "step": 4, "when": {"optimizer": ["adam"]}},
    }


def circle(**when: dict[str, Any]) -> dict[str, Any]:
    return {name: Choice("on", "off", when=condition) for name, condition in when.items()}


@pytest.mark.parametrize(
    ("limit", "value", "rule"),
    [
        pytest.param((), "()", "at least one value", id="no value"),
        pytest.param({"type": "choice", "values": []}, "no choices", "at least one value", id="no choice"),
        pytest.param({"type": "choice", "values": "abc"}, "'abc'", "give a list", id="a word for choices"),
        pytest.param(("a", 1), "('a', 1)", "all numbers, all strings, all booleans", id="strings and numbers"),
        pytest.param((0, "1e-4"), "(0, '1e-4')", "write numbers without quotes", id="a number in quotes"),
        pytest.param((True, 2), "(True, 2)", "all numbers, all strings, all booleans", id="booleans and numbers"),
        pytest.param((None, None), "(None, None)", "use evo.Choice", id="nulls"),
        pytest.param({1, 2}, "{1, 2}", "(low, high), a tuple of choices", id="a set"),
        pytest.param((math.nan, 1.0), "nan", "a bound is a finite number", id="NaN"),
        pytest.param((0.0, math.inf), "inf", "a bound is a finite number", id="infinity"),
        pytest.param((0, -math.inf), "-inf", "a bound is a finite number", id="minus infinity"),
        pytest.param(Float("1e-4", 1), "'1e-4'", "a bound is a finite number", id="text for a bound"),
        pytest.param(Float(False, 1), "False", "a bound is a finite number", id="boolean for a bound"),
        pytest.param((0, 10**400), f"{10**400}", "at most 1.8e308", id="an integer beyond floats"),
        pytest.param((0.5, 10**400), f"{10**400}", "at most 1.8e308", id="a float and an integer beyond floats"),
        pytest.param((-1e308, 1e308), "-1e+308 to 1e+308", "too wide for a float", id="too wide"),
        pytest.param((0.0, 1e-310), "0.0 to 1e-310", "too narrow for a float", id="next to nothing"),
        pytest.param((1.0, 1.0 + 1e-15), "1.0 to 1.000000000000001", "too narrow for a float", id="too narrow"),
        pytest.param(Float(0.0, 1.0, log=True), "0.0", "on a log scale both must be above 0", id="log of zero"),
        pytest.param(Float(1.0, -1.0, log=True), "-1.0", "on a log scale both must be above 0", id="log of a negative"),
        pytest.param(Int(0, 8, log=True), "0", "on a log scale both must be above 0", id="log of integer zero"),
        pytest.param({"type": "float", "low": 1, "high": 2, "log": "no"}, "'no'", "true or false", id="log is a word"),
        pytest.param(Int(1, 9, step=0), "step = 0", "between 1 and high - low = 8", id="step of zero"),
        pytest.param(Int(1, 9, step=-2), "step = -2", "between 1 and high - low = 8", id="negative step"),
        pytest.param(Int(1, 9, step=9), "step = 9", "between 1 and high - low = 8", id="step beyond the range"),
        pytest.param(Int(1, 9, step=True), "step = True", "whole numbers", id="boolean step"),
        pytest.param(Int(1, 9, step=0.5), "step = 0.5", "whole numbers", id="fractional step"),
        pytest.param(Int(1.0, 9), "low = 1.0", "whole numbers; for others use Float", id="float for an Int"),
        pytest.param((0, 2**63), f"high = {2**63}", "up to 2**63", id="an integer beyond JSON"),
        pytest.param((-(2**63), 0), f"low = {-(2**63)}", "up to 2**63", id="a negative integer beyond JSON"),
        pytest.param((0, 2**40), f"to {2**40} in steps of 1", "2**40 steps", id="too many integers"),
        pytest.param(Int(10**17, 10**17 + 9, log=True), "in steps of 1", "2**40 steps", id="too fine for a log scale"),
        pytest.param({"type": "real", "low": 0, "high": 1}, "'type': 'real'", "float, int, choice", id="unknown type"),
        pytest.param({"low": 0, "high": 1}, "{'low': 0, 'high': 1}", "float, int, choice", id="no type"),
        pytest.param({"type": ["int"]}, "{'type': ['int']}", "float, int, choice", id="a list for a type"),
        pytest.param({"type": "int", "low": 1}, "{'type': 'int', 'low': 1}", "its type are low, high", id="no high"),
        pytest.param(
            {"type": "float", "low": 1, "high": 2, "steps": 1},
            "'steps': 1",
            "its type are low, high",
            id="odd field",
        ),
        pytest.param({"type": "choice"}, "{'type': 'choice'}", "its type are values, when", id="choice of nothing"),
        pytest.param({"type": "choice", "values": 5}, "values = 5", "give a list", id="a number for choices"),
        pytest.param(Choice("a", "b", "a"), "'a' twice", "each value once", id="a choice twice"),
        pytest.param((8, 16, 8), "8 twice", "each value once", id="a number twice"),
        pytest.param((True, True), "True twice", "each value once", id="a boolean twice"),
        pytest.param((0.0, 1.0, math.nan), "nan", "must be finite", id="NaN among choices"),
        pytest.param(Choice("a", math.inf), "inf", "must be finite", id="infinity among choices"),
        pytest.param((1, 2, 2**63), f"{2**63}", "up to 2**63", id="choice beyond JSON"),
        pytest.param(Float(0, 1, when={}), "when = {}", "a dictionary such as", id="empty condition"),
        pytest.param(Float(0, 1, when="on"), "when = 'on'", "a dictionary such as", id="a word for a condition"),
        pytest.param(Float(0, 1, when={"switch": []}), "switch = []", "at least one value", id="no value to be"),
        pytest.param(Float(0, 1, when={"swich": "on"}), "'swich'", "not among the limits", id="unknown parent"),
        pytest.param(Float(0, 1, when={"switch": "up"}), "switch = 'up'", "can never be", id="impossible choice"),
        pytest.param(Float(0, 1, when={"switch": ["on", 1]}), "switch = 1", "can never be", id="one is impossible"),
        pytest.param(Float(0, 1, when={"count": 2}), "count = 2", "can never be", id="off the grid"),
        pytest.param(Float(0, 1, when={"count": 10}), "count = 10", "can never be", id="beyond the grid"),
        pytest.param(Float(0, 1, when={"count": 1.0}), "count = 1.0", "can never be", id="float for an integer"),
        pytest.param(Float(0, 1, when={"rate": 0.5}), "rate = 0.5", "can never be", id="depends on a float"),
    ],
)
def test_a_malformed_limit_is_named_with_its_value_and_the_rule(limit: Any, value: str, rule: str) -> None:
    with pytest.raises(ValueError, match="'width'") as raised:
        parse_limits({"switch": ("on", "off"), "count": Int(1, 10, step=4), "rate": (0.0, 1.0), "width": limit})
    assert value in str(raised.value)
    assert rule in str(raised.value)


@pytest.mark.parametrize("limits", [{}, [], None, "lr", [("lr", (0.0, 1.0))]])
def test_limits_that_are_no_dictionary_of_parameters_are_refused(limits: Any) -> None:
    with pytest.raises(ValueError, match=r"limits are .*: name at least one parameter, for example"):
        parse_limits(limits)


@pytest.mark.parametrize("name", ["", 3, None])
def test_the_name_of_a_parameter_is_a_non_empty_string(name: Any) -> None:
    with pytest.raises(ValueError, match=f"parameter {name!r}: a name is a non-empty string"):
        parse_limits({name: (0, 1)})


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        (circle(a={"a": "on"}), "a -> a"),
        (circle(a={"b": "on"}, b={"a": "on"}), "a -> b -> a"),
        (circle(a={"b": "on"}, b={"c": "on"}, c={"b": "off"}), "a -> b -> c -> b"),
    ],
)
def test_limits_that_depend_on_each_other_in_a_circle_are_refused(limits: dict[str, Any], path: str) -> None:
    with pytest.raises(ValueError, match=f"in a circle: {path}"):
        Space(limits)
