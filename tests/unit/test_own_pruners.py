"""Pruners of the user's own: by class path, as objects, and what every mistake in them is answered with."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evo
from evo.errors import UserError
from evo.population.events import Judged, Reported
from evo.pruning import PrunerError, Rungs, SuccessiveHalving, Verdict, make_pruner, try_out
from evo.study.arguments import parse_arguments
from evo.study.wiring import MistakeFound

# A user's module.
MINE = '''
from dataclasses import dataclass

import numpy as np

import evo
from evo.pruning import Verdict


@dataclass(frozen=True)
class Threshold(evo.Pruner):
    """Stops whoever is above a loss at a step."""

    step: int
    loss: float = 0.5

    def rung(self, steps):
        return np.int64(self.step) if steps >= self.step else None

    def value(self, curve):
        return np.float32(min(curve.values()))

    def judge(self, curve, others, best):
        value = min(curve.values())
        return Verdict(np.bool_(value > self.loss), np.float64(value), self.loss, len(others))


@dataclass(frozen=True)
class Patient(evo.Pruner):
    """Asks another, but not before a step."""

    pruner: evo.Pruner
    patience: int

    def rung(self, steps):
        return self.pruner.rung(steps) if steps > self.patience else None

    def value(self, curve):
        return self.pruner.value(curve)

    def judge(self, curve, others, best):
        return self.pruner.judge(curve, others, best)


class Late(Threshold):
    def judge(self, curve, others, best):
        if len(others) == 2:
            return {}[self.step]
        return super().judge(curve, others, best)


class NoJudge(evo.Pruner):
    def rung(self, steps):
        return 1

    def value(self, curve):
        return 0.0


class Moody(Threshold):
    def __init__(self, mood="bad"):
        raise ValueError(f"mood is {mood}") if mood == "bad" else KeyError(mood)


class Average:
    pass
'''

LIMITS = {"x": (-1.0, 1.0)}


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A working directory with a module, which is forgotten again."""
    (tmp_path / "mine_pruning.py").write_text(MINE)
    (tmp_path / "broken_pruning.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    yield tmp_path / "mine_pruning.py"
    for name in ("mine_pruning", "broken_pruning"):
        sys.modules.pop(name, None)


def of_mine(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"mine_pruning.{name}", "init_args": arguments}


def descends(params: Mapping[str, Any]) -> Iterator[float]:
    for step in range(4):
        yield abs(params["x"]) + 1 / (step + 1)


GOES_ON = Verdict(False, 1.0, None, 0)


@dataclass(frozen=True)
class Always(evo.Pruner):
    """Returns what it is told to, from the second step on."""

    rungs: Any = 2
    figure: Any = 1.0
    verdict: Any = GOES_ON

    def rung(self, steps: int) -> Any:
        return None if steps < 2 else self.rungs

    def value(self, curve: Mapping[int, float]) -> Any:
        return self.figure

    def judge(self, curve: Mapping[int, float], others: Sequence[float], best: float | None) -> Any:
        return self.verdict


# What is made


@pytest.mark.usefixtures("mine")
def test_a_class_path_names_a_pruner_of_a_module_in_the_working_directory() -> None:
    made: Any = make_pruner(of_mine("Threshold", step=2, loss=1))
    assert (type(made).__module__, made.step, made.loss) == ("mine_pruning", 2, 1.0)
    assert repr(made) == "Threshold(step=2, loss=1.0)"


@pytest.mark.usefixtures("mine")
def test_a_pruner_may_be_made_of_another() -> None:
    for inner in ("halving", {"name": "halving"}, {"class_path": "SuccessiveHalving"}):
        made: Any = make_pruner(of_mine("Patient", pruner=inner, patience=3))
        assert made.pruner == SuccessiveHalving()
        assert [made.rung(steps) for steps in (2, 3, 4)] == [None, None, 3]


def test_an_object_is_taken_as_it_is() -> None:
    pruner = SuccessiveHalving(reduction=5)
    assert make_pruner(pruner) is pruner


def test_the_command_line_takes_a_class_path_and_places_in_it() -> None:
    what = "{class_path: mine_pruning.Threshold, init_args: {step: 2}}"
    command = parse_arguments(["sphere", "--pruning", what, "--pruning.loss", "0.25"], "evo run")
    assert command.config.pruning == of_mine("Threshold", step=2, loss=0.25)


# A search


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("as_object", [False, True], ids=["by class path", "as an object"])
def test_a_search_prunes_with_it_records_it_and_resumes_with_the_same(tmp_path: Path, as_object: bool) -> None:
    pruning: Any = of_mine("Threshold", step=2, loss=0.9)
    pruning = make_pruner(pruning) if as_object else pruning
    run_dir = tmp_path / "run"
    settings: dict[str, Any] = {"run_dir": str(run_dir), "pruning": pruning, "seed": 1}
    evo.minimize(descends, LIMITS, evaluations=10, **settings)
    found = evo.minimize(descends, LIMITS, evaluations=20, **settings)
    judged = {event.individual: event for event in found.events() if isinstance(event, Judged)}
    assert len(judged) == 20
    for one in found.individuals:
        is_bad = abs(one.params["x"]) + 0.5 > 0.9
        assert (one.status, judged[one.individual].stop) == (("pruned", True) if is_bad else ("completed", False))
    assert {"pruned", "completed"} == {one.status for one in found.individuals}
    # The second session knows whom the first had at the rung.
    assert sorted(event.among for event in judged.values()) == list(range(20))
    assert '"pruning":"Threshold(step=2, loss=0.9)"' in (run_dir / "study.json").read_text().replace(": ", ":")


def test_numbers_of_numpy_become_pythons(mine: Path) -> None:
    made = make_pruner(of_mine("Threshold", step=1))
    assert made is not None
    try_out(made)
    rungs = Rungs(made)
    reported = Reported(time=0.0, individual=(0, 0), step=0, loss=0.25)
    rungs.apply(reported)
    verdict = rungs.judge((0, 0), 1, None)
    assert verdict == Verdict(False, 0.25, 0.5, 0)
    assert [type(rungs.reached(reported)), type(verdict.stop), type(verdict.value)] == [int, bool, float]


# Mistakes


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("what", "words"),
    [
        (of_mine("Treshold"), ["pruning mine_pruning.Treshold: there is no 'Treshold'", "did you mean Threshold?"]),
        (of_mine("Average"), ["mine_pruning.Average is no subclass of evo.Pruner; mine_pruning has Late, Moody, Pa"]),
        (of_mine("NoJudge"), ["pruning mine_pruning.NoJudge is abstract, without judge"]),
        (of_mine("Threshold"), ["pruning mine_pruning.Threshold: step is missing; it takes step, loss"]),
        (of_mine("Threshold", step="two"), ["step is 'two', but it takes step: int"]),
        (of_mine("Threshold", stpe=2), ["'stpe' is 2, but it takes step, loss; did you mean step?"]),
        (of_mine("Patient", pruner="halvin", patience=1), ["pruning 'halvin' is no ready one", "mean halving?"]),
        (of_mine("Moody"), ["pruning mine_pruning.Moody: mood is bad (", "mine_pruning.py, line 62: raise ValueError"]),
        (of_mine("Moody", mood="ill"), ["mine_pruning.Moody cannot be made of {'mood': 'ill'}: KeyError: 'ill' ("]),
        ({"class_path": "Halving"}, ["there is no 'Halving'; evo.pruning has CurveExtrapolation, MedianStopping"]),
        ({"class_path": "nowhere.Mine"}, ["pruning nowhere.Mine: there is no module 'nowhere'", "install it"]),
        ({"class_path": "broken_pruning.Mine"}, ["broken_pruning cannot be imported: ZeroDivisionError", "line 1: 1"]),
        ({"class_path": "MedianStopping", "grace": 2}, ["MedianStopping: 'grace' stands beside class_path"]),
        (SuccessiveHalving, ["pruning is the class SuccessiveHalving: give one that is made, SuccessiveHalving(...)"]),
    ],
)
def test_a_mistake_in_naming_it_is_answered_with_one_line(what: Any, words: list[str]) -> None:
    with pytest.raises(UserError, match=r"\Apruning [^\n]+\Z") as caught:
        evo.minimize(descends, LIMITS, evaluations=1, pruning=what)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        (Always(rungs=9), r"Always.rung \(.*test_own_pruners.py, line \d+\) returned 9: for 2 steps it must return a"),
        (Always(rungs=True), "returned True: for 2 steps it must return a rung from 1 to 2, or None"),
        (Always(rungs=0), "returned 0: for 2 steps"),
        (Always(figure=np.nan), "Always.value .* returned nan: it must return a finite number"),
        (Always(figure="low"), "Always.value .* returned 'low': it must return a finite number"),
        (Always(verdict=True), "Always.judge .* returned True: it must return an evo.pruning.Verdict"),
        (Always(verdict=Verdict(True, np.inf, 0.0, 1)), "value and threshold must be finite numbers"),
        (Always(verdict=Verdict(True, 1.0, "low", 1)), "value and threshold must be finite"),  # type: ignore[arg-type]
        (Always(verdict=Verdict(None, 1.0, 0.0, 1)), "stop must be True or False"),  # type: ignore[arg-type]
    ],
)
def test_what_decides_nothing_is_refused_before_the_search(tmp_path: Path, pruner: evo.Pruner, said: str) -> None:
    with pytest.raises(UserError, match=rf"^pruning .*{said}"):
        evo.minimize(descends, LIMITS, evaluations=1, pruning=pruner, run_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_that_fails_before_the_search_names_its_line() -> None:
    class Fails(Always):
        def value(self, curve: Mapping[int, float]) -> float:
            return curve[99]

    with pytest.raises(PrunerError, match=re.escape("Fails.value fails: KeyError: 99 (")) as caught:
        try_out(Fails())
    assert f"({__file__}, line {Fails.value.__code__.co_firstlineno + 1}: return curve[99])" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


def test_one_that_fails_late_ends_the_search_with_its_place_and_is_no_failure_of_the_objective(
    mine: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    with pytest.raises(MistakeFound) as caught:
        evo.minimize(descends, LIMITS, evaluations=9, run_dir=str(run_dir), pruning=of_mine("Late", step=2))
    assert str(caught.value) == f"pruning Late.judge fails: KeyError: 2 ({mine}, line 48: return {{}}[self.step])"
    statuses = [one.status for one in evo.load(run_dir).individuals]
    assert len(statuses) == 3
    assert "failed" not in statuses
