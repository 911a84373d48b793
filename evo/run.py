"""The main job: `python -m evo.run`, alone or under mpirun or srun."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evo.runtime.signals import StopSignals


def main(arguments: Sequence[str] | None = None, program: str = "python -m evo.run", *, ends: bool = True) -> int:
    """Run a search as the command line says; with `--ranks`, this process becomes an mpirun whose ranks do.

    Args:
        arguments: The words after the program's name. None means those of this process.
        program: The name of the program, for the help.
        ends: Whether this process ends afterwards, so that no signal may change its exit status any more.

    Returns:
        The exit status: 0 complete, 1 nothing found or given up, 2 mistaken input, 85 to be run again to go on.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with StopSignals() as signals:
        if any(word.startswith("--ranks") for word in words):
            from evo.study.launching import launch

            words, status = launch(words, program, signals)
            if status is not None:
                return status
        from evo.study.session import run_command  # Handlers come first: a signal would end the imports.

        status = run_command(words, program, signals)
        if ends:
            signals.outlast_the_process()
        return status


if __name__ == "__main__":
    sys.exit(main())
