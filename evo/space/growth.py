"""A study whose limits have changed: what its earlier individuals are within the new ones.

Nothing that is recorded changes. An individual whose parameters lie within the study's limits is one like any other;
one that was started before a parameter existed has the default of that; any other is set aside: it stays in the journal
and counts as evaluated, but it neither breeds nor is it the best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from evo.errors import UserError
from evo.space.filling import supplement
from evo.space.limits import ABSENT, Parameter, allowed_values, default_of, may_be, parse_limits
from evo.space.space import Genome, Space
from evo.space.values import Params, identical


@dataclass(frozen=True)
class Fitted:
    """What an individual is within the limits.

    Args:
        params: Its parameters, with the defaults of those that did not exist when it was started.
        genome: Its place; None: it is set aside.
        precedence: Of several sets of parameters that are recorded of one individual, the one with the highest counts:
            the one within the latest limits.
    """

    params: Params
    genome: Genome | None
    precedence: tuple[int, bytes]


class Forms:
    """The limits that a study has had, one after another.

    Args:
        recorded: The study's limits.
        former: What they were before, the first ones first.
        space: In which genomes are made, if another one than `recorded`: they may differ in defaults, and functions as
            constraints cannot be made from what is recorded.
    """

    def __init__(self, recorded: Space, former: Sequence[Space] = (), space: Space | None = None) -> None:
        self.space = space or recorded
        self._forms = [*former, recorded]

    @property
    def have_changed(self) -> bool:
        """Whether there is more than one."""
        return len(self._forms) > 1

    def fit(self, params: Params) -> Fitted:
        """What an individual is within the limits.

        Args:
            params: As they were recorded.

        Raises:
            UserError: They are not within the limits, and have never been.
        """
        try:
            return Fitted(params, self._place(params), _precedence(len(self._forms), params))
        except UserError:
            number = self._latest(params)
            if number is None:
                raise
        grown = params
        for form in self._forms[number + 1 :]:
            grown = supplement(form, grown)
        try:
            genome = self._place(grown)
        except UserError:
            return Fitted(params, None, _precedence(number, params))
        return Fitted(grown if genome is not None else params, genome, _precedence(number, params))

    def _place(self, params: Params) -> Genome | None:
        """The genome; None where the constraints, which may have changed, are violated."""
        genome = self.space.encode(params)
        return genome if self.space.allows(params) else None

    def _latest(self, params: Params) -> int | None:
        """The number of the latest limits that parameters are within."""
        for number in reversed(range(len(self._forms) - 1)):
            try:
                self._forms[number].encode(params)
            except UserError:
                continue
            return number
        return None


class Change(msgspec.Struct, frozen=True):
    """One difference between the limits that a study has and others.

    Args:
        name: The parameter; empty: their order.
        before: What its limit is, as text; empty: there is none.
        now: What it would be.
    """

    name: str
    before: str
    now: str

    def __str__(self) -> str:
        if not self.name:
            return f"the order of parameters is {self.now}"
        if not self.before or not self.now:
            return f"{self.name} is {'new' if self.now else 'gone'}: {self.now or self.before}"
        return f"{self.name} was {self.before} and is {self.now}"

    @property
    def refusal(self) -> str:
        """The same, where other limits are refused."""
        if not self.name:
            return f"its limits are in the order {self.before}, not {self.now}"
        return f"its limit of {self.name!r} is {self.before or None}, not {self.now or None}"


def find_changes(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """How limits differ; a default makes no difference.

    Args:
        before: See `evo.space.limits.describe_limits`.
        now: The same.

    Example:
        >>> limits = {"x": {"type": "choice", "values": [1]}}
        >>> [str(change) for change in find_changes(limits, {"x": {"type": "choice", "values": [2]}})]
        ["x was {'type': 'choice', 'values': [1]} and is {'type': 'choice', 'values': [2]}"]
    """
    changes = []
    for name in dict.fromkeys([*before, *now]):
        one, other = (_without_default(each.get(name)) for each in (before, now))
        if not identical(one, other):
            changes.append(Change(name, *("" if each is None else str(each) for each in (one, other))))
    if not changes and list(before) != list(now):
        changes.append(Change("", str(list(before)), str(list(now))))
    return changes


def check_growth(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Make sure that the earlier individuals have a value for each new parameter.

    Args:
        before: The former limits.
        now: The new ones.

    Raises:
        UserError: A new parameter has no default.
    """
    old, new = parse_limits(before), parse_limits(now)
    for name in new:
        if name not in old and default_of(new[name]) is ABSENT and _may_exist(name, old, new):
            raise UserError(
                f"limit {name!r} is new in this study: give it a default, which the earlier individuals then have, for "
                "example evo.Float(0.0, 1.0, default=0.0), or in YAML {type: float, low: 0.0, high: 1.0, default: 0.0}"
            )


def _may_exist(name: str, old: Mapping[str, Parameter], new: Mapping[str, Parameter]) -> bool:
    """Whether an individual of the old limits might have a new parameter."""
    for parent, wanted in (new[name].when or {}).items():
        possible = [value for value in allowed_values(wanted) if _may_have_been(parent, value, old, new)]
        if not possible or (parent not in old and not _may_exist(parent, old, new)):
            return False
    return True


def _may_have_been(name: str, value: Any, old: Mapping[str, Parameter], new: Mapping[str, Parameter]) -> bool:
    return may_be(old[name], value) if name in old else identical(default_of(new[name]), value)


def _without_default(limit: Mapping[str, Any] | None) -> Any:
    return limit and {field: value for field, value in limit.items() if field != "default"}


def _precedence(number: int, params: Params) -> tuple[int, bytes]:
    return number, msgspec.json.encode(params, order="deterministic")
