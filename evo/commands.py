"""What the commands of `evo` share: how they read their options, and how they show what is wrong with these."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from evo.checks import did_you_mean
from evo.errors import MISTAKEN, UserError
from evo.texts import printable, show_error

_UNKNOWN = "unrecognized arguments: "
_BY_KEYBOARD = 130  # The status of a program that Ctrl-C has ended, by custom.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class CommandParser(argparse.ArgumentParser):
    """Reports errors as all of evo does, with the whole traceback after --debug."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_argument("--debug", action="store_true", help="Show the whole traceback of an error.")

    def error(self, message: str) -> NoReturn:
        first = message.removeprefix(_UNKNOWN).partition(" ")[0] if message.startswith(_UNKNOWN) else ""
        if first.startswith("-"):
            message += did_you_mean(first, self._option_string_actions)
        elif first:
            message += ", since it takes one RUN"
        self.exit(MISTAKEN, printable(f"evo: error: {message}; see {self.prog} --help") + "\n")


def status_of(act: Callable[[], int | None], debug: bool) -> int:
    """Do what a command asks for.

    Args:
        act: Does it; returns the exit status, of which None is 0.
        debug: Whether an error shows its whole traceback.

    Returns:
        The exit status; 2, after a message, if there is a mistake in what the user gave.
    """
    try:
        return act() or 0
    except UserError as error:
        show_error(error, debug)
        return MISTAKEN


def ended_cleanly(command: Callable[[], int]) -> int:
    """Run a command so that Ctrl-C, or a reader who leaves (`evo list | head -1`), ends it without a word.

    Args:
        command: The command; returns the exit status.

    Returns:
        The exit status: that of the command, 0 when its reader has left, 130 after Ctrl-C, or 2, after a message, when
        its output cannot be written.
    """
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()  # What fails when the interpreter ends cannot be caught.
    except KeyboardInterrupt:
        return _BY_KEYBOARD
    except BrokenPipeError:
        return _leave_stdout(0)
    except SystemExit as ending:  # Rich ends the process itself.
        if isinstance(ending.__context__, BrokenPipeError):
            return _leave_stdout(0)
        raise
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        show_error(UserError(f"the output cannot be written: {error.strerror}"))
        return _leave_stdout(MISTAKEN)


def _leave_stdout(status: int) -> int:
    """Send what is still to be printed nowhere, so that it does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
