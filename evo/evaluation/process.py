"""Evaluation in a child process, which the rank starts once, keeps, watches and replaces when it dies."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evo.errors import Elsewhere, UserError
from evo.evaluation.evaluator import Opened, with_folder
from evo.evaluation.messages import (
    Answer,
    ChildSetup,
    Ended,
    Evaluate,
    Examine,
    Examined,
    News,
    Progress,
    Ready,
    log_name,
    output_folder,
)
from evo.evaluation.open_runs import end_in_another_process
from evo.evaluation.sending import Parcel, pack
from evo.evaluation.settings import USUAL, EvaluationSettings
from evo.evaluation.supervised import GRACE, Child
from evo.objective.references import Named
from evo.population.assignment import Assignment, TakesReport
from evo.population.events import Status
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.space.values import Params
from evo.texts import as_path

_REPEAT = 1.0  # Seconds until a child is asked again to save its state.
_LAST_OUTPUT = 2000  # Characters of a dead child's output that are kept.
_LONGEST_ENDING = 30.0  # Seconds that the end of a search waits for the ends of runs in a tracking store.


class ProcessEvaluator:
    """Evaluates in a child process; see `evo.evaluation.evaluator.Evaluator`.

    Args:
        objective: A function or instance, or a reference to one.
        folder: Returns the folder of an individual.
        environment: The environment variables of the child, all of them.
        settings: The settings of all evaluations.
        is_interrupted: Whether nothing is to be evaluated any more.
    """

    def __init__(
        self,
        objective: Callable[..., Any] | Named,
        folder: Callable[[Identity], Path],
        environment: Mapping[str, str],
        settings: EvaluationSettings = USUAL,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_interrupted = is_interrupted
        self._objective = objective
        self._folder = folder
        self._environment = environment
        self._settings = settings
        self._grace = settings.grace
        self._names: Sequence[str] = ()
        self._examples: Sequence[Params] = ()
        self._opened = Opened()
        self._parcel: Parcel | None = None
        self._child: Child | None = None
        self._ready = self._may_save = False
        self._refused: Ready | None = None
        self._order: Evaluate | Examine | None = None
        self._report: TakesReport | None = None
        self._began = 0.0
        self._interrupted = False
        self._ask_again = self._must_have_saved = math.inf
        self._ending: list[subprocess.Popen[bytes]] = []  # Processes that end what dead children have left open.

    def open(self, names: Sequence[str], examples: Sequence[Params] = ()) -> Opened:
        """Start the child and wait until it has loaded the objective, unless a stop is asked for meanwhile.

        Args:
            names: The parameters that the objective must take.
            examples: Points that show them, see `evo.space.examples`.

        Returns:
            What the objective remarks, and what one that was named depends on; nothing after a stop.

        Raises:
            UserError: The objective cannot be loaded, or does not take the parameters.
        """
        self._names, self._examples, self._parcel = names, examples, pack(self._objective)
        self._launch()
        while not self._ready and not self._is_interrupted():
            news = self._next_news()
            if isinstance(news, Outcome):
                raise self._why_not_ready(news)
        # The objective has been checked, so a child that replaces a dead one need not check it again.
        self._examples = ()
        return self._opened

    def _why_not_ready(self, end: Outcome) -> Exception:
        """Why the child has ended instead of being ready: a mistake of the user's, or a bug."""
        if self._refused is None:  # It was killed or has exited, and its last output may say why.
            return UserError(f"{end.error}\n{end.traceback}".strip())
        wrong = UserError(self._refused.refusal) if self._refused.refusal else RuntimeError(end.error)
        wrong.__cause__ = Elsewhere(self._refused.traceback)
        return wrong

    def start(self, assignment: Assignment, report: TakesReport) -> None:
        """Hand an individual to the child, a new one when the last one died."""
        self._begin(Evaluate(with_folder(assignment, self._folder)), report)

    def poll(self) -> Outcome | None:
        """The outcome, or None after a moment's wait for news."""
        news = self._next_news()
        if isinstance(news, Progress):
            assert self._report is not None
            self._running.send(Answer(self._report(news.step, news.loss, news.further)))
        if isinstance(news, Ended):
            return news.outcome
        if isinstance(news, Outcome):
            self._end_runs(news)
            return news
        return None

    def interrupt(self, failed: bool = False) -> None:
        """End the evaluation in flight, which has some seconds to save its state. A second call changes nothing.

        Args:
            failed: Whether it has failed on another rank, so that it may wait for that rank in vain.
        """
        if self._interrupted:
            return
        self._interrupted = True
        now = time.monotonic()
        if self._ready and self._may_save and self._child is not None:
            self._ask_again, self._must_have_saved = now, now + min(self._grace, GRACE if failed else math.inf)
        elif self._child is not None:
            self._child.kill()

    def hurry(self) -> None:
        """Have the child killed at the next poll, whatever it does."""
        self._grace = self._must_have_saved = 0.0

    def test(self, assignment: Assignment) -> dict[str, Any]:
        """Metrics of an evaluated individual on held-out data; empty when the objective has no test.

        Raises:
            RuntimeError: The test failed.
        """
        return self.examine(assignment).metrics

    def examine(self, assignment: Assignment) -> Examined:
        """Test an individual.

        Args:
            assignment: The individual. What the test prints goes to the assignment's folder of results, if it has one.

        Raises:
            RuntimeError: The test failed.
        """
        self._begin(Examine(with_folder(assignment, self._folder)), None)
        while True:
            news = self._next_news()
            if isinstance(news, Examined | Outcome) and news.error:
                raise RuntimeError(news.error) from (Elsewhere(news.traceback) if news.traceback else None)
            if isinstance(news, Examined):
                return news

    def close(self) -> None:
        """End the child, and wait until no run of a dead one is open any more."""
        self._end_child()
        deadline = time.monotonic() + _LONGEST_ENDING
        for process in self._ending:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        self._ending.clear()

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _end_runs(self, outcome: Outcome) -> None:
        """Have the runs ended that an evaluation, whose process is dead, has left open in a tracking store."""
        self._ending = [process for process in self._ending if process.poll() is None]
        if isinstance(self._order, Evaluate) and self._settings.rank == 0:
            folder = self._order.assignment.folder
            process = end_in_another_process(folder, outcome.status, outcome.error, self._environment)
            self._ending += [process] if process else []

    @property
    def _running(self) -> Child:
        assert self._child is not None
        return self._child

    def _begin(self, order: Evaluate | Examine, report: TakesReport | None) -> None:
        self._order, self._report, self._interrupted = order, report, False
        self._ask_again = self._must_have_saved = math.inf
        if self._child is None or not self._child.is_alive:
            self._launch()
        self._began = time.monotonic()
        self._running.send(order)

    def _launch(self) -> None:
        self._end_child()
        assert self._parcel is not None
        self._ready, self._refused = False, None
        self._child = Child(self._parcel, self._environment, self._setup)

    def _setup(self, output: str) -> ChildSetup:
        return ChildSetup(
            settings=self._settings, names=list(self._names), examples=list(self._examples), output=output
        )

    def _next_news(self) -> News | Outcome | None:
        """What the child says, or None after a moment; an outcome of our own when it is dead or too slow."""
        # Time is checked before the pipe, because a child that keeps on reporting has no more time than another.
        if self._is_late():
            return self._out_of_time()
        self._ask_to_save()
        try:
            news = self._running.listen()
        except (EOFError, OSError):
            return self._outcome_of_death()
        if isinstance(news, Ready):
            if news.traceback:
                self._refused = news
                return self._outcome_of_death()
            self._ready, self._may_save, self._began = True, news.may_save, time.monotonic()
            self._opened = Opened(notes=news.notes, settings=news.settings, may_save=news.may_save)
            self._running.output.unlink(missing_ok=True)  # From now on it prints into the folders of individuals.
        return news

    def _ask_to_save(self) -> None:
        now = time.monotonic()
        if now > self._must_have_saved:
            self._running.kill()
        elif now >= self._ask_again:
            # A signal that arrives just before a system call does not break it off: the next one does.
            self._running.ask_to_save()
            self._ask_again = now + _REPEAT

    def _is_late(self) -> bool:
        limit = self._settings.time_limit
        return self._ready and limit is not None and time.monotonic() - self._began >= limit

    def _out_of_time(self) -> Outcome:
        self._running.kill()
        error = f"TimeLimit: it took longer than the time limit of {self._settings.time_limit:g} s"
        return Outcome(status="failed", seconds=time.monotonic() - self._began, error=error)

    def _outcome_of_death(self) -> Outcome:
        """How the evaluation ended with its child, or why the child could not make the objective ready."""
        cause = self._running.cause_of_death()
        seconds = time.monotonic() - self._began
        if self._refused is not None:
            status: Status = "interrupted" if self._interrupted else "failed"
            error = self._refused.refusal or "the evaluation process has failed"
            return Outcome(status=status, seconds=seconds, error=error, traceback=self._refused.traceback)
        if self._interrupted:
            return Outcome(status="interrupted", seconds=seconds)
        return Outcome(status="failed", seconds=seconds, error=cause, traceback=self._last_output())

    def _last_output(self) -> str:
        file = self._running.output
        if self._order is not None and self._ready:
            rank = 0 if isinstance(self._order, Examine) else self._settings.rank
            file = as_path(output_folder(self._order)) / log_name(rank)
        try:
            return file.read_text(encoding="utf-8", errors="replace")[-_LAST_OUTPUT:]
        except OSError:
            return ""
