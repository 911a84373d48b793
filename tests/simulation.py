"""Searches of virtual ranks in one process, under schedules that depend on nothing but a seed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from records import make_worker, replayed

from evo.budget import Budget
from evo.events import AnyEvent, Done, Finished, Identity, Started, decode
from evo.propagators import InitUniform, Propagator
from evo.search import search
from evo.space import Space
from evo.transport import Loopback
from evo.worker import Outcome, Worker

SPACE = Space({"x": (-1.0, 1.0), "layers": (1, 9)})
RANDOM = InitUniform()
# Steps of all ranks after which a search that has not ended never will.
_FOR_EVER = 100_000


class Killed(Exception):
    """The end of a rank's process."""


class Journal:
    """The lines of one rank; it may die right after it has kept one."""

    def __init__(self, fuse: int) -> None:
        self.lines: list[bytes] = []
        self._fuse = fuse

    def append(self, line: bytes) -> None:
        self.lines.append(line)
        if len(self.lines) == self._fuse:
            raise Killed


class Evaluator:
    """Takes a random number of polls, and ends in a way that depends on the parameters alone."""

    def __init__(self, polls: tuple[int, int], rng: np.random.Generator, reports: float = 0.1) -> None:
        self.seeds: dict[Identity, int] = {}
        self._polls = polls
        self._reports = reports
        self._rng = rng

    def start(
        self, identity: Identity, params: dict[str, Any], seed: int, report: Callable[[int, float], bool]
    ) -> None:
        self.seeds[identity] = seed
        self._left = int(self._rng.integers(self._polls[0], self._polls[1] + 1))
        self._report = report
        self._outcome = how_it_ends(params)

    def poll(self) -> Outcome | None:
        if self._left > 0:
            self._left -= 1
            if self._rng.random() < self._reports:
                self._report(self._left, 0.5)
            return None
        return self._outcome

    def interrupt(self) -> None:
        self._left, self._outcome = 0, Outcome(status="interrupted")


def how_it_ends(params: dict[str, Any]) -> Outcome:
    """One in eight fails, and one in eight is pruned."""
    loss = float(sum(value for value in params.values()))
    kind = zlib.crc32(repr(loss).encode()) % 8
    if kind == 0:
        return Outcome(status="failed", error="ValueError: no")
    return Outcome(status="pruned" if kind == 1 else "completed", loss=loss)


@dataclass(frozen=True, kw_only=True)
class Session:
    """How one session of a study goes.

    Args:
        seed: Of the schedule.
        ranks: How many.
        budget: When it ends.
        max_delay: Of a message, in steps of all ranks.
        duplicates: Probability that a message arrives twice.
        polls: An evaluation takes at least and at most so many steps of its rank.
        reports: Probability that it reports an intermediate loss in a step.
        stop: From which step on the ranks are asked to stop, each within so many.
        kill: From which step on the ranks die, each within so many; about half of them while writing.
        propagator: Breeds.
        space: What is searched.
    """

    seed: int
    ranks: int
    budget: Budget
    max_delay: int = 5
    duplicates: float = 0.0
    polls: tuple[int, int] = (5, 20)
    reports: float = 0.1
    stop: tuple[int, int] | None = None
    kill: tuple[int, int] | None = None
    propagator: Propagator = RANDOM
    space: Space = SPACE


@dataclass
class Result:
    """What a session left behind.

    Args:
        workers: As they were at the end.
        journals: The lines of each rank.
        before: The lines of the sessions before.
        seeds: Of the trainings, by individual.
        watched: What each rank's watcher was shown.
        survived: Whether all ranks came to their own end.
    """

    workers: list[Worker]
    journals: list[Journal]
    before: list[bytes]
    seeds: dict[Identity, int] = field(default_factory=dict)
    watched: list[list[AnyEvent]] = field(default_factory=list)
    survived: bool = True

    @property
    def lines(self) -> list[bytes]:
        """The journals of this session and all before."""
        return [*self.before, *chain.from_iterable(journal.lines for journal in self.journals)]

    @property
    def events(self) -> list[AnyEvent]:
        """The same, decoded."""
        return [decode(line) for line in self.lines]

    def of(self, kind: type) -> list[Any]:
        """The events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def started(self) -> list[Identity]:
        """The individuals that were started, once each time."""
        return [event.individual for event in self.of(Started)]

    @property
    def evaluated(self) -> list[Identity]:
        """The individuals whose evaluation came to its own end, once each time."""
        return [event.individual for event in self.of(Finished) if event.status != "interrupted"]

    @property
    def last_words(self) -> list[Done]:
        """The last line of each rank, which must be its only one of this type."""
        for journal in self.journals:
            assert [isinstance(decode(line), Done) for line in journal.lines].index(True) == len(journal.lines) - 1
        return [decode(journal.lines[-1]) for journal in self.journals]  # type: ignore[misc]


def simulate(session: Session, before: Sequence[bytes] = ()) -> Result:
    """Run a session to its end, or to the death of all its ranks.

    Args:
        session: How it goes.
        before: The journal lines of the sessions before: all that is known of them.
    """
    rng = np.random.default_rng(session.seed)
    network = Loopback(session.ranks, rng, session.max_delay, session.duplicates)
    dies_writing = [session.kill is not None and rng.random() < 0.5 for _ in range(session.ranks)]
    journals = [Journal(int(rng.integers(1, 30)) if dies else 0) for dies in dies_writing]
    known = [decode(line) for line in before]
    workers = [
        make_worker(
            session.space,
            session.propagator,
            session.budget,
            rank=rank,
            ranks=session.ranks,
            population=replayed(session.space, known),
        )
        for rank in range(session.ranks)
    ]
    result = Result(workers, journals, list(before), watched=[[] for _ in workers])

    def moment(between: tuple[int, int] | None) -> float:
        return np.inf if between is None else between[0] + int(rng.integers(between[1] + 1))

    def life(worker: Worker, stop: float, death: float) -> Iterator[None]:
        rank = worker.settings.rank
        evaluator = Evaluator(session.polls, rng, session.reports)
        steps = search(
            worker,
            network.endpoints[rank],
            evaluator,
            journals[rank],
            result.watched[rank].append,
            lambda: float(network.now),
        )
        try:
            for _ in steps:
                assert network.now < _FOR_EVER, f"{session} does not come to an end"
                if network.now >= death:
                    raise Killed
                if network.now >= stop:
                    worker.request_stop("asked to stop")
                yield
        except Killed:
            result.survived = False
        result.seeds |= evaluator.seeds

    network.run([life(worker, moment(session.stop), moment(session.kill)) for worker in workers])
    return result


def resumed(session: Session, result: Result, **changes: Any) -> Result:
    """Run a session that goes on from what another one left, changed in some ways."""
    return simulate(replace(session, **changes), result.lines)
