"""A picture as plain data: what is drawn, apart from what draws it, so that a page and a PNG show the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

STATUS_COLOURS: Mapping[str, str] = {
    "completed": "#3b82c4",
    "pruned": "#e39a26",
    "infeasible": "#9467bd",
    "failed": "#d84a3a",
    "interrupted": "#8c8c8c",
    "lost": "#8c8c8c",
    "running": "#2ca05a",
}
"""The colour of each status, the same in all pictures."""
BEST_COLOUR = "#14965a"
COLOURS = ("#3b82c4", "#e39a26", "#9467bd", "#14a3a8", "#c2558f", "#8c6d4f", "#7f9c2b", "#5b6fd6", "#d84a3a", "#777777")
"""The colours of things that have none of their own, in turn; all of them can be told from white and from black."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """What is drawn in one colour.

    Args:
        kind: Points, lines from point to point (None ends one), steps, horizontal bars from zero, spans from `starts`
            that are `x` long, or a table of cells in colours.
        x: The horizontal places, or the lengths of bars and spans.
        y: The vertical places; numbers, or categories of the axis.
        name: Its name in the legend; empty leaves it out of there.
        colour: Its colour, as "#rrggbb".
        texts: A text for each point, shown under the mouse.
        labels: A short text beside each bar.
        symbol: The form of points.
        width: The width of lines, or the size of points, in pixels.
        starts: Where spans begin.
        cells: The values of the cells, row by row, from below.
    """

    kind: Literal["points", "lines", "steps", "bars", "spans", "cells"]
    x: Sequence[Any]
    y: Sequence[Any]
    name: str = ""
    colour: str = COLOURS[0]
    texts: Sequence[str] = ()
    labels: Sequence[str] = ()
    symbol: Literal["circle", "x", "star", "diamond"] = "circle"
    width: float = 2.0
    starts: Sequence[float] = ()
    cells: Sequence[Sequence[float]] = ()


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis.

    Args:
        title: What it shows, with its unit.
        log: Whether it has a log scale.
        ends: The lowest and highest value shown; None means all that there are.
        categories: The categories in their order; empty for numbers.
    """

    title: str
    log: bool = False
    ends: tuple[float, float] | None = None
    categories: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture.

    Args:
        name: A short name without spaces, unique in a report; also that of its PNG.
        title: What it shows.
        hint: What to look for, in plain words.
        x: The horizontal axis.
        y: The vertical axis.
        series: What is drawn, the first one at the back.
        marks: Vertical lines, each with its place and a text.
        height: The height in pixels.
    """

    name: str
    title: str
    hint: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    marks: Sequence[tuple[float, str]] = ()
    height: int = 420


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture that is ready for a page, and can be written as a PNG.

    Args:
        name: A short name without spaces, unique in a report.
        title: What it shows.
        hint: What to look for, in plain words.
        figure: The data and the layout, as plotly.js takes them.
        save: Writes the PNG to a path.
        height: The height on the page, in pixels.
        is_small: Whether it stands beside others of its kind where there is room.
        is_on_white: Whether its colours need a white page, also where the rest of the page is dark.
    """

    name: str
    title: str
    hint: str
    figure: Mapping[str, Any]
    save: Callable[[Path], None] = field(repr=False)
    height: int = 420
    is_small: bool = False
    is_on_white: bool = False
