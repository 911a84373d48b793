"""A study whose limits have changed: how its earlier individuals fit into the new limits.

Nothing that is recorded changes. An individual within the study's limits is treated like any other. One that was
started before a parameter existed gets the default of that parameter. Any other is set aside: it stays in the journal
and counts as evaluated, but it does not breed and cannot be the best.
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
    """An individual, fitted into the study's limits.

    Args:
        params: Its parameters, with the defaults of those that did not exist when it was started.
        genome: Its genome; None means that it is set aside.
        form: The number of the latest limits that it is within.
        recorded: Its parameters as they were recorded.
    """

    params: Params
    genome: Genome | None
    form: int
    recorded: Params

    @property
    def precedence(self) -> tuple[int, bytes]:
        """Decides between several recorded sets of parameters of one individual.

        The highest counts, which is that of the set within the latest limits.
        """
        return self.form, msgspec.json.encode(self.recorded, order="deterministic")


class Forms:
    """The limits that a study has had, one after another.

    Args:
        recorded: The study's limits.
        former: The earlier limits, the oldest first.
        space: The space in which genomes are made, if it is not `recorded`. The two may differ in defaults, and
            constraints that are functions cannot be made from a record.
    """

    def __init__(self, recorded: Space, former: Sequence[Space] = (), space: Space | None = None) -> None:
        self.space = space or recorded
        self._forms = [*former, recorded]

    @property
    def have_changed(self) -> bool:
        """Whether the study has had more than one set of limits."""
        return len(self._forms) > 1

    def fit(self, params: Params) -> Fitted:
        """Fit an individual into the study's limits.

        Args:
            params: The parameters of the individual, as they were recorded.

        Raises:
            UserError: The parameters are not within the limits, and never were.
        """
        try:
            return Fitted(params, self._place(params), len(self._forms), params)
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
            return Fitted(params, None, number, params)
        return Fitted(grown if genome is not None else params, genome, number, params)

    def _place(self, params: Params) -> Genome | None:
        """The genome; None where the constraints, which may have changed, are violated."""
        genome = self.space.encode(params)
        return genome if self.space.allows(params) else None

    def _latest(self, params: Params) -> int | None:
        """The number of the latest limits that contain these parameters."""
        for number in reversed(range(len(self._forms) - 1)):
            try:
                self._forms[number].encode(params)
            except UserError:
                continue
            return number
        return None


class Change(msgspec.Struct, frozen=True):
    """One difference between the limits of a study and other ones.

    Args:
        name: The name of the parameter; empty when the order of the parameters differs.
        before: The limit that the study has, as text; empty when it has none.
        now: The other limit, as text; empty when there is none.
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
        """The same difference, worded for a message that refuses the other limits."""
        if not self.name:
            return f"its limits are in the order {self.before}, not {self.now}"
        return f"its limit of {self.name!r} is {self.before or None}, not {self.now or None}"


def find_changes(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """The differences between two sets of limits; defaults are not compared.

    Args:
        before: The former limits, as `evo.space.limits.describe_limits` writes them.
        now: The new limits, in the same form.

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
