"""One worker's part in the search, as pure decisions on what it knows.

A worker is asked for an individual, told how its evaluation ended, and given the events of others. The events that it
returns are already applied to its own population: the caller writes them to the journal and then sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict

from evo.algorithms.bred import Breeding
from evo.engine.breeding import Breeder, Proposal
from evo.engine.hearing import DEAF, Hearing
from evo.engine.inflight import InFlight
from evo.engine.learning import Learning
from evo.engine.settings import TakeState, WorkerSettings
from evo.engine.stopping import StopRules
from evo.islands.archipelago import make_archipelago
from evo.islands.migration import Migrator
from evo.population.assignment import NOTHING_FURTHER, Further
from evo.population.events import AnyEvent, Died, Done, Finished, Joined, Judged, Pollinated, Reported, Started
from evo.population.identity import Identity, individual_name
from evo.population.individual import Known
from evo.population.objectives import NO_VIOLATION
from evo.population.outcome import Outcome
from evo.population.population import Population
from evo.population.reason import StopKind, StopReason
from evo.pruning import Rungs
from evo.space.values import Params

# After so many workers have died while they evaluated an individual, it counts as the cause and has failed.
_MOST_DEATHS = 2


class Worker:
    """One worker of a search.

    Args:
        settings: The settings of the search.
        breeding: How individuals are bred: an algorithm, or a propagator.
        population: The population at the start, either empty or replayed from the journals. Its individuals in flight
            are divided among the workers and evaluated first.
        rungs: Decides which evaluations end early; None means that none does.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        breeding: Breeding,
        population: Population,
        rungs: Rungs | None = None,
    ) -> None:
        self._rungs = rungs
        self.settings = settings
        self.population = population
        # The reason why this worker has stopped; None while it has not.
        self.stop_reason: StopReason | None = None
        # The workers that have died.
        self.dead: frozenset[int] = frozenset()
        self._archipelago = settings.archipelago or make_archipelago(settings.workers)
        self._migrator = settings.migration and Migrator(
            settings.migration, self._archipelago, population, settings.worker, settings.seed
        )
        members = len(self._archipelago.members[population.island])
        self._learning = Learning(breeding, population, settings, members, rungs.figures if rungs else {})
        self._breeder = Breeder(self._learning, population, settings)
        self._in_flight = InFlight(population, settings.worker, self._archipelago)
        self.stopping = StopRules(settings.budget, settings.workers, self._breeder, self._in_flight)
        self._done: set[int] = set()
        # The dead workers that this one has taken over from.
        self._inherited: set[int] = set()

    @property
    def is_done(self) -> bool:
        """Whether this worker has finished; `stop_reason` says why."""
        return self.settings.worker in self._done

    @property
    def all_done(self) -> bool:
        """Whether every live worker has finished, so that nothing more can arrive."""
        return len(self._done | self.dead) == self.settings.workers

    def join(self, now: float) -> list[AnyEvent]:
        """Join the search.

        Args:
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        settings, budget = self.settings, self.settings.budget
        return self._emit(
            Joined(
                time=now,
                rank=settings.worker,
                ranks=settings.workers,
                host=settings.host,
                device=settings.device,
                ranks_per_worker=settings.ranks_per_worker,
                session=settings.session,
                settings=dict(settings.recorded),
                generations=budget.generations,
                evaluations=budget.evaluations,
                target=budget.goal.recorded if budget.goal else None,
                reference_point=dict(settings.reference_point),
                deadline=budget.deadline,
            )
        )

    def ask(
        self,
        now: float,
        refresh: Callable[[], None],
        may_end: Callable[[], bool] = lambda: True,
        times: Mapping[str, float] = {},
        hearing: Hearing = DEAF,
        take_state: TakeState = lambda identity, donor: True,
    ) -> tuple[Started | None, list[AnyEvent]]:
        """The next individual to evaluate.

        Args:
            now: Seconds since the epoch.
            refresh: Receives what has arrived meanwhile; called just before the decision, because breeding takes time.
            may_end: Whether this worker knows everything that dead workers have left, so that it may finish.
            times: The seconds that this worker has spent on each activity other than evaluating, for its `Done`.
            hearing: Records what this worker knows when it breeds.
            take_state: Makes the state of a donor ready for an individual; returns whether there is one.

        Returns:
            The individual to evaluate, and the events to publish. There is no individual when this worker is done
            (see `is_done`), or when it should ask again after a moment.
        """
        assert not self.is_done, "a worker that is done was asked for an individual"
        if self._in_flight.is_waiting and not self.stopping.why_now(now):
            return self._take_up(self._in_flight.take(), now, take_state)
        identity = (self.settings.worker, self.population.next_generation(self.settings.worker))
        while not (reason := self.stopping.why_launch_no_more(now)):
            has_learnt = self._learning.catch_up()
            proposal = self._breeder.breed(identity[1])
            hearing.note(now, has_learnt, self._breeder.went_beyond, is_bred=proposal is not None)
            if proposal is None:
                return None, []
            refresh()
            may_begin = self._breeder.is_new(proposal) and not self.stopping.why_launch_no_more(now)
            if may_begin and self._breeder.has_state(identity, proposal, refresh, take_state):
                self.stopping.has_launched = True
                return self._launch(now, identity, proposal, self.population.island, proposal.params)
        if (self._in_flight.is_waiting and not self.stopping.why_now(now)) or not may_end():
            return None, []  # A worker has just died; this one has work of it to take up, or may still learn so.
        self.stop_reason = reason
        spent = {activity: round(seconds, 6) for activity, seconds in times.items()}
        done = Done(time=now, rank=self.settings.worker, reason=reason.text, kind=reason.kind, times=spent)
        return None, self._emit(done)

    def learn_early(self, now: float, hearing: Hearing) -> None:
        """Learn while an evaluation runs, if so much has arrived that the next individual would have to wait for it."""
        if self._learning.is_behind:
            hearing.note(now, self._learning.catch_up())

    def tell(self, identity: Identity, outcome: Outcome, now: float) -> list[AnyEvent]:
        """Record how the evaluation of an individual ended, and which individuals travel after it.

        Args:
            identity: The identity of the individual.
            outcome: The outcome of its evaluation.
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
                losses=outcome.losses,
                violation=outcome.violation or NO_VIOLATION,
                seconds=outcome.seconds,
                metrics=outcome.metrics,
                times=outcome.times,
                error=outcome.error,
                traceback=outcome.traceback,
                rung=self._rungs.highest(identity) if self._rungs and outcome.status == "pruned" else 0,
                state=outcome.state,
                rank=settings.worker,
                host=settings.host,
                device=settings.device,
            )
        )
        if outcome.status == "interrupted" and outcome.error:
            # The worker stops, because the same obstacle would interrupt the next evaluation.
            self.stopping.request(outcome.error, StopKind.STORAGE)
        if self._migrator and outcome.status != "interrupted":
            for event in self._migrator.depart(identity, now):
                events += self._emit(event)
        return events

    def report(
        self, identity: Identity, step: int, loss: float, now: float, further: Further = NOTHING_FURTHER
    ) -> list[AnyEvent]:
        """Record an intermediate loss, and at a rung the decision whether the evaluation goes on.

        Args:
            identity: The identity of the individual.
            step: The training step, from 0.
            loss: The intermediate loss, a finite number.
            now: Seconds since the epoch.
            further: What else is known then.
        """
        losses, violation = further.losses, further.violation or NO_VIOLATION
        reported = Reported(time=now, individual=identity, step=step, loss=loss, losses=losses, violation=violation)
        self._take(reported)
        rung = self._rungs.reached(reported) if self._rungs else None
        if self._rungs is None or rung is None:
            return [reported]
        best = self.population.best.loss if self.population.best else None
        verdict = self._rungs.judge(identity, rung, best)
        return [reported, *self._emit(Judged(time=now, individual=identity, rung=rung, **asdict(verdict)))]

    def receive(self, event: AnyEvent, now: float) -> list[AnyEvent]:
        """Take an event of another worker into account.

        Args:
            event: The event.
            now: Seconds since the epoch.

        Returns:
            The events to publish in return.
        """
        answers: list[AnyEvent] = []
        # Which individual makes room is decided before the copy is applied, so that the copy is not chosen itself. A
        # worker that is done emits nothing.
        if self._migrator and isinstance(event, Pollinated) and not self.is_done:
            answers = self._emit(*self._migrator.make_room(event, now))
        self._take(event)
        return answers

    def is_successor(self, worker: int, dead: Collection[int]) -> bool:
        """Whether this worker takes over the work of a dead worker.

        Args:
            worker: The worker that died.
            dead: All workers that have died.
        """
        return self._archipelago.successor(worker, dead) == self.settings.worker

    def lose(self, dead: Collection[int], now: float) -> list[AnyEvent]:
        """Go on without workers that have died; everything that they had published must be known here.

        Their successors evaluate again what they were evaluating, so no worker counts as done any more.

        Args:
            dead: All workers that have died.
            now: Seconds since the epoch.

        Returns:
            The events to publish.
        """
        self.dead = frozenset(dead)
        self._done.clear()
        if self._migrator:
            self._migrator.lose(dead)
        self._in_flight.lose(dead)
        # All dead workers are checked, because an earlier successor may have died before it had recorded anything.
        succeeded = [one for one in sorted(dead) if self.is_successor(one, dead) and one not in self._inherited]
        self._inherited.update(succeeded)
        for one in succeeded:
            self._breeder.take_over(one)
        return self._emit(*(Died(time=now, rank=one, heir=self.settings.worker) for one in succeeded))

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Done):
            self._done.add(event.rank)
        self.population.apply(event)
        self._in_flight.apply(event)
        if self._rungs:
            self._rungs.apply(event)
        self._learning.apply(event)

    def _emit(self, *events: AnyEvent) -> list[AnyEvent]:
        for event in events:
            self._take(event)
        return list(events)

    def _launch(
        self, now: float, identity: Identity, bred: Proposal | Known, island: int, params: Params
    ) -> tuple[Started, list[AnyEvent]]:
        started = Started(
            time=now,
            individual=identity,
            island=island,
            params=params,
            rank=None if identity[0] == self.settings.worker else self.settings.worker,
            strategy=bred.strategy,
            parents=bred.parents or (),
            bred_by=bred.bred_by,
            segment=bred.segment,
            lost=self._learning.lost_since(),
        )
        return started, self._emit(started)

    def _take_up(self, individual: Known, now: float, take_state: TakeState) -> tuple[Started | None, list[AnyEvent]]:
        """Evaluate an individual that was in flight, unless several workers have died while they evaluated it."""
        died = self._in_flight.died_at(individual)
        if len(died) < _MOST_DEATHS:
            donor = individual.segment.donor if individual.segment else None
            if donor is None or take_state(individual.identity, donor):
                params = self.population.params(individual)
                return self._launch(now, individual.identity, individual, individual.island, params)
            self._learning.lose(donor.individual)
            error = f"the state of its donor {individual_name(donor.individual)} is gone, and it has none of its own"
            return None, self.tell(individual.identity, Outcome(status="failed", error=error), now)
        who = "ranks" if self.settings.ranks_per_worker == 1 else "workers"
        error = f"RankDied: {who} {', '.join(map(str, died))} died while they evaluated it, perhaps because of it"
        return None, self.tell(individual.identity, Outcome(status="failed", error=error), now)
