"""Moves one gene to where a part of a constraint just holds, or is violated least."""

from __future__ import annotations

import math

import numpy as np

from evo.space.points import Point, Points
from evo.space.violations import Term

# The largest number of categories that are tried.
_OPTIONS = 6
# The precision with which a gene is moved to the edge of what a constraint allows.
_EDGE_HALVINGS, _ROOT_HALVINGS = 36, 64
_SHARE_OF_CELL = 1e-3
# Golden-section search: the share that each step cuts off, and the number of steps.
_GOLDEN, _LEAST_HALVINGS = (3 - math.sqrt(5)) / 2, 45


class Levelling:
    """Moves of one gene that level the two sides of a term.

    Args:
        points: The points of the space.
    """

    def __init__(self, points: Points) -> None:
        self._points = points

    def level(self, point: Point, term: Term, index: int, rng: np.random.Generator) -> Point | None:
        """The point after one gene was moved to where a term just holds, or is violated less.

        None when the term's parameters do not all exist at any of the tried places.

        Args:
            point: A point that violates the term.
            term: A part of a constraint; it names the gene's parameter.
            index: The index of the gene.
            rng: The only source of randomness.
        """
        gene = self._points.space.genes[index]
        if not gene.ordered:
            cells = rng.permutation(int(gene.cells))[:_OPTIONS]
            options = [self._points.changed(point, index, gene.of_cell(int(cell))) for cell in cells]
        else:
            options = [self._points.changed(point, index, place) for place in (0.0, 1.0, rng.random(), rng.random())]
        options = [option for option in options if all(name in option.values for name in term.names)]
        holding = [option for option in options if not term.measure(option.values)]
        if not gene.ordered:
            return min(holding or options, key=lambda option: option.violation, default=None)
        here = point.genes[index]
        if holding:
            nearest = min(holding, key=lambda option: abs(option.genes[index] - here))
            return self._at_the_edge(point, nearest, term, index)
        if term.side is not None:
            for option in options:
                if (found := self._at_the_root(point, option, term, index)) is not None:
                    return found
        best = min(options, key=lambda option: option.violation, default=None)
        if best is None or (best.violation < point.violation and rng.random() < 0.7):
            return best
        return self._at_the_least(point, term, index)

    def _at_the_edge(self, outside: Point, inside: Point, term: Term, index: int) -> Point:
        """The first point where a term holds on the way from one where it is violated to one where it holds."""
        apart, precise = outside.genes[index], _SHARE_OF_CELL / self._points.space.genes[index].cells
        for _ in range(_EDGE_HALVINGS):
            if abs(apart - inside.genes[index]) <= precise:
                break
            middle = self._points.changed(inside, index, (apart + inside.genes[index]) / 2)
            if all(name in middle.values for name in term.names) and not term.measure(middle.values):
                inside = middle
            else:
                apart = middle.genes[index]
        return inside

    def _at_the_root(self, one: Point, other: Point, term: Term, index: int) -> Point | None:
        """The point between two sides of an equality where it holds, or where it is violated least."""
        assert term.side is not None
        try:
            below = term.side(one.values) < 0
            if (term.side(other.values) < 0) == below:
                return None
            precise = _SHARE_OF_CELL / self._points.space.genes[index].cells
            for _ in range(_ROOT_HALVINGS):
                place = (one.genes[index] + other.genes[index]) / 2
                if place in (one.genes[index], other.genes[index]) or abs(place - one.genes[index]) < precise:
                    break
                middle = self._points.changed(one, index, place)
                if not term.measure(middle.values):
                    return middle
                if (term.side(middle.values) < 0) == below:
                    one = middle
                else:
                    other = middle
        except (ArithmeticError, ValueError, TypeError, KeyError):
            return None  # The term has no value somewhere in between.
        return min(one, other, key=lambda point: point.violation)

    def _at_the_least(self, point: Point, term: Term, index: int) -> Point:
        """The point after one gene was moved to where a term is violated least, assuming a single minimum."""

        def at(place: float) -> tuple[float, Point]:
            there = self._points.changed(point, index, place)
            exists = all(name in there.values for name in term.names)
            return term.measure(there.values) if exists else math.inf, there

        low, high = 0.0, 1.0
        inner = [at(low + _GOLDEN * (high - low)), at(high - _GOLDEN * (high - low))]
        precise = _SHARE_OF_CELL / self._points.space.genes[index].cells
        for _ in range(_LEAST_HALVINGS):
            if not min(inner, key=_first)[0] or high - low < precise:
                break
            if inner[0][0] <= inner[1][0]:
                high = inner[1][1].genes[index]
                inner = [at(low + _GOLDEN * (high - low)), inner[0]]
            else:
                low = inner[0][1].genes[index]
                inner = [inner[1], at(high - _GOLDEN * (high - low))]
        return min(at(0.0), at(1.0), *inner, key=_first)[1]


def _first(measured: tuple[float, Point]) -> float:
    return measured[0]
