"""A report: everything about one study or several, on one page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from evo import __version__
from evo.frames import one_line
from evo.report.display import duration_text
from evo.report.improvements import count_evaluated, ends_in_order, improvements
from evo.report.pages.front_pictures import hypervolume_over_evaluations
from evo.report.pages.markup import escaped, figure_box, page_part, paragraph, renewal, section, table
from evo.report.pages.optuna_pictures import distributions_of
from evo.report.pages.picture import Drawing, Picture
from evo.report.pages.progress_pictures import compared
from evo.report.pages.run_page import RunReport, drawing_of
from evo.report.pages.scales import Scale, scale_of
from evo.report.pages.sections import time_text
from evo.report.reading import Run, common_yardstick

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)


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
        self._problem = ""
        if len(runs) > 1:
            by_label = dict(zip(labels, runs, strict=True))
            scale = scale_of(one.loss for run in runs for one in run.individuals if one.loss is not None)
            self.comparison = [drawing_of(_comparison(by_label, scale))]
            try:
                found = distributions_of(by_label, scale)
                self.comparison += [] if found is None else [found]
            except Exception as error:  # What another package cannot draw must not cost the rest of the report.
                self._problem = f"Optuna could not draw how many individuals reach a loss: {one_line(error)}"

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
        made = f"Made by evo {__version__} on {time_text(time.time())}."
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
                renewal(version) if version else "",
                plotly,
                f"<script>{page_part('page.js')}</script></body></html>",
            ]
        )

    def _compared(self) -> str:
        if len(self.runs) < 2:
            return ""
        rows = [_row(report) for report in sorted(self.runs, key=_by_best)]
        kept = [place for place, name in enumerate(_HEAD) if name != _KNOWN or any(row[place] for row in rows)]
        numbers = table([_HEAD[place] for place in kept], [[row[place] for place in kept] for row in rows])
        boxes = [figure_box(drawing, "all") for drawing in self.comparison]
        objectives = {(report.run.study.objective, str(report.run.objectives)) for report in self.runs}
        differ = "These runs have different objectives, so their losses may not compare." if len(objectives) > 1 else ""
        has_several = any(report.run.objectives.are_several for report in self.runs)
        first = "Of several objectives, the table and the losses have the first one." if has_several else ""
        notes = [paragraph(note) if note else "" for note in (differ, first, self._problem)]
        return section("comparison", "All runs side by side", [*notes[:2], numbers, *boxes, notes[2]])


def _comparison(runs: Mapping[str, Run], scale: Scale) -> Picture:
    """The hypervolumes of all runs if they have the same objectives, several of them; otherwise their lowest losses."""
    evaluations = {label: run.individuals for label, run in runs.items()}
    objectives = next(iter(runs.values())).objectives
    yardstick = common_yardstick(list(runs.values()))
    if yardstick is not None:
        return hypervolume_over_evaluations(evaluations, yardstick, objectives)
    return compared(evaluations, scale)


_KNOWN = "known before"
_HEAD = ["run", "best loss", "of", "found as number", _KNOWN, "ended", "completed", "pruned", "failed"]
_HEAD += ["searching", "busy"]


def _row(report: RunReport) -> list[object]:
    run, counts = report.run, report.run.counts
    evaluated = count_evaluated(run.individuals)
    found = improvements(ends_in_order(run.individuals))
    best = run.best if run.best is not None and run.best.violation == 0.0 else None  # Others may not be used.
    return [
        report.label,
        best and next(iter(run.values().values()), best.loss),
        best.name if best else None,
        found[-1][0] if found and best else None,
        sum(bool(one.origin) for one in run.individuals),
        evaluated,
        *(counts[status] for status in ("completed", "pruned", "failed")),
        duration_text(report.seconds),
        "" if report.use.share is None else f"{100 * report.use.share:.1f} %",
    ]


def _by_best(report: RunReport) -> tuple[bool, float, str]:
    best = report.run.best
    return best is None or best.violation > 0.0, 0.0 if best is None or best.loss is None else best.loss, report.label


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
