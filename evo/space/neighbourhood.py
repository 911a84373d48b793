"""Points near others: how one that violates constraints is moved until it does not; walks among feasible ones."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from evo.errors import UserError
from evo.space.constraints import Constraint, Term
from evo.space.genes import Gene
from evo.space.ordering import put_in_order
from evo.space.values import Params

# Moves until a point is given up.
_STEPS, _STEPS_PER_GENE = 60, 20
# Swaps in a row, for each gene, that make nothing better, before others are tried.
_SWAPS_IN_VAIN = 4
# Turns of a random walk among feasible points, for each gene; halvings of one turn.
_TURNS, _HALVINGS = 6, 16
_SIGMAS = (0.01, 0.03, 0.1, 0.3)
# A gene that is moved onto the edge of what a constraint allows is so exactly there.
_EDGE_HALVINGS, _ROOT_HALVINGS = 36, 64
_SHARE_OF_CELL = 1e-3
# By the golden section: the share that each step cuts off, and how many there are.
_GOLDEN, _LEAST_HALVINGS = (3 - math.sqrt(5)) / 2, 45


class Searched(Protocol):
    """What is searched; see `evo.space.space.Space`."""

    names: tuple[str, ...]
    size: float

    @property
    def genes(self) -> Sequence[Gene]:
        """Of all parameters."""

    def draw(self, rng: np.random.Generator) -> list[float]:
        """A value for every gene, whatever the constraints."""

    def values(self, genes: Sequence[float]) -> Params:
        """The active parameters of genes that are all there."""

    def points(self, start: int = 0) -> Iterator[Params]:
        """All points of a finite space."""


@dataclass(frozen=True, eq=False)
class Point:
    """A point, feasible or not.

    Args:
        genes: All of them, those of inactive parameters as well.
        values: The active parameters.
        constraints: That it is measured by.
    """

    genes: list[float]
    values: Params
    constraints: Sequence[Constraint] = field(repr=False)

    @cached_property
    def violation(self) -> float:
        """By how much it violates the constraints, 0 where it fulfils them all."""
        return sum([constraint.violation(self.values) for constraint in self.constraints])


class Neighbourhood:
    """Moves from point to point.

    Args:
        space: What is searched.
        constraints: At least one.
    """

    def __init__(self, space: Searched, constraints: Sequence[Constraint]) -> None:
        self.constraints = constraints
        self._space = space
        self._places = {name: index for index, name in enumerate(space.names)}
        self._concerned = self._concerned_genes()

    def at(self, genes: list[float]) -> Point:
        """The point of these genes."""
        return Point(genes, self._space.values(genes), self.constraints)

    def mend(self, point: Point, rng: np.random.Generator, prefer_swaps: bool = False) -> Point:
        """A point nearby that violates less, feasible if that is found in a bounded number of small moves."""
        point = self.ordered(point)
        steps = in_vain = 0
        while point.violation:
            violated = self._violated(point)
            named = {name for term in violated for name in (term.names or point.values)}
            if steps >= _STEPS + _STEPS_PER_GENE * len(named):
                break
            term = violated[int(rng.integers(len(violated)))]
            # Points that are only put in order stay uniform.
            swap_only = prefer_swaps and in_vain < _SWAPS_IN_VAIN * len(named)
            candidate = self._moved(point, term, named, rng, swap_only)
            better = candidate is not None and candidate.violation < point.violation
            if candidate is not None and candidate.violation <= point.violation:
                point = candidate
            if swap_only:
                in_vain = 0 if better else in_vain + 1
            else:
                steps += 1
        return point

    @property
    def has_orders(self) -> bool:
        """Whether some constraint compares two parameters."""
        return any(term.order for constraint in self.constraints for term in constraint.terms)

    def ordered(self, point: Point) -> Point:
        """The same numbers in the order that constraints want, where they are within each other's limits."""
        terms = [term for one in self.constraints if one.applies(point.values) for term in one.terms if term.order]
        if not any(term.measure(point.values) for term in terms):
            return point
        genes = point.genes.copy()
        try:
            pairs = [term.order for term in terms if term.order]
            for name, value in put_in_order(point.values, pairs).items():
                index = self._places[name]
                genes[index] = self._space.genes[index].encode(value)
        except (UserError, TypeError):
            return point
        there = self.at(genes)
        return there if there.violation <= point.violation else point

    def _violated(self, point: Point) -> list[Term]:
        return [
            term
            for constraint in self.constraints
            if constraint.applies(point.values)
            for term in constraint.terms
            if term.measure(point.values)
        ]

    def _moved(
        self, point: Point, term: Term, named: Collection[str], rng: np.random.Generator, swap_only: bool
    ) -> Point | None:
        """The point after one move, of genes that have something to do with a violated term."""
        own = [self._places[name] for name in point.values if name in (term.names or point.values)]
        every = [self._places[name] for name in point.values if name in named]
        kind = 0.0 if swap_only else rng.random()
        if kind < 0.3 and len(every) > 1:
            among = own if len(own) > 1 and rng.random() < 0.5 else every
            one, other = rng.permutation(len(among))[:2]
            return self._swapped(point, among[one], among[other])
        index = own[int(rng.integers(len(own)))]
        if kind < 0.6 and term.names:
            return self._levelled(point, term, index, rng)
        if kind < 0.75 or not term.names:
            changed = point
            for place in every if rng.random() < 0.5 and not term.names else [index]:
                changed = self._nudged(changed, place, rng)
        else:
            changed = self._with(point, index, self._space.genes[index].sample(rng))
        if term.names and len(own) > 1 and changed.violation > point.violation:
            # One gene goes its way, and another one follows: the only way along an equality.
            others = [place for place in own if place != index]
            return self._levelled(changed, term, others[int(rng.integers(len(others)))], rng) or changed
        return changed

    def _with(self, point: Point, index: int, gene: float) -> Point:
        genes = point.genes.copy()
        genes[index] = gene
        return self.at(genes)

    def _nudged(self, point: Point, index: int, rng: np.random.Generator) -> Point:
        gene = self._space.genes[index]
        if not gene.ordered:
            return self._with(point, index, gene.sample(rng))
        sigma = max(_SIGMAS[int(rng.integers(len(_SIGMAS)))], 1 / gene.cells)
        return self._with(point, index, min(max(point.genes[index] + sigma * rng.standard_normal(), 0.0), 1.0))

    def _swapped(self, point: Point, one: int, other: int) -> Point | None:
        genes, names = point.genes.copy(), self._space.names
        try:
            genes[one] = self._space.genes[one].encode(point.values[names[other]])
            genes[other] = self._space.genes[other].encode(point.values[names[one]])
        except UserError:
            return None  # A value of one is none of the other.
        return self.at(genes)

    def _levelled(self, point: Point, term: Term, index: int, rng: np.random.Generator) -> Point | None:
        """The point after one gene was moved to where a term just holds, or is violated less; None: it is nowhere."""
        gene = self._space.genes[index]
        if not gene.ordered:
            cells = rng.permutation(int(gene.cells))[:_TURNS]
            options = [self._with(point, index, gene.of_cell(int(cell))) for cell in cells]
        else:
            options = [self._with(point, index, place) for place in (0.0, 1.0, rng.random(), rng.random())]
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
        """Between a point where a term is violated and one where it holds, the first where it does."""
        apart, precise = outside.genes[index], _SHARE_OF_CELL / self._space.genes[index].cells
        for _ in range(_EDGE_HALVINGS):
            if abs(apart - inside.genes[index]) <= precise:
                break
            middle = self._with(inside, index, (apart + inside.genes[index]) / 2)
            if all(name in middle.values for name in term.names) and not term.measure(middle.values):
                inside = middle
            else:
                apart = middle.genes[index]
        return inside

    def _at_the_root(self, one: Point, other: Point, term: Term, index: int) -> Point | None:
        """Between two points on both sides of an equality, the one where it holds, or else is violated least."""
        assert term.side is not None
        try:
            below = term.side(one.values) < 0
            if (term.side(other.values) < 0) == below:
                return None
            precise = _SHARE_OF_CELL / self._space.genes[index].cells
            for _ in range(_ROOT_HALVINGS):
                place = (one.genes[index] + other.genes[index]) / 2
                if place in (one.genes[index], other.genes[index]) or abs(place - one.genes[index]) < precise:
                    break
                middle = self._with(one, index, place)
                if not term.measure(middle.values):
                    return middle
                if (term.side(middle.values) < 0) == below:
                    one = middle
                else:
                    other = middle
        except (ArithmeticError, ValueError, TypeError, KeyError):
            return None  # It has no value in between.
        return min(one, other, key=lambda point: point.violation)

    def _at_the_least(self, point: Point, term: Term, index: int) -> Point:
        """The point after one gene was moved to where a term is violated least, if that has one such place."""

        def at(place: float) -> tuple[float, Point]:
            there = self._with(point, index, place)
            exists = all(name in there.values for name in term.names)
            return term.measure(there.values) if exists else math.inf, there

        low, high = 0.0, 1.0
        inner = [at(low + _GOLDEN * (high - low)), at(high - _GOLDEN * (high - low))]
        precise = _SHARE_OF_CELL / self._space.genes[index].cells
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

    def towards(self, point: Point, parent: Point, rng: np.random.Generator) -> Point | None:
        """The point on the way to a feasible parent that is the furthest from it, with the categories of either."""
        genes = self._space.genes
        own, theirs = np.array(point.genes), np.array(parent.genes)
        ordered = np.array([gene.ordered for gene in genes])
        from_either = np.where(ordered | (rng.random(len(genes)) < 0.5), theirs, own)
        for start in (self.at(from_either.tolist()), parent):
            if start.violation:
                continue
            near, far, best = 0.0, 1.0, start
            base = np.array(start.genes)
            for _ in range(_HALVINGS):
                middle = (near + far) / 2
                there = self.at(np.where(ordered, base + middle * (own - base), base).tolist())
                if there.violation:
                    far = middle
                else:
                    near, best = middle, there
            return best
        return None

    def walk(self, point: Point, rng: np.random.Generator) -> Point:
        """Where a random walk among feasible points arrives, whose stationary distribution is uniform."""
        active = [index for index in self._concerned if self._space.names[index] in point.values]
        for _ in range(_TURNS * len(active)):
            one, other = (active[int(rng.integers(len(active)))] for _ in range(2))
            direction = 1.0 if rng.random() < 0.5 else -1.0
            point = self._turned(point, one, other, 0.0 if one == other or rng.random() < 0.5 else direction, rng)
        return point

    def _turned(self, point: Point, one: int, other: int, direction: float, rng: np.random.Generator) -> Point:
        """A feasible point, uniform on a line through another one along one gene, or two (slice sampling)."""
        genes = self._space.genes
        if not genes[one].ordered:
            there = self._with(point, one, genes[one].sample(rng))
            return point if there.violation else there
        reach = [_reach(point.genes[one], 1.0)]
        if direction and genes[other].ordered:
            reach.append(_reach(point.genes[other], direction))
        low, high = max(low for low, _ in reach), min(high for _, high in reach)
        for _ in range(_HALVINGS):
            step = low + rng.random() * (high - low)
            moved = point.genes.copy()
            moved[one] = min(max(moved[one] + step, 0.0), 1.0)
            if len(reach) > 1:
                moved[other] = min(max(moved[other] + direction * step, 0.0), 1.0)
            there = self.at(moved)
            if not there.violation:
                return there
            low, high = (step, high) if step < 0 else (low, step)
        return point

    def _concerned_genes(self) -> list[int]:
        """The genes that a constraint is about; those of conditions among them, and all when one is a function."""
        every = any(not constraint.names for constraint in self.constraints)
        named = {name for constraint in self.constraints for name in constraint.names}
        parents = {parent for gene in self._space.genes if every or gene.name in named for parent, _ in gene.when}
        return [index for name, index in self._places.items() if every or name in named | parents]


def _first(measured: tuple[float, Point]) -> float:
    return measured[0]


def _reach(gene: float, direction: float) -> tuple[float, float]:
    """How far a gene may go back and forth along a direction and stay within [0, 1]."""
    ends = -gene / direction, (1.0 - gene) / direction
    return min(ends), max(ends)
