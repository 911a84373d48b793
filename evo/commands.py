"""What the commands of `evo` share: how they read their options, and how they show what is wrong with these."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NoReturn

from evo import __version__
from evo.checks import did_you_mean
from evo.errors import MISTAKEN, UserError
from evo.texts import printable, show_error

STATUSES = """\
exit statuses:
  0   complete: the budget is spent, or the target reached
  1   complete, but nothing was found: no evaluation completed, or too many failed; also a bug in evo, with a traceback
  2   a mistake in what was given, which the message names; nothing was searched
  85  stopped before the end, by a signal, the walltime or full disks: the same command goes on
A signal to mpirun itself, Ctrl-C too, ends it with a status of its own."""
"""How a search ends, for the help of what searches."""

_STATUSES_OF_COMMANDS = (
    "Exit statuses: 0 done; 1 done, but not with success, or a bug in evo, with a traceback; 2 a mistake in what was "
    "given, which the message names; 130 ended by Ctrl-C."
)
_UNKNOWN = "unrecognized arguments: "
_BY_KEYBOARD = 130  # The status of a program that Ctrl-C has ended, by custom.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class ParserMade(BaseException):
    """A command was asked for its options only.

    Args:
        parser: Its parser.
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


@contextlib.contextmanager
def only_making_parsers() -> Iterator[None]:
    """Let a command that is called inside raise `ParserMade` where it would read its arguments."""
    before, VersionedParser.only_makes = VersionedParser.only_makes, True
    try:
        yield
    finally:
        VersionedParser.only_makes = before


class VersionedParser(argparse.ArgumentParser):
    """Has `--version`, and can be had without its command, see `only_making_parsers`."""

    only_makes: ClassVar[bool] = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_argument("--version", action="version", version=f"evo {__version__}", help="Show the version of evo.")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read the words of a command."""
        if self.only_makes:
            raise ParserMade(self)
        return super().parse_args(args, namespace)


class CommandParser(VersionedParser):
    """Reports errors as all of evo does, with the whole traceback after --debug."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"epilog": _STATUSES_OF_COMMANDS, **settings})
        self.add_argument("--debug", action="store_true", help="Show the whole traceback of an error.")

    def error(self, message: str) -> NoReturn:
        first = message.removeprefix(_UNKNOWN).partition(" ")[0] if message.startswith(_UNKNOWN) else ""
        if first.startswith("-"):
            message += did_you_mean(first, self._option_string_actions)
        elif first:
            taken = [str(action.metavar or action.dest) for action in self._get_positional_actions()]
            message += f", since it takes {f'one {taken[0]}' if taken else 'options only'}"
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
