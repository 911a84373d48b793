"""Signals that ask for a clean stop, and the end of processes together with the process that started them.

This module imports nothing heavy, because a program installs these handlers before it imports anything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from evo.errors import UserError

_PR_SET_PDEATHSIG = 1  # From linux/prctl.h.
_ASKING = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
_SAME_REQUEST = 1.0  # Seconds within which signals are one request, since launcher and batch script may both send one.
_READY_FILE = "EVO_READY_FILE"
MARK = "EVO_EVALUATION"  # The variable that names the evaluation which started a process, directly or through others.


class StopSignals:
    """Treats signals as requests to stop, inside of a `with` statement.

    The first TERM, INT, USR1 or USR2 asks for a clean stop. A second one, more than a second later, hurries it:
    evaluations are given up rather than saved. A third TERM or INT ends this process at once.

    Enter it before anything heavy is imported, because these signals end a process that has no handlers.

    Attributes:
        reason: The first request, for the record; empty when there was none.
        by_keyboard: Whether one of the requests was Ctrl-C, which is a SIGINT.

    Example:
        >>> with StopSignals() as signals:
        ...     signals.reason
        ''
    """

    def __init__(self) -> None:
        self.reason = ""
        self.by_keyboard = False
        self._stop: Callable[[str], None] | None = None
        self._hurry: Callable[[], None] | None = None
        self._hurries = False
        self._last = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Install the handlers; in other threads than the main one, where Python cannot, nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for name in _ASKING:
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the former handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def outlast_the_process(self) -> None:
        """Ignore signals even after the `with` statement, because the process is already ending."""
        self._before = dict.fromkeys(self._before, signal.SIG_IGN)

    def listen(self, stop: Callable[[str], None]) -> None:
        """Call a function with the reason to stop once a signal arrives, or now if one has arrived already.

        Args:
            stop: The function, which takes the reason.
        """
        self._stop = stop
        if self.reason:
            stop(self.reason)

    def listen_to_hurry(self, hurry: Callable[[], None]) -> None:
        """Call a function once a stop is hurried, or now if it already is; the call interrupts what runs then.

        Args:
            hurry: The function to call.
        """
        self._hurry = hurry
        if self._hurries:
            hurry()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name, now = signal.Signals(number).name, time.monotonic()
        self.by_keyboard = self.by_keyboard or number == signal.SIGINT
        if not self.reason:
            self.reason = f"{name} asked to stop"
            if self._stop:
                self._stop(self.reason)
        elif now - self._last < _SAME_REQUEST:
            return
        elif not self._hurries:
            self._hurries = True
            if self._hurry:
                self._hurry()
        elif name in ("SIGINT", "SIGTERM"):
            raise KeyboardInterrupt
        self._last = now


def say_ready(ranks: int, environment: Mapping[str, str]) -> None:
    """Write the file that EVO_READY_FILE names, if any, to say that all ranks handle signals now.

    Args:
        ranks: The number of ranks, which is written to the file.
        environment: The environment variables.

    Raises:
        UserError: The file cannot be written.
    """
    file = environment.get(_READY_FILE)
    if not file:
        return
    try:
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(f"{ranks}\n")
    except OSError as error:
        raise UserError(
            f"{_READY_FILE} is {file}, which cannot be written ({error.strerror}): name a file in a directory that "
            "exists, or unset it"
        ) from None


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Block the signals that ask for a stop in a process that is started inside, until it calls `let_signals_pass`.

    Until that process has a group of its own, it gets the signals that are meant for this process.
    """
    held_back = {getattr(signal, name) for name in _ASKING}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held_back)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_signals_pass() -> None:
    """Ignore the signals that were held back and all later ones, except for Ctrl-C.

    To be called in a process that was started inside of `signals_held_back`.
    """
    for name in _ASKING:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {getattr(signal, name) for name in _ASKING})
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_with_parent(parent: int | None = None, by: int = signal.SIGKILL) -> None:
    """Let the kernel end this process as soon as its parent ends, whatever it is doing then (Linux).

    Args:
        parent: The process that started this one, which may have ended already; None means the current parent.
        by: The signal that ends it.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid() if parent is None else parent
    _ask_for_signal(by)
    if os.getppid() != parent:
        os._exit(1)


def end_group_with_this_process() -> None:
    """Let all that this process starts end with it (Linux): its process group, and processes with its mark.

    Its children may not notice its end by themselves, or only after five seconds, as the workers of a DataLoader do.
    So a small process of another group watches this one.
    """
    if sys.platform != "linux":
        return
    leader = os.getpid()
    if os.fork():
        return
    os.setsid()
    for descriptor in os.listdir("/proc/self/fd"):  # Others wait for the end of pipes that this process shares.
        with contextlib.suppress(OSError):
            os.close(int(descriptor))
    # All signals are blocked, because a batch system sends some to every process of a job.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    _ask_for_signal(signal.SIGUSR1)
    while os.getppid() == leader:
        signal.sigwait([signal.SIGUSR1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    end_marked(os.environ.get(MARK, ""))
    os._exit(0)


def end_marked(mark: str) -> None:
    """Kill all processes but this one whose environment has a mark, which processes inherit (Linux).

    A daemon is neither in the group of the process that started it nor its child, but it has its environment.

    Args:
        mark: The value of the variable `MARK`; empty means that nothing is killed.
    """
    entry, killed = f"{MARK}={mark}".encode(), {os.getpid()}
    while mark:
        before = len(killed)
        for process in set(_all_processes()) - killed:
            with contextlib.suppress(OSError), open(f"/proc/{process}/environ", "rb") as file:
                if entry in file.read().split(b"\0"):
                    os.kill(process, signal.SIGKILL)
                    killed.add(process)
        if len(killed) == before:  # Repeats until nothing is found, since each of them may have started another one.
            return


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if sys.platform == "linux" else []


def _ask_for_signal(number: int) -> None:
    """Ask the kernel for a signal to this process when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
