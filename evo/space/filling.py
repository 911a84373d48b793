"""Some parameters become a whole set: by defaults, and by chance where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from evo.errors import UserError
from evo.space.parameters import ABSENT, as_meant, default_of
from evo.space.space import Space
from evo.space.values import Params, fresh, plain


def fill(space: Space, given: Mapping[str, Any], rng: np.random.Generator | None = None) -> Params | None:
    """A whole set of parameters from some: each of the others gets its default, or is drawn.

    Args:
        space: What is searched.
        given: Values as a user gives them: numpy's numbers and tuples too, and whole numbers for real ones.
        rng: For what has no default; None: nothing is drawn.

    Returns:
        The active parameters, in the order of the limits, exactly as given; None when nothing may be drawn, and
        one has no default.

    Raises:
        UserError: A value is not within the limits, or no parameter has that name.
    """
    values = supplement(space, given, rng)
    if any(space.genes[index].exists(values) and space.names[index] not in values for index in space.order):
        return None
    space.encode(values)  # It raises an error that says what does not fit.
    if space.feasibility is not None and (violated := space.feasibility.violated(values)):
        raise UserError(f"{values!r} violates the constraint {violated!r}")
    return {name: values[name] for name in space.names if name in values}


def supplement(space: Space, given: Mapping[str, Any], rng: np.random.Generator | None = None) -> Params:
    """Some parameters, and the defaults of the others, as far as they have any; nothing is checked.

    Args:
        space: What is searched.
        given: As for `fill`.
        rng: For what has no default; None: that stays missing.
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
