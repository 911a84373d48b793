"""Durations as people write them."""

from __future__ import annotations

import re

from evo.errors import UserError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(name: str, text: str | float) -> float:
    """Seconds in a duration.

    Args:
        name: The name of the setting, for the error.
        text: Seconds, or for example "30m", "1h30m", "02:00:00", "1-12:00:00".

    Raises:
        UserError: The text is none of these, or not above 0.

    Example:
        >>> parse_duration("walltime", "1h30m")
        5400.0
    """
    seconds = 0.0
    written = str(text).strip()
    clock = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", written)
    if clock:
        days, hours, minutes, rest = (float(part or 0) for part in clock.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60.0 + rest
    elif re.fullmatch(r"\d+(\.\d+)?", written):
        seconds = float(written)
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", written):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", written))
    if not 0 < seconds < float("inf"):
        raise UserError(f"{name} is {text!r}: give seconds above 0, or for example 30m, 1h30m, 02:00:00")
    return seconds
