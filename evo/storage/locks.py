"""Whether a run writes its journals, told without taking a lock, which might disturb one that is about to begin."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def are_held(files: Iterable[Path]) -> bool:
    """Whether a lock on one of some files can be seen from here; no answer is final, since not every lock can be.

    Linux lists the locks of this machine. Those of others are seen where the file system passes them on, as NFS does.

    Args:
        files: The files.
    """
    listed = _listed()
    for file in files:
        with suppress(OSError):
            if file.stat().st_ino in listed or _is_held_elsewhere(file):
                return True
    return False


def are_shown(files: Iterable[Path]) -> bool:
    """Whether a lock that a process of this machine has on some files can be seen, so that its absence tells something.

    A file system may have no locks, and a run then writes without them; and not every system lists them.

    Args:
        files: The files.
    """
    try:
        for file in files:
            _is_held_elsewhere(file)
        return os.access("/proc/locks", os.R_OK)
    except OSError:
        return False


def _listed() -> set[int]:
    """The numbers of the files that are locked on this machine.

    Those of their devices do not count, because some file systems have several.
    """
    found = set()
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 708 00:13:10012 0 EOF; one that waits has an arrow after its number.
            words = line.split()
            if "->" not in words:
                found.add(int(words[5].rpartition(":")[2]))
    return found


def _is_held_elsewhere(file: Path) -> bool:
    """Whether another machine holds a lock on a file, as far as its file system tells when it is asked."""
    if sys.platform != "linux":
        return False
    # struct flock with 64-bit offsets: the lock that is asked about, of the whole file, and who holds one against it.
    ask = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    with file.open("rb") as stream:
        kind, *_ = struct.unpack("hhqqi4x", fcntl.fcntl(stream, fcntl.F_GETLK, ask))
    return bool(kind != fcntl.F_UNLCK)
