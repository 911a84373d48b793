"""The journal: an append-only log of what happened, one file per rank.

A line that a killed process left unfinished is cut. Any other damage is reported, never passed over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from evo.events import AnyEvent, decode, encode

_SYNC_INTERVAL = 5.0  # Seconds; what a power failure may cost. A killed process loses nothing.


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
        self._end_last_line(file)
        self._begin = os.fstat(self._file).st_size  # Of this session.
        self._synced = time.monotonic()

    def append(self, line: bytes) -> None:
        """Write one encoded event."""
        rest = memoryview(line + b"\n")
        while rest:
            rest = rest[os.write(self._file, rest) :]
        if time.monotonic() - self._synced > _SYNC_INTERVAL:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def recall(self) -> Iterator[AnyEvent]:
        """What was appended in this session."""
        size = os.fstat(self._file).st_size - self._begin
        for line in os.pread(self._file, size, self._begin).splitlines():
            yield decode(line)

    def left_by(self, rank: int) -> Iterator[AnyEvent]:
        """What a rank that died had written, in all sessions."""
        file = self._path.with_name(f"{rank}.jsonl")
        return read_journal(file) if file.exists() else iter(())

    def close(self) -> None:
        """Make the log durable and close it."""
        os.fsync(self._file)
        os.close(self._file)

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
