"""Storage that fails for a while: what is tried again, for how long, and how a search ends otherwise."""

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

_PATIENCE = 30.0  # Seconds: a share that goes away for a moment comes back.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# An evaluation whose folder does not take so much has not failed by itself: less than the weights of most networks.
_ROOM = 4_000_000  # Bytes.


class StorageError(Stuck):
    """The run directory cannot be used any more: the same command goes on when it can."""

    status = RUN_AGAIN


def persist(problem: str, act: Callable[[], T]) -> T:
    """Do something with a file, again and again for half a minute while that fails.

    Args:
        problem: What it means when it fails, for example "journal 0.jsonl cannot be written".
        act: What to do; again from where it failed.

    Raises:
        StorageError: It still fails.
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
            with suppress(OSError):  # What it prints may go to the same place.
                print(f"evo: {why}; trying again for {_PATIENCE:g} s", file=sys.stderr, flush=True)
        told = True
        time.sleep(min(pause, _PATIENCE - waited))
        pause = min(2 * pause, _LONGEST_PAUSE)


def why_not_writable(folder: Path, error: BaseException) -> str:
    """Whether something may have failed only because its folder cannot be written: then why not, else nothing.

    Args:
        folder: It need not exist.
        error: What went wrong. Only if it may come from writing a file, the folder is tried.
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
            rest = memoryview(os.urandom(_ROOM))  # Zeros may take no room.
            while rest:
                rest = rest[stream.write(rest) :]
            os.fsync(stream.fileno())  # Only then some file systems tell.
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__
