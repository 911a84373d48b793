"""Signals: those that ask for a clean stop, and those that end processes with the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1  # From linux/prctl.h.
_ASKING = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")


class StopSignals:
    """While in force, the first TERM, INT, USR1 or USR2 asks for a clean stop, and a second INT or TERM kills.

    To be put in force before anything heavy is imported, since these signals end a process without a handler.

    Example:
        >>> with StopSignals() as signals:
        ...     signals.reason
        ''
    """

    def __init__(self) -> None:
        self.reason = ""
        self._listener: Callable[[str], None] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Put in force; outside the main thread Python cannot handle signals, and nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for name in _ASKING:
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        """Put back what was in force before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call a function with the reason to stop, at once when a signal has arrived already."""
        self._listener = listener
        if self.reason:
            listener(self.reason)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.reason and name in ("SIGINT", "SIGTERM"):
            raise KeyboardInterrupt
        self.reason = self.reason or f"{name} asked to stop"
        if self._listener:
            self._listener(self.reason)


def end_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process as soon as its parent is gone, whatever it is doing then (Linux).

    Args:
        parent: The process that started this one, which may be gone already; None: the one that is there.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid() if parent is None else parent
    _ask_for_signal(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def end_group_with_this_process() -> None:
    """Let the process group that this process leads end with it, however that ends (Linux).

    What it starts may have no way to notice, or, as a DataLoader's workers, look only every five seconds. So a small
    process of another group does.
    """
    if sys.platform != "linux":
        return
    leader = os.getpid()
    if os.fork():
        return
    os.setsid()
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))  # Others wait for the end of pipes.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # Slurm sends some to all processes of a job.
    _ask_for_signal(signal.SIGUSR1)
    while os.getppid() == leader:
        signal.sigwait([signal.SIGUSR1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    os._exit(0)


def _ask_for_signal(number: int) -> None:
    """Ask the kernel for a signal to this process when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
