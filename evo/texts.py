"""Text from and to an operating system of any locale: files hold UTF-8, and names may be of any language.

Where the locale is not UTF-8, Python has arguments and file names in another form than their text; JSON cannot hold it.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def readable(text: str) -> str:
    """An argument of the command line, or a file's name, as the text that it was written as.

    Args:
        text: As Python has it from the operating system, or as text already.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def as_path(name: str | os.PathLike[str]) -> Path:
    """The path of a file by its name, which a study file or a command line says.

    Args:
        name: As text, or as Python has it from the operating system.
    """
    return Path(os.fsdecode(os.fspath(name).encode("utf-8", "surrogateescape")))


def print_anything() -> None:
    """Let what this process prints be escaped where the locale has no character for it, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
