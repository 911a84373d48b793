"""Evaluation in this process: no overhead, and no protection either."""

from __future__ import annotations

import functools
import inspect
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evo.engine.transport import Serial
from evo.evaluation.team import Opened, Report, Team
from evo.objective.objective import Infeasible, Interrupted, Trial, check_loss, optional_method, prepare
from evo.population.events import Identity, Status, json_scalars, json_text
from evo.population.outcome import Outcome
from evo.space.values import Params, fresh
from evo.storage.retry import why_not_writable

SESSION = "EVO_SESSION"
"""Environment variable of evaluations: names the session, the same on all ranks."""
GPU_MEMORY = "EVO_GPU_MEMORY"
"""Another: the share of its GPU's memory that each may use."""
COLLECTIVE_TIMEOUT = "EVO_COLLECTIVE_TIMEOUT"
"""Another: the seconds that a rank of a worker waits for the others inside a training."""
TRUST = "EVO_TRUST"
"""Another: "1" when checkpoints of other users are loaded as what they are."""
_COPIED_TRACEBACK = "Original Traceback (most recent call last):"


class RunningTrial:
    """What the objective gets of the evaluation that it is in; see `evo.objective.objective.Trial`.

    Args:
        individual: Rank and generation of birth.
        seed: For its training.
        folder: Its own folder, made when it is asked for.
        threads: CPU threads that it may use.
        report: Where intermediate losses go.
        rank: Place among the ranks that evaluate it together.
        size: How many these are.
        communicator: Answers with a communicator of these.
        checkpoint_interval: Seconds after which a long evaluation should save its state again.
        attempt: Counts the individuals that these ranks have evaluated together in this session.
        is_interrupted: Whether it should save its state and end, as far as this process knows.
        agree: What of that counts for all ranks that evaluate it together.
        results: Folder for what a test finds beside its metrics; None: nothing is wanted.
    """

    def __init__(
        self,
        individual: Identity,
        seed: int,
        folder: Path,
        threads: int,
        report: Report,
        *,
        rank: int = 0,
        size: int = 1,
        communicator: Callable[[], Any] | None = None,
        checkpoint_interval: float = math.inf,
        attempt: int = 0,
        is_interrupted: Callable[[], bool] = lambda: False,
        agree: Callable[[bool], bool] = bool,
        results: Path | None = None,
    ) -> None:
        self.individual = individual
        self.seed = seed
        self.threads = threads
        self.rank = rank
        self.size = size
        self.checkpoint_interval = checkpoint_interval
        self.attempt = attempt
        self.session = os.environ.get(SESSION, "")
        self.gpu_memory = float(os.environ.get(GPU_MEMORY, 1.0))
        self.collective_timeout = float(os.environ.get(COLLECTIVE_TIMEOUT, 600.0))
        self.trust = os.environ.get(TRUST) == "1"
        self.results = results
        self._communicator = communicator
        self._is_interrupted = is_interrupted
        self._agree = agree
        self._was_told = False
        self.metrics: dict[str, Any] = {}
        self.times: dict[str, float] = {}
        self._folder = folder
        self.found: Mapping[str, int] | None = _times_of_change(folder)
        self._report = report
        self._should_stop = False

    @property
    def folder(self) -> Path:
        """The individual's own folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @property
    def communicator(self) -> Any:
        """An mpi4py communicator of the ranks that evaluate this individual.

        Raises:
            RuntimeError: The objective runs in a child process, which has no MPI.
        """
        if self._communicator is None:
            raise RuntimeError("a child process has no MPI communicator: use trial.rank and trial.size, or run inline")
        return self._communicator()

    @property
    def interrupted(self) -> bool:
        """Whether the evaluation should save its state in its folder now and raise `evo.Interrupted`."""
        self._was_told = self._agree(self._is_interrupted())
        return self._was_told

    @property
    def was_interrupted(self) -> bool:
        """Whether it was told to end, or would be now."""
        return self._was_told or self._is_interrupted()

    @property
    def should_stop(self) -> bool:
        """Whether the evaluation should end early, with the loss so far."""
        return self._should_stop

    def why_not_writable(self, error: BaseException) -> str:
        """Whether the evaluation may have failed only because its folder cannot be written: then why not."""
        return json_text(why_not_writable(self._folder, error))

    def report(self, step: int, loss: float) -> None:
        """Report an intermediate loss; one that is not finite is passed over."""
        if math.isfinite(loss):
            self._should_stop = self._report(int(step), float(loss)) or self._should_stop


def _times_of_change(folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    with suppress(OSError), os.scandir(folder) as entries:  # The folder need not exist.
        for entry in entries:
            found[entry.name] = entry.stat(follow_symlinks=False).st_mtime_ns
    return found


def evaluate(run: Callable[[Params, Trial], Any], params: Params, trial: RunningTrial) -> Outcome:
    """Run an objective; whatever goes wrong in it is a failed outcome, unless it could not write its files.

    Args:
        run: What `evo.objective.objective.prepare` returned.
        params: What it gets; a copy, so that it may change them.
        trial: What it gets as well.
    """
    began = time.perf_counter()
    metrics: dict[str, Any] = {}

    def end(status: Status, **known: Any) -> Outcome:
        return Outcome(status=status, seconds=time.perf_counter() - began, times=_finite_times(trial), **known)

    try:
        loss = check_loss(run(fresh(params), trial))
        metrics = json_scalars(trial.metrics)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if reason := _why_infeasible(error):
            with suppress(Exception):
                metrics = json_scalars(trial.metrics)
            return end("infeasible", metrics=metrics, error=reason)
        # With an evaluation its own processes may be told to end, which it then takes for their failure.
        if trial.was_interrupted:
            return end("interrupted")
        with suppress(Exception):  # They may be what went wrong.
            metrics = json_scalars(trial.metrics)
        unwritable = trial.why_not_writable(error)
        return end(
            "interrupted" if unwritable else "failed",
            metrics=metrics,
            error=f"{unwritable} ({one_line(error)})" if unwritable else one_line(error),
            traceback=json_text(traceback.format_exc()),
        )
    return end("pruned" if trial.should_stop else "completed", loss=loss, metrics=metrics)


def _why_infeasible(error: BaseException | None) -> str:
    """Why the objective has refused the point, in one line; empty when it has not, but failed."""
    while error is not None and not isinstance(error, Infeasible):
        error = error.__cause__  # A library may have put it into an exception of its own.
    if error is None:
        return ""
    reason = one_line(error).partition(": ")[2].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
    return reason or "no reason was given"


def _finite_times(trial: RunningTrial) -> dict[str, float]:
    times: dict[str, float] = {}
    with suppress(Exception):  # They may be anything that an objective has put there, and are no reason to fail.
        for name, seconds in json_scalars(trial.times).items():
            times[name] = round(float(seconds), 6)
    return times


def one_line(error: BaseException) -> str:
    """An exception as one line, also one that cannot say what it is."""
    text = str(traceback.TracebackException.from_exception(error))
    where, copied, original = text.partition(_COPIED_TRACEBACK)
    if copied:  # By torch, from a process that loads data; the message of the original error is below its last frame.
        lines = original.strip().splitlines()
        last_frame = max((place for place, line in enumerate(lines[:-1]) if line.startswith("  ")), default=-1)
        message = " ".join(lines[last_frame + 1 :]).removeprefix(f"{type(error).__name__}: ")
        text = f"{message} ({where.strip().removesuffix('.')})"
    text = json_text(" ".join(text.split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class InlineEvaluator:
    """Evaluates in this process; see `evo.engine.loop.Evaluator`.

    Args:
        objective: See `evo.objective.objective.prepare`.
        folder: The folder of an individual.
        environment: Variables to set from `open` to `close`.
        threads: CPU threads that a training may use.
        team: The ranks that evaluate together with this one; None: it is alone.
        is_interrupted: Whether an evaluation should save its state and end.
    """

    def __init__(
        self,
        objective: Callable[..., Any],
        folder: Callable[[Identity], Path],
        environment: Mapping[str, str],
        threads: int = 1,
        team: Team | None = None,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_interrupted = is_interrupted
        # Whether the objective runs just now, and nothing of ours that must not be torn.
        self._may_give_up = False
        self._team = team or Team(Serial(), 1)
        self._team.lends = True
        self._objective = objective
        self._run = prepare(objective)
        self._folder = folder
        self._environment = environment
        self._before: dict[str, str | None] = {}
        self._threads = threads
        self._outcome: Outcome | None = None
        self._attempts = 0

    def open(self, names: Sequence[str], examples: Sequence[Params] = ()) -> Opened:
        """Check that the objective takes the parameters of these names.

        Args:
            names: The parameters that it must take.
            examples: Points that show them, see `evo.space.examples`.

        Returns:
            What the objective remarks; what it depends on can be seen without this.

        Raises:
            ValueError: It does not.
        """
        self._before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)
        return Opened(notes=check_objective(self._objective, names, examples))

    def start(self, identity: Identity, params: Params, seed: int, report: Report) -> None:
        """Evaluate, to the end."""

        def report_whole(step: int, loss: float) -> bool:
            self._may_give_up = False
            try:
                return report(step, loss)
            finally:
                self._may_give_up = True

        self._attempts += 1
        self._outcome = evaluate(self._run_whole, params, self._trial(identity, seed, report_whole))

    def poll(self) -> Outcome | None:
        """The outcome."""
        return self._outcome

    def interrupt(self, failed: bool = False) -> None:
        """Too late: it has already ended."""

    def hurry(self) -> None:
        """Give up the evaluation in flight, by an exception in it."""
        if self._may_give_up:
            raise Interrupted

    def test(self, identity: Identity, params: Params, seed: int) -> dict[str, Any]:
        """Metrics of an evaluated individual on held-out data; empty when the objective has no test.

        Raises:
            RuntimeError: The test failed.
        """
        return run_test(self._objective, params, self._trial(identity, seed, lambda step, loss: False, alone=True))

    def _trial(self, identity: Identity, seed: int, report: Report, alone: bool = False) -> RunningTrial:
        team = Team(Serial(), 1) if alone else self._team
        return RunningTrial(
            identity,
            seed,
            self._folder(identity),
            self._threads,
            report,
            rank=team.place,
            size=team.size,
            communicator=team.lend,
            attempt=self._attempts,
            is_interrupted=self._is_interrupted,
            agree=functools.partial(team.agree, self._attempts),
        )

    def _run_whole(self, params: Params, trial: Trial) -> Any:
        self._may_give_up = True
        try:
            return self._run(params, trial)
        finally:
            self._may_give_up = False

    def close(self) -> None:
        """Put back the environment variables."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()


def check_objective(objective: Callable[..., Any], names: Sequence[str], examples: Sequence[Params]) -> list[str]:
    """Let an objective that has a `check(names)`, or `check(names, examples)`, see what it is to be called with.

    Args:
        objective: The objective.
        names: Of all parameters.
        examples: Points that together show every choice.

    Returns:
        What it remarks.

    Raises:
        ValueError: It does not take them.
    """
    check = optional_method(objective, "check")
    if check is None:
        return []
    wants_examples = "examples" in inspect.signature(check).parameters
    remarks = check(list(names), list(examples)) if wants_examples else check(list(names))
    return [str(remark) for remark in remarks] if isinstance(remarks, list) else []


def run_test(objective: Callable[..., Any], params: Params, trial: RunningTrial) -> dict[str, Any]:
    """Call an objective's test, if it has one.

    Raises:
        RuntimeError: It failed.
    """
    test = optional_method(objective, "test")
    if test is None:
        return {}
    try:
        return json_scalars(test(fresh(params), trial))
    except (Exception, SystemExit) as error:
        raise RuntimeError(one_line(error)) from error
