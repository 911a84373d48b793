"""Asynchronous searches with virtual workers in one process, whose evaluations take random times and nothing else."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Search(Protocol):
    """A tool that is asked for points and told what they gave, as `simulate` drives it."""

    def ask(self) -> tuple[Any, Mapping[str, Any]] | None:
        """A token, and the parameters to evaluate next; None when nothing is left to try, which ends the search."""

    def tell(self, token: Any, loss: float) -> None:
        """The loss of the point with this token; nan if it failed."""


@dataclass(frozen=True)
class Timing:
    """How long evaluations take.

    Args:
        spread: The standard deviation of the logarithm of the time; 0.5 is usual, 1 is heavy-tailed.
    """

    spread: float = 0.5


def simulate(
    search: Search,
    loss: Callable[[Mapping[str, Any]], float],
    workers: int,
    evaluations: int,
    seed: int,
    timing: Timing | None = None,
) -> list[float]:
    """The losses in the order in which evaluations end.

    Args:
        search: The tool.
        loss: What is minimised.
        workers: The number of evaluations in flight at any time.
        evaluations: The number of evaluations.
        seed: Decides the times of evaluations, the same for all tools.
        timing: How long evaluations take.
    """
    rng = np.random.default_rng([seed, 7])
    spread = (timing or Timing()).spread
    flying: list[tuple[float, int, Any, float]] = []
    losses: list[float] = []
    now, started = 0.0, 0
    while len(losses) < evaluations:
        while started < evaluations and len(flying) < workers:
            asked = search.ask()
            if asked is None:
                evaluations = started
                break
            token, params = asked
            heapq.heappush(flying, (now + rng.lognormal(0, spread), started, token, loss(params)))
            started += 1
        if not flying:
            break
        now, _, token, value = heapq.heappop(flying)
        search.tell(token, value)
        losses.append(value)
    return losses


def best_so_far(losses: list[float]) -> list[float]:
    """The lowest loss after each evaluation; infinite while none was a number."""
    best, out = math.inf, []
    for loss in losses:
        if loss < best:  # False for nan.
            best = loss
        out.append(best)
    return out
