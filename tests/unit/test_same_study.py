"""When a run directory goes on: the same objective by whatever name and from wherever, and no other one."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import evo
from evo.objective.definition import Definition, canonical_name, check_same, define
from evo.objective.places import is_local
from evo.objective.references import Reference
from evo.run import main
from evo.study.session import _study_name

LIMITS = {"x": (-5.0, 5.0)}
CENTRE = 1.0


class Distance:
    def __init__(self, centre: float) -> None:
        self.centre = centre

    def __call__(self, params: dict[str, Any]) -> float:
        return float((params["x"] - self.centre) ** 2)

    def other(self, params: dict[str, Any]) -> float:
        return float(abs(params["x"] - self.centre))


class Remembers(Distance):
    """Changes with every evaluation."""

    def __init__(self, centre: float) -> None:
        super().__init__(centre)
        self.count, self.seen, self.lock = 0, list[float](), threading.Lock()

    def __call__(self, params: dict[str, Any]) -> float:
        self.count += 1
        self.seen.append(params["x"])
        return super().__call__(params)


class Wraps:
    """Has an attribute of any name."""

    def __init__(self, centre: float) -> None:
        self.func, self.centre = distance, centre

    def __call__(self, params: dict[str, Any]) -> float:
        return self.func(params, self.centre)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("test", "check"):
            raise AttributeError(name)
        return 3


def distance(params: dict[str, Any], centre: float) -> float:
    return float((params["x"] - centre) ** 2)


def nearness(params: dict[str, Any], centre: float) -> float:
    return float((params["x"] + centre) ** 2)


def closure(centre: float) -> Callable[..., float]:
    def loss(params: dict[str, Any]) -> float:
        return distance(params, centre)

    return loss


def of_a_global(params: dict[str, Any]) -> float:
    return distance(params, CENTRE)


def minimize(objective: Any, evaluations: int, run_dir: str = "run") -> Any:
    return evo.minimize(objective, LIMITS, evaluations=evaluations, run_dir=run_dir, seed=1)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what a test loads from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    forget(before)


def forget(before: set[str]) -> None:
    """As another process would begin."""
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and is_local(Path(file)):
            del sys.modules[name]


def run(objective: str, evaluations: int, *arguments: str) -> int:
    before = set(sys.modules)
    limits = ["--limits", json.dumps(LIMITS), "--evaluations", str(evaluations), "--quiet", "--run-dir", arguments[0]]
    try:
        return main([objective, *limits, *arguments[1:]], ends=False)
    finally:
        forget(before)


@pytest.mark.parametrize(
    ("way", "difference"),
    [
        (Distance, "centre was 1.0 and is 2.0"),
        (Wraps, "centre was 1.0 and is 2.0"),
        (lambda centre: Distance(centre).other, "self.centre was 1.0 and is 2.0"),
        (lambda centre: functools.partial(distance, centre=centre), "keywords.centre was 1.0 and is 2.0"),
        (lambda centre: functools.partial([distance, nearness][int(centre) - 1], centre=3.0), "partial.function was "),
        (closure, "centre was 1.0 and is 2.0"),
        (lambda centre: [lambda params: 1.0, lambda params: 2.0][int(centre) - 1], "it has different code"),
    ],
)
def test_another_objective_in_an_old_run_directory_is_refused_with_the_difference(
    here: Path, way: Callable[[float], Any], difference: str
) -> None:
    first = minimize(way(1.0), 3)
    before = contents(here)
    with pytest.raises(ValueError, match=f"run directory run holds another study: its objective .* {difference}"):
        minimize(way(2.0), 4)
    assert contents(here) == before
    assert minimize(way(1.0), 3).best == first.best
    assert len(minimize(way(1.0), 4).individuals) == 4


def test_what_an_objective_remembers_of_its_evaluations_is_not_the_users_change(here: Path) -> None:
    objective = Remembers(1.0)
    for evaluations in (3, 5, 7):
        minimize(objective, evaluations)
    assert objective.count == 7
    minimize(Remembers(1.0), 8)
    minimize(objective.other, 3, "other")
    objective.centre = 2.0
    for run_dir in ("run", "other"):
        with pytest.raises(ValueError, match=r"centre was 1\.0 and is 2\.0"):
            minimize(objective if run_dir == "run" else objective.other, 9, run_dir)


def test_a_global_value_that_has_changed_is_told_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    minimize(of_a_global, 2)
    monkeypatch.setattr(sys.modules[__name__], "CENTRE", 2.0)
    minimize(of_a_global, 3)
    told = capfd.readouterr().err
    assert "run directory run: its objective test_same_study:of_a_global has changed" in told
    assert "test_same_study.CENTRE (it was 1.0, it is 2.0)" in told
    minimize(of_a_global, 4)
    assert capfd.readouterr().err == ""


@pytest.fixture
def project(here: Path) -> Path:
    """A package in a directory, and a script that searches."""
    for name, text in {
        "proj/pkg/__init__.py": "",
        "proj/pkg/tune.py": "from .helper import square\n\ndef loss(params):\n    return square(params['x'])\n",
        "proj/pkg/helper.py": "def square(x):\n    return x ** 2\n",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return here / "proj"


def recorded(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "study.json").read_text())  # type: ignore[no-any-return]


def test_one_objective_has_one_study_by_whatever_name_and_from_wherever(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir = str(project / "run")
    (project.parent / "link").symlink_to(project)
    spellings = [
        (project, "pkg/tune.py:loss"),
        (project, "pkg.tune:loss"),
        (project, "./pkg/../pkg/tune.py:loss"),
        (project, f"{project}/pkg/tune.py:loss"),
        (project.parent, "proj/pkg/tune.py:loss"),
        (project.parent, "proj.pkg.tune:loss"),
        (project / "pkg", "tune.py:loss"),
        (project.parent, "link/pkg/tune.py:loss"),
    ]
    for evaluations, (folder, name) in enumerate(spellings, 1):
        monkeypatch.chdir(folder)
        assert run(name, evaluations, run_dir) == 0, name
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(str(project))
    from pkg.tune import loss  # type: ignore[import-not-found]

    evo.minimize(loss, LIMITS, evaluations=9, run_dir=run_dir)
    assert capfd.readouterr() == ("", "")
    assert recorded(project / "run")["objective"] == "pkg.tune:loss"
    assert len((project / "run" / "journal" / "0.jsonl").read_text().split('"Started"')) == 10


def test_the_folder_of_a_study_has_one_name_unless_an_older_evo_has_given_it_another(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    names = ["pkg/tune.py", "pkg.tune", f"{project}/pkg/tune.py"]
    assert {_study_name(Reference(place, "loss")) for place in names} == {"tune-loss"}
    (project / "runs" / "pkg.tune-loss").mkdir(parents=True)
    (project / "runs" / "pkg.tune-loss" / "study.json").touch()
    assert _study_name(Reference("pkg.tune", "loss")) == "pkg.tune-loss"


def test_a_study_file_names_its_folder_unless_an_older_evo_has_begun_it_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def search(*arguments: str) -> list[str]:
        assert main([*arguments, "--quiet"], ends=False) == 0
        return sorted(path.name for path in (tmp_path / "runs").iterdir())

    Path("only_here.py").write_text("def loss(params):\n    return params['x'] ** 2\n")
    Path("few.yaml").write_text("objective: only_here:loss\nlimits: {x: [-1.0, 1.0]}\nevaluations: 2\n")
    Path("wide.yaml").write_text("objective: ./only_here.py:loss\nlimits: {x: [-9.0, 9.0]}\nevaluations: 2\n")
    Path("settings.yaml").write_text("evaluations: 2\nlimits: {x: [-1.0, 1.0]}\n")
    assert search("few.yaml") == ["few"]
    assert search("wide.yaml", "--config", "settings.yaml") == ["few", "wide"]
    # What is named on the command line has its own name.
    assert search("only_here:loss", "--config", "settings.yaml") == ["few", "only_here-loss", "wide"]
    for name in ("few", "wide"):
        shutil.rmtree(tmp_path / "runs" / name)
    assert search("few.yaml") == ["only_here-loss"]
    assert search("few.yaml", "--limits.x", "[-1.0, 2.0]") == ["few", "only_here-loss"]
    assert search("few.yaml", "--limits.x", "[-1.0, 2.0]", "--evaluations", "3") == ["few", "only_here-loss"]
    assert main(["few.yaml"], ends=False) == 2
    assert "runs/few holds another study" in capfd.readouterr().err


def test_code_that_has_changed_is_told_once_and_the_search_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert run("pkg/tune.py:loss", 1, "run") == 0
    helper, tune = project / "pkg" / "helper.py", project / "pkg" / "tune.py"
    helper.write_text('"""Squares."""\n\n\ndef square(x):  # of a number\n    """x to the 2."""\n    return (x**2)\n')
    assert run("pkg.tune:loss", 2, "run") == 0
    assert capfd.readouterr().err == ""
    helper.write_text("def square(x):\n    return x ** 2 + 1\n")
    assert run("pkg.tune:loss", 3, "run") == 0
    told = capfd.readouterr().err
    assert "evo: warning: run directory run: its objective pkg.tune:loss has changed since then: pkg/helper.py;" in told
    assert run("pkg.tune:loss", 4, "run") == 0
    assert capfd.readouterr().err == ""
    tune.write_text("def loss(params):\n    return params['x'] ** 2\n")
    helper.unlink()
    assert run("pkg.tune:loss", 5, "run") == 0
    assert "pkg.helper, pkg/tune.py;" in capfd.readouterr().err


def test_code_that_has_changed_is_refused_where_that_is_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    helper = project / "pkg" / "helper.py"
    assert run("pkg/tune.py:loss", 1, "run", "--strict") == 0
    assert run("pkg/tune.py:loss", 2, "run", "--strict") == 0
    before, text = contents(project / "run"), helper.read_text()
    helper.write_text("def square(x):\n    return x ** 2 + 1\n")
    for evaluations in (2, 3):  # Also where there is nothing left to do.
        assert run("pkg.tune:loss", evaluations, "run", "--strict") == 2
        assert capfd.readouterr().err == (
            "evo: error: run directory run holds another study: the code of its objective pkg.tune:loss has changed "
            "since then: pkg/helper.py; choose another directory with --run-dir, bring the old code back, or go on "
            "with the new one without --strict\n"
        )
    assert contents(project / "run") == before
    helper.write_text(text)
    assert run("pkg.tune:loss", 3, "run", "--strict") == 0
    assert capfd.readouterr().err == ""


RULES = """
import evo.propagators
import evo.pruning
from factors import LARGEST

def small(params):
    return params["x"] < LARGEST

class Same(evo.propagators.InitUniform):
    pass

class Patient(evo.pruning.MedianStopping):
    pass
"""
POLICIES = {
    "constraint": lambda rules: {"constraints": ["x > -4", rules.small]},
    "propagator": lambda rules: {"propagator": {"class_path": "rules.Same"}},
    "propagator in another": lambda rules: {"propagator": evo.propagators.Compose([rules.Same()])},
    "pruner": lambda rules: {"pruning": {"class_path": "rules.Patient"}},
    "pruner that is made": lambda rules: {"pruning": rules.Patient()},
}


def search_by_rules(evaluations: int, options: Callable[[Any], dict[str, Any]], strict: bool = False) -> None:
    before = set(sys.modules)
    try:
        given: dict[str, Any] = options(importlib.import_module("rules"))
        plain = importlib.import_module("plain")
        evo.minimize(plain.loss, LIMITS, evaluations=evaluations, run_dir="run", strict=strict, **given)
    finally:
        forget(before)


@pytest.fixture
def rules(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(here)
    (here / "plain.py").write_text("def loss(params):\n    return params['x'] ** 2\n")
    (here / "rules.py").write_text(RULES)
    (here / "factors.py").write_text("LARGEST = 4.0\n")
    return here


@pytest.mark.parametrize("kind", POLICIES)
def test_changed_code_of_constraints_propagators_and_pruners_is_told_or_refused(
    rules: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    search_by_rules(1, POLICIES[kind])
    search_by_rules(2, POLICIES[kind], strict=True)
    (rules / "factors.py").write_text("LARGEST = 4.50\n")
    with pytest.raises(
        ValueError,
        match=r"the code of its constraints, propagators or pruner has changed since then: factors.py; choose",
    ):
        search_by_rules(3, POLICIES[kind], strict=True)
    assert capfd.readouterr().err == ""
    search_by_rules(3, POLICIES[kind])
    told = capfd.readouterr().err
    assert "run: its constraints, propagators or pruner has changed since then: factors.py; the search" in told
    search_by_rules(4, POLICIES[kind], strict=True)
    assert capfd.readouterr().err == ""


def test_another_propagator_or_pruner_is_no_changed_code(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (rules / "more.py").write_text("import rules\nclass Other(rules.Same): pass\n")
    search_by_rules(1, POLICIES["propagator"])
    search_by_rules(2, lambda rules: {"propagator": {"class_path": "more.Other"}, "pruning": "median"}, strict=True)
    search_by_rules(3, lambda rules: {}, strict=True)
    assert capfd.readouterr().err == ""


def test_where_no_code_was_recorded_strict_says_so_once(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    search_by_rules(1, POLICIES["pruner"])
    old = recorded(rules / "run")
    del old["definition"]["rules"]
    (rules / "run" / "study.json").write_text(json.dumps(old))
    search_by_rules(2, POLICIES["pruner"], strict=True)
    assert capfd.readouterr().err == (
        "evo: warning: run directory run: earlier sessions have not recorded the code of its constraints, propagators "
        "or pruner, so --strict has nothing to compare that of now with\n"
    )
    search_by_rules(3, POLICIES["pruner"], strict=True)
    assert capfd.readouterr().err == ""
    del old["definition"]
    (rules / "run" / "study.json").write_text(json.dumps(old))
    search_by_rules(4, POLICIES["pruner"])
    assert capfd.readouterr().err == ""
    (rules / "run" / "study.json").write_text(json.dumps(old))
    search_by_rules(5, lambda rules: {}, strict=True)
    assert "recorded the code of its objective plain:loss, so" in capfd.readouterr().err


def test_a_global_value_that_has_changed_is_refused_where_that_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minimize(of_a_global, 2)
    monkeypatch.setattr(sys.modules[__name__], "CENTRE", 2.0)
    with pytest.raises(ValueError, match=r"since then: test_same_study.CENTRE \(it was 1.0, it is 2.0\); "):
        evo.minimize(of_a_global, LIMITS, evaluations=3, run_dir="run", strict=True)


def test_two_files_of_one_name_are_two_objectives_and_a_copy_is_one(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for folder, text in (("a", "params['x']"), ("b", "-params['x']"), ("c", "params['x']  # a copy")):
        (here / folder).mkdir()
        (here / folder / "tune.py").write_text(f"def loss(params):\n    return {text}\n")
    assert run("a/tune.py:loss", 1, "run") == 0
    assert run("b/tune.py:loss", 2, "run") == 2
    told = capfd.readouterr().err
    assert f"its objective tune:loss is that of {here}/a/tune.py, not of {here}/b/tune.py; choose another" in told
    assert run("c/tune.py:loss", 2, "run") == 0
    assert capfd.readouterr().err == ""
    (here / "a" / "tune.py").unlink()
    (here / "c" / "tune.py").unlink()
    assert run("b/tune.py:loss", 3, "run") == 0  # It has moved, and changed.
    assert "has changed since then: b/tune.py;" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "is_same"),
    [
        ("pkg/tune.py:loss", True),
        ("/gone/proj/pkg/tune.py:loss", True),
        ("proj/pkg/tune.py:loss", True),
        ("pkg.tune:loss", True),
        ("proj.pkg.tune:loss", True),
        ("tune.py:loss", True),
        ("loss", True),
        ("pkg/tune.py:other", False),
        ("other/tune.py:loss", False),
        ("/gone/other/tune.py:loss", False),
        ("pkg.other:loss", False),
        ("other", False),
        ("pkg/twin.py:loss", False),
    ],
)
def test_the_study_of_an_older_evo_is_known_by_its_name(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_same: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    (project / "pkg" / "twin.py").write_text("def loss(params):\n    return 0.0\n")
    assert run("pkg.tune:loss", 1, "run") == 0
    old = {key: value for key, value in recorded(project / "run").items() if key != "definition"}
    (project / "run" / "study.json").write_text(json.dumps({**old, "objective": name}))
    assert run("pkg.tune:loss", 2, "run") == (0 if is_same else 2)
    assert (capfd.readouterr().err == "") == is_same
    if is_same:
        assert recorded(project / "run")["objective"] == "pkg.tune:loss"
        assert list(recorded(project / "run")["definition"]["sources"]) == ["pkg", "pkg.helper", "pkg.tune"]


SET_FROM_OUTSIDE = """
import os

class Distance:
    def __init__(self, centre):
        self.centre = centre

    def __call__(self, params):
        return (params["x"] - self.centre) ** 2

loss = Distance(float(os.environ["CENTRE"]))
"""


@pytest.mark.parametrize("where", ["inline", "process"])
def test_a_named_objective_with_a_state_is_described_where_it_is_loaded(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], where: str
) -> None:
    (here / "outside.py").write_text(SET_FROM_OUTSIDE)
    monkeypatch.setenv("CENTRE", "1.0")
    assert run("outside.py:loss", 1, "run", "--evaluate", where) == 0
    monkeypatch.setenv("CENTRE", "2.0")
    before = contents(here / "run")
    assert run("outside.py:loss", 2, "run", "--evaluate", where) == 2
    assert "its objective outside:loss differs: centre was 1.0 and is 2.0;" in capfd.readouterr().err
    assert contents(here / "run") == before
    monkeypatch.setenv("CENTRE", "1.0")
    assert run("outside.py:loss", 2, "run", "--evaluate", where) == 0


def test_sections_are_one_training_by_a_file_or_a_module(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend("")
    (project / "pkg" / "net.py").write_text("class Net: pass\n")

    def sections(path: str, width: int) -> tuple[str, Definition]:
        model = {"class_path": path, "init_args": {"width": width}}
        return json.dumps({"model": model, "data": "pkg/net.py:Net"}), Definition()

    for path in ("pkg.net.Net", "pkg/net.py:Net", f"{project}/pkg/net.py:Net"):
        check_same("here", sections("pkg.net.Net", 8), sections(path, 8))
    with pytest.raises(
        ValueError, match=r"^here: its training differs: model\.init_args\.width was 8 and is 16; choose"
    ):
        check_same("here", sections("pkg.net.Net", 8), sections("pkg/net.py:Net", 16))


def test_a_definition_is_the_same_when_it_is_read_again() -> None:
    for objective in (Distance(1.0), distance, closure(2.0), Reference("evo.problems.functions", "sphere")):
        made = define(objective)
        assert msgspec.json.decode(msgspec.json.encode(made), type=Definition) == made
    assert define(Reference("evo.problems.functions", "sphere")) == Definition()
    assert define(distance).file == os.path.realpath(__file__)
    assert canonical_name(Distance(1.0)) == "test_same_study:Distance"
