"""What fails in the user's own code, wherever evo calls it, is told with its place."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evo
from evo.algorithms.catalogue import make_propagator
from evo.errors import UserError
from evo.evaluation.execution import check_objective, run_test
from evo.population.individual import Active, Individual
from evo.propagators import Compose, InitUniform
from evo.space.space import Space
from evo.testing.trials import FakeTrial


def line_of(function: Any, below: int = 1) -> str:
    return f"{__file__}, line {function.__code__.co_firstlineno + below}"


def leaves(params: dict[str, Any]) -> bool:
    raise SystemExit(3)


def test_a_constraint_that_calls_exit_is_told_with_its_place() -> None:
    with pytest.raises(UserError, match=rf"leaves fails for .*: SystemExit: 3 \({line_of(leaves)}: raise SystemExit"):
        evo.minimize(lambda params: 0.0, {"x": (0.0, 1.0)}, constraints=leaves, evaluations=3)


class Checked:
    def __init__(self, check: Callable[[list[str]], Any]) -> None:
        self.check = check

    def __call__(self, params: dict[str, Any]) -> float:
        return 0.0


def test_a_check_that_fails_by_an_accidental_value_error_is_said_to_fail() -> None:
    def check(names: list[str]) -> None:
        int("3x")

    message = rf"the check of objective .*:Checked fails: invalid literal for int.* \({line_of(check)}: int\(.3x.\)\)"
    with pytest.raises(UserError, match=message):
        check_objective(Checked(check), ["x"], [])


def test_a_check_may_return_one_remark_as_a_text() -> None:
    assert check_objective(Checked(lambda names: "look out"), ["x"], []) == ["look out"]
    assert check_objective(Checked(lambda names: ("one", 2)), ["x"], []) == ["one", "2"]


class Computes:
    def __call__(self, params: dict[str, Any]) -> float:
        return 0.0

    @property
    def check(self) -> Callable[[list[str]], list[str]]:
        raise AttributeError("no such thing")


def test_a_check_that_is_a_property_which_fails_is_told_with_its_place() -> None:
    message = rf"the check of objective .*:Computes fails: AttributeError: no such thing \({__file__}, line \d+: raise"
    with pytest.raises(UserError, match=message):
        check_objective(Computes(), ["x"], [])


class WithTest(Computes):
    def __init__(self, found: Any) -> None:
        self.found = found

    def test(self, params: dict[str, Any], trial: Any) -> Any:
        return self.found() if callable(self.found) else self.found


def test_a_test_that_returns_no_mapping_is_told_with_its_place(tmp_path: Path) -> None:
    trial: Any = FakeTrial(tmp_path)
    message = rf"^the test of objective .*:WithTest \({line_of(WithTest.test, 0)}\) returned 5: it must return a map"
    with pytest.raises(RuntimeError, match=message):
        run_test(WithTest(5), {}, trial)
    with pytest.raises(RuntimeError, match=rf"^SystemExit: 4 \({__file__}, line \d+: return self.found"):
        run_test(WithTest(functools.partial(sys.exit, 4)), {}, trial)
    assert run_test(WithTest({"accuracy": np.float64(0.5)}), {}, trial) == {"accuracy": 0.5}


class Exits(evo.Propagator):
    def __init__(self, how: str = "exit") -> None:
        if how == "exit":
            raise SystemExit(5)

    def __repr__(self) -> str:
        raise KeyError("name")

    @property
    def offspring(self) -> int | None:
        raise KeyError("offspring")

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return InitUniform()(parents, space, rng)


def test_a_constructor_that_calls_exit_is_told_with_its_place() -> None:
    with pytest.raises(UserError, match=rf"Exits cannot be made of {{}}: SystemExit: 5 \({__file__}, line \d+: raise"):
        make_propagator({"class_path": f"{__name__}.Exits"}, {})


def test_properties_and_a_repr_of_a_propagator_that_fail_are_told_with_their_place() -> None:
    with pytest.raises(UserError, match=rf"Exits.offspring fails: KeyError: 'offspring' \({__file__}, line \d+: raise"):
        Compose([Exits("not"), InitUniform()])
    with pytest.raises(UserError, match=rf"^Exits.__repr__ fails: KeyError: 'name' \({__file__}, line \d+: raise"):
        evo.minimize(lambda params: 0.0, {"x": (0.0, 1.0)}, propagator=Exits("not"), evaluations=3)
