"""Text from and to an operating system of any locale: files hold UTF-8, and names may be in any language.

Where the locale is not UTF-8, Python holds arguments and file names in a form of its own, which JSON cannot hold.
"""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from pathlib import Path

from evo.errors import UserError
from evo.frames import whole_traceback


def readable(text: str) -> str:
    """An argument of the command line, or the name of a file, as proper text.

    Args:
        text: The argument as Python got it from the operating system; proper text stays as it is.

    Raises:
        UserError: The text holds half of a character.
    """
    return _encoded(text).decode("utf-8", "backslashreplace")


def as_path(name: str | os.PathLike[str]) -> Path:
    """The path of a file that a study file or a command line names.

    Args:
        name: The name as proper text, or as Python got it from the operating system.

    Raises:
        UserError: No file can have that name.
    """
    text = os.fspath(name)
    if text.isascii() and "\0" not in text:
        return Path(text)
    encoded = _encoded(text)
    if b"\0" in encoded:
        raise UserError(
            f"the name {text!r} holds a NUL character, which the name of a file cannot: choose another name"
        )
    return Path(os.fsdecode(encoded))


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UserError(f"{text!r} holds {text[error.start]!r}, which is half of a character: type it again") from error


def printable(text: str, kept: str = "") -> str:
    r"""A text as a terminal can show it: what would steer the terminal instead is escaped.

    Args:
        text: From a file that anybody may have written, say.
        kept: Characters that stay, such as the ends of lines.

    Example:
        >>> printable("\x1b[2Jloss")
        '\\x1b[2Jloss'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept or unicodedata.category(char) == "Zs" else ascii(char)[1:-1]
        for char in text
    )


def show_error(error: BaseException, whole: bool = False) -> None:
    """Print an error in one line.

    Args:
        error: The error to print; its message is for the user.
        whole: Whether to print its traceback first, with those of the exceptions that caused it.
    """
    if whole:
        print(printable(whole_traceback(error), kept="\n\t"), file=sys.stderr)
    message = printable(str(error), kept="\n\t")
    print(f"evo: error: {message}", file=sys.stderr, flush=True)


def print_anything() -> None:
    """Escape what this process prints where the locale has no character for it, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def terminal_width() -> int:
    """Columns of the terminal on which people see what this process prints; 0 when it goes elsewhere.

    mpirun gives its ranks a terminal of their own whatever becomes of their output, but only a real one has a width.
    """
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0
    except (OSError, ValueError):
        return 0


def draws_in_place() -> bool:
    """Whether people see what this process prints on a terminal that can draw again where it has drawn before."""
    return terminal_width() > 0 and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def argument_texts(doc: str) -> dict[str, str]:
    """The text of each argument in a docstring, in one line each; some may share one, as in "losses, violation: …".

    Args:
        doc: The docstring, in Google's style.
    """
    from docstring_parser import parse

    return {
        name.strip(): " ".join((text.description or "").split())
        for text in parse(doc).params
        for name in text.arg_name.split(",")
    }
