"""The loop: ask, evaluate, tell, and exchange what happened with the other ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from evo.breeding import training_seed
from evo.events import AnyEvent, Identity, decode, encode
from evo.limits import Params
from evo.transport import Transport
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


def search(
    worker: Worker,
    transport: Transport,
    evaluator: Evaluator,
    journal: Record,
    watch: Callable[[AnyEvent], None],
    clock: Callable[[], float],
) -> Iterator[None]:
    """Search until the worker's budget is spent and every rank is done.

    Args:
        worker: Decides.
        transport: To the other ranks.
        evaluator: Runs the objective.
        journal: Gets every event of this rank, before it is sent.
        watch: Is shown every event, of this rank and of others.
        clock: Seconds since the epoch.

    Yields:
        Where another virtual rank may run; a real one just goes on.
    """

    def publish(events: Iterable[AnyEvent]) -> None:
        for event in events:
            line = encode(event)
            journal.append(line)
            transport.send(line, worker.peers)
            watch(event)

    def catch_up() -> None:
        for line in transport.receive():
            event = decode(line)
            worker.receive(event)
            watch(event)

    publish(worker.join(clock()))
    while True:
        if worker.is_near_end:
            transport.settle()
        catch_up()
        started, events = worker.ask(clock(), catch_up)
        publish(events)
        if worker.is_done:
            break
        if started is None:
            yield
            transport.wait()
            continue
        identity = started.individual

        def report(step: int, loss: float, identity: Identity = identity) -> bool:
            publish(worker.report(identity, step, loss, clock()))
            catch_up()
            return False

        evaluator.start(identity, started.params, training_seed(worker.settings.seed, identity), report)
        while (outcome := evaluator.poll()) is None:
            yield
            catch_up()
            if worker.why_stop_now(clock()):
                evaluator.interrupt()
        publish(worker.tell(identity, outcome, clock()))
        yield
    while not worker.all_done:
        yield
        transport.wait()
        catch_up()
