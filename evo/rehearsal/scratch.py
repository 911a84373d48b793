"""A temporary folder that goes with its command, also when a signal ends that."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_ENDING = ("SIGTERM", "SIGHUP")  # A batch system sends the first, a terminal that is closed the second.


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Have a temporary folder that is removed at the end, also when TERM or HUP asks for the end of this process.

    Args:
        prefix: How its name begins.

    Raises:
        SystemExit: There was such a signal; the status is 128 and its number, by custom.
    """
    with _signals_raised():
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            yield folder
        finally:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *_numbers()})
            shutil.rmtree(folder, ignore_errors=True)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise SystemExit where a signal would end this process, once; one that is ignored, as after nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():  # Python has handlers in the main one only.
        yield
        return
    before = {number: signal.getsignal(number) for number in _numbers()}

    def end(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)  # A second one must not break off what is being cleared away.
        raise SystemExit(128 + number)

    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _ENDING]
