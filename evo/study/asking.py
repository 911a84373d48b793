"""Ask and tell: a search whose individuals a loop of the user's own evaluates."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, final, get_args

from evo.algorithms.bred import Breeding
from evo.errors import CutOff, Shared, UserError
from evo.objective.losses import reported_losses
from evo.population.assignment import Assignment, Further
from evo.population.identity import Identity, individual_name
from evo.report.records import Evaluation, Findings
from evo.report.results import Result, interrupted_by
from evo.space.values import fresh
from evo.study.config import Config
from evo.study.stepping import SteppedStudy
from evo.study.told import Asked, Told, TrialInFlight, outcome_told, settings_without_evaluation

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from evo.study.settings import Settings


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
        self._trials: dict[Identity, TrialInFlight] = {}
        self._told: dict[Identity, str] = {}
        read = functools.partial(settings_without_evaluation, config, limits, settings)
        self._search = SteppedStudy(read, propagator, comm)

    def ask(self) -> Asked | None:
        """The next individual to evaluate.

        Returns:
            The individual. None when the search is over, which waits for the other ranks, or when nothing more may
            start before individuals that are in flight here have been told.

        Raises:
            UserError: The study is closed; or what you have written yourself, a propagator for example, fails.
        """
        with self._search.busy():
            self._check_open()
            self._search.turns.wants, self._search.turns.is_full = True, False
            while self._search.advance():
                if (assignment := self._search.turns.take()) is not None:
                    asked = self._asked(assignment)
                    self._trials[asked.identity] = TrialInFlight(asked)
                    return asked
                if self._search.turns.is_full:
                    break
            self._search.turns.wants = False
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
            loss: Its loss, a finite number, or an array or tensor of one. With `objectives` their values, by name or in
                order; those in `metrics` may be left out. Anything else is a failed individual.
            status: What became of it, where that is not "completed": "pruned" (the default after `report` has said so),
                "failed", "infeasible" (a point that you refuse; it counts as no failure), or "interrupted" (it is
                evaluated again).
            error: The reason, an exception or a text, of a failed or infeasible one.
            metrics: What is recorded beside the loss: JSON scalars.

        Returns:
            The status that is recorded.

        Raises:
            UserError: The individual is not in flight here, or it is not said, or said twice, what became of it.
        """
        with self._search.busy():
            identity, trial = self._in_flight(individual)
            are_in_metrics = bool(self._search.turns.objectives.modes and metrics)
            if loss is None and status is None and not error and not are_in_metrics:
                raise UserError(
                    f"individual {individual_name(identity)} is told without a loss: give one, a status, or the error"
                )
            if loss is not None and error and status in (None, "completed", "pruned"):
                raise UserError(f"individual {individual_name(identity)} is told with a loss and an error: give one")
            if status is not None and status not in get_args(Told):
                raise UserError(f"status is {status!r}: it must be one of {', '.join(get_args(Told))}")
            outcome = outcome_told(trial, loss, status, error, metrics or {}, self._search.turns.objectives)
            del self._trials[identity]
            self._told[identity] = outcome.status
            self._search.turns.end(identity, outcome)
            while identity in self._search.turns.in_flight and self._search.advance():
                pass
            return outcome.status

    def report(self, individual: Asked | Identity, loss: Any, step: int | None = None) -> bool:
        """Report an intermediate loss; one that is not finite is ignored.

        Args:
            individual: An individual in flight.
            loss: The loss so far. With `objectives` the values by name or in their order; the first counts.
            step: The training step, a whole number from 0. None means the one after the last.

        Returns:
            Whether its evaluation should end now, because it is not worth going on: tell its best loss.

        Raises:
            UserError: The individual is not in flight here, or the step is no whole number.
            TypeError: The loss is no number.
        """
        with self._search.busy():
            identity, trial = self._in_flight(individual)
            number = trial.steps.take(loss, step=step)
            found = reported_losses(loss, self._search.turns.objectives, {"seconds": trial.seconds})
            if math.isfinite(found.loss):
                further = Further(losses=found.losses, violation=found.violation)
                trial.stops = self._search.turns.report(identity)(number, found.loss, further) or trial.stops
            return trial.stops

    def poll(self) -> None:
        """Take what other ranks have found into account, in a long evaluation for example; `ask` does so anyway."""
        with self._search.busy():
            if not self._search.is_closed:
                self._search.advance()

    @property
    def should_stop(self) -> bool:
        """Whether evaluations should end early: after a signal, at the deadline, or once the target is reached."""
        with self._search.busy():
            return self._search.result is not None or self._search.is_closed or self._search.turns.why_now() is not None

    @property
    def best(self) -> Evaluation | None:
        """The completed individual with the lowest loss, of all ranks; None if there is none. It reads all events.

        With several objectives it is the one with the lowest first loss; see `front`.
        """
        with self._search.busy():
            return self._findings().best

    @property
    def front(self) -> list[Evaluation]:
        """The completed individuals, of all ranks, that no other one dominates; with one loss the best one alone.

        Those that violate a bound are not among them, unless all do: then it is the one that does so least.
        It reads all events.
        """
        with self._search.busy():
            return self._findings().front

    def _findings(self) -> Findings:
        if self._search.result is not None:
            return self._search.result.findings
        self._search.turns.why_now()  # This takes into account what has arrived.
        findings = self._search.ending.findings
        findings.forget()
        return findings

    @property
    def result(self) -> Result | None:
        """All that was found, as `evo.minimize` returns it; None before the search is over, see `close`."""
        return self._search.result

    @property
    def stop_reason(self) -> str:
        """Why the search has ended; empty before that."""
        return self._search.result.stop_reason if self._search.result else ""

    def close(self) -> None:
        """End this session, and wait for the loops of the other ranks. A second call changes nothing.

        Individuals in flight stay so for the next session of the same run directory.
        """
        self._search.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, Shared | CutOff):
            self._search.give_up(error)
        self.close()
        if isinstance(error, KeyboardInterrupt):
            error.result = self._search.result  # type: ignore[attr-defined]
        elif error is None and self._search.result is not None and self._search.result.by_keyboard:
            raise interrupted_by("Ctrl-C has stopped the study", self._search.result)

    def _asked(self, assignment: Assignment) -> Asked:
        return Asked(
            identity=assignment.individual,
            params=fresh(assignment.params),
            seed=assignment.seed,
            attempt=assignment.attempt,
            parents=assignment.parents,
            folder=self._search.ending.directory.folder(assignment.individual),
        )

    def _in_flight(self, individual: Asked | Identity) -> tuple[Identity, TrialInFlight]:
        self._check_open()
        identity = individual.identity if isinstance(individual, Asked) else individual
        is_identity = isinstance(identity, tuple) and len(identity) == 2
        trial = self._trials.get(identity) if is_identity else None
        if trial is not None and (individual == identity or trial.asked.is_same(individual)):
            return identity, trial
        name = individual_name(identity) if is_identity else repr(individual)
        if is_identity and identity in self._told:
            raise UserError(f"individual {name} was told before, as {self._told[identity]}: tell each one once")
        raise UserError(
            f"individual {name} is not in flight here: tell and report what ask() of this study has returned, on the "
            "rank that has asked"
        )

    def _check_open(self) -> None:
        if self._search.is_closed:
            raise UserError("the study is closed: ask and tell inside of its with statement, before close()")
