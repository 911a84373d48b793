"""Figures of several trainings side by side, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evo.report.tables import number_text
from evo.texts import printable


def figures_text(columns: Mapping[str, Mapping[str, Any]], title: str = "") -> str:
    """A table with a line for each figure, and a column for each training.

    Args:
        columns: The figures of each training, by its title; an absent figure is left empty.
        title: The title above the names of the figures.

    Example:
        >>> print(figures_text({"baseline": {"loss": 0.5}, "best": {"loss": 0.25, "accuracy": 0.875}}))
                  baseline   best
        loss           0.5   0.25
        accuracy            0.875
    """
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    rows: list[Sequence[str]] = [(title, *columns)]
    rows += [(printable(name), *(number_text(figures.get(name)) for figures in columns.values())) for name in names]
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:{first}}" + "".join(f"  {text:>{width}}" for text, width in zip(texts, others, strict=True)).rstrip()
        for name, *texts in rows
    )
