"""A whole study, whose breeding decisions are made again session by session and worker by worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evo.algorithms.bred import Breeding
from evo.algorithms.catalogue import make_propagator
from evo.engine.budget import Budget
from evo.engine.hearing import MOST_WORKERS
from evo.engine.settings import WorkerSettings
from evo.errors import UserError
from evo.islands.archipelago import Archipelago, make_archipelago
from evo.objective.references import add_working_directory
from evo.ownership import why_foreign
from evo.population.events import AnyEvent, Finished, Heard, Started
from evo.population.identity import Identity
from evo.population.population import Population
from evo.pruning import Rungs, make_pruner
from evo.replay.decisions import Decision, Finding, Replayed
from evo.replay.journals import Journals, RecordedSession, read_journals
from evo.replay.settings import RecordedSettings, named_classes, read_settings
from evo.report.reading import Run
from evo.space.constraints import is_function
from evo.space.growth import Forms
from evo.space.space import Space
from evo.storage.rundir import StudyRecord

_OLD = "an earlier version of evo has recorded it, without what each rank knew"
_LACKING = "its journals were repaired, and lack records"
_OBJECT = "its {} was an object of a class that its name and arguments do not tell"


@dataclass(frozen=True)
class Replay:
    """What a replay has found.

    Args:
        decisions: One for each start, in the order of their times.
    """

    decisions: Sequence[Decision]

    @property
    def counts(self) -> Counter[Finding]:
        """How many starts have each finding."""
        return Counter(decision.finding for decision in self.decisions)

    @property
    def deviations(self) -> list[Decision]:
        """Those that deviate, the first ones first."""
        return [decision for decision in self.decisions if decision.finding == "deviates"]

    @property
    def reasons(self) -> Counter[str]:
        """Why decisions cannot be made again, each with their number."""
        return Counter(decision.why for decision in self.decisions if decision.finding == "undecided")


def replay(run: Run, trust: bool = False) -> Replay:
    """Make all breeding decisions of a study again, from its journals alone; nothing is evaluated.

    What a worker breeds follows from the seed, from the settings and from what it knew at that moment, which its
    journal says. After a deviation the recorded individual counts, so that later decisions are judged by themselves.

    Args:
        run: The study.
        trust: Whether the user trusts the writers of the run directory, which may name classes that would be run.

    Raises:
        UserError: A journal is damaged or does not fit, or names classes and is another user's.
    """
    journals = read_journals(run.directory)
    files = [run.directory.path / "study.json", *run.directory.journals()]
    try:
        return replay_journals(run.study, journals, () if trust else files)
    except UserError as error:
        raise UserError(f"run directory {run.name}: {error}") from error


def replay_journals(study: StudyRecord, journals: Journals, files: Sequence[Path] = ()) -> Replay:
    """Make all breeding decisions that journals hold again; see `replay`.

    Args:
        study: The study.
        journals: The journals.
        files: The files that must be the user's own if classes are named in the journals.

    Raises:
        UserError: A record does not fit, or a class is named and a file is another user's.
    """
    found: list[Decision] = []
    started: set[Identity] = set()
    for session in journals.sessions:
        started |= session.started
        found += _replay_session(study, journals, session, files, lacks_records=not session.mentioned <= started)
    return Replay(sorted(found, key=lambda decision: (decision.recorded.time, decision.worker)))


def _replay_session(
    study: StudyRecord, journals: Journals, session: RecordedSession, files: Sequence[Path], *, lacks_records: bool
) -> Iterator[Decision]:
    ended = {event.individual for event in session.known if isinstance(event, Finished)}
    for event in session.known:
        if isinstance(event, Started) and event.individual in ended:
            yield Decision(0, event, "known")
    settings, why = (None, _LACKING) if lacks_records else _settings(session)
    if settings is None:
        yield from _undecided(session, why)
        return
    _check_foreign(settings, files)
    beginning = _begin(study, journals, session, settings)
    for worker, events in sorted(session.events.items()):
        yield from _make_replayed(study, beginning, worker).follow(events)


def _settings(session: RecordedSession) -> tuple[RecordedSettings | None, str]:
    """The settings of a session; None, and the reason, if its decisions cannot be made again."""
    if session.number == 0:
        return None, _OLD
    first = session.joined.get(0)
    if first is None or not first.settings:
        return None, "rank 0 did not come to record its settings"
    settings = read_settings(first.settings)
    if sum(settings.islands) > MOST_WORKERS:
        return None, f"with more than {MOST_WORKERS} workers evo does not record what each of them knew"
    if any(one.setting is None for one in settings.breeding):
        return None, _OBJECT.format("propagator")
    if settings.pruning is None:
        return None, _OBJECT.format("pruner")
    if any(map(is_function, settings.constraints)):
        return None, "a constraint was a function, of which the run directory holds a description only"
    return settings, ""


def _undecided(session: RecordedSession, why: str) -> Iterator[Decision]:
    for worker, events in sorted(session.events.items()):
        for event in events:
            if isinstance(event, Started):
                yield Decision(worker, event, "undecided", why)


def _check_foreign(settings: RecordedSettings, files: Sequence[Path]) -> None:
    """Refuse to run classes that another user may have named."""
    for path in named_classes([[one.setting for one in settings.breeding], settings.pruning]):
        for file in files:
            if why := why_foreign(file):
                raise UserError(
                    f"its journals name the class {path}, and {file}, or its folder, {why}: look at it, and run what "
                    "is named there with --trust"
                )
        add_working_directory(path.rpartition(".")[0])


@dataclass(frozen=True)
class _Beginning:
    """What all workers of a session had in common when it began, made once; see `_make_replayed`.

    Args:
        session: The session.
        settings: Its settings.
        archipelago: Who is on which island.
        space: Its space, and the limits that the study had had by then.
        before: What had been recorded earlier.
        sent: By worker, the events of the session that others may have heard of.
    """

    session: RecordedSession
    settings: RecordedSettings
    archipelago: Archipelago
    space: tuple[Space, Forms | None]
    before: Sequence[AnyEvent]
    sent: Mapping[int, Sequence[AnyEvent]]


def _begin(study: StudyRecord, journals: Journals, session: RecordedSession, settings: RecordedSettings) -> _Beginning:
    archipelago = make_archipelago(sum(settings.islands), sizes=settings.islands)
    for worker in session.events:
        if worker >= archipelago.workers:
            here = f"session {session.number}, which has {archipelago.workers} workers"
            raise UserError(f"rank {worker} has joined {here}")
    sent = {worker: session.sent_by(worker) for worker in range(archipelago.workers)}
    # What a worker hears tells only of itself and of its own session, and changes nothing that others know.
    before = [event for event in journals.before(session.number) if not isinstance(event, Heard)]
    return _Beginning(session, settings, archipelago, _space(study, settings), before, sent)


def _make_replayed(study: StudyRecord, beginning: _Beginning, worker: int) -> Replayed:
    session, settings, archipelago = beginning.session, beginning.settings, beginning.archipelago
    island = archipelago.island_of(worker)
    space, forms = beginning.space
    # Each worker had a population, a propagator and a pruner of its own, which change and may learn.
    population = Population(space, island, archipelago.islands, forms)
    pruner = make_pruner(settings.pruning)
    rungs = Rungs(pruner, are_several=study.objectives.are_several) if pruner else None
    for event in beginning.before:
        population.apply(event)
        if rungs:
            rungs.apply(event)
    first = session.joined[0]
    made = WorkerSettings(
        worker=worker,
        workers=archipelago.workers,
        seed=study.seed,
        budget=Budget(generations=first.generations, evaluations=first.evaluations),
        allow_duplicates=settings.allow_duplicates,
        archipelago=archipelago,
        start=settings.start,
        objectives=study.objectives,
    )
    how = settings.breeding[island]
    breeding: Breeding = make_propagator(how.setting, how.defaults)
    sent = {other: events for other, events in beginning.sent.items() if other != worker}
    return Replayed(made, breeding, population, rungs, session.known, sent)


def _space(study: StudyRecord, settings: RecordedSettings) -> tuple[Space, Forms | None]:
    """The space of a session, and the limits that the study had had by then."""
    limits = [*study.former, study.limits]
    if settings.former >= len(limits):
        raise UserError(f"study.json lacks limits: a session had changed them {settings.former} times")
    space = Space(limits[settings.former], settings.constraints)
    former = [Space(each) for each in limits[: settings.former]]
    return space, Forms(space, former) if former else None
