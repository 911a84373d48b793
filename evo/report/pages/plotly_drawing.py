"""Pictures as plotly.js takes them: plain data and a layout, in which no text can be anything but text."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from typing import Any

from evo.report.pages.picture import Axis, Picture, Series
from evo.texts import printable

_LONGEST = 300
MOST_LABELLED = 1e5
"""The highest over the lowest value of an axis with a log scale, up to which also 2 and 5 are labelled."""
MOST_LABELLED_ROWS = 12
"""The most rows of cells whose values are written into them."""
# Plotly reads a few tags in texts; of these, only the ones that evo and Optuna write themselves are kept.
_KEPT = {"&lt;br&gt;": "<br>", "&lt;extra&gt;&lt;/extra&gt;": "<extra></extra>"}


def plotly_text(text: str) -> str:
    """A text as plotly shows it literally.

    Args:
        text: From a journal, say, with "<br>" or a newline where a line ends.

    Example:
        >>> plotly_text("<b>a</b> & b<br>c")
        '&lt;b&gt;a&lt;/b&gt; &amp; b<br>c'
    """
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    escaped = html.escape(printable(shown, kept="\n"), quote=False)
    for written, meant in _KEPT.items():
        escaped = escaped.replace(written, meant)
    return escaped.replace("\n", "<br>").replace("$", "&#36;")  # Between dollars it would be a formula.


def plotly_values(value: Any) -> Any:
    """Data of a figure with short numbers and harmless texts.

    Args:
        value: Nested mappings and lists; arrays of numpy become lists, and numbers that are not finite become None.

    Example:
        >>> plotly_values({"y": [0.123456789, float("nan")], "name": "<b>"})
        {'y': [0.123457, None], 'name': '&lt;b&gt;'}
    """
    if isinstance(value, str):
        return plotly_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return {str(key): plotly_values(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return plotly_values(value.tolist())
    if isinstance(value, list | tuple):
        return [plotly_values(each) for each in value]
    return plotly_text(str(value))


def plotly_figure(picture: Picture) -> dict[str, Any]:
    """A picture as plotly.js takes it.

    Args:
        picture: The picture.

    Returns:
        A mapping with "data" and "layout"; colours of texts and lines are left to the page, which knows its theme.
    """
    traces = [_TRACES[series.kind](series) for series in picture.series]
    for trace, series in zip(traces, picture.series, strict=True):
        trace["showlegend"] = bool(series.name)
        if series.name:
            trace["name"] = series.name
    shapes = [
        {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": _MARK}
        for at, _ in picture.marks
    ]
    notes = [
        {"x": at, "yref": "paper", "y": 1, "text": text, "showarrow": False, "yanchor": "bottom", "font": {"size": 11}}
        for at, text in picture.marks
        if text
    ]
    layout = {
        "xaxis": _axis(picture.x),
        "yaxis": _axis(picture.y),
        "shapes": shapes,
        "annotations": notes,
        "barmode": "overlay",
        "bargap": 0.25,
    }
    figure: dict[str, Any] = plotly_values({"data": traces, "layout": layout})
    return figure


_MARK = {"dash": "dot", "width": 1, "color": "#888888"}


def _axis(axis: Axis) -> dict[str, Any]:
    shown: dict[str, Any] = {"title": {"text": axis.title}, "automargin": True}
    if axis.categories:
        shown |= {"type": "category", "categoryorder": "array", "categoryarray": list(axis.categories)}
        if axis.ends is None:
            shown["range"] = [-0.5, len(axis.categories) - 0.5]
    elif axis.log:
        shown["type"] = "log"
        if axis.ends is not None:
            label_log_axis(shown, axis.ends[1] / axis.ends[0])
    else:
        shown["type"] = "linear"
    if axis.ends is not None:
        shown["range"] = [math.log10(end) for end in axis.ends] if axis.log else list(axis.ends)
    return shown


def label_log_axis(axis: dict[str, Any], ratio: float) -> None:
    """Let an axis with a log scale show whole numbers rather than single digits, and not too many.

    Args:
        axis: The axis in the layout of a figure; it is changed.
        ratio: Its highest value over its lowest one.
    """
    if ratio < MOST_LABELLED:
        axis |= {"dtick": "D2", "tickformat": "~g"}  # 1, 2 and 5 of each power of ten; plotly itself draws all digits.


def _points(series: Series) -> dict[str, Any]:
    marker = {"color": series.colour, "size": series.width, "symbol": series.symbol, "opacity": 0.75}
    return _scatter(series) | {"mode": "markers", "marker": marker}


def _lines(series: Series) -> dict[str, Any]:
    return _scatter(series) | {"mode": "lines", "line": {"color": series.colour, "width": series.width}}


def _steps(series: Series) -> dict[str, Any]:
    line = {"color": series.colour, "width": series.width, "shape": "hv"}
    return _scatter(series) | {"mode": "lines", "line": line}


def _scatter(series: Series) -> dict[str, Any]:
    trace: dict[str, Any] = {"type": "scatter", "x": list(series.x), "y": list(series.y), "hoverinfo": "skip"}
    if series.texts:
        trace |= {"text": list(series.texts), "hoverinfo": "text"}
    return trace


def _bars(series: Series) -> dict[str, Any]:
    return _spans(series) | {"textposition": "outside", "cliponaxis": False, "textfont": {"size": 11}}


def _spans(series: Series) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "x": list(series.x),
        "y": list(series.y),
        "hovertext": list(series.texts),
        "hoverinfo": "text",
        "marker": {"color": series.colour, "line": {"width": 0}},
    }
    if series.starts:
        return trace | {"base": list(series.starts)}
    return trace | {"text": list(series.labels)}


def _cells(series: Series) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "x": list(series.x),
        "y": list(series.y),
        "z": [list(row) for row in series.cells],
        "texttemplate": "%{z}" if len(series.cells) <= MOST_LABELLED_ROWS else "",
        "hoverinfo": "skip",
        "colorscale": [[0, "#eef3f8"], [1, series.colour]],
        "showscale": False,
        "textfont": {"color": "#111111"},
        "xgap": 2,
        "ygap": 2,
    }


_TRACES: Mapping[str, Callable[[Series], dict[str, Any]]] = {
    "points": _points,
    "lines": _lines,
    "steps": _steps,
    "bars": _bars,
    "spans": _spans,
    "cells": _cells,
}
