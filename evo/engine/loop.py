"""The loop: ask, evaluate, tell, and exchange what happened with the other workers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from evo.engine.exchange import Exchange
from evo.engine.worker import Worker
from evo.population.assignment import Assignment, Report
from evo.population.events import AnyEvent, Done, Identity, Joined, Judged, Started, encode
from evo.population.outcome import Outcome
from evo.randomness import training_seed


class LoopEvaluator(Protocol):
    """What the loop needs of an evaluator; it evaluates one individual at a time."""

    def start(self, assignment: Assignment, report: Report) -> None:
        """Begin to evaluate.

        Args:
            assignment: What the evaluation gets.
            report: The way back for intermediate losses.
        """

    def poll(self) -> Outcome | None:
        """The outcome, or None after a moment's wait for it."""

    def interrupt(self) -> None:
        """End the evaluation in flight; its outcome will be "interrupted", unless it is faster."""


class Record(Protocol):
    """Keeps the lines of a journal."""

    def append(self, line: bytes) -> None:
        """Keep one encoded event, safe from the end of this process when it returns."""

    def recall(self) -> Iterable[AnyEvent]:
        """What this worker has published in this session, or more."""

    def left_by(self, worker: int) -> Iterable[AnyEvent]:
        """What a worker that died had recorded."""


class Ending(Protocol):
    """What is left to do once a worker knows everything."""

    def final_report(self) -> str:
        """What this worker reports when all evaluations have ended."""

    def conclude(self, final_reports: Mapping[int, str]) -> str:
        """What the first live worker concludes from the final reports of all live ones; it is told to all."""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What a search does to the world around it, and learns from it.

    Args:
        evaluator: Runs the objective.
        journal: Gets every event of this worker, before it is sent.
        ending: What is done when the search is over.
        watch: Is shown every event, of this worker and of others; some of them again after a death.
        clock: Tells the time, in seconds since the epoch.
    """

    evaluator: LoopEvaluator
    journal: Record
    ending: Ending
    watch: Callable[[AnyEvent], None]
    clock: Callable[[], float]


def search(worker: Worker, exchange: Exchange, effects: Effects) -> Generator[None, None, str]:
    """Search until the worker's budget is spent and every live worker is ready to leave.

    Args:
        worker: Decides.
        exchange: With the other workers.
        effects: Everything else.

    Yields:
        Where another virtual worker may run; a real one just goes on.

    Returns:
        What the first live worker concluded.
    """
    clock = effects.clock
    publisher = _Publisher(worker, exchange, effects)
    stopwatch = _Stopwatch(clock)
    reported: frozenset[int] | None = None  # The membership in which this worker has sent its final report.
    publisher.publish(worker.join(clock()))
    while exchange.closed is None:
        if worker.stopping.is_near:
            exchange.settle()
        publisher.catch_up()
        if exchange.closed is not None:
            break
        if not worker.is_done:
            stopwatch.note("exchange")
            started, events = worker.ask(clock(), publisher.catch_up, lambda: exchange.is_level, stopwatch.times)
            stopwatch.note("breeding")
            publisher.publish(events)
            if started is not None:
                yield from _evaluate(started, publisher, effects.evaluator, stopwatch)
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


def _evaluate(
    started: Started, publisher: _Publisher, evaluator: LoopEvaluator, stopwatch: _Stopwatch
) -> Generator[None, None, None]:
    """Evaluate an individual, and take in what others send meanwhile."""
    worker, exchange, clock = publisher.worker, publisher.exchange, publisher.effects.clock
    identity = started.individual
    exchange.post()  # With how the last one ended: one message rather than two.
    stopwatch.note("exchange")
    evaluator.start(publisher.assign(started), functools.partial(publisher.report, identity))
    while (outcome := evaluator.poll()) is None:
        yield
        publisher.catch_up()
        exchange.post()
        if worker.stopping.why_now(clock()):
            evaluator.interrupt()
    stopwatch.note("handover", apart_from=outcome.seconds)
    publisher.publish(worker.tell(identity, outcome, clock()))
    yield


class _Stopwatch:
    """How this worker has spent its time in this session.

    Args:
        clock: Seconds.

    Attributes:
        times: Seconds by activity: breeding; exchange with the other workers and the journal; handover of individuals
            to the evaluator and back, which may have to start a process; waiting. What evaluations take is not in it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.times: dict[str, float] = {}
        self._clock = clock
        self._since = clock()

    def note(self, activity: str, apart_from: float = 0.0) -> None:
        """Say what has been done since the last call, apart from so many seconds of something else."""
        now = self._clock()
        spent = max(0.0, now - self._since - apart_from)
        self.times[activity] = self.times.get(activity, 0.0) + spent
        self._since = now


@dataclass(frozen=True)
class _Publisher:
    """Keeps, sends and shows what this worker does, and takes in what the others do; see `search`."""

    worker: Worker
    exchange: Exchange
    effects: Effects
    _attempts: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def assign(self, started: Started) -> Assignment:
        """What the evaluation of an individual that has just been started gets."""
        seed = training_seed(self.worker.settings.seed, started.individual)
        return Assignment(
            individual=started.individual,
            params=started.params,
            seed=seed,
            attempt=next(self._attempts),
            parents=started.parents,
        )

    def publish(self, events: Iterable[AnyEvent]) -> None:
        """Tell all what happened here; it is in the own population already."""
        for event in events:
            line = encode(event)
            self.effects.journal.append(line)
            self.exchange.publish(line)
            self.effects.watch(event)

    def report(self, identity: Identity, step: int, loss: float) -> bool:
        """Publish an intermediate loss; whether the evaluation is to stop early."""
        self.catch_up()  # First: the decision is to be based on all that has arrived.
        events = self.worker.report(identity, step, loss, self.effects.clock())
        self.publish(events)
        self.exchange.post()
        return any(isinstance(event, Judged) and event.stop for event in events)

    def catch_up(self) -> None:
        """Take in all that has arrived."""
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
        """Publish again what the dead may have taken with them; take up what they were evaluating."""
        worker, exchange, journal = self.worker, self.exchange, self.effects.journal
        again = list(journal.recall())
        for dead in sorted(exchange.dead):
            if worker.is_successor(dead, exchange.dead):
                left = _of_last_session(journal.left_by(dead))
                again += left
                for event in left:
                    self._take(event)
        for event in again:
            if not isinstance(event, Done):  # Nobody is done in a new membership.
                exchange.publish(encode(event))
        self.publish(worker.lose(exchange.dead, self.effects.clock()))
        exchange.be_level()


def _of_last_session(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """What a worker recorded since it joined: all know what was before, and who has what was in flight then."""
    session: list[AnyEvent] = []
    for event in events:
        if isinstance(event, Joined):
            session.clear()
        session.append(event)
    return session
