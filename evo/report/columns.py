"""Rows of text in columns, for terminals and logs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evo.texts import printable


def columns_text(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows one below the other, in columns that are as wide as they need to be.

    Args:
        rows: The rows, all of the same length, at least one; the first may be the title.
        right: The columns, from 0, that are flush right.

    Example:
        >>> print(columns_text([("run", "loss"), ("a", "10.5"), ("bc", "2")], right={1}))
        run  loss
        a    10.5
        bc      2
    """
    shown = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = [
            text.rjust(width) if number in right else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
