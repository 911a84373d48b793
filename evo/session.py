"""One session of a study, asked for by a command line or from Python, on all ranks that there are."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evo.arguments import parse_arguments
from evo.config import Config
from evo.evaluation.child import refuse_in_child
from evo.mpi import NoMPIError, connect, speaks
from evo.problems.catalogue import PROBLEMS
from evo.propagators import Propagator
from evo.references import Named, Training, parse_reference
from evo.report.records import Result
from evo.report.tables import nothing_found_text
from evo.signals import StopSignals, say_ready
from evo.study import run_study
from evo.transport import Serial, SharedError, Stuck, Transport, together

COMPLETE, NOT_FOUND, MISTAKEN, RUN_AGAIN = 0, 1, 2, 85
"""Exit statuses; 85 asks a batch script to requeue the job."""


def minimize(
    loss: Callable[..., Any],
    limits: Mapping[str, Any],
    *,
    propagator: Propagator | str | Mapping[str, Any] | None = None,
    **settings: Any,
) -> Result:
    """Search for the parameters with the lowest loss; under mpirun or srun, on all ranks together.

    Args:
        loss: `loss(params) -> float` or `loss(params, trial) -> float`, or a generator of intermediate losses, or a
            `LightningObjective`.
        limits: What is searched; see `evo.limits`.
        propagator: Breeds individuals, or says what does, as a study file would; None: the genetic default.
        settings: Those of `Config`: constraints, generations, evaluations, walltime, target, seed, run_dir, … Without
            run_dir, no files are kept. Nothing is printed unless quiet=False.

    Returns:
        The best individual and all the others.

    Raises:
        ValueError: A setting or limit is wrong; the message names it.

    Example:
        >>> result = minimize(lambda params: (params["x"] - 1) ** 2, {"x": (-5.0, 5.0)}, evaluations=100)
        >>> result.best.loss < 0.1
        True
    """
    refuse_in_child("minimize")
    with StopSignals() as signals:
        transport = connect() or Serial()
        _say_ready(transport)
        config = together(transport, lambda: Config(**{"quiet": True, **settings}))
        with _no_silent_exit():
            result = run_study(config, loss, transport, signals, limits, propagator)
        transport.close()
        return result


def run_command(arguments: Sequence[str], program: str, signals: StopSignals) -> int:
    """Search as a command line says.

    Args:
        arguments: Without the program's name.
        program: Its name, for the help.
        signals: In force; they may ask for a clean stop.

    Returns:
        The exit status, one of those above.
    """
    transport: Transport = Serial()
    try:
        transport = connect() or transport
        _say_ready(transport)
        job = together(transport, lambda: _read(arguments, program, transport))
        with _no_silent_exit():
            result = run_study(job.config, job.objective, transport, signals, job.limits)
        status = RUN_AGAIN if result.interrupted else COMPLETE
        if result.is_first and not status and (result.gave_up or result.best is None):
            status = NOT_FOUND
            print(f"evo: error: {nothing_found_text(result)}", file=sys.stderr, flush=True)
    except (SharedError, NoMPIError) as error:
        # Ranks that do not know each other all are the first.
        if transport.rank == 0 and (transport.size > 1 or speaks(os.environ)):
            print(f"evo: error: {error}", file=sys.stderr, flush=True)
        status = MISTAKEN
    except Stuck as error:
        if transport.size > 1:
            raise  # Ends all ranks.
        print(f"evo: error: {error}", file=sys.stderr, flush=True)
        status = error.status
    transport.close()
    return status


def _say_ready(transport: Transport) -> None:
    """Now that all ranks are connected, which they are with their signal handlers in force."""
    together(transport, lambda: say_ready(transport.size, os.environ) if transport.rank == 0 else None)


@contextlib.contextmanager
def _no_silent_exit() -> Iterator[None]:
    """Make an error of what would end this rank alone and leave the others waiting."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"something in the search called sys.exit({error.code!r})") from error


@dataclass(frozen=True)
class _Job:
    """What the command line asks for."""

    objective: Named
    limits: Mapping[str, Any] | None
    config: Config


def _read(arguments: Sequence[str], program: str, transport: Transport) -> _Job:
    with contextlib.redirect_stdout(io.StringIO() if transport.rank else sys.stdout):  # One rank prints the help.
        what, config = parse_arguments(arguments, program)
    if "" not in sys.path:
        sys.path.insert(0, "")  # As `python -m` does, for the evo command: modules of the working directory.
    if isinstance(what, Training):
        return _Job(what, None, replace(config, run_dir=config.run_dir or os.path.join("runs", what.name)))
    problem = PROBLEMS.get(what)
    if problem is None and ":" not in what:
        similar = difflib.get_close_matches(what, PROBLEMS, n=1)
        meant = f"; did you mean {similar[0]}?" if similar else ""
        raise ValueError(
            f"objective {what!r} is neither a ready problem ({', '.join(PROBLEMS)}) nor module:function or "
            f"path/to/file.py:function{meant}"
        )
    objective = problem.objective if problem else parse_reference(what)
    name = what if problem else f"{os.path.basename(objective.place).removesuffix('.py')}-{objective.name}"
    run_dir = config.run_dir or os.path.join("runs", name)
    return _Job(objective, problem.limits if problem else None, replace(config, run_dir=run_dir))
