"""Files that are written whole or not at all, and the owners of files."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def write_whole(file: Path, write: Callable[[BinaryIO], object], partial: Path | None = None) -> None:
    """Write a file next to its place and move it there once it is durable, so that readers never see a part of it.

    Args:
        file: The file; if it exists, it is replaced.
        write: Writes the content to the stream that it gets.
        partial: The path of the file until it is whole, in the same folder; None means a hidden file of this process.

    Raises:
        OSError: The file cannot be written; an existing one is unchanged.
    """
    partial = partial or file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def belongs_to_user(file: Path) -> bool:
    """Whether a file is the user's own: both the file and its folder belong to the user who runs this process.

    A symbolic link and its target must both be the user's. The folder counts because its owner could replace the file,
    as in a run directory of another user.

    Args:
        file: The file; one that does not exist is not the user's own.
    """
    user = os.geteuid()
    try:
        return all(found.st_uid == user for found in (file.lstat(), file.stat(), file.parent.stat()))
    except OSError:
        return False
