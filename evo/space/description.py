"""The search space in words: one short line for each kind of parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evo.space.mutability import is_mutable
from evo.space.parameters import ABSENT, Choice, Float, Int, Parameter, allowed_values, is_constant

_MOST_LINES = 20
_MOST_NAMES = 6  # In one line.
_MOST_VALUES = 8
_LONGEST_TEXT = 40
# Texts that are clear without quotes.
_PLAIN = re.compile(r"[^\W\d][\w.+/-]*")
_WORDS = ("true", "false", "null", "to")


def limits_lines(parameters: Mapping[str, Parameter], goes_on: bool = False) -> list[str]:
    """All parameters in words; parameters with the same description share a line, and long lists are cut.

    Args:
        parameters: The checked limit of each name, as `evo.space.limits.parse_limits` returns them.
        goes_on: Whether trainings go on from one another, so that it matters what may change in them.

    Example:
        >>> limits_lines({"batch": Int(32, 64), "act": Choice("relu", "tanh"), "seed": Choice(1)})
        ['batch: integers 32 to 64', 'act: one of relu, tanh', 'constant: seed 1']
    """
    groups: dict[str, list[str]] = {}
    constants = []
    for name, parameter in parameters.items():
        if isinstance(parameter, Choice) and is_constant(parameter):
            constants.append(f"{_value_text(name)} {_value_text(parameter.values[0])}{_condition_text(parameter)}")
        else:
            groups.setdefault(parameter_text(parameter, name if goes_on else None), []).append(name)
    lines = [f"{_list_text(names, _MOST_NAMES)}: {text}" for text, names in groups.items()]
    if len(lines) > _MOST_LINES:
        hidden = sum(len(names) for names in list(groups.values())[_MOST_LINES - 1 :])
        lines = [*lines[: _MOST_LINES - 1], f"and {hidden} more parameters"]
    return [*lines, f"constant: {', '.join(constants)}"] if constants else lines


def parameter_text(parameter: Parameter, name: str | None = None) -> str:
    """The values that one parameter may have, in words.

    Args:
        parameter: A checked parameter.
        name: Its name, where it is to be said whether it may change by default; else that is said where it is given.

    Example:
        >>> parameter_text(Float(0.0001, 0.1, log=True, when={"optimizer": ["sgd", "adam"]}))
        'floats 0.0001 to 0.1, log scale, where optimizer is sgd or adam'
        >>> parameter_text(Choice(8, 16, 64))
        'one of 8, 16, 64, in this order'
        >>> parameter_text(Float(0.0, 0.5, mutable=True))
        'floats 0.0 to 0.5, may change in training'
        >>> parameter_text(Float(0.0, 0.5), "optimizer.momentum"), parameter_text(Int(8, 64), "model.width")
        ('floats 0.0 to 0.5, may change in training', 'integers 8 to 64')
    """
    if isinstance(parameter, Choice):
        text = f"one of {_list_text(parameter.values, _MOST_VALUES)}{', in this order' * parameter.ordered}"
        default = parameter.default
    else:
        text = _range_text(parameter)
        default = ABSENT if parameter.default is None else parameter.default
    if default is not ABSENT:
        text += f", default {_value_text(default)}"
    if parameter.mutable is not None:
        text += f", {'may' if parameter.mutable else 'may not'} change in training"
    elif name is not None and not is_constant(parameter) and is_mutable(name, parameter):
        text += ", may change in training"
    return text + _condition_text(parameter)


def _range_text(parameter: Float | Int) -> str:
    low, high = (
        _value_text(number) if text is None else _shortened(text)
        for number, text in zip((parameter.low, parameter.high), parameter.bounds or (None, None), strict=True)
    )
    kind = "integers" if isinstance(parameter, Int) else "floats"
    steps = f" in steps of {parameter.step}" if parameter.step not in (None, 1) else ""
    return f"{kind} {low} to {high}{steps}{', log scale' * parameter.log}"


def _condition_text(parameter: Parameter) -> str:
    conditions = [
        f"{_value_text(name)} is {' or '.join(map(_value_text, allowed_values(wanted)))}"
        for name, wanted in (parameter.when or {}).items()
    ]
    return f", where {' and '.join(conditions)}" if conditions else ""


def _list_text(values: Sequence[Any], most: int) -> str:
    texts = [_value_text(value) for value in values]
    return ", ".join(texts if len(texts) <= most else [*texts[: most - 1], "…", texts[-1]])


def _value_text(value: Any) -> str:
    """A value as YAML writes it; a text has no quotes where it cannot be taken for anything else."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return _shortened(value)
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"
