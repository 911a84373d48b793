"""Exceptions shown in one line, with the place in the user's own code that they come from."""

from __future__ import annotations

import functools
import inspect
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from evo.errors import UserError

Failure = TypeVar("Failure", bound=Exception)

_LIBRARY = re.compile(r"[/\\](site-packages|dist-packages|lib(64)?[/\\]python3[^/\\]*)[/\\]|^<frozen ")
_EVO = __file__.rpartition("frames.py")[0]
_COPIED_TRACEBACK = "Original Traceback (most recent call last):"
_LONGEST_MESSAGE, _LONGEST_CODE = 400, 100  # Characters that are shown.


FAILURES = (Exception, SystemExit)
"""What the user's own code may raise, which becomes an error that names the place."""


@contextmanager
def blamed(
    what: str,
    kind: type[Failure] = UserError,  # type: ignore[assignment]
    called: Any = None,
    stated: type[BaseException] = UserError,
    hint: str = "",
) -> Iterator[None]:
    """Run the user's own code inside; what it raises becomes an error that names the place in that code.

    Args:
        what: The beginning of the message, which says what has failed.
        kind: The class of the error.
        called: The user's function that is called.
        stated: The class of exceptions whose message is enough: ValueError where the user's code may refuse by one.
        hint: The end of the message, which says what to do.

    Raises:
        UserError: The code inside has failed.

    Example:
        >>> with blamed("objective half.py:loss cannot be imported"):
        ...     1 / 0
        Traceback (most recent call last):
            ...
        evo.errors.UserError: objective half.py:loss cannot be imported: ZeroDivisionError: division by zero ...
    """
    try:
        yield
    except FAILURES as error:
        raise blame(error, what, kind, called, stated, hint) from error


def blame(
    error: BaseException,
    what: str,
    kind: type[Failure] = UserError,  # type: ignore[assignment]
    called: Any = None,
    stated: type[BaseException] = UserError,
    hint: str = "",
) -> Failure:
    """The error that `blamed` raises, for code that is called too often to prepare a message each time.

    Args:
        error: What the user's code has raised.
        what: The beginning of the message; the others are those of `blamed` as well.
        kind: The class of the error.
        called: The user's function that was called.
        stated: The class of exceptions whose message is enough.
        hint: The end of the message.
    """
    said = told(error, stated, called)
    return kind("; ".join(filter(None, [f"{what}: {said}" if what else said, hint])))


def is_bug_in(called: Any, error: BaseException) -> bool:
    """Whether evo's own function or class has failed, with no code of the user involved, and did not mean to refuse.

    Args:
        called: The function or class that was called.
        error: What it has raised.
    """
    return is_made_by_evo(called) and not isinstance(error, UserError) and not own_frames(error)


def is_made_by_evo(thing: Any) -> bool:
    """Whether a function, a method or a class is evo's own."""
    return str(getattr(thing, "__module__", "")).startswith("evo.")


def told(error: BaseException, stated: type[BaseException] = UserError, called: Any = None) -> str:
    """An exception in one line: what it is, its message, and the place in the user's own code that it comes from.

    Args:
        error: The exception to show.
        stated: The class of exceptions whose message is enough; the name of their class is left out.
        called: The user's function that was called; its definition is the place where none of its code has run.
    """
    text = one_line(error)
    if isinstance(error, SyntaxError) and _syntax_place(error):
        text = f"{type(error).__name__}: {error.msg}"
    if isinstance(error, stated):
        text = text.removeprefix(f"{type(error).__name__}: ")
    text = cut_off(text, _LONGEST_MESSAGE)
    place = place_of(error) or (definition_of(called) if called is not None else "")
    return f"{text} ({place})" if place else text


def one_line(error: BaseException) -> str:
    """An exception in one line: the name of its class and its message; works even where `str(error)` fails."""
    text = str(traceback.TracebackException.from_exception(error))
    where, copied, original = text.partition(_COPIED_TRACEBACK)
    if copied:  # torch copies tracebacks from data-loading processes; the original message is below the last frame.
        lines = original.strip().splitlines()
        last_frame = max((place for place, line in enumerate(lines[:-1]) if line.startswith("  ")), default=-1)
        message = " ".join(lines[last_frame + 1 :]).removeprefix(f"{type(error).__name__}: ")
        text = f"{message} ({where.strip().removesuffix('.')})"
    notes = [str(note) for note in getattr(error, "__notes__", None) or ()]
    text = " ".join(" ".join([text, *notes]).split()).encode(errors="backslashreplace").decode()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def representation(thing: Any) -> str:
    """The `repr` of a thing of the user's; where that fails, the name of its class and the failure with its place."""
    try:
        return repr(thing)
    except FAILURES as error:
        kind = type(thing)
        return f"{kind.__qualname__} (its __repr__ fails: {told(error, called=kind.__repr__)})"


def place_of(error: BaseException) -> str:
    """The place in the user's own code that an exception comes from; without one, the innermost place in a library.

    In a chain of exceptions, the first that comes from the user's own code counts.

    Returns:
        `file, line N: code`; empty when only evo's own code is involved.
    """
    if isinstance(error, SyntaxError) and (place := _syntax_place(error)):
        return place
    chain = list(_chain(error))
    frames = next((frames for each in chain if (frames := own_frames(each))), None)
    frames = frames or [frame for frame in _frames(error) if not (is_evos(frame.filename) or frame.filename[:1] == "<")]
    return _shown(frames[-1].filename, frames[-1].lineno, frames[-1].line) if frames else ""


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of an exception that are in the user's own code, the innermost one last.

    Code without a file, such as that of `python -c`, counts only where there is no other.
    """
    own = [frame for frame in _frames(error) if is_own(frame.filename)]
    return [frame for frame in own if not frame.filename.startswith("<")] or own


def is_of_evo(error: BaseException) -> bool:
    """Whether evo's own code has raised an exception with no code of the user involved, which is a bug."""
    frames = _frames(error)
    return bool(frames) and is_evos(frames[-1].filename) and not own_frames(error)


def is_own(file: str) -> bool:
    """Whether a file of a traceback is the user's own: not part of Python, of an installed package or of evo."""
    return not (_LIBRARY.search(file) or is_evos(file))


def is_evos(file: str) -> bool:
    """Whether a file of a traceback is evo's own."""
    return file.startswith(_EVO)


def definition_of(thing: Any) -> str:
    """The place where a function or method is defined: `file, line N`; empty when it is not written in Python.

    A class is called, so its place is that of its `__init__`, if that stands in a file.
    """
    while isinstance(thing, functools.partial):
        thing = thing.func
    function = inspect.unwrap(thing)
    found: Any = inspect.getattr_static(function, "__init__") if isinstance(function, type) else function
    call = inspect.getattr_static(type(found), "__call__", None)
    code = getattr(found, "__code__", None) or getattr(call, "__code__", None)
    is_written = code is not None and not (isinstance(function, type) and code.co_filename[:1] == "<")
    return f"{code.co_filename}, line {code.co_firstlineno}" if code is not None and is_written else ""


def whole_traceback(error: BaseException) -> str:
    """The traceback of an exception, with those of the exceptions that caused it."""
    return "".join(traceback.format_exception(error)).strip("\n")


def cut_off(text: str, longest: int) -> str:
    """A text, cut off where it is too long.

    Args:
        text: The text to show.
        longest: The largest number of characters to show.
    """
    return text if len(text) <= longest else f"{text[:longest]} …"


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that caused it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _syntax_place(error: SyntaxError) -> str:
    """The place of a syntax error; empty when the code is not in a file."""
    if not error.filename or error.filename.startswith("<"):
        return ""
    return _shown(error.filename, error.lineno, error.text)


def _shown(file: str, line: int | None, code: str | None) -> str:
    text = " ".join((code or "").split())
    place = f"{file}, line {line}" if line else file
    place = f"{place}: {cut_off(text, _LONGEST_CODE)}" if text else place
    return place.encode(errors="backslashreplace").decode()
