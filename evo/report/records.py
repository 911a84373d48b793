"""What became of every individual, gathered from a study's events."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from evo.population.events import AnyEvent, Finished, Joined, Started
from evo.population.identity import Identity, individual_name
from evo.population.individual import precedence
from evo.population.objectives import ONE_LOSS, Objectives
from evo.population.segments import SavedState, Segment
from evo.report.fronts import find_front
from evo.report.times import Times
from evo.space.growth import Fitted, Forms
from evo.space.values import Params
from evo.storage.checkpoints import find_weights
from evo.storage.lines import without_collection


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One individual and what became of it.

    Args:
        individual: Rank and generation of birth.
        params: The parameters that the objective got.
        status: "running", "completed", "pruned", "infeasible", "failed" or "interrupted".
        loss: The loss; None unless it completed or was pruned. Of several objectives, that of the first.
        losses: The losses of all objectives in their order, which are minimised, if there are several; empty otherwise.
        violation: By how much it violates the bounds of its metrics; see `evo.population.objectives.Objectives`.
        metrics: What the objective recorded beside the loss.
        seconds: The time that the evaluation took.
        rank: The worker that evaluated it; None while it runs.
        ranks_per_worker: The number of ranks of that worker.
        host: The name of the machine on which it was evaluated.
        device: The device that it trained on, for example "cuda:0" or "cpu".
        error: Why it failed, or is infeasible, in one line.
        traceback: Where it failed, as Python prints it.
        island: The island on which it was born.
        started: The time at which its evaluation began for the first time, seconds since the epoch.
        ended: The time at which it ended, or was interrupted for the last time; 0 while it runs.
        is_set_aside: Whether it lies outside of the study's limits, which have changed: then it is not the best.
        home: The folder of all individuals' folders; None when no files are kept.
        bred_by: What proposed it; see `evo.population.events.Started`.
        origin: Where its result is known from; empty if this study evaluates it.
        segment: The part of a training that its evaluation is; None means a whole training.
        state: The state that it has left, from which others may have gone on; None if it has left none.
    """

    individual: Identity
    params: Params
    status: str = "running"
    loss: float | None = None
    losses: tuple[float, ...] = ()
    violation: float = 0.0
    metrics: dict[str, Any] = {}
    seconds: float = 0.0
    rank: int | None = None
    ranks_per_worker: int = 1
    host: str = ""
    device: str = ""
    error: str = ""
    traceback: str = ""
    island: int = 0
    started: float = 0.0
    ended: float = 0.0
    is_set_aside: bool = False
    home: Path | None = None
    bred_by: str = ""
    origin: str = ""
    segment: Segment | None = None
    state: SavedState | None = None

    @property
    def identity(self) -> Identity:
        """The same as `individual`, by the name that a population has for it."""
        return self.individual

    @property
    def vector(self) -> tuple[float, ...]:
        """The losses of all objectives in their order, which are minimised; empty while there are none."""
        return self.losses or (() if self.loss is None else (self.loss,))

    @property
    def name(self) -> str:
        """Its identity as its folder is named: rank-generation."""
        return individual_name(self.individual)

    @property
    def begin(self) -> int | None:
        """The step of the training from which it goes on, 0 where that begins; None for a whole training."""
        return None if self.segment is None else self.segment.begin

    @property
    def until(self) -> int | None:
        """The step of the training until which it is to go; None for a whole training."""
        return None if self.segment is None else self.segment.until

    @property
    def donor(self) -> str | None:
        """The name of the individual from whose state it goes on; None if it begins a training."""
        return individual_name(self.segment.donor.individual) if self.segment and self.segment.donor else None

    @property
    def evaluator(self) -> str:
        """Who evaluated it, for people: the number of a rank, or of a worker where that has several ranks."""
        if self.origin:
            return "known"
        return f"{'rank' if self.ranks_per_worker == 1 else 'worker'} {self.rank}"

    @property
    def folder(self) -> Path | None:
        """Where its files are, whether or not there are any; None when none are kept."""
        return None if self.home is None else self.home / self.name

    @property
    def weights(self) -> list[Path]:
        """The checkpoints in its folder now: of the best individuals of a study, which alone keep theirs."""
        folder = self.folder
        return [] if folder is None else find_weights(folder)


class Findings:
    """What the events of a study tell; they are read once, when something of it is first asked for.

    Args:
        events: Reads the events, which may come in any order, and some more than once.
        forms: The limits that the study has had, if they have changed.
        home: The folder of all individuals' folders. None means that no files are kept.
        objectives: The objectives of the study.
    """

    def __init__(
        self,
        events: Callable[[], Iterable[AnyEvent]],
        forms: Forms | None = None,
        home: Path | None = None,
        objectives: Objectives = ONE_LOSS,
    ) -> None:
        self.events = events
        self.objectives = objectives
        self._forms = forms
        self._home = home

    @property
    def individuals(self) -> list[Evaluation]:
        """All individuals, in the order in which they were started."""
        return self._read[0]

    @property
    def times(self) -> Mapping[str, float]:
        """Seconds by activity, of all workers together; see `evo.report.times.Times`."""
        return self._read[1]

    @functools.cached_property
    def ranking(self) -> list[Evaluation]:
        """The completed individuals within the limits, by how much they violate bounds and then by their losses."""
        return rank_evaluations(self.individuals)

    @property
    def best(self) -> Evaluation | None:
        """The first of the ranking; None when none completed."""
        return self.ranking[0] if self.ranking else None

    @functools.cached_property
    def front(self) -> list[Evaluation]:
        """The individuals that no other one dominates; see `evo.report.fronts.find_front`."""
        return find_front(self.ranking, self.objectives)

    def forget(self) -> None:
        """Read the events anew when something is asked for the next time, since there may be more of them."""
        for name in ("_read", "ranking", "front"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def _read(self) -> tuple[list[Evaluation], Mapping[str, float]]:
        times = Times()

        def read() -> Iterator[AnyEvent]:
            for event in self.events():
                times.add(event)
                yield event

        with without_collection():
            return gather_evaluations(read(), self._forms, self._home), times.total()


def gather_evaluations(
    events: Iterable[AnyEvent], forms: Forms | None = None, home: Path | None = None
) -> list[Evaluation]:
    """What became of every individual.

    Args:
        events: The events of one study, in any order, some perhaps more than once.
        forms: The limits that the study has had, if they have changed.
        home: The folder of all individuals' folders. None means that no files are kept.

    Returns:
        The evaluations, in the order in which they were started.
    """
    started: dict[Identity, Started] = {}
    finished: dict[Identity, Finished] = {}
    parts: dict[Identity, dict[float, float]] = {}
    fits: dict[Identity, Fitted] = {}
    joined: dict[int, dict[float, int]] = {}
    for event in events:
        if isinstance(event, Started):
            if forms is not None:
                fitted = forms.fit(event.params)
                fits[event.individual] = max(fits.get(event.individual, fitted), fitted, key=attrgetter("precedence"))
            first = started.get(event.individual)
            if first is None or event.time < first.time:
                started[event.individual] = event
        elif isinstance(event, Joined):
            joined.setdefault(event.rank, {})[event.time] = event.ranks_per_worker
        elif isinstance(event, Finished):
            known = finished.get(event.individual)
            if known is None or _end_key(event) < _end_key(known):
                finished[event.individual] = event
            if event.status == "interrupted":
                parts.setdefault(event.individual, {})[event.time] = event.seconds
            elif event.individual in parts:
                parts[event.individual][event.time] = 0.0
    evaluations = []
    for identity, event in started.items():
        end = finished.get(identity)
        if event.origin and end is None:  # Nobody evaluates it: its result was not recorded, because of a kill.
            continue
        seconds = sum(parts[identity].values()) if identity in parts else 0.0
        size = 1 if end is None else _size_at(end.time, joined.get(end.rank, {}))
        evaluations.append(_evaluation(event, end or _UNFINISHED, fits.get(identity), (seconds, size, home)))
    return sorted(evaluations, key=attrgetter("started", "individual"))


def rank_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The completed ones, by violations of bounds and then by (first) losses, without those that are set aside."""
    completed = [each for each in evaluations if each.status == "completed" and not each.is_set_aside]
    return sorted(
        completed,
        key=lambda evaluation: (evaluation.violation, evaluation.losses or (evaluation.loss,), evaluation.individual),
    )


def count_statuses(evaluations: Iterable[Evaluation]) -> Mapping[str, int]:
    """How many evaluations have each status; 0 for the ones that do not occur."""
    return Counter(evaluation.status for evaluation in evaluations)


class _Unfinished(msgspec.Struct, frozen=True):
    """Stands for the end of an evaluation that has none."""

    status: str = "running"
    loss: float | None = None
    losses: tuple[float, ...] = ()
    violation: float = 0.0
    metrics: dict[str, Any] = {}
    seconds: float = 0.0
    rank: int | None = None
    host: str = ""
    device: str = ""
    error: str = ""
    traceback: str = ""
    time: float = 0.0
    state: SavedState | None = None


_UNFINISHED = _Unfinished()


def _end_key(event: Finished) -> tuple[Any, float]:
    """A key for several ends of one individual: the lowest counts. Of equal ones the first does, of breaks the last."""
    return precedence(event), -event.time if event.status == "interrupted" else event.time


def _size_at(time: float, sizes: Mapping[float, int]) -> int:
    """How many ranks a worker had at a time, from its numbers of ranks by the times at which it joined."""
    if len(sizes) == 1:
        ((began, size),) = sizes.items()
        return size if began <= time else 1
    before = [began for began in sizes if began <= time]
    return sizes[max(before)] if before else 1


def _evaluation(
    start: Started, end: Finished | _Unfinished, fitted: Fitted | None, more: tuple[float, int, Path | None]
) -> Evaluation:
    """One evaluation; besides its events, the seconds before interruptions, its worker's number of ranks and `home`."""
    interrupted, size, home = more
    return Evaluation(
        individual=start.individual,
        params=start.params if fitted is None else fitted.params,
        status=end.status,
        loss=end.loss,
        losses=end.losses,
        violation=end.violation,
        metrics=end.metrics,
        # The seconds of an interrupted end are among the interrupted ones already.
        seconds=interrupted if end.status == "interrupted" else interrupted + end.seconds,
        rank=end.rank,
        ranks_per_worker=size,
        host=end.host,
        device=end.device,
        error=end.error,
        traceback=end.traceback,
        island=start.island,
        started=start.time,
        ended=end.time,
        is_set_aside=fitted is not None and fitted.genome is None,
        home=home,
        bred_by=start.bred_by,
        origin=start.origin,
        segment=start.segment,
        state=end.state,
    )
