"""Searches whose LightningModules and LightningDataModules misbehave in every way: each is recorded, none ends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import hostile
import pytest
from helpers import Ended, Launcher

from evo.report.records import Evaluation, gather_evaluations
from evo.storage.rundir import RunDirectory

pytestmark = pytest.mark.slow

# More than any other training takes on a busy machine, the first one of a child included.
TIME_LIMIT = "10s"


def limits(*behaviours: str, **others: object) -> str:
    return json.dumps({"behaviour": behaviours, **others})


def check_search(ended: Ended, launcher: Launcher, fails: Mapping[str, str], completes: tuple[str, ...]) -> None:
    """Every behaviour was tried and came to its own end, as the journal says; and the search to its own."""
    assert ended.status == 0, ended.err
    assert f"all {len(fails) + len(completes)} points of the space have been tried\n" in ended.out
    directory = launcher.folder / "here"
    evaluations = gather_evaluations(RunDirectory(directory).events())
    assert {str(one.params["behaviour"]) for one in evaluations} == {*fails, *completes}
    for one in evaluations:
        check_evaluation(one, fails.get(str(one.params["behaviour"])))
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["best"]["params"]["behaviour"] in completes
    assert not launcher.survivors()


def check_evaluation(evaluation: Evaluation, error: str | None) -> None:
    if error is None:
        assert (evaluation.status, evaluation.loss, evaluation.error) == ("completed", 1.0, "")
        return
    assert (evaluation.status, evaluation.loss) == ("failed", None)
    assert evaluation.error.startswith(error)
    assert len(evaluation.error) < 300, "a reason is a line, not a traceback"


def output_log(folder: Path, behaviour: str) -> Path:
    evaluations = gather_evaluations(RunDirectory(folder / "here").events())
    (name,) = (one.name for one in evaluations if one.params["behaviour"] == behaviour)
    return folder / "here" / "individuals" / name / "output.log"


@pytest.mark.mpi
def test_every_behaviour_is_recorded_while_the_other_rank_goes_on_and_the_search_completes(
    launcher: Launcher, mpirun: Callable[..., Ended]
) -> None:
    fails, completes = hostile.FAILS, hostile.COMPLETES
    given = ["--limits", limits(*fails, *completes), "--evaluations", "100", "--max-failed-share", "1"]
    command = ["-m", "evo.run", "hostile:objective", *given, "--time-limit", TIME_LIMIT, "--run-dir", "here"]
    ended = mpirun(2, *command, timeout=200)
    check_search(ended, launcher, fails, completes)
    assert output_log(launcher.folder, "prints_megabytes").stat().st_size == hostile.LOUD
    assert sum(file.stat().st_size for file in (launcher.folder / "here" / "journal").iterdir()) < 100_000
    assert len(ended.out + ended.err) < 10_000


PICKY = """
class Picky:
    def check(self, names):
        if unknown := {*names} - {"behaviour"}:
            raise ValueError(f"No constructor takes {unknown}. Module takes: behaviour.")
    def __call__(self, params):
        raise AssertionError
objective = Picky()
"""


@pytest.mark.mpi
def test_a_parameter_that_no_constructor_takes_is_refused_before_anything_runs(
    launcher: Launcher, mpirun: Callable[..., Ended]
) -> None:
    with pytest.raises(ValueError, match=r"takes 'wdith'\. Module takes: behaviour\."):
        hostile.objective.check(["behaviour", "wdith"])
    # The children of two ranks refuse it as well; that they load no torch for it makes this short.
    (launcher.folder / "picky.py").write_text(PICKY)
    command = ["picky:objective", "--limits", limits("behaves", "is_killed", wdith=[1, 9]), "--run-dir", "here"]
    ended = mpirun(2, "-m", "evo.run", *command, "--evaluate", "process")
    assert ended.status == 2
    errors = [line for line in ended.err.splitlines() if line.startswith("evo: ")]
    assert len(errors) == 1
    assert "'wdith'" in errors[0]
    assert "Module takes: behaviour" in errors[0]
    assert "Traceback" not in ended.out + ended.err
    assert not (launcher.folder / "here").exists()
