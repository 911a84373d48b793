"""A worker that knows what happened in earlier sessions, and what is recorded of the session that it joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from evo.engine.settings import WorkerSettings
from evo.engine.starting import make_start_points
from evo.engine.worker import Worker
from evo.errors import UserError
from evo.population.checking import why_not_of
from evo.population.events import AnyEvent, Joined, encode
from evo.population.objectives import Objectives
from evo.population.population import Population
from evo.pruning import Rungs
from evo.replay.settings import RecordedSettings, in_words
from evo.report.course import Course
from evo.runtime.device import Placement
from evo.space.growth import Forms
from evo.space.space import Space
from evo.space.values import Params
from evo.storage.rundir import RunDirectory, Scratch, StudyRecord, study_space
from evo.study.config import Config
from evo.study.plan import Plan


def make_worker(
    config: Config,
    plan: Plan,
    study: StudyRecord,
    directory: RunDirectory | Scratch,
    place: Placement,
    course: Course | None,
) -> Worker:
    """The worker that a rank belongs to, which knows what happened in earlier sessions.

    Args:
        config: The settings.
        plan: What they amount to.
        study: What is searched.
        directory: The run directory of the study.
        place: The machine and the device on which the rank trains.
        course: Is told what happened in earlier sessions. None means that nobody is.

    Raises:
        UserError: A journal is damaged, or holds something that does not fit.
    """
    number = place.rank // config.ranks_per_worker
    island = plan.archipelago.island_of(number)
    population, rungs, session = _remember(plan, study, directory, island, course)
    start = make_start_points(plan.space, plan.start, study.seed)
    settings = WorkerSettings(
        worker=number,
        workers=plan.archipelago.workers,
        seed=study.seed,
        budget=plan.budget,
        allow_duplicates=config.allow_duplicates,
        host=place.host,
        device=place.device,
        archipelago=plan.archipelago,
        migration=plan.migration,
        ranks_per_worker=config.ranks_per_worker,
        start=start,
        session=session,
        objectives=plan.objectives,
        reference_point=config.reference_point or {},
        recorded={} if number else _recorded_settings(config, plan, study, start),
    )
    return Worker(settings, plan.propagators[island], population, rungs)


def _remember(
    plan: Plan, study: StudyRecord, directory: RunDirectory | Scratch, island: int, course: Course | None
) -> tuple[Population, Rungs | None, int]:
    """What is known from earlier sessions: the population, the figures at rungs, and the number of this session."""
    former = [Space(limits) for limits in study.former]
    forms = Forms(study_space(study), former, plan.space) if former else None
    population = Population(plan.space, island, plan.archipelago.islands, forms)
    rungs = Rungs(plan.pruner, are_several=plan.objectives.are_several) if plan.pruner else None
    session = 1
    for event in directory.events():
        _recall(event, population, directory, plan.objectives)
        if isinstance(event, Joined):
            session = max(session, event.session + 1)
        if rungs:
            rungs.apply(event)
        if course:
            course.add(event)
    return population, rungs, session


def _recorded_settings(config: Config, plan: Plan, study: StudyRecord, start: Sequence[Params]) -> dict[str, Any]:
    """What decides how individuals are bred, so that a replay can do the same."""
    settings = RecordedSettings(
        islands=[len(members) for members in plan.archipelago.members],
        breeding=list(plan.breeding),
        pruning=in_words(config.pruning),
        allow_duplicates=config.allow_duplicates,
        start=list(start),
        former=len(study.former),
        constraints=list(plan.constraints),
        migration=_recorded_migration(config, plan),
    )
    return msgspec.to_builtins(settings)  # type: ignore[no-any-return]


def _recorded_migration(config: Config, plan: Plan) -> dict[str, Any]:
    """The rules of migration in words, since study.json has no more of them than the topology as a matrix."""
    if plan.migration is None:
        return {}
    return {
        "mode": plan.migration.mode,
        "probability": plan.migration.probability,
        "topology": config.topology if isinstance(config.topology, str) else "matrix",
        "migrants": config.migrants,
        "emigration": str(config.emigration),
        "immigration": str(config.immigration),
    }


def _recall(event: AnyEvent, population: Population, directory: RunDirectory | Scratch, objectives: Objectives) -> None:
    try:
        if why := why_not_of(event, objectives):
            raise UserError(why)
        population.apply(event)
    except UserError as error:
        raise UserError(
            f"run directory {directory}: a journal holds {encode(event).decode()}, which does not fit: {error}; "
            f"evo repair {directory} salvages the rest"
        ) from error
