"""The errors that evo raises on purpose: what a user can mend, what all ranks share, and what ends a search."""

from __future__ import annotations

COMPLETE, NOT_FOUND, MISTAKEN, RUN_AGAIN = 0, 1, 2, 85
"""Exit statuses; 85 asks a batch script to requeue the job."""


class UserError(ValueError):
    """Something that the user can mend; the message names the thing, its value, the rule and the next step.

    The command line shows it in one line and ends with status 2. Any other exception is a bug, and is shown with its
    traceback.
    """


class Elsewhere(Exception):
    """An exception of another process, given as the cause of one in this process.

    Args:
        traceback: The traceback of that exception, as text.
    """

    def __init__(self, traceback: str) -> None:
        super().__init__(f"in another process:\n\n{traceback}")


class Shared(BaseException):
    """An error that every rank raises at the same place; when uncaught, one rank shows it in one line, and all end.

    Attributes:
        status: The exit status of all ranks.
    """

    status = 1


class SharedError(UserError, Shared):
    """An error of the user that every rank knows of."""

    status = 2


class CutOff(RuntimeError):
    """This rank cannot take part any more, but the others can go on without it."""


class Stuck(RuntimeError):
    """The search cannot go on, on any rank; the message is for the user.

    Attributes:
        status: The exit status of all ranks.
    """

    status = 1
