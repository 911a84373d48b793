"""What counts as the losses of an evaluation, of all that an objective may return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from evo.population.objectives import ONE_LOSS, Objectives
from evo.population.scalars import json_scalars, plain_number

_LOSS = "loss"  # What the loss is called in a mapping that is returned where it has no name.
_LONGEST_VALUE = 100  # Characters of a wrong value that a message shows.


@final
@dataclass(frozen=True)
class FoundLosses:
    """What an evaluation has come to.

    Args:
        loss: The loss, or that of the first objective.
        losses: The losses of all objectives in their order, if there are several; empty otherwise.
        violation: By how much the bounds of metrics are violated.
        values: The values that the objective has returned by name, to be recorded beside the loss.
    """

    loss: float
    losses: tuple[float, ...] = ()
    violation: float = 0.0
    values: Mapping[str, Any] | None = None


def read_losses(
    returned: Any, objectives: Objectives, recorded: Mapping[str, Any], *, is_cut_short: bool = False
) -> FoundLosses:
    """The losses of an evaluation.

    Several values are returned by name, as a mapping, or in the order of the objectives, as a sequence; the loss of an
    objective without a name, beside values that have bounds, as "loss". What is not
    returned is taken from what was recorded beside the loss. A single number is the loss where the objective has no
    name; else it is the value of the first objective that is not recorded.

    Args:
        returned: What the objective has returned.
        objectives: The objectives and bounds of the study.
        recorded: What was recorded beside the loss, by name.
        is_cut_short: Whether the evaluation was pruned: then values that are known at its end only may be missing.

    Raises:
        TypeError: Something is no number, or not as many numbers as there are objectives.
        ValueError: A value is missing or not finite.
    """
    if objectives.is_plain:
        return FoundLosses(check_loss(returned))
    named = _by_name(returned, objectives, recorded)
    known = {**recorded, **named}
    values = {name: _finite(name, known[name]) for name in objectives.metrics if name in known}
    missing = [name for name in objectives.metrics if name not in values]
    if missing and not (is_cut_short and (not objectives.modes or objectives.names[0] in values)):
        raise ValueError(_why_missing(missing[0], objectives, known))
    bounds = tuple(bound for bound in objectives.bounds if bound.metric in values)
    violation = Objectives(bounds=bounds).violation(values)
    if not objectives.modes:
        loss = named.get(_LOSS, returned)
        return FoundLosses(check_loss(loss), violation=violation, values=json_scalars(_without_loss(named)))
    first = objectives.losses({**dict.fromkeys(objectives.modes, 0.0), **values})[0]
    is_complete = objectives.are_several and all(name in values for name in objectives.modes)
    return FoundLosses(first, objectives.losses(values) if is_complete else (), violation, json_scalars(named))


def _by_name(returned: Any, objectives: Objectives, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What was returned, by the names of the objectives."""
    if hasattr(returned, "_asdict") and set(objectives.modes) & set(returned._asdict()):
        return dict(returned._asdict())  # A named tuple may have an order of its own.
    if isinstance(returned, Mapping):
        return dict(returned)
    if not objectives.modes:
        return {}
    sequence = _as_sequence(returned)
    if sequence is not None:
        if len(sequence) != objectives.count:
            raise TypeError(
                f"{len(sequence)} values are returned, {_shortened(repr(returned))}, but objectives has "
                f"{objectives.count}: return one for each of {', '.join(objectives.names)}, in this order or by name"
            )
        return dict(zip(objectives.names, sequence, strict=True))
    unknown = [name for name in objectives.names if name not in recorded]
    return {unknown[0]: returned} if unknown and returned is not None else {}


def _without_loss(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name != _LOSS}


def _as_sequence(returned: Any) -> Sequence[Any] | None:
    """Several values without names, as a list; None if it is a single one."""
    if isinstance(returned, tuple | list):
        return returned
    shape = tuple(getattr(returned, "shape", ()))
    return returned.tolist() if len(shape) == 1 and hasattr(returned, "tolist") else None


def _why_missing(name: str, objectives: Objectives, known: Mapping[str, Any]) -> str:
    what = "objective" if name in objectives.modes else "constraint metric"
    others = f"; there are {', '.join(sorted(map(str, known)))}" if known else ""
    return f"{what} {name!r} has no value: return it by name, or put it into trial.metrics{others}"


def _finite(name: str, value: Any) -> float:
    try:
        number = _number(value)
    except TypeError as error:
        raise TypeError(f"{name}: {str(error).replace('the loss', 'its value', 1)}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}: it must be finite")
    return number


def check_loss(value: Any) -> float:
    """The loss as a float.

    Args:
        value: What an objective returned: a number, or an array or tensor of one.

    Raises:
        TypeError: It is not a number; the message has a hint for what people return by mistake.
        ValueError: It is not finite.
    """
    loss = _number(value)
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss}: it must be finite")
    return loss


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    shape = tuple(getattr(value, "shape", ()))
    if math.prod(shape) != 1:
        raise TypeError(f"the loss is a {type(value).__name__} of shape {shape}: it must be one number")
    number = plain_number(value)
    rule = f"the loss is {_shortened(repr(number))} ({type(number).__name__}): it must be a number"
    # Each error has a line of its own, because failures raised on one line are reported as one reason.
    if number is None:
        raise TypeError(f"{rule}; does the objective forget to return it?")
    if isinstance(number, Mapping):
        which = "its 'loss'" if "loss" in number else "one of its values"
        raise TypeError(
            f"{rule}; return {which}, and put what else is to be recorded into trial.metrics, or name several of them "
            "in the setting objectives"
        )
    if isinstance(number, tuple | list):
        raise TypeError(
            f"{rule}; return one, for example a weighted sum, and put the others into trial.metrics, or name them in "
            "the setting objectives"
        )
    if isinstance(number, str | bytes | bool) or not hasattr(number, "__float__"):
        raise TypeError(rule)
    return float(number)


def reported_losses(value: Any, objectives: Objectives = ONE_LOSS, recorded: Mapping[str, Any] = {}) -> FoundLosses:
    """What an objective reports while it runs, of everything that counts as a loss when it is returned.

    A single number is the value of the first objective. Values that are not reported are taken from what was recorded;
    those that are not known yet, or not finite, may be missing, except that of the first objective.

    Args:
        value: What `trial.report` is given: a loss, or values of objectives.
        objectives: The objectives of the study.
        recorded: What was recorded beside the loss so far, by name.

    Returns:
        The first loss, which may not be finite; with several objectives the losses of all, if they and all metrics that
        have a bound are known, else none; and the violation of the bounds that are known.

    Raises:
        TypeError: What is reported is no number.

    Example:
        >>> objectives = Objectives(modes={"accuracy": "max", "seconds": "min"})
        >>> reported_losses({"accuracy": 0.5}, objectives).losses, reported_losses([0.5, 9], objectives).losses
        ((), (-0.5, 9.0))
    """
    try:
        if objectives.is_plain:
            return FoundLosses(_number(value))
        named = {objectives.names[0]: value}
        if objectives.modes and (isinstance(value, Mapping) or _as_sequence(value) is not None):
            named = _by_name(value, objectives, {})
        numbers = {name: _number(named[name]) for name in objectives.metrics if name in named}
        first = numbers[objectives.names[0]] if objectives.modes else _number(value)
    except (TypeError, KeyError):
        raise TypeError(
            f"trial.report is given {_shortened(repr(value))} ({type(value).__name__}): {_what_to_report(objectives)}"
        ) from None
    known = {**_numbers(recorded, objectives), **numbers}
    known = {name: number for name, number in known.items() if math.isfinite(number)}
    violation = Objectives(bounds=tuple(one for one in objectives.bounds if one.metric in known)).violation(known)
    if not objectives.modes:
        return FoundLosses(first, violation=violation)
    loss = objectives.losses({**dict.fromkeys(objectives.modes, 0.0), objectives.names[0]: first})[0]
    is_complete = objectives.are_several and all(name in known for name in objectives.metrics)
    return FoundLosses(loss, objectives.losses(known) if is_complete else (), violation)


def _what_to_report(objectives: Objectives) -> str:
    if not objectives.are_several:
        return "an intermediate loss is one number: trial.report(0.5)"
    example = ", ".join(f'"{name}": 0.5' for name in objectives.names)
    return f"report values by name, at least that of {objectives.names[0]!r}: trial.report({{{example}}})"


def _numbers(recorded: Mapping[str, Any], objectives: Objectives) -> dict[str, float]:
    """What is recorded of objectives and bounded metrics so far, as far as these are numbers."""
    found = {}
    for name in objectives.metrics:
        with suppress(TypeError, ValueError):
            found[name] = _number(recorded[name]) if name in recorded else math.nan
    return found


def yielded(value: Any, objectives: Objectives) -> Any:
    """What a generator yields, as `trial.report` takes it.

    Raises:
        TypeError: It is not one number, though there is one objective; the message is that of a returned one.
    """
    if objectives.modes:
        return value
    try:
        return float(value)
    except TypeError:
        return _number(value)  # This raises an error that says what is wrong.


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
