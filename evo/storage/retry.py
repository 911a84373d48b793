"""Storage that fails: operations are tried again for a while, and then the search ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from evo.errors import RUN_AGAIN, Stuck

T = TypeVar("T")

_PATIENCE = 30.0  # The seconds in which a share that is away for a moment comes back.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# An evaluation whose folder does not take so many bytes fails because of storage. Most networks' weights need more.
_ROOM = 4_000_000


class StorageError(Stuck):
    """The run directory cannot be used any more; the same command continues the search when it can."""

    status = RUN_AGAIN


def persist(problem: str, act: Callable[[], T]) -> T:
    """Do something with a file, and repeat it for half a minute while it fails.

    Args:
        problem: The message about a failure, for example "journal 0.jsonl cannot be written".
        act: The function to call; a repeated call must go on from where it failed.

    Raises:
        StorageError: The function still fails after half a minute.
    """
    began, pause, told = time.monotonic(), _FIRST_PAUSE, False
    while True:
        try:
            return act()
        except OSError as error:
            why = f"{problem}: {error.strerror or error}"
        waited = time.monotonic() - began
        if waited >= _PATIENCE:
            raise StorageError(
                f"{why}, for {waited:.0f} s now; nothing that was recorded before is lost: make room or "
                "repair the file system, and run the same command again"
            )
        if not told:
            with suppress(OSError):  # The output may go to the same storage.
                print(f"evo: {why}; trying again for {_PATIENCE:g} s", file=sys.stderr, flush=True)
        told = True
        time.sleep(min(pause, _PATIENCE - waited))
        pause = min(2 * pause, _LONGEST_PAUSE)


def why_not_writable(folder: Path, error: BaseException) -> str:
    """The reason why a folder cannot be written, if that may have caused an error; empty otherwise.

    Args:
        folder: The folder; it need not exist.
        error: The error. The folder is tried only if the error may come from writing a file.
    """
    if not any(isinstance(cause, OSError | RuntimeError) for cause in _causes(error)):
        return ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _try_to_write(folder / f".room.{os.getpid()}")
    except OSError as problem:
        return f"{folder} cannot be written: {problem.strerror or problem}"
    return ""


def _try_to_write(file: Path) -> None:
    try:
        with file.open("wb", buffering=0) as stream:
            rest = memoryview(os.urandom(_ROOM))  # Random bytes, because zeros may take no room.
            while rest:
                rest = rest[stream.write(rest) :]
            os.fsync(stream.fileno())  # Some file systems report a full disk only here.
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__
