"""The points that a study begins with: the defaults of all parameters, and points that the user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evo.errors import UserError
from evo.randomness import start_generator
from evo.space.filling import fill
from evo.space.space import Space
from evo.space.values import Params

# The number of attempts to draw the missing parameters of a point before it counts as impossible to complete.
_ATTEMPTS = 100


def make_start_points(space: Space, given: Sequence[Mapping[str, Any]], seed: int) -> list[Params]:
    """The points that are tried first; the same whenever they are made.

    Args:
        space: The search space.
        given: The points of the user, in order; a missing parameter gets its default, or is drawn.
        seed: The seed of the study, not negative.

    Returns:
        The points in order. The first one has all defaults, if each of its active parameters has one.

    Raises:
        UserError: A point is not within the limits.
    """
    try:
        default = fill(space, {})
    except UserError as error:
        raise UserError(f"the defaults of the limits cannot be tried together: {error}") from error
    points = [] if default is None else [default]
    return points + [_complete(space, point, seed, number) for number, point in enumerate(given)]


def _complete(space: Space, given: Mapping[str, Any], seed: int, number: int) -> Params:
    rng = start_generator(seed, number)
    problem = ""
    for _ in range(_ATTEMPTS):
        try:
            completed = fill(space, given, rng)
        except UserError as error:
            problem = problem or str(error)
        else:
            assert completed is not None
            return completed
    raise UserError(f"start_from, point {number + 1} of those given, {dict(given)!r}: {problem}")
