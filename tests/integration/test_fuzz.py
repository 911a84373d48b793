"""Whatever a user gives: one message rather than a traceback, an end rather than a hang, and no harm to a run.

EVO_FUZZ=5 tries five times as many inputs, which takes minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import inputs
import pytest
from helpers import Ended, Launcher, call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evo
from evo.errors import COMPLETE, MISTAKEN, NOT_FOUND, RUN_AGAIN, UserError
from evo.problems.catalogue import PROBLEMS

MOST_SECONDS = 10.0  # For one input.
MORE = int(os.environ.get("EVO_FUZZ", "1"))
LOSSES = """
import sys, evo
LIMITS = {"x": [0.0, 1.0]}
def loss(params): return float(len(params))
def fails(params): raise RuntimeError("é {} %s \\ud800")
def stops(params): raise evo.Interrupted
def exits(params): sys.exit(3)
"""
SEARCH = ["run", "losses.py:loss", "--limits", "{x: [0.0, 1.0], y: [0, 9]}", "--run-dir", "run", "--evaluate=inline"]
# What is said last counts.
SOON = ["--evaluations", "3", "--walltime", "1s"]


def examples(count: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=count * MORE, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )


class Hung(BaseException):
    pass


@dataclass
class Place:
    """A working directory with a loss, a study file, limits, and a complete run.

    Args:
        folder: It.
        template: A copy of the run.
    """

    folder: Path
    template: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def tidy(self) -> None:
        """Make it as it was at first."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (self.folder / "losses.py").write_text(LOSSES)
        (self.folder / "broken.py").write_text("def f(:")
        (self.folder / "limits.yaml").write_text("x: [0.0, 1.0]\ny: [0, 9]\n")
        (self.folder / "study.yaml").write_text("objective: losses.py:loss\nlimits: limits.yaml\n")
        if self.template.exists():
            shutil.copytree(self.template, self.run)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path / "a" / "b", tmp_path / "template")
    place.folder.mkdir(parents=True)
    monkeypatch.setitem(PROBLEMS, "digits", PROBLEMS["sphere"])  # Or torch would be loaded here.
    monkeypatch.chdir(place.folder)
    place.tidy()
    with timed():
        assert call(*SEARCH, *SOON).status == 0
    shutil.copytree(place.run, place.template)
    return place


@contextlib.contextmanager
def timed() -> Iterator[None]:
    """Fail when something takes too long, also where exceptions are caught."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS, 1.0)
    began = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        assert time.monotonic() - began < MOST_SECONDS


def check(ended: Ended, *, debug: bool = False) -> None:
    """One message for a mistake, and none otherwise; when debugging, a traceback may stand before it."""
    said = ended.err[ended.err.find("\nevo: error: ") + 1 :] if debug else ended.err
    assert ended.status in (COMPLETE, NOT_FOUND, MISTAKEN, RUN_AGAIN)
    assert "Traceback" not in said
    if ended.status in (MISTAKEN, NOT_FOUND):
        assert said.startswith(("evo: error: ", "usage: "))
        assert said.count("evo: error: ") == said.startswith("evo: ")
        assert len(said.splitlines()) <= 25


def contents(run: Path) -> dict[str, bytes]:
    files = [*run.glob("journal/*.jsonl"), run / "study.json"]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def check_unharmed(run: Path, before: dict[str, bytes]) -> None:
    """What a run has recorded is still there, and at most more."""
    after = contents(run)
    for name, content in before.items():
        if name.endswith(".jsonl"):
            assert after[name].startswith(content), name
        elif after[name] != content:  # What its objective is made of has been added.
            old, new = json.loads(content), json.loads(after[name])
            assert {key for key in old if old[key] != new[key]} <= {"objective", "definition"}
            assert "definition" not in old or old["objective"] == new["objective"]


@examples(500)
@given(limits=inputs.any_limits)
def test_limits_are_searched_or_refused_with_a_reason(limits: Any) -> None:
    with timed():
        reason = ""
        try:
            result = evo.minimize(lambda params: 0.0, limits, evaluations=2, walltime=1.0)
        except UserError as error:  # Any other is a bug.
            reason = str(error)
    assert reason.startswith(("limit ", "limits ", "parameter ", "objective ")) if reason else result.best is not None


@examples(150)
@given(content=inputs.study_files)
def test_a_study_file_is_run_or_refused_with_a_reason(place: Place, content: bytes) -> None:
    before = contents(place.run)
    (place.folder / "study.yaml").write_bytes(content)
    with timed():
        ended = call("run", "study.yaml", "--run-dir", "new", "--evaluate=inline", *SOON)
    check(ended, debug=b"debug" in content)
    check_unharmed(place.run, before)
    shutil.rmtree(place.folder / "new", ignore_errors=True)


@examples(150)
@given(arguments=inputs.command_lines())
def test_a_command_line_is_run_or_refused_with_a_reason(place: Place, arguments: Sequence[str]) -> None:
    place.tidy()
    before = contents(place.run)
    with timed():
        ended = call("run", *arguments, "--evaluate=inline", *SOON)
    check(ended, debug="--debug" in arguments)
    check_unharmed(place.run, before)


@examples(100)
@given(arguments=inputs.other_commands)
def test_any_other_command_is_run_or_refused_with_a_reason(place: Place, arguments: Sequence[str]) -> None:
    before = contents(place.run)
    with timed():
        check(call(*arguments, *(["--walltime", "1s", "--help"] if arguments[:1] == ["run"] else [])))
    check_unharmed(place.run, before)


@pytest.mark.slow
@examples(100)
@given(first=inputs.journals, second=st.none() | inputs.journals)
def test_a_run_goes_on_from_any_journals_or_names_their_damage_which_can_be_repaired(
    place: Place, first: bytes, second: bytes | None
) -> None:
    place.tidy()
    (place.run / "journal" / "0.jsonl").write_bytes(first)
    if second is not None:
        (place.run / "journal" / "1.jsonl").write_bytes(second)
    before = contents(place.run)
    search = [*SEARCH, "--evaluations", "12", "--walltime", "1s"]
    with timed():
        check(call("best", "run"))
        check(call("repair", "run", "--dry-run"))
        assert contents(place.run) == before
        ended = call(*search)
        check(ended)
        if ended.status == MISTAKEN:
            assert contents(place.run) == before
            assert "journal" in ended.err
            repaired = call("repair", "run")
            check(repaired)
            if "that of another study" in repaired.err:
                return
            assert "repaired" in repaired.out
            again = call(*search)
            check(again)
            assert again.status != MISTAKEN, again.err
        else:
            check_unharmed(place.run, {name: content[: content.rfind(b"\n") + 1] for name, content in before.items()})


@examples(100)
@given(study=inputs.study_jsons)
def test_a_run_with_any_study_record_goes_on_or_is_refused_with_a_reason(place: Place, study: bytes) -> None:
    place.tidy()
    (place.run / "study.json").write_bytes(study)
    before = contents(place.run)
    with timed():
        check(call("best", "run"))
        check(call("repair", "run", "--dry-run"))
        assert contents(place.run) == before
        check(call(*SEARCH, "--evaluations", "5", "--walltime", "1s"))
    check_unharmed(place.run, before)


ON_TWO_RANKS = [
    (["losses.py:loss", "--limits", "{x: [0, nan]}"], "limit 'x'"),
    (["losses.py:loss", "--limits", "[" * 500], "limits"),
    (["losses.py:loss", "--limits", "{x: [0, 1]}", "--seed", "9" * 5000], "seed"),
    (["losses.py:loss", "--limits", "{x: [0.0, 1.0]}", "--objectives.x", "min"], "objectives names 'x'"),
    (["losses.py:loss", "--limits", "{x: [0.0, 1.0]}", "--constraint-metrics", "{a: < 1}"], "constraint_metrics.a"),
    (["study.yaml"], "study"),
    (["losses.py:loss", "--limits", "{x: [0.0, 1.0], y: [0, 9]}", "--run-dir", "run"], "journal"),
]
CALLS = """
import json, sys
from pathlib import Path
from evo.run import main
for arguments in json.loads(Path("calls.json").read_text()):
    print(f"status {main(arguments)}", file=sys.stderr, flush=True)
"""


@pytest.mark.mpi
def test_under_mpirun_one_rank_tells_what_is_wrong(
    place: Place, launcher: Launcher, mpirun: Callable[..., Ended]
) -> None:
    launcher.folder = place.folder
    (place.folder / "study.yaml").write_bytes(b"limits: &a {a: *a}\n\xff")
    (place.run / "journal" / "0.jsonl").write_bytes(b'{"type":"Started"}\n{}\n')
    before = contents(place.run)
    (place.folder / "calls.py").write_text(CALLS)
    (place.folder / "calls.json").write_text(json.dumps([arguments for arguments, _ in ON_TWO_RANKS]))
    ended = mpirun(2, "calls.py")
    assert ended.status == COMPLETE, ended
    statuses = [line for line in ended.err.splitlines() if line.startswith("status ")]
    assert statuses == [f"status {MISTAKEN}"] * 2 * len(ON_TWO_RANKS)
    said = [message.partition("status ")[0] for message in ended.err.split("evo: error: ")[1:]]
    assert len(said) == len(ON_TWO_RANKS)
    for message, (_, problem) in zip(said, ON_TWO_RANKS, strict=True):
        check(Ended(MISTAKEN, "", f"evo: error: {message}"))
        assert problem in message
    assert contents(place.run) == before
