"""The metrics of a training that evo measures itself, and the one by which a training chooses its best weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from evo.population.objectives import Objectives

READY_METRICS: Mapping[str, str] = {
    "parameters": "numbers that the network learns or holds fixed as parameters",
    "flops": "floating-point operations of the network for one example of a validation",
    "latency": "seconds in which the network computes one batch of a validation",
    "peak_memory": "the most bytes of memory that the training used",
    "seconds": "seconds of the training",
    "energy": "joules that the training used",
}
"""What evo measures of a Lightning training when an objective or a bound has this name, in words."""

COUNTED = ("epochs", "best_epoch")
"""What is recorded of every training, and may serve as an objective as well."""

USUAL_MONITOR = "val_loss"
"""The metric that a training is judged by where nothing else is said."""


def judged_by(monitor: str, mode: Literal["min", "max"], objectives: Objectives) -> tuple[str, Literal["min", "max"]]:
    """The metric by which a training chooses its best weights and stops early, and whether it is to be small or large.

    Args:
        monitor: The setting of this name. Its default gives way to the objectives.
        mode: The setting of this name. The mode of an objective wins over it.
        objectives: The objectives of the study.

    Returns:
        The monitored metric: the setting; or, where that is the default and no objective, the first objective that the
        module logs itself, if there is one.

    Example:
        >>> judged_by("val_loss", "min", Objectives(modes={"parameters": "min", "val_acc": "max"}))
        ('val_acc', 'max')
        >>> judged_by("val_loss", "min", Objectives(modes={"latency": "min"}))
        ('val_loss', 'min')
    """
    modes = objectives.modes
    if monitor == USUAL_MONITOR and monitor not in modes:
        logged = [name for name in modes if name not in READY_METRICS and name not in COUNTED]
        monitor = logged[0] if logged else monitor
    return monitor, modes.get(monitor, mode)
