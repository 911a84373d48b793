"""`evo doctor` on real ranks of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from examined import DOCTOR, check_report, without_torch
from helpers import Ended, Launcher, mpi_variables


@pytest.fixture
def doctor(launcher: Launcher) -> list[str | Path]:
    return without_torch(launcher)


def test_one_process_is_examined(launcher: Launcher, doctor: list[str | Path]) -> None:
    before = sorted(launcher.folder.rglob("*.py"))
    check_report("one-process", launcher.python(*doctor), 0)
    assert sorted(path for path in launcher.folder.rglob("*") if path.is_file()) == before


@pytest.mark.mpi
def test_four_ranks_are_examined_and_one_of_them_speaks(launcher: Launcher, mpirun: Callable[..., Ended]) -> None:
    ended = mpirun(4, *DOCTOR)
    check_report("mpirun", ended, 0)
    assert ended.err == ""
    assert list(launcher.folder.iterdir()) == []


@pytest.fixture
def read_only(tmp_path: Path) -> list[str]:
    """Begins a command that sees the folder `closed` read-only, root or not."""
    (tmp_path / "closed").mkdir()
    begin = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    begin += ['mount --bind closed closed && mount -o remount,ro,bind closed && exec "$0" "$@"']
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        pytest.skip("a read-only folder needs unshare, of util-linux")
    tried = subprocess.run([*begin, "true"], cwd=tmp_path, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine does not permit a read-only folder: {tried.stderr.strip()}")
    return begin


def test_a_read_only_run_directory_is_a_problem(
    launcher: Launcher, read_only: Sequence[str], doctor: list[str | Path]
) -> None:
    ended = launcher.run(*read_only, sys.executable, *doctor, "--run-dir", "closed/runs")
    check_report("read-only", ended, 1)


@pytest.mark.mpi
def test_a_rank_bound_to_one_core_is_a_problem(
    launcher: Launcher, mpirun_command: str, doctor: list[str | Path]
) -> None:
    if (os.cpu_count() or 1) < 2 or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core")
    command = [mpirun_command, "-n", "1", "--bind-to", "core", sys.executable, *doctor]
    ended = launcher.run(*command, **mpi_variables())
    assert ended.status == 1
    assert re.search(r"^problem  cores .* \(rank 0\): bound to 1 core, although", ended.out, re.M)
    assert "--bind-to none" in ended.out


@pytest.mark.mpi
def test_ranks_that_never_connect_are_not_waited_for(launcher: Launcher, mpirun_command: str) -> None:
    command = [mpirun_command, "-n", "1", "--bind-to", "none", sys.executable, *DOCTOR, "--timeout", "3s"]
    ended = launcher.run(*command, ":", "-n", "1", "sleep", "30", timeout=20, **mpi_variables())
    assert ended.status != 0
    assert re.search("^evo: error: stuck for 3 s while the ranks connect: ", ended.err, re.M)
    assert ended.out == ""
    assert "Traceback" not in ended.err


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bogus"], "evo: error: unrecognized arguments: --bogus; --help lists the options"),
        (["--timeout", "soon"], "evo: error: timeout is 'soon': give seconds above 0, or for example 30m, 1h30m"),
        (["--gpus-per-node", "-1"], "evo: error: gpus_per_node is -1"),
    ],
)
def test_a_wrong_option_is_named_once(mpirun: Callable[..., Ended], options: Sequence[str], message: str) -> None:
    ended = mpirun(2, "-m", "evo.doctor", *options)
    assert ended.status == 2
    assert ended.err.count("evo: error:") == 1
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_more_gpus_than_are_visible_are_a_wrong_option(launcher: Launcher) -> None:
    ended = launcher.python("-m", "evo.doctor", "--gpus-per-node", "3", CUDA_VISIBLE_DEVICES="0,1")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("evo: error: gpus_per_node is 3, but CUDA_VISIBLE_DEVICES=0,1 shows 2")


def test_the_help_is_shown_by_one_process(launcher: Launcher) -> None:
    assert "--run-dir" in launcher.python("-m", "evo.doctor", "--help", OMPI_COMM_WORLD_RANK="0").out
    assert launcher.python("-m", "evo.doctor", "--help", OMPI_COMM_WORLD_RANK="1").out == ""


def test_tasks_that_srun_left_alone_are_told_by_the_first_of_them(launcher: Launcher, doctor: list[str | Path]) -> None:
    tasks = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}
    first = launcher.python(*doctor, SLURM_PROCID="0", **tasks)
    check_report("wrong-mpi", first, 1)
    for task in "123":
        other = launcher.python(*doctor, SLURM_PROCID=task, **tasks)
        assert (other.status, other.out, other.err) == (0, "", "")
