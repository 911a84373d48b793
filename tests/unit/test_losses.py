"""What an objective returns where several values count, and what is wrong with it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

import evo
from evo.objective.losses import read_losses
from evo.population.objectives import Objectives, make_objectives
from evo.report.results import SearchFailed

TWO = make_objectives({"acc": "max", "size": "min"})
BOUNDED = make_objectives({"acc": "max", "size": "min"}, {"memory": "<= 2", "acc": ">= 0.5"})
ONE = make_objectives("acc")


class Scores(NamedTuple):
    """Values in another order than that of the objectives."""

    size: float
    acc: float


@pytest.mark.parametrize(
    ("returned", "recorded"),
    [
        ({"acc": 0.75, "size": 3}, {}),
        ({"acc": np.float32(0.75), "size": np.array([3]), "more": "text"}, {}),
        ((0.75, 3), {}),
        ([np.array(0.75), 3.0], {}),
        (np.array([0.75, 3.0]), {}),
        (Scores(size=3, acc=0.75), {}),
        (0.75, {"size": 3}),
        (3, {"acc": 0.75}),
        (None, {"acc": 0.75, "size": 3}),
        ({"size": 3}, {"acc": 0.75, "size": 99}),
    ],
)
def test_values_are_returned_by_name_or_in_order_or_recorded_beside(returned: Any, recorded: dict[str, Any]) -> None:
    found = read_losses(returned, TWO, recorded)
    assert (found.loss, found.losses, found.violation) == (-0.75, (-0.75, 3.0), 0.0)


def test_tensors_are_values() -> None:
    torch = pytest.importorskip("torch")
    for returned in (torch.tensor([0.75, 3.0], requires_grad=True), {"acc": torch.tensor(0.75), "size": 3}):
        assert read_losses(returned, TWO, {}).losses == (-0.75, 3.0)


def test_violations_are_shares_of_the_bounds_and_add_up() -> None:
    assert read_losses({"acc": 0.25, "size": 3}, BOUNDED, {"memory": 3}).violation == 0.5 + 0.5
    only_bounds = make_objectives(None, {"memory": "<= 2"})
    assert vars(read_losses(7, only_bounds, {"memory": 1}))["violation"] == 0.0
    assert read_losses({"acc": 5}, ONE, {}).losses == ()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ((0.75,), r"1 values are returned, \(0.75,\), but objectives has 2: return one for each of acc, size"),
        ([1, 2, 3], r"3 values are returned"),
        ([], r"0 values are returned"),
        ({"acc": 1, "sise": 2}, r"objective 'size' has no value: return it by name.*there are acc, sise"),
        ({}, r"objective 'acc' has no value"),
        (None, r"objective 'acc' has no value"),
        (0.75, r"objective 'size' has no value"),
        ((1, math.nan), r"size is nan: it must be finite"),
        ((math.inf, 1), r"acc is inf: it must be finite"),
        ((1, "2"), r"size: its value is '2' \(str\): it must be a number"),
        ((1, None), r"size: its value is None"),
        ((1, True), r"size: its value is True"),
        ((1, [2]), r"size: its value is \[2\]"),
        ({"acc": 1, "size": {"mean": 2}}, r"size: its value is {'mean': 2}"),
        ({"acc": 1, "size": np.zeros(3)}, r"size: its value is a ndarray of shape \(3,\): it must be one number"),
        (np.zeros((2, 2)), r"acc: its value is a ndarray of shape \(2, 2\)"),
        ("good", r"acc: its value is 'good' \(str\)"),
        (object(), r"acc: its value is <object object"),
    ],
)
def test_what_is_no_value_of_an_objective_is_named(returned: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        read_losses(returned, TWO, {})


def test_a_metric_with_a_bound_needs_a_value() -> None:
    with pytest.raises(ValueError, match="constraint metric 'memory' has no value: return it by name, or put it into"):
        read_losses((1, 2), BOUNDED, {})


def test_an_evaluation_that_is_cut_short_needs_the_first_value_only() -> None:
    found = read_losses({"acc": 0.75}, BOUNDED, {}, is_cut_short=True)
    assert (found.loss, found.losses, found.violation) == (-0.75, (), 0.0)
    with pytest.raises(ValueError, match="objective 'acc' has no value"):
        read_losses({"size": 1}, TWO, {}, is_cut_short=True)


@pytest.mark.parametrize("returned", [{"loss": 1, "acc": 2}, {"acc": 2}, (1, 2)])
def test_several_values_without_objectives_are_refused_with_the_name_of_the_setting(returned: Any) -> None:
    with pytest.raises(TypeError, match=r"put .* into trial.metrics, or name .* in the setting objectives"):
        read_losses(returned, Objectives(), {})


def test_when_all_fail_for_such_a_reason_the_end_says_so() -> None:
    with pytest.raises(SearchFailed, match="3 values are returned"):
        evo.minimize(
            lambda params: [params["x"]] * 3, {"x": (0.0, 1.0)}, evaluations=2, objectives={"a": "min", "b": "max"}
        )
