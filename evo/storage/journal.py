"""The journal: an append-only log of events, one file per rank.

An unfinished last line of a killed process is cut. Any other damage is reported, never ignored.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evo.errors import UserError
from evo.population.events import AnyEvent, decode, encode
from evo.storage.lines import is_whole, read_blocks
from evo.storage.retry import StorageError, persist

_SYNC_INTERVAL = 5.0  # The seconds of records that a power failure may cost. A killed process loses nothing.
_DYING = 3.0  # The seconds that the ranks of a run that was just killed may take to end.
# After these errors the open file remains usable. After others it may not be, because its share was away.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# The errors of a share that is away for a moment, which is no mistake of the user.
_AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)


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


def read_journal(file: Path, patient: bool = False, *, with_heard: bool = False) -> Iterator[AnyEvent]:
    """The events of one journal, none of whose lines may be damaged.

    Args:
        file: The journal, in the folder journal of a run directory.
        patient: Whether to try again for a while when it cannot be read, whatever the reason is.
        with_heard: Whether to give `Heard` too, which only a replay needs.

    Raises:
        UserError: The file cannot be read, or a line is damaged; the message names the file and the line.
        StorageError: The file still cannot be read after a while.
    """
    problem = f"journal {file} cannot be read"
    try:
        content = file.read_bytes()
    except OSError as error:
        if not (patient or error.errno in _AWAY):
            raise UserError(f"{problem}: {error.strerror}") from None
        content = persist(problem, file.read_bytes)
    for events in read_blocks(file, content, with_heard=with_heard):
        yield from events


@contextmanager
def open_locked(file: Path) -> Iterator[int]:
    """Lock a journal, so that no run writes it meanwhile; gives the descriptor of the open file.

    Raises:
        UserError: A run is writing the journal, or it cannot be opened for writing.
    """
    descriptor = _open(file, os.O_RDWR)
    try:
        _lock(file, descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


class Journal:
    """The log that one rank writes; the operating system has a line when `append` returns.

    Args:
        file: The journal, which is made when absent. A last line that is not whole is cut.

    Raises:
        UserError: The file cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file = _open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            _lock(file, self._file)
        except UserError:
            os.close(self._file)
            raise
        # The bytes appended since the last fsync, and how many of them the operating system has taken.
        self._unsynced = bytearray()
        self._written = 0
        self._is_away = self._is_lost = False
        self._persist(self._end_last_line)
        self._begin = os.fstat(self._file).st_size  # The beginning of this session.
        self._synced = time.monotonic()

    def append(self, line: bytes) -> None:
        """Write one encoded event; tries again for a while when that fails.

        Raises:
            StorageError: Writing still fails after a while.
        """
        self._unsynced += line + b"\n"
        self._persist(self._write)
        if time.monotonic() - self._synced > _SYNC_INTERVAL:
            self._persist(self._sync)

    def begin_session(self) -> None:
        """Leave what was appended until now out of `recall`, because all other ranks know it by themselves."""
        self._persist(self._sync)
        self._begin = os.fstat(self._file).st_size

    def recall(self) -> Iterator[AnyEvent]:
        """The events that were appended in this session."""
        content = persist(f"journal {self._path} cannot be read", self._path.read_bytes)
        for line in content[self._begin :].splitlines():
            yield decode(line)

    def left_by(self, worker: int) -> Iterator[AnyEvent]:
        """The events that a worker had written before it died, in all sessions.

        Raises:
            StorageError: The journal of that worker is damaged, or cannot be read.
        """
        file = self._path.with_name(f"{worker}.jsonl")
        try:
            yield from read_journal(file, patient=True) if file.exists() else ()
        except UserError as error:
            raise StorageError(str(error)) from None

    def close(self) -> None:
        """Make the log durable and close it."""
        try:
            if not self._is_lost:  # The wait for a lost file is not repeated.
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
            # All is written again, because the system forgets data that it could not store, and the next fsync would
            # succeed without it. Duplicate events do no harm.
            self._written = 0
            raise
        self._unsynced, self._written = bytearray(), 0
        self._synced = time.monotonic()

    def _reopen(self) -> None:
        """Open a file again that was away, because the share that came back may have forgotten that it was open."""
        with suppress(OSError):
            os.close(self._file)
        self._file = -1
        # The file is not created, because no new file may take its place where the share is not mounted.
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
    """Replaces the log when no files are kept: events are only remembered.

    Args:
        events: All known events, those of other ranks included; the code that applies events adds to them.
    """

    def __init__(self, events: Sequence[AnyEvent]) -> None:
        self._events = events

    def append(self, line: bytes) -> None:
        """Do nothing, because the event is already remembered."""

    def begin_session(self) -> None:
        """Do nothing, because what all ranks know is remembered once only."""

    def recall(self) -> Iterator[AnyEvent]:
        """All events, once each, because only the survivors know those of a rank that died."""
        # Duplicates are left out, because events published again after a death would multiply with each death.
        return iter({encode(event): event for event in self._events}.values())

    def left_by(self, worker: int) -> Iterator[AnyEvent]:
        """No events, because there is no file."""
        return iter(())

    def close(self) -> None:
        """Do nothing, because no file is open."""


def _open(file: Path, flags: int) -> int:
    try:
        return os.open(file, flags, 0o644)
    except OSError as error:
        raise UserError(f"journal {file} cannot be written: {error.strerror}") from None


def _lock(file: Path, descriptor: int) -> None:
    """Make sure that no other run writes this file. The lock ends with this process, however that ends."""
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() - began > _DYING:
                break
        except OSError:
            return  # The file system has no locks.
        time.sleep(_DYING / 30)
    raise UserError(
        f"journal {file} is being written by another run in this directory: wait for its end, "
        "stop it, or choose another directory with --run-dir"
    )
