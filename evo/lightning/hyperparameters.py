"""The hyperparameters of a training that goes on from a donor's state: its own, at the donor's place in the training.

Optimizers and schedulers keep their settings and how far they have come in the same records, so restored ones have the
donor's settings. What they were made with tells the two apart: what differs there between a training and its donor is a
setting of the training's own; what is the same goes on as the donor has left it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.optim import Optimizer

from evo.errors import UserError

SCHEDULED = ("lr", "initial_lr", "momentum", "betas")
"""What schedulers of torch set in a parameter group."""
LEARNING_RATES = ("lr", "initial_lr")
"""The entries of a parameter group that say how fast it learns."""


def optimizer_records(trainer: L.Trainer, module: L.LightningModule) -> list[dict[str, Any]]:
    """What the optimizers of a training were made with, as plain values.

    Args:
        trainer: The Trainer, whose optimizers are new.
        module: The module.

    Returns:
        One record for each optimizer: "name", its class; and "groups", each with "weights", the names of its
        parameters, and "values", all other entries.
    """
    names = {id(weight): name for name, weight in module.named_parameters()}
    return [
        {
            "name": type(optimizer).__name__,
            "groups": [
                {
                    "weights": [names.get(id(weight), f"number {n}") for n, weight in enumerate(group["params"])],
                    "values": as_plain(values),
                }
                for group, values in zip(optimizer.param_groups, group_values(optimizer), strict=True)
            ],
        }
        for optimizer in trainer.optimizers
    ]


def scheduler_records(trainer: L.Trainer) -> list[dict[str, Any]]:
    """What the schedulers of a training were made with, as plain values: "name", the class, and "state"."""
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    return [{"name": type(each).__name__, "state": as_plain(each.state_dict())} for each in schedulers]


def group_values(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Copies of the entries of each parameter group, without the parameters."""
    return [
        {key: copy.deepcopy(value) for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]


def set_group_values(optimizer: Optimizer, values: Sequence[Mapping[str, Any]]) -> None:
    """Write entries into the parameter groups; a learning rate that is a tensor stays the same tensor."""
    for group, own in zip(optimizer.param_groups, values, strict=True):
        for key, value in own.items():
            present = group.get(key)
            if isinstance(present, torch.Tensor) and isinstance(value, torch.Tensor | float | int):
                present.fill_(float(value)) if present.numel() == 1 else present.copy_(torch.as_tensor(value))
            else:
                group[key] = copy.deepcopy(value)


def own_values(
    own: Mapping[str, Any],
    donors: Mapping[str, Any] | None,
    restored: Mapping[str, Any],
    scheduled: Mapping[str, Any] | None,
    *,
    is_rate_found: bool = False,
) -> dict[str, Any]:
    """The entries of a parameter group with which a training goes on.

    Args:
        own: The entries with which the group was made.
        donors: Those of the donor. None means that nothing is taken over from it.
        restored: The entries in the donor's state.
        scheduled: The entries at this place of the training by the training's own schedule. None means that there is no
            schedule, or that it depends on more than the place.
        is_rate_found: Whether the learning rate is the result of a search before the training, and so no setting.

    Example:
        >>> own_values({"lr": 0.2, "momentum": 0.5}, {"lr": 0.1, "momentum": 0.5}, {"lr": 0.05, "momentum": 0.5}, None)
        {'lr': 0.1, 'momentum': 0.5}
    """
    if donors is None:
        return dict(own if scheduled is None else scheduled)
    values: dict[str, Any] = {}
    for key, value in own.items():
        differs = key not in donors or not is_same(as_plain(value), donors[key])
        if is_rate_found and key in LEARNING_RATES:
            values[key] = restored.get(key, value)
        elif scheduled is not None and (differs or key in SCHEDULED):
            values[key] = scheduled[key]
        elif not differs:
            values[key] = restored.get(key, value)
        elif key == "lr" and key in donors and key in restored:
            values[key] = _in_proportion(value, donors[key], restored[key])
        else:
            values[key] = value
    return values


def own_state(
    own: Mapping[str, Any],
    donors: Mapping[str, Any] | None,
    restored: Mapping[str, Any],
    scheduled: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The state of a scheduler with which a training goes on: its own settings, and as much progress as the donor has.

    Args:
        own: The state of the training's own scheduler when it was made.
        donors: That of the donor. None means that nothing is taken over from it.
        restored: The state in the donor's state.
        scheduled: The state of the training's own scheduler at this place of the training. None means that it depends
            on more than the place.

    Example:
        >>> own_state({"patience": 5, "best": 9.0}, {"patience": 3, "best": 9.0}, {"patience": 3, "best": 0.5}, None)
        {'patience': 5, 'best': 0.5}
    """
    if scheduled is not None or donors is None:
        return dict(own if scheduled is None else scheduled)
    changed = {
        key: value for key, value in own.items() if key not in donors or not is_same(as_plain(value), donors[key])
    }
    return {**restored, **changed}


def check_written(
    what: str, present: Mapping[str, Any], wanted: Mapping[str, Any], restored: Mapping[str, Any] | None
) -> None:
    """Make sure that the training has the values that it should have.

    Args:
        what: What has these values, for example "group 1 of AdamW".
        present: The values that it has.
        wanted: The values that it should have.
        restored: The values in the donor's state: only these count as wrong, because a module may change what it likes.
            None means that all others are wrong.

    Raises:
        UserError: It has others.
    """
    for key, value in wanted.items():
        found = as_plain(present.get(key))
        if is_same(found, as_plain(value)):
            continue
        if restored is None or is_same(found, as_plain(restored.get(key))):
            raise UserError(
                f"{key} of {what} is {_shown(found)}, but this individual has {_shown(as_plain(value))}: the donor's "
                "value was put back when the training began. Look for code that loads a checkpoint or sets this value "
                "in the module's and the callbacks' hooks"
            )


def as_plain(value: Any) -> Any:
    """A copy of a value that torch saves and loads without running code: tensors and plain values; else a text."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key if isinstance(key, str | int | float) else str(key): as_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(one) for one in value]
    return value if isinstance(value, str | bool | int | float | None) else repr(value)


def is_same(one: Any, other: Any) -> bool:
    """Whether two plain values are the same, tensors in them included; a tensor of one number is this number.

    Example:
        >>> is_same({"lr": [0.1, None]}, {"lr": [0.1, None]}), is_same([0.1], [0.1, 0.2])
        (True, False)
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        numbers = (torch.Tensor, float, int)
        if not (isinstance(one, numbers) and isinstance(other, numbers)):
            return False
        return torch.equal(torch.as_tensor(one).double(), torch.as_tensor(other).double())
    return (type(one) is type(other) and bool(one == other)) or (_is_number(one) and _is_number(other) and one == other)


def _in_proportion(own: Any, donors: Any, restored: Any) -> Any:
    """A learning rate that was lowered, by a plateau for example, as the donor's was."""
    if is_same(as_plain(restored), donors) or float(donors) == 0.0:
        return own
    return own * (float(restored) / float(donors))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return repr(value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value)
