"""The turns of a worker whose individuals its caller evaluates, several at once if the caller likes."""

from __future__ import annotations

import functools
from collections.abc import Generator
from typing import final

from evo.engine.loop import Effects, Publisher, Stopwatch
from evo.population.assignment import Assignment, TakesReport
from evo.population.identity import Identity
from evo.population.objectives import Objectives
from evo.population.outcome import Outcome
from evo.population.reason import StopReason


@final
class CallerTurns:
    """Starts individuals when the caller asks for them, and records how they ended when it tells; see `Turn`.

    Each turn ends where the caller goes on: the search rests there until the caller advances it again.

    Attributes:
        wants: Whether the caller asks for an individual.
        given: The individual that it gets, until it takes it.
        is_full: Whether the caller gets none before one in flight has ended, because nothing more may start.
        in_flight: The individuals that the caller evaluates.
    """

    def __init__(self) -> None:
        self.wants = False
        self.given: Assignment | None = None
        self.is_full = False
        self.in_flight: set[Identity] = set()
        self._ended: list[tuple[Identity, Outcome]] = []
        self._publisher: Publisher | None = None

    def __call__(self, publisher: Publisher, stopwatch: Stopwatch) -> Generator[None, None, bool]:
        """Take a turn: record what has ended, or else start an individual if one is wanted, or else just rest."""
        self._publisher = publisher
        worker, exchange, clock = publisher.worker, publisher.exchange, publisher.effects.clock
        stopwatch.note("exchange")
        if self._ended:
            ended, self._ended = self._ended, []
            for identity, outcome in ended:
                self.in_flight.discard(identity)
                publisher.publish(worker.tell(identity, outcome, clock()))
        elif self.wants:
            started, events = publisher.ask(stopwatch.times, self._may_end)
            stopwatch.note("breeding")
            publisher.publish(events)
            if started is not None:
                self.in_flight.add(started.individual)
                self.given, self.wants = publisher.assign(started), False
            else:
                self.is_full = bool(self.in_flight) and worker.stopping.why_launch_no_more(clock()) is not None
                if not self.is_full:
                    return False
        exchange.post()
        stopwatch.note("exchange")
        since = clock()
        yield
        stopwatch.note("handover", apart_from=clock() - since)  # The caller's own time is no activity of the search.
        return True

    def take(self) -> Assignment | None:
        """The individual that the caller has asked for, once."""
        given, self.given = self.given, None
        return given

    def end(self, identity: Identity, outcome: Outcome) -> None:
        """Note how an evaluation ended; the next turn records it.

        Args:
            identity: An individual in flight.
            outcome: The outcome of its evaluation.
        """
        self._ended.append((identity, outcome))
        self.is_full = False

    def report(self, identity: Identity) -> TakesReport:
        """The function that takes intermediate losses of an individual in flight."""
        return functools.partial(self._open.report, identity)

    def why_now(self) -> StopReason | None:
        """The reason why evaluations in flight should end early; None when they may go on."""
        self._open.catch_up()
        return self._open.worker.stopping.why_now(self._open.effects.clock())

    def leave(self, reason: str) -> None:
        """Let the worker stop, because the caller's loop is over; what is in flight is left to a later session.

        Args:
            reason: The reason, where the search itself has none.
        """
        stopping = self._open.worker.stopping
        is_unfinished = self.in_flight or stopping.why_complete is None
        if is_unfinished and stopping.why_now(self._open.effects.clock()) is None:
            stopping.request(reason)
        for identity in sorted(self.in_flight):
            self.end(identity, Outcome(status="interrupted"))
        self.wants = True

    @property
    def objectives(self) -> Objectives:
        """The objectives of the study; only once the search has begun."""
        return self._open.worker.settings.objectives

    @property
    def effects(self) -> Effects:
        """What the search affects; only once it has begun."""
        return self._open.effects

    def _may_end(self) -> bool:
        return not self.in_flight and self._open.exchange.is_level

    @property
    def _open(self) -> Publisher:
        assert self._publisher is not None, "the search has not begun"
        return self._publisher
