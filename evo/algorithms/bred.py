"""Any propagator as an algorithm, which remembers nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.errors import UserError
from evo.frames import representation
from evo.population.individual import Active, Individual, Known
from evo.propagators.base import Propagator, PropagatorError
from evo.space.space import Space

Breeding: TypeAlias = Propagator | Algorithm
"""How individuals are bred: without memory, or by an algorithm that learns."""


def breed_one(propagator: Propagator, parents: Active, space: Space, rng: np.random.Generator) -> Individual:
    """The individual that a propagator, which may be the user's own, breeds from a population.

    Raises:
        PropagatorError: The propagator fails, or does not return exactly one individual of that space.
    """
    population = f"a population of {len(parents)}" if parents else "an empty population"
    needed = (
        f"a search needs one individual with a genome of shape ({len(space)},); fix it, or put a Conditional "
        "around it if it needs more parents"
    )
    try:
        bred = propagator(parents, space, rng)
    except UserError as error:
        raise PropagatorError(
            f"propagator {representation(propagator)} fails on {population}: {error}; {needed}"
        ) from error
    shapes = [getattr(individual.genome, "shape", None) for individual in bred]
    if shapes != [(len(space),)]:
        made = f"makes {len(shapes)} individuals of shapes {shapes} from {population}"
        raise PropagatorError(f"propagator {representation(propagator)} {made}: {needed}")
    return bred[0]


@final
@dataclass(frozen=True)
class Bred(Algorithm):
    """Breeds with a propagator from the individuals that are active, whatever has happened before.

    Args:
        propagator: A propagator that breeds one individual from any number of them.
    """

    propagator: Propagator

    @property
    def bred_by(self) -> str:
        return self.propagator.bred_by

    @property
    def takes_several(self) -> bool:
        return True  # The best of the active individuals are those of the front.

    def start(self, setup: Setup) -> Learner:
        return _Breeding(self.propagator, setup.space)


class _Breeding(Learner):
    def __init__(self, propagator: Propagator, space: Space) -> None:
        self._propagator = propagator
        self._space = space

    def learn(self, individual: Known, loss: float | None) -> None:
        pass  # The active individuals are all that counts.

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        while True:
            yield breed_one(self._propagator, view.active, self._space, rng)


def as_algorithm(what: Breeding) -> Algorithm:
    """A propagator as an algorithm; an algorithm itself."""
    return Bred(what) if isinstance(what, Propagator) else what
