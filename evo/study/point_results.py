"""The results of points that are known from elsewhere: what their values amount to in this study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.objective.losses import FoundLosses, read_losses
from evo.population.objectives import Objectives
from evo.report.optuna_study import METRIC_NAMES
from evo.space.written import read_number

if TYPE_CHECKING:
    from optuna.study._frozen import FrozenStudy


def result_of(loss: Any, values: Mapping[str, Any], objectives: Objectives) -> FoundLosses | None:
    """The losses and the violation of a point; None when it is to be evaluated.

    Args:
        loss: Its loss as it stands somewhere; None when there is none. It counts where the objective has no name.
        values: Its values by name as they stand somewhere, without those that are unknown.
        objectives: The objectives and bounds of the study.

    Raises:
        UserError: One of them is no finite number.

    Example:
        >>> objectives = Objectives(modes={"accuracy": "max", "latency": "min"})
        >>> result_of(None, {"accuracy": "0.9", "latency": 3}, objectives).losses
        (-0.9, 3.0)
    """
    numbers = {name: _number(name, value) for name, value in values.items()}
    number = None if objectives.modes or loss is None else _number("loss", loss)
    if any(name not in numbers for name in objectives.metrics) or (number is None and not objectives.modes):
        return None
    return read_losses(numbers if number is None else number, objectives, numbers)


def lacking(values: Mapping[str, Any], objectives: Objectives) -> tuple[str, ...]:
    """The names of the values that a point would need to have a result.

    Args:
        values: Its values by name.
        objectives: The objectives and bounds of the study.
    """
    return tuple(name for name in objectives.metrics if name not in values)


def _number(name: str, given: Any) -> float:
    try:
        return read_number(given)
    except UserError as error:
        raise UserError(f"{name} {error}") from None


def named_values(objectives: Objectives, *told: Any) -> dict[str, Any]:
    """The values of objectives, and of metrics with bounds, in mappings of which the later ones count more.

    Args:
        objectives: The objectives and bounds.
        told: The mappings; anything else is passed over, and so is a value that is absent.
    """
    known = [one for one in told if isinstance(one, Mapping)]
    found = {name: one[name] for one in known for name in objectives.metrics if one.get(name) is not None}
    return {name: found[name] for name in objectives.metrics if name in found}


def wrong_values(values: Any, objectives: Objectives) -> str:
    """What is wrong with the mapping of values of a point; empty when nothing is.

    Args:
        values: What the point has by this name; None when it has nothing.
        objectives: The objectives and bounds of the study.
    """
    if values is None:
        return ""
    known = ", ".join(objectives.metrics)
    if not isinstance(values, Mapping):
        return f"values is {values!r}: it must be a mapping of {known} to numbers"
    unknown = next((str(name) for name in values if name not in objectives.metrics), "")
    meant = did_you_mean(unknown, objectives.metrics)
    return f"values has {unknown!r}, which is none of {known}{meant}" if unknown else ""


def objectives_of_optuna(where: str, study: FrozenStudy, objectives: Objectives) -> tuple[str, ...]:
    """The objectives of evo's study that the values of Optuna's trials belong to, in the order of Optuna's.

    Args:
        where: Which study it is, for messages.
        study: The study of Optuna's. The names of its metrics count; without any, its values are in evo's order.
        objectives: The objectives of evo's study.

    Raises:
        UserError: Their number, a name or a direction does not fit.
    """
    directions = ["max" if each.name == "MAXIMIZE" else "min" for each in study.directions]
    if not objectives.modes:
        if directions != ["min"]:
            raise UserError(
                f"{where} does not minimise one value, as this study does: name objectives, or write its points to a "
                "CSV file, with a column loss"
            )
        return ("loss",)
    named = study.system_attrs.get(METRIC_NAMES) or ()
    modes = dict(zip(named or objectives.names, directions, strict=False))
    if len(directions) != objectives.count or modes != objectives.modes:
        told = ", ".join(f"{name}: {mode}" for name, mode in modes.items()) if named else ", ".join(directions)
        raise UserError(
            f"{where} has the directions {told}, which is not as {objectives}: give the same objectives, or write its "
            "points to a CSV file, with a column for each objective"
        )
    return tuple(modes)
