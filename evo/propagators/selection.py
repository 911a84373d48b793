"""Selection: returns some of the given individuals, unchanged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from sortedcontainers import SortedKeyList

from evo.checks import check_count
from evo.population.dominance import Ordered
from evo.population.individual import Active, Individual, standing
from evo.propagators.base import Propagator
from evo.space.space import Space


@dataclass(frozen=True)
class _Selection(Propagator):
    """Selects `count` individuals, or all when there are fewer.

    Args:
        count: The number of individuals that are selected.
    """

    _says_parents: ClassVar[bool] = True

    count: int

    def __post_init__(self) -> None:
        check_count("count", self.count)

    @property
    def bred_by(self) -> str:
        return ""

    @property
    def offspring(self) -> int | None:
        return self.count

    @abstractmethod
    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]: ...


@final
class SelectMin(_Selection):
    """The individuals with the lowest losses.

    Args:
        count: The number of individuals that are selected; all when there are fewer.
    """

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return _best_first(parents)[: self.count]


@final
class SelectMax(_Selection):
    """The individuals with the highest losses.

    Args:
        count: The number of individuals that are selected; all when there are fewer.
    """

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return _best_first(parents)[max(0, len(parents) - self.count) :]


@final
class SelectUniform(_Selection):
    """Random individuals, each at most once, in random order.

    Args:
        count: The number of individuals that are selected; all when there are fewer.
    """

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [parents[index] for index in choose(len(parents), min(self.count, len(parents)), rng)]


def _best_first(parents: Active) -> Active:
    # The active population may be large and is already sorted, so sorting it again is avoided.
    return parents if isinstance(parents, SortedKeyList | Ordered) else sorted(parents, key=standing)


def choose(size: int, count: int, rng: np.random.Generator) -> list[int]:
    """`count` different indices below `size`, in random order, with few draws for any size (Floyd, 1987)."""
    chosen: list[int] = []
    for last in range(size - count, size):
        index = int(rng.random() * (last + 1))
        # Inserting at a random place makes the order random as well.
        chosen.insert(int(rng.random() * (len(chosen) + 1)), last if index in chosen else index)
    return chosen
