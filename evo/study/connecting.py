"""How the processes of a call or a command join, and how none of them is left waiting."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from evo.engine.transport import Transport, together
from evo.errors import CutOff, Shared, UserError
from evo.runtime.mpi import end_all, is_fault_tolerant, why_too_few_threads
from evo.runtime.signals import say_ready


def check_threads(transport: Transport) -> None:
    """Make sure that several ranks can send and receive while they compute.

    Raises:
        SharedError: MPI's level of thread support is too low.
    """

    def check() -> None:
        if transport.size > 1 and (problem := why_too_few_threads()):
            raise UserError(problem)

    together(transport, check)


def say_all_ready(transport: Transport) -> None:
    """Announce that all ranks are connected, and have their signal handlers in force."""
    together(transport, lambda: say_ready(transport.size, os.environ) if transport.rank == 0 else None)


@contextlib.contextmanager
def leaving_nobody_waiting(transport: Transport) -> Iterator[None]:
    """End all ranks when this one alone has failed: a script that catches the exception would leave the others waiting.

    All ranks raise a `Shared` error together, and after a `CutOff` the others go on without this rank.
    """
    try:
        yield
    except Exception as error:
        if transport.size > 1 and not isinstance(error, Shared | CutOff):
            end_all(error)
        raise


@contextlib.contextmanager
def no_silent_exit() -> Iterator[None]:
    """Turn an exit into an error, since it would end this rank alone and leave the others waiting."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"something in the search called sys.exit({error.code!r})") from error


def is_on_any_rank(transport: Transport, wanted: bool) -> bool:
    """Whether some rank wants something; where ranks may die meanwhile, only this rank is asked."""
    if transport.dead or is_fault_tolerant(os.environ):
        return wanted
    return "yes" in transport.gather("yes" if wanted else "")
