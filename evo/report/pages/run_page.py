"""The part of a report about one study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from evo.frames import one_line
from evo.report.contributions import contributions
from evo.report.front_summary import loss_note, loss_text
from evo.report.hypervolumes import make_yardstick
from evo.report.improvements import ends_in_order, improvements
from evo.report.lineages import lineage_of
from evo.report.pages import sections
from evo.report.pages.curve_pictures import learning_curves, rung_rows
from evo.report.pages.front_pictures import (
    colours_of_proposers,
    hypervolume_over_evaluations,
    pairs_of_objectives,
    parallel_objectives,
    without_legend,
)
from evo.report.pages.lineage_pictures import journeys, lineage, migrants, proposers
from evo.report.pages.markup import escaped, figure_box, grid, paragraph, section
from evo.report.pages.optuna_pictures import ParameterPictures
from evo.report.pages.picture import Drawing, Picture
from evo.report.pages.plotly_drawing import plotly_figure
from evo.report.pages.png_drawing import save_png
from evo.report.pages.progress_pictures import loss_scale, over_evaluations, over_time
from evo.report.pages.sampling import sample_evaluations
from evo.report.pages.schedule_pictures import losses_along_lineages, schedules
from evo.report.pages.story import Story, running_time, use_of_workers
from evo.report.pages.worker_pictures import timeline, where_time_went
from evo.report.reading import Run
from evo.storage.rundir import study_space

MOST_POINTS = 1500
"""How many individuals the pictures of one run show at most, apart from those that improved the best."""
_MOST_CURVES = 300
_TITLES = {
    "progress": "How the best came about",
    "best": "The best individuals",
    "parameters": "Parameters",
    "workers": "Workers and time",
    "curves": "Learning curves",
    "schedules": "Hyperparameters over the training",
    "origin": "Where the best comes from",
    "failures": "Failures",
    "configuration": "Configuration and versions",
}
_TITLES_OF_FRONT = {
    "progress": "The front",
    "best": "The individuals of the front",
    "origin": "Where the best of the first objective comes from",
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
            "schedules": self._schedules(),
            "origin": self._origin(),
            "failures": sections.failures(run),
            "configuration": sections.configuration(run),
        }

    def html(self) -> str:
        """All sections."""
        parts = [
            text if not name else section(f"{self.prefix}-{name}", self._title(name), [text])
            for name, text in self.sections.items()
        ]
        return f'<div class="run" id="{self.prefix}"><h1>{escaped(self.label, 200)}</h1>{"".join(parts)}</div>'

    def contents(self) -> str:
        """Links to its sections."""
        named = [name for name, text in self.sections.items() if name and text]
        links = "".join(f'<li><a href="#{self.prefix}-{name}">{self._title(name)}</a></li>' for name in named)
        return f"<strong>{escaped(self.label, 200)}</strong><ul>{links}</ul>"

    def _title(self, name: str) -> str:
        return (_TITLES_OF_FRONT if self.run.objectives.are_several else _TITLES).get(name, _TITLES[name])

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
        if self.run.objectives.are_several:
            return self._front()
        notes = [sampled_text(len(shown), len(everything))]
        if scale.beyond:
            notes.append(f"{scale.beyond} losses are above {scale.high:.4g}: in the pictures they stand at the top.")
        label = loss_text(self.run.objectives)
        pictures = (
            over_evaluations(everything, shown, scale, label),
            over_time(everything, shown, scale, self._clock, label),
        )
        return "".join(paragraph(note) for note in notes if note) + self._add(*pictures)

    def _front(self) -> str:
        """The front, and how it came about, instead of the best loss."""
        run, everything = self.run, self.run.individuals
        yardstick = make_yardstick([run.front])
        entered = [one for _, one in improvements(ends_in_order(everything)) if one.violation == 0.0]
        colours = colours_of_proposers(entered)
        pairs = pairs_of_objectives(self._shown, run.front, run.objectives, colours)
        note = sampled_paragraph(len(self._shown), len(everything))
        if yardstick is None:
            return paragraph("No individual keeps the bounds yet, so there is no front.") + note + self._add(*pairs)
        growth = hypervolume_over_evaluations({"hypervolume": everything}, yardstick, run.objectives, colours)
        if len(pairs) == 1:
            return note + self._add(*pairs, growth)
        # Their legends are that of the picture above, and would take more room than they do; a PNG stands alone.
        small = [
            replace(drawing_of(without_legend(one)), save=partial(save_png, one), hint="", is_small=True, height=360)
            for one in pairs
        ]
        title, hint = _SMALL["front"]
        heading = f'<h3>{title}</h3><p class="hint">{escaped(hint)}</p>'
        boxes = grid([self._add(drawing) for drawing in small])
        return (
            note
            + self._add(parallel_objectives(run.front, run.objectives, colours))
            + heading
            + boxes
            + self._add(growth)
        )

    def _parameters(self) -> str:
        try:
            found = ParameterPictures(self.run, self._shown, self._scale)
            if found.is_empty:
                return paragraph("There is nothing to draw: fewer than three individuals, or no parameter, differ.")
            large = [found.importance(), found.parallel()]
            small = [("slice", found.slices()), ("contour", found.contours())]
        except Exception as error:  # What another package cannot draw must not cost the rest of the report.
            return paragraph(f"Optuna could not draw the parameters of this study: {one_line(error)}")
        parts = [self._add(*large)]
        for kind, drawings in small:
            if drawings:
                title, hint = _SMALL[kind]
                boxes = grid([self._add(drawing) for drawing in drawings])
                parts.append(f'<h3>{title}</h3><p class="hint">{escaped(hint)}</p>{boxes}')
        parts += [paragraph(f"Optuna could not draw {problem}") for problem in found.problems]
        note = loss_note(self.run.objectives)
        return (
            sampled_paragraph(len(self._shown), len(self.run.individuals))
            + (paragraph(note) if note else "")
            + "".join(parts)
        )

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

    def _schedules(self) -> str:
        if not any(one.segment for one in self._shown):
            return ""
        known = {one.individual: one for one in self.run.individuals}
        best = lineage_of(self.run.best, known) if self.run.best else []
        space = study_space(self.run.study)
        drawings = [replace(drawing_of(each), is_small=True) for each in schedules(self._shown, known, best, space)]
        boxes = grid([self._add(drawing) for drawing in drawings])
        note = sampled_paragraph(len(self._shown), len(known))
        pictures = boxes + self._add(losses_along_lineages(self._shown, known, best))
        return sections.table_of_schedule(best) + note + pictures

    def _origin(self) -> str:
        run, story = self.run, self._story
        found = contributions(run.individuals)
        text, are_several = "", run.objectives.are_several
        if run.best is not None and run.best.violation == 0.0:
            family = lineage(run.individuals, run.best, story.parents)
            proposer = run.best.bred_by or "an unknown algorithm"
            text += self._add(family) or paragraph(
                f"The best individual, {run.best.name}, has no parents: it comes "
                f"from {proposer}, which proposes without them or from all that it has learnt."
            )
        text += self._add(proposers(found, are_several)) + sections.table_of_proposers(found, are_several)
        islands = {*story.islands.values(), *(travel.island for travel in story.travels)}
        text += self._add(migrants(journeys(story.travels, story.islands), islands))
        return text + sections.table_of_islands(run, story.islands)


_SMALL = {
    "front": (
        "The front by pairs of objectives",
        "Each point is an individual: those of the front in the colours of the algorithms above, dominated ones pale, "
        "those that violate bounds crossed; the star is the knee, nearest to the best of all objectives. A point of "
        "the front may look dominated in one pair, because it is better by another objective. Individuals that are "
        "much worse lie outside of the pictures.",
    ),
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
        f"The pictures show {shown:,} of {every:,} individuals as points: all that improved the best, the best ones, "
        "and others drawn at random. Lines, counts and tables are of all."
    )


def sampled_paragraph(shown: int, every: int) -> str:
    """The same as a paragraph."""
    text = sampled_text(shown, every)
    return paragraph(text) if text else ""
