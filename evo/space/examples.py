"""Example points of a space that together show every choice, to be tried before a search begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evo.space.parameters import Choice
from evo.space.space import Space
from evo.space.values import identical

_MOST = 200  # The largest number of examples.
_NEAR = 3  # A point that violates the constraints is moved towards so many of the latest examples.
_TRIES = 2000  # The number of random points that are tried to show what is still missing.


def example_points(space: Space) -> list[dict[str, Any]]:
    """A few points that together have every value of every choice, and every parameter.

    The first has the lowest numbers, the second the highest ones. Where constraints forbid such a point, a feasible
    one takes its place; values that no feasible point was found for are left out.

    Args:
        space: The search space.

    Returns:
        At least one point, unless nothing fulfils the constraints; at most 200, even if some values stay out.

    Example:
        >>> example_points(Space({"layers": (1, 3), "activation": ("relu", "tanh")}))
        [{'layers': 1, 'activation': 'relu'}, {'layers': 3, 'activation': 'tanh'}]
    """
    examples = _Examples(space)
    counts = examples.counts
    for number in range(max(counts, default=1)):
        examples.add([min(number, count - 1) for count in counts])
    for _ in range(_TRIES):
        if examples.are_enough:
            break
        examples.add([int(examples.rng.integers(count)) for count in counts])
    return examples.points


class _Examples:
    """The points found so far, and the values that none of them shows yet.

    Args:
        space: The search space.

    Attributes:
        counts: The number of places of each gene: the values of a choice, or the two ends of a range of numbers.
        points: The points found so far.
        rng: A generator with a fixed seed.
    """

    def __init__(self, space: Space) -> None:
        self.points: list[dict[str, Any]] = []
        self.rng = np.random.Generator(np.random.PCG64(0))
        self._space = space
        self._names = [name for name in space.names if name not in space.constants]
        self.counts = [
            int(cells) if isinstance(space.parameters[name], Choice) else 2
            for name, cells in zip(self._names, space.cells, strict=True)
        ]
        self._missing = {
            (name, place) for name, count in zip(self._names, self.counts, strict=True) for place in range(count)
        }

    @property
    def are_enough(self) -> bool:
        """Whether nothing is missing, or there may be no more."""
        return not self._missing or len(self.points) >= _MOST

    def add(self, places: Sequence[int]) -> None:
        """Add the point with these places of its genes, or one near it, if it shows anything that is missing."""
        space = self._space
        genome = _genome(space, self._names, places, self.counts)
        asked = space.complete(genome, self.rng)
        point = asked if space.allows(asked) else _instead(space, genome, self.points, self.rng)
        if point is None:
            return
        # Constraints may forbid the end of a range, so any number counts as showing it.
        shown = self._missing.intersection(
            (name, place)
            for name, place in zip(self._names, places, strict=True)
            if name in point
            and (not isinstance(space.parameters[name], Choice) or identical(point[name], asked.get(name, ...)))
        )
        if (shown or not self.points) and len(self.points) < _MOST:
            self._missing -= shown
            self.points.append(point)


def _instead(
    space: Space, genome: Any, points: Sequence[Mapping[str, Any]], rng: np.random.Generator
) -> dict[str, Any] | None:
    """A feasible point near one that violates the constraints, or else any feasible point; None when none was found."""
    point = space.repair(genome, [space.encode(other) for other in points[-_NEAR:]], rng)
    point = space.complete(space.sample(rng), rng) if point is None else point
    return point if space.allows(point) else None


def _genome(space: Space, names: Sequence[str], places: Sequence[int], counts: Sequence[int]) -> Any:
    """The genome of these places: the n-th value of a choice, and the lower or upper end of a range of numbers."""
    genes = []
    for name, place, count, ordered in zip(names, places, counts, space.ordered, strict=True):
        is_ranked = ordered and isinstance(space.parameters[name], Choice)
        genes.append((place + 0.5) / count if is_ranked else float(place))
    return np.array(genes)
