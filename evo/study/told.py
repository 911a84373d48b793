"""What passes between a study and a loop of the user's own: individuals one way, what became of them the other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from evo.errors import UserError
from evo.frames import one_line
from evo.objective.losses import read_losses
from evo.objective.steps import ReportedSteps
from evo.population.identity import Identity, individual_name
from evo.population.objectives import ONE_LOSS, Objectives
from evo.population.outcome import Outcome
from evo.population.scalars import json_scalars, json_text
from evo.space.values import Params
from evo.study.config import Config
from evo.study.settings import make_config

Told: TypeAlias = Literal["completed", "pruned", "infeasible", "failed", "interrupted"]
"""What may become of an individual."""

# What says how evo evaluates, and the values that it may have where evo does not.
_USUAL = {"ranks_per_worker": (1,), "time_limit": (None,), "evaluate": ("auto", "inline")}


def evaluated_by_the_caller(params: Params) -> float:
    """The objective by which such a study is recorded; only what evaluates after a search may come to call it.

    Raises:
        UserError: Always.
    """
    raise UserError("a loop of your own has told the losses of this study: name an objective, --objective PLACE:NAME")


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

    def is_same(self, other: object) -> bool:
        """Whether this is the same individual of the same study, in the same evaluation; it may be a copy."""
        if not isinstance(other, Asked):
            return False
        return (self.identity, self.folder, self.attempt) == (other.identity, other.folder, other.attempt)


@final
@dataclass
class TrialInFlight:
    """What this process knows of an individual in flight.

    Args:
        asked: The individual.
        steps: The steps that were reported.
        stops: Whether its evaluation is to end early.
        began: When it was asked for, by `time.perf_counter`.
    """

    asked: Asked
    steps: ReportedSteps = field(default_factory=ReportedSteps)
    stops: bool = False
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """The time since it was asked for."""
        return time.perf_counter() - self.began


def settings_without_evaluation(config: Config | None, limits: Any, settings: Mapping[str, Any]) -> Config:
    """The settings of a study whose individuals evo does not evaluate.

    Args:
        config: The settings, which those given by keyword override. None means that there are only the latter.
        limits: What is searched. None means that of the configuration.
        settings: The settings that are given by keyword.

    Raises:
        UserError: A setting is wrong, or says how evo evaluates.
    """
    made = make_config(config, limits, settings)
    for name, usual in _USUAL.items():
        value = getattr(made, name)
        if value not in usual:
            raise UserError(f"{name} is {value!r}, which says how evo evaluates: leave it out, since your loop does")
    return made


def outcome_told(
    trial: TrialInFlight,
    loss: Any,
    status: Told | None,
    error: BaseException | str,
    metrics: Mapping[str, Any],
    objectives: Objectives = ONE_LOSS,
) -> Outcome:
    """How an evaluation ended, by what the caller tells; what cannot be recorded makes it a failed one.

    Args:
        trial: The individual in flight.
        loss: Its loss, or the values of all objectives.
        status: What became of it. None means that the others say.
        error: The reason.
        metrics: What is recorded beside the loss.
        objectives: The objectives of the study.
    """
    seconds = trial.seconds
    reason = one_line(error) if isinstance(error, BaseException) else json_text(str(error))
    became = status or ("failed" if reason else "pruned" if trial.stops else "completed")
    try:
        recorded = json_scalars(metrics)
        has_loss = became in ("completed", "pruned")
        known = {"seconds": seconds, **recorded}
        found = read_losses(loss, objectives, known, is_cut_short=became == "pruned") if has_loss else None
    except Exception as wrong:
        return Outcome(status="failed", seconds=seconds, error=one_line(wrong))
    if became == "interrupted":
        return Outcome(status="interrupted", seconds=seconds)  # With a reason, it would stop the worker.
    if became in ("failed", "infeasible") and not reason:
        reason = "no reason was given"
    if found is None:
        return Outcome(status=became, seconds=seconds, metrics=recorded, error=reason)
    recorded.update(found.values or {})
    return Outcome(
        status=became,
        loss=found.loss,
        losses=found.losses,
        violation=found.violation,
        seconds=seconds,
        metrics=recorded,
        error=reason,
    )
