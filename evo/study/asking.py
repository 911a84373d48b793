"""Ask and tell: a search whose individuals a loop of the user's own evaluates."""

from __future__ import annotations

import atexit
import threading
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, final, get_args

from evo.algorithms.bred import Breeding
from evo.engine.asking import CallerTurns
from evo.engine.transport import Serial, together
from evo.errors import CutOff, Shared, SharedError, UserError
from evo.frames import one_line
from evo.objective.objective import ReportedSteps, check_loss, reported_loss
from evo.population.assignment import Assignment
from evo.population.events import Identity, individual_name, json_scalars, json_text
from evo.population.outcome import Outcome
from evo.report.records import Evaluation
from evo.report.results import Result, interrupted_by
from evo.runtime.mpi import connect, end_all
from evo.runtime.signals import StopSignals
from evo.space.values import Params, fresh
from evo.study.conclusion import StudyEnding
from evo.study.config import Config
from evo.study.job import Job
from evo.study.joining import check_threads, is_on_any_rank, leaving_nobody_waiting, no_silent_exit, say_all_ready
from evo.study.settings import make_config, note_on
from evo.study.wiring import study_steps

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from evo.study.settings import Settings

Told = Literal["completed", "pruned", "infeasible", "failed", "interrupted"]
_CLOSED = "the loop of the caller has ended"
# What says how evo evaluates, and the only value that it may have here.
_ALONE = {"ranks_per_worker": 1, "time_limit": None, "evaluate": ("auto", "inline")}


def evaluated_by_the_caller(params: Params) -> float:
    """The objective of a study whose losses are told: nothing calls it."""
    raise NotImplementedError("the losses of this study are told by a loop of the user's own")


@final
@dataclass(frozen=True, kw_only=True)
class Asked:
    """An individual that the caller is to evaluate.

    Args:
        identity: The worker and the generation of its birth, for life.
        params: Its parameters, a copy that may be changed.
        seed: The seed of its training, the same whenever it is evaluated.
        attempt: How many evaluations this process has begun in this session, this one included.
        parents: The individuals that it was bred from.
        folder: A folder for its files, which stays if the study has a `run_dir`; the caller makes it.
    """

    identity: Identity
    params: Params
    seed: int
    attempt: int
    parents: tuple[Identity, ...]
    folder: Path

    @property
    def name(self) -> str:
        """Its name in journals and reports, such as "3-12"."""
        return individual_name(self.identity)


@dataclass
class _Trial:
    """What this process knows of an individual in flight."""

    began: float
    steps: ReportedSteps
    stops: bool = False


@final
class Study:
    """A search for people with loops of their own: ask for individuals, evaluate them as you like, tell the losses.

    It has the same algorithms, budget, journal and resume as `evo.minimize`. Under mpirun or srun each rank runs its
    own loop; messages are exchanged in the calls of this class. Several individuals may be in flight: ask several times
    before you tell. All ranks must make the study and close it: use it in a `with` statement.

    After the first Ctrl-C, or another signal that asks to stop, `ask` returns None and `should_stop` is true; a second
    Ctrl-C raises KeyboardInterrupt in your loop. What is in flight when the study is closed, or was when the process
    ended, is evaluated first by the next session of the same `run_dir`.

    Args:
        limits: What is searched, see `evo.space.limits`, or a YAML file with it. None means that of the `config`.
        config: The settings, which keywords override. None means the defaults, but quiet.
        propagator: A propagator or an algorithm, or its description. None means that of the `config`.
        comm: An mpi4py communicator, exactly whose ranks search. None means all ranks that there are.
        settings: The fields of `Config`, as for `evo.minimize`; without those that say how evo evaluates.

    Raises:
        UserError: A setting or limit is wrong, on all ranks.

    Example:
        >>> with Study({"x": (-5.0, 5.0)}, evaluations=30, seed=1) as study:
        ...     while (individual := study.ask()) is not None:
        ...         status = study.tell(individual, (individual.params["x"] - 1) ** 2)
        >>> study.result.best.loss < 1
        True
    """

    __module__ = "evo"  # Where users find it.

    def __init__(
        self,
        limits: Any = None,
        *,
        config: Config | None = None,
        propagator: Breeding | str | Mapping[str, Any] | None = None,
        comm: Any = None,
        **settings: Unpack[Settings],
    ) -> None:
        from evo.evaluation.child import refuse_in_child

        refuse_in_child("Study")
        self._turns = CallerTurns()
        self._trials: dict[Identity, _Trial] = {}
        self._told: dict[Identity, str] = {}
        self._lock = threading.RLock()  # A caller may tell from several threads.
        self._result: Result | None = None
        self._is_closed = self._is_inside = False
        self._steps: Generator[None, None, Result] | None = None
        self._signals = StopSignals()
        self._signals.__enter__()
        try:
            self._transport = connect(comm, is_given_up=lambda: self._signals.by_keyboard) or Serial()
            with leaving_nobody_waiting(self._transport), no_silent_exit():
                self._begin(lambda: _read(config, limits, settings), propagator)
        except BaseException:
            self._release()
            raise
        atexit.register(self.close)  # Other ranks would wait for one that ends without it.

    def _begin(self, read: Callable[[], Config], propagator: Any) -> None:
        transport = self._transport
        try:
            check_threads(transport)
            say_all_ready(transport)
            asked = together(transport, read)
            note = note_on(asked, propagator)
            if transport.rank == 0 and note:
                warnings.warn(note, stacklevel=4)
            job = Job(config=asked, objective=evaluated_by_the_caller, propagator=propagator, turn=self._turns)
            self._steps = study_steps(job, transport, self._signals)
            self._advance()
        except SharedError:
            transport.close()  # All ranks raise this together, and may catch it and go on.
            raise
        self._signals.listen_to_hurry(self._hurry)

    def ask(self) -> Asked | None:
        """The next individual to evaluate.

        Returns:
            The individual. None when the search is over, which waits for the other ranks, or when nothing more may
            start before individuals that are in flight here have been told.

        Raises:
            UserError: The study is closed; or what you have written yourself, a propagator for example, fails.
        """
        with self._busy():
            self._check_open()
            self._turns.wants, self._turns.is_full = True, False
            while self._advance():
                if (assignment := self._turns.take()) is not None:
                    self._trials[assignment.individual] = _Trial(time.perf_counter(), ReportedSteps())
                    return self._asked(assignment)
                if self._turns.is_full:
                    break
            self._turns.wants = False
            return None

    def tell(
        self,
        individual: Asked | Identity,
        loss: Any = None,
        *,
        status: Told | None = None,
        error: BaseException | str = "",
        metrics: Mapping[str, Any] | None = None,
    ) -> str:
        """Tell how the evaluation of an individual ended.

        Args:
            individual: The individual that `ask` returned, or its identity.
            loss: Its loss, one finite number, or an array or tensor of one. Anything else is a failed individual.
            status: What became of it, where that is not "completed": "pruned" (the default after `report` has said so),
                "failed", "infeasible" (a point that you refuse; it counts as no failure), or "interrupted" (it is
                evaluated again).
            error: The reason, an exception or a text, of a failed or infeasible one.
            metrics: What is recorded beside the loss: JSON scalars.

        Returns:
            The status that is recorded.

        Raises:
            UserError: The individual is not in flight here, or it is not said what became of it.
        """
        with self._busy():
            identity, trial = self._in_flight(individual)
            if loss is None and status is None and not error:
                raise UserError(
                    f"individual {individual_name(identity)} is told without a loss: give one, or a status such as "
                    "'failed', or the error"
                )
            if status is not None and status not in get_args(Told):
                raise UserError(f"status is {status!r}: it must be one of {', '.join(get_args(Told))}")
            outcome = _outcome(trial, loss, status, error, metrics or {})
            del self._trials[identity]
            self._told[identity] = outcome.status
            self._turns.end(identity, outcome)
            while identity in self._turns.in_flight and self._advance():
                pass
            return outcome.status

    def report(self, individual: Asked | Identity, loss: Any, step: int | None = None) -> bool:
        """Report an intermediate loss; one that is not finite is ignored.

        Args:
            individual: An individual in flight.
            loss: The loss so far.
            step: The training step, a whole number from 0. None means the one after the last.

        Returns:
            Whether its evaluation should end now, because it is not worth going on: tell its best loss.

        Raises:
            UserError: The individual is not in flight here, or the step is no whole number.
            TypeError: The loss is no number.
        """
        with self._busy():
            identity, trial = self._in_flight(individual)
            number, value = trial.steps.take(loss, step=step), reported_loss(loss)
            if abs(value) < float("inf"):
                trial.stops = self._turns.report(identity)(number, value) or trial.stops
            return trial.stops

    def poll(self) -> None:
        """Take what other ranks have found into account, in a long evaluation for example; `ask` does so anyway."""
        with self._busy():
            if not self._is_closed:
                self._advance()

    @property
    def should_stop(self) -> bool:
        """Whether evaluations should end early: after a signal, at the deadline, or once the target is reached."""
        with self._busy():
            return self._result is not None or self._is_closed or self._turns.why_now() is not None

    @property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss, of all ranks; None if there is none. It reads all events."""
        with self._busy():
            if self._result is not None:
                return self._result.best
            self._turns.why_now()  # This takes into account what has arrived.
            findings = self._ending.findings
            findings.forget()
            return findings.best

    @property
    def result(self) -> Result | None:
        """All that was found, as `evo.minimize` returns it; None before the search is over, see `close`."""
        return self._result

    @property
    def stop_reason(self) -> str:
        """Why the search has ended; empty before that."""
        return self._result.stop_reason if self._result else ""

    def close(self) -> None:
        """End this session, and wait for the loops of the other ranks. A second call changes nothing.

        Individuals in flight stay so for the next session of the same run directory.
        """
        with self._busy():
            if self._is_closed:
                return
            self._is_closed = True
            try:
                with leaving_nobody_waiting(self._transport):
                    if self._result is None:
                        self._turns.leave(_CLOSED)
                    while self._advance():
                        pass
                    assert self._result is not None
                    by_keyboard = self._result.by_keyboard or is_on_any_rank(self._transport, self._signals.by_keyboard)
                    self._result = replace(self._result, by_keyboard=by_keyboard)
                    self._transport.close()
            finally:
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, Shared | CutOff):
            self._give_up(error)
        self.close()
        if isinstance(error, KeyboardInterrupt):
            error.result = self._result  # type: ignore[attr-defined]
        elif error is None and self._result is not None and self._result.by_keyboard:
            raise interrupted_by("Ctrl-C has stopped the study", self._result)

    def _give_up(self, error: Exception) -> None:
        """After an error in the loop of one of several ranks, end all of them: the others would wait for this one."""
        with self._busy():
            if self._result is None and not self._is_closed and self._transport.size > 1:
                self._turns.leave(_CLOSED)
                self._advance()  # What is in flight is recorded as interrupted.
                end_all(error)

    def _advance(self) -> bool:
        """Let the search take its next step; returns whether it goes on."""
        if self._result is not None or self._steps is None:
            return False
        with leaving_nobody_waiting(self._transport), no_silent_exit():
            try:
                next(self._steps)
            except StopIteration as end:
                self._result = end.value
        return self._result is None

    def _asked(self, assignment: Assignment) -> Asked:
        return Asked(
            identity=assignment.individual,
            params=fresh(assignment.params),
            seed=assignment.seed,
            attempt=assignment.attempt,
            parents=assignment.parents,
            folder=self._ending.directory.folder(assignment.individual),
        )

    @property
    def _ending(self) -> StudyEnding:
        ending = self._turns.effects.ending
        assert isinstance(ending, StudyEnding)
        return ending

    def _in_flight(self, individual: Asked | Identity) -> tuple[Identity, _Trial]:
        self._check_open()
        identity = individual.identity if isinstance(individual, Asked) else individual
        try:
            trial = self._trials.get(identity)
        except TypeError:
            trial = None
        if trial is not None:
            return identity, trial
        is_identity = isinstance(identity, tuple) and len(identity) == 2
        name = individual_name(identity) if is_identity else repr(individual)
        if is_identity and identity in self._told:
            raise UserError(f"individual {name} was told before, as {self._told[identity]}: tell each one once")
        raise UserError(
            f"individual {name} is not in flight here: tell and report what ask() of this study has returned, on the "
            "rank that has asked"
        )

    def _check_open(self) -> None:
        if self._is_closed:
            raise UserError("the study is closed: ask and tell inside of its with statement, before close()")

    def _busy(self) -> _Busy:
        return _Busy(self)

    def _hurry(self) -> None:
        if not self._is_inside:  # Journals are not to be left half written, and a search that stops ends soon.
            raise KeyboardInterrupt

    def _release(self) -> None:
        atexit.unregister(self.close)
        if self._steps is not None:
            self._steps.close()
        self._signals.__exit__()


@final
class _Busy:
    """Keeps other threads out, and Ctrl-C from breaking off what is inside."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __enter__(self) -> None:
        self._study._lock.acquire()
        self._before, self._study._is_inside = self._study._is_inside, True

    def __exit__(self, *error: object) -> None:
        self._study._is_inside = self._before
        self._study._lock.release()


def _read(config: Config | None, limits: Any, settings: Mapping[str, Any]) -> Config:
    """The settings, without those that say how evo evaluates."""
    made = make_config(config, limits, settings)
    for name, usual in _ALONE.items():
        value = getattr(made, name)
        if value != usual and not (isinstance(usual, tuple) and value in usual):
            raise UserError(f"{name} is {value!r}, which says how evo evaluates: leave it out, since your loop does")
    return made


def _outcome(
    trial: _Trial, loss: Any, status: Told | None, error: BaseException | str, metrics: Mapping[str, Any]
) -> Outcome:
    """How an evaluation ended, by what the caller tells; what cannot be recorded makes it a failed one."""
    seconds = time.perf_counter() - trial.began
    reason = one_line(error) if isinstance(error, BaseException) else json_text(str(error))
    became = status or ("failed" if reason else "pruned" if trial.stops else "completed")
    try:
        recorded = json_scalars(metrics)
        value = check_loss(loss) if became in ("completed", "pruned") else None
    except Exception as wrong:
        return Outcome(status="failed", seconds=seconds, error=one_line(wrong))
    if became == "interrupted":
        return Outcome(status="interrupted", seconds=seconds)  # With a reason, it would stop the worker.
    if became in ("failed", "infeasible") and not reason:
        reason = "no reason was given"
    return Outcome(status=became, loss=value, seconds=seconds, metrics=recorded, error=reason)
