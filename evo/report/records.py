"""What became of every individual, gathered from a study's events."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from evo.errors import Shared
from evo.population.events import AnyEvent, Finished, Identity, Started
from evo.population.population import precedence
from evo.report.times import gather_times
from evo.space.growth import Fitted, Forms
from evo.space.values import Params


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One individual and what became of it.

    Args:
        individual: Rank and generation of birth.
        params: What the objective got.
        status: "running", "completed", "pruned", "infeasible", "failed" or "interrupted".
        loss: What was minimised; None unless it completed or was pruned.
        metrics: What the objective recorded beside the loss.
        seconds: Time the evaluation took.
        rank: Who evaluated it; None while it runs.
        host: Where.
        device: On what.
        error: Why it failed, or is infeasible, in one line.
        traceback: Where it failed.
        island: Where it was born.
        started: When, seconds since the epoch.
        is_set_aside: Whether it lies outside of the study's limits, which have changed: then it is not the best.
    """

    individual: Identity
    params: Params
    status: str = "running"
    loss: float | None = None
    metrics: dict[str, Any] = {}
    seconds: float = 0.0
    rank: int | None = None
    host: str = ""
    device: str = ""
    error: str = ""
    traceback: str = ""
    island: int = 0
    started: float = 0.0
    is_set_aside: bool = False

    @property
    def name(self) -> str:
        """Its identity as its folder is named: rank-generation."""
        return "{}-{}".format(*self.individual)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a search found; the same on every rank.

    Args:
        rank: The rank that got it.
        first_rank: The first one that is alive, usually 0: the one to print.
        events: Where the records come from.
        stop_reason: Why it stopped.
        interrupted: Whether it stopped before its budget was spent: the same call on the same directory goes on.
        by_keyboard: Whether Ctrl-C (SIGINT) asked to stop, on some rank.
        nothing_completed: Whether there is no best individual.
        gave_up: Whether it stopped because too many evaluations failed.
        run_dir: Where its files are; None when none were kept.
        seconds: Time that the search took, in this session.
        test: Metrics of the best individual on held-out data, if the objective has a test.
        test_error: Why the test failed.
        digest: Of the population that all ranks hold, when debugging.
        lost_ranks: Those that died on the way, or ended because another one of their worker had.
        messages: How many all ranks sent together, in this session.
        bytes: Of all of these.
        individuals_bytes: What the files of all individuals take, once only the best have kept their weights.
        forms: The limits that the study has had, if they have changed.
    """

    rank: int
    events: Callable[[], Iterable[AnyEvent]] = field(repr=False)
    stop_reason: str
    interrupted: bool
    gave_up: bool
    run_dir: Path | None
    seconds: float = 0.0
    test: dict[str, Any] = field(default_factory=dict)
    test_error: str = ""
    digest: str = ""
    first_rank: int = 0
    lost_ranks: Sequence[int] = ()
    messages: int = 0
    bytes: int = 0
    individuals_bytes: int = 0
    forms: Forms | None = field(default=None, repr=False)
    by_keyboard: bool = False
    nothing_completed: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this rank is the one to print."""
        return self.rank == self.first_rank

    @property
    def all_failed(self) -> bool:
        """Whether none has completed, and not because all were pruned: some failed, or are infeasible."""
        counts = count_statuses(self.individuals)
        return self.nothing_completed and counts["failed"] + counts["infeasible"] > 0

    @functools.cached_property
    def individuals(self) -> list[Evaluation]:
        """All individuals, in the order in which they were started; read when first asked for."""
        return gather_evaluations(self.events(), self.forms)

    @functools.cached_property
    def times(self) -> Mapping[str, float]:
        """Seconds by activity, of all workers together; see `evo.report.times.gather_times`."""
        return gather_times(self.events())

    @property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss; None when none completed."""
        return next(iter(rank_evaluations(self.individuals)), None)


class SearchFailed(RuntimeError, Shared):
    """No individual has completed; the message says why they failed.

    Args:
        message: For the user.
        result: What became of them.
    """

    __module__ = "evo"  # Where users find it.

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def interrupted_by(message: str, result: Result) -> KeyboardInterrupt:
    """What is raised when Ctrl-C has stopped a search: Python's own, or a shell would not take it for an interrupt.

    Args:
        message: For the user.
        result: What was found until then; the exception has it, too.
    """
    error = KeyboardInterrupt(message)
    error.result = result  # type: ignore[attr-defined]
    return error


@dataclass(frozen=True)
class Run:
    """A run directory, as far as a comparison of several wants to know.

    Args:
        name: Its path.
        evaluations: All of them.
        is_complete: Whether its search is.
    """

    name: str
    evaluations: Sequence[Evaluation]
    is_complete: bool

    @functools.cached_property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss; None when none completed."""
        return next(iter(rank_evaluations(self.evaluations)), None)


def rank_runs(runs: Iterable[Run]) -> list[Run]:
    """The one with the lowest loss first; those in which nothing has completed last."""
    return sorted(runs, key=lambda run: (run.best is None, run.best and run.best.loss, run.name))


def gather_evaluations(events: Iterable[AnyEvent], forms: Forms | None = None) -> list[Evaluation]:
    """What became of every individual.

    Args:
        events: Of one study, in any order, some perhaps more than once.
        forms: The limits that the study has had, if they have changed.

    Returns:
        In the order in which they were started.
    """
    started: dict[Identity, Started] = {}
    finished: dict[Identity, Finished] = {}
    parts: dict[Identity, dict[float, float]] = {}
    fits: dict[Identity, Fitted] = {}
    for event in events:
        if isinstance(event, Started):
            if forms is not None:
                fitted = forms.fit(event.params)
                fits[event.individual] = max(fits.get(event.individual, fitted), fitted, key=attrgetter("precedence"))
            first = started.get(event.individual)
            if first is None or event.time < first.time:
                started[event.individual] = event
        elif isinstance(event, Finished):
            known = finished.get(event.individual)
            if known is None or precedence(event) < precedence(known):
                finished[event.individual] = event
            parts.setdefault(event.individual, {})[event.time] = event.seconds if event.status == "interrupted" else 0.0
    evaluations = [
        _evaluation(event, finished.get(identity), sum(parts.get(identity, {}).values()), fits.get(identity))
        for identity, event in started.items()
    ]
    return sorted(evaluations, key=lambda evaluation: (evaluation.started, evaluation.individual))


def rank_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The completed ones, the lowest loss first, without those that are set aside."""
    completed = [each for each in evaluations if each.status == "completed" and not each.is_set_aside]
    return sorted(completed, key=lambda evaluation: (evaluation.loss, evaluation.individual))


def count_statuses(evaluations: Iterable[Evaluation]) -> Mapping[str, int]:
    """How many evaluations have each status; 0 for the ones that do not occur."""
    return Counter(evaluation.status for evaluation in evaluations)


def _evaluation(start: Started, end: Finished | None, interrupted: float, fitted: Fitted | None) -> Evaluation:
    known = Evaluation(
        individual=start.individual,
        params=start.params if fitted is None else fitted.params,
        island=start.island,
        started=start.time,
        is_set_aside=fitted is not None and fitted.genome is None,
    )
    if end is None:
        return known
    return msgspec.structs.replace(
        known,
        status=end.status,
        loss=end.loss,
        metrics=end.metrics,
        seconds=interrupted + end.seconds * (end.status != "interrupted"),
        rank=end.rank,
        host=end.host,
        device=end.device,
        error=end.error,
        traceback=end.traceback,
    )
