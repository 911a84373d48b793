"""Objectives: how they are named and loaded, in which form they come, and what counts as their loss."""

from __future__ import annotations

import doctest
import math
import re
import sys
import types
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import assigned

import evo.objective.objective
import evo.testing.trials
from evo.errors import UserError
from evo.evaluation.settings import EvaluationSettings
from evo.evaluation.trial import RunningTrial
from evo.objective.losses import check_loss
from evo.objective.objective import describe, optional_method, prepare
from evo.objective.references import Reference, parse_reference
from evo.testing.trials import FakeTrial


class Reports(list[tuple[int, float]]):
    """Intermediate losses; asks to stop once there are so many."""

    def __init__(self, stop_after: float = math.inf) -> None:
        super().__init__()
        self.stop_after = stop_after

    def __call__(self, step: int, loss: float, further: object = None) -> bool:
        self.append((step, loss))
        return len(self) >= self.stop_after


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def trial(tmp_path: Path, reports: Reports) -> RunningTrial:
    assignment = assigned((1, 2), seed=3, folder=str(tmp_path / "folder"))
    return RunningTrial(assignment, EvaluationSettings(threads=4), reports)


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A working directory for modules, which are forgotten again."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("value", "loss"),
    [
        (2, 2.0),
        (-0.5, -0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.5), 0.5),
        (np.array([[0.5]]), 0.5),
        (Fraction(1, 4), 0.25),
        (Decimal("0.25"), 0.25),
        (5e-324, 5e-324),
    ],
)
def test_every_kind_of_number_is_a_loss(value: Any, loss: float) -> None:
    assert check_loss(value) == loss
    assert type(check_loss(value)) is float


def test_a_tensor_of_one_number_is_a_loss_and_any_other_is_not() -> None:
    torch = pytest.importorskip("torch")
    assert check_loss(torch.tensor(0.5)) == 0.5
    assert check_loss(torch.tensor([[0.5]], requires_grad=True)) == 0.5
    assert check_loss(torch.tensor(2)) == 2.0
    with pytest.raises(TypeError, match=r"the loss is a Tensor of shape \(2,\): it must be one number"):
        check_loss(torch.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"the loss is True \(bool\)"):
        check_loss(torch.tensor(True))
    with pytest.raises(ValueError, match="the loss is nan: it must be finite"):
        check_loss(torch.tensor(math.nan))


def test_a_loss_with_one_parameter_gets_the_parameters(trial: RunningTrial) -> None:
    assert prepare(lambda params: params["x"])({"x": 2}, trial) == 2
    assert prepare(lambda params, scale=3: params["x"] * scale)({"x": 2}, trial) == 6


def test_a_loss_with_two_parameters_gets_the_trial_as_well(trial: RunningTrial) -> None:
    assert prepare(lambda params, trial: trial.seed)({}, trial) == 3
    assert prepare(lambda params, context: context.threads)({}, trial) == 4
    assert prepare(lambda params, trial=None: trial.individual)({}, trial) == (1, 2)


class Callable_:
    def __call__(self, params: dict[str, Any], trial: Any) -> int:
        return int(trial.seed) + int(params["x"])

    def method(self, params: dict[str, Any]) -> int:
        return int(params["x"])


def test_instances_methods_and_builtins_are_objectives(trial: RunningTrial) -> None:
    assert prepare(Callable_())({"x": 2}, trial) == 5
    assert prepare(Callable_().method)({"x": 2}, trial) == 2
    assert prepare(len)({"x": 2}, trial) == 1
    assert prepare(dict)({"x": 2}, trial) == {"x": 2}
    assert prepare(lambda *everything: len(everything))({"x": 2}, trial) == 1


@pytest.mark.parametrize("wrong", [lambda: 0.0, lambda params, trial, more: 0.0, lambda *, params: 0.0])
def test_a_loss_with_another_signature_is_refused_at_once(wrong: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match=r"has the signature \(.*\): an objective takes \(params\) or \(params, trial"):
        prepare(wrong)


def test_the_last_loss_of_a_generator_is_its_loss_and_each_is_reported(trial: RunningTrial, reports: Reports) -> None:
    def loss(params: dict[str, Any]) -> Iterator[float]:
        yield from (3.0, 1.0, 2.0)

    assert prepare(loss)({}, trial) == 2.0
    assert reports == [(0, 3.0), (1, 1.0), (2, 2.0)]


def test_what_a_generator_returns_is_its_loss(trial: RunningTrial, reports: Reports) -> None:
    def loss(params: dict[str, Any], trial: Any) -> Any:
        yield np.float32(3.0)
        yield math.nan
        return 0.0

    assert prepare(loss)({}, trial) == 0.0
    assert reports == [(0, 3.0)]


def test_a_generator_that_is_to_stop_is_closed_with_the_loss_so_far(tmp_path: Path) -> None:
    closed = []
    kept = []  # Or it would be closed anyway, since nobody needs it any more.

    def losses() -> Iterator[float]:
        try:
            yield from (3.0, 1.0, 2.0)
        finally:
            closed.append(True)

    def loss(params: dict[str, Any]) -> Iterator[float]:
        kept.append(losses())
        return kept[0]

    trial = RunningTrial(assigned(folder=str(tmp_path)), EvaluationSettings(), Reports(stop_after=2))
    assert prepare(loss)({}, trial) == 1.0
    assert closed == [True]


def test_a_trial_makes_its_folder_when_it_is_asked_for_it(trial: RunningTrial, tmp_path: Path) -> None:
    assert not (tmp_path / "folder").exists()
    assert trial.folder.is_dir()


def test_a_loss_that_is_told_to_stop_is_told_so_for_good(tmp_path: Path) -> None:
    answers = iter([False, True, False])
    trial = RunningTrial(assigned(folder=str(tmp_path)), EvaluationSettings(), lambda *report: next(answers))
    seen = [trial.should_stop]
    for step in range(3):
        trial.report(1.0, step=step)
        seen.append(trial.should_stop)
    assert seen == [False, False, True, True]


@pytest.fixture(params=["running", "fake"])
def reporting(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, list[tuple[int, float]]]:
    """A trial of a search, or one for tests, and what was reported to it."""
    if request.param == "fake":
        fake = FakeTrial(tmp_path)
        return fake, fake.reports
    reports = Reports()
    return RunningTrial(assigned(folder=str(tmp_path)), EvaluationSettings(), reports), reports


def test_steps_that_are_left_out_follow_the_one_before_and_begin_with_0(
    reporting: tuple[Any, list[tuple[int, float]]],
) -> None:
    trial, reports = reporting
    trial.report(3.0)
    trial.report(math.nan)  # It is passed over, but it was a step.
    trial.report(np.float32(2.0))
    trial.report(1.5, step=np.int64(7))
    trial.report(1.0)
    trial.report(loss=0.5, step=2)
    assert reports == [(0, 3.0), (2, 2.0), (7, 1.5), (8, 1.0), (2, 0.5)]
    assert {type(value) for report in reports for value in report} == {int, float}


@pytest.mark.parametrize("step", [-1, True, 0.25, 1.0, np.float64(3), "3", (1,), math.nan, 10**30])
def test_what_cannot_be_a_step_is_refused(reporting: tuple[Any, list[tuple[int, float]]], step: Any) -> None:
    trial, reports = reporting
    message = re.escape(f"trial.report is given step={step!r}: a step is a whole number from 0, such as the epoch: ")
    with pytest.raises(UserError, match=rf"^{message}trial\.report\(loss, step=3\)$"):
        trial.report(0.5, step=step)
    assert reports == []


@pytest.mark.parametrize("given", [(3, 0.5), (0.5, 3), (1, 2, 3)])
def test_a_step_by_position_is_refused_whatever_the_order(
    reporting: tuple[Any, list[tuple[int, float]]], given: tuple[Any, ...]
) -> None:
    trial, reports = reporting
    said = (
        rf"^trial\.report{re.escape(repr(given))} gives more than the loss by position: the loss comes first, and the "
    )
    with pytest.raises(UserError, match=said + r"step is a keyword: trial\.report\(loss, step=3\)$"):
        trial.report(*given)
    assert reports == []


def test_whatever_counts_as_a_loss_can_be_reported(reporting: tuple[Any, list[tuple[int, float]]]) -> None:
    trial, reports = reporting
    for loss in (np.array([0.5]), np.array(0.25), 2, Fraction(1, 8)):
        trial.report(loss)
    assert reports == [(0, 0.5), (1, 0.25), (2, 2.0), (3, 0.125)]
    assert {type(loss) for _, loss in reports} == {float}


@pytest.mark.parametrize("loss", [None, "0.5", True, [0.5], {"loss": 0.5}, np.array([0.5, 0.25])])
def test_what_is_no_loss_is_refused_when_it_is_reported(
    reporting: tuple[Any, list[tuple[int, float]]], loss: Any
) -> None:
    trial, reports = reporting
    message = re.escape(f"trial.report is given {loss!r} ({type(loss).__name__}): an intermediate loss is one number")
    with pytest.raises(TypeError, match=message):
        trial.report(loss)
    assert reports == []


def test_a_fake_trial_stops_and_interrupts_when_it_is_told_to(tmp_path: Path) -> None:
    trial = FakeTrial(tmp_path / "deep" / "folder", stop_after=2, interrupted_after=2)
    assert trial.folder.is_dir()
    seen = [trial.should_stop]
    for _ in range(2):
        trial.report(1.0)
        seen.append(trial.should_stop)
    assert seen == [False, False, True]
    assert [trial.interrupted for _ in range(4)] == [False, False, True, True]
    assert not FakeTrial(tmp_path).interrupted


def test_the_examples_of_trials_run() -> None:
    for module in (evo.objective.objective, evo.testing.trials):
        found = doctest.testmod(module)
        assert (found.attempted > 0, found.failed) == (True, 0)


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        ("module:loss", "module", "loss"),
        ("package.module:Class.loss", "package.module", "Class.loss"),
        ("some/where.py:loss", "some/where.py", "loss"),
        ("/a:b/file.py:loss", "/a:b/file.py", "loss"),
    ],
)
def test_an_objective_is_named_by_its_place_and_its_name(text: str, place: str, name: str) -> None:
    assert parse_reference(text) == Reference(place, name)
    assert str(parse_reference(text)) == text


@pytest.mark.parametrize("text", ["", ":", "module", "module:", ":loss", "module:2", "module:a b", "module:a..b"])
def test_what_is_no_name_of_an_objective_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"objective {text!r} is neither"):
        parse_reference(text)


def test_a_function_of_a_module_here_is_loaded(modules: Path) -> None:
    (modules / "here_module.py").write_text("class A:\n    @staticmethod\n    def loss(params): return 5.0\n")
    assert Reference("here_module", "A.loss").load()({}) == 5.0


def test_a_function_of_a_file_is_loaded_with_its_neighbours(modules: Path) -> None:
    (modules / "deep").mkdir()
    (modules / "deep" / "neighbour_module.py").write_text("value = 5.0\n")
    (modules / "deep" / "file_module.py").write_text("from neighbour_module import value\ndef loss(p): return value\n")
    assert Reference("deep/file_module.py", "loss").load()({}) == 5.0
    assert Reference(str(modules / "deep" / "file_module.py"), "loss").load()({}) == 5.0


@pytest.mark.parametrize("name", ["my-loss.py", "my.loss.py", "3d.py", "random.py", "json.py", "Änderung.py"])
def test_a_file_is_loaded_whatever_its_name(modules: Path, name: str) -> None:
    (modules / name).write_text("def loss(params): return 5.0\n")
    others = {name: module for name, module in sys.modules.items() if name in ("random", "json")}
    assert Reference(name, "loss").load()({}) == 5.0
    assert {name: sys.modules[name] for name in others} == others


def test_two_files_of_one_name_are_two_objectives(modules: Path) -> None:
    for folder, loss in (("one", 1.0), ("two", 2.0)):
        (modules / folder).mkdir()
        (modules / folder / "twin_module.py").write_text(f"def loss(params): return {loss}\n")
    losses = [Reference(f"{folder}/twin_module.py", "loss").load()({}) for folder in ("one", "two", "one")]
    assert losses == [1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("place", "name", "problem"),
    [
        ("absent_module", "loss", "there is no module 'absent_module', here or installed"),
        ("absent.module", "loss", "there is no module 'absent.module', here or installed"),
        ("absent.py", "loss", "there is no file absent.py"),
        (".", "loss", r"there is no module '\.'"),
        ("folder.py", "loss", "there is no file folder.py"),
        ("broken_module", "loss", "cannot be imported: ZeroDivisionError: division by zero"),
        ("broken_module.py", "loss", "cannot be imported: ZeroDivisionError: division by zero"),
        ("exiting_module", "loss", "cannot be imported: SystemExit: 3"),
        ("good_module", "los", "good_module has no 'los'; it has loss"),
        ("good_module", "loss.absent", "good_module has no 'loss.absent'"),
        ("good_module", "value", "is 3: an objective is a function of the parameters"),
    ],
)
def test_an_objective_that_cannot_be_loaded_is_an_error_that_says_why(
    modules: Path, place: str, name: str, problem: str
) -> None:
    (modules / "folder.py").mkdir()
    (modules / "broken_module.py").write_text("1 / 0\n")
    (modules / "exiting_module.py").write_text("raise SystemExit(3)\n")
    (modules / "good_module.py").write_text("value = 3\ndef loss(params): return 5.0\n")
    with pytest.raises(ValueError, match=f"^objective {place}:{name} ?.*{problem}"):
        Reference(place, name).load()


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import os, torch.nn as nn",
        "from torch import nn",
        "from lightning.pytorch import Trainer",
        "import pytorch_lightning as pl",
        "import torchvision.transforms",
        "from evo.lightning import LightningObjective",
        "from evo import LightningObjective",
        "import evo\nloss = evo.LightningObjective(None, None)",
        "import evo as e\nloss = e.LightningObjective(None, None)",
        "def loss(params):\n    import torch\n    return 0.0",
    ],
)
@pytest.mark.parametrize("form", ["heavy_module", "heavy_module.py"])
def test_an_objective_whose_module_imports_torch_or_lightning_is_heavy(modules: Path, source: str, form: str) -> None:
    (modules / "heavy_module.py").write_text(f"raise AssertionError('it was run')\n{source}\n")
    assert Reference(form, "loss").is_heavy


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import numpy",
        "# import torch",
        "'import torch'",
        "import torchless",
        "from . import torch_like",
        "from numpy import lightning_talks",
        "import evo\nevo.minimize",
        "torch = 3\ntorch + 1",
    ],
)
def test_an_objective_whose_module_imports_neither_is_not_heavy(modules: Path, source: str) -> None:
    (modules / "light_module.py").write_text(f"{source}\n")
    assert not Reference("light_module", "loss").is_heavy


@pytest.mark.parametrize("place", ["itertools", "time", "math", "_ctypes", "numpy"])
def test_modules_without_a_python_file_are_not_heavy(place: str) -> None:
    assert not Reference(place, "anything").is_heavy


def test_the_ready_trainings_are_heavy_and_the_test_functions_are_not() -> None:
    assert Reference("evo.problems.digits", "objective").is_heavy
    assert not Reference("evo.problems.functions", "sphere").is_heavy


@pytest.mark.parametrize(
    "content", [b"def loss(:\n", b"\xff\xfe\x00", b"a\0b", "# coding: latin-1\nx = 'é'".encode("latin-1")]
)
def test_a_file_that_is_not_python_is_an_error_that_names_it_unless_python_reads_it(
    modules: Path, content: bytes
) -> None:
    (modules / "odd_module.py").write_bytes(content)
    if b"coding" in content:
        assert not Reference("odd_module.py", "loss").is_heavy
        return
    with pytest.raises(ValueError, match=r"objective odd_module.py:loss: odd_module.py is not valid Python: ."):
        Reference("odd_module.py", "loss").is_heavy  # noqa: B018


def test_an_objective_is_described_by_what_a_user_calls_it() -> None:
    assert describe(Reference("a.b", "c")) == "a.b:c"
    assert describe(check_loss) == "evo.objective.losses:check_loss"
    assert describe(Callable_()) == f"{__name__}:Callable_"
    script = types.FunctionType(check_loss.__code__, {}, "loss")
    script.__module__, script.__qualname__ = "__main__", "loss"
    assert describe(script) == "loss"


def test_an_instance_may_have_a_test_and_a_function_has_none() -> None:
    def loss(params: dict[str, Any]) -> float:
        return 0.0

    loss.test = print  # type: ignore[attr-defined]
    assert optional_method(loss, "test") is None
    assert optional_method(Callable_(), "method") is not None
    assert optional_method(Callable_(), "test") is None
