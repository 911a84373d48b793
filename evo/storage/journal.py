"""The journal: an append-only log of what happened, one file per rank.

A line that a killed process left unfinished is cut. Any other damage is reported, never passed over.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from evo.errors import UserError
from evo.population.events import AnyEvent, decode, encode
from evo.storage.retry import StorageError, persist

_SYNC_INTERVAL = 5.0  # Seconds; what a power failure may cost. A killed process loses nothing.
_DYING = 3.0  # Seconds that the ranks of a run that was just killed may take to end.
# After these the open file is as good as before; after others, of a share that was away, it may not be.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# Of a share that is away for a moment, which is no mistake of the user's.
_AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)


class Line(NamedTuple):
    """A line of a journal.

    Args:
        number: Its place in the file, from 1.
        content: Its bytes, without the line's end.
        event: The record in it; None when it is damaged.
        problem: Why it is no record.
    """

    number: int
    content: bytes
    event: AnyEvent | None
    problem: str = ""


def read_lines(content: bytes) -> Iterator[Line]:
    """The lines of a journal, the sound and the damaged ones.

    A last line without its end counts when it is whole. Otherwise it is passed over, since its writer was killed, or
    is in the middle of writing it.

    Args:
        content: The bytes of the file.
    """
    *lines, torn = content.split(b"\n")
    for number, line in enumerate([*lines, torn] if is_whole(torn) else lines, start=1):
        try:
            yield Line(number, line, decode(line))
        except UserError as error:
            yield Line(number, line, None, str(error))


def list_journals(folder: Path) -> list[Path]:
    """The journals in a folder: files only, since reading a pipe of such a name would never end.

    Args:
        folder: The folder; it need not exist.

    Raises:
        UserError: It cannot be read.
        StorageError: It cannot be read for a while.
    """

    def find() -> list[Path]:
        return sorted(file for file in folder.iterdir() if file.suffix == ".jsonl" and file.is_file())

    problem = f"the journals in {folder} cannot be read"
    try:
        return find()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno not in _AWAY:
            raise UserError(f"{problem}: {error.strerror}") from None
        return persist(problem, find)


def read_journal(file: Path, patient: bool = False) -> Iterator[AnyEvent]:
    """The events of one file, none of whose lines may be damaged.

    Args:
        file: Lines of JSON, in the folder journal of a run directory.
        patient: Whether to try again for a while when it cannot be read, whatever the reason.

    Raises:
        UserError: It cannot be read, or a line is damaged; the message names the file and the line.
        StorageError: It cannot be read for a while.
    """
    problem = f"journal {file} cannot be read"
    try:
        content = file.read_bytes()
    except OSError as error:
        if not (patient or error.errno in _AWAY):
            raise UserError(f"{problem}: {error.strerror}") from None
        content = persist(problem, file.read_bytes)
    for line in read_lines(content):
        if line.event is None:
            raise UserError(
                f"journal {file}, line {line.number} is damaged: {line.problem}; "
                f"evo repair {file.parent.parent} salvages what is sound"
            )
        yield line.event


@contextmanager
def open_locked(file: Path) -> Iterator[int]:
    """Make sure for a while that no run writes a journal; gives the descriptor of the open file.

    Raises:
        UserError: A run does, or it cannot be written.
    """
    descriptor = _open(file, os.O_RDWR)
    try:
        _lock(file, descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


class Journal:
    """The log that one rank writes: a line is with the operating system when `append` returns.

    Args:
        file: Made when absent. A last line that is not whole is cut.

    Raises:
        UserError: It cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file = _open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            _lock(file, self._file)
        except UserError:
            os.close(self._file)
            raise
        # What was appended since the last fsync, and how much of it the operating system has taken.
        self._unsynced = bytearray()
        self._written = 0
        self._is_away = self._is_lost = False
        self._persist(self._end_last_line)
        self._begin = os.fstat(self._file).st_size  # Of this session.
        self._synced = time.monotonic()

    def append(self, line: bytes) -> None:
        """Write one encoded event; tries again for a while when that fails.

        Raises:
            StorageError: It still fails.
        """
        self._unsynced += line + b"\n"
        self._persist(self._write)
        if time.monotonic() - self._synced > _SYNC_INTERVAL:
            self._persist(self._sync)

    def recall(self) -> Iterator[AnyEvent]:
        """What was appended in this session."""
        content = persist(f"journal {self._path} cannot be read", self._path.read_bytes)
        for line in content[self._begin :].splitlines():
            yield decode(line)

    def left_by(self, worker: int) -> Iterator[AnyEvent]:
        """What a worker that died had written, in all sessions.

        Raises:
            StorageError: It is damaged, or cannot be read.
        """
        file = self._path.with_name(f"{worker}.jsonl")
        try:
            yield from read_journal(file, patient=True) if file.exists() else ()
        except UserError as error:
            raise StorageError(str(error)) from None

    def close(self) -> None:
        """Make the log durable and close it."""
        try:
            if not self._is_lost:  # It has been waited for already.
                self._persist(self._sync)
        finally:
            with suppress(OSError):
                os.close(self._file)

    def _persist(self, act: Callable[[], None]) -> None:
        def attempt() -> None:
            if self._is_away:
                self._reopen()
            try:
                act()
            except OSError as error:
                self._is_away = error.errno not in _FULL
                raise

        self._is_lost = True
        persist(f"journal {self._path} cannot be written", attempt)
        self._is_lost = False

    def _write(self) -> None:
        while self._written < len(self._unsynced):
            self._written += os.write(self._file, self._unsynced[self._written :])

    def _sync(self) -> None:
        self._write()
        try:
            os.fsync(self._file)
        except OSError:
            # The system forgets what it could not store: the next fsync would succeed without it. An event that is
            # there twice does no harm.
            self._written = 0
            raise
        self._unsynced, self._written = bytearray(), 0
        self._synced = time.monotonic()

    def _reopen(self) -> None:
        """Begin anew with a file that was away: the share that came back may have forgotten that it was open."""
        with suppress(OSError):
            os.close(self._file)
        self._file = -1
        # Never made anew: where nothing is mounted now, no other file must take its place.
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND)
        try:
            _lock(self._path, self._file)
        except UserError as error:
            raise StorageError(str(error)) from None
        self._end_last_line()
        self._written = 0
        self._is_away = False

    def _end_last_line(self) -> None:
        content = self._path.read_bytes()
        end = content.rfind(b"\n") + 1
        torn = content[end:]
        if is_whole(torn):
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

    def left_by(self, worker: int) -> Iterator[AnyEvent]:
        """Nothing: there is no file."""
        return iter(())

    def close(self) -> None:
        """Nothing."""


def _open(file: Path, flags: int) -> int:
    try:
        return os.open(file, flags, 0o644)
    except OSError as error:
        raise UserError(f"journal {file} cannot be written: {error.strerror}") from None


def _lock(file: Path, descriptor: int) -> None:
    """Make sure that no other run writes here. The lock ends with this process, however that ends."""
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() - began > _DYING:
                break
        except OSError:
            return  # A file system without locks.
        time.sleep(_DYING / 30)
    raise UserError(
        f"journal {file} is being written by another run in this directory: wait for its end, "
        "stop it, or choose another directory with --run-dir"
    )


def is_whole(line: bytes) -> bool:
    """Whether a last line without its end is a record all the same."""
    # An object's closing brace is its last byte, so that no part of a record is itself a record.
    try:
        decode(line)
    except UserError:
        return False
    return True
