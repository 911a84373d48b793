"""This process as one rank of an MPI job: how it ends, together with the others or alone."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn

from evo.errors import CutOff, Shared, Stuck, UserError
from evo.runtime.mpi.transport import history
from evo.texts import printable

_BY_KEYBOARD = 130  # Exit status after Ctrl-C, as shells have it.
_FIRST_SPEAKS = 1.0  # Seconds.
# Seconds that the launcher has to forward what this rank has just said: of one that aborts it drops the rest, and
# nothing tells whether there is any.
_FORWARDING = 0.3
_ENDING = 5.0  # Seconds that ranks wait for each other at their end.


class NoMPIError(UserError):
    """A launcher started several ranks that cannot reach each other.

    Attributes:
        status: Exit status of all ranks.
    """

    status = 2


class CommunicatorError(NoMPIError):
    """What was given is no communicator in which this rank could search; others may have the right one."""


@functools.cache  # Once.
def finalize_at_exit() -> None:
    """Finalize MPI when Python ends."""
    atexit.register(_finalize)


def _finalize() -> None:
    from mpi4py import MPI

    for transport in list(history.attended):
        transport.leave_alone()
    # With Open MPI 5, finalizing hangs now and then after the death of a rank; leaving without does not.
    if not history.someone_died and not MPI.Is_finalized():
        MPI.Finalize()


def _tells_of_death(error: BaseException) -> bool:
    from mpi4py import MPI

    return isinstance(error, MPI.Exception) and error.Get_error_class() == MPI.ERR_PROC_FAILED


@dataclass(frozen=True)
class EndAll:
    """What becomes of an exception that nobody has caught, as `sys.excepthook`: all ranks end, and say why.

    Args:
        speaks: Whether this is the rank that speaks where all have the same to say.
        is_fault_tolerant: Whether the other ranks outlive this one.
    """

    speaks: bool
    is_fault_tolerant: bool

    def __call__(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> NoReturn:
        """End this process, and all other ranks if they cannot go on without it."""
        # Ctrl-C stops a search on all ranks, which then raise this with the result.
        is_stop = isinstance(error, KeyboardInterrupt) and hasattr(error, "result")
        if is_stop or isinstance(error, Shared):
            _end_together(error)
        self._say(kind, error, traceback)
        sys.stderr.flush()
        sys.stdout.flush()
        if isinstance(error, CutOff) or self.is_fault_tolerant:
            # The others go on without this one. They learn of its end by a signal, but not by Abort or an exit status:
            # after these they would wait for ever.
            os.kill(os.getpid(), signal.SIGKILL)
        from mpi4py import MPI

        status = error.status if isinstance(error, Stuck | NoMPIError) else 1
        if is_running():
            time.sleep(_FORWARDING)
            MPI.COMM_WORLD.Abort(status)
        os._exit(status)

    def _say(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if _tells_of_death(error):
            print(
                f"evo: error: a rank died while the others waited for it, outside of the search ({error}): "
                "run the same command again",
                file=sys.stderr,
            )
        elif isinstance(error, NoMPIError):
            if not self.speaks:  # Mostly all have the same error: the first one gets time to end the others.
                time.sleep(_FIRST_SPEAKS)
            print(f"evo: error: {error}", file=sys.stderr)
        elif isinstance(error, Stuck | CutOff):
            print(f"evo: error: {error}", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, traceback)


def is_running() -> bool:
    """Whether MPI is initialized, and not finalized yet."""
    from mpi4py import MPI

    return MPI.Is_initialized() and not MPI.Is_finalized()


def _end_together(error: BaseException) -> NoReturn:
    """End all ranks of the last search in good order: each has this error, and the first one speaks."""
    from mpi4py import MPI

    where = history.latest
    is_usable = where is not None and where != MPI.COMM_NULL  # The user may have freed it.
    if where is None or not is_usable or where.Get_rank() == 0:
        what = "" if isinstance(error, KeyboardInterrupt) else "error: "
        message = printable(str(error), kept="\n\t")
        print(f"evo: {what}{message}", file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    if where is not None and is_usable:
        # The launcher would end the one that speaks before it has spoken. Some may have caught the error, or died.
        with contextlib.suppress(MPI.Exception):
            all_are_here, deadline = where.Ibarrier(), time.monotonic() + _ENDING
            while not all_are_here.Test() and time.monotonic() < deadline:
                time.sleep(0.01)
    _finalize()
    os._exit(error.status if isinstance(error, Shared) else _BY_KEYBOARD)
