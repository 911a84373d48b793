"""The lines of a journal, sound and damaged ones, and those that are added to it while others read it."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from evo.errors import UserError
from evo.population.events import AnyEvent, Heard, decode
from evo.population.identity import Identity

# Journals are decoded in blocks of so many bytes: large ones are faster, and the events of a block take ten times that.
_BLOCK = 1 << 20
_BEGINNING = b'{"type":'  # Of each line, as evo writes it; others are read as well, only more slowly.
# A `Heard` exactly as evo writes it; any other is decoded, so that a damaged one is found.
_HEARD = re.compile(
    rb'\n\{"type":"Heard","time":\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:,"counts":"[\d()*;]*")?(?:,"beyond":true)?\}(?=\n)'
)
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class Line(NamedTuple):
    """A line of a journal.

    Args:
        number: The number of the line in the file, from 1.
        content: The bytes of the line, without the newline.
        event: The record in the line; None when it is damaged.
        problem: The reason why it is no record; empty when it is one.
    """

    number: int
    content: bytes
    event: AnyEvent | None
    problem: str = ""


def read_lines(content: bytes) -> Iterator[Line]:
    """The lines of a journal, both sound and damaged ones.

    A last line without a newline counts when its record is whole. Otherwise it is ignored, because its writer was
    killed, or is just writing it.

    Args:
        content: The bytes of the file.
    """
    *lines, torn = content.split(b"\n")
    for number, line in enumerate([*lines, torn] if is_whole(torn) else lines, start=1):
        try:
            yield Line(number, line, decode(line))
        except UserError as error:
            yield Line(number, line, None, str(error))


def is_whole(line: bytes) -> bool:
    """Whether a last line without a newline is a whole record."""
    # No part of a record is itself a record, because the closing brace of the object is its last byte.
    try:
        decode(line)
    except UserError:
        return False
    return True


def read_blocks(file: Path, content: bytes, before: int = 0, *, with_heard: bool = False) -> Iterator[list[AnyEvent]]:
    """The events in the bytes of a journal, many at a time, none of whose lines may be damaged.

    Args:
        file: The journal, which an error names.
        content: The bytes of the file; a last line that is not whole is ignored.
        before: How many lines of the file come before these bytes.
        with_heard: Whether to give `Heard` too, which only a replay needs, and which is long with many workers.

    Raises:
        UserError: A line is damaged; the message names the file and the line.
    """
    for begin, end in _places(content):
        lines = content[begin:end]
        events = _decode_lines(lines if with_heard else _HEARD.sub(b"", b"\n" + lines)[1:])
        if events is None:
            events = _read_slowly(file, lines, before + content.count(b"\n", 0, begin))
        yield events if with_heard else [event for event in events if type(event) is not Heard]
    torn = content[content.rfind(b"\n") + 1 :]
    if torn and is_whole(torn):
        last = decode(torn)
        yield [last] if with_heard or not isinstance(last, Heard) else []


def _places(content: bytes) -> Iterator[tuple[int, int]]:
    """Where blocks of whole lines begin and end; a last line without a newline is in none of them."""
    begin, last = 0, content.rfind(b"\n") + 1
    while begin < last:
        end = last if last - begin <= _BLOCK else content.rfind(b"\n", begin, begin + _BLOCK) + 1
        end = end or content.index(b"\n", begin) + 1  # A line may be longer than a block.
        yield begin, end
        begin = end


def _decode_lines(lines: bytes) -> list[AnyEvent] | None:
    """The records in many lines of JSON, each ended by a newline, much faster than one by one.

    Returns:
        The records; None when some line is not exactly one record, which `decode` then says of that line.
    """
    # The decoder passes over empty lines and over records that share a line.
    count = lines.count(b"\n")
    if not lines:
        return []
    if not lines.startswith(_BEGINNING) or lines.count(b"\n" + _BEGINNING) != count - 1:
        return None
    try:
        events = _decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return events if len(events) == count else None


def find_events(content: bytes, identity: Identity) -> Iterator[AnyEvent]:
    """The events about one individual, found without decoding the others.

    Args:
        content: The bytes of a journal, none of whose lines is damaged.
        identity: The individual.
    """
    worker, generation = identity
    for found in re.finditer(rb'"individual"\s*:\s*\[\s*%d\s*,\s*%d\s*\]' % (worker, generation), content):
        begin, end = content.rfind(b"\n", 0, found.start()) + 1, content.find(b"\n", found.start())
        if end < 0 and not is_whole(content[begin:]):
            return
        event = decode(content[begin : end if end >= 0 else None])
        if getattr(event, "individual", None) == identity:  # It might be the name of a parameter.
            yield event


def _read_slowly(file: Path, lines: bytes, before: int) -> list[AnyEvent]:
    """The events line by line, which finds the line that is damaged."""
    events = []
    for line in read_lines(lines):
        if line.event is None:
            raise UserError(
                f"journal {file}, line {before + line.number} is damaged: {line.problem}; "
                f"evo repair {file.parent.parent} salvages what is sound"
            )
        events.append(line.event)
    return events


class JournalReplaced(Exception):
    """A journal is no longer the file that was read before: what was read does not count."""


class Tail:
    """Reads a journal that grows, each line once.

    Args:
        file: The journal.

    Attributes:
        changed: The time at which the file was last written, in seconds since the epoch; 0.0 before it is read.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.changed = 0.0
        self._offset = self._lines = self._end = 0
        self._inode = -1

    def read(self) -> Iterator[list[AnyEvent]]:
        """The events that were added since the last call, many at a time.

        A whole last line that has no newline yet is given again with the next call.

        Raises:
            UserError: The file cannot be read, or a line is damaged; the message names the file and the line.
            JournalReplaced: It is another file now, or shorter than what was read of it.
        """
        begin = self._offset
        content = self._content(begin)
        yield from read_blocks(self.file, content, self._lines)
        self._offset += content.rfind(b"\n") + 1
        self._lines += content.count(b"\n")
        self._end = begin + len(content)

    def read_again(self) -> bytes:
        """What was read until now, and no more.

        Raises:
            UserError: The file cannot be read.
            JournalReplaced: It is another file now, or shorter than what was read of it.
        """
        return self._content(0, self._end)

    def _content(self, begin: int, end: int | None = None) -> bytes:
        try:
            with self.file.open("rb") as stream:
                found = os.fstat(stream.fileno())
                if self._inode not in (-1, found.st_ino) or found.st_size < self._end:
                    raise JournalReplaced
                stream.seek(begin)
                content = stream.read() if end is None else stream.read(end - begin)
        except OSError as error:
            raise UserError(f"journal {self.file} cannot be read: {error.strerror}") from None
        self._inode, self.changed = found.st_ino, found.st_mtime
        return content


@contextmanager
def without_collection() -> Iterator[None]:
    """Let nothing look for unreachable objects meanwhile: among the many that reading makes there are none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
