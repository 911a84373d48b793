"""Makes a file once, however many ranks want it at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path


def make_once(file: Path, make: Callable[[Path], object]) -> None:
    """Make a file unless it is there; while one process does, the others wait, and then find it.

    Args:
        file: The path of the file, which appears there only when it is complete.
        make: Writes the file to the path that it is given. What it raises is passed on, and nothing of the file stays.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{socket.gethostname()}-{os.getpid()}.part")
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        # The system releases the lock when its owner ends, however it ends. Where a file system has no locks, each
        # process makes the file for itself, which costs time but breaks nothing.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            return  # Another process has made it meanwhile.
        try:
            make(part)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
