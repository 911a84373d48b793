"""The journal: an append-only log of what happened, one file per rank.

A line that a killed process left unfinished is cut. Any other damage is reported, never passed over.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from evo.events import AnyEvent, decode, encode
from evo.transport import Stuck

T = TypeVar("T")

_PATIENCE = 30.0  # Seconds for which a write is tried again: a share that goes away for a moment comes back.
_FIRST_PAUSE = 0.1
_SYNC_INTERVAL = 5.0  # Seconds; what a power failure may cost. A killed process loses nothing.


class StorageError(Stuck):
    """The run directory cannot be written any more: the same command goes on when it can."""

    status = 85


def read_journal(file: Path) -> Iterator[AnyEvent]:
    """The events of one file; a last line without its end counts when it is whole, and is passed over otherwise.

    Args:
        file: Lines of JSON.

    Raises:
        ValueError: It cannot be read, or a line is damaged; the message names the file and the line.
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"journal {file} cannot be read: {error.strerror}") from None
    torn = lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            yield decode(line)
        except ValueError as error:
            raise ValueError(f"journal {file}, line {number} is damaged: {error}") from None
    if _is_whole(torn):
        yield decode(torn)


class Journal:
    """The log that one rank writes: a line is with the operating system when `append` returns.

    Args:
        file: Made when absent. A last line that is not whole is cut.

    Raises:
        ValueError: It cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        try:
            self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise ValueError(f"journal {file} cannot be written: {error.strerror}") from None
        self._lock()
        self._end_last_line(file)
        self._begin = os.fstat(self._file).st_size  # Of this session.
        self._synced = time.monotonic()

    def append(self, line: bytes) -> None:
        """Write one encoded event; tries again for a while when that fails.

        Raises:
            StorageError: It still fails.
        """
        rest = memoryview(line + b"\n")
        while rest:
            rest = rest[self._persist(lambda: os.write(self._file, rest)) :]  # noqa: B023 - called at once
        if time.monotonic() - self._synced > _SYNC_INTERVAL:
            self._persist(lambda: os.fsync(self._file))
            self._synced = time.monotonic()

    def recall(self) -> Iterator[AnyEvent]:
        """What was appended in this session."""
        with self._path.open("rb") as file:
            file.seek(self._begin)
            lines = file.read().splitlines()
        for line in lines:
            yield decode(line)

    def left_by(self, rank: int) -> Iterator[AnyEvent]:
        """What a rank that died had written, in all sessions."""
        file = self._path.with_name(f"{rank}.jsonl")
        return read_journal(file) if file.exists() else iter(())

    def close(self) -> None:
        """Make the log durable and close it."""
        os.fsync(self._file)
        os.close(self._file)

    def _persist(self, act: Callable[[], T]) -> T:
        """Do something with the file, again and again while that fails."""
        began, pause, told = time.monotonic(), _FIRST_PAUSE, False
        while True:
            try:
                return act()
            except OSError as error:
                waited = time.monotonic() - began
                problem = f"journal {self._path} cannot be written: {error.strerror}"
                if waited + pause > _PATIENCE:
                    raise StorageError(
                        f"{problem}, for {waited:.0f} s now; nothing that was recorded before is lost: make room or "
                        "repair the file system, and run the same command again"
                    ) from None
                if not told:
                    print(f"evo: {problem}; trying again for {_PATIENCE:g} s", file=sys.stderr, flush=True)
                told = True
                time.sleep(pause)
                pause *= 2

    def _lock(self) -> None:
        """Make sure that no other run writes here. The lock ends with this process, however that ends."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise ValueError(
                f"journal {self._path} is being written by another run in this directory: wait for its end, "
                "stop it, or choose another directory with --run-dir"
            ) from None
        except OSError:
            pass  # A file system without locks.

    def _end_last_line(self, file: Path) -> None:
        content = file.read_bytes()
        end = content.rfind(b"\n") + 1
        torn = content[end:]
        if _is_whole(torn):
            os.write(self._file, b"\n")
        elif torn:
            os.ftruncate(self._file, end)


class Memory:
    """In place of a log when no files are kept: the events themselves are remembered.

    Args:
        events: All that are known, those of others too; whoever applies these adds to them.
    """

    def __init__(self, events: Sequence[AnyEvent]) -> None:
        self._events = events

    def append(self, line: bytes) -> None:
        """Nothing: the event is remembered."""

    def recall(self) -> Iterator[AnyEvent]:
        """All events, once each: those of a rank that died are known to its survivors only."""
        # What was published again after a death is known several times, and would be again after the next.
        return iter({encode(event): event for event in self._events}.values())

    def left_by(self, rank: int) -> Iterator[AnyEvent]:
        """Nothing: there is no file."""
        return iter(())

    def close(self) -> None:
        """Nothing."""


def _is_whole(line: bytes) -> bool:
    # An object's closing brace is its last byte, so that no part of a record is itself a record.
    try:
        decode(line)
    except ValueError:
        return False
    return True
