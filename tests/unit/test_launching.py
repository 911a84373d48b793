"""Ranks that evo starts itself: when it may, how many, and by which mpirun; no mpirun is started here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from helpers import call

import evo
from evo.errors import UserError
from evo.runtime.mpi.mpirun import INTEL_MPI, MPICH, OPEN_MPI, Mpirun, find_mpirun
from evo.study import launching
from evo.study.launching import check_place, split_ranks

LAUNCHED = ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PALS_RANKID", "MPI_LOCALNRANKS")
JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LAUNCHED, *JOBS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("words", "ranks", "others"),
    [
        ("study.yaml --ranks 4", 4, "study.yaml"),
        ("--ranks=2 sphere --seed 1", 2, "sphere --seed 1"),
        ("--ranks 2 sphere --ranks 3", 3, "sphere"),
        ("sphere --ranks-per-worker 2", None, "sphere --ranks-per-worker 2"),
        ("--ranks 4 --help", None, "--help"),
    ],
)
def test_ranks_is_taken_from_a_command_line(words: str, ranks: int | None, others: str) -> None:
    assert split_ranks(words.split()) == (ranks, others.split())


@pytest.mark.parametrize("words", [["--ranks"], *([f"--ranks={text}"] for text in ("x", "", "0", "-1", "2.5", "1e2"))])
def test_what_is_no_number_of_ranks_is_refused(words: list[str]) -> None:
    ended = call("run", "sphere", *words)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("evo: error: ranks")


@pytest.mark.parametrize(
    ("environment", "typed"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "0"}, "mpirun -n 4 evo run s.yaml"),
        ({"PMI_SIZE": "3", "PMI_RANK": "0", "HYDI_CONTROL_FD": "7"}, "mpirun -n 4 evo run s.yaml"),
        (
            {"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "PMIX_RANK": "0"},
            "srun --mpi=pmix -n 4 evo run s.yaml",
        ),
        ({"SLURM_JOB_ID": "7"}, "srun --mpi=pmix -n 4 evo run s.yaml, or mpirun -n 4 evo run s.yaml"),
        ({"PBS_JOBID": "7.server"}, "mpirun -n 4 evo run s.yaml"),
        ({"LSB_JOBID": "7"}, "mpirun -n 4 evo run s.yaml"),
        ({"FLUX_JOB_ID": "f7"}, "flux run -o pmi=pmix -n 4 evo run s.yaml"),
    ],
)
def test_where_others_start_ranks_the_message_says_what_to_type(environment: dict[str, str], typed: str) -> None:
    with pytest.raises(UserError) as refused:
        check_place(4, "evo run s.yaml", environment)
    assert typed in str(refused.value)


def test_one_rank_is_a_plain_run_in_a_batch_job_too() -> None:
    check_place(1, "evo run", {"SLURM_JOB_ID": "7"})
    check_place(4, "evo run", {})


@pytest.mark.parametrize("ranks", [0, -1, 2.5, "4", True])
def test_a_call_refuses_the_same_numbers(ranks: object) -> None:
    with pytest.raises(UserError, match="ranks is"):
        evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, evaluations=2, ranks=ranks)  # type: ignore[arg-type]


def test_a_communicator_and_ranks_do_not_go_together() -> None:
    with pytest.raises(UserError, match="leave out one"):
        evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, evaluations=2, ranks=2, comm=object())


def test_a_study_file_says_nothing_of_ranks(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("objective: sphere\nranks: 4\n")
    ended = call("run", str(tmp_path / "study.yaml"))
    assert ended.status == 2
    assert "--ranks 4" in ended.err


def test_a_mistake_is_said_before_there_is_any_mpirun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "own_mpirun", lambda *_: pytest.fail("an mpirun is looked for"))
    ended = call("run", "sphere", "--ranks", "2", "--evaluation", "3")
    assert ended.status == 2
    assert ended.err.startswith("evo: error: unrecognized arguments: --evaluation 3; did you mean --evaluations?")
    assert ended.err.count("\n") == 1


def test_each_make_of_mpirun_gets_its_own_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    flags = ["--host", "localhost:4", "--bind-to", "none", "-n", "4"]
    assert Mpirun(OPEN_MPI, "mpirun").words(4) == ["mpirun", *flags]
    assert "OMPI_MCA_mpi_yield_when_idle" not in Mpirun(OPEN_MPI, "mpirun").variables(4, cores=4)
    assert Mpirun(MPICH, "mpiexec").words(4) == ["mpiexec", "-launcher", "fork", "-n", "4"]
    assert Mpirun(INTEL_MPI, "mpiexec").variables(4, 8)["I_MPI_PIN"] == "0"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Mpirun(OPEN_MPI, "mpirun").words(4) == ["mpirun", "--allow-run-as-root", *flags]


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, library: str, **programs: str) -> dict[str, str]:
    """An mpi4py whose library says something, beside programs that say something."""
    package, programs_folder = folder / "site" / "mpi4py", folder / "bin"
    package.mkdir(parents=True)
    programs_folder.mkdir()
    (package / "__init__.py").write_text("import types\nrc = types.SimpleNamespace()\n")
    (package / "MPI.py").write_text(library)
    for name, says in programs.items():
        (programs_folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (programs_folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "path", [str(package.parent), *sys.path])
    return {"PATH": str(programs_folder)}


SAYS = "def Get_library_version():\n    return {!r}\n"


@pytest.mark.parametrize(
    ("library", "programs", "found"),
    [
        ("MPICH Version:      5.0.2\0", {"mpirun": "mpirun (Open MPI) 5", "mpiexec": "HYDRA build details"}, "mpiexec"),
        ("Intel(R) MPI Library 2021", {"mpiexec.hydra": "Intel(R) MPI Library for Linux* OS"}, "mpiexec.hydra"),
        ("MVAPICH Version: 4.0", {"mpirun": "HYDRA build details"}, "mpirun"),
    ],
)
def test_the_mpirun_is_that_of_the_mpi_that_mpi4py_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, programs: dict[str, str], found: str
) -> None:
    environment = pretend(tmp_path, monkeypatch, SAYS.format(library), **programs)
    assert Path(find_mpirun(environment).program) == tmp_path / "bin" / found


@pytest.mark.parametrize(
    ("library", "said"),
    [
        ("raise RuntimeError('cannot load MPI library')", "cannot load MPI library"),
        ("raise ImportError('libmpi.so.40: cannot open shared object file')", "libmpi.so.40"),
        (SAYS.format("MPICH Version: 5"), "no mpirun of MPICH"),
        (SAYS.format("Fancy MPI 1"), "Fancy MPI 1"),
    ],
)
def test_without_an_mpirun_the_message_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, said: str
) -> None:
    environment = pretend(tmp_path, monkeypatch, library)
    with pytest.raises(UserError) as refused:
        find_mpirun(environment)
    assert said in str(refused.value)
    assert "pip install" in str(refused.value) or "yourself" in str(refused.value)
