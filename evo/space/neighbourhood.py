"""Moves an infeasible point until it fulfils the constraints, and walks at random among feasible points."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from evo.errors import UserError
from evo.space.levelling import Levelling
from evo.space.ordering import put_in_order
from evo.space.points import Point, Points
from evo.space.violations import Term

# The number of moves after which a point is given up.
_STEPS, _STEPS_PER_GENE = 60, 20
# The number of swaps in a row, for each gene, that may bring no improvement before other moves are tried.
_SWAPS_IN_VAIN = 4
# The number of steps of a random walk for each gene, and the number of halvings within one step.
_TURNS, _HALVINGS = 6, 16
_SIGMAS = (0.01, 0.03, 0.1, 0.3)


class Neighbourhood:
    """Moves from point to point.

    Args:
        points: The points of the space.
    """

    def __init__(self, points: Points) -> None:
        self._points = points
        self._space = points.space
        self._places = points.places
        self._levelling = Levelling(points)
        self._concerned = self._concerned_genes()

    def mend(self, point: Point, rng: np.random.Generator, prefer_swaps: bool = False) -> Point:
        """A point nearby that violates the constraints less; feasible if a bounded number of small moves finds one."""
        point = self.ordered(point)
        steps = in_vain = 0
        while point.violation:
            violated = self._points.violated(point)
            named = {name for term in violated for name in (term.names or point.values)}
            if steps >= _STEPS + _STEPS_PER_GENE * len(named):
                break
            term = violated[int(rng.integers(len(violated)))]
            # Swaps are tried first, because points that are only put in order stay uniformly distributed.
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
        return any(term.order for constraint in self._points.constraints for term in constraint.terms)

    def ordered(self, point: Point) -> Point:
        """The same numbers in the order that constraints demand, where each lies within its new parameter's limits."""
        terms = [
            term for one in self._points.constraints if one.applies(point.values) for term in one.terms if term.order
        ]
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
        there = self._points.at(genes)
        return there if there.violation <= point.violation else point

    def _moved(
        self, point: Point, term: Term, named: Collection[str], rng: np.random.Generator, swap_only: bool
    ) -> Point | None:
        """The point after one move of genes that a violated term concerns."""
        own = [self._places[name] for name in point.values if name in (term.names or point.values)]
        every = [self._places[name] for name in point.values if name in named]
        kind = 0.0 if swap_only else rng.random()
        if kind < 0.3 and len(every) > 1:
            among = own if len(own) > 1 and rng.random() < 0.5 else every
            one, other = rng.permutation(len(among))[:2]
            return self._swapped(point, among[one], among[other])
        index = own[int(rng.integers(len(own)))]
        if kind < 0.6 and term.names:
            return self._levelling.level(point, term, index, rng)
        if kind < 0.75 or not term.names:
            changed = point
            for place in every if rng.random() < 0.5 and not term.names else [index]:
                changed = self._nudged(changed, place, rng)
        else:
            changed = self._points.changed(point, index, self._space.genes[index].sample(rng))
        if term.names and len(own) > 1 and changed.violation > point.violation:
            # A second gene makes up for the first, because a point can move along an equality in no other way.
            others = [place for place in own if place != index]
            return self._levelling.level(changed, term, others[int(rng.integers(len(others)))], rng) or changed
        return changed

    def _nudged(self, point: Point, index: int, rng: np.random.Generator) -> Point:
        gene = self._space.genes[index]
        if not gene.ordered:
            return self._points.changed(point, index, gene.sample(rng))
        sigma = max(_SIGMAS[int(rng.integers(len(_SIGMAS)))], 1 / gene.cells)
        return self._points.changed(
            point, index, min(max(point.genes[index] + sigma * rng.standard_normal(), 0.0), 1.0)
        )

    def _swapped(self, point: Point, one: int, other: int) -> Point | None:
        genes, names = point.genes.copy(), self._space.names
        try:
            genes[one] = self._space.genes[one].encode(point.values[names[other]])
            genes[other] = self._space.genes[other].encode(point.values[names[one]])
        except UserError:
            return None  # One parameter cannot have the value of the other.
        return self._points.at(genes)

    def towards(self, point: Point, parent: Point, rng: np.random.Generator) -> Point | None:
        """The feasible point nearest to `point` on the line to a feasible parent, with categories of either of them."""
        genes = self._space.genes
        own, theirs = np.array(point.genes), np.array(parent.genes)
        ordered = np.array([gene.ordered for gene in genes])
        from_either = np.where(ordered | (rng.random(len(genes)) < 0.5), theirs, own)
        for start in (self._points.at(from_either.tolist()), parent):
            if start.violation:
                continue
            near, far, best = 0.0, 1.0, start
            base = np.array(start.genes)
            for _ in range(_HALVINGS):
                middle = (near + far) / 2
                there = self._points.at(np.where(ordered, base + middle * (own - base), base).tolist())
                if there.violation:
                    far = middle
                else:
                    near, best = middle, there
            return best
        return None

    def walk(self, point: Point, rng: np.random.Generator) -> Point:
        """The end of a random walk among feasible points; its stationary distribution is uniform."""
        active = [index for index in self._concerned if self._space.names[index] in point.values]
        for _ in range(_TURNS * len(active)):
            one, other = (active[int(rng.integers(len(active)))] for _ in range(2))
            direction = 1.0 if rng.random() < 0.5 else -1.0
            point = self._turned(point, one, other, 0.0 if one == other or rng.random() < 0.5 else direction, rng)
        return point

    def _turned(self, point: Point, one: int, other: int, direction: float, rng: np.random.Generator) -> Point:
        """A feasible point, drawn uniformly from a line through another one along one or two genes (slice sampling)."""
        genes = self._space.genes
        if not genes[one].ordered:
            there = self._points.changed(point, one, genes[one].sample(rng))
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
            there = self._points.at(moved)
            if not there.violation:
                return there
            low, high = (step, high) if step < 0 else (low, step)
        return point

    def _concerned_genes(self) -> list[int]:
        """The genes that constraints name, with those that they depend on; all when a constraint is a function."""
        every = any(not constraint.names for constraint in self._points.constraints)
        named = {name for constraint in self._points.constraints for name in constraint.names}
        parents = {parent for gene in self._space.genes if every or gene.name in named for parent, _ in gene.when}
        return [index for name, index in self._places.items() if every or name in named | parents]


def _reach(gene: float, direction: float) -> tuple[float, float]:
    """How far a gene may move back and forth along a direction within [0, 1]."""
    ends = -gene / direction, (1.0 - gene) / direction
    return min(ends), max(ends)
