"""An examination that may get stuck where no Python runs any more, in the start of MPI for example."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable

from evo.runtime.signals import end_with_parent


def supervise(examine: Callable[[Callable[[str], None]], int], patience: float, stuck: Callable[[str], None]) -> int:
    """Run an examination in a child process, and end it when it takes too long.

    Args:
        examine: Given a function to be told what is about to be done; returns the exit status.
        patience: Seconds.
        stuck: Told what was being done when the time was over.

    Returns:
        The exit status; 1 when the time was over. In the child, this does not return.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.exit(examine(lambda step: _say(writing, step)))
    os.close(writing)
    step, deadline = "", time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            told = os.read(reading, 4096)
            if not told:  # The child has ended.
                break
            step = told.decode().splitlines()[-1]
    else:
        stuck(step)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 1
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


def _say(pipe: int, step: str) -> None:
    os.write(pipe, f"{step}\n".encode())
