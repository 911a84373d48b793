"""The end of a search: what each rank reports of it, and what the first live one makes of all reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from evo.engine.exchange import Exchange
from evo.engine.worker import Worker
from evo.evaluation import Evaluator
from evo.population.assignment import Assignment
from evo.population.identity import individual_name
from evo.population.reason import StopKind, StopReason
from evo.randomness import training_seed
from evo.report.contributions import contributions
from evo.report.lineages import find_lineage
from evo.report.records import Evaluation, Findings, count_statuses
from evo.report.results import Conclusion
from evo.storage.checkpoints import Weights
from evo.storage.rundir import RunDirectory, Scratch, StudyRecord


def decode_conclusion(text: str) -> Conclusion:
    """The conclusion in what `StudyEnding.conclude` returned."""
    return msgspec.json.decode(text, type=Conclusion)


@dataclass(frozen=True, kw_only=True)
class StudyEnding:
    """Ends one rank's search; see `evo.engine.loop.Ending`.

    Args:
        study: What is searched.
        worker: The worker that this rank speaks for.
        exchange: Its exchange with the others.
        evaluator: Tests the best individual.
        directory: The run directory of the study.
        weights: The checkpoints of its individuals.
        findings: What the study's events tell, which is read once at the end.
        debug: Whether the populations of all ranks are compared.
        ranks: How many ranks take part, including those that only assist.
        by_keyboard: Returns whether Ctrl-C has asked to stop on this rank.
        began: The time at which the search began, by `time.monotonic`.
    """

    study: StudyRecord
    worker: Worker
    exchange: Exchange
    evaluator: Evaluator
    directory: RunDirectory | Scratch
    weights: Weights
    findings: Findings
    debug: bool
    ranks: int
    by_keyboard: Callable[[], bool]
    began: float = field(default_factory=time.monotonic)

    def final_report(self) -> str:
        """What this rank reports; the one that has the files of the best individual tests it first.

        With several objectives each individual of the front that has kept its weights is tested.
        """
        # Everything is recorded by now. After the loss of a rank this is called again, and there may be more.
        self.findings.forget()
        worker = self.worker
        reason = self._reason
        gave_up = reason.kind is StopKind.TOO_MANY_FAILED
        tests, problem = ({}, "") if reason.is_before_the_end or gave_up else self._test()
        report = Conclusion(
            stop_reason=reason.text,
            stop_kind=reason.kind,
            digest=worker.population.digest() if self.debug else "",
            messages=self.exchange.traffic.messages,
            bytes=self.exchange.traffic.bytes,
            tests=tests,
            test_error=problem,
            by_keyboard=self.by_keyboard(),
        )
        return msgspec.json.encode(report).decode()

    def conclude(self, final_reports: Mapping[int, str]) -> str:
        """Write the completion record, if the study is complete; returns a text for `decode_conclusion`.

        Args:
            final_reports: The final reports of all live ranks.
        """
        own = self._reason
        said = [decode_conclusion(text) for text in final_reports.values()]
        before_the_end = [StopReason(each.stop_kind, each.stop_reason) for each in said if each.interrupted]
        reason = (before_the_end or [own])[0]
        individuals = self.directory.path / "individuals"
        conclusion = Conclusion(
            stop_reason=reason.text,
            stop_kind=reason.kind,
            nothing_completed=self.worker.population.best is None,
            by_keyboard=any(each.by_keyboard for each in said),
            first_rank=self._ranks_of([self.worker.settings.worker])[0],
            seconds=time.monotonic() - self.began,
            **self._tests(said),
            test_error=next((each.test_error for each in said if each.test_error), ""),
            digest=same_digest(each.digest for each in said),
            lost_ranks=tuple(self._ranks_of(sorted(self.exchange.dead))),
            messages=sum(each.messages for each in said),
            bytes=sum(each.bytes for each in said),
            # Going through all files takes too long for the last seconds of a job.
            individuals_bytes=0 if reason.is_before_the_end else self.weights.sweep(individuals),
        )
        if not (conclusion.interrupted or conclusion.gave_up):
            self.directory.write("summary.json", self._summary(conclusion))
        return msgspec.json.encode(conclusion).decode()

    def _ranks_of(self, workers: Sequence[int]) -> list[int]:
        size = self.ranks // self.worker.settings.workers
        return [rank for worker in workers for rank in range(worker * size, (worker + 1) * size)]

    @property
    def _reason(self) -> StopReason:
        """Why this worker has stopped. Another worker's events may show only now that the target is reached, or that
        too many have failed.
        """
        worker = self.worker
        own = worker.stop_reason
        assert own is not None, "a worker that goes on was asked how it ended"
        if own.is_before_the_end:
            return own
        return worker.settings.budget.why_stop_now(worker.population, now=-math.inf) or own

    def _test(self) -> tuple[dict[str, dict[str, Any]], str]:
        """The metrics of those that are tested, as far as their files are here, and why one could not be tested."""
        has_all_files = isinstance(self.directory, RunDirectory)
        if has_all_files and not self.exchange.is_first:
            return {}, ""
        tests, problem = {}, ""
        for one in self._to_test(has_all_files):
            if not has_all_files and one.rank in self.exchange.dead:
                problem = problem or f"its files were with {one.evaluator}, which died"
            if not (has_all_files or one.rank == self.worker.settings.worker):
                continue
            try:
                seed = training_seed(self.study.seed, one.individual)
                found = self.evaluator.test(Assignment(individual=one.individual, params=one.params, seed=seed))
            except RuntimeError as error:
                problem = problem or str(error)
            else:
                tests.update({one.name: found} if found else {})
        return tests, problem

    def _to_test(self, has_all_files: bool) -> list[Evaluation]:
        if self.study.objectives.are_several:
            wanted = self.weights.to_test(has_all_files)
            by_identity = {one.individual: one for one in self.findings.individuals} if wanted else {}
            return [by_identity[identity] for identity in wanted]
        best = self.findings.best
        # One that was not trained here has nothing that could be tested.
        return [] if best is None or best.origin else [best]

    def _tests(self, said: Sequence[Conclusion]) -> dict[str, Any]:
        """The tests of all ranks, as fields of a conclusion."""
        tests = {name: metrics for each in said for name, metrics in each.tests.items()}
        front = [individual_name(one.identity) for one in self.worker.population.front]
        ordered = {name: tests[name] for name in front if name in tests} or tests
        return {"test": next(iter(ordered.values()), {}), "tests": ordered if self.study.objectives.are_several else {}}

    def _summary(self, conclusion: Conclusion) -> dict[str, Any]:
        best = self.findings.best
        evaluated = [one for one in self.findings.individuals if not one.origin]
        counts = count_statuses(evaluated)
        return {
            "study": self.study.name,
            "seed": self.study.seed,
            "ranks": self.ranks,
            "lost_ranks": conclusion.lost_ranks,
            "evaluations": len(evaluated),
            "known": len(self.findings.individuals) - len(evaluated),
            **{status: counts[status] for status in ("completed", "pruned", "infeasible", "failed")},
            "seconds": round(conclusion.seconds, 3),
            "times": {name: round(spent, 3) for name, spent in self.findings.times.items()},
            "stopped": conclusion.stop_reason,
            "stop_kind": conclusion.stop_kind,
            "messages": conclusion.messages,
            "bytes": conclusion.bytes,
            "individuals_bytes": conclusion.individuals_bytes,
            "best": best and self._best_record(best),
            **({"front": [one.name for one in self.findings.front]} if self.study.objectives.are_several else {}),
            "contributions": contributions(self.findings.individuals),
            "test": conclusion.test,
            **({"tests": conclusion.tests} if conclusion.tests else {}),
        }

    def _best_record(self, best: Evaluation) -> dict[str, Any]:
        known = {name: getattr(best, name) for name in ("individual", "loss", "params", "metrics")}
        if self.study.objectives.modes:
            known["objectives"] = self.study.objectives.values(best.vector)
        if self.study.objectives.bounds:
            known["violation"] = best.violation
        lineage = find_lineage(best, self.findings.individuals)
        return {**known, **({"lineage": lineage} if lineage else {})}


def same_digest(digests: Iterable[str]) -> str:
    """The fingerprint that all populations have in common."""
    different = sorted(set(digests))
    assert len(different) == 1, f"the populations of the ranks differ: {different}"
    return different[0]
