"""What a few batches tell about a whole search, as pure functions of numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from evo.evaluation.stages import TRAINING_BATCH, VALIDATION_BATCH, Stage


@dataclass(frozen=True, kw_only=True)
class TrainingPace:
    """How fast one training was, and how large. Times are in seconds, None where nothing says.

    Args:
        set_up: The time from the first part that is made to the first batch.
        first_batch: The time of the first training batch, which warms up.
        batch: The usual time of a training batch.
        validation_batch: The usual time of a validation batch.
        batches: The numbers of batches that were trained and validated.
        all_batches: The numbers that an epoch has.
        epoch: The time of an epoch.
        memory: The most memory of the process, in bytes.
        gpu_memory: The most memory on its GPU, in bytes; 0 without one.
        weights: The number of weights.
        device: Where it was trained.
    """

    set_up: float
    first_batch: float | None
    batch: float | None
    validation_batch: float | None
    batches: tuple[int, int]
    all_batches: tuple[int | None, int | None]
    epoch: float | None
    memory: int
    gpu_memory: int
    weights: int
    device: str


def measure_pace(stages: Sequence[Stage], wanted: Mapping[str, Any]) -> TrainingPace:
    """How fast a training of a few batches was.

    Args:
        stages: What was done when.
        wanted: The Trainer's arguments, of which limits of batches count.
    """
    facts: dict[str, Any] = {}
    for stage in stages:
        facts |= stage.facts
    training, validation = (_batch_times(stages, kind) for kind in (TRAINING_BATCH, VALIDATION_BATCH))
    usual, usual_validation = _usual(training), _usual(validation)
    sizes = facts.get("batches", {})
    train = limited(sizes.get("train"), wanted.get("limit_train_batches"))
    check = limited(sizes.get("validation"), wanted.get("limit_val_batches"))
    began = next((stage.time for stage in stages if stage.doing == TRAINING_BATCH), stages[-1].time)
    return TrainingPace(
        set_up=began - stages[0].time,
        first_batch=training[0] if training else None,
        batch=usual,
        validation_batch=usual_validation,
        batches=(len(training), len(validation)),
        all_batches=(train, check),
        epoch=_epoch(usual, train, usual_validation, check),
        memory=max(stage.memory for stage in stages),
        gpu_memory=max(stage.gpu_memory for stage in stages),
        weights=int(facts.get("weights", 0)),
        device=str(facts.get("device", "cpu")),
    )


def limited(size: int | None, limit: Any) -> int | None:
    """The number of batches of an epoch, with Lightning's limit: a number of batches, or a share.

    Example:
        >>> limited(40, 0.5), limited(40, 10), limited(None, 10), limited(40, None)
        (20, 10, 10, 40)
    """
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        return size
    if isinstance(limit, int):
        return limit if size is None else min(size, limit)
    return None if size is None else int(size * limit)


def search_seconds(
    training: float | None, evaluations: int | None, workers: int, walltime: float | None = None
) -> float | None:
    """How long a search takes at most if every training lasts as long as this one; None where nothing says.

    Args:
        training: The seconds of a training.
        evaluations: The number of trainings.
        workers: The number of workers that train at the same time.
        walltime: The seconds after which the search stops.

    Example:
        >>> search_seconds(60.0, 50, 4)
        780.0
    """
    known = [] if training is None or evaluations is None else [math.ceil(evaluations / workers) * training]
    return min([*known, *([walltime] if walltime is not None else [])], default=None)


def seconds_text(seconds: float) -> str:
    """A time in words, with two figures that count.

    Example:
        >>> [seconds_text(each) for each in (0.00123, 0.25, 7.4, 250.0, 9000.0, 400000.0)]
        ['1.2 ms', '250 ms', '7.4 s', '4.2 min', '2.5 h', '4.6 days']
    """
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 1.5 * length or (unit == "s" and seconds >= 1.0):
            return f"{float(f'{seconds / length:.2g}'):g} {unit}"
    return f"{float(f'{1000 * seconds:.2g}'):g} ms"


def size_text(size: float) -> str:
    """A number of bytes in words.

    Example:
        >>> size_text(300_000_000), size_text(12_300_000_000)
        ('300 MB', '12.3 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _batch_times(stages: Sequence[Stage], kind: str) -> list[float]:
    """How long each batch took: those of whose kind the note after the last one begins no batch any more."""
    times = []
    for one, after in itertools.pairwise(stages):
        if one.doing == kind and after.doing == kind and after.number == one.number + 1:
            times.append(after.time - one.time)
    return times


def _usual(times: Sequence[float]) -> float | None:
    """The usual time: the first one warms up, and counts only where there is no other."""
    return median(times[1:] or times) if times else None


def _epoch(batch: float | None, train: int | None, check_batch: float | None, check: int | None) -> float | None:
    if batch is None or train is None or (check_batch is not None and check is None):
        return None
    return batch * train + (check_batch or 0.0) * (check or 0)
