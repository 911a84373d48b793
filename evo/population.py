"""Individuals and the replica that every rank keeps of them.

A replica is the set of the events applied to it: applying one twice, or in another order, gives the same population.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from sortedcontainers import SortedKeyList

from evo.events import AnyEvent, Finished, Identity, Retired, Started, Status
from evo.limits import Params
from evo.space import Genome, Space

_FINAL: dict[str, int] = {"completed": 0, "pruned": 1, "failed": 2, "interrupted": 3}
_NO_STRATEGY: dict[str, Any] = {}


class Individual(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One candidate solution; equal to another when their identities are.

    Args:
        genome: Its place in the normalised space; shape (genes,), see `evo.space`.
        identity: Rank and generation of birth; None while it is still being bred.
        loss: What was minimised; None until it has completed.
        status: How far it got; an interrupted one is running again as soon as a rank is free.
        island: Where it was born.
        strategy: What makes its offspring evolve, by name.
    """

    genome: Genome
    identity: Identity | None = None
    loss: float | None = None
    status: Literal["running"] | Status = "running"
    island: int = 0
    strategy: dict[str, Any] = _NO_STRATEGY

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Individual) and self.identity is not None and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


Active: TypeAlias = Sequence[Individual]


class Population:
    """What one rank knows of a study: every individual, and which of them breed.

    Adding costs O(log n), whatever the history.

    Args:
        space: What is searched.
        island: Whose active individuals `active` shows.
    """

    def __init__(self, space: Space, island: int = 0) -> None:
        self.space = space
        self.island = island
        self.counts: Counter[str] = Counter()
        self._individuals: dict[Identity, Individual] = {}
        self._running: dict[Identity, Individual] = {}
        self._active: SortedKeyList = SortedKeyList(key=_by_loss)
        # The genomes, as bytes, of all points that were ever started.
        self.tried: set[bytes] = set()
        self._generations: dict[int, int] = {}
        # What arrived before the individual that it is about.
        self._early: dict[Identity, Finished] = {}
        self._retired: set[Identity] = set()

    @property
    def active(self) -> Active:
        """The completed individuals of this island that breed, the best first; a view that follows the population."""
        return self._active  # type: ignore[no-any-return]

    @property
    def running(self) -> Sequence[Individual]:
        """Individuals that were started and have not finished, in the order of their identities."""
        return [self._running[identity] for identity in sorted(self._running)]

    @property
    def best(self) -> Individual | None:
        """The active individual with the lowest loss."""
        return self._active[0] if self._active else None

    @property
    def started(self) -> int:
        """How many individuals were ever started."""
        return len(self._individuals)

    @property
    def finished(self) -> int:
        """How many evaluations have ended, and were not interrupted."""
        return self.counts["completed"] + self.counts["pruned"] + self.counts["failed"]

    def next_generation(self, rank: int) -> int:
        """The generation that a rank breeds next."""
        return self._generations.get(rank, -1) + 1

    def has_tried(self, params: Params) -> bool:
        """Whether some individual was started with these parameters."""
        return self.space.encode(params).tobytes() in self.tried

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account; a second time, or in another order, changes nothing.

        Args:
            event: Any record; those that are not about individuals are passed over.

        Raises:
            ValueError: A `Started` whose parameters lie outside the space.
        """
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Finished):
            if event.individual in self._individuals:
                self._finish(event)
            else:
                known = self._early.get(event.individual)
                if known is None or precedence(event) < precedence(known):
                    self._early[event.individual] = event
        elif isinstance(event, Retired) and event.island == self.island and event.individual not in self._retired:
            self._retired.add(event.individual)
            individual = self._individuals.get(event.individual)
            if individual is not None and individual.status == "completed":
                self._active.discard(individual)

    def digest(self) -> str:
        """A fingerprint that two replicas share exactly when they hold the same individuals, losses and active view."""
        digest = hashlib.sha256()
        for identity in sorted(self._individuals):
            individual = self._individuals[identity]
            params = self.space.decode(individual.genome)
            digest.update(repr((identity, individual.status, individual.loss, params)).encode())
        digest.update(repr([individual.identity for individual in self._active]).encode())
        return digest.hexdigest()

    def _start(self, event: Started) -> None:
        if event.individual in self._individuals:
            return
        individual = Individual(
            identity=event.individual,
            genome=self.space.encode(event.params),
            island=event.island,
            strategy=event.strategy or _NO_STRATEGY,
        )
        rank, generation = event.individual
        self._generations[rank] = max(generation, self._generations.get(rank, -1))
        self.tried.add(individual.genome.tobytes())
        self.counts["running"] += 1
        self._individuals[event.individual] = self._running[event.individual] = individual
        early = self._early.pop(event.individual, None)
        if early is not None:
            self._finish(early)

    def _finish(self, event: Finished) -> None:
        before = self._individuals[event.individual]
        # Two ranks may have evaluated one individual, after a restart: all replicas keep the same one of the two.
        if before.status != "running" and precedence(event) >= precedence(before):
            return
        if before.status == "completed":
            self._active.discard(before)
        loss = None if event.loss is None else event.loss + 0.0  # There is one zero.
        after = msgspec.structs.replace(before, status=event.status, loss=loss)
        self._individuals[event.individual] = after
        self.counts[before.status] -= 1
        self.counts[after.status] += 1
        if event.status == "interrupted":
            self._running[event.individual] = after
            return
        self._running.pop(event.individual, None)
        if event.status == "completed" and event.individual not in self._retired and after.island == self.island:
            self._active.add(after)


def _by_loss(individual: Individual) -> tuple[float, Identity]:
    assert individual.loss is not None
    assert individual.identity is not None
    return individual.loss, individual.identity


def precedence(outcome: Finished | Individual) -> tuple[int, float]:
    """Of several outcomes of one individual, the one with the lowest precedence counts."""
    return _FINAL[outcome.status], math.inf if outcome.loss is None else outcome.loss
