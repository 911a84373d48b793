"""What became of every individual, gathered from a study's events."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from evo.events import AnyEvent, Finished, Identity, Started
from evo.limits import Params
from evo.population import precedence
from evo.report.times import gather_times


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

    @property
    def is_first(self) -> bool:
        """Whether this rank is the one to print."""
        return self.rank == self.first_rank

    @functools.cached_property
    def individuals(self) -> list[Evaluation]:
        """All individuals, in the order in which they were started; read when first asked for."""
        return gather_evaluations(self.events())

    @functools.cached_property
    def times(self) -> Mapping[str, float]:
        """Seconds by activity, of all workers together; see `evo.report.times.gather_times`."""
        return gather_times(self.events())

    @property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss; None when none completed."""
        return next(iter(rank_evaluations(self.individuals)), None)


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


def gather_evaluations(events: Iterable[AnyEvent]) -> list[Evaluation]:
    """What became of every individual.

    Args:
        events: Of one study, in any order, some perhaps more than once.

    Returns:
        In the order in which they were started.
    """
    started: dict[Identity, Started] = {}
    finished: dict[Identity, Finished] = {}
    parts: dict[Identity, dict[float, float]] = {}
    for event in events:
        if isinstance(event, Started):
            first = started.get(event.individual)
            if first is None or event.time < first.time:
                started[event.individual] = event
        elif isinstance(event, Finished):
            known = finished.get(event.individual)
            if known is None or precedence(event) < precedence(known):
                finished[event.individual] = event
            parts.setdefault(event.individual, {})[event.time] = event.seconds if event.status == "interrupted" else 0.0
    evaluations = [
        _evaluation(event, finished.get(identity), sum(parts.get(identity, {}).values()))
        for identity, event in started.items()
    ]
    return sorted(evaluations, key=lambda evaluation: (evaluation.started, evaluation.individual))


def rank_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The completed ones, the lowest loss first."""
    completed = [evaluation for evaluation in evaluations if evaluation.status == "completed"]
    return sorted(completed, key=lambda evaluation: (evaluation.loss, evaluation.individual))


def count_statuses(evaluations: Iterable[Evaluation]) -> Mapping[str, int]:
    """How many evaluations have each status; 0 for the ones that do not occur."""
    return Counter(evaluation.status for evaluation in evaluations)


def failure_reasons(
    evaluations: Iterable[Evaluation], status: str = "failed"
) -> Sequence[tuple[str, list[Evaluation]]]:
    """The failed evaluations, or those that are infeasible, by their error, the most frequent first."""
    reasons: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        if evaluation.status == status:
            reasons.setdefault(evaluation.error, []).append(evaluation)
    return sorted(reasons.items(), key=lambda reason: -len(reason[1]))


def _evaluation(start: Started, end: Finished | None, interrupted: float) -> Evaluation:
    known = Evaluation(individual=start.individual, params=start.params, island=start.island, started=start.time)
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
