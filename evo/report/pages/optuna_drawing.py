"""How Optuna draws: its figures with short names and harmless texts, for a page or as PNG."""

from __future__ import annotations

import ast
import base64
import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.report.pages.plotly_drawing import plotly_values
from evo.report.pages.png_drawing import label_png_axis, png_text

_LONGEST_NAME = 36


def short_name(name: str) -> str:
    """A name that fits below a picture: the middle of a long one is left out."""
    return short_names([name])[name]


def short_names(names: Iterable[str]) -> Mapping[str, str]:
    """Names that fit below a picture and can still be told from each other, by the whole names.

    Args:
        names: The whole names.

    Example:
        >>> found = short_names(["a" * 20 + str(n) + "b" * 40 for n in (1, 2)])
        >>> sorted(found.values())
        ['aaaaaaaaaaaaaaaaaaaa1bb…bbbbbbbbbbbb', 'aaaaaaaaaaaaaaaaaaaa2bb…bbbbbbbbbbbb']
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        cuts = range(_LONGEST_NAME // 3, _LONGEST_NAME, _LONGEST_NAME // 3)
        ways = [f"{name[: _LONGEST_NAME - 1 - cut]}…{name[-cut:]}" for cut in cuts]
        tries = [name] if len(name) <= _LONGEST_NAME else [*ways, f"{name[: _LONGEST_NAME - 8]}… ({len(found) + 1})"]
        found[name] = next((each for each in tries if each not in taken), name)
        taken.add(found[name])
    return found


def draw_by_optuna(function: str, study: Any, for_file: bool, **settings: Any) -> Any:
    """Let Optuna draw.

    Args:
        function: The name of the function, for example "plot_slice".
        study: What it draws: a study of Optuna, or several.
        for_file: Whether by matplotlib, rather than by plotly.
        settings: The function's other arguments.
    """
    name = "optuna.visualization.matplotlib" if for_file else "optuna.visualization"
    with quiet_optuna():
        return getattr(importlib.import_module(name), function)(study, **settings)


def optuna_figure(figure: Any) -> dict[str, Any]:
    """A figure of Optuna's as the page takes it, without colours that belong to the page.

    Args:
        figure: A figure of plotly's.
    """
    plain = figure.to_plotly_json()
    layout = {key: value for key, value in plain["layout"].items() if key not in ("template", "title", "plot_bgcolor")}
    kept = {"data": plain["data"], "layout": layout}
    categories = layout.get("xaxis", {}).get("categoryarray") or ()
    kept = _with_names(kept, without_quotes(each for each in categories if isinstance(each, str)))
    return plotly_values(_with_names(kept, short_names(_names_in(kept))))  # type: ignore[no-any-return]


def _names_in(value: Any) -> Iterator[str]:
    """All texts in a figure that are names; those with several lines are Optuna's own, and so are templates."""
    if isinstance(value, str):
        if "<br>" not in value and not value.startswith(("%{", "rgb")):
            yield value
    elif isinstance(value, Mapping):
        for each in value.values() if "bdata" not in value else ():
            yield from _names_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _names_in(each)


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    """A figure with other names and plain numbers."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return (
            _plain_array(value) if "bdata" in value else {key: _with_names(each, names) for key, each in value.items()}
        )
    if isinstance(value, list | tuple):
        return [_with_names(each, names) for each in value]
    return value


def _plain_array(packed: Mapping[str, Any]) -> Any:
    """The numbers of an array that plotly has packed into text, which would be three times as long."""
    import numpy as np

    flat = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"])
    shape = [int(size) for size in str(packed["shape"]).split(",")] if "shape" in packed else [-1]
    return flat.reshape(shape).tolist()


def save_optuna_png(draw: Callable[[bool], Any], title: str, file: Path) -> None:
    """Write a picture of Optuna's as a PNG.

    Args:
        draw: Draws it by matplotlib when it gets True.
        title: What it shows.
        file: The file; if it exists, it is replaced.

    Raises:
        OSError: The file cannot be written.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    plt.switch_backend("Agg")
    with plt.rc_context({"text.parse_math": False}), quiet_optuna():
        axes = np.ravel(draw(True))[0]
        try:
            axes.figure.set_size_inches(9, 6)
            for each in axes.figure.axes:
                tidy_axes(each, title)
            axes.figure.savefig(file, dpi=130, bbox_inches="tight")
        finally:
            plt.close(axes.figure)


def tidy_axes(axes: Any, title: str) -> None:
    """Give a picture of Optuna's its title, and labels for people: its own are formulas, or written as Python does.

    Args:
        axes: The axes of matplotlib's.
        title: What the picture shows, in place of the title that it has.
    """
    from matplotlib.category import StrCategoryFormatter

    if axes.get_title():
        axes.set_title(png_text(title))
    for axis in (axes.xaxis, axes.yaxis):
        formatter = axis.get_major_formatter()
        if axis.get_scale() == "log":
            label_png_axis(axis)
        elif isinstance(formatter, StrCategoryFormatter):
            places = axis.get_majorticklocs()
            labels = formatter.format_ticks(places)  # type: ignore[no-untyped-call]
            names = without_quotes(labels)
            axis.set_ticks(places, [png_text(names.get(label, label)) for label in labels])


def without_quotes(labels: Iterable[str]) -> Mapping[str, str]:
    """Texts as people write them, by what Python writes, if they can still be told from all other labels.

    Args:
        labels: Labels as `repr` writes values.

    Example:
        >>> without_quotes(["'adam'", "'1'", "1"])
        {"'adam'": 'adam'}
    """
    found: dict[str, str] = {}
    whole = set(labels)
    for label in whole:
        if len(label) > 1 and label[0] == label[-1] and label[0] in "'\"":
            with suppress(ValueError, SyntaxError):
                found[label] = ast.literal_eval(label)
    return {label: text for label, text in found.items() if isinstance(text, str) and text and text not in whole}


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna says that its pictures are experimental, and what it leaves out; the page says what matters of this."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def check_extra() -> None:
    """Make sure that what draws is installed.

    Raises:
        UserError: It is not; the message says how to install it.
    """
    try:
        import optuna
        import plotly
    except ImportError as error:
        raise UserError(f'evo report needs {error.name}: pip install "evo-mpi[report]"') from error
    del optuna, plotly
