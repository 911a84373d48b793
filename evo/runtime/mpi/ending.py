"""How one rank of an MPI job ends, together with the others or alone."""

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

_BY_KEYBOARD = 130  # The exit status after Ctrl-C that shells use.
_FIRST_SPEAKS = 1.0  # The seconds that the other ranks give the first one to print an error and end all.
# The seconds that the launcher gets to forward the last output of this rank before it aborts. The launcher drops
# output that it has not forwarded by then, and nothing tells whether there is any.
_FORWARDING = 0.3
_ENDING = 5.0  # The seconds that ranks wait for each other at their end.


class NoMPIError(UserError):
    """A launcher started several ranks that cannot reach each other.

    Attributes:
        status: The exit status of all ranks.
    """

    status = 2


class AloneError(NoMPIError):
    """MPI runs where it is asked for, but this is one of several that do not know each other."""


class CommunicatorError(NoMPIError):
    """The given object is no communicator in which this rank can search; other ranks may have a valid one."""


@functools.cache  # Registers it only once.
def finalize_at_exit() -> None:
    """Finalize MPI when Python ends."""
    atexit.register(_finalize)


def _finalize() -> None:
    from mpi4py import MPI

    for transport in list(history.attended):
        transport.leave_alone()
    # After the death of a rank MPI is not finalized, because that sometimes hangs in Open MPI 5.
    if not history.someone_died and not MPI.Is_finalized():
        MPI.Finalize()


def _tells_of_death(error: BaseException) -> bool:
    from mpi4py import MPI

    return isinstance(error, MPI.Exception) and error.Get_error_class() == MPI.ERR_PROC_FAILED


@dataclass(frozen=True)
class EndAll:
    """Handles uncaught exceptions, as `sys.excepthook`: all ranks end, and the reason is printed.

    Args:
        speaks: Whether this rank prints an error that all ranks have.
        is_fault_tolerant: Whether the other ranks outlive this one.
    """

    speaks: bool
    is_fault_tolerant: bool

    def __call__(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> NoReturn:
        """End this process, and all other ranks if they cannot go on without it."""
        # After Ctrl-C the search stops on all ranks, and each raises a KeyboardInterrupt that holds the result.
        is_stop = isinstance(error, KeyboardInterrupt) and hasattr(error, "result")
        if is_stop or isinstance(error, Shared):
            _end_together(error)
        self._say(kind, error, traceback)
        sys.stderr.flush()
        sys.stdout.flush()
        if isinstance(error, CutOff) or self.is_fault_tolerant:
            # The others go on without this rank. It ends by a signal, because after an Abort or an exit status they
            # would not notice its end, and would wait for ever.
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
            if not self.speaks:  # Mostly all have the same error, so the first rank gets time to end the others.
                time.sleep(_FIRST_SPEAKS)
            print(f"evo: error: {error}", file=sys.stderr)
        elif isinstance(error, Stuck | CutOff):
            print(f"evo: error: {error}", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, traceback)


def is_running() -> bool:
    """Whether MPI is initialized and not yet finalized."""
    from mpi4py import MPI

    return MPI.Is_initialized() and not MPI.Is_finalized()


def _end_together(error: BaseException) -> NoReturn:
    """End all ranks of the last search in good order; each of them has this error, and the first one prints it."""
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
        # Ranks wait for each other, because the launcher would otherwise end the first one before it has printed. They
        # wait for a limited time, because some may have caught the error, or died.
        with contextlib.suppress(MPI.Exception):
            all_are_here, deadline = where.Ibarrier(), time.monotonic() + _ENDING
            while not all_are_here.Test() and time.monotonic() < deadline:
                time.sleep(0.01)
    _finalize()
    os._exit(error.status if isinstance(error, Shared) else _BY_KEYBOARD)
