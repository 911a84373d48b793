"""The run directory, tried out with files that others must see and a lock that must keep them out; all are removed.

A file system that is gone does not answer at all, so it is only touched by threads that are given up after a while.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from evo.doctor.facts import Directory, DirView
from evo.engine.transport import Transport

T = TypeVar("T")

_PATIENCE = 15.0  # Seconds for anything that touches the file system.
_SPREADING = 5.0  # Seconds that a new file may take to show on another machine.
_LOCK = "lock"


@dataclass
class _Trial:
    """The files that the first rank has made, to be removed again."""

    folder: Path
    made: list[Path] = field(default_factory=list)
    lock: int | None = None

    def begin(self) -> int:
        """Make the run directory if need be, a folder in it, and a locked file in that; returns the free bytes."""
        parents = [self.folder.parent, *self.folder.parent.parents]
        missing = [path for path in parents if not path.exists()]
        for path in reversed(missing):
            path.mkdir()
            self.made.append(path)
        self.folder.mkdir()
        self.made.append(self.folder)
        _write(self.folder / "0", "0")
        self.lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):  # Without locks, no rank is kept out, which is found later.
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return shutil.disk_usage(self.folder).free

    def end(self) -> None:
        """Remove what was made. Folders of the run directory go only if they are new and still empty."""
        if self.lock is not None:
            os.close(self.lock)
        if self.folder in self.made:
            shutil.rmtree(self.folder)
            self.made.remove(self.folder)
        for path in reversed(self.made):
            with suppress(OSError):
                path.rmdir()


def try_directory(path: str, transport: Transport) -> Directory:
    """Try out the run directory, on all ranks together.

    Args:
        path: The run directory as the user gave it, which need not exist.
        transport: The connection to the other ranks.

    Returns:
        What was found, the same on all ranks.
    """
    folder = Path(transport.gather(str(Path(path).absolute() / f".evo-doctor-{uuid.uuid4().hex}"))[0])
    trial = _Trial(folder)
    refusal, free = "", 0
    if transport.rank == 0:
        refusal, free = _attempt(trial.begin, 0)
    refusal = transport.gather(refusal)[0]
    views: tuple[DirView, ...] = ()
    if not refusal:
        is_first_here = transport.rank == transport.node[0]
        why, view = _attempt(lambda: _look(folder, transport.rank, is_first_here), DirView())
        said = transport.gather(msgspec.json.encode(DirView(unread=why) if why else view).decode())
        views = tuple(msgspec.json.decode(text, type=DirView) for text in said)
    found = Directory(path=path, refusal=refusal, free=free, views=views)
    if transport.rank == 0:
        wrote = [rank for rank, view in enumerate(views) if view.excluded is not None and not view.unwritten]
        unseen = _attempt(lambda: _not_shown(folder, wrote), tuple(wrote))[1]
        left_behind, _ = _attempt(trial.end, None)
        found = msgspec.structs.replace(found, unseen=unseen, left_behind=left_behind)
    return msgspec.json.decode(transport.gather(msgspec.json.encode(found).decode())[0], type=Directory)


def _look(folder: Path, rank: int, is_first_here: bool) -> DirView:
    try:
        _await(lambda: (folder / "0").read_text(encoding="utf-8") == "0")
    except OSError as error:
        return DirView(unread=_reason(error))
    if not is_first_here:
        return DirView()
    try:
        _write(folder / str(rank), str(rank))
    except OSError as error:
        return DirView(unwritten=_reason(error), excluded=_is_kept_out(folder / _LOCK))
    return DirView(excluded=_is_kept_out(folder / _LOCK))


def _not_shown(folder: Path, ranks: list[int]) -> tuple[int, ...]:
    """The ranks whose files do not show up here."""
    unseen = []
    for rank in ranks:
        try:
            _await(lambda file=folder / str(rank): file.read_text(encoding="utf-8") == file.name)  # type: ignore[misc]
        except OSError:
            unseen.append(rank)
    return tuple(unseen)


def _is_kept_out(file: Path) -> bool:
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    finally:
        os.close(handle)
    return False


def _await(is_so: Callable[[], bool]) -> None:
    """Wait until a condition holds; raises the last error if it does not hold in time."""
    deadline = time.monotonic() + _SPREADING
    while True:
        try:
            if is_so():
                return
            problem = OSError(errno.EIO, "it holds something else")
        except OSError as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem
        time.sleep(0.05)


def _write(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _attempt(act: Callable[[], T], otherwise: T) -> tuple[str, T]:
    """What went wrong, and the result. The former is empty when nothing did; no answer in time is wrong as well."""
    said: list[tuple[str, T]] = []

    def run() -> None:
        try:
            said.append(("", act()))
        except OSError as error:
            said.append((_reason(error), otherwise))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return said[0] if said else (f"no answer within {_PATIENCE:g} s", otherwise)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
