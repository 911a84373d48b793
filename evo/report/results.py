"""How a search ended, and what it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.errors import Shared
from evo.population.events import AnyEvent
from evo.population.reason import StopKind
from evo.report.front_access import HasFront
from evo.report.lineages import LineageSegment, find_lineage
from evo.report.records import Evaluation, Findings, count_statuses
from evo.report.rows import data_frame

if TYPE_CHECKING:
    import pandas


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
        test: Metrics of the best individual on held-out data, if the objective has a test. With several objectives, of
            the first tested individual of the front, which is the best by the first objective.
        tests: With several objectives, the metrics of all individuals of the front that have kept their weights, by
            their names such as "3-1", in the order of the front.
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
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
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
class Result(HasFront, Conclusion):
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

    def to_pandas(self) -> pandas.DataFrame:
        """All individuals as a table of pandas, a row for each; see `evo.report.rows.table_rows` for its columns.

        Raises:
            UserError: pandas is not installed.
        """
        return data_frame(self.individuals, self.events(), self.objectives)

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
        """The completed individual with the lowest loss; None when none completed.

        If there are bounds, it is the best of those that keep them or, where none does, the one that violates them
        least. Of several objectives the first counts: see `front` and `knee`.
        """
        return self.findings.best

    def _found(self) -> Findings:
        return self.findings

    def lineage(self, individual: Evaluation | None = None) -> list[LineageSegment]:
        """The segments of the training that has led to an individual; see `evo.report.lineages.LineageSegment`.

        Args:
            individual: One of `individuals`. None means the best; with several objectives, `knee`.

        Returns:
            The segments in their order, the individual's own as the last; none when it is a whole training, or when
            none completed.
        """
        own = self.knee if self.objectives.are_several else self.best
        one = own if individual is None else individual
        return [] if one is None else find_lineage(one, self.individuals)


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
