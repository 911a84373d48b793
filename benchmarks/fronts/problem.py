"""A problem with several objectives, what one evaluation of it gives, and how good a front is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.quality.problem import Problem
from evo.population.dominance import hypervolume, ranks

Points: TypeAlias = npt.NDArray[np.float64]
"""Losses of shape (points, objectives)."""


class Value(NamedTuple):
    """What an evaluation gives.

    Args:
        losses: The losses of all objectives, which are minimised.
        excesses: By how much each bound is violated, as a share of it; negative where it is kept.
    """

    losses: tuple[float, ...]
    excesses: tuple[float, ...] = ()

    @property
    def violation(self) -> float:
        """The sum of the violations, 0 if all bounds are kept."""
        return sum(max(0.0, excess) for excess in self.excesses)


@dataclass(frozen=True)
class FrontProblem(Problem):
    """Several functions to minimise; `loss` gives a `Value`.

    Args:
        objectives: The number of objectives.
        bounds: The number of bounds.
        reference: The point up to which volume counts, in scaled losses.
        near: One that is close to the front, which tells good fronts apart, and counts nothing where none is near yet.
        volume: The hypervolume of the best known front up to a reference point, in scaled losses.
        ideal: The lowest losses, which are 0 when scaled.
        nadir: The highest losses of the front, which are 1 when scaled.
    """

    objectives: int = 2
    bounds: int = 0
    reference: tuple[float, ...] = (1.1, 1.1)
    near: tuple[float, ...] = (1.1, 1.1)
    volume: Callable[[Sequence[float]], float] = field(default=lambda reference: 1.0, compare=False)
    ideal: tuple[float, ...] = (0.0, 0.0, 0.0)
    nadir: tuple[float, ...] = (1.0, 1.0, 1.0)

    @cached_property
    def _volumes(self) -> tuple[float, float]:
        return self.volume(self.reference), self.volume(self.near)

    def front(self, values: Iterable[Value]) -> Points:
        """The scaled losses that no other ones dominate, of the evaluations that keep all bounds."""
        kept = [value.losses for value in values if value.violation == 0.0]
        if not kept:
            return np.empty((0, self.objectives))
        low, high = np.array(self.ideal[: self.objectives]), np.array(self.nadir[: self.objectives])
        losses = np.unique((np.array(kept) - low) / (high - low), axis=0)
        return np.asarray(losses[ranks(losses) == 0])

    def shares(self, front: Points) -> tuple[float, float]:
        """Its hypervolume as a share of that of the best known front, up to `reference` and up to `near`."""
        here = hypervolume(front, self.reference), hypervolume(front, self.near)
        return here[0] / self._volumes[0], here[1] / self._volumes[1]


def vector(params: Mapping[str, Any]) -> Points:
    """The parameters x0, x1, … in their order, of shape (parameters,)."""
    return np.array([params[f"x{number}"] for number in range(len(params))], dtype=float)
