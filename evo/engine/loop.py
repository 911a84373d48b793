"""The loop: ask, evaluate, tell, and exchange what happened with the other ranks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from evo.engine.exchange import Exchange
from evo.engine.worker import Worker
from evo.population.events import AnyEvent, Done, Identity, Joined, Judged, encode
from evo.population.outcome import Outcome
from evo.randomness import training_seed
from evo.space.values import Params


class Evaluator(Protocol):
    """Evaluates one individual at a time."""

    def start(self, identity: Identity, params: Params, seed: int, report: Callable[[int, float], bool]) -> None:
        """Begin to evaluate.

        Args:
            identity: Which individual.
            params: What the objective gets.
            seed: For its training.
            report: To be called with each intermediate step and loss; answers whether to stop early.
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
        """What this rank has published in this session, or more."""

    def left_by(self, rank: int) -> Iterable[AnyEvent]:
        """What a rank that died had recorded."""


class Ending(Protocol):
    """What is left to do once a rank knows everything."""

    def final_report(self) -> str:
        """What this rank reports when all evaluations have ended."""

    def conclude(self, final_reports: Mapping[int, str]) -> str:
        """The first live rank's last act, given the final reports of all live ranks; what it returns is told to all."""


def search(
    worker: Worker,
    exchange: Exchange,
    evaluator: Evaluator,
    journal: Record,
    ending: Ending,
    watch: Callable[[AnyEvent], None],
    clock: Callable[[], float],
) -> Generator[None, None, str]:
    """Search until the worker's budget is spent and every live rank is ready to leave.

    Args:
        worker: Decides.
        exchange: With the other ranks.
        evaluator: Runs the objective.
        journal: Gets every event of this rank, before it is sent.
        ending: What is done when the search is over.
        watch: Is shown every event, of this rank and of others; some of them again after a death.
        clock: Seconds since the epoch.

    Yields:
        Where another virtual rank may run; a real one just goes on.

    Returns:
        What the first live rank concluded.
    """
    publisher = _Publisher(worker, exchange, journal, watch, clock)
    stopwatch = _Stopwatch(clock)
    ready: frozenset[int] | None = None  # The epoch in which this rank was ready.
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
                identity = started.individual
                seed = training_seed(worker.settings.seed, identity)
                exchange.post()  # With how the last one ended: one message rather than two.
                stopwatch.note("exchange")
                evaluator.start(identity, started.params, seed, functools.partial(publisher.report, identity))
                while (outcome := evaluator.poll()) is None:
                    yield
                    publisher.catch_up()
                    exchange.post()
                    if worker.stopping.why_now(clock()):
                        evaluator.interrupt()
                stopwatch.note("handover", apart_from=outcome.seconds)
                publisher.publish(worker.tell(identity, outcome, clock()))
                yield
                continue
        if worker.all_done and ready != exchange.dead:
            ready = exchange.dead
            exchange.be_ready(ending.final_report())
        if (final_reports := exchange.all_ready) is not None:
            exchange.close(ending.conclude(final_reports))
        yield
        exchange.wait()
        stopwatch.note("waiting")
    yield from exchange.stay()
    return exchange.closed


class _Stopwatch:
    """How this rank has spent its time in this session.

    Args:
        clock: Seconds.

    Attributes:
        times: Seconds by activity: breeding; exchange with the other ranks and the journal; handover of individuals to
            the evaluator and back, which may have to start a process; waiting. What evaluations take is not in it.
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
    """Keeps, sends and shows what happens on this rank, and takes in what happens on the others; see `search`."""

    worker: Worker
    exchange: Exchange
    journal: Record
    watch: Callable[[AnyEvent], None]
    clock: Callable[[], float]

    def publish(self, events: Iterable[AnyEvent]) -> None:
        """Tell all what happened here; it is in the own population already."""
        for event in events:
            line = encode(event)
            self.journal.append(line)
            self.exchange.publish(line)
            self.watch(event)

    def report(self, identity: Identity, step: int, loss: float) -> bool:
        """Publish an intermediate loss; whether the evaluation is to stop early."""
        self.catch_up()  # First: the decision is to be based on all that has arrived.
        events = self.worker.report(identity, step, loss, self.clock())
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
        self.publish(self.worker.receive(event, self.clock()))
        self.watch(event)

    def _recover(self) -> None:
        """Publish again what the dead may have taken with them; take up what they were evaluating."""
        worker, exchange, journal = self.worker, self.exchange, self.journal
        again = list(journal.recall())
        for rank in sorted(exchange.dead):
            if worker.is_heir(rank, exchange.dead):
                left = _of_last_session(journal.left_by(rank))
                again += left
                for event in left:
                    self._take(event)
        for event in again:
            if not isinstance(event, Done):  # Nobody is done in a new epoch.
                exchange.publish(encode(event))
        self.publish(worker.lose(exchange.dead, self.clock()))
        exchange.be_level()


def _of_last_session(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """What a rank recorded since it joined: all know what was before, and who goes on with what was in flight then."""
    session: list[AnyEvent] = []
    for event in events:
        if isinstance(event, Joined):
            session.clear()
        session.append(event)
    return session
