"""Schedules of the learning rate, brought to a place of the training without training."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from evo.lightning.hyperparameters import group_values, set_group_values


@final
@dataclass(frozen=True)
class Scheduled:
    """What a schedule says at a place of the training.

    Args:
        values: The entries of each parameter group of the optimizer.
        state: The state of the scheduler.
    """

    values: list[dict[str, Any]]
    state: dict[str, Any]


def updates_per_epoch(batches: int, accumulated: int, frequency: int) -> int:
    """How often a scheduler that goes by steps is updated in an epoch, as Lightning does it.

    Args:
        batches: The batches of an epoch.
        accumulated: The batches whose gradients are accumulated for a step; the last step may have fewer.
        frequency: Only batches whose number, from 1, is a multiple of this count.

    Example:
        >>> updates_per_epoch(10, 1, 1), updates_per_epoch(10, 4, 1), updates_per_epoch(10, 1, 4)
        (10, 3, 2)
    """
    if accumulated == 1:
        return batches // frequency
    steps = [batch for batch in range(1, batches + 1) if batch % accumulated == 0 or batch == batches]
    return sum(batch % frequency == 0 for batch in steps)


def batches_per_epoch(trainer: L.Trainer) -> int | None:
    """The batches of an epoch; None when the data have no length. It makes the loaders, if there are none yet."""
    trainer.fit_loop.setup_data()
    batches = trainer.num_training_batches
    return int(batches) if math.isfinite(batches) else None


def scheduled_by(
    trainer: L.Trainer, module: L.LightningModule, epochs: int, donors: Mapping[str, Any]
) -> list[Scheduled | None]:
    """What each scheduler of a training says after so many epochs, found by updating it as often.

    The schedulers and their optimizers are new, and are so again afterwards.

    Args:
        trainer: The Trainer.
        module: The module.
        epochs: The number of epochs.
        donors: What the donor knows: "schedulers", the states of its schedulers after these epochs; "batches", how many
            it has in an epoch, or None.

    Returns:
        For each scheduler; None for one that depends on more than the place: on a metric, on another scheduler of the
        same optimizer, or on how the module updates it.
    """
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    optimizers = [getattr(scheduler, "optimizer", None) for scheduler in schedulers]
    found: list[Scheduled | None] = []
    for number, config in enumerate(trainer.lr_scheduler_configs):
        is_alone = sum(optimizer is optimizers[number] for optimizer in optimizers) == 1
        found.append(None)
        if is_alone and _goes_by_place(config.scheduler) and not is_overridden("lr_scheduler_step", module):
            states = donors["schedulers"]
            state = states[number] if number < len(states) else {}
            updates = _updates(trainer, module, config, epochs, donors["batches"], state)
            found[-1] = None if updates is None else _after(config.scheduler, updates)
    return found


def _goes_by_place(scheduler: Any) -> bool:
    parts = getattr(scheduler, "_schedulers", ())  # Of schedulers one after another, or one upon another.
    is_plain = isinstance(scheduler, LRScheduler) and not isinstance(scheduler, ReduceLROnPlateau)
    return is_plain and all(map(_goes_by_place, parts))


def _updates(
    trainer: L.Trainer,
    module: L.LightningModule,
    config: Any,
    epochs: int,
    donors_batches: int | None,
    donors: Mapping[str, Any],
) -> int | None:
    """How often a scheduler was updated in so many epochs of this training; None when that is not known."""
    batches = batches_per_epoch(trainer)
    count: int | None = donors.get("last_epoch")
    if not module.automatic_optimization:
        # The module updates it, in steps or in epochs, as often as it has updated the donor's.
        if count is None or count <= epochs or not (batches and donors_batches):
            return count
        return round(count * batches / donors_batches)
    if config.interval == "epoch":
        return epochs // int(config.frequency)
    if batches is None:
        return count
    own = [c for c in trainer.callbacks if isinstance(c, GradientAccumulationScheduler)]  # type: ignore[attr-defined]
    every = [
        own[0].get_accumulate_grad_batches(epoch) if own else trainer.accumulate_grad_batches for epoch in range(epochs)
    ]
    each = {accumulated: updates_per_epoch(batches, accumulated, int(config.frequency)) for accumulated in set(every)}
    return sum(each[accumulated] for accumulated in every)


def _after(scheduler: LRScheduler, updates: int) -> Scheduled | None:
    """What a scheduler says after so many updates; the scheduler is as before, then."""
    optimizer = scheduler.optimizer
    values, state = group_values(optimizer), copy.deepcopy(scheduler.state_dict())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It is said that the optimizer has not made a step yet.
            # OneCycleLR ends by itself, and refuses to go on.
            for _ in range(min(updates, getattr(scheduler, "total_steps", updates))):
                scheduler.step()
        return Scheduled(group_values(optimizer), copy.deepcopy(scheduler.state_dict()))
    except Exception:  # A scheduler of the user's may need what is there only in a training, and say so as it likes.
        return None
    finally:
        set_group_values(optimizer, values)
        scheduler.load_state_dict(state)
