"""The findings as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from evo.doctor.finding import NO_BREAK, Finding
from evo.doctor.places import counted

_INDENT = " " * 24
_LEAST_WIDTH, _MOST_WIDTH = 60, 100


def report_text(findings: Sequence[Finding], width: int) -> str:
    """What people read: a verdict, what was looked at, what was found, and what to do about it.

    Args:
        findings: In their order.
        width: Columns of the terminal; 0 when there is none.
    """
    columns = max(_LEAST_WIDTH, min(width or _MOST_WIDTH, _MOST_WIDTH))
    lines = [line.replace(NO_BREAK, " ") for finding in findings for line in _lines(finding, columns)]
    return "\n".join([*lines, _conclusion(findings)])


def _lines(finding: Finding, columns: int) -> list[str]:
    lines = [line for part in finding.value.splitlines() for line in _wrapped(part, "", columns)]
    if finding.advice:
        lines += _wrapped(finding.advice, "-> ", columns)
    lines[0] = f"{finding.verdict:<8} {finding.what:<14} {lines[0].lstrip()}"
    return lines


def _wrapped(text: str, mark: str, columns: int) -> list[str]:
    return textwrap.wrap(
        text,
        columns,
        initial_indent=_INDENT + mark,
        subsequent_indent=_INDENT + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _conclusion(findings: Sequence[Finding]) -> str:
    count = Counter(finding.verdict for finding in findings)
    notes = f", and {counted(count['note'], 'note')}" if count["note"] else ""
    if not count["problem"]:
        return f"evo doctor: nothing here will bite{notes}"
    return f"evo doctor: {counted(count['problem'], 'problem')}{notes}: do what follows each arrow first"
