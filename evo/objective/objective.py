"""The objective: what is minimised, and what counts as its loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

from evo.errors import UserError
from evo.objective.losses import yielded
from evo.objective.references import Named
from evo.population.identity import Identity
from evo.population.objectives import Objectives
from evo.space.values import Params


class Interrupted(BaseException):
    """Raised by an objective that has saved its state because `trial.interrupted` was set; evaluated again later."""


class Infeasible(Exception):
    """Raised by an objective that refuses a point: it is recorded, tried no more, and not bred from, but no failure.

    Args:
        reason: The reason in a few words, which is recorded with the individual.

    Example:
        >>> def loss(params):
        ...     if params["width"] * params["depth"] > 4096:
        ...         raise Infeasible("too many weights")
        ...     return params["width"] / params["depth"]
    """

    def __init__(self, reason: object = "") -> None:
        super().__init__(reason)


class Trial(Protocol):
    """What an objective with a second parameter gets: where it is, and how to report.

    Args:
        individual: The rank and the generation of its birth.
        seed: The seed of its training, the same whenever this individual is evaluated.
        threads: CPU threads that it may use.
        metrics: What is put here is recorded beside the loss: JSON scalars.
        times: What is put here is recorded and summed up over the study: seconds by what they were spent on.
        rank: The place of this process among those that evaluate the individual together, from 0.
        size: The number of these processes, see the setting ranks_per_worker. The loss of the first one counts.
        checkpoint_interval: Seconds after which a long evaluation should save its state in its folder again.
        session: The name of this session of the study, the same in all of its processes, and no other session's.
        attempt: How many evaluations these processes have begun together in this session, this one included.
        gpu_memory: The share of its GPU's memory that it may use, above 0, at most 1.
        found: What the folder held when this attempt began: names and times of change in ns. None means not known.
        collective_timeout: Seconds that it may wait inside a training for the other ranks of its worker.
        results: The folder in which a test after the search saves what it finds beside its metrics. None means that
            nothing is wanted.
        trust: Whether checkpoints in its folder may be loaded with any code in them, even if they are another user's.
        begin: The step from which it goes on; 0 unless it has a donor.
        until: The number of complete steps after which this part of the training ends, and leaves its state in its
            folder as last.ckpt, a file or a directory. None means a whole training, of which no state is needed.
        inherit: A folder with the last.ckpt of its donor; None where the training begins. What an interrupted attempt
            has left in the own folder is later than that.
        weights: The file of weights from which all trainings of the study begin that do not go on from a donor, see
            the setting start_from; None where each begins with its own.
        objectives: What is minimised or maximised, and the bounds of metrics, as the settings say.
    """

    individual: Identity
    seed: int
    threads: int
    metrics: dict[str, Any]
    times: dict[str, float]
    rank: int
    size: int
    checkpoint_interval: float
    session: str
    attempt: int
    gpu_memory: float
    found: Mapping[str, int] | None
    collective_timeout: float
    results: Path | None
    trust: bool
    begin: int
    until: int | None
    inherit: Path | None
    weights: Path | None
    objectives: Objectives

    @property
    def interrupted(self) -> bool:
        """Whether the evaluation should save its state in its folder now and raise `Interrupted`.

        Several ranks that evaluate it inline all get the first one's answer, so all of them must ask equally often.
        """

    @property
    def communicator(self) -> Any:
        """An mpi4py communicator of these ranks; only where the objective runs inline."""

    @property
    def parents(self) -> Mapping[Identity, Path]:
        """The individuals that it was bred from, each with its folder, from which its training may inherit.

        A folder need not exist, and holds weights only while its individual is among the best.
        """

    @property
    def folder(self) -> Path:
        """The individual's own folder, for logs and checkpoints."""

    @property
    def should_stop(self) -> bool:
        """Whether the evaluation should end early, with the loss so far."""

    def note_state(self, step: int, *, is_over: bool = False) -> None:
        """Say after how many steps last.ckpt was saved, if not `until`, and whether nothing can go on from there."""

    def report(self, loss: Any, *, step: int | None = None) -> None:
        """Report an intermediate loss; one that is not finite is ignored.

        Args:
            loss: The loss so far; or, with several objectives, the values of all in one of the forms in which they are
                returned. Those that are left out are taken from `metrics`. If some are not known yet, the evaluation is
                not ended early.
            step: The training step, usually the epoch, from 0. Left out, it is one more than the step before it, and
                `begin` for the first report.

        Raises:
            TypeError: The loss is not one number.
            UserError: The step is no whole number from 0, or is given by position.
        """


def prepare(objective: Callable[..., Any]) -> Callable[[Params, Trial], Any]:
    """Give every objective the same form, whether or not it wants the trial.

    Args:
        objective: `loss(params)` or `loss(params, trial)`; either may be a generator of intermediate losses.

    Returns:
        A function of both that runs the objective to its end.

    Raises:
        UserError: It takes neither one nor two parameters.
    """
    gets_trial = wants_trial(objective)

    def run(params: Params, trial: Trial) -> Any:
        result = objective(params, trial) if gets_trial else objective(params)
        return _exhaust(result, trial) if isinstance(result, Generator) else result

    return run


def wants_trial(objective: Callable[..., Any]) -> bool:
    """Whether an objective takes the trial as its second parameter.

    Raises:
        UserError: It takes neither one nor two parameters.
    """
    try:
        signature = inspect.signature(objective)
    except (TypeError, ValueError):
        return False
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    required = [parameter for parameter in positional if parameter.default is parameter.empty]
    variadic = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in signature.parameters.values())
    if len(required) > 2 or not (positional or variadic):
        raise UserError(
            f"objective {getattr(objective, '__name__', objective)!r} has the signature {signature}: "
            "an objective takes (params) or (params, trial)"
        )
    return len(required) == 2 or (len(positional) >= 2 and positional[1].name == "trial")


def _exhaust(losses: Generator[Any, None, Any], trial: Trial) -> Any:
    """Report each loss of a generator; the last one is the loss, unless the generator returns one."""
    latest: Any = None
    step = trial.begin
    while True:
        try:
            latest = next(losses)
        except StopIteration as end:
            return latest if end.value is None else end.value
        trial.report(yielded(latest, trial.objectives), step=step)
        step += 1
        if trial.should_stop:
            losses.close()
            return latest


def describe(objective: Callable[..., Any] | Named) -> str:
    """What a user calls an objective, for messages.

    Args:
        objective: A function, an instance, or a reference to one.
    """
    if isinstance(objective, Named):
        return str(objective)
    named = objective if hasattr(objective, "__qualname__") else type(objective)
    module = "" if named.__module__ == "__main__" else f"{named.__module__}:"
    return f"{module}{named.__qualname__}"


def optional_method(objective: Callable[..., Any], name: str) -> Callable[..., Any] | None:
    """A method that an objective may have beside being callable: `check(names)` or `test(params, trial)`.

    Where it is a property that fails, this raises what it raises, an AttributeError included.
    """
    is_defined = inspect.getattr_static(objective, name, None) is not None
    method = getattr(objective, name) if is_defined else getattr(objective, name, None)
    return method if callable(method) and not inspect.isfunction(objective) else None
