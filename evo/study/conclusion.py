"""The end of a search: what each rank says, and what the first live one makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from evo.engine.exchange import Exchange
from evo.engine.worker import Worker
from evo.evaluation import Evaluator
from evo.randomness import training_seed
from evo.report.records import Evaluation, count_statuses, gather_evaluations, rank_evaluations
from evo.report.times import gather_times
from evo.storage.checkpoints import Weights
from evo.storage.rundir import RunDirectory, Scratch, Study, study_forms


class LastWords(msgspec.Struct, frozen=True):
    """What a rank says when all evaluations have ended.

    Args:
        reason: Why it stopped.
        interrupted: Whether that was before its budget was spent.
        digest: Of its population, when debugging.
        messages: How many it has sent.
        bytes: Of all of these.
        test: Metrics of the best individual, from the rank that has its files.
        test_error: Why the test failed.
        by_keyboard: Whether Ctrl-C asked to stop here.
    """

    reason: str
    interrupted: bool
    digest: str
    messages: int
    bytes: int
    test: dict[str, Any] = {}
    test_error: str = ""
    by_keyboard: bool = False


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What all ranks learn in the end: of `evo.report.records.Result` the fields that no event tells."""

    stop_reason: str
    interrupted: bool = False
    gave_up: bool = False
    first_rank: int = 0
    seconds: float = 0.0
    test: dict[str, Any] = {}
    test_error: str = ""
    digest: str = ""
    lost_ranks: tuple[int, ...] = ()
    messages: int = 0
    bytes: int = 0
    individuals_bytes: int = 0
    by_keyboard: bool = False
    nothing_completed: bool = False


def decode_conclusion(words: str) -> Conclusion:
    """What `Ending.conclude` returned."""
    return msgspec.json.decode(words, type=Conclusion)


class Ending:
    """Ends one rank's search; see `evo.engine.loop.Ending`.

    Args:
        study: What is searched.
        worker: Of this rank.
        exchange: With the others.
        evaluator: Tests the best individual.
        directory: Of the study.
        weights: Of its individuals.
        debug: Whether the populations of all ranks are compared.
        ranks: How many ranks take part, those included that only assist.
        by_keyboard: Whether Ctrl-C has asked to stop on this rank.
    """

    def __init__(
        self,
        study: Study,
        worker: Worker,
        exchange: Exchange,
        evaluator: Evaluator,
        directory: RunDirectory | Scratch,
        weights: Weights,
        *,
        debug: bool,
        ranks: int,
        by_keyboard: Callable[[], bool] = lambda: False,
    ) -> None:
        self._by_keyboard = by_keyboard
        self._study = study
        self._worker = worker
        self._exchange = exchange
        self._evaluator = evaluator
        self._directory = directory
        self._weights = weights
        self._debug = debug
        self._ranks = ranks
        self._began = time.monotonic()

    def last_words(self) -> str:
        """What this rank has to say; the one that has the files of the best individual tests it first."""
        worker = self._worker
        test, problem = ({}, "") if worker.interrupted or self._gave_up else self._test_best()
        words = LastWords(
            reason=worker.stop_reason,
            interrupted=worker.interrupted,
            digest=worker.population.digest() if self._debug else "",
            messages=self._exchange.traffic.messages,
            bytes=self._exchange.traffic.bytes,
            test=test,
            test_error=problem,
            by_keyboard=self._by_keyboard(),
        )
        return msgspec.json.encode(words).decode()

    def conclude(self, last_words: Mapping[int, str]) -> str:
        """Write the completion record, if the study is complete; what it returns is for `decode_conclusion`."""
        words = {rank: msgspec.json.decode(text, type=LastWords) for rank, text in last_words.items()}
        interrupted = [each.reason for each in words.values() if each.interrupted]
        individuals = self._directory.path / "individuals"
        conclusion = Conclusion(
            stop_reason=(interrupted or [self._worker.stop_reason])[0],
            interrupted=bool(interrupted),
            nothing_completed=self._worker.population.best is None,
            by_keyboard=any(each.by_keyboard for each in words.values()),
            gave_up=self._gave_up,
            first_rank=self._ranks_of([self._worker.settings.rank])[0],
            seconds=time.monotonic() - self._began,
            test=next((each.test for each in words.values() if each.test), {}),
            test_error=next((each.test_error for each in words.values() if each.test_error), ""),
            digest=same_digest(each.digest for each in words.values()),
            lost_ranks=tuple(self._ranks_of(sorted(self._exchange.dead))),
            messages=sum(each.messages for each in words.values()),
            bytes=sum(each.bytes for each in words.values()),
            # Going through all files takes long: not in the last seconds of a job.
            individuals_bytes=0 if interrupted else self._weights.sweep(individuals),
        )
        if not (conclusion.interrupted or conclusion.gave_up):
            self._directory.write("summary.json", self._summary(conclusion))
        return msgspec.json.encode(conclusion).decode()

    def _ranks_of(self, workers: Sequence[int]) -> list[int]:
        size = self._ranks // self._worker.settings.ranks
        return [rank for worker in workers for rank in range(worker * size, (worker + 1) * size)]

    @property
    def _gave_up(self) -> bool:
        return self._worker.settings.budget.too_many_failed(self._worker.population)

    def _test_best(self) -> tuple[dict[str, Any], str]:
        """Test the best individual if its files are here; or say why it could not be tested."""
        has_all_files = isinstance(self._directory, RunDirectory)
        if has_all_files and not self._exchange.is_first:
            return {}, ""
        best = next(iter(rank_evaluations(self._evaluations())), None)
        if best is not None and not has_all_files and best.rank in self._exchange.dead:
            return {}, f"its files were with rank {best.rank}, which died"
        if best is None or not (has_all_files or best.rank == self._worker.settings.rank):
            return {}, ""
        try:
            seed = training_seed(self._study.seed, best.individual)
            return self._evaluator.test(best.individual, best.params, seed), ""
        except RuntimeError as error:
            return {}, str(error)

    def _evaluations(self) -> list[Evaluation]:
        return gather_evaluations(self._directory.events(), study_forms(self._study))

    def _summary(self, conclusion: Conclusion) -> dict[str, Any]:
        evaluations = self._evaluations()
        best = next(iter(rank_evaluations(evaluations)), None)
        counts = count_statuses(evaluations)
        return {
            "study": self._study.name,
            "seed": self._study.seed,
            "ranks": self._ranks,
            "lost_ranks": conclusion.lost_ranks,
            "evaluations": len(evaluations),
            **{status: counts[status] for status in ("completed", "pruned", "infeasible", "failed")},
            "seconds": round(conclusion.seconds, 3),
            "times": {name: round(spent, 3) for name, spent in gather_times(self._directory.events()).items()},
            "stopped": conclusion.stop_reason,
            "messages": conclusion.messages,
            "bytes": conclusion.bytes,
            "individuals_bytes": conclusion.individuals_bytes,
            "best": best and {name: getattr(best, name) for name in ("individual", "loss", "params", "metrics")},
            "test": conclusion.test,
        }


def same_digest(digests: Iterable[str]) -> str:
    """The fingerprint that all populations have in common."""
    different = sorted(set(digests))
    assert len(different) == 1, f"the populations of the ranks differ: {different}"
    return different[0]
