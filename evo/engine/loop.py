"""The loop of a worker: ask, evaluate, tell, and exchange events with the other workers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, TypeAlias

from evo.engine.exchange import Exchange
from evo.engine.hearing import Hearing
from evo.engine.settings import TakeState
from evo.engine.worker import Worker
from evo.population.assignment import NOTHING_FURTHER, Assignment, Further, TakesReport
from evo.population.events import AnyEvent, Done, Heard, Joined, Judged, Started, encode
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.randomness import training_seed

# No worker is done in a new membership, and what a worker has heard is for its own journal.
_NOT_AGAIN = (Done, Heard)


class LoopEvaluator(Protocol):
    """The part of an evaluator that the loop uses; it evaluates one individual at a time."""

    def start(self, assignment: Assignment, report: TakesReport) -> None:
        """Begin to evaluate.

        Args:
            assignment: Everything that the evaluation gets.
            report: The function that takes intermediate losses.
        """

    def poll(self) -> Outcome | None:
        """The outcome; None when it has not arrived within a moment."""

    def interrupt(self) -> None:
        """End the evaluation in flight; its outcome will be "interrupted", unless it ends by itself before."""


class Record(Protocol):
    """Keeps the lines of a journal."""

    def append(self, line: bytes) -> None:
        """Keep one encoded event; when this returns, the event outlives this process."""

    def recall(self) -> Iterable[AnyEvent]:
        """The events that this worker has published in this session, and perhaps more."""

    def left_by(self, worker: int) -> Iterable[AnyEvent]:
        """The events that a worker had recorded before it died."""


class Ending(Protocol):
    """The work that is left once a worker knows everything."""

    def final_report(self) -> str:
        """The report of this worker when all evaluations have ended."""

    def conclude(self, final_reports: Mapping[int, str]) -> str:
        """The conclusion that the first live worker draws from all final reports; all workers get it."""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The objects through which a search affects the outside world and learns from it.

    Args:
        evaluator: Runs the objective.
        journal: Records every event of this worker before it is sent.
        ending: Makes the final report and the conclusion when the search is over.
        watch: Called with every event of all workers; some events come again after a death.
        clock: Returns the time in seconds since the epoch.
        turn: What a worker does in its turn. None means that it starts an individual and evaluates it, see `take_turn`.
        take_state: Makes the state of a donor ready for an individual; see `evo.engine.settings.TakeState`.
    """

    evaluator: LoopEvaluator
    journal: Record
    ending: Ending
    watch: Callable[[AnyEvent], None]
    clock: Callable[[], float]
    turn: Turn | None = None
    take_state: TakeState = lambda identity, donor: True


def search(worker: Worker, exchange: Exchange, effects: Effects) -> Generator[None, None, str]:
    """Search until the worker's budget is spent and every live worker is ready to leave.

    Args:
        worker: Makes the decisions.
        exchange: The connection to the other workers.
        effects: The objects that have effects.

    Yields:
        None, wherever another virtual worker may run; a real worker just goes on.

    Returns:
        The conclusion of the first live worker.
    """
    clock = effects.clock
    publisher = Publisher(worker, exchange, effects)
    stopwatch = Stopwatch(clock)
    turn = effects.turn or take_turn
    reported: frozenset[int] | None = None  # The membership in which this worker has sent its final report.
    publisher.publish(worker.join(clock()))
    while exchange.closed is None:
        if worker.stopping.is_near:
            exchange.settle()
        publisher.catch_up()
        if exchange.closed is not None:
            break
        if not worker.is_done and (yield from turn(publisher, stopwatch)):
            continue
        if worker.all_done and reported != exchange.dead:
            reported = exchange.dead
            exchange.be_ready(effects.ending.final_report())
        if (final_reports := exchange.final_reports) is not None:
            exchange.close(effects.ending.conclude(final_reports))
        yield
        exchange.wait()
        stopwatch.note("waiting")
    yield from exchange.stay()
    return exchange.closed


def take_turn(publisher: Publisher, stopwatch: Stopwatch) -> Generator[None, None, bool]:
    """Start the next individual, evaluate it, and receive events meanwhile.

    Args:
        publisher: The events of this worker.
        stopwatch: Measures how the worker spends its time.

    Yields:
        None, wherever another virtual worker may run.

    Returns:
        Whether there was one, so that the next turn may follow at once.
    """
    stopwatch.note("exchange")
    started, events = publisher.ask(stopwatch.times, lambda: publisher.exchange.is_level)
    stopwatch.note("breeding")
    publisher.publish(events)
    if started is None:
        return False
    yield from _evaluate(started, publisher, publisher.effects.evaluator, stopwatch)
    return True


def _evaluate(
    started: Started, publisher: Publisher, evaluator: LoopEvaluator, stopwatch: Stopwatch
) -> Generator[None, None, None]:
    worker, exchange, clock = publisher.worker, publisher.exchange, publisher.effects.clock
    identity = started.individual
    exchange.post()  # The end of the last evaluation leaves together with this start, in one message.
    stopwatch.note("exchange")
    evaluator.start(publisher.assign(started), functools.partial(publisher.report, identity))
    while (outcome := evaluator.poll()) is None:
        yield
        publisher.catch_up()
        exchange.post()
        worker.learn_early(clock(), publisher.hearing)
        if worker.stopping.why_now(clock()):
            evaluator.interrupt()
    stopwatch.note("handover", apart_from=outcome.seconds)
    publisher.publish(worker.tell(identity, outcome, clock()))
    yield


class Stopwatch:
    """Measures how this worker spends its time in this session.

    Args:
        clock: Returns the time in seconds.

    Attributes:
        times: The seconds spent on each activity: breeding; exchange with the other workers and the journal; handover
            of individuals to the evaluator and back, which may have to start a process; waiting. Evaluations are not
            included.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.times: dict[str, float] = {}
        self._clock = clock
        self._since = clock()

    def note(self, activity: str, apart_from: float = 0.0) -> None:
        """Add the time since the last call to an activity, without `apart_from` seconds of something else."""
        now = self._clock()
        spent = max(0.0, now - self._since - apart_from)
        self.times[activity] = self.times.get(activity, 0.0) + spent
        self._since = now


@dataclass(frozen=True)
class Publisher:
    """Records, sends and shows the events of this worker, and receives those of others; see `search`."""

    worker: Worker
    exchange: Exchange
    effects: Effects
    _attempts: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @functools.cached_property
    def hearing(self) -> Hearing:
        """Records what is known when this worker breeds, in its journal only."""
        workers = self.worker.settings.workers
        return Hearing(self.exchange.known, lambda heard: self.effects.journal.append(encode(heard)), workers)

    def ask(self, times: Mapping[str, float], may_end: Callable[[], bool]) -> tuple[Started | None, list[AnyEvent]]:
        """The next individual to evaluate, if there is one, and the events to publish; see `Worker.ask`."""
        effects = self.effects
        return self.worker.ask(effects.clock(), self.catch_up, may_end, times, self.hearing, effects.take_state)

    def assign(self, started: Started) -> Assignment:
        """The assignment for the evaluation of an individual that has just been started."""
        seed = training_seed(self.worker.settings.seed, started.individual)
        return Assignment(
            individual=started.individual,
            params=started.params,
            seed=seed,
            attempt=next(self._attempts),
            parents=started.parents,
            segment=started.segment,
        )

    def publish(self, events: Iterable[AnyEvent]) -> None:
        """Record, send and show events of this worker, which its own population already contains."""
        for event in events:
            line = encode(event)
            self.effects.journal.append(line)
            # What comes between the news of a death and `_recover` is published there, in the order of the journal.
            if self.exchange.dead == self.worker.dead:
                self.exchange.publish(line)
            self.effects.watch(event)

    def report(self, identity: Identity, step: int, loss: float, further: Further = NOTHING_FURTHER, /) -> bool:
        """Publish an intermediate loss; returns whether the evaluation must stop early."""
        self.catch_up()  # Comes first, so that the decision is based on all events that have arrived.
        events = self.worker.report(identity, step, loss, self.effects.clock(), further)
        self.publish(events)
        self.exchange.post()
        return any(isinstance(event, Judged) and event.stop for event in events)

    def catch_up(self) -> None:
        """Take all arrived events into account."""
        while True:
            for event in self.exchange.receive():
                self._take(event)
            if self.exchange.dead == self.worker.dead:
                break
            self._recover()

    def _take(self, event: AnyEvent) -> None:
        self.publish(self.worker.receive(event, self.effects.clock()))
        self.effects.watch(event)

    def _recover(self) -> None:
        """Publish again what may have been lost with the dead, and take up what they were evaluating."""
        worker, exchange, journal = self.worker, self.exchange, self.effects.journal
        left = {
            dead: [event for event in _of_last_session(journal.left_by(dead)) if not isinstance(event, Heard)]
            for dead in sorted(exchange.dead)
            if worker.is_successor(dead, exchange.dead)
        }
        for left_event in chain.from_iterable(left.values()):
            self._take(left_event)
        for event in journal.recall():
            if not isinstance(event, _NOT_AGAIN):
                exchange.publish(encode(event))
        for dead, events in left.items():
            again = [event for event in events if not isinstance(event, _NOT_AGAIN)]
            for event in again:
                exchange.publish(encode(event), dead)
            exchange.know(dead, len(again))
        self.publish(worker.lose(exchange.dead, self.effects.clock()))
        exchange.be_level()


def _of_last_session(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """The events that a worker recorded since it last joined; all workers know the earlier ones."""
    session: list[AnyEvent] = []
    for event in events:
        if isinstance(event, Joined):
            session.clear()
        session.append(event)
    return session


Turn: TypeAlias = Callable[[Publisher, Stopwatch], Generator[None, None, bool]]
"""What a worker does in its turn, as `take_turn` does it."""
