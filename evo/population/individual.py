"""Individuals as propagators make them, and as a population knows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from evo.population.events import Finished, Status
from evo.population.identity import Identity
from evo.population.segments import Donor, SavedState, Segment
from evo.space.space import Genome

_FINAL: dict[str, int] = {"completed": 0, "pruned": 1, "infeasible": 2, "failed": 3, "interrupted": 4}


class Individual(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One candidate solution, as propagators read and make them.

    Args:
        genome: Its place in the normalised space, of shape (genes,); see `evo.space.space`.
        loss: The loss; None until it has completed. Of several objectives, that of the first.
        strategy: Its strategy parameters by name, for algorithms that evolve these together with the genomes.
        parents: The identities of the individuals that it was bred from. None means that its propagator does not say;
            then the individuals that were selected for that propagator count as the parents.
        bred_by: A short name of what proposed it; empty means the name of the search's propagator.
        segment: The part of a training that its evaluation is; None means as its algorithm begins a training, which
            usually is a whole one.
    """

    genome: Genome
    loss: float | None = None
    strategy: dict[str, Any] = {}
    parents: tuple[Identity, ...] | None = None
    bred_by: str = ""
    segment: Segment | None = None


class Known(Individual, frozen=True, eq=False, kw_only=True):
    """An individual that was started, as a population knows it; two are equal when their identities are.

    Args:
        identity: The worker and the generation of its birth.
        status: Whether it is running or how it ended; an interrupted one runs again as soon as a worker is free.
        island: The island on which it was born.
        rung: The highest rung that it has reached, as a number of complete steps, if it was pruned.
        ended: The time at which its evaluation ended, in seconds since the epoch.
        state: The state that it has left, from which others may go on; None if it has left none.
        losses: The losses of all objectives in their order, if there are several; empty otherwise.
        violation: By how much it violates the bounds of its metrics; see `evo.population.objectives.Objectives`.
    """

    identity: Identity
    status: Literal["running"] | Status = "running"
    island: int = 0
    rung: int = 0
    ended: float = 0.0
    state: SavedState | None = None
    losses: tuple[float, ...] = ()
    violation: float = 0.0

    @property
    def vector(self) -> tuple[float, ...]:
        """The losses of all objectives in their order; empty while there are none."""
        return self.losses or (() if self.loss is None else (self.loss,))

    @property
    def donor(self) -> Donor | None:
        """What another individual names as its donor to go on from here; None if that is not possible."""
        if self.state is None or self.state.is_over:
            return None
        return Donor(individual=self.identity, step=self.state.step, digest=self.state.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


Active: TypeAlias = Sequence[Individual]
"""The input of a propagator: the active individuals, or the output of the propagator before it."""


def ancestors(individuals: Sequence[Individual]) -> tuple[Identity, ...] | None:
    """The known individuals that some individuals descend from, each once; a known one counts as its own ancestor.

    Args:
        individuals: Known individuals, and individuals that were just bred.

    Returns:
        The identities of the ancestors; None when one of the individuals does not say.

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


def by_loss(individual: Known) -> tuple[float, tuple[float, ...], Identity]:
    """The key that sorts completed individuals, the best first: those that violate bounds less, then by the loss.

    Of several objectives the first one counts, then the next; so no other individual dominates the first of all.
    """
    assert individual.loss is not None
    return individual.violation, individual.vector, individual.identity


def standing(individual: Individual) -> tuple[bool, float, int, float]:
    """A key that sorts individuals by how good they are, the best first.

    The completed ones come first, by how much they violate bounds and then by their losses. The pruned ones follow, by
    their violations, those of higher rungs before others, and by their losses at equal rungs, because losses after
    different numbers of steps cannot be compared. Of several objectives the first counts; see
    `evo.population.dominance` for all.
    """
    loss = math.inf if individual.loss is None else individual.loss
    if not isinstance(individual, Known):
        return False, 0.0, 0, loss
    return individual.status == "pruned", individual.violation, -individual.rung, loss


def by_standing(individual: Known) -> tuple[bool, float, int, float, Identity]:
    """The key that sorts completed and pruned individuals, the best first; see `standing`."""
    return *standing(individual), individual.identity


def ended(individual: Known, event: Finished) -> Known:
    """An individual that was running, once its evaluation has ended."""
    return msgspec.structs.replace(
        individual,
        status=event.status,
        loss=None if event.loss is None else event.loss + 0.0,  # Adding zero turns -0.0 into 0.0.
        losses=tuple(loss + 0.0 for loss in event.losses),
        violation=event.violation,
        rung=event.rung,
        ended=event.time,
        state=event.state,
    )


def precedence(outcome: Finished | Known) -> tuple[int, float, float, tuple[float, ...], int]:
    """A key for several outcomes of one individual: the outcome with the lowest key counts."""
    loss = math.inf if outcome.loss is None else outcome.loss
    return _FINAL[outcome.status], outcome.violation, loss, outcome.losses, -outcome.rung
