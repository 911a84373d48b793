"""`evo.load`: what a run directory tells of its study, be the search running, dead or complete."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from evo.errors import UserError
from evo.population.events import AnyEvent, Joined
from evo.report.front_access import HasFront
from evo.report.hypervolumes import Yardstick, make_yardstick
from evo.report.lineages import LineageSegment, find_lineage
from evo.report.records import Evaluation, Findings, gather_evaluations
from evo.report.rows import data_frame
from evo.report.watching import RunStanding, RunWatch
from evo.storage.rundir import RunDirectory, StudyRecord
from evo.texts import printable

if TYPE_CHECKING:
    import pandas


class Run(HasFront):
    """A study as its run directory had it when it was loaded; see `load`.

    Args:
        path: The run directory.

    Attributes:
        name: Its path, as text.
        directory: Where its files are.
        study: What is searched, as study.json records it: objective, limits, seed, versions, …
        counts: How many evaluations have each status.
        known: How many individuals have results that are known from elsewhere, and were not evaluated.
        individuals: All of them, in the order in which they were started. Each has its `name` (rank-generation),
            `params`, `loss`, `status`, `seconds`, `metrics`, `error`, `folder`, `weights` and more, see
            `evo.report.records.Evaluation`. Those in evaluation when the search was stopped or killed are "running" or
            "interrupted": the search takes them up when it goes on.
        times: Seconds by activity, of all workers and sessions together.
        is_complete: Whether the search is: its budget is spent, and the best individual tested.
        test: What the search found when it tested the best individual; empty when it did not.
        tests: The same of all tested individuals of the front by their names, if there are several objectives.

    Raises:
        UserError: There is no study, or study.json or a journal is damaged; the message names the place.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._watch = RunWatch(path)
        self._loaded = time.time()
        self.directory: RunDirectory = self._watch.directory
        self.name = str(self.directory)
        self.study: StudyRecord = self._watch.study
        self._forms, self._reader = self._watch.forms, self._watch.reader
        course = self._watch.read()
        self.is_complete: bool = self._watch.tested is not None
        tested = self._watch.tested
        self.test: Mapping[str, Any] = tested.test if tested else {}
        self.tests: Mapping[str, Mapping[str, Any]] = tested.tests if tested else {}
        self.counts: Mapping[str, int] = course.counts
        self.known: int = course.known
        self._findings = Findings(self._reader.events, self._forms, self.directory.individuals, self.study.objectives)

    @property
    def joined(self) -> Sequence[Joined]:
        """How workers have joined, in all sessions, in the order in which they did."""
        return sorted(self._reader.course.joined, key=attrgetter("time", "rank"))

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "not complete"
        many = sum(self.counts.values()) + self.known
        return f"<study {printable(self.study.name)} in {self.name}: {many} individuals, {state}>"

    @property
    def individuals(self) -> list[Evaluation]:
        """All individuals, in the order in which they were started; made when they are first asked for."""
        return self._findings.individuals

    @property
    def times(self) -> Mapping[str, float]:
        """Seconds by activity, of all workers and sessions together."""
        return self._findings.times

    @property
    def ranking(self) -> list[Evaluation]:
        """The completed individuals within the limits, the lowest loss first, but for those that violate bounds."""
        return self._findings.ranking

    def _found(self) -> Findings:
        return self._findings

    @functools.cached_property
    def standing(self) -> RunStanding:
        """Where the search stood when it was loaded, and what had become of it, as `evo status` says it."""
        return self._watch.standing(self._loaded)

    @functools.cached_property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss; None when none has completed yet.

        If there are bounds, it is the best of those that keep them or, where none does, the one that violates them
        least. Of several objectives the first counts: see `front` and `knee`.
        """
        identity = self._reader.course.best
        if identity is None:
            return None
        (best,) = gather_evaluations(self._reader.events_about(identity), self._forms, self.directory.individuals)
        return best

    def find(self, name: str | None = None) -> Evaluation:
        """An individual.

        Args:
            name: Rank and generation, for example "3-1". None means the best; with several objectives, the knee of the
                front, which is the one that commands take where none is named.

        Raises:
            UserError: There is no such individual.
        """
        if name is None:
            one = self.knee if self.objectives.are_several else self.best
            if one is None:
                raise UserError(
                    f"no individual in {self.name} has completed yet; evo status {self.name} shows where it stands"
                )
            return one
        if not re.fullmatch(r"\d+-\d+", name):
            raise UserError(f"individual is {name!r}: it must be rank-generation, as in the tables, for example 3-1")
        found = next((one for one in self.individuals if one.name == name), None)
        if found is None:
            raise UserError(f"{self.name} has no individual {name}; evo best {self.name} shows the best one")
        return found

    def lineage(self, name: str | None = None) -> list[LineageSegment]:
        """The segments of the training that has led to an individual; see `evo.report.lineages.LineageSegment`.

        Args:
            name: Rank and generation of the individual, for example "3-1". None means as in `find`.

        Returns:
            The segments in their order, the individual's own as the last; none when it is a whole training.

        Raises:
            UserError: There is no such individual.
        """
        one = self.find(name)
        return find_lineage(one, self.individuals) if one.segment else []

    def to_pandas(self) -> pandas.DataFrame:
        """All individuals as a table of pandas, a row for each; see `evo.report.rows.table_rows` for its columns.

        Raises:
            UserError: pandas is not installed.
        """
        return data_frame(self.individuals, self.events(), self.objectives)

    def events(self) -> Iterator[AnyEvent]:
        """All that is in the journals now but `Heard`, record by record, rank after rank; see `evo.population.events`.

        Raises:
            UserError: A line is damaged; the message names the file and the line.
        """
        return self.directory.events()


def load(run: str | os.PathLike[str]) -> Run:
    """Read a study from its run directory: what is searched, and what has become of every individual so far.

    This only reads: it takes no locks, so that a search that is running does not notice, and passes over a line that is
    just being written. It loads neither torch nor the objective nor any checkpoint, so it is safe, and quick, with a
    directory of somebody else's. Call it again to see what has happened since.

    Args:
        run: The run directory.

    Returns:
        The study as it is at this moment.

    Raises:
        UserError: It is no run directory, or it is damaged; the message names the file and the line.

    Example:
        >>> study = load("runs/network")  # doctest: +SKIP
        >>> for one in study.individuals:  # doctest: +SKIP
        ...     print(one.name, one.status, one.loss, one.params)
    """
    return Run(run)


def rank_runs(runs: Iterable[Run]) -> list[Run]:
    """The runs in the order of their lowest losses; those in which nothing has completed come last.

    With several objectives, in the order of their hypervolumes up to a common reference point, the largest first.

    Raises:
        UserError: Some have several objectives, and others have not the same ones.
    """
    given = list(runs)
    volumes = dict(zip(given, hypervolumes(given), strict=True))

    def key(run: Run) -> tuple[Any, ...]:
        return run.best is None, -volumes[run], run.best and (run.best.violation, run.best.loss), run.name

    return sorted(given, key=key)


def common_yardstick(runs: Sequence[Run]) -> Yardstick | None:
    """What the hypervolumes of runs are measured with; None unless all have the same objectives, several of them.

    Args:
        runs: The runs, at least one.
    """
    modes = {tuple(run.objectives.modes.items()) for run in runs}
    if not runs[0].objectives.are_several or len(modes) > 1:
        return None
    return make_yardstick(run.front for run in runs)


def hypervolumes(runs: Sequence[Run]) -> list[float]:
    """The hypervolume of the front of each run, up to one reference point; 0 with one objective.

    Args:
        runs: The runs.

    Raises:
        UserError: Some have several objectives, and others have not the same ones.
    """
    check_objectives(runs)
    yardstick = common_yardstick(runs) if runs else None
    if yardstick is None:
        return [0.0] * len(runs)
    return [run.hypervolume(run.objectives.values(yardstick.reference)) for run in runs]


def check_objectives(runs: Sequence[Run]) -> None:
    """Refuse runs of which some have several objectives, and others have not the same ones.

    Args:
        runs: The runs.

    Raises:
        UserError: It names two such runs.
    """
    for run in runs if any(run.objectives.are_several for run in runs) else ():
        if list(run.objectives.modes.items()) != list(runs[0].objectives.modes.items()):
            raise UserError(
                printable(
                    f"{runs[0].name} has {runs[0].objectives}, and {run.name} has {run.objectives}, so that none can "
                    "be called better: name runs with the same objectives"
                )
            )
