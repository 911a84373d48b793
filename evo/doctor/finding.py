"""One line of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NO_BREAK = "\N{NO-BREAK SPACE}"
"""Becomes a space where the report stands, but no end of line."""

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        what: Was looked at.
        value: What was found; may have several lines.
        verdict: Whether it will bite.
        advice: What to do next.
    """

    what: str
    value: str
    verdict: Verdict = "ok"
    advice: str = ""
