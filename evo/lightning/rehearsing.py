"""A training of a few batches, as a search would make it, to see whether it can be done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evo.evaluation.stages import MAKING, NOT_LOGGED, note_facts, note_stage
from evo.lightning.loggers import has_loggers
from evo.lightning.objective import LightningObjective
from evo.lightning.observing import Observer
from evo.lightning.reports import NotLoggedError
from evo.lightning.trainers import SilentLogger
from evo.lightning.trees import has_section
from evo.objective.objective import Trial

TRAINING_BATCHES, VALIDATION_BATCHES = 4, 2
# What would make the one epoch longer, or leave out its validation.
_SET_ASIDE = (
    "min_epochs",
    "min_steps",
    "check_val_every_n_epoch",
    "val_check_interval",
    "limit_train_batches",
    "limit_val_batches",
    "overfit_batches",
    "fast_dev_run",
)


def rehearse_training(
    objective: LightningObjective, params: Mapping[str, Any], trial: Trial
) -> float | dict[str, float]:
    """Train a few batches and validate on some, exactly as the objective would, but for loggers other than evo's.

    Those would open runs in their stores, so a logger that keeps nothing takes their place.

    Args:
        objective: The objective.
        params: The parameters.
        trial: The trial, whose folder also gets the notes of what was done when.

    Returns:
        The loss, or the values of all objectives.

    Raises:
        Exception: Whatever the objective raises.
    """
    note_stage(trial.folder, MAKING)
    given = dict(objective.trainer or {})
    epochs = {"max_epochs": given.pop("max_epochs")} if "max_epochs" in given else {}
    trainer = {name: value for name, value in given.items() if name not in _SET_ASIDE}
    trainer |= _limits({**given, **_of_trainer(params)}) | {"check_val_every_n_epoch": 1}
    trainer["callbacks"] = _with_observer(given.get("callbacks"), str(trial.folder))
    if has_loggers(given.get("logger")):
        trainer["logger"] = SilentLogger(trial.folder)
    tried = dataclasses.replace(objective, trainer={**trainer, **epochs}, keep_data=None)
    try:
        return tried({name: value for name, value in params.items() if not _is_set_aside(name, trainer)}, trial)
    except NotLoggedError:
        note_facts(trial.folder, {NOT_LOGGED: True})
        raise


def _limits(given: Mapping[str, Any]) -> dict[str, Any]:
    """How many batches are used: a few, and no more than the user wants."""
    train, validation, steps = (given.get(name) for name in ("limit_train_batches", "limit_val_batches", "max_steps"))
    few = [TRAINING_BATCHES]
    few += [each for each in (train, steps) if isinstance(each, int) and not isinstance(each, bool) and each > 0]
    wanted = VALIDATION_BATCHES
    if isinstance(validation, int) and not isinstance(validation, bool):
        wanted = min(wanted, validation)
    return {"limit_train_batches": min(few), "limit_val_batches": 0 if validation == 0 else wanted}


def _of_trainer(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("trainer."): value for name, value in params.items() if name.startswith("trainer.")}


def _is_set_aside(name: str, trainer: Mapping[str, Any]) -> bool:
    of = name.removeprefix("trainer.") if name.startswith("trainer.") else ""
    is_silenced = of.partition(".")[0] == "logger" and isinstance(trainer.get("logger"), SilentLogger)
    return of in _SET_ASIDE or is_silenced


def _with_observer(callbacks: Any, folder: str) -> list[Any]:
    """The user's callbacks and the observer, as a section where theirs are sections."""
    listed = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks] if callbacks is not None else []
    if any(map(has_section, listed)):
        path = f"{Observer.__module__}.{Observer.__qualname__}"
        return [*listed, {"class_path": path, "init_args": {"folder": folder}}]
    return [*listed, Observer(folder)]
