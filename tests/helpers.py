"""Helpers for several test modules: waiting for conditions, and processes that cannot outlive their test."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pytest

T = TypeVar("T")

TESTS = Path(__file__).parent
_FOLDERS = (TESTS.parent, TESTS, *(TESTS / tier for tier in ("unit", "integration", "cluster")))
_LAUNCH_PREFIXES = ("OMPI_", "OPAL_", "PMIX_", "PMI_", "PRTE_", "HYDRA_", "HYDI_", "MPI_", "SLURM_", "PYTEST_")


def wait_until(condition: Callable[[], T], seconds: float = 30.0) -> T:
    """What a condition returns as soon as it is true; fails when it stays false, on a machine with much else to do."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.01)
    return value


def is_alive(process: int) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    out: str
    err: str


class Launcher:
    """Starts processes in one folder, each in a group of its own, and ends all of them and what they started.

    Args:
        folder: Their working directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A killed mpirun leaves files named after its process behind, and a later one with the same process number
        # refuses to start beside them. File names in there are long, so the path is short.
        self._temporary = tempfile.mkdtemp(prefix="evo-test-", dir="/tmp")
        self._mark = f"EVO_TEST={uuid.uuid4().hex}"
        self._started: list[subprocess.Popen[str]] = []

    def environment(self) -> dict[str, str]:
        """The variables of a process that no launcher and no test runner has touched."""
        name, _, value = self._mark.partition("=")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_LAUNCH_PREFIXES)}
        path = os.pathsep.join(filter(None, [*map(str, _FOLDERS), os.environ.get("PYTHONPATH", "")]))
        return kept | {"PYTHONPATH": path, "TMPDIR": self._temporary, name: value}

    def start(self, *command: str | Path, stdout: int = subprocess.PIPE, **variables: str) -> subprocess.Popen[str]:
        """Start a process, whose output goes to pipes unless `stdout` says otherwise."""
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=self.folder,
            env=self.environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str], timeout: float = 120.0) -> Ended:
        """Wait for the end of a process."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = process.communicate(timeout=60)
            raise AssertionError(f"still running after {timeout:g} s: {process.args}\n{out}\n{err}") from None
        return Ended(process.returncode, out, err)

    def run(self, *command: str | Path, timeout: float = 120.0, **variables: str) -> Ended:
        """Run a process to its end."""
        return self.finish(self.start(*command, **variables), timeout)

    def python(self, *arguments: str | Path, timeout: float = 120.0, **variables: str) -> Ended:
        """Run Python to its end."""
        return self.run(sys.executable, *arguments, timeout=timeout, **variables)

    def evo(self, *arguments: str | Path, timeout: float = 120.0, **variables: str) -> Ended:
        """Run a search on one rank to its end."""
        return self.python("-m", "evo.run", *arguments, timeout=timeout, **variables)

    def survivors(self) -> list[int]:
        """The processes that were started here, by whomever, and still run (Linux)."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0") and is_alive(int(folder.name)):
                    found.append(int(folder.name))
        return found

    def kill(self) -> None:
        """End everything."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        for process_id in self.survivors():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)

    def close(self) -> None:
        """End everything and wait for it."""
        self.kill()
        for process in self._started:
            process.communicate(timeout=60)
        shutil.rmtree(self._temporary, ignore_errors=True)


def call(*arguments: str) -> Ended:
    """The evo command, in this process: for what ends soon and starts no search of several ranks."""
    import evo.cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = evo.cli.main(arguments)
        except SystemExit as exit:
            status = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    return Ended(status, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class RunOnce:
    """Something that was run once for several tests.

    Args:
        ended: How it ended.
        folder: The folder in which it was run.
    """

    ended: Ended
    folder: Path


def run_once(temporary: pytest.TempPathFactory, name: str, run: Callable[[Launcher], Ended]) -> RunOnce:
    """Run something that takes long once, even where several processes run tests: the first one that needs it.

    Args:
        temporary: The fixture `tmp_path_factory`.
        name: The name of the folder.
        run: Runs it.
    """
    base = temporary.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, said = shared / name, shared / f"{name}.json"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            folder.mkdir(exist_ok=True)
            with contextlib.closing(Launcher(folder)) as launcher:
                ended = run(launcher)
            said.write_text(json.dumps([ended.status, ended.out, ended.err]))
    return RunOnce(Ended(*json.loads(said.read_text())), folder)


def make_environment(folder: Path, mpirun_command: str) -> Path:
    """Make .venv in a folder, after whose activation python, evo and mpirun are those under test.

    Args:
        folder: The folder that gets .venv.
        mpirun_command: The mpirun.

    Returns:
        The file that activates it.
    """
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    command = "import sys; from evo.cli import main; sys.exit(main())"
    for name, program in {"python": f'"{sys.executable}"', "evo": f"\"{sys.executable}\" -c '{command}'"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (programs / name).chmod(0o755)
    activate = programs / "activate"
    activate.write_text(f'PATH="{programs}:{Path(mpirun_command).parent}:$PATH"\n')
    return activate


def check_golden(name: str, text: str) -> None:
    """Compare a text that users read with the stored one; EVO_UPDATE_GOLDEN=1 stores it instead."""
    file = TESTS / "golden" / name
    shown = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n"
    if os.environ.get("EVO_UPDATE_GOLDEN"):
        file.write_text(shown)
    assert shown == file.read_text()


def mpi_variables() -> Mapping[str, str]:
    """What lets mpirun of Open MPI 4 and 5 start more ranks than this machine has cores, as root too, and at once."""
    return {
        "OMPI_MCA_btl": "^ofi",  # It takes a second to find out that it is of no use here.
        "OMPI_MCA_mpi_yield_when_idle": "1",  # A rank that waits leaves its core to the others.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
