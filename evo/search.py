"""The loop: ask, evaluate, tell, and exchange what happened with the other ranks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Protocol

from evo.breeding import training_seed
from evo.events import AnyEvent, Done, Identity, Joined, Judged, encode
from evo.exchange import Exchange
from evo.limits import Params
from evo.worker import Outcome, Worker


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

    def last_words(self) -> str:
        """What this rank has to say when all evaluations have ended."""

    def conclude(self, last_words: Mapping[int, str]) -> str:
        """The first live rank's last act, given what all live ranks had to say; what it returns is told to all."""


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

    def publish(events: Iterable[AnyEvent]) -> None:
        for event in events:
            line = encode(event)
            journal.append(line)
            exchange.publish(line)
            watch(event)

    def take(event: AnyEvent) -> None:
        publish(worker.receive(event, clock()))
        watch(event)

    def catch_up() -> None:
        while True:
            for event in exchange.receive():
                take(event)
            if exchange.dead == worker.dead:
                break
            recover()

    def recover() -> None:
        """Publish again what the dead may have taken with them; take up what they were evaluating."""
        again = list(journal.recall())
        for rank in sorted(exchange.dead):
            if worker.is_heir(rank, exchange.dead):
                left = _of_last_session(journal.left_by(rank))
                again += left
                for event in left:
                    take(event)
        for event in again:
            if not isinstance(event, Done):  # Nobody is done in a new epoch.
                exchange.publish(encode(event))
        publish(worker.lose(exchange.dead, clock()))
        exchange.be_level()

    def report(identity: Identity, step: int, loss: float) -> bool:
        catch_up()  # First: the decision is to be based on all that has arrived.
        events = worker.report(identity, step, loss, clock())
        publish(events)
        exchange.post()
        return any(isinstance(event, Judged) and event.stop for event in events)

    ready: frozenset[int] | None = None  # The epoch in which this rank was ready.
    publish(worker.join(clock()))
    while exchange.closed is None:
        if worker.is_near_end:
            exchange.settle()
        catch_up()
        if exchange.closed is not None:
            break
        if not worker.is_done:
            started, events = worker.ask(clock(), catch_up, lambda: exchange.is_level)
            publish(events)
            if started is not None:
                identity = started.individual
                seed = training_seed(worker.settings.seed, identity)
                exchange.post()  # With how the last one ended: one message rather than two.
                evaluator.start(identity, started.params, seed, functools.partial(report, identity))
                while (outcome := evaluator.poll()) is None:
                    yield
                    catch_up()
                    exchange.post()
                    if worker.why_stop_now(clock()):
                        evaluator.interrupt()
                publish(worker.tell(identity, outcome, clock()))
                yield
                continue
        if worker.all_done and ready != exchange.dead:
            ready = exchange.dead
            exchange.be_ready(ending.last_words())
        if (last_words := exchange.all_ready) is not None:
            exchange.close(ending.conclude(last_words))
        yield
        exchange.wait()
    return exchange.closed


def _of_last_session(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """What a rank recorded since it joined: all know what was before, and who goes on with what was in flight then."""
    session: list[AnyEvent] = []
    for event in events:
        if isinstance(event, Joined):
            session.clear()
        session.append(event)
    return session
