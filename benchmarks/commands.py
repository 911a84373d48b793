"""How long a person waits for evo to begin: `import evo`, `evo --version` and a search of one evaluation.

Every repetition runs each of them once with this checkout and once with a base revision, one after the other, so that
both meet the same load. The base gets a work tree of its own, which is removed again. Shown are medians and minima of
the CPU seconds of the processes, and the ratio of the minima, which other processes disturb least.

    python benchmarks/commands.py [--base REVISION] [--repeats 15]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[1]
COMMANDS = {
    "import evo": ["-c", "import evo"],
    "evo --version": ["-m", "evo", "--version"],
    "evo run sphere --evaluations 1": ["-m", "evo", "run", "sphere", "--evaluations", "1", "--run-dir", "{run_dir}"],
}


@contextlib.contextmanager
def work_tree(revision: str) -> Iterator[Path]:
    """A work tree of a revision, as long as it is needed.

    Args:
        revision: The revision.
    """
    with tempfile.TemporaryDirectory(prefix="evo-base-") as folder:
        place = Path(folder) / "base"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(place), revision], check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)


def seconds_of(words: list[str], checkout: Path, folder: str) -> float:
    """The CPU seconds of a process and its children.

    Args:
        words: The arguments of Python.
        checkout: The checkout whose evo it uses.
        folder: An empty folder for its run directory.
    """
    # Without those of site-packages, an editable installation of another checkout is of no effect.
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(word.format(run_dir=folder) for word in words)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="HEAD~1", help="The revision to compare with. Default: HEAD~1.")
    parser.add_argument("--repeats", type=int, default=15, help="How often each is run. Default: 15.")
    options = parser.parse_args()
    with work_tree(options.base) as base:
        checkouts = {"here": HERE, options.base: base}
        found: dict[tuple[str, str], list[float]] = {(one, name): [] for one in COMMANDS for name in checkouts}
        for repetition in range(options.repeats + 1):
            for one, words in COMMANDS.items():
                for name, checkout in checkouts.items():
                    with tempfile.TemporaryDirectory(prefix="evo-start-") as folder:
                        spent = seconds_of(words, checkout, folder)
                    if repetition:  # The first one writes the compiled modules.
                        found[one, name].append(spent)
    print(f"CPU seconds, median and minimum of {options.repeats}: here, {options.base}, ratio of the minima")
    for one in COMMANDS:
        here, there = found[one, "here"], found[one, options.base]
        texts = [f"{statistics.median(times):.3f} {min(times):.3f}" for times in (here, there)]
        print(f"{one:32}{texts[0]:>16}{texts[1]:>16}{min(here) / min(there):8.2f}")


if __name__ == "__main__":
    main()
