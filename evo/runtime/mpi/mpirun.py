"""The mpirun that belongs to the MPI of mpi4py, and how it starts ranks on this machine only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evo.errors import UserError
from evo.versions import DISTRIBUTION

_PATIENCE = 60.0  # The seconds that a library or a program may take to tell its version.
_HIGHEST = 4  # A library is at most so many folders below the one that has bin.

# It is asked in another process, because a library may end the process that loads it, and stays in it. MPI is not
# initialized. Where there is no /proc, the place of the library remains unknown.
_ASK_LIBRARY = """
import sys
sys.path[:] = sys.argv[1:]
import mpi4py
mpi4py.rc.initialize = mpi4py.rc.finalize = False
from mpi4py import MPI
print(MPI.Get_library_version().rstrip("\\0").splitlines()[0])
try:
    maps = open("/proc/self/maps", errors="replace").read().splitlines()
except OSError:
    maps = []
for path in dict.fromkeys(line.partition("/")[2] for line in maps):
    if path.rpartition("/")[2].startswith(("libmpi.so", "libmpich.so", "libmpi_")):
        print("/" + path)
"""


@dataclass(frozen=True)
class MPIMake:
    """A make of MPI, as far as its mpirun differs from others.

    Args:
        name: How messages call it.
        library: The beginning of what its library says of its version.
        program: What its mpirun says of its version, as a regular expression.
        programs: The names of its mpirun, those first that only it has.
    """

    name: str
    library: str
    program: str
    programs: tuple[str, ...]


OPEN_MPI = MPIMake("Open MPI", "Open MPI", "Open MPI|PRRTE", ("mpirun.openmpi", "mpirun", "mpiexec", "orterun"))
INTEL_MPI = MPIMake("Intel MPI", "Intel(R) MPI", r"Intel\(R\) MPI", ("mpiexec.hydra", "mpirun", "mpiexec"))
# MVAPICH is made from MPICH, and starts ranks by the same program.
MPICH = MPIMake("MPICH", "MPICH", "HYDRA", ("mpiexec.mpich", "mpirun.mpich", "mpiexec.hydra", "mpiexec", "mpirun"))
MVAPICH = MPIMake("MVAPICH", "MVAPICH", "HYDRA", ("mpiexec.hydra", "mpiexec", "mpirun"))
MPI_MAKES = (OPEN_MPI, INTEL_MPI, MPICH, MVAPICH)


@dataclass(frozen=True)
class Mpirun:
    """A program that starts ranks.

    Args:
        make: The make of MPI that it belongs to.
        program: Its path.
    """

    make: MPIMake
    program: str

    def words(self, ranks: int) -> list[str]:
        """The command, up to the program that each rank runs: all ranks on this machine, bound to no core.

        evo shares out the cores itself, and a rank that is bound to one would train on that one. Naming this machine
        with room for all ranks lets there be more of them than cores, and keeps lists of other machines out.

        Args:
            ranks: The number of ranks.

        Example:
            >>> Mpirun(MPICH, "mpiexec").words(2)
            ['mpiexec', '-launcher', 'fork', '-n', '2']
        """
        if self.make is OPEN_MPI:
            here = ["--host", f"localhost:{ranks}", "--bind-to", "none"]
            return [self.program, *(["--allow-run-as-root"] if _is_root() else []), *here, "-n", str(ranks)]
        return [self.program, "-launcher", "fork", "-n", str(ranks)]

    def variables(self, ranks: int, cores: int) -> dict[str, str]:
        """The variables that fit one machine; each counts only where the user has not set it.

        Args:
            ranks: The number of ranks.
            cores: The number of cores that they share.

        Example:
            >>> Mpirun(OPEN_MPI, "mpirun").variables(4, 2)
            {'OMPI_MCA_btl': '^ofi', 'OMPI_MCA_mpi_yield_when_idle': '1'}
        """
        if self.make is OPEN_MPI:
            # To find out that one-sided messages over a network are of no use here takes every rank a second.
            first = {"OMPI_MCA_btl": "^ofi"}
            # A rank that waits yields its core, which the rank that it waits for may need.
            return first | ({"OMPI_MCA_mpi_yield_when_idle": "1"} if ranks > cores else {})
        if self.make is INTEL_MPI:
            return {"I_MPI_PIN": "0", "I_MPI_FABRICS": "shm"}
        return {"MV2_ENABLE_AFFINITY": "0"} if self.make is MVAPICH else {}


def find_mpirun(environment: Mapping[str, str]) -> Mpirun:
    """The mpirun of the MPI that mpi4py uses in this Python.

    Args:
        environment: The environment variables.

    Raises:
        UserError: There is no MPI, or no mpirun that belongs to it; the message says how to get one.
    """
    said, libraries = _ask_library(environment)
    make = next((make for make in MPI_MAKES if said.startswith(make.library)), None)
    if make is None:
        raise UserError(
            f"mpi4py uses {said or 'an unknown MPI'}, whose launcher evo does not know: start the ranks yourself, for "
            "example mpirun -n 4 evo run study.yaml"
        )
    tried: list[str] = []
    for program in _candidates(make, libraries, environment.get("PATH", "")):
        if re.search(make.program, _version_of(program, environment)):
            return Mpirun(make, program)
        tried.append(program)
    others = f"; {', '.join(tried[:2])} belongs to another MPI" if tried else ""
    raise UserError(
        f"there is no mpirun of {make.name}, the MPI that mpi4py uses{others}: put its bin folder on the PATH, "
        f"or pip install {DISTRIBUTION}[mpi]"
    )


def _ask_library(environment: Mapping[str, str]) -> tuple[str, list[Path]]:
    """What the library says of itself, and the files that it may have come from."""
    command = [sys.executable, "-c", _ASK_LIBRARY, *sys.path]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, env=dict(environment)
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(_no_mpi(str(error))) from error
    if ended.returncode:
        raise UserError(_no_mpi(next(iter(ended.stderr.strip().splitlines()[-1:]), f"status {ended.returncode}")))
    first, *paths = ended.stdout.splitlines() or [""]
    return first, [Path(path) for path in paths]


def _no_mpi(why: str) -> str:
    return (
        f"several ranks need an MPI, and mpi4py finds none ({' '.join(why.split())}): pip install {DISTRIBUTION}[mpi], "
        "load the module of your cluster's MPI, or install one, for example apt install openmpi-bin libopenmpi-dev or "
        "brew install open-mpi"
    )


def _candidates(make: MPIMake, libraries: list[Path], path: str) -> Iterator[str]:
    """Programs that may be its mpirun: those beside its library, then beside this Python, then on the path."""
    above = [folder / "bin" for library in libraries for folder in [*library.parents][1 : 1 + _HIGHEST]]
    found: list[str] = []
    for folders in (*above, Path(sys.executable).parent, path):
        for name in make.programs:
            program = shutil.which(name, path=str(folders))
            if program and program not in found:
                found.append(program)
                yield program


def _version_of(program: str, environment: Mapping[str, str]) -> str:
    try:
        ended = subprocess.run(
            [program, "--version"], capture_output=True, text=True, errors="replace", timeout=_PATIENCE, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout + ended.stderr


def _is_root() -> bool:
    return os.geteuid() == 0
