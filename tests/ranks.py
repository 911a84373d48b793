"""The ranks of an mpirun that a test started: which processes they are, and whether they can outlive each other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from helpers import Launcher, mpi_variables

_RANK = "OMPI_COMM_WORLD_RANK"


def start_ranks(
    launcher: Launcher,
    mpirun_command: str,
    ranks: int,
    *arguments: str | Path,
    options: Sequence[str] = (),
    **variables: str,
) -> subprocess.Popen[str]:
    """Start Python on several ranks.

    Args:
        launcher: Starts it, in its folder.
        mpirun_command: The mpirun of Open MPI.
        ranks: The number of ranks.
        arguments: The arguments of Python.
        options: More options of mpirun.
        variables: Variables of the environment.
    """
    command = [mpirun_command, "-n", str(ranks), "--bind-to", "none", *options, sys.executable, *arguments]
    return launcher.start(*command, **mpi_variables(), **variables)


def find_ranks(launcher: Launcher) -> dict[int, int]:
    """The process of each rank that runs, without those that it has started (Linux)."""
    return ranks_among(launcher.survivors())


def ranks_among(processes: Iterable[int]) -> dict[int, int]:
    """Those of some processes that are ranks, by rank, without the processes that ranks have started (Linux)."""
    rank_of = {process: _variables(process).get(_RANK) for process in processes}
    return {
        int(rank): process for process, rank in rank_of.items() if rank and _RANK not in _variables(parent_of(process))
    }


def why_no_fault_tolerance(mpirun_command: str) -> str:
    """Why the ranks of this MPI cannot outlive each other; empty when they can."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    command = [mpirun_command, "--with-ft", "ulfm", "-n", "1", shutil.which("true") or "true"]
    tried = subprocess.run(command, env={**known, **mpi_variables()}, capture_output=True, text=True, timeout=60)
    if tried.returncode == 0:
        return ""
    return f"{mpirun_command} --with-ft ulfm does not work: {tried.stderr.strip()[-200:]}"


def parent_of(process: int) -> int:
    """The process that started one; 0 when that is gone."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _variables(process: int) -> dict[str, str]:
    try:
        entries = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
