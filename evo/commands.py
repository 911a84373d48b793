"""What the commands of `evo` share: how they read their options, and how they show what is wrong with these."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from evo.errors import MISTAKEN, UserError
from evo.texts import show_error


class CommandParser(argparse.ArgumentParser):
    """Reports errors as all of evo does, with the whole traceback after --debug."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_argument("--debug", action="store_true", help="Show the whole traceback of an error.")

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKEN, f"evo: error: {message}; see {self.prog} --help\n")


def status_of(act: Callable[[], int | None], debug: bool) -> int:
    """Do what a command asks for.

    Args:
        act: Does it; returns the exit status, of which None is 0.
        debug: Whether an error shows its whole traceback.

    Returns:
        The exit status; 2, after a message, if there is a mistake in what the user gave; 0 if whoever read the output
        has left, as head does.
    """
    try:
        status = act() or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        show_error(error, debug)
        return MISTAKEN
