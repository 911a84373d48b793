"""The batch job that a search runs in: which batch system has it, and when it ends."""

from __future__ import annotations

import doctest
import os
import time
from pathlib import Path

import pytest

import evo.runtime.batch.catalogue
import evo.runtime.mpi.launch
from evo.runtime.batch import BATCH_SYSTEMS, allocation_end, find_batch_system, find_step
from evo.runtime.mpi import speaks, why_not_one_world
from evo.runtime.mpi.launch import place_on_node

COMMANDS = ("squeue", "qstat", "bjobs", "flux")
OPENPBS = """Job Id: 7.server
    Job_Name = search
    resources_used.walltime = 00:10:00
    job_state = R
    Resource_List.select = 2:ncpus=64:ngpus=4:mpiprocs=4
    Resource_List.walltime = 02:30:00
    stime = Sat Jan 31 12:00:00 2026
    estimated.start_time = Sat Jan 31 11:00:00 2026
"""
TORQUE = """Job Id: 7.server
    Resource_List.walltime = 02:30:00
    start_time = Sat Jan 31 12:00:00 2026
    Walltime.Remaining = 8598
"""
LSF_HEAD = "JOBID  USER STAT QUEUE  FROM_HOST EXEC_HOST JOB_NAME TIME_LEFT\n"


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What commands that stand in for those of batch systems print, and beside it the arguments that they got."""
    for name in COMMANDS:
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/answers\n')
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "answers"


def test_outside_of_a_job_there_is_no_end(answers: Path) -> None:
    answers.write_text("2026-01-31T12:00:00\n")
    assert allocation_end({}) is None
    assert not answers.with_name("asked").exists()


def test_a_job_is_told_its_end(answers: Path) -> None:
    assert allocation_end({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1795227438"}) == 1795227438.0
    assert not answers.with_name("asked").exists()


def test_or_else_it_asks_for_it(answers: Path) -> None:
    answers.write_text("7 2026-01-31T12:00:00\n")
    end = time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))  # In local time, as Slurm says it.
    assert allocation_end({"SLURM_JOB_ID": "7"}) == end
    assert answers.with_name("asked").read_text().split() == ["--noheader", "--job", "7", "--format", "%A", "%e"]


def test_a_task_that_has_the_number_of_its_array_takes_its_own_line(answers: Path) -> None:
    answers.write_text("8 2026-01-31T13:00:00\n7 2026-01-31T12:00:00\n9 N/A\n")
    assert allocation_end({"SLURM_JOB_ID": "7"}) == time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))
    assert allocation_end({"SLURM_JOB_ID": "9"}) is None


@pytest.mark.parametrize("answer", ["7 N/A\n", "N/A\n", "", "slurm_load_jobs error: Invalid job id specified\n"])
def test_a_job_without_an_end_has_none(answers: Path, answer: str) -> None:
    answers.write_text(answer)
    assert allocation_end({"SLURM_JOB_ID": "7"}) is None


def test_without_slurm_commands_there_is_no_end_to_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert allocation_end({"SLURM_JOB_ID": "7"}) is None


# Other batch systems.


def local_time(hour: int, minute: int) -> float:
    return time.mktime((2026, 1, 31, hour, minute, 0, 0, 0, -1))


def test_pbs_tells_when_a_job_began_and_how_long_it_may_take(answers: Path) -> None:
    answers.write_text(OPENPBS)
    assert allocation_end({"PBS_JOBID": "7.server"}) == local_time(14, 30)
    assert answers.with_name("asked").read_text().split() == ["-f", "7.server"]


@pytest.mark.parametrize(("limit", "seconds"), [("30:00", 1800), ("100:00:01", 360001)])
def test_a_walltime_of_pbs_may_have_no_hours_or_many(answers: Path, limit: str, seconds: int) -> None:
    answers.write_text(OPENPBS.replace("02:30:00", limit))
    assert allocation_end({"PBS_JOBID": "7.server"}) == local_time(12, 0) + seconds


def test_torque_tells_how_long_a_job_has_left(answers: Path) -> None:
    answers.write_text(TORQUE)
    assert allocation_end({"PBS_JOBID": "7.server"}) == pytest.approx(time.time() + 8598, abs=60)


def test_where_qstat_does_not_answer_torque_has_told_the_job_its_limit(tmp_path: Path, answers: Path) -> None:
    answers.write_text("qstat: cannot connect to server\n")
    nodes = tmp_path / "nodes"
    nodes.write_text("node1\nnode1\nnode2\nnode2\n")
    os.utime(nodes, (1000.0, 1000.0))
    torque = {"PBS_JOBID": "7.server", "PBS_WALLTIME": "3600", "PBS_NODEFILE": str(nodes)}
    assert allocation_end(torque) == 4600.0
    assert allocation_end({**torque, "PBS_NODEFILE": str(tmp_path / "absent")}) is None
    assert allocation_end({"PBS_JOBID": "7.server", "PBS_NODEFILE": str(nodes)}) is None


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "qstat: Unknown Job Id 7.server\n",
        "    Resource_List.walltime = 02:30:00\n",
        "    stime = Sat Jan 31 12:00:00 2026\n",
        "    Resource_List.walltime = soon\n    stime = Sat Jan 31 12:00:00 2026\n",
        "    Resource_List.walltime = 01:00:00\n    stime = 1769860800\n",
    ],
)
def test_pbs_that_does_not_tell_all_tells_no_end(answers: Path, answer: str) -> None:
    answers.write_text(answer)
    assert allocation_end({"PBS_JOBID": "7.server"}) is None


def test_lsf_tells_how_long_a_job_has_left(answers: Path) -> None:
    answers.write_text(f"{LSF_HEAD}77   me   RUN  normal hostA     4*hostB   search   1:05 L\n")
    assert allocation_end({"LSB_JOBID": "77", "LSB_JOBINDEX": "0"}) == pytest.approx(time.time() + 3900, abs=60)
    assert answers.with_name("asked").read_text().split() == ["-WL", "77"]
    allocation_end({"LSB_JOBID": "77", "LSB_JOBINDEX": "3"})
    assert answers.with_name("asked").read_text().split() == ["-WL", "77[3]"]


@pytest.mark.parametrize("left", ["1:05 E", "0:00 X", "-", ""])
def test_what_lsf_estimates_is_no_end(answers: Path, left: str) -> None:
    answers.write_text(f"{LSF_HEAD}77   me   RUN  normal hostA     4*hostB   search   {left}\n")
    assert allocation_end({"LSB_JOBID": "77"}) is None


@pytest.mark.parametrize(("answer", "left"), [("299\n", 299), ("0\n", None), (f"{2**32 - 1}\n", None), ("", None)])
def test_flux_tells_how_many_seconds_a_job_has_left(answers: Path, answer: str, left: int | None) -> None:
    answers.write_text(answer)
    end = allocation_end({"FLUX_JOB_ID": "f7"})
    assert end is None if left is None else end == pytest.approx(time.time() + left, abs=60)
    assert answers.with_name("asked").read_text().split() == ["job", "timeleft"]


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, "Slurm"),
        ({"PBS_JOBID": "7.server"}, "PBS"),
        ({"LSB_JOBID": "7"}, "LSF"),
        ({"FLUX_JOB_ID": "f7"}, "Flux"),
        ({"FLUX_JOB_ID": "f7", "LSB_JOBID": "7"}, "Flux"),
    ],
)
def test_a_batch_system_is_known_by_the_number_of_its_job(variables: dict[str, str], name: str | None) -> None:
    system = find_batch_system(variables)
    assert (system.name if system else None) == name


def test_the_nodes_of_a_job_are_what_its_environment_tells(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    nodes.write_text("node1\nnode1\nnode2\nnode2\nnode3\n")
    told = {
        "Slurm": {"SLURM_JOB_NUM_NODES": "3"},
        "PBS": {"PBS_NODEFILE": str(nodes)},
        "LSF": {"LSB_MCPU_HOSTS": "node1 4 node2 4 node3 2"},
        "Flux": {"FLUX_JOB_NNODES": "3"},
    }
    for system in BATCH_SYSTEMS:
        assert system.nodes(told[system.name]) == 3
        assert system.nodes({}) == 0


def test_every_batch_system_says_how_a_search_goes_on() -> None:
    assert all("again" in system.again for system in BATCH_SYSTEMS)


@pytest.mark.parametrize(
    ("rank", "local_rank", "launcher"),
    [
        ("SLURM_PROCID", "SLURM_LOCALID", "srun"),
        ("FLUX_TASK_RANK", "FLUX_TASK_LOCAL_ID", "flux run"),
        ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK", "jsrun"),
    ],
)
def test_the_first_of_a_batch_systems_own_launcher_speaks_for_those_that_are_alone(
    rank: str, local_rank: str, launcher: str
) -> None:
    size = {"srun": "SLURM_STEP_NUM_TASKS", "flux run": "FLUX_JOB_SIZE", "jsrun": "JSM_NAMESPACE_SIZE"}[launcher]
    second = {rank: "1", local_rank: "1", size: "4"}
    assert speaks({**second, rank: "0"})
    assert not speaks(second)
    assert speaks({**second, "PMIX_RANK": "0"})
    assert place_on_node(second) == (1, 2)
    assert why_not_one_world(1, second).startswith(f"{launcher} started 4 tasks, but each is alone: start them with ")
    assert why_not_one_world(4, second) == ""
    step = find_step(second)
    assert step
    assert step.count(second) == 4
    assert find_step({rank: "1"}) is None


PMI = {"PMI_SIZE": "2", "PALS_RANKID": "1"}
OPEN_MPI_ALONE = {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}


def test_ranks_of_a_launcher_that_tells_by_pmi_do_not_search_alone() -> None:
    problem = why_not_one_world(1, PMI)
    assert problem.startswith("the launcher started 2 ranks, but each is alone: the MPI that mpi4py uses does not ")
    assert "MPI4PY_LIBMPI" in problem
    hydra = {"PMI_SIZE": "4", "PMI_RANK": "3", "HYDI_CONTROL_FD": "9", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}
    assert why_not_one_world(1, hydra).startswith("mpirun started 4 ranks, but each is alone: the MPI that mpi4py uses")
    by_srun = {"PMI_SIZE": "4", "PMI_RANK": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}
    assert why_not_one_world(1, by_srun).startswith(
        "srun started 4 tasks, but each is alone: start them with srun --mpi"
    )
    in_srun = {"OMPI_COMM_WORLD_SIZE": "4", "PMI_SIZE": "1", "PMI_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}
    assert why_not_one_world(1, in_srun).startswith("mpirun started 4 ranks, but each is alone: it has ended, or")
    assert [speaks(PMI), speaks({**PMI, "PALS_RANKID": "0"}), speaks({"PMI_SIZE": "2"})] == [False, True, True]


@pytest.mark.parametrize(
    ("size", "environment"),
    [
        (2, PMI),
        (1, {"PMI_SIZE": "1", "PMI_RANK": "0"}),
        (1, {"PMI_SIZE": "many"}),
        (1, {**PMI, **OPEN_MPI_ALONE}),  # mpirun -n 1 of Open MPI, inside of what PALS has started.
        (1, {"OMPI_COMM_WORLD_SIZE": "4", "PMI_SIZE": "1", "HYDI_CONTROL_FD": "9"}),  # mpirun -n 1 of Hydra in another.
        (1, {"PMI_SIZE": "1", "PMI_RANK": "0", "SLURM_STEP_NUM_TASKS": "4"}),  # mpiexec -n 1 of Hydra in a step.
        (1, {**OPEN_MPI_ALONE, "SLURM_STEP_NUM_TASKS": "4"}),
    ],
)
def test_ranks_that_know_each_other_and_one_that_was_started_alone_are_no_problem(
    size: int, environment: dict[str, str]
) -> None:
    assert why_not_one_world(size, environment) == ""


def test_the_examples_in_the_documentation_run() -> None:
    for module in (evo.runtime.batch.catalogue, evo.runtime.mpi.launch):
        tried = doctest.testmod(module)
        assert tried.attempted > 0
        assert tried.failed == 0
