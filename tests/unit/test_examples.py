"""Example points, which show every choice before a search begins."""

from __future__ import annotations

import doctest
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

import evo
import evo.space.examples
from evo.evaluation import InlineEvaluator, ProcessEvaluator
from evo.evaluation.execution import check_objective
from evo.space.examples import example_points
from evo.space.space import Space

OPTIMIZERS = {
    "optimizer": ("sgd", "adam", "lbfgs"),
    "momentum": evo.Float(0.0, 0.9, when={"optimizer": "sgd"}),
    "line": evo.Choice("none", "wolfe", when={"optimizer": "lbfgs"}),
    "steps": evo.Int(1, 9, when={"line": "wolfe"}),
    "batch": (8, 16, 64),
    "lr": (1e-4, 1e-1),
}


def shown(points: list[dict[str, Any]], name: str) -> set[Any]:
    return {point[name] for point in points if name in point}


def test_the_points_show_every_choice_and_both_ends_of_every_number() -> None:
    points = example_points(Space(OPTIMIZERS))
    assert shown(points, "optimizer") == {"sgd", "adam", "lbfgs"}
    assert shown(points, "line") == {"none", "wolfe"}
    assert shown(points, "batch") == {8, 16, 64}
    assert shown(points, "momentum") == {0.0, 0.9}
    assert shown(points, "steps") == {1, 9}
    assert shown(points, "lr") == {1e-4, 1e-1}
    assert len(points) < 12


def test_every_point_is_one_of_the_space_and_they_are_always_the_same() -> None:
    space = Space(OPTIMIZERS)
    points = example_points(space)
    for point in points:
        assert space.decode(space.encode(point)) == point
    assert points == example_points(Space(OPTIMIZERS))


def test_a_deep_branch_is_found() -> None:
    names = [f"p{depth}" for depth in range(6)]
    limits: dict[str, Any] = {names[0]: ("a", "b", "c")}
    for above, name in itertools.pairwise(names):
        limits[name] = evo.Choice("a", "b", "c", when={above: "c"})
    assert shown(example_points(Space(limits)), names[-1]) == {"a", "b", "c"}


@pytest.mark.parametrize("limits", [{"x": (0.0, 1.0)}, {"x": evo.Choice(list(range(1000)))}])
def test_there_are_at_least_one_and_at_most_200(limits: dict[str, Any]) -> None:
    assert 1 <= len(example_points(Space(limits))) <= 200


@pytest.mark.parametrize(
    ("limits", "constraints"),
    [
        (OPTIMIZERS, ["optimizer != 'lbfgs' or batch == 64", "lr * batch <= 1"]),
        ({f"x{place}": (0.0, 1.0) for place in range(5)}, [f"x{place} < x{place + 1}" for place in range(4)]),
        ({"layers": (1, 9), "skip": evo.Int(1, "layers"), "kind": ("a", "b")}, ["kind == 'a' or skip < layers"]),
        ({"x": (1, 100), "y": (1, 100), "kind": ("a", "b", "c")}, ["x * y == 91"]),
    ],
)
def test_every_point_fulfils_the_constraints_and_all_choices_that_can_be_are_shown(
    limits: dict[str, Any], constraints: list[str]
) -> None:
    space = Space(limits, constraints)
    points = example_points(space)
    assert all(map(space.allows, points))
    assert len(points) < 12
    for name, parameter in space.parameters.items():
        assert len(shown(points, name)) >= (len(parameter.values) if isinstance(parameter, evo.Choice) else 1)


def test_a_choice_that_the_constraints_rule_out_is_left_out() -> None:
    points = example_points(Space({"x": (0, 9), "kind": ("a", "b")}, ["kind == 'a'"]))
    assert points == [{"x": 0, "kind": "a"}, {"x": 9, "kind": "a"}]


class Checked:
    """An objective that says what it was checked with."""

    def __call__(self, params: dict[str, Any]) -> float:
        return 0.0

    def check(self, names: list[str], examples: list[dict[str, Any]]) -> list[str]:
        return [f"{names} {len(examples)}"]


class CheckedByName(Checked):
    def check(self, names: list[str]) -> None:  # type: ignore[override]
        self.seen = names


def test_the_check_of_an_objective_gets_the_points_if_it_asks_for_them() -> None:
    assert check_objective(Checked(), ["x"], [{"x": 1}, {"x": 2}]) == ["['x'] 2"]
    by_name = CheckedByName()
    assert check_objective(by_name, ["x"], [{"x": 1}]) == []
    assert by_name.seen == ["x"]
    assert check_objective(abs, ["x"], []) == []
    inline = InlineEvaluator(Checked(), lambda identity: Path(), {})
    assert inline.open(["x"], [{"x": 1}]).notes == ["['x'] 1"]
    inline.close()


def test_what_the_check_in_a_child_remarks_reaches_the_rank(tmp_path: Path) -> None:
    child = ProcessEvaluator(Checked(), lambda identity: tmp_path, dict(os.environ))
    try:
        assert child.open(["x"], [{"x": 1}, {"x": 2}, {"x": 3}]).notes == ["['x'] 3"]
    finally:
        child.close()


def test_the_example_in_the_documentation_runs() -> None:
    assert doctest.testmod(evo.space.examples).failed == 0
