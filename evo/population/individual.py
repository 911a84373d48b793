"""Individuals: those that propagators make, and those that a population knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from evo.population.events import Finished, Identity, Status
from evo.space.space import Genome

_FINAL: dict[str, int] = {"completed": 0, "pruned": 1, "infeasible": 2, "failed": 3, "interrupted": 4}
NO_STRATEGY: dict[str, Any] = {}
"""Shared by all individuals that have none."""


class Individual(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One candidate solution, as propagators read and make them.

    Args:
        genome: Its place in the normalised space; shape (genes,), see `evo.space.space`.
        loss: What was minimised; None until it has completed.
        strategy: What makes its offspring evolve, by name.
        parents: The identities of the individuals that it was bred from; None: its propagator does not say, and those
            that were selected for that propagator are taken for them.
        bred_by: A short name of what has proposed it; empty: the name of the search's propagator.
    """

    genome: Genome
    loss: float | None = None
    strategy: dict[str, Any] = NO_STRATEGY
    parents: tuple[Identity, ...] | None = None
    bred_by: str = ""


class Known(Individual, frozen=True, eq=False, kw_only=True):
    """An individual that was started, as a population knows it; equal to another when their identities are.

    Args:
        identity: Worker and generation of its birth.
        status: How far it got; an interrupted one is running again as soon as a worker is free.
        island: The island on which it was born.
    """

    identity: Identity
    status: Literal["running"] | Status = "running"
    island: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


Active: TypeAlias = Sequence[Individual]
"""What a propagator is given: the active individuals, or what another propagator has made of them."""


def ancestors(individuals: Sequence[Individual]) -> tuple[Identity, ...] | None:
    """The known individuals that some come from, each once; a known one comes from itself.

    Args:
        individuals: Known ones, and ones that were just bred.

    Returns:
        Their identities; None when one of the individuals does not say.

    Example:
        >>> import numpy as np
        >>> genome = np.zeros(1)
        >>> known, bred = Known(genome=genome, identity=(0, 3)), Individual(genome=genome, parents=((0, 1), (0, 3)))
        >>> ancestors([known, bred])
        ((0, 3), (0, 1))
    """
    if len(individuals) == 1 and type(individuals[0]) is Individual:
        return individuals[0].parents
    found: dict[Identity, None] = {}
    for individual in individuals:
        if type(individual) is Known:
            found[individual.identity] = None
        elif (parents := getattr(individual, "parents", None)) is not None:
            found.update(dict.fromkeys(parents))
        else:
            return None
    return tuple(found)


def by_loss(individual: Known) -> tuple[float, Identity]:
    """The key by which completed individuals are sorted, the best first."""
    assert individual.loss is not None
    return individual.loss, individual.identity


def precedence(outcome: Finished | Known) -> tuple[int, float]:
    """Of several outcomes of one individual, the one with the lowest precedence counts."""
    return _FINAL[outcome.status], math.inf if outcome.loss is None else outcome.loss
