"""Evaluation in a child process, which the rank starts once, keeps, watches and replaces when it dies."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from evo.errors import Elsewhere, UserError
from evo.evaluation import child
from evo.evaluation.child import Ended, Examination, Examined, News, Progress, Ready, Task, Verdict
from evo.evaluation.sending import Parcel, main_hidden, pack
from evo.evaluation.team import Opened, Report, Team
from evo.objective.references import Named
from evo.population.events import Identity
from evo.population.outcome import Outcome
from evo.runtime.signals import MARK, end_marked, signals_held_back
from evo.space.values import Params
from evo.texts import readable

_REPEAT = 1.0  # Seconds until a child is asked again to save its state.
_POLL = 0.01  # Seconds to wait for the child before looking after messages again.
_GRACE = 2.0  # Seconds in which a child ends by itself once the pipe is closed, from either side.
_LAST_WORDS = 2000  # Characters of a dead child's output that are kept.


class ProcessEvaluator:
    """Evaluates in a child process; see `evo.engine.loop.Evaluator`.

    Args:
        objective: A function or instance, or a reference to one.
        folder: The folder of an individual.
        environment: The environment variables of the child, all of them.
        threads: CPU threads that a training may use.
        time_limit: Seconds after which an evaluation fails; None: no limit.
        team: The ranks that evaluate together with this one; None: it is alone.
        checkpoint_interval: Seconds after which a long evaluation should save its state again.
        grace: Seconds that an interrupted evaluation may take to save its state.
        is_interrupted: Whether nothing is to be evaluated any more.
    """

    def __init__(
        self,
        objective: Callable[..., Any] | Named,
        folder: Callable[[Identity], Path],
        environment: Mapping[str, str],
        threads: int = 1,
        time_limit: float | None = None,
        team: Team | None = None,
        checkpoint_interval: float = math.inf,
        grace: float = 45.0,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_interrupted = is_interrupted
        self._checkpoint_interval = checkpoint_interval
        self._grace = grace
        self._place = (team.place, team.size) if team else (0, 1)
        self._objective = objective
        self._folder = folder
        self._environment = environment
        self._threads = threads
        self._time_limit = time_limit
        self._names: Sequence[str] = ()
        self._examples: Sequence[Params] = ()
        self._opened = Opened()
        self._parcel: Parcel | None = None
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._ready = False
        self._refused: Ready | None = None
        self._output = self._mark = ""
        self._task: Task | None = None
        self._report: Report | None = None
        self._attempts = 0
        self._began = 0.0
        self._interrupted = False
        self._may_save = False
        self._ask_again = self._must_have_saved = math.inf

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
        # It has been checked: one that takes its place when it has died need not be.
        self._examples = ()
        return self._opened

    def _why_not_ready(self, end: Outcome) -> Exception:
        """What is wrong where the child has ended instead of being ready: a mistake of the user, or a bug."""
        if self._refused is None:  # It was killed, or has left: what it printed last may tell.
            return UserError(f"{end.error}\n{end.traceback}".strip())
        wrong = UserError(self._refused.refusal) if self._refused.refusal else RuntimeError(end.error)
        wrong.__cause__ = Elsewhere(self._refused.traceback)
        return wrong

    def start(self, identity: Identity, params: Params, seed: int, report: Report) -> None:
        """Hand an individual to the child, a new one when the last one died."""
        self._attempts += 1
        self._begin(
            Task(identity, params, seed, readable(str(self._folder(identity).resolve())), self._attempts), report
        )

    def poll(self) -> Outcome | None:
        """The outcome, or None after a moment's wait for news."""
        news = self._next_news()
        if isinstance(news, Progress):
            assert self._report is not None
            stop = self._report(news.step, news.loss)
            with suppress(OSError):  # It may have died meanwhile: the next poll says so.
                self._channel.send_bytes(child.encode(Verdict(stop)))
        if isinstance(news, Ended):
            return news.outcome
        return news if isinstance(news, Outcome) else None

    def interrupt(self, failed: bool = False) -> None:
        """End the evaluation in flight, which has some seconds to save its state if it can; again: no change.

        Args:
            failed: Whether it has failed on another rank, for which it may wait in vain.
        """
        if self._interrupted:
            return
        self._interrupted = True
        now = time.monotonic()
        if self._ready and self._may_save and self._process is not None:
            self._ask_again, self._must_have_saved = now, now + min(self._grace, _GRACE if failed else math.inf)
        else:
            self._kill()

    def hurry(self) -> None:
        """Have the child killed at the next poll, whatever it does."""
        self._grace = self._must_have_saved = 0.0

    def test(self, identity: Identity, params: Params, seed: int) -> dict[str, Any]:
        """Metrics of an evaluated individual on held-out data; empty when the objective has no test.

        Raises:
            RuntimeError: The test failed.
        """
        return self.examine(identity, params, seed).metrics

    def examine(self, identity: Identity, params: Params, seed: int, results: Path | None = None) -> Examined:
        """Test an individual.

        Args:
            identity: The individual's.
            params: The individual's.
            seed: Of its training.
            results: Folder for what the test finds beside its metrics, and prints; None: nothing is wanted.

        Raises:
            RuntimeError: The test failed.
        """
        folder = readable(str(self._folder(identity).resolve()))
        wanted = readable(str(results.resolve())) if results else ""
        self._begin(Examination(identity, params, seed, folder, results=wanted), None)
        while True:
            news = self._next_news()
            if isinstance(news, Examined | Outcome) and news.error:
                raise RuntimeError(news.error) from (Elsewhere(news.traceback) if news.traceback else None)
            if isinstance(news, Examined):
                return news

    def close(self) -> None:
        """End the child."""
        if self._process is None:
            return
        self._channel.close()
        self._process.join(_GRACE)
        self._kill()
        Path(self._output).unlink(missing_ok=True)
        self._process = None

    @property
    def _channel(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _begin(self, task: Task, report: Report | None) -> None:
        self._task, self._report, self._interrupted = task, report, False
        self._ask_again = self._must_have_saved = math.inf
        if self._process is None or not self._process.is_alive():
            self._launch()
        self._began = time.monotonic()
        with suppress(OSError):
            self._channel.send_bytes(child.encode(task))

    def _launch(self) -> None:
        self.close()
        assert self._parcel is not None
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        handle, self._output = tempfile.mkstemp(prefix="evo-", suffix=".log")
        os.close(handle)
        arguments = (
            theirs,
            self._parcel.content,
            list(self._names),
            list(self._examples),
            self._threads,
            self._output,
            self._place,
            self._checkpoint_interval,
        )
        process = context.Process(target=child.main, args=arguments, name="evo-evaluation")
        self._mark = uuid.uuid4().hex
        resource_tracker.ensure_running()  # Of this process: it must not have the environment of the child.
        main = nullcontext() if self._parcel.needs_main else main_hidden()
        with _as_environment({**self._environment, MARK: self._mark}), signals_held_back(), main:
            process.start()
        self._process, self._ready, self._refused = process, False, None
        theirs.close()  # Or its death could not be seen.

    def _next_news(self) -> News | Outcome | None:
        """What the child says, or None after a moment; an outcome of our own when it is dead or too slow."""
        assert self._process is not None
        # Before the pipe is looked at: a child that keeps on reporting has no more time than another.
        if self._is_late():
            return self._out_of_time()
        self._ask_to_save()
        try:
            if not self._channel.poll(_POLL):
                # Of a dead child, what it started may live on and keep the pipe open.
                return None if self._process.is_alive() else self._post_mortem()
            news = child.decode_news(self._channel.recv_bytes())
        except (EOFError, OSError):
            return self._post_mortem()
        if isinstance(news, Ready):
            if news.traceback:
                self._refused = news
                error = news.refusal or "the evaluation process has failed"
                return dataclasses.replace(self._post_mortem(), error=error, traceback=news.traceback)
            self._ready, self._may_save, self._began = True, news.may_save, time.monotonic()
            self._opened = Opened(notes=news.notes, settings=news.settings)
            Path(self._output).unlink(missing_ok=True)  # From now on it prints into the folders of individuals.
        return news

    def _ask_to_save(self) -> None:
        assert self._process is not None
        now = time.monotonic()
        if now > self._must_have_saved:
            self._kill()
        elif now >= self._ask_again:
            # A signal that arrives just before a system call does not break it off: the next one does.
            self._process.terminate()
            self._ask_again = now + _REPEAT

    def _is_late(self) -> bool:
        limit = self._time_limit
        return self._ready and limit is not None and time.monotonic() - self._began >= limit

    def _out_of_time(self) -> Outcome:
        self._kill()
        error = f"TimeLimit: it took longer than the time limit of {self._time_limit:g} s"
        return Outcome(status="failed", seconds=time.monotonic() - self._began, error=error)

    def _post_mortem(self) -> Outcome:
        assert self._process is not None
        self._process.join(_GRACE)  # It may be on its way out, and its status says why.
        self._kill()
        seconds = time.monotonic() - self._began
        if self._interrupted:
            return Outcome(status="interrupted", seconds=seconds)
        return Outcome(
            status="failed",
            seconds=seconds,
            error=_cause_of_death(self._process.exitcode),
            traceback=self._last_words(),
        )

    def _last_words(self) -> str:
        log = child.log_name(self._place[0])
        file = Path(self._task.output) / log if self._task and self._ready else Path(self._output)
        try:
            return file.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:]
        except OSError:
            return ""

    def _kill(self) -> None:
        """Kill the child and all that it started, daemons too, and wait for it; its group may not exist yet."""
        if self._process is None or self._process.pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        end_marked(self._mark)


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
        return f"ProcessDied: the evaluation process was killed by {name}{hint}"
    return f"ProcessDied: the evaluation process exited with status {code}"


@contextmanager
def _as_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Let a process that is started inside have these environment variables."""
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
