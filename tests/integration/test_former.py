"""Run directories that the evo of before the present layout has written: they are shown, tested, and go on."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import TESTS, Ended, Launcher, call

FORMER = TESTS / "former"
MADE = runpy.run_path(str(FORMER / "make.py"))


@dataclass(frozen=True)
class Kind:
    """A run directory, and what the same command with a larger budget makes of it.

    Args:
        best: The best individual.
        evaluations: How many it has.
        budget: The larger one.
        then: How many evaluations it has after that, at least.
        ranks: How many go on with it.
        trains: Whether its evaluations load torch.
    """

    best: str
    evaluations: int
    budget: str
    then: int
    ranks: int = 1
    trains: bool = False


KINDS = {
    "plain": Kind("0-3", 8, "--evaluations 12", 12),
    "migration": Kind("2-3", 24, "--generations 8", 28, ranks=2),
    "pollination": Kind("2-3", 24, "--generations 8", 28, ranks=2),
    "pruning": Kind("0-0", 9, "--evaluations 14", 14),
    "constraints": Kind("0-0", 8, "--evaluations 12", 12),
    "changed": Kind("0-7", 10, "--evaluations 14", 14),
    "troubled": Kind("0-0", 5, "--evaluations 9 --walltime 10m", 9),
    "death": Kind("0-2", 7, "--generations 6", 8),
    "lightning": Kind("0-1", 2, "--evaluations 3", 3, trains=True),
    "sections": Kind("0-1", 2, "--evaluations 3", 3, trains=True),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all kinds and their code, as if they had been written there."""
    shutil.copytree(FORMER, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "make.py"))
    (tmp_path / "sections.yaml").write_text(MADE["SECTIONS"])
    for file in tmp_path.glob("*/study.json"):
        file.write_text(file.read_text().replace(MADE["ANYWHERE"], str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcomes(run_dir: Path) -> list[dict[str, Any]]:
    """What has become of individuals for good, as the journals say it."""
    lines = [json.loads(line) for file in run_dir.glob("journal/*.jsonl") for line in file.read_text().splitlines()]
    return [line for line in lines if line["type"] == "Finished" and line["status"] != "interrupted"]


def test_every_kind_is_tried() -> None:
    kept = {file.parent.name for file in FORMER.glob("*/study.json")}
    assert kept == set(KINDS) == set(MADE["KINDS"])


@pytest.mark.mpi
@pytest.mark.parametrize("name", KINDS)
def test_a_study_of_before_is_sound_and_shown_and_goes_on(
    here: Path, launcher: Launcher, mpirun: Callable[..., Ended], name: str
) -> None:
    kind, run_dir = KINDS[name], here / name
    before = {file.name: file.read_bytes() for file in run_dir.glob("journal/*.jsonl")}
    assert len(outcomes(run_dir)) == kind.evaluations
    dry = call("repair", "--dry-run", name)
    assert (dry.status, dry.err) == (0, ""), dry
    shown = call("best", name, "--json")
    assert (shown.status, shown.err) == (0, ""), shown
    best = json.loads(shown.out)
    assert "{}-{}".format(*best["individual"]) == kind.best

    _, arguments = MADE["KINDS"][name][-1]
    command = ["-m", "evo.run", *shlex.split(arguments), *kind.budget.split(), "--run-dir", name, "--debug"]
    again = launcher.python(*command) if kind.ranks == 1 else mpirun(kind.ranks, *command)
    assert again.status == 0, again.err
    assert "Traceback" not in again.out + again.err
    assert "has changed" not in again.out + again.err
    for file, content in before.items():
        assert (run_dir / "journal" / file).read_bytes().startswith(content)
    finished = outcomes(run_dir)
    assert len(finished) == len({tuple(line["individual"]) for line in finished}) >= kind.then
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["evaluations"] == len(finished)
    assert summary["best"]["loss"] <= best["loss"]
    assert re.search(rf"^loss +{summary['best']['loss']}$", call("best", name).out, re.M)


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].trains])
def test_weights_of_before_are_tested(here: Path, name: str) -> None:
    recorded = json.loads((here / name / "summary.json").read_text())["test"]
    tested = call("test", name)
    assert tested.status == 0, tested.err
    assert "from its saved weights" in tested.out
    found = json.loads((here / name / "test" / "test.json").read_text())
    assert found["test"] == pytest.approx(recorded)
    assert bool(found.get("baseline")) == (name == "lightning")


def test_what_was_interrupted_is_taken_up_where_it_was_saved_and_failures_of_before_are_told(
    here: Path, launcher: Launcher
) -> None:
    # Its objective reports the step first, as was right then: the user has changed that since, as a message says.
    code = here / "former_losses.py"
    code.write_text(code.read_text().replace("trial.report(step, params", "trial.report(step=step, loss=params"))
    _, arguments = MADE["KINDS"]["troubled"][-1]
    command = [*shlex.split(arguments), "--evaluations", "6", "--walltime", "10m", "--run-dir", "troubled"]
    ended = launcher.evo(*command)
    assert ended.status == 0, ended.err
    assert "has changed since then" in " ".join((ended.out + ended.err).split())
    last = outcomes(here / "troubled")[-1]
    assert (last["individual"], last["status"], last["metrics"]) == ([0, 5], "completed", {"steps": 3})
    assert "6 evaluations (3 completed, 1 infeasible, 2 failed)" in ended.out
