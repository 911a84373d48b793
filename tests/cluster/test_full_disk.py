"""Disks that are really full, or read-only, under real searches."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import evolving
import journals
import pytest
from helpers import Ended, Launcher, wait_until
from ranks import start_ranks

from evo.report.records import gather_evaluations
from evo.storage.rundir import RunDirectory

LOSSES = """
import time

def steady(params):
    time.sleep(0.01)
    return (params["x"] - 0.5) ** 2

def heavy(params, trial):
    (trial.folder / "weights.bin").write_bytes(bytes(params["n"] * 1_000_000))
    return float(params["n"])
"""
SETTINGS = ["losses.py:steady", "--limits", "{x: [0.0, 1.0]}", "--evaluations", "600", "--seed", "1"]
SEARCH = ["-m", "evo.run", *SETTINGS]
HASTY = """
import sys
import evo.storage.retry
from evo.run import main
evo.storage.retry._PATIENCE = 4.0
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def small(launcher: Launcher) -> Iterator[Path]:
    """A file system of 4 MB, which only root can make."""
    (launcher.folder / "losses.py").write_text(LOSSES)
    mounted = launcher.folder / "small"
    mounted.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mounted], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted: {made.stderr.strip()}")
    yield mounted
    launcher.kill()
    wait_until(lambda: subprocess.run(["umount", mounted], capture_output=True).returncode == 0)


def fill(folder: Path) -> Path:
    """Take all the room that there is, to the last byte of the last page that is begun."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def known(directory: Path) -> set[bytes]:
    """The whole lines of all journals."""
    contents = [file.read_bytes() for file in (directory / "journal").glob("*.jsonl")]
    return {line for content in contents for line in content.split(b"\n")[:-1]}


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.mpi
def test_on_a_full_disk_nothing_is_lost_and_with_room_again_the_same_command_completes(
    launcher: Launcher, small: Path, mpirun: Callable[..., Ended], mpirun_command: str
) -> None:
    (launcher.folder / "hasty.py").write_text(HASTY)
    two = start_ranks(launcher, mpirun_command, 2, "hasty.py", *SETTINGS, "--run-dir", small / "two")
    wait_until(lambda: len(known(small / "two")) > 50)
    alone = launcher.start(sys.executable, "hasty.py", *SETTINGS, "--run-dir", small / "alone")
    wait_until(lambda: len(known(small / "alone")) > 50)
    ballast = fill(small)
    recorded = {name: known(small / name) for name in ("alone", "two")}
    for name, ended in (("alone", launcher.finish(alone)), ("two", launcher.finish(two))):
        assert ended.status == 85, ended.err
        assert "Traceback" not in ended.err
        file = rf"{small / name}/journal/\d\.jsonl"
        full = f"journal {file} cannot be written: No space left on device"
        assert re.search(f"^evo: {full}; trying again for 4 s$", ended.err, re.M)
        told = rf"^evo: error: {full}, for \d+ s now; nothing that was recorded before is lost: "
        assert re.search(told, ended.err, re.M)
        assert not (small / name / "summary.json").exists()
    ballast.unlink()
    for name, again in (
        ("alone", launcher.python(*SEARCH, "--run-dir", small / "alone")),
        ("two", mpirun(2, *SEARCH, "--run-dir", small / "two")),
    ):
        assert (again.status, again.err) == (0, "")
        assert recorded[name] <= known(small / name)
        evaluations = gather_evaluations(RunDirectory(small / name).events())
        assert {evaluation.status for evaluation in evaluations} == {"completed"}
        assert 600 <= len(evaluations) <= 601
        assert (small / name / "summary.json").exists()


@pytest.mark.root
def test_on_a_full_disk_no_state_is_lost_from_which_others_would_go_on(launcher: Launcher, small: Path) -> None:
    (launcher.folder / "hasty.py").write_text(HASTY.replace("4.0", "0.5"))
    study = ["evolving:loss", "--limits", evolving.ON_COMMAND_LINE, "--propagator", evolving.PBT, "--evaluations", "60"]
    study += ["--run-dir", str(small / "run")]
    search = launcher.start(sys.executable, "hasty.py", *study)
    wait_until(lambda: journals.count_finished(small / "run") > 20)
    ballast = fill(small)
    ended = launcher.finish(search)
    assert (ended.status, "Traceback" in ended.err) == (85, False), ended
    evolving.check_kept(small / "run")
    ballast.unlink()
    assert launcher.evo(*study).status == 0
    evolving.check_ended(small / "run", ranks=1, islands=1)


@pytest.mark.root
def test_a_disk_that_is_full_for_a_moment_costs_that_moment(launcher: Launcher, small: Path) -> None:
    search = launcher.start(sys.executable, *SEARCH, "--run-dir", small / "run", "--quiet", "--evaluations", "400")
    wait_until(lambda: len(known(small / "run")) > 20)
    ballast = fill(small)
    assert search.stderr is not None
    assert search.stderr.readline().endswith("No space left on device; trying again for 30 s\n")
    ballast.unlink()
    assert (launcher.finish(search).status, search.returncode) == (0, 0)
    assert len(gather_evaluations(RunDirectory(small / "run").events())) == 400


@pytest.mark.root
@pytest.mark.parametrize("evaluate", ["inline", "process"])
def test_an_evaluation_that_fails_for_want_of_room_is_interrupted_and_taken_up_again(
    launcher: Launcher, small: Path, evaluate: str
) -> None:
    search = ["losses.py:heavy", "--limits", "{n: [3, 8]}", "--evaluate", evaluate, "--run-dir", "small/run", "--quiet"]
    ended = launcher.evo(*search)
    assert ended.status == 85
    told = (
        r"^evo: \d-\d is interrupted: .*/small/run/individuals/\d-\d cannot be written: No space left on device \(OSErr"
    )
    assert re.search(told, ended.err)
    assert ended.err.count("\n") == 1
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    assert launcher.evo(*search).status == 0
    evaluations = gather_evaluations(RunDirectory(small / "run").events())
    assert [evaluation.status for evaluation in evaluations] == ["completed"] * 6


@pytest.mark.root
def test_a_read_only_directory_is_named_at_once(launcher: Launcher, small: Path) -> None:
    assert launcher.python(*SEARCH, "--run-dir", "small/run", "--evaluations", "10").status == 0
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    for run_dir in ("small/run", "small/new"):
        began = time.monotonic()
        ended = launcher.python(*SEARCH, "--run-dir", run_dir)
        assert ended.status == 2
        assert re.fullmatch(
            rf"evo: error: run directory {run_dir}: .* cannot be written; choose another .*\n", ended.err
        )
        assert time.monotonic() - began < 20
    subprocess.run(["mount", "-o", "remount,rw", small], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_search_goes_on_when_what_it_prints_cannot_be_written(launcher: Launcher, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        search = launcher.start(sys.executable, "-m", "evo.run", "sphere", "--run-dir", "run", stdout=full.fileno())
        assert (launcher.finish(search).status, search.returncode) == (0, 0)
    assert (tmp_path / "run" / "summary.json").exists()
