"""The target of a search, at which it stops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.population.dominance import Losses, hypervolume
from evo.population.objectives import Objectives
from evo.space.values import is_number, plain

HYPERVOLUME = "hypervolume"
"""What a target names when it is a hypervolume, unless an objective has this name."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a search must reach to stop: values that one individual has, or a hypervolume that the front has.

    An individual that violates a bound never reaches it.

    Args:
        target: The values by the names of their objectives, as the user gives them; or the hypervolume by its name.
        losses: The highest loss of each objective, infinite where that does not matter; empty for a hypervolume.
        hypervolume: The hypervolume that the front must have. None means that values are to be reached.
        reference: The reference point of the hypervolume, in losses.

    Example:
        >>> import numpy as np
        >>> goal = make_goal({"accuracy": 0.9}, None, Objectives(modes={"accuracy": "max", "latency": "min"}))
        >>> str(goal), goal.is_reached_by(np.array([[-0.8, 1.0]])), goal.is_reached_by(np.array([[-0.95, 9.0]]))
        ('accuracy 0.9', False, True)
    """

    target: Mapping[str, float]
    losses: tuple[float, ...] = ()
    hypervolume: float | None = None
    reference: tuple[float, ...] = ()

    def is_reached_by(self, losses: Losses) -> bool:
        """Whether individuals that keep all bounds have reached it together.

        Args:
            losses: Their losses, of shape (individuals, objectives).
        """
        if self.hypervolume is not None:
            return hypervolume(losses, self.reference) >= self.hypervolume
        return bool((losses <= self.losses).all(axis=1).any())

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in self.target.items())

    @property
    def recorded(self) -> float | dict[str, float]:
        """The target as journals hold it: a number where one loss has no name."""
        return self.target["loss"] if list(self.target) == ["loss"] else dict(self.target)

    @property
    def condition(self) -> str:
        """What must hold, as words that follow "until"."""
        unnamed = ("loss", HYPERVOLUME) if len(self.target) == 1 else ()
        return " and ".join(
            f"{'the ' if name in unnamed else ''}{name} is {value:g}" for name, value in self.target.items()
        )


def make_goal(target: Any, reference_point: Any, objectives: Objectives) -> Goal | None:
    """What the settings of these names say together; None without a target.

    Args:
        target: The loss to reach, or the value where one objective has a name; of several objectives, a value for each
            that matters, or a hypervolume.
        reference_point: A value of each of several objectives, up to which a hypervolume counts. None means that there
            is none.
        objectives: The objectives of the study.

    Raises:
        UserError: It says what is wrong with which entry.
    """
    reference = make_reference(reference_point, objectives)
    if target is None:
        return None
    if not isinstance(target, Mapping):
        target = _number("target", target)
        if objectives.are_several:
            raise UserError(f"target is {target!r}, but there are {objectives.count} objectives: {_rule(objectives)}")
        target = {objectives.names[0]: target}
    if HYPERVOLUME in target and HYPERVOLUME not in objectives.names and objectives.are_several:
        return _hypervolume_goal(target, reference, objectives)
    if not target:
        raise UserError(f"target is empty: {_rule(objectives)}")
    values = _values("target", target, objectives)
    known = objectives.losses({**dict.fromkeys(objectives.modes, 0.0), **values}) if objectives.modes else ()
    losses = tuple(loss if name in values else math.inf for name, loss in zip(objectives.modes, known, strict=True))
    return Goal(target=values, losses=losses or tuple(values.values()))


def make_reference(reference_point: Any, objectives: Objectives) -> tuple[float, ...]:
    """The reference point in losses, in the order of the objectives; empty when none is given.

    Args:
        reference_point: A value of each objective by its name. None means that there is none.
        objectives: The objectives of the study.

    Raises:
        UserError: It is no such mapping, or there is one objective only.

    Example:
        >>> make_reference({"latency": 9, "accuracy": 0}, Objectives(modes={"accuracy": "max", "latency": "min"}))
        (0.0, 9.0)
    """
    if reference_point is None:
        return ()
    if not objectives.are_several:
        raise UserError(
            f"reference_point is {reference_point!r}, but there is one objective: it needs several, see objectives"
        )
    example = "{" + ", ".join(f"{name}: 1" for name in objectives.names) + "}"
    if not isinstance(reference_point, Mapping):
        raise UserError(
            f"reference_point is {reference_point!r}: give a value of each objective by its name, as in {example}"
        )
    values = _values("reference_point", reference_point, objectives)
    missing = [name for name in objectives.names if name not in values]
    if missing:
        raise UserError(f"reference_point lacks {', '.join(missing)}: give a value of each objective, as in {example}")
    return objectives.losses(values)


def _hypervolume_goal(target: Mapping[Any, Any], reference: tuple[float, ...], objectives: Objectives) -> Goal:
    others = [name for name in target if name != HYPERVOLUME]
    if others:
        raise UserError(f"target has hypervolume and {others[0]!r}: give one of them; {_rule(objectives)}")
    volume = _number("target.hypervolume", target[HYPERVOLUME])
    if volume <= 0:
        raise UserError(f"target.hypervolume is {volume!r}: it must be above 0")
    if not reference:
        raise UserError(
            "target is a hypervolume, which needs a point up to which it counts: give reference_point, a value of each "
            f"of {', '.join(objectives.names)} that is worse than all of interest"
        )
    return Goal(target={HYPERVOLUME: volume}, hypervolume=volume, reference=reference)


def _values(setting: str, given: Mapping[Any, Any], objectives: Objectives) -> dict[str, float]:
    """The values of objectives in a setting, in the order of the objectives."""
    for name in given:
        if name not in objectives.names:
            meant = did_you_mean(str(name), objectives.names)
            raise UserError(
                f"{setting} has {name!r}, which is none of the objectives {', '.join(objectives.names)}{meant}"
            )
    return {name: _number(f"{setting}.{name}", given[name]) for name in objectives.names if name in given}


def _number(name: str, value: Any) -> float:
    number = plain(value) if hasattr(value, "tolist") else value
    if not is_number(number) or not math.isfinite(number):
        raise UserError(f"{name} is {number!r}: give a number")
    return float(number)


def _rule(objectives: Objectives) -> str:
    example = ", ".join(f"{name}: 0.5" for name in objectives.names)
    if not objectives.are_several:
        return f"give a value, or {{{example}}}"
    return f"give a value of each that matters, as in {{{example}}}, or {{hypervolume: 0.5}} with a reference_point"
