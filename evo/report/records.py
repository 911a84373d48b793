"""What became of every individual, gathered from a study's events."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from evo.errors import Shared
from evo.population.events import AnyEvent, Finished, Identity, Started
from evo.population.individual import precedence
from evo.population.reason import StopKind
from evo.report.times import Times
from evo.space.growth import Fitted, Forms
from evo.space.values import Params
from evo.storage.checkpoints import find_weights


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One individual and what became of it.

    Args:
        individual: Rank and generation of birth.
        params: The parameters that the objective got.
        status: "running", "completed", "pruned", "infeasible", "failed" or "interrupted".
        loss: The loss; None unless it completed or was pruned.
        metrics: What the objective recorded beside the loss.
        seconds: The time that the evaluation took.
        rank: The worker that evaluated it; None while it runs.
        host: The name of the machine on which it was evaluated.
        device: The device that it trained on, for example "cuda:0" or "cpu".
        error: Why it failed, or is infeasible, in one line.
        traceback: Where it failed, as Python prints it.
        island: The island on which it was born.
        started: The time at which its evaluation began, seconds since the epoch.
        is_set_aside: Whether it lies outside of the study's limits, which have changed: then it is not the best.
        folder: Where its files are, whether or not there are any; None when none are kept.
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
    folder: Path | None = None

    @property
    def name(self) -> str:
        """Its identity as its folder is named: rank-generation."""
        return "{}-{}".format(*self.individual)

    @property
    def weights(self) -> list[Path]:
        """The checkpoints in its folder now: of the best individuals of a study, which alone keep theirs."""
        return [] if self.folder is None else find_weights(self.folder)


class Findings:
    """What the events of a study tell; they are read once, when something of it is first asked for.

    Args:
        events: Reads the events, which may come in any order, and some more than once.
        forms: The limits that the study has had, if they have changed.
        folder: Returns the folder of an individual. None means that no files are kept.
    """

    def __init__(
        self,
        events: Callable[[], Iterable[AnyEvent]],
        forms: Forms | None = None,
        folder: Callable[[Identity], Path] | None = None,
    ) -> None:
        self.events = events
        self._forms = forms
        self._folder = folder

    @property
    def individuals(self) -> list[Evaluation]:
        """All individuals, in the order in which they were started."""
        return self._read[0]

    @property
    def times(self) -> Mapping[str, float]:
        """Seconds by activity, of all workers together; see `evo.report.times.Times`."""
        return self._read[1]

    @functools.cached_property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss; None when none completed."""
        return next(iter(rank_evaluations(self.individuals)), None)

    def forget(self) -> None:
        """Read the events anew when something is asked for the next time, since there may be more of them."""
        for name in ("_read", "best"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def _read(self) -> tuple[list[Evaluation], Mapping[str, float]]:
        times = Times()

        def read() -> Iterator[AnyEvent]:
            for event in self.events():
                times.add(event)
                yield event

        individuals = gather_evaluations(read(), self._forms)
        if self._folder is not None:
            individuals = [msgspec.structs.replace(one, folder=self._folder(one.individual)) for one in individuals]
        return individuals, times.total()


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """How a search ended: what one rank reports of its own end, and what all these reports together amount to.

    Args:
        stop_reason: Why it stopped.
        stop_kind: The kind of that reason.
        by_keyboard: Whether Ctrl-C (SIGINT) asked to stop, on some rank.
        nothing_completed: Whether there is no best individual.
        first_rank: The first rank that is alive, usually 0, which prints.
        lost_ranks: The ranks that died, or ended because another rank of their worker had died.
        seconds: The time that the search took, in this session.
        test: Metrics of the best individual on held-out data, if the objective has a test.
        test_error: Why the test failed.
        digest: The fingerprint of the population that all ranks hold, when debugging.
        messages: The number of messages that all ranks sent together, in this session.
        bytes: The bytes of all these messages.
        individuals_bytes: What the files of all individuals take, once only the best have kept their weights.
    """

    stop_reason: str
    stop_kind: StopKind
    by_keyboard: bool = False
    nothing_completed: bool = False
    first_rank: int = 0
    lost_ranks: Sequence[int] = ()
    seconds: float = 0.0
    test: dict[str, Any] = field(default_factory=dict)
    test_error: str = ""
    digest: str = ""
    messages: int = 0
    bytes: int = 0
    individuals_bytes: int = 0

    @property
    def interrupted(self) -> bool:
        """Whether it stopped before its budget was spent: the same call on the same directory goes on."""
        return self.stop_kind.is_before_the_end

    @property
    def gave_up(self) -> bool:
        """Whether it stopped because too many evaluations failed."""
        return self.stop_kind is StopKind.TOO_MANY_FAILED


@dataclass(frozen=True, kw_only=True)
class Result(Conclusion):
    """What a search found, and how it ended; the same on every rank.

    Args:
        rank: The rank that got it.
        run_dir: Where its files are; None when none were kept.
        findings: What its events tell; read when first asked for.
    """

    rank: int
    run_dir: Path | None
    findings: Findings = field(repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this rank is the one to print."""
        return self.rank == self.first_rank

    @property
    def all_failed(self) -> bool:
        """Whether none has completed, and not because all were pruned: some failed, or are infeasible."""
        counts = count_statuses(self.individuals)
        return self.nothing_completed and counts["failed"] + counts["infeasible"] > 0

    def events(self) -> Iterable[AnyEvent]:
        """All that was recorded, record by record; read anew. See `evo.population.events`."""
        return self.findings.events()

    @property
    def individuals(self) -> list[Evaluation]:
        """All individuals, in the order in which they were started."""
        return self.findings.individuals

    @property
    def times(self) -> Mapping[str, float]:
        """Seconds by activity, of all workers together; see `evo.report.times.Times`."""
        return self.findings.times

    @property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss; None when none completed."""
        return self.findings.best


class SearchFailed(RuntimeError, Shared):
    """No individual has completed; the message says why they failed.

    Args:
        message: What the user reads.
        result: What became of all individuals.
    """

    __module__ = "evo"  # Where users find it.

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def interrupted_by(message: str, result: Result) -> KeyboardInterrupt:
    """What is raised when Ctrl-C has stopped a search: Python's own exception, which a shell takes for an interrupt.

    Args:
        message: What the user reads.
        result: What was found until then, which the exception has as its `result`.
    """
    error = KeyboardInterrupt(message)
    error.result = result  # type: ignore[attr-defined]
    return error


def gather_evaluations(events: Iterable[AnyEvent], forms: Forms | None = None) -> list[Evaluation]:
    """What became of every individual.

    Args:
        events: The events of one study, in any order, some perhaps more than once.
        forms: The limits that the study has had, if they have changed.

    Returns:
        The evaluations, in the order in which they were started.
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
        # The seconds of an interrupted end are among the interrupted ones already.
        seconds=interrupted if end.status == "interrupted" else interrupted + end.seconds,
        rank=end.rank,
        host=end.host,
        device=end.device,
        error=end.error,
        traceback=end.traceback,
    )
