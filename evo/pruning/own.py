"""Checks the decisions of a user's own pruner, and names the place in its code when it fails."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, final

from evo.errors import UserError
from evo.frames import blamed, cut_off, definition_of, is_made_by_evo, representation
from evo.pruning.base import Pruner, Verdict
from evo.space.values import plain

_Decided = TypeVar("_Decided")

_LONGEST_RESULT = 100  # The number of characters of a wrong result that a message shows.
# The numbers of steps and of other individuals with which a pruner is tried before a search.
_TRIED_STEPS = 64
_TRIED_OTHERS = (0, 1, 4, 16)


class PrunerError(UserError):
    """A pruner does not decide what a search needs."""


def checked(pruner: Pruner) -> Pruner:
    """The same pruner with checked decisions; the pruners of evo need no check."""
    return pruner if is_made_by_evo(type(pruner)) else CheckedPruner(pruner)


def try_out(pruner: Pruner) -> None:
    """Let a pruner decide about some learning curves.

    Raises:
        PrunerError: It cannot.
    """
    tried = checked(pruner)
    curve: dict[int, float] = {}
    for steps, others in itertools.product(range(1, _TRIED_STEPS + 1), _TRIED_OTHERS):
        curve[steps] = 1 / steps
        if tried.rung(steps) is not None:
            figures = [tried.value(curve) + place for place in range(others)]
            tried.judge(curve, figures, best=None if others == 0 else curve[steps] / 2)


@final
@dataclass(frozen=True)
class CheckedPruner(Pruner):
    """A user's own pruner that is called with copies; numpy numbers in its results become Python numbers.

    Args:
        own: The user's pruner.
    """

    own: Pruner

    @property
    def brackets(self) -> Sequence[tuple[float, Pruner]]:
        return [(share, self if bracket is self.own else checked(bracket)) for share, bracket in self.own.brackets]

    def rung(self, steps: int) -> int | None:
        rung = plain(self._call(self.own.rung, steps))
        if rung is not None and not (type(rung) is int and 1 <= rung <= steps):
            self._refuse(self.own.rung, rung, f"for {steps} steps it must return a rung from 1 to {steps}, or None")
        return rung

    def value(self, curve: Mapping[int, float]) -> float:
        value = plain(self._call(self.own.value, dict(curve)))
        if not _is_finite(value):
            self._refuse(self.own.value, value, "it must return a finite number")
        return float(value)

    def judge(self, curve: Mapping[int, float], others: Sequence[float], best: float | None) -> Verdict:
        verdict = self._call(self.own.judge, dict(curve), list(others), best)
        if not isinstance(verdict, Verdict):
            self._refuse(self.own.judge, verdict, "it must return an evo.pruning.Verdict")
        stop, value, threshold, among = map(plain, (verdict.stop, verdict.value, verdict.threshold, verdict.among))
        if not (_is_finite(value) and (threshold is None or _is_finite(threshold))):
            self._refuse(self.own.judge, verdict, "value and threshold must be finite numbers, or threshold None")
        if type(stop) is not bool or type(among) is not int:
            self._refuse(self.own.judge, verdict, "stop must be True or False, and among a whole number")
        return Verdict(stop, float(value), None if threshold is None else float(threshold), among)

    def _call(self, method: Callable[..., _Decided], *arguments: Any) -> _Decided:
        with blamed(f"pruning {self._named(method)} fails", PrunerError, method):
            return method(*arguments)

    def _refuse(self, method: Callable[..., Any], returned: Any, rule: str) -> NoReturn:
        shown = cut_off(representation(returned), _LONGEST_RESULT)
        raise PrunerError(f"pruning {self._named(method)} ({definition_of(method)}) returned {shown}: {rule}")

    def _named(self, method: Callable[..., Any]) -> str:
        return f"{type(self.own).__qualname__}.{method.__name__}"


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
