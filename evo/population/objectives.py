"""What is minimised or maximised, and the bounds that its metrics must keep."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from evo.checks import did_you_mean
from evo.errors import UserError

ObjectiveMode: TypeAlias = Literal["min", "max"]
"""Whether small or large values of an objective are good."""

_BOUND = re.compile(r"\s*(<=|>=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_RULE = "give a comparison with a number, such as '<= 2e9' or '>= 0.9'"


NO_VIOLATION = 0.0
"""The violation of what keeps all bounds: the very object that records leave out as their default."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A bound that a metric must keep.

    Args:
        metric: The name of the metric.
        limit: The bound itself, a finite number.
        is_least: Whether it is the least value that the metric may have, rather than the highest.
    """

    metric: str
    limit: float
    is_least: bool = False

    def violation(self, value: float) -> float:
        """By how much a value violates the bound, as a share of it, so that different metrics can be added up.

        Args:
            value: The value of the metric, a finite number.

        Returns:
            The violation, at least 0; a bound of 0 has the scale 1.

        Example:
            >>> Bound(metric="memory", limit=2e9).violation(3e9)
            0.5
        """
        excess = self.limit - value if self.is_least else value - self.limit
        return max(0.0, excess) / (abs(self.limit) or 1.0)

    def __str__(self) -> str:
        return f"{self.metric} {'>=' if self.is_least else '<='} {self.limit:g}"


class Objectives(msgspec.Struct, frozen=True, kw_only=True):
    """The objectives of a study, in their order, and the bounds that metrics must keep.

    Inside of evo all objectives are losses, which are minimised: that of an objective with the mode "max" is its
    negative value. An individual dominates another one if its violation is smaller; or if neither violates a bound, and
    no loss of it is higher and one is lower.

    Args:
        modes: The mode of each objective by its name. Empty means that there is one loss, which has no name.
        bounds: The bounds.

    Example:
        >>> objectives = Objectives(modes={"accuracy": "max", "latency": "min"})
        >>> objectives.losses({"accuracy": 0.9, "latency": 3.0, "epochs": 7})
        (-0.9, 3.0)
        >>> objectives.values((-0.9, 3.0))
        {'accuracy': 0.9, 'latency': 3.0}
    """

    modes: dict[str, ObjectiveMode] = {}
    bounds: tuple[Bound, ...] = ()

    def are_same(self, other: Objectives) -> bool:
        """Whether these are the same in the same order, so that losses mean the same."""
        return self == other and list(self.modes) == list(other.modes)

    @property
    def count(self) -> int:
        """The number of objectives."""
        return len(self.modes) or 1

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the objectives; "loss" is that of one without a name."""
        return tuple(self.modes) or ("loss",)

    def __str__(self) -> str:
        told = ", ".join(f"{name}: {mode}" for name, mode in self.modes.items())
        bounds = f", with {', '.join(map(str, self.bounds))}" if self.bounds else ""
        return f"the objectives {{{told}}}{bounds}" if self.modes else f"one loss{bounds}"

    @property
    def are_several(self) -> bool:
        """Whether there is more than one objective, so that a front is searched."""
        return len(self.modes) > 1

    @property
    def is_plain(self) -> bool:
        """Whether there is one loss without a name, and no bound."""
        return not self.modes and not self.bounds

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all values that an evaluation must give, each once: the named objectives, and those bounded."""
        return tuple(dict.fromkeys([*self.modes, *(bound.metric for bound in self.bounds)]))

    def check_names(self, parameters: Sequence[str]) -> None:
        """Refuse names that parameters have: in a table of results nobody could tell which of the two is meant.

        Args:
            parameters: The names of the parameters that are searched.

        Raises:
            UserError: A parameter has the name of an objective, or of a metric with a bound.
        """
        for name in self.metrics:
            if name in parameters:
                setting, others = (
                    ("objectives", "record the value by another name, in trial.metrics for example")
                    if name in self.modes
                    else ("constraint_metrics", "write a condition of parameters as constraints")
                )
                raise UserError(f"{setting} names {name!r}, which is a parameter: {others}")

    def losses(self, values: Mapping[str, float]) -> tuple[float, ...]:
        """The losses of all named objectives, which are minimised, in their order.

        Args:
            values: At least the value of each objective by its name.
        """
        # Adding zero turns -0.0 into 0.0.
        return tuple((-values[name] if mode == "max" else values[name]) + 0.0 for name, mode in self.modes.items())

    def values(self, losses: Sequence[float]) -> dict[str, float]:
        """The values of the objectives by name, with the signs that the user knows.

        Args:
            losses: The losses of all objectives, in their order.
        """
        if not self.modes:
            return {"loss": losses[0]}
        signs = [-1.0 if mode == "max" else 1.0 for mode in self.modes.values()]
        return {name: sign * loss + 0.0 for name, sign, loss in zip(self.modes, signs, losses, strict=True)}

    def violation(self, values: Mapping[str, float]) -> float:
        """The sum of the violations of all bounds, at least 0; see `Bound.violation`.

        Args:
            values: At least the value of each metric that has a bound.
        """
        return math.fsum(bound.violation(values[bound.metric]) for bound in self.bounds)


ONE_LOSS = Objectives()
"""What a study without the settings `objectives` and `constraint_metrics` minimises."""


def make_objectives(
    objectives: Mapping[str, Any] | Sequence[str] | str | None, constraint_metrics: Mapping[str, Any] | None = None
) -> Objectives:
    """What the settings of these names say.

    Args:
        objectives: The mode of each objective by its name; or a list of names, or one name, which are minimised.
        constraint_metrics: A comparison for each metric that has a bound, or a list of comparisons.

    Raises:
        UserError: It says what is wrong with which entry.

    Example:
        >>> made = make_objectives({"val_acc": "max", "parameters": "min"}, {"memory": "<= 2e9"})
        >>> made.names, str(made.bounds[0])
        (('val_acc', 'parameters'), 'memory <= 2e+09')
    """
    return Objectives(modes=_modes(objectives), bounds=_bounds(constraint_metrics))


def _modes(given: Any) -> dict[str, ObjectiveMode]:
    if given is None:
        return {}
    if isinstance(given, str):
        if "," in given:
            raise UserError(f"objectives is {given!r}: write several names as a list, [a, b]")
        given = [given]
    if isinstance(given, Mapping):
        entries = dict(given)
    elif isinstance(given, list | tuple):
        entries = dict.fromkeys(map(_name_of_objective, given), "min")
        if len(entries) < len(given):
            twice = next(name for name in given if given.count(name) > 1)
            raise UserError(f"objectives has {twice!r} twice: name each objective once")
    else:
        raise UserError(f"objectives is {given!r}: give a mapping of names to min or max, or a list of names")
    if not entries:
        raise UserError("objectives is empty: name at least one, or leave it out to minimise one loss")
    for name, mode in entries.items():
        _name_of_objective(name)
        if mode not in ("min", "max"):
            meant = did_you_mean(str(mode), ("min", "max"))
            raise UserError(f"objectives.{name} is {mode!r}{meant}: it must be min or max")
    return entries


def _name_of_objective(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"objectives has the name {name!r}: give the name of a metric")
    return name


def _bounds(given: Any) -> tuple[Bound, ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise UserError(f"constraint_metrics is {given!r}: give a mapping of metrics to bounds; {_RULE}")
    found = []
    for metric, said in given.items():
        if not isinstance(metric, str) or not metric.strip():
            raise UserError(f"constraint_metrics has the name {metric!r}: give the name of a metric")
        for one in said if isinstance(said, list | tuple) and said else [said]:
            match = _BOUND.fullmatch(one) if isinstance(one, str) else None
            if match is None or not math.isfinite(float(match[2])):
                raise UserError(f"constraint_metrics.{metric} is {one!r}: {_RULE}")
            found.append(Bound(metric=metric, limit=float(match[2]), is_least=match[1] == ">="))
    if not found:
        raise UserError("constraint_metrics is empty: give a bound of at least one metric, or leave it out")
    _check_possible(found)
    return tuple(found)


def _check_possible(bounds: Sequence[Bound]) -> None:
    """Refuse bounds that no value of a metric keeps together."""
    for low in (bound for bound in bounds if bound.is_least):
        for high in bounds:
            if high.metric == low.metric and not high.is_least and high.limit < low.limit:
                raise UserError(
                    f"constraint_metrics.{low.metric} has {low} and {high}, which no value keeps: change one of them"
                )
