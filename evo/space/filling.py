"""Completes a set of parameters with defaults, and with random values where there is no default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from evo.errors import UserError
from evo.space.parameters import ABSENT, as_meant, default_of
from evo.space.space import Space
from evo.space.values import Params, fresh, plain


def fill(space: Space, given: Mapping[str, Any], rng: np.random.Generator | None = None) -> Params | None:
    """A complete set of parameters from a partial one: each missing parameter gets its default, or is drawn.

    Args:
        space: The search space.
        given: Values as a user gives them; numbers of numpy, tuples, and whole numbers for real ones are accepted.
        rng: Draws the parameters that have no default; None means that nothing is drawn.

    Returns:
        The active parameters, in the order of the limits, those given exactly as they are; None when a parameter has
        no default and nothing may be drawn.

    Raises:
        UserError: A value is not within the limits, no parameter has that name, or a constraint is violated.
    """
    values = supplement(space, given, rng)
    if any(space.genes[index].exists(values) and space.names[index] not in values for index in space.order):
        return None
    space.encode(values)  # Encoding raises an error that says what does not fit.
    if space.feasibility is not None and (violated := space.feasibility.violated(values)):
        raise UserError(f"{values!r} violates the constraint {violated!r}")
    return {name: values[name] for name in space.names if name in values}


def supplement(space: Space, given: Mapping[str, Any], rng: np.random.Generator | None = None) -> Params:
    """A set of parameters, with the defaults of the missing ones where they have any; nothing is checked.

    Args:
        space: The search space.
        given: Values as a user gives them, as for `fill`.
        rng: Draws the parameters that have no default; None means that they stay missing.
    """
    values = {
        name: as_meant(space.parameters[name], plain(value)) if name in space.parameters else plain(value)
        for name, value in given.items()
    }
    for index in space.order:
        gene = space.genes[index]
        if gene.name in values or not gene.exists(values):
            continue
        default = default_of(space.parameters[gene.name])
        if default is not ABSENT:
            values[gene.name] = fresh(default)
        elif rng is not None:
            values[gene.name] = gene.decode(space.sample_allowed(index, values, rng))
    return values
