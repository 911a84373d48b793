"""Parameters and losses, as Optuna draws them: importance, parallel coordinates, slices, contours, distributions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from evo.frames import one_line
from evo.report.optuna_study import optuna_study
from evo.report.pages.optuna_drawing import (
    draw_by_optuna,
    optuna_figure,
    quiet_optuna,
    save_optuna_png,
    short_name,
    short_names,
)
from evo.report.pages.picture import COLOURS, Axis, Drawing, Picture, Series
from evo.report.pages.plotly_drawing import label_log_axis
from evo.report.pages.sampling import sample_evaluations
from evo.report.pages.scales import Scale
from evo.report.reading import Run
from evo.report.records import Evaluation

_MOST_SLICES = 12
_MOST_AXES = 9
_MOST_IMPORTANCES = 30
_MOST_LINES = 160  # Each line of parallel coordinates is a trace of its own.
_MOST_CONTOUR_POINTS = 90  # Optuna's grid has the square of this number of cells.


def completed_part(evaluations: Sequence[Evaluation], height: Callable[[float], float]) -> list[Evaluation]:
    """The individuals that have completed within the limits, with losses as pictures show them.

    Args:
        evaluations: Some individuals.
        height: How a loss is shown.
    """
    return [
        msgspec.structs.replace(one, loss=height(one.loss), metrics={})
        for one in evaluations
        if one.status == "completed" and one.loss is not None and not one.is_set_aside
    ]


def varied_parameters(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[str]:
    """The parameters that have at least two values among individuals, in the order given.

    Args:
        evaluations: The individuals.
        names: The parameters of the study.
    """
    first: dict[str, str] = {}
    found: set[str] = set()
    for one in evaluations:
        for name, value in one.params.items():
            if name not in found and first.setdefault(name, repr(value)) != repr(value):
                found.add(name)
    return [name for name in names if name in found]


class ParameterPictures:
    """How parameters and losses hang together.

    Args:
        run: The study.
        shown: Its individuals that are drawn.
        scale: The part of the losses that is shown.

    Attributes:
        names: The parameters that are drawn, the most important ones first.
        importances: The importance of each parameter, 0 to 1, the most important one first; empty when unknown.
        problems: What could not be drawn, each with the reason.
    """

    def __init__(self, run: Run, shown: Sequence[Evaluation], scale: Scale) -> None:
        self._run = run
        self._scale = scale
        self._part = completed_part(shown, scale.place)
        self.names = varied_parameters(self._part, list(run.study.limits))
        self.importances: Mapping[str, float] = {}
        self.problems: list[str] = []
        losses = {one.loss for one in self._part}
        self.is_empty = not self.names or len(self._part) < 3
        if not self.is_empty:
            self._study = optuna_study(self._run, self._part)
            if len(losses) > 1 and len(self.names) > 1 and len(self._part) >= 10:
                with self._apart("the importance of the parameters"):
                    self.importances = self._measure()
                self.names = sorted(self.names, key=lambda name: -self.importances.get(name, 0.0))

    @contextmanager
    def _apart(self, what: str) -> Iterator[None]:
        """What another package cannot draw costs that picture only."""
        try:
            yield
        except Exception as error:
            self.problems.append(f"{what}: {one_line(error)}")

    def _measure(self) -> Mapping[str, float]:
        from optuna.importance import get_param_importances

        with quiet_optuna():
            found = get_param_importances(self._study, params=self.names)
        return {name: share for name, share in found.items() if math.isfinite(share)}

    def importance(self) -> Picture | None:
        """The importance of each parameter; None when it is unknown."""
        shown = sorted(self.importances.items(), key=lambda item: -item[1])[:_MOST_IMPORTANCES]
        if not shown:
            return None
        names = list(short_names(name for name, _ in shown).values())
        more = f" The first {_MOST_IMPORTANCES} are drawn." if len(self.importances) > len(shown) else ""
        return Picture(
            name="importance",
            title="Which parameters matter",
            hint="How strongly each parameter decides whether a point is among the best (PED-ANOVA, as Optuna computes "
            "it; all shares are 1 together). A parameter near 0 can stay at its value while you search others; this "
            f"holds within the limits searched, and is rough with less than about 100 points.{more}",
            x=Axis(title="share of the importance", ends=(0.0, 1.2 * max(share for _, share in shown) or 1.0)),
            y=Axis(title="", categories=names[::-1]),
            series=[
                Series(
                    kind="bars",
                    x=[share for _, share in shown],
                    y=names,
                    colour=COLOURS[0],
                    texts=[f"{name}: {share:.3g}" for name, share in shown],
                    labels=[f"{share:.2g}" for _, share in shown],
                )
            ],
            height=120 + 26 * len(names),
        )

    def parallel(self) -> Drawing | None:
        """Parallel coordinates; None when there are fewer than two parameters."""
        if self.is_empty or len(self.names) < 2:
            return None
        study, label = self._fewer(_MOST_LINES)
        names = self.names[:_MOST_AXES]
        more = (
            f" The {_MOST_AXES} most important of {len(self.names)} are drawn." if len(self.names) > len(names) else ""
        )
        few = " Of many individuals, the best and some random ones are drawn."
        hint = (
            "Each line is an individual, and the first axis its loss; dark lines are good ones. Where dark lines pass "
            "through one place of an axis, that value is good; where they spread, the parameter matters less."
            + more
            + (few if len(self._part) > _MOST_LINES else "")
        )
        draw = partial(draw_by_optuna, "plot_parallel_coordinate", study, params=names, target_name=label)
        found = None
        with self._apart("all parameters at once"):
            found = self._drawing("parallel", "All parameters at once", hint, draw)
        return found

    def slices(self) -> list[Drawing]:
        """The losses over each of the most important parameters."""
        if self.is_empty:
            return []
        found = []
        for place, name in enumerate(self.names[:_MOST_SLICES], 1):
            with self._apart(over := f"The loss over {short_name(name)}"):
                drawing = self._drawing(f"slice-{place}", short_name(name), "", partial(self._slice, name), over=over)
                axis = drawing.figure["layout"].setdefault("yaxis", {})
                axis["type"] = "log" if self._scale.log else "linear"
                if self._scale.log:
                    label_log_axis(axis, self._scale.ends[1] / self._scale.ends[0])
                found.append(drawing)
        return found

    def _slice(self, name: str, for_file: bool) -> Any:
        found = draw_by_optuna("plot_slice", self._study, for_file, params=[name], target_name="loss")
        if for_file and self._scale.log:
            found.set_yscale("log")
        return found

    def contours(self) -> list[Drawing]:
        """The losses over pairs of the three most important parameters."""
        if self.is_empty or len(self._part) < 6:
            return []
        study, label = self._fewer(_MOST_CONTOUR_POINTS)
        found = []
        present = varied_parameters(self._fewest, self.names)
        for place, pair in enumerate(itertools.combinations(self.names[:3], 2), 1):
            both = [one for one in self._fewest if set(pair) <= one.params.keys()]
            if set(pair) <= set(present) and len(varied_parameters(both, pair)) == 2:
                draw = partial(draw_by_optuna, "plot_contour", study, params=list(pair), target_name=label)
                title = " and ".join(map(short_name, pair))
                with self._apart(over := f"The loss over {title}"):
                    drawing = self._drawing(f"contour-{place}", title, "", draw, over=over)
                    # Labels below each other have room, those beside not.
                    axis = drawing.figure["layout"].get("yaxis", {})
                    if axis.get("type") == "log" and axis.get("range"):
                        label_log_axis(axis, 10 ** (axis["range"][1] - axis["range"][0]))
                    found.append(drawing)
        return found

    def _fewer(self, most: int) -> tuple[Any, str]:
        """A study of Optuna of at most about as many individuals, and what its values are."""
        log = self._scale.log
        kept = sample_evaluations(self._part, most)[-2 * most :]
        self._fewest = kept
        part = completed_part(kept, math.log10 if log else float)
        return optuna_study(self._run, part), "log10 loss" if log else "loss"

    def _drawing(self, name: str, title: str, hint: str, draw: Callable[[bool], Any], over: str = "") -> Drawing:
        """A drawing; a small one where `over` says more than its title, for a file that stands alone."""
        height = 340 if over else 460
        return Drawing(
            name=name,
            title=title,
            hint=hint,
            figure=optuna_figure(draw(False)),
            save=partial(save_optuna_png, draw, over or title),
            height=height,
            is_small=bool(over),
            is_on_white=True,
        )


def distributions_of(runs: Mapping[str, Run], scale: Scale) -> Drawing | None:
    """The share of individuals of several studies that reach a loss; None when nothing has completed.

    Args:
        runs: The studies by their names.
        scale: The part of the losses that is shown.
    """
    from optuna import create_study

    def height(loss: float) -> float:
        return math.log10(scale.place(loss)) if scale.log else scale.place(loss)

    studies, label = [], "log10 loss" if scale.log else "loss"
    for name, run in runs.items():
        part = completed_part(sample_evaluations(run.individuals, 1000), height)
        if part:
            with quiet_optuna():
                studies.append(create_study(study_name=short_name(name)))  # Two directories may have one name.
                studies[-1].add_trials(optuna_study(run, part).get_trials(deepcopy=False))
    if not studies:
        return None
    draw = partial(draw_by_optuna, "plot_edf", studies, target_name=label)
    figure = optuna_figure(draw(False))
    figure["layout"]["yaxis"]["title"]["text"] = "share of the individuals"
    return Drawing(
        name="distribution",
        title="How many individuals reach a loss",
        hint="The share of the individuals of each run with at most this loss. A line further to the left means more "
        "good individuals, not only one lucky best.",
        figure=figure,
        save=partial(save_optuna_png, draw, "How many individuals reach a loss"),
    )
