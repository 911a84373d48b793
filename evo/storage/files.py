"""Files that are whole or absent."""

from __future__ import annotations

import errno
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
    if not file.name:  # "" or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
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
