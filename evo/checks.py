"""Checks of the numbers that users give, and the known name that is nearest to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evo.errors import UserError

_ALIKE = 0.6  # The similarity from which one name may be meant for another: 1 is equality, 0 is nothing in common.


def check_probability(name: str, value: float) -> None:
    """Refuse a value outside [0, 1].

    Raises:
        UserError: The value is no probability; the message names the parameter and its value.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise UserError(f"{name} is {value!r}: a probability lies between 0 and 1")


def check_count(name: str, value: int, least: int = 1, most: int = 2**63 - 1) -> None:
    """Refuse a value that is not a whole number, is too small or is too large.

    Raises:
        UserError: The value is no such number; the message names the parameter and its value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} is {value!r}: give a whole number of at least {least}")
    if value > most:
        raise UserError(f"{name} is too large: give a whole number of at most {most}")


def nearest(name: Any, known: Iterable[str], alike: float = _ALIKE) -> str:
    """The known name that the user probably meant; empty when none is similar enough, or the name is a known one.

    Args:
        name: What the user wrote; a value that is no text is similar to nothing.
        known: The names that exist.
        alike: The least similarity of the two names, between 0 and 1.

    Example:
        >>> nearest("evaluation", ["generations", "evaluations"])
        'evaluations'
    """
    import difflib  # Only needed for messages.

    texts = [each for each in known if isinstance(each, str)]
    if not isinstance(name, str) or name in texts:
        return ""
    return next(iter(difflib.get_close_matches(name, texts, 1, alike)), "")


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """The end of a message about an unknown name; empty when no known name is similar.

    Args:
        name: What the user wrote.
        known: The names that exist.

    Example:
        >>> did_you_mean("sgima", ["population", "sigma"])
        '; did you mean sigma?'
    """
    meant = nearest(name, known)
    return f"; did you mean {meant}?" if meant else ""
