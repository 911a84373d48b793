"""Redistributes numbers among parameters, so that none is above another that it must not be above."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Pair: TypeAlias = tuple[str, str]
"""The first must not be above the second."""


def put_in_order(values: Mapping[str, float], pairs: Sequence[Pair]) -> dict[str, float]:
    """The same numbers in an order that no pair forbids.

    If the numbers are independent, random and in a chain, the result is uniform among all ordered points.

    Args:
        values: The value of each parameter.
        pairs: The pairs of parameters to put in order.

    Returns:
        The values of all parameters that pairs link; empty where these form a circle.

    Example:
        >>> put_in_order({"a": 3, "b": 1, "c": 2, "d": 0}, [("a", "b"), ("b", "c")])
        {'a': 1, 'b': 2, 'c': 3}
    """
    above: defaultdict[str, list[str]] = defaultdict(list)
    waiting: defaultdict[str, int] = defaultdict(int)
    for low, high in pairs:
        above[low].append(high)
        waiting[high] += 1
    given: dict[str, float] = {}
    for group in _linked(pairs):
        numbers = sorted(values[name] for name in group)
        # The candidate with the lowest number comes next, so that numbers that are in order stay as they are.
        ready = [(values[name], name) for name in group if not waiting[name]]
        heapq.heapify(ready)
        for number in numbers:
            if not ready:
                return {}
            _, name = heapq.heappop(ready)
            given[name] = number
            for higher in above[name]:
                waiting[higher] -= 1
                if not waiting[higher]:
                    heapq.heappush(ready, (values[higher], higher))
    return given


def _linked(pairs: Sequence[Pair]) -> list[list[str]]:
    """Groups of parameters that pairs link, directly or through others."""
    groups: list[list[str]] = []
    for pair in pairs:
        linked = [group for group in groups if not set(group).isdisjoint(pair)]
        groups = [group for group in groups if group not in linked]
        groups.append(list(dict.fromkeys([*(name for group in linked for name in group), *pair])))
    return groups
