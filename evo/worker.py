"""The engine: one worker's part in the search, as pure decisions on what it knows.

A worker is asked for an individual, told how its evaluation went and shown what the others sent. What it emits has
already been applied to its own population: the caller writes it to the journal and sends it, in this order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evo.budget import Budget
from evo.events import AnyEvent, Done, Finished, Identity, Joined, Reported, Started, Status
from evo.limits import Params
from evo.population import Individual, Population
from evo.propagators import Propagator
from evo.space import Space

# How often a point that was tried before is bred again, before one is drawn at random, before all are gone through.
_BREEDING_ATTEMPTS = 10
_SAMPLING_ATTEMPTS = 30

# Evaluations left for each rank from which on no rank starts another before the others can know of its last one.
# A rank that started without knowing would exceed the budget: so each does at most once, and all but one of them.
_ENDGAME = 64

# What the generators derived from a study's seed are for.
_BREEDING, _TRAINING = 0, 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an evaluation ended.

    Args:
        status: See `evo.events.Finished`.
        loss: Finite when completed or pruned, else None.
        seconds: Time it took.
        metrics: JSON scalars.
        error: Why it failed, one line.
        traceback: Where it failed.
    """

    status: Status
    loss: float | None = None
    seconds: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What does not change while a worker searches.

    Args:
        rank: This worker's rank.
        ranks: How many ranks take part.
        seed: The study's seed, not negative.
        budget: When to stop.
        allow_duplicates: Whether a point may be tried twice, for noisy losses.
        host: Name of the machine, for the record.
        device: What it evaluates on, for the record.
    """

    rank: int
    ranks: int
    seed: int
    budget: Budget
    allow_duplicates: bool = False
    host: str = ""
    device: str = ""


class Worker:
    """One worker of a search.

    Args:
        settings: What does not change.
        space: What is searched.
        propagator: Breeds individuals from the active population.
        population: What is known at the start: empty, or replayed from the journal. Individuals in flight there are
            shared out among the ranks and evaluated first.
    """

    def __init__(self, settings: Settings, space: Space, propagator: Propagator, population: Population) -> None:
        self.settings = settings
        self.space = space
        self.propagator = propagator
        self.population = population
        self.stop_reason = ""
        # Whether it stopped before its budget was spent, so that the same command would go on.
        self.interrupted = False
        # The ranks to send events to.
        self.peers: Sequence[int] = [rank for rank in range(settings.ranks) if rank != settings.rank]
        self._stop_request = ""
        self._resumed = deque(population.running[settings.rank :: settings.ranks])
        self._done: set[int] = set()

    @property
    def is_near_end(self) -> bool:
        """Whether the evaluations left are so few that all ranks should know of all that have started."""
        return self.settings.budget.evaluations_left(self.population) <= _ENDGAME * self.settings.ranks

    @property
    def all_done(self) -> bool:
        """Whether every rank has said its last word, so that nothing more can arrive."""
        return len(self._done) == self.settings.ranks

    def join(self, now: float) -> list[AnyEvent]:
        """Take part, from now on.

        Args:
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        settings = self.settings
        return self._emit(
            Joined(time=now, rank=settings.rank, ranks=settings.ranks, host=settings.host, device=settings.device)
        )

    def ask(self, now: float) -> tuple[Started | None, list[AnyEvent]]:
        """The next individual to evaluate.

        Args:
            now: Seconds since the epoch.

        Returns:
            What to evaluate and the events to publish; nothing to evaluate when this worker stops, for `stop_reason`.
        """
        assert self.settings.rank not in self._done, "a worker that is done was asked for an individual"
        population, rank = self.population, self.settings.rank
        reason = self.why_stop_now(now)
        if not reason and self._resumed:
            return self._start(self._resumed.popleft(), now)
        generation = population.next_generation(rank)
        reason = reason or self.settings.budget.why_breed_no_more(population, generation)
        bred = None if reason else self._breed(generation)
        if bred is None:
            self.interrupted = bool(self._stop_request) or self.settings.budget.is_late(now)
            self.stop_reason = reason or f"all {self.space.size} points of the space have been tried"
            done = Done(time=now, rank=rank, reason=self.stop_reason)
            return None, self._emit(done)
        params, strategy = bred
        started = Started(
            time=now, individual=(rank, generation), island=population.island, params=params, strategy=strategy
        )
        return started, self._emit(started)

    def why_stop_now(self, now: float) -> str:
        """Why nothing more may start and what is in flight should be interrupted; empty when all may go on.

        Args:
            now: Seconds since the epoch.
        """
        return self._stop_request or self.settings.budget.why_stop_now(self.population, now)

    def request_stop(self, reason: str) -> None:
        """Let this worker stop as soon as it can, for a reason from outside."""
        self._stop_request = self._stop_request or reason

    def tell(self, identity: Identity, outcome: Outcome, now: float) -> list[AnyEvent]:
        """Record how the evaluation of an individual ended.

        Args:
            identity: Which individual.
            outcome: How it ended.
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        settings = self.settings
        return self._emit(
            Finished(
                time=now,
                individual=identity,
                status=outcome.status,
                loss=outcome.loss,
                seconds=outcome.seconds,
                metrics=outcome.metrics,
                error=outcome.error,
                traceback=outcome.traceback,
                rank=settings.rank,
                host=settings.host,
                device=settings.device,
            )
        )

    def report(self, identity: Identity, step: int, loss: float, now: float) -> list[AnyEvent]:
        """Record an intermediate loss.

        Args:
            identity: Which individual.
            step: Training step, from 0.
            loss: Finite.
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        return self._emit(Reported(time=now, individual=identity, step=step, loss=loss))

    def receive(self, event: AnyEvent) -> None:
        """Take in what another rank sent."""
        if isinstance(event, Done):
            self._done.add(event.rank)
        else:
            self.population.apply(event)

    def training_seed(self, identity: Identity) -> int:
        """The seed of an individual's training: the same whoever evaluates it, and however often."""
        return int(_sequence(self.settings.seed, identity, _TRAINING).generate_state(1)[0])

    def _emit(self, *events: AnyEvent) -> list[AnyEvent]:
        for event in events:
            self.receive(event)
        return list(events)

    def _start(self, individual: Individual, now: float) -> tuple[Started, list[AnyEvent]]:
        assert individual.identity is not None
        started = Started(
            time=now,
            individual=individual.identity,
            island=individual.island,
            params=self.space.decode(individual.genome),
            strategy=individual.strategy,
        )
        return started, self._emit(started)

    def _breed(self, generation: int) -> tuple[Params, dict[str, Any]] | None:
        """Parameters that nobody has tried, as far as this rank knows, and the strategy that comes with them.

        None when no others are left.
        """
        identity = (self.settings.rank, generation)
        rng = np.random.Generator(np.random.PCG64(_sequence(self.settings.seed, identity, _BREEDING)))
        for _ in range(_BREEDING_ATTEMPTS):
            bred = self._offspring(rng)
            params = self.space.complete(bred.genome, rng)
            if self.settings.allow_duplicates or not self.population.has_tried(params):
                return params, bred.strategy
        for _ in range(_SAMPLING_ATTEMPTS):
            params = self.space.complete(self.space.sample(rng), rng)
            if not self.population.has_tried(params):
                return params, {}
        if self.population.tried >= self.space.size:
            return None
        points = self.space.points(start=int(rng.integers(2**32)))
        return next(((params, {}) for params in points if not self.population.has_tried(params)), None)

    def _offspring(self, rng: np.random.Generator) -> Individual:
        bred = self.propagator(self.population.active, self.space, rng)
        if len(bred) != 1 or bred[0].genome.shape != (len(self.space),):
            raise ValueError(
                f"{self.propagator!r} returned {[individual.genome.shape for individual in bred]}: "
                f"a search needs one individual with a genome of shape ({len(self.space)},)"
            )
        return bred[0]


def _sequence(seed: int, identity: Identity, purpose: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, *identity, purpose])
