"""How Optuna draws: its figures with short names and harmless texts, for a page or as PNG."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.report.pages.plotly_drawing import plotly_values

_LONGEST_NAME = 36


def short_name(name: str) -> str:
    """A name that fits below a picture: the middle of a long one is left out."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[-half + 1 :]}"


def draw_by_optuna(function: str, study: Any, for_file: bool, **settings: Any) -> Any:
    """Let Optuna draw.

    Args:
        function: The name of the function, for example "plot_slice".
        study: What it draws: a study of Optuna, or several by their names.
        for_file: Whether by matplotlib, rather than by plotly.
        settings: The function's other arguments.
    """
    with quiet_optuna():
        if for_file:
            import optuna.visualization.matplotlib as drawing
        else:
            import optuna.visualization as drawing
        return getattr(drawing, function)(study, **settings)


def optuna_figure(figure: Any) -> dict[str, Any]:
    """A figure of Optuna's as the page takes it, without colours that belong to the page.

    Args:
        figure: A figure of plotly's.
    """
    plain = figure.to_plotly_json()
    layout = {key: value for key, value in plain["layout"].items() if key not in ("template", "title", "plot_bgcolor")}
    return plotly_values(_shortened({"data": plain["data"], "layout": layout}))  # type: ignore[no-any-return]


def _shortened(value: Any) -> Any:
    """The same with shorter names and plain numbers; texts with several lines are Optuna's own."""
    if isinstance(value, Mapping) and "bdata" in value:
        return _plain_array(value)
    if isinstance(value, str):
        return value if "<br>" in value or value.startswith(("%{", "rgb")) else short_name(value)
    if isinstance(value, Mapping):
        return {key: _shortened(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each) for each in value]
    return value


def _plain_array(packed: Mapping[str, Any]) -> Any:
    """The numbers of an array that plotly has packed into text, which would be three times as long."""
    import numpy as np

    flat = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"])
    shape = [int(size) for size in str(packed["shape"]).split(",")] if "shape" in packed else [-1]
    return flat.reshape(shape).tolist()


def save_optuna_png(draw: Callable[[bool], Any], file: Path) -> None:
    """Write a picture of Optuna's as a PNG.

    Args:
        draw: Draws it by matplotlib when it gets True.
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
            axes.figure.savefig(file, dpi=130, bbox_inches="tight")
        finally:
            plt.close(axes.figure)


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
