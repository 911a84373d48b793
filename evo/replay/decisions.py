"""One worker's decisions in one session, made again from what its journal says that it knew."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from evo.algorithms.bred import Breeding
from evo.engine.breeding import Breeder, Proposal
from evo.engine.hearing import unpack_counts
from evo.engine.learning import Learning
from evo.engine.settings import WorkerSettings
from evo.errors import UserError
from evo.islands.archipelago import make_archipelago
from evo.population.events import AnyEvent, Died, Heard, Started, encode
from evo.population.identity import Identity
from evo.population.population import Population
from evo.pruning import Rungs
from evo.space.values import Params

Finding = Literal["confirmed", "start", "known", "again", "deviates", "undecided"]
"""What a replay says of a start: an individual was bred so; it is a start point; its result is known from elsewhere; it
was evaluated again, unchanged; it would have been another one; or that cannot be decided."""

_COMPARED = ("params", "bred_by", "parents", "strategy", "segment")


@dataclass(frozen=True)
class Decision:
    """What a replay finds about one `Started`.

    Args:
        worker: The worker that has decided.
        recorded: What its journal says.
        finding: What the replay says.
        why: The difference, or the reason why it cannot be decided.
    """

    worker: int
    recorded: Started
    finding: Finding
    why: str = ""


class UnknownPast(Exception):
    """A worker has heard of records that its peer's journal does not hold."""


class Replayed:
    """A worker of a session, without effects: what it knows, and what it would breed.

    Args:
        settings: The settings of the worker.
        breeding: What breeds on its island.
        population: What it knew from earlier sessions.
        rungs: The figures at rungs that it knew then; None without pruning.
        known: The results known from elsewhere with which the session began.
        sent: By other worker, the events of this session that this one may have heard of.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        breeding: Breeding,
        population: Population,
        rungs: Rungs | None,
        known: Sequence[AnyEvent],
        sent: Mapping[int, Sequence[AnyEvent]],
    ) -> None:
        archipelago = settings.archipelago or make_archipelago(settings.workers)
        members = len(archipelago.members[population.island])
        self.worker, self.population = settings.worker, population
        self._rungs = rungs
        self._learning = Learning(breeding, population, settings, members, rungs.figures if rungs else {})
        self._breeder = Breeder(self._learning, population, settings)
        self._sent = sent
        self._heard = dict.fromkeys(sent, 0)
        self._beyond = False
        for event in known:
            self._apply(event)

    def follow(self, events: Sequence[AnyEvent]) -> Iterator[Decision]:
        """Go through the journal of this worker.

        Args:
            events: Its events of the session.

        Yields:
            A decision for each start.

        Raises:
            UserError: The propagator fails, or an event does not fit the limits.
        """
        unknown = ""
        for event in as_decided(events):
            if isinstance(event, Heard) and not unknown:
                try:
                    self._hear(event)
                except UnknownPast as error:
                    unknown = str(error)
            elif isinstance(event, Started):
                yield Decision(self.worker, event, "undecided", unknown) if unknown else self._decide(event)
            self._apply(event)
            if isinstance(event, Died) and event.heir == self.worker:
                self._breeder.take_over(event.rank)

    def _hear(self, heard: Heard) -> None:
        """Learn what this worker has learnt at this point."""
        arrived = []
        for worker, count in unpack_counts(heard.counts).items():
            begin = self._heard.get(worker, 0)
            end = self._heard[worker] = begin + count
            events = self._sent.get(worker, ())[begin:end]
            if len(events) < count:
                raise UnknownPast(f"rank {self.worker} has heard of records that the journal of rank {worker} lacks")
            arrived.append(events)
        # Populations are sets. The order matters for an individual only that two workers have evaluated in turn.
        for event in heapq.merge(*arrived, key=lambda event: event.time):
            self._apply(event)
        self._learning.catch_up()
        self._beyond = heard.beyond

    def _apply(self, event: AnyEvent) -> None:
        try:
            self.population.apply(event)
        except UserError as error:
            raise UserError(f"a journal holds {encode(event).decode()}, which does not fit: {error}") from error
        if self._rungs:
            self._rungs.apply(event)
        self._learning.apply(event)

    def _decide(self, event: Started) -> Decision:
        self._learning.lose(*event.lost)
        known = self.population.find(event.individual)
        if known is not None or event.individual[0] != self.worker:
            return self._decide_again(event, None if known is None else self.population.params(known))
        self._learning.catch_up()
        identity = (self.worker, self.population.next_generation(self.worker))
        bred = self._breeder.propose(identity[1], self._beyond)
        self._beyond = False
        if why := self._difference(event, identity, bred):
            return Decision(self.worker, event, "deviates", why)
        return Decision(self.worker, event, "start" if event.bred_by == "start" else "confirmed")

    def _decide_again(self, event: Started, before: Params | None) -> Decision:
        """Whether an individual that is evaluated again is what it was."""
        if before is None:  # Its worker has died, and what this one has read of it counts as heard only later.
            own = (one for one in self._sent.get(event.individual[0], ()) if isinstance(one, Started))
            before = next((one.params for one in own if one.individual == event.individual), None)
        if before is None:
            why = f"the journal of rank {event.individual[0]} lacks its first start"
            return Decision(self.worker, event, "undecided", why)
        is_same = event.individual in self.population.set_aside or _same(before, event.params)
        why = "" if is_same else f"it was started with {_text(before)}, and again with {_text(event.params)}"
        return Decision(self.worker, event, "again" if is_same else "deviates", why)

    def _difference(self, event: Started, identity: Identity, bred: Proposal | None) -> str:
        """How what is bred again differs from what is recorded; empty when it does not."""
        if event.individual != identity or event.island != self.population.island:
            has = f"individual {event.individual} of island {event.island}"
            return f"recorded {has}, bred again {identity} of island {self.population.island}"
        if bred is None:
            return f"recorded {_text(event.params)}, bred again nothing"
        for name in _COMPARED:
            recorded, again = getattr(event, name), getattr(bred, name)
            if not _same(recorded, again):
                return f"recorded {name} {_text(recorded)}, bred again {_text(again)}"
        return ""


def as_decided(events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    """The events of a worker with each start before those that came while it was bred, such as who made room.

    These are in the journal before it, but later than its time, which is that at which breeding began.
    """
    waiting: list[AnyEvent] = []
    for event in events:
        if not isinstance(event, Started | Heard):
            waiting.append(event)
            continue
        began = event.time if isinstance(event, Started) else math.inf
        yield from (one for one in waiting if one.time <= began)
        yield event
        yield from (one for one in waiting if one.time > began)
        waiting = []
    yield from waiting


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same in a journal, where 1 and 1.0 are not."""
    return msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic")


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
