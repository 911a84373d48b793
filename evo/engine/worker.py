"""The engine: one worker's part in the search, as pure decisions on what it knows.

A worker is asked for an individual, told how its evaluation went and shown what the others sent. What it emits has
already been applied to its own population: the caller writes it to the journal and sends it, in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from evo.engine.breeding import Breeder
from evo.engine.budget import Budget
from evo.engine.inflight import InFlight
from evo.engine.stopping import Stopping
from evo.islands.migration import Migration, Migrator
from evo.islands.topology import Archipelago, make_archipelago
from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Identity,
    Joined,
    Judged,
    Pollinated,
    Reported,
    Started,
)
from evo.population.outcome import Outcome
from evo.population.population import Individual, Population
from evo.propagators import Propagator
from evo.pruning import Rungs
from evo.space.values import Params

# An individual that has killed so many ranks kills no more.
_MOST_VICTIMS = 2


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
        archipelago: Who lives on which island; None: all on one.
        migration: How individuals travel; None: they stay.
        start: Points to be tried first, the same for all ranks.
    """

    rank: int
    ranks: int
    seed: int
    budget: Budget
    allow_duplicates: bool = False
    host: str = ""
    device: str = ""
    archipelago: Archipelago | None = None
    migration: Migration | None = None
    start: Sequence[Params] = ()


class Worker:
    """One worker of a search.

    Args:
        settings: What does not change.
        propagator: Breeds individuals from the active population.
        population: What is known at the start: empty, or replayed from the journal. Individuals in flight there are
            shared out among the ranks and evaluated first.
        rungs: Decides which evaluations are ended early; None: none is.
    """

    def __init__(
        self, settings: Settings, propagator: Propagator, population: Population, rungs: Rungs | None = None
    ) -> None:
        self._rungs = rungs
        self.settings = settings
        self.population = population
        self.stop_reason = ""
        # Whether it stopped before its budget was spent, so that the same command would go on.
        self.interrupted = False
        # The ranks that have died.
        self.dead: frozenset[int] = frozenset()
        self._archipelago = settings.archipelago or make_archipelago(settings.ranks)
        self._migrator = settings.migration and Migrator(
            settings.migration, self._archipelago, population, settings.rank, settings.seed
        )
        self._breeder = Breeder(
            propagator,
            population,
            rank=settings.rank,
            ranks=settings.ranks,
            seed=settings.seed,
            allow_duplicates=settings.allow_duplicates,
            start=settings.start,
        )
        self._in_flight = InFlight(population, settings.rank, self._archipelago)
        self.stopping = Stopping(
            settings.budget, population, settings.rank, settings.ranks, self._breeder, self._in_flight
        )
        self._done: set[int] = set()
        # The dead ranks that this one is the heir of.
        self._inherited: set[int] = set()

    @property
    def is_done(self) -> bool:
        """Whether this worker has said its last word, for `stop_reason`."""
        return self.settings.rank in self._done

    @property
    def all_done(self) -> bool:
        """Whether every live rank has said its last word, so that nothing more can arrive."""
        return len(self._done | self.dead) == self.settings.ranks

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

    def ask(
        self,
        now: float,
        refresh: Callable[[], None],
        may_end: Callable[[], bool] = lambda: True,
        times: Mapping[str, float] = {},
    ) -> tuple[Started | None, list[AnyEvent]]:
        """The next individual to evaluate.

        Args:
            now: Seconds since the epoch.
            refresh: Takes in what has arrived meanwhile; called just before the decision, which takes a while.
            may_end: Whether this rank knows all that dead ranks have left, so that it may say its last word.
            times: Seconds that this rank has spent besides evaluating, by activity: for its last word.

        Returns:
            What to evaluate and the events to publish; nothing to evaluate when this worker stops, which is done then,
            or when it is to ask again after a moment.
        """
        assert not self.is_done, "a worker that is done was asked for an individual"
        if self._in_flight.is_waiting and not self.stopping.why_now(now):
            return self._take_up(self._in_flight.take(), now)
        identity = (self.settings.rank, self.population.next_generation(self.settings.rank))
        rng = self._breeder.generator(identity[1])
        while not (reason := self.stopping.why_launch_no_more(now)):
            bred = self._breeder.breed(rng)
            if bred is None:
                return None, []
            refresh()
            params, strategy = bred
            if self._breeder.is_new(params) and not self.stopping.why_launch_no_more(now):
                started = Started(
                    time=now, individual=identity, island=self.population.island, params=params, strategy=strategy
                )
                self.stopping.has_launched = True
                return started, self._emit(started)
        if (self._in_flight.is_waiting and not self.stopping.why_now(now)) or not may_end():
            return None, []  # A rank has just died, and this one is its heir, or may yet learn that it is.
        self.stop_reason = reason
        self.interrupted = self.stopping.is_before_the_end(reason)
        spent = {activity: round(seconds, 6) for activity, seconds in times.items()}
        return None, self._emit(Done(time=now, rank=self.settings.rank, reason=reason, times=spent))

    def tell(self, identity: Identity, outcome: Outcome, now: float) -> list[AnyEvent]:
        """Record how the evaluation of an individual ended, and which individuals travel then.

        Args:
            identity: Which individual.
            outcome: How it ended.
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        settings = self.settings
        events = self._emit(
            Finished(
                time=now,
                individual=identity,
                status=outcome.status,
                loss=outcome.loss,
                seconds=outcome.seconds,
                metrics=outcome.metrics,
                times=outcome.times,
                error=outcome.error,
                traceback=outcome.traceback,
                rank=settings.rank,
                host=settings.host,
                device=settings.device,
            )
        )
        if outcome.status == "interrupted" and outcome.error:
            self.stopping.request(outcome.error)  # What hindered this one would hinder the next.
        if self._migrator and outcome.status != "interrupted":
            for event in self._migrator.depart(identity, now):
                events += self._emit(event)
        return events

    def report(self, identity: Identity, step: int, loss: float, now: float) -> list[AnyEvent]:
        """Record an intermediate loss, and whether the evaluation goes on if that is decided now.

        Args:
            identity: Which individual.
            step: Training step, from 0.
            loss: Finite.
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        reported = Reported(time=now, individual=identity, step=step, loss=loss)
        self._take(reported)
        rung = self._rungs.reached(reported) if self._rungs else None
        if self._rungs is None or rung is None:
            return [reported]
        best = self.population.best.loss if self.population.best else None
        verdict = self._rungs.judge(identity, rung, best)
        return [reported, *self._emit(Judged(time=now, individual=identity, rung=rung, **asdict(verdict)))]

    def receive(self, event: AnyEvent, now: float) -> list[AnyEvent]:
        """Take in what another rank sent.

        Args:
            event: What happened.
            now: Seconds since the epoch.

        Returns:
            The events to publish in return.
        """
        answers: list[AnyEvent] = []
        # Who makes room for a copy is decided while it is not yet there itself; and a rank that is done emits nothing.
        if self._migrator and isinstance(event, Pollinated) and not self.is_done:
            answers = self._emit(*self._migrator.make_room(event, now))
        self._take(event)
        return answers

    def is_heir(self, rank: int, dead: Collection[int]) -> bool:
        """Whether this worker takes over what a dead one left.

        Args:
            rank: Which.
            dead: All that have died.
        """
        return self._archipelago.heir(rank, dead) == self.settings.rank

    def lose(self, dead: Collection[int], now: float) -> list[AnyEvent]:
        """Go on without ranks that have died, when all that they had published is known here.

        What they were evaluating is taken up again by their heirs, so nobody is done any more.

        Args:
            dead: All that have died.
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        self.dead = frozenset(dead)
        self._done.clear()
        if self._migrator:
            self._migrator.lose(dead)
        self._in_flight.lose(dead)
        # Perhaps not the newly dead only: an earlier heir may have died before it had recorded anything.
        inherited = [rank for rank in sorted(dead) if self.is_heir(rank, dead) and rank not in self._inherited]
        self._inherited.update(inherited)
        for rank in inherited:
            self._breeder.take_over(rank)
        return self._emit(*(Died(time=now, rank=rank, heir=self.settings.rank) for rank in inherited))

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Done):
            self._done.add(event.rank)
        self.population.apply(event)
        self._in_flight.apply(event)
        if self._rungs:
            self._rungs.apply(event)

    def _emit(self, *events: AnyEvent) -> list[AnyEvent]:
        for event in events:
            self._take(event)
        return list(events)

    def _take_up(self, individual: Individual, now: float) -> tuple[Started | None, list[AnyEvent]]:
        """Evaluate an individual that was in flight, unless it may be what has killed those who tried."""
        assert individual.identity is not None
        victims = self._in_flight.victims(individual)
        if len(victims) < _MOST_VICTIMS:
            return self._start(individual, now)
        error = f"RankDied: ranks {', '.join(map(str, victims))} died while they evaluated it, perhaps because of it"
        return None, self.tell(individual.identity, Outcome(status="failed", error=error), now)

    def _start(self, individual: Individual, now: float) -> tuple[Started, list[AnyEvent]]:
        assert individual.identity is not None
        started = Started(
            time=now,
            individual=individual.identity,
            island=individual.island,
            params=self.population.params(individual),
            rank=None if individual.identity[0] == self.settings.rank else self.settings.rank,
            strategy=individual.strategy,
        )
        return started, self._emit(started)
