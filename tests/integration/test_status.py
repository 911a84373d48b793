"""`evo status` beside a real search on several ranks: it follows it to its end, and sees when it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Launcher, mpi_variables, wait_until

pytestmark = pytest.mark.mpi

# Each step waits for a file, so that the test decides when the search goes on.
STEPS = """
import os, time

def loss(params):
    for step in range(3):
        while not os.path.exists(f"go.{step}"):
            time.sleep(0.01)
        yield params["x"] ** 2 + 1 / (step + 1)
"""
SEARCH = ["-m", "evo.run", "steps.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--generations", "2"]


@pytest.fixture
def search(launcher: Launcher, mpirun_command: str) -> Callable[[], object]:
    (launcher.folder / "steps.py").write_text(STEPS)
    command = [mpirun_command, "-n", "2", sys.executable, *SEARCH]
    return lambda: launcher.start(*command, stdout=subprocess.DEVNULL, **mpi_variables())


def look(launcher: Launcher) -> dict[str, object]:
    ended = launcher.python("-m", "evo", "status", "--json", "here")
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert isinstance(found, dict)
    return found


def test_status_follows_a_search_from_its_first_reports_to_its_end_and_leaves_no_trace(
    launcher: Launcher, search: Callable[[], object]
) -> None:
    here = launcher.folder / "here"
    search()
    (launcher.folder / "go.0").touch()
    wait_until(lambda: sum(b"Reported" in file.read_bytes() for file in (here / "journal").glob("*")) == 2)
    found = look(launcher)
    assert (found["state"], found["running"], found["total"], found["best"]) == ("running", 2, 4, None)
    workers = found["workers"]
    assert isinstance(workers, list)
    assert [(one["individual"], one["steps"], one["state"]) for one in workers] == [
        ("0-0", 1, "evaluating"),
        ("1-0", 1, "evaluating"),
    ]
    files = sorted(path.relative_to(here) for path in here.rglob("*"))
    follower = launcher.start(sys.executable, "-m", "evo", "status", "--follow", "here")
    assert follower.stdout is not None
    assert "] 0/4 evaluations, best none yet; 2 in evaluation; " in follower.stdout.readline()
    assert sorted(path.relative_to(here) for path in here.rglob("*")) == files
    for step in (1, 2):
        (launcher.folder / f"go.{step}").touch()
    ended = launcher.finish(follower)
    assert (ended.status, ended.err) == (0, "")
    assert "] 4/4 evaluations, best " in ended.out.splitlines()[-1]
    assert ended.out.endswith("; complete: 2 generations are complete\n")


def test_a_search_that_was_killed_is_seen_to_be_dead(launcher: Launcher, search: Callable[[], object]) -> None:
    search()
    journals = launcher.folder / "here" / "journal"
    wait_until(lambda: sum(b"Started" in file.read_bytes() for file in journals.glob("*")) == 2)
    follower = launcher.start(sys.executable, "-m", "evo", "status", "--follow", "here")
    assert follower.stdout is not None
    assert "2 in evaluation" in follower.stdout.readline()
    for process in _ranks(launcher, follower.pid):
        os.kill(process, signal.SIGKILL)
    ended = launcher.finish(follower)
    assert ended.out.rstrip().endswith("killed: its processes are gone; the same command goes on, with what was in "
                                       "evaluation first")  # fmt: skip
    assert look(launcher)["state"] == "killed"


def _ranks(launcher: Launcher, apart_from: int) -> list[int]:
    """All that was started, but for one process."""
    return [process for process in launcher.survivors() if process != apart_from and Path(f"/proc/{process}").exists()]
