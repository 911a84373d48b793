"""A report: everything about one study or several, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files

from evo import __version__
from evo.frames import one_line
from evo.report.contributions import contributions
from evo.report.pages import sections
from evo.report.pages.curve_pictures import learning_curves, rung_rows
from evo.report.pages.lineage_pictures import journeys, lineage, migrants, proposers
from evo.report.pages.markup import escaped, figure_box, grid, paragraph, section, table
from evo.report.pages.optuna_pictures import ParameterPictures, distributions_of
from evo.report.pages.picture import Drawing, Picture
from evo.report.pages.plotly_drawing import plotly_figure
from evo.report.pages.png_drawing import save_png
from evo.report.pages.progress_pictures import compared, loss_scale, over_evaluations, over_time
from evo.report.pages.sampling import ends_in_order, improvements, sample_evaluations
from evo.report.pages.scales import duration_text, scale_of
from evo.report.pages.story import Story, running_time, use_of_workers
from evo.report.pages.worker_pictures import timeline, where_time_went
from evo.report.reading import Run
from evo.report.records import count_statuses

MOST_POINTS = 1500
"""How many individuals the pictures of one run show at most, apart from those that improved the best."""
_MOST_CURVES = 300
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_TITLES = {
    "progress": "How the best came about",
    "best": "The best individuals",
    "parameters": "Parameters",
    "workers": "Workers and time",
    "curves": "Learning curves",
    "origin": "Where the best comes from",
    "failures": "Failures",
    "configuration": "Configuration and versions",
}


class RunReport:
    """The part of a report about one study.

    Args:
        run: The study.
        label: What it is called on the page.
        prefix: What makes its names unique on the page.

    Attributes:
        drawings: Its pictures, in their order.
        sections: Its sections in HTML, by their names, in their order.
    """

    def __init__(self, run: Run, label: str, prefix: str) -> None:
        self.run = run
        self.label = label
        self.prefix = prefix
        self.drawings: list[Drawing] = []
        self._shown = sample_evaluations(run.individuals, MOST_POINTS)
        self._curves_of = sample_evaluations(run.individuals, _MOST_CURVES)
        self._story = Story(run.events(), {one.individual for one in self._curves_of})
        self._scale = loss_scale(run.individuals)
        self._parts = self._story.attendances()
        self._busy = self._story.busy(self._parts)
        self._clock = running_time(self._parts, self._busy)
        self.use = use_of_workers(self._parts, self._busy)
        self.seconds = self._clock.total
        self.sections: Mapping[str, str] = {
            "": self._top(),
            "progress": self._progress(),
            "best": sections.table_of_best(run),
            "parameters": self._parameters(),
            "workers": self._workers(),
            "curves": self._curves(),
            "origin": self._origin(),
            "failures": sections.failures(run),
            "configuration": sections.configuration(run),
        }

    def html(self) -> str:
        """All sections."""
        parts = [
            text if not name else section(f"{self.prefix}-{name}", _TITLES[name], [text])
            for name, text in self.sections.items()
        ]
        return f'<div class="run" id="{self.prefix}"><h1>{escaped(self.label, 200)}</h1>{"".join(parts)}</div>'

    def contents(self) -> str:
        """Links to its sections."""
        named = [name for name, text in self.sections.items() if name and text]
        links = "".join(f'<li><a href="#{self.prefix}-{name}">{_TITLES[name]}</a></li>' for name in named)
        return f"<strong>{escaped(self.label, 200)}</strong><ul>{links}</ul>"

    def _add(self, *pictures: Picture | Drawing | None) -> str:
        """Places for pictures on the page; those that are None are left out."""
        found = [drawing_of(picture) if isinstance(picture, Picture) else picture for picture in pictures]
        kept = [drawing for drawing in found if drawing is not None]
        self.drawings += kept
        return "".join(figure_box(drawing, self.prefix) for drawing in kept)

    def _top(self) -> str:
        return sections.headline(self.run, self._story, self._parts, self.use, self._clock)

    def _progress(self) -> str:
        everything = self.run.individuals
        if not ends_in_order(everything):
            return paragraph("No evaluation has ended yet.")
        shown, scale = self._shown, self._scale
        notes = [sampled_text(len(shown), len(everything))]
        if scale.beyond:
            notes.append(f"{scale.beyond} losses are above {scale.high:.4g}: in the pictures they stand at the top.")
        pictures = (over_evaluations(everything, shown, scale), over_time(everything, shown, scale, self._clock))
        return "".join(paragraph(note) for note in notes if note) + self._add(*pictures)

    def _parameters(self) -> str:
        try:
            found = ParameterPictures(self.run, self._shown, self._scale)
            if found.is_empty:
                return paragraph("There is nothing to draw: fewer than three individuals, or no parameter, differ.")
            parts = [self._add(found.importance(), found.parallel())]
            small = [("slice", found.slices()), ("contour", found.contours())]
        except Exception as error:  # What another package cannot draw must not cost the rest of the report.
            return paragraph(f"Optuna could not draw the parameters of this study: {one_line(error)}")
        for kind, drawings in small:
            if drawings:
                title, hint = _SMALL[kind]
                boxes = grid([self._add(drawing) for drawing in drawings])
                parts.append(f'<h3>{title}</h3><p class="hint">{escaped(hint)}</p>{boxes}')
        return sampled_paragraph(len(self._shown), len(self.run.individuals)) + "".join(parts)

    def _workers(self) -> str:
        if not self._busy:
            return ""
        pictures = timeline(self._busy, self.use, self._clock), where_time_went(self.run.times)
        return self._add(pictures[0]) + sections.table_of_workers(self.use) + self._add(pictures[1])

    def _curves(self) -> str:
        story = self._story
        picture = learning_curves(self._curves_of, self.run.best, story.curves, story.judged)
        if picture is None:
            return ""
        note = sampled_paragraph(len(self._curves_of), len(self.run.individuals))
        return note + self._add(picture) + sections.table_of_rungs(rung_rows(story.judged))

    def _origin(self) -> str:
        run, story = self.run, self._story
        found = contributions(run.individuals)
        text = ""
        if run.best is not None:
            text += self._add(lineage(run.individuals, run.best, story.parents, self._scale))
        text += self._add(proposers(found)) + sections.table_of_proposers(found)
        islands = max([*story.islands.values(), *(travel.island for travel in story.travels)], default=0) + 1
        text += self._add(migrants(journeys(story.travels, story.islands), islands))
        return text + sections.table_of_islands(run, story.islands)


_SMALL = {
    "slice": (
        "The loss over each parameter",
        "Each point is an individual that has completed, dark ones are late. Points that crowd at one end mean that "
        "the best value may lie beyond the limit; a clear valley means that the parameter is well chosen there.",
    ),
    "contour": (
        "The loss over two parameters",
        "The three most important parameters in pairs; dark is good, and colours between points are interpolated. A "
        "slanting valley means that the two must be changed together.",
    ),
}


class Report:
    """A report about one study or several.

    Args:
        runs: The studies, at least one.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        labels = short_labels([run.name for run in runs])
        self.runs = [
            RunReport(run, label, f"run{place}") for place, (run, label) in enumerate(zip(runs, labels, strict=True), 1)
        ]
        self.comparison: list[Drawing] = []
        if len(runs) > 1:
            by_label = dict(zip(labels, runs, strict=True))
            losses = [one.loss for run in runs for one in run.ranking if one.loss is not None]
            found = [
                drawing_of(compared({label: run.individuals for label, run in by_label.items()})),
                distributions_of(by_label, scale_of(losses)),
            ]
            self.comparison = [drawing for drawing in found if drawing is not None]

    def pictures(self) -> Mapping[str, Drawing]:
        """All pictures, by names that are unique in this report."""
        found = {f"all-{drawing.name}": drawing for drawing in self.comparison}
        for report in self.runs:
            prefix = "" if len(self.runs) == 1 else f"{report.prefix}-"
            found |= {f"{prefix}{drawing.name}": drawing for drawing in report.drawings}
        return found

    def html(self, plotly: str, version: str = "") -> str:
        """The page.

        Args:
            plotly: The script element with plotly.js, or one that names where it is.
            version: What the server calls this state of the runs; empty for a page that stands alone.
        """
        title = " and ".join(report.label for report in self.runs)
        made = f"Made by evo {__version__} on {sections.time_text(time.time())}."
        box = '<label id="renew" data-version="{}"><input type="checkbox"> renew while it runs</label>'
        links = "".join(report.contents() for report in self.runs)
        several = '<strong><a href="#comparison">All runs side by side</a></strong>' if self.comparison else ""
        return "".join(
            [
                '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">',
                f"<title>{escaped(title, 200)}</title><style>{page_part('page.css')}</style></head><body><main>",
                f'<p class="made">{escaped(made)}</p><nav aria-label="Contents">{several}{links}</nav>',
                "<noscript><p>The pictures need JavaScript, which is off.</p></noscript>",
                self._compared(),
                *(report.html() for report in self.runs),
                "</main>",
                box.format(escaped(version)) if version else "",
                plotly,
                f"<script>{page_part('page.js')}</script></body></html>",
            ]
        )

    def _compared(self) -> str:
        if len(self.runs) < 2:
            return ""
        rows = [_row(report) for report in sorted(self.runs, key=_by_best)]
        boxes = [figure_box(drawing, "all") for drawing in self.comparison]
        objectives = {report.run.study.objective for report in self.runs}
        differ = "These runs have different objectives, so their losses may not compare." if len(objectives) > 1 else ""
        return section(
            "comparison", "All runs side by side", [paragraph(differ) if differ else "", table(_HEAD, rows), *boxes]
        )


_HEAD = ["run", "best loss", "individual", "ended", "completed", "pruned", "failed", "as number", "searching", "busy"]


def _row(report: RunReport) -> list[object]:
    run, counts = report.run, count_statuses(report.run.individuals)
    found = improvements(ends_in_order(run.individuals))
    return [
        report.label,
        run.best.loss if run.best else None,
        run.best.name if run.best else None,
        len(ends_in_order(run.individuals)),
        *(counts[status] for status in ("completed", "pruned", "failed")),
        found[-1][0] if found else None,
        duration_text(report.seconds),
        "" if report.use.share is None else f"{100 * report.use.share:.1f} %",
    ]


def _by_best(report: RunReport) -> tuple[bool, float, str]:
    best = report.run.best
    return best is None, 0.0 if best is None or best.loss is None else best.loss, report.label


def drawing_of(picture: Picture) -> Drawing:
    """A picture as a page and a PNG show it."""
    save: Callable[..., None] = partial(save_png, picture)
    return Drawing(
        name=picture.name,
        title=picture.title,
        hint=picture.hint,
        figure=plotly_figure(picture),
        save=save,
        height=picture.height,
    )


def sampled_text(shown: int, every: int) -> str:
    """That a picture does not show everything; empty where it does."""
    if shown == every:
        return ""
    return (
        f"The pictures show {shown:,} of {every:,} individuals as points: all that improved the best, the best ones, and "
        "others drawn at random. Lines, counts and tables are of all."
    )


def sampled_paragraph(shown: int, every: int) -> str:
    """The same as a paragraph."""
    text = sampled_text(shown, every)
    return paragraph(text) if text else ""


def short_labels(names: Sequence[str]) -> list[str]:
    """The last parts of paths, as many as are needed to tell them from each other.

    Example:
        >>> short_labels(["runs/a", "runs/b"]), short_labels(["x/a", "y/a"])
        (['a', 'b'], ['x/a', 'y/a'])
    """
    parts = [[part for part in name.split("/") if part not in ("", ".")] or [name] for name in names]
    for count in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-count:]) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{name} ({place})" for place, name in enumerate(names, 1)]


def page_part(name: str) -> str:
    """A file that belongs to the page.

    Args:
        name: Its name, beside this module.
    """
    return files("evo.report.pages").joinpath(name).read_text(encoding="utf-8")
