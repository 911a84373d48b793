"""MPICH, Intel MPI and other versions of Python: a search, one that goes on, and `evo doctor`.

`make test` installs them into .mpis and .pythons; what is not there is skipped.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from examined import without_torch
from helpers import TESTS, Ended, Launcher, mpi_variables

MPIS, PYTHONS = TESTS.parent / ".mpis", TESTS.parent / ".pythons"
SEARCH = ["-m", "evo.run", "sphere", "--population", "4", "--run-dir", "here", "--debug"]


def check_search(ended: Ended, folder: Path, evaluations: int, ranks: int) -> None:
    assert (ended.status, ended.err) == (0, ""), ended
    summary = json.loads((folder / "here" / "summary.json").read_text())
    assert summary["ranks"] == ranks
    assert evaluations <= summary["evaluations"] < evaluations + ranks
    assert summary["failed"] == 0


@pytest.mark.mpi
@pytest.mark.parametrize(("name", "library"), [("mpich", "MPICH Version:"), ("impi-rt", "Intel(R) MPI Library")])
def test_under_another_mpi_a_search_goes_on_with_more_ranks_and_is_examined(
    launcher: Launcher, name: str, library: str
) -> None:
    place = MPIS / name
    if not (place / "bin" / "mpirun").exists():
        pytest.skip(f"there is no {place}: make test installs it where the network has it")
    programs = os.pathsep.join([str(place / "bin"), os.environ["PATH"]])  # Where Intel's mpirun looks for its others.
    variables = {"MPI4PY_LIBMPI": str(place / "lib" / "libmpi.so.12"), "PATH": programs}

    def run(ranks: int, *arguments: str | Path) -> Ended:
        return launcher.run(place / "bin" / "mpirun", "-n", str(ranks), sys.executable, *arguments, **variables)

    check_search(run(2, *SEARCH, "--evaluations", "20"), launcher.folder, 20, ranks=2)
    check_search(run(3, *SEARCH, "--evaluations", "40"), launcher.folder, 40, ranks=3)
    examined = run(2, *without_torch(launcher), "--run-dir", "here")
    words = " ".join(examined.out.split())
    assert (examined.status, examined.err) == (0, ""), examined
    assert f"ok MPI {library}" in words
    assert "started by mpirun" in words
    assert "2 ranks on 1 machine, all connected" in words


@pytest.mark.mpi
@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_under_another_python_a_search_goes_on(launcher: Launcher, mpirun_command: str, version: str) -> None:
    python = PYTHONS / version / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no {python}: make test makes it where there is a Python {version}")
    library = next((Path(mpirun_command).parents[1] / "lib").glob("libmpi.so.*"), None)
    variables = {**mpi_variables(), **({"MPI4PY_LIBMPI": str(library)} if library else {})}
    alone = launcher.run(python, *SEARCH, "--evaluations", "20")
    check_search(alone, launcher.folder, 20, ranks=1)
    two = [mpirun_command, "-n", "2", "--bind-to", "none", python, *SEARCH, "--evaluations", "40"]
    check_search(launcher.run(*two, **variables), launcher.folder, 40, ranks=2)
