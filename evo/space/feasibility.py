"""Draws feasible points, which fulfil all constraints, and finds one near a point that is not feasible.

All results depend only on a generator and on the space, so that a search with the same seed repeats itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from evo.randomness import survey_generator
from evo.space.constraints import Constraint, ConstraintError
from evo.space.genes import Gene
from evo.space.neighbourhood import Neighbourhood
from evo.space.points import Point, Points, Searched
from evo.space.values import Params

# The number of draws that estimate how much of a space is feasible; it ends early after so many feasible points.
_SURVEYED, _ENOUGH = 1000, 10
# Sampling makes so many times as many draws as one feasible point needs on average by that estimate.
_PATIENCE = 10
_MOST_DRAWS = 5000
# The number of random points from which a feasible point nearby is searched before evo gives up; so many found suffice.
_SEARCHES, _FEW = 30, 4
# The largest number of combinations of values for which each constraint is tried out.
_TRIED = 1000
# The largest finite space that is enumerated to find its feasible points; smaller with the user's own functions.
_ENUMERABLE, _ENUMERABLE_BY_FUNCTIONS = 300_000, 20_000


class Feasibility:
    """The feasible part of a space.

    Args:
        space: The search space.
        constraints: The constraints, at least one.
    """

    def __init__(self, space: Searched, constraints: Sequence[Constraint]) -> None:
        self.constraints = constraints
        self._space = space
        self._points = Points(space, constraints)
        self._near = Neighbourhood(self._points)

    @property
    def is_enumerable(self) -> bool:
        """Whether the space is small enough to go through all its points to find the feasible ones."""
        has_functions = any(not constraint.names for constraint in self.constraints)
        return self._space.size <= (_ENUMERABLE_BY_FUNCTIONS if has_functions else _ENUMERABLE)

    def allows(self, values: Params) -> bool:
        """Whether active parameters fulfil all constraints."""
        return not self.violated(values)

    def violated(self, values: Params) -> str:
        """The first constraint that active parameters violate; empty when there is none."""
        return next((constraint.text for constraint in self.constraints if constraint.violation(values)), "")

    def check(self) -> None:
        """Make sure that the constraints can be computed, and that some point fulfils them.

        Raises:
            ConstraintError: A constraint cannot be computed, or no feasible point was found; the message names the
                constraint.
        """
        for constraint in self.constraints:
            self._try_out(constraint)
        if self._anchors:
            return
        points = [self._points.drawn(rng) for rng in [survey_generator(1)] for _ in range(_SURVEYED)]
        counts = [sum(one.violation(point.values) > 0 for point in points) for one in self.constraints]
        worst = int(np.argmax(counts))
        if self.is_enumerable:
            found = f"none of the {self._space.size} points fulfils all"
        else:
            found = (
                f"in {_SURVEYED} draws, and {_SEARCHES} searches from one of them, no point fulfilled all constraints"
            )
        raise ConstraintError(
            f"constraints leave nothing to search: {found}; {self.constraints[worst].text!r} was violated most, by "
            f"{counts[worst]} of {len(points)} random points: widen the limits, or the constraint"
        )

    def sample(self, rng: np.random.Generator) -> list[float] | None:
        """The genes of a random feasible point; None when none was found.

        The distribution is uniform where enough of the space is feasible to draw points until one is. Elsewhere it is
        as even as is cheap.
        """
        if self._listed is not None:
            return self._genes_of(self._listed[int(rng.integers(len(self._listed)))], rng)
        for _ in range(self._draws):
            genes = self._space.draw(rng)
            if self.allows(self._space.values(genes)):
                return genes
        for _ in range(_SEARCHES if self._near.has_orders else 0):
            point = self._near.ordered(self._points.drawn(rng))
            if not point.violation:
                return point.genes
        for _ in range(_SEARCHES):
            point = self._near.mend(self._points.drawn(rng), rng, prefer_swaps=True)
            if not point.violation:
                return self._near.walk(point, rng).genes
        if not self._anchors:
            return None
        return self._near.walk(self._anchors[int(rng.integers(len(self._anchors)))], rng).genes

    def repair(self, genes: list[float], parents: Sequence[list[float]], rng: np.random.Generator) -> Point | None:
        """A feasible point near a point that may not be feasible; None when none was found.

        Args:
            genes: All genes of the point.
            parents: The genes of other points, perhaps feasible, towards which it may be moved; NaN where inactive.
            rng: The only source of randomness.
        """
        point = self._points.at(genes)
        if not point.violation:
            return point
        mended = self._near.mend(point, rng)
        if not mended.violation:
            return mended
        for parent in parents:
            filled = [own if math.isnan(gene) else gene for gene, own in zip(parent, genes, strict=True)]
            if (found := self._near.towards(point, self._points.at(filled), rng)) is not None:
                return found
        return None

    @cached_property
    def _survey(self) -> tuple[int, list[Point]]:
        """The number of points that were drawn, and the feasible ones among them."""
        rng, feasible = survey_generator(0), list[Point]()
        for drawn in range(1, _SURVEYED + 1):
            point = self._points.drawn(rng)
            if not point.violation:
                feasible.append(point)
                if len(feasible) == _ENOUGH:
                    return drawn, feasible
        return _SURVEYED, feasible

    @cached_property
    def _draws(self) -> int:
        """The number of draws to make before searching for a feasible point near a drawn one."""
        drawn, feasible = self._survey
        return min(_MOST_DRAWS, _PATIENCE * drawn // len(feasible)) if len(feasible) > 1 else 0

    @cached_property
    def _anchors(self) -> list[Point]:
        """Some feasible points, always the same; empty when none was found."""
        if self._survey[1]:
            return self._survey[1]
        rng = survey_generator(2)
        if self._listed is not None:
            return [self._points.at(self._genes_of(values, rng)) for values in self._listed[:_ENOUGH]]
        mended = (self._near.mend(self._points.drawn(rng), rng, prefer_swaps=True) for _ in range(_SEARCHES))
        return list(itertools.islice((point for point in mended if not point.violation), _FEW))

    @cached_property
    def _listed(self) -> list[Params] | None:
        """All feasible points, where they are rare and the space is small enough to enumerate; otherwise None."""
        if self._draws or not self.is_enumerable:
            return None
        return [values for values in self._every_point() if self.allows(values)] or None

    def _every_point(self) -> Iterator[Params]:
        genes = self._space.genes
        if any(gene.when for gene in genes):
            return self._space.points()
        values = [[gene.decode(gene.of_cell(cell)) for cell in range(int(gene.cells))] for gene in genes]
        # Without conditional parameters the plain product gives the same points several times as fast.
        return (dict(zip(self._space.names, each, strict=True)) for each in itertools.product(*values))

    def points(self, start: int) -> Iterator[Params]:
        """All feasible points of a finite space, once each, in an order that `start` shifts."""
        if self._listed is None:
            return filter(self.allows, self._space.points(start))
        place = start % len(self._listed)
        return iter(self._listed[place:] + self._listed[:place])

    def _genes_of(self, values: Params, rng: np.random.Generator) -> list[float]:
        genes = self._space.draw(rng)
        for name, value in values.items():
            genes[self._points.places[name]] = self._space.genes[self._points.places[name]].encode(value)
        return genes

    def _try_out(self, constraint: Constraint) -> None:
        """Compute a constraint for all or many combinations of the ends and categories of its parameters."""
        rng = survey_generator(4)
        named = [self._points.places[name] for name in constraint.names]
        options = [_typical(self._space.genes[index]) for index in named]
        size = math.prod(map(len, options))
        tried = computed = 0
        for number in range(min(size, _TRIED) if named else _TRIED // _ENOUGH):
            genes = self._space.draw(rng)
            place = number
            for index, choices in zip(named, options, strict=True):
                place, choice = divmod(place, len(choices))
                genes[index] = choices[choice if size <= _TRIED else int(rng.integers(len(choices)))]
            values = self._space.values(genes)
            if constraint.applies(values):
                tried += 1
                computed += constraint.check(values)
        if tried and not computed:
            raise ConstraintError(
                f"constraint {constraint.text!r} has no value: in it, every point divides by zero, or takes a "
                "logarithm or root of what has none"
            )


def _typical(gene: Gene) -> list[float]:
    return [0.0, 0.5, 1.0] if gene.ordered else [gene.of_cell(cell) for cell in range(int(gene.cells))]
