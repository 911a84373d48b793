"""Pictures as PNG files, by matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evo.report.pages.picture import Axis, Picture, Series
from evo.report.pages.plotly_drawing import MOST_LABELLED, MOST_LABELLED_ROWS
from evo.texts import printable

_INCH = 110  # Pixels of a page in an inch of a PNG.
_MOST_IN_LEGEND = 12


def save_png(picture: Picture, file: Path) -> None:
    """Write a picture as a PNG.

    Args:
        picture: The picture.
        file: The file; if it exists, it is replaced.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):  # A dollar in a name is no formula.
        figure = Figure(figsize=(9, max(2.5, picture.height / _INCH)), layout="constrained")
        axes = figure.subplots()
        axes.set_title(png_text(picture.title), loc="left", pad=18 if any(text for _, text in picture.marks) else None)
        axis_names = (picture.x.categories, picture.y.categories)
        categories = {name: place for names in axis_names for place, name in enumerate(names)}
        for series in picture.series:
            _DRAW[series.kind](axes, series, categories)
        _set_axis(axes, "x", picture.x)
        _set_axis(axes, "y", picture.y)
        for at, text in picture.marks:
            axes.axvline(at, color="#888888", linestyle=":", linewidth=1)
            axes.annotate(text, (at, 1), xycoords=("data", "axes fraction"), fontsize=7, ha="center", va="bottom")
        axes.spines[["top", "right"]].set_visible(False)
        named = [series for series in picture.series if series.name]
        if 0 < len(named) <= _MOST_IN_LEGEND:
            figure.legend(loc="outside lower center", ncols=min(4, len(named)), frameon=False, fontsize=8)
        figure.savefig(file, dpi=130)


def png_text(text: str) -> str:
    """A text as a PNG shows it: in one short line.

    Args:
        text: The text, from a journal, say.
    """
    return textwrap.shorten(printable(text), 60, placeholder="…")


def label_png_axis(axis: Any) -> None:
    """Let an axis with a log scale show plain numbers: matplotlib writes formulas, which are off.

    Args:
        axis: An axis of matplotlib's, with its limits set.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < MOST_LABELLED * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _set_axis(axes: Any, name: str, axis: Axis) -> None:
    getattr(axes, f"set_{name}label")(png_text(axis.title))
    if axis.log:
        getattr(axes, f"set_{name}scale")("log")
    if axis.categories:
        ticks = getattr(axes, f"set_{name}ticks")
        ticks(range(len(axis.categories)), [png_text(each) for each in axis.categories], fontsize=8)
        getattr(axes, f"set_{name}lim")(-0.5, len(axis.categories) - 0.5)
    if axis.ends is not None:
        getattr(axes, f"set_{name}lim")(*axis.ends)
    if axis.log:
        label_png_axis(getattr(axes, f"{name}axis"))


def _numbers(values: Any) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def _points(axes: Any, series: Series, categories: dict[str, int]) -> None:
    marker = {"circle": "o", "x": "x", "star": "*", "diamond": "D"}[series.symbol]
    size = series.width**2 * 0.5
    axes.scatter(series.x, series.y, s=size, c=series.colour, marker=marker, alpha=0.75, label=_label(series))


def _lines(axes: Any, series: Series, categories: dict[str, int]) -> None:
    x, y = (_numbers(categories.get(value, value) for value in values) for values in (series.x, series.y))
    axes.plot(x, y, color=series.colour, linewidth=series.width * 0.8, label=_label(series))


def _steps(axes: Any, series: Series, categories: dict[str, int]) -> None:
    axes.step(series.x, series.y, where="post", color=series.colour, linewidth=series.width, label=_label(series))


def _bars(axes: Any, series: Series, categories: dict[str, int]) -> None:
    places = [categories[name] for name in series.y]
    bars = axes.barh(places, series.x, height=0.7, color=series.colour, label=_label(series))
    axes.bar_label(bars, [png_text(text) for text in series.labels], padding=3, fontsize=8)


def _spans(axes: Any, series: Series, categories: dict[str, int]) -> None:
    places = [categories[name] for name in series.y]
    axes.barh(places, series.x, left=series.starts, height=0.75, color=series.colour, label=_label(series))


def _cells(axes: Any, series: Series, categories: dict[str, int]) -> None:
    rows = series.cells
    axes.imshow(rows, cmap="Blues", aspect="auto", origin="lower", alpha=0.6)
    for y, row in enumerate(rows if len(rows) <= MOST_LABELLED_ROWS else ()):
        for x, value in enumerate(row):
            axes.text(x, y, f"{value:g}", ha="center", va="center")


def _label(series: Series) -> str | None:
    return png_text(series.name) if series.name else None


_DRAW: dict[str, Callable[[Any, Series, dict[str, int]], None]] = {
    "points": _points,
    "lines": _lines,
    "steps": _steps,
    "bars": _bars,
    "spans": _spans,
    "cells": _cells,
}
