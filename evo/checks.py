"""What numbers that users give must be, and which name they meant where they gave another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evo.errors import UserError

_ALIKE = 0.6  # Of two names that one may have been meant for the other: 1 is the same name, 0 nothing in common.


def check_probability(name: str, value: float) -> None:
    """Refuse what is not within [0, 1].

    Raises:
        UserError: It names the parameter and its value.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise UserError(f"{name} is {value!r}: a probability lies between 0 and 1")


def check_count(name: str, value: int, least: int = 1, most: int = 2**63 - 1) -> None:
    """Refuse what is not a whole number, or too small, or too large.

    Raises:
        UserError: It names the parameter and its value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} is {value!r}: give a whole number of at least {least}")
    if value > most:
        raise UserError(f"{name} is too large: give a whole number of at most {most}")


def nearest(name: Any, known: Iterable[str], alike: float = _ALIKE) -> str:
    """The known name for which an unknown one may have been meant; empty when none is near enough, or it is known.

    Args:
        name: What the user wrote; what is no text is near to nothing.
        known: The names that there are.
        alike: How near the two must be, between 0 and 1.

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
    """The end of a message about an unknown name; empty when no known one is near.

    Args:
        name: What the user wrote.
        known: The names that there are.

    Example:
        >>> did_you_mean("sgima", ["population", "sigma"])
        '; did you mean sigma?'
    """
    meant = nearest(name, known)
    return f"; did you mean {meant}?" if meant else ""
