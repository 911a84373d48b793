"""What numbers that users give must be."""

from __future__ import annotations

from evo.errors import UserError


def check_probability(name: str, value: float) -> None:
    """Refuse what is not within [0, 1].

    Raises:
        UserError: It names the parameter and its value.
    """
    if not isinstance(value, int | float) or not 0 <= value <= 1:
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
