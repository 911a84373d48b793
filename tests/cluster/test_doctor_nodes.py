"""`evo doctor` on several nodes: two that this machine pretends to be, and those of a Slurm job."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from examined import check_report, without_torch
from helpers import Ended, Launcher, make_environment
from slurm import Slurm
from two_nodes import TwoNodes, two_nodes, why_not


@pytest.fixture
def doctor(launcher: Launcher) -> list[str | Path]:
    return without_torch(launcher)


@pytest.fixture
def nodes(launcher: Launcher, mpirun_command: str) -> Iterator[TwoNodes]:
    if problem := why_not(mpirun_command):
        pytest.skip(problem)
    with two_nodes(launcher, mpirun_command) as nodes:
        yield nodes


@pytest.mark.mpi
@pytest.mark.root
def test_messages_and_clocks_of_another_node_are_measured(nodes: TwoNodes, doctor: list[str | Path]) -> None:
    ended = nodes.run(2, *doctor, extra_mpirun_args=["--with-ft", "ulfm"])
    assert ended.status == 0, ended
    assert re.search(r"^ok +world +4 ranks on 2 machines, all connected$", ended.out, re.M)
    assert f"{nodes.hosts[0]}, {nodes.hosts[1]} (2 machines): 2 ranks each, on cpu" in " ".join(ended.out.split())
    assert re.search(r"^ok +clocks +within [\d.e-]+ ms of that of ", ended.out, re.M)
    assert re.search(r"^(ok|note) +messages +[\d.]+ [um]s there and back; slowest", ended.out, re.M)
    assert re.search(r"^ok +faults +started with --with-ft ulfm", ended.out, re.M)
    assert "can be written from every machine, and the same on all" in ended.out


@pytest.mark.mpi
@pytest.mark.root
def test_a_run_directory_that_another_node_does_not_see_is_a_problem(nodes: TwoNodes, doctor: list[str | Path]) -> None:
    # Each node has a /dev/shm of its own.
    ended = nodes.run(1, *doctor, "--run-dir", "/dev/shm/runs")
    assert ended.status == 1, ended
    words = " ".join(ended.out.split())
    host, other = nodes.hosts
    assert f"/dev/shm/runs: what {host} wrote is not there (No such file or directory) on {other} (rank 1)" in words


@pytest.fixture
def in_job(slurm: Slurm, launcher: Launcher, mpirun_command: str) -> Iterator[Callable[..., Ended]]:
    """Runs a command line in a batch job of two nodes with two tasks on each."""
    make_environment(launcher.folder, mpirun_command)

    def run(line: str) -> Ended:
        script = launcher.folder / "job.sh"
        script.write_text(f"#!/bin/bash\nsource .venv/bin/activate\n{line} >out.txt 2>err.txt\n")
        job = slurm.submit(launcher, "--nodes=2", "--ntasks-per-node=2", "--time=60", "--output=job.out", script)
        status = slurm.wait(job, 90)
        return Ended(status, *((launcher.folder / name).read_text() for name in ("out.txt", "err.txt")))

    yield run
    slurm.end_jobs()


@pytest.mark.mpi
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "start", "status"),
    [
        ("slurm-pmix", "srun --mpi=pmix", 0),
        ("slurm-none", "srun --mpi=none", 1),
        ("slurm-mpirun", "mpirun --bind-to none", 0),
    ],
)
def test_a_slurm_job_is_examined(
    in_job: Callable[..., Ended], doctor: list[str | Path], name: str, start: str, status: int
) -> None:
    ended = in_job(f"{start} python {shlex.join(map(str, doctor))}")
    check_report(name, ended, status)
