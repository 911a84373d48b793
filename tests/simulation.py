"""Searches of virtual ranks in one process, under schedules that depend on nothing but a seed."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from records import make_worker, replayed

from evo.algorithms.bred import Breeding
from evo.engine.budget import Budget
from evo.engine.exchange import Exchange
from evo.engine.loop import Effects, search
from evo.engine.settings import TakeState
from evo.engine.starting import KnownPoint, known_events
from evo.engine.worker import Worker
from evo.islands.archipelago import Archipelago, make_archipelago
from evo.islands.migration import Migration
from evo.population.assignment import Assignment, Further, TakesReport
from evo.population.events import AnyEvent, Done, Finished, Joined, Started, Status, decode, encode
from evo.population.identity import Identity, individual_name
from evo.population.objectives import ONE_LOSS, make_objectives
from evo.population.outcome import Outcome
from evo.population.segments import SavedState
from evo.propagators import InitUniform
from evo.pruning import Pruner, Rungs
from evo.replay.settings import HowToBreed, RecordedSettings, in_words
from evo.space.space import Space
from evo.space.values import Params
from evo.storage.journal import Memory
from evo.testing.loopback import Loopback

SPACE = Space({"x": (-1.0, 1.0), "layers": (1, 9)})
RANDOM = InitUniform()
SEVERAL = make_objectives(["loss", "other"], {"size": "<= 2"})
"""The objectives and the bound of sessions with several objectives."""
# Steps of all ranks after which a search is taken never to end.
_FOR_EVER = 40_000

Phase: TypeAlias = Literal["step", "line", "done", "ready", "concluding", "closed", "left"]
"""What a rank does, in this order: its own step; a line that it has kept but not sent; its line that it is done, kept
but not sent; its final report, not sent; its conclusion as the first rank, not sent; a step with that known; its
return."""


class Killed(Exception):
    """The end of a rank's process."""


@dataclass(frozen=True)
class Death:
    """When a rank dies: in the phase that it reaches for the `number`-th time, from 1, or `later` own steps after."""

    phase: Phase
    number: int = 1
    later: int = 0


class Fate:
    """Kills one rank when its time has come."""

    def __init__(self, deaths: Iterable[Death]) -> None:
        self._waiting: dict[Phase, list[Death]] = defaultdict(list)
        for death in deaths:
            self._waiting[death.phase].append(death)
        self._reached: dict[Phase, int] = defaultdict(int)
        self._left: list[int] = []

    def reach(self, phase: Phase) -> None:
        """Note that the rank reaches a phase, and kill it if its time has come."""
        if not self._waiting:
            return
        self._reached[phase] += 1
        self._left += [death.later for death in self._waiting[phase] if death.number == self._reached[phase]]
        if 0 in self._left:
            raise Killed

    def step(self) -> None:
        """Note that one step of the rank is over."""
        self._left = [left - 1 for left in self._left]
        if 0 in self._left:
            raise Killed
        self.reach("step")


class Journal:
    """The lines of one rank; it may die right after it has kept one.

    Args:
        fate: The fate of the rank.
        left: The lines of other ranks, which grow.
    """

    def __init__(self, fate: Fate | None = None, left: Mapping[int, Sequence[bytes]] | None = None) -> None:
        self.lines: list[bytes] = []
        self._fate = fate or Fate([])
        self._left = {} if left is None else left

    def append(self, line: bytes) -> None:
        self.lines.append(line)
        if line.startswith(b'{"type":"Done"'):
            self._fate.reach("done")
        self._fate.reach("line")

    def recall(self) -> list[AnyEvent]:
        return [decode(line) for line in self.lines]

    def left_by(self, worker: int) -> list[AnyEvent]:
        return [decode(line) for line in self._left[worker]]


class Forgetful(Journal):
    """A journal where no files are kept, so that what a rank knew is gone with it."""

    def __init__(self, fate: Fate, known: list[AnyEvent]) -> None:
        super().__init__(fate)
        self._memory = Memory(known)

    def recall(self) -> list[AnyEvent]:
        return list(self._memory.recall())

    def left_by(self, worker: int) -> list[AnyEvent]:
        return list(self._memory.left_by(worker))


class Evaluator:
    """Takes a random number of polls, and ends in a way that depends on the parameters alone."""

    def __init__(
        self, polls: tuple[int, int], rng: np.random.Generator, reports: float = 0.1, *, several: bool = False
    ) -> None:
        self._several = several
        self.seeds: dict[Identity, int] = {}
        self._polls = polls
        self._reports = reports
        self._rng = rng

    def start(self, assignment: Assignment, report: TakesReport) -> None:
        self.seeds[assignment.individual] = assignment.seed
        self._left = int(self._rng.integers(self._polls[0], self._polls[1] + 1))
        self._report = report
        self._outcome = how_it_ends(assignment.params, several=self._several)
        if (segment := assignment.segment) is not None and self._outcome.status == "completed":
            state = SavedState(step=segment.until, digest=individual_name(assignment.individual))
            self._outcome = replace(self._outcome, state=state)

    def poll(self) -> Outcome | None:
        if self._left > 0:
            self._left -= 1
            if self._rng.random() < self._reports:
                losses = (0.5, float(self._rng.random())) if self._several and self._rng.random() < 0.8 else ()
                self._report(self._left, 0.5, Further(losses=losses))
            return None
        return self._outcome

    def interrupt(self) -> None:
        self._left, self._outcome = 0, Outcome(status="interrupted")


def how_it_ends(params: dict[str, Any], *, several: bool = False) -> Outcome:
    """One in eight fails, and one in eight is pruned; of several objectives, some are pruned without all losses."""
    loss = float(sum(value for value in params.values()))
    kind = zlib.crc32(repr(loss).encode()) % 8
    if kind == 0:
        return Outcome(status="failed", error="ValueError: no")
    status: Status = "pruned" if kind == 1 else "completed"
    if not several:
        return Outcome(status=status, loss=loss)
    other = zlib.crc32(repr(-loss).encode())
    losses = () if kind == 1 and other % 2 else (loss, other % 1000 / 100.0)
    return Outcome(status=status, loss=loss, losses=losses, violation=0.5 if kind == 2 else 0.0)


class Ending:
    """Reports which population a rank ends with, and concludes from the reports of all.

    Args:
        worker: The worker of this rank.
        fate: The fate of this rank.
        conclusions: The conclusions of all ranks, which grow: which rank concluded, and what all had reported.
    """

    def __init__(self, worker: Worker, fate: Fate, conclusions: list[tuple[int, dict[int, str]]]) -> None:
        self._worker = worker
        self._fate = fate
        self._conclusions = conclusions

    def final_report(self) -> str:
        self._fate.reach("ready")
        return self._worker.population.digest()

    def conclude(self, final_reports: Mapping[int, str]) -> str:
        self._conclusions.append((self._worker.settings.worker, dict(final_reports)))
        self._fate.reach("concluding")
        return f"conclusion {len(self._conclusions)}"


@dataclass(frozen=True, kw_only=True)
class Session:
    """How one session of a study goes.

    Args:
        seed: The seed of the schedule.
        ranks: The number of ranks.
        budget: When the search ends.
        sizes: The sizes of the islands. None means that all ranks live on one.
        migration: The migration between the islands.
        fan_out: See `evo.engine.exchange.neighbours`.
        files: Whether journals outlive their ranks.
        max_delay: The longest delay of a message, in steps of all ranks.
        duplicates: The probability that a message arrives twice.
        polls: The least and the most steps of its rank that an evaluation takes.
        reports: The probability that an evaluation reports an intermediate loss in a step.
        stop: The step from which on the ranks are asked to stop, and the number of steps within which each is.
        kill: The step from which on the whole job is killed, and the number of steps within which each rank is; about
            half of the ranks are killed while writing.
        deaths: Deaths of single ranks, which the others notice.
        propagator: The propagator or algorithm that breeds.
        space: What is searched.
        pruner: Ends evaluations early; None means that nothing does.
        start: The points to be tried first.
        known: The points whose results are known from elsewhere.
        allow_duplicates: Whether a point may be tried twice.
        several: Whether there are two objectives, and a bound.
    """

    seed: int
    ranks: int
    budget: Budget
    sizes: tuple[int, ...] | None = None
    migration: Migration | None = None
    fan_out: int | None = None
    files: bool = True
    max_delay: int = 5
    duplicates: float = 0.0
    polls: tuple[int, int] = (5, 20)
    reports: float = 0.1
    stop: tuple[int, int] | None = None
    kill: tuple[int, int] | None = None
    deaths: Mapping[int, Death] = field(default_factory=dict)
    propagator: Breeding = RANDOM
    space: Space = SPACE
    pruner: Pruner | None = None
    start: Sequence[Params] = ()
    known: Sequence[KnownPoint] = ()
    allow_duplicates: bool = False
    several: bool = False

    @property
    def archipelago(self) -> Archipelago:
        """Who lives where."""
        return make_archipelago(self.ranks, sizes=self.sizes)


@dataclass
class Result:
    """What a session left behind.

    Args:
        session: How it went.
        workers: The workers as they were at the end.
        journals: The lines of each rank.
        before: The lines of the sessions before, by rank.
        seeds: The seeds of the trainings, by individual.
        watched: What each rank's watcher was shown.
        died: The ranks that did not come to their own end.
        conclusions: Which rank concluded, and what all had reported.
        told: What each rank was told in the end.
    """

    session: Session
    workers: list[Worker]
    journals: list[Journal]
    before: Mapping[int, Sequence[bytes]]
    seeds: dict[Identity, int] = field(default_factory=dict)
    watched: list[list[AnyEvent]] = field(default_factory=list)
    died: set[int] = field(default_factory=set)
    conclusions: list[tuple[int, dict[int, str]]] = field(default_factory=list)
    told: dict[int, str] = field(default_factory=dict)

    @property
    def survived(self) -> bool:
        """Whether all ranks came to their own end."""
        return not self.died

    @property
    def survivors(self) -> list[Worker]:
        """The workers that came to their own end."""
        return [worker for worker in self.workers if worker.settings.worker not in self.died]

    @property
    def by_rank(self) -> dict[int, list[bytes]]:
        """The journals of this session and all before."""
        ranks = {*self.before, *range(len(self.journals))}
        now = {rank: journal.lines for rank, journal in enumerate(self.journals)}
        return {rank: [*self.before.get(rank, []), *now.get(rank, [])] for rank in sorted(ranks)}

    @property
    def lines(self) -> list[bytes]:
        """The lines of these journals, one after another."""
        return list(chain.from_iterable(self.by_rank.values()))

    @property
    def events(self) -> list[AnyEvent]:
        """The events of these journals."""
        return [decode(line) for line in self.lines]

    def of(self, kind: type) -> list[Any]:
        """The events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def started(self) -> list[Identity]:
        """The individuals that were started, once for each start."""
        return [event.individual for event in self.of(Started)]

    @property
    def evaluated(self) -> list[Identity]:
        """The individuals whose evaluation came to its own end, once for each such end."""
        return [event.individual for event in self.of(Finished) if event.status != "interrupted"]

    @property
    def done(self) -> list[Done]:
        """The last line of each rank, which must be its only one of this type."""
        for journal in self.journals:
            assert [isinstance(decode(line), Done) for line in journal.lines].index(True) == len(journal.lines) - 1
        return [decode(journal.lines[-1]) for journal in self.journals]  # type: ignore[misc]


def simulate(
    session: Session,
    before: Mapping[int, Sequence[bytes]] | None = None,
    inspect: Callable[[Result, int], None] = lambda result, rank: None,
    take_state: Callable[[int], TakeState] = lambda rank: lambda identity, donor: True,
) -> Result:
    """Run a session to its end, or to the death of all its ranks.

    Args:
        session: How it goes.
        before: The journal lines of the sessions before, by rank: all that is known of them.
        inspect: Is called with the session so far and the rank after each step of a rank.
        take_state: Returns how a rank takes over the states of donors.
    """
    before = before or {}
    rng = np.random.default_rng(session.seed)
    network = Loopback(session.ranks, rng, session.max_delay, session.duplicates)
    archipelago = session.archipelago
    known = [decode(line) for line in chain.from_iterable(before.values())]
    number = 1 + max((event.session for event in known if isinstance(event, Joined)), default=0)
    imported = known_events(session.known, replayed(session.space, known, 0, archipelago.islands), 0.0)
    before = {**before, 0: [*before.get(0, []), *map(encode, imported)]}
    result = Result(session, [], [], before, watched=[[] for _ in range(session.ranks)])
    fates = []
    for rank, island in enumerate(map(archipelago.island_of, range(session.ranks))):
        deaths = [session.deaths[rank]] if rank in session.deaths else []
        if session.kill is not None and rng.random() < 0.5:
            deaths.append(Death("line", int(rng.integers(1, 30))))
        fates.append(Fate(deaths))
        result.workers.append(
            make_worker(
                session.space,
                session.propagator,
                session.budget,
                rank=rank,
                ranks=session.ranks,
                population=replayed(session.space, known, island, archipelago.islands),
                archipelago=archipelago,
                migration=session.migration,
                allow_duplicates=session.allow_duplicates,
                rungs=_rungs(session, known),
                start=session.start,
                session=number,
                recorded={} if rank else recorded(session),
                objectives=SEVERAL if session.several else ONE_LOSS,
            )
        )
        for event in imported:
            result.workers[-1].receive(event, 0.0)
        journal = Journal(fates[rank], _Left(result)) if session.files else Forgetful(fates[rank], result.watched[rank])
        result.journals.append(journal)

    def moment(between: tuple[int, int] | None) -> float:
        return np.inf if between is None else between[0] + int(rng.integers(between[1] + 1))

    def life(worker: Worker, stop: float, death: float) -> Iterator[None]:
        rank = worker.settings.worker
        evaluator = Evaluator(session.polls, rng, session.reports, several=session.several)
        exchange = Exchange(network.endpoints[rank], session.fan_out)
        effects = Effects(
            evaluator=evaluator,
            journal=result.journals[rank],
            ending=Ending(worker, fates[rank], result.conclusions),
            watch=result.watched[rank].append,
            clock=lambda: float(network.now),
            take_state=take_state(rank),
        )
        steps = search(worker, exchange, effects)
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    fates[rank].reach("left")
                    result.told[rank] = end.value
                    break
                assert network.now < _FOR_EVER, f"{session} does not come to an end"
                if network.now >= death:
                    raise Killed
                if exchange.closed is not None:
                    fates[rank].reach("closed")
                fates[rank].step()
                if network.now >= stop:
                    worker.stopping.request("asked to stop")
                inspect(result, rank)
                yield
        except Killed:
            steps.close()
            result.died.add(rank)
            if session.kill is None:
                network.kill(rank)
        result.seeds |= evaluator.seeds
        inspect(result, rank)

    network.run([life(worker, moment(session.stop), moment(session.kill)) for worker in result.workers])
    return result


def _rungs(session: Session, known: Sequence[AnyEvent]) -> Rungs | None:
    rungs = Rungs(session.pruner, are_several=session.several) if session.pruner else None
    for event in known if rungs else ():
        assert rungs is not None
        rungs.apply(event)
    return rungs


def recorded(session: Session) -> dict[str, Any]:
    """The settings of a session, as worker 0 records them."""
    sizes = [len(members) for members in session.archipelago.members]
    settings = RecordedSettings(
        islands=sizes,
        breeding=[HowToBreed(in_words(session.propagator))] * len(sizes),
        pruning=in_words(session.pruner) if session.pruner else "none",
        allow_duplicates=session.allow_duplicates,
        start=list(session.start),
        constraints=list(session.space.constraints),
    )
    return msgspec.to_builtins(settings)  # type: ignore[no-any-return]


class _Left(Mapping[int, Sequence[bytes]]):
    """What each rank has written, in all sessions."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __getitem__(self, rank: int) -> Sequence[bytes]:
        return [*self._result.before.get(rank, []), *self._result.journals[rank].lines]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._result.journals)))

    def __len__(self) -> int:
        return len(self._result.journals)


def resumed(session: Session, result: Result, **changes: Any) -> Result:
    """Run a session that goes on from what another one left, changed in some ways."""
    return simulate(replace(session, **changes), result.by_rank)
