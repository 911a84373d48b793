"""One study, from its settings to its result: the wiring of everything else."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any

import msgspec

from evo.engine.breeding import PropagatorError
from evo.engine.exchange import Exchange
from evo.engine.loop import search
from evo.engine.starting import make_start_points
from evo.engine.transport import Transport, together
from evo.engine.worker import Settings, Worker
from evo.errors import Stuck, UserError
from evo.evaluation import (
    COLLECTIVE_TIMEOUT,
    GPU_MEMORY,
    SESSION,
    Evaluator,
    InlineEvaluator,
    Team,
    TeamEvaluator,
    assist,
)
from evo.objective.definition import Definition, canonical_name, define, memory
from evo.objective.references import Named
from evo.objective.training import Training
from evo.population.events import AnyEvent, encode
from evo.population.population import Population
from evo.propagators import Propagator
from evo.pruning import Rungs
from evo.report.records import Result
from evo.report.screen import Screen
from evo.runtime.batch import allocation_end
from evo.runtime.device import Place, bind_ranks, training_environment
from evo.runtime.signals import StopSignals
from evo.space.constraints import ConstraintError
from evo.space.examples import example_points
from evo.space.growth import Forms
from evo.space.space import Space
from evo.storage.checkpoints import Weights
from evo.storage.rundir import RunDirectory, Scratch, Study, study_forms, study_space
from evo.study.beginning import agree_on_study, begin_study, tell_changes
from evo.study.conclusion import Conclusion, Ending, all_failed, decode_conclusion, same_digest
from evo.study.config import Config, parse_duration
from evo.study.plan import Plan, make_plan
from evo.texts import as_path, readable
from evo.versions import versions_of

_VERSIONS = ("numpy", "torch", "lightning", "mpi4py")


class MistakeFound(Stuck):
    """Something of the user's is wrong, which could not be seen before the search."""

    status = 2


def run_study(
    config: Config,
    objective: Callable[..., Any] | Named,
    transport: Transport,
    signals: StopSignals,
    limits: Mapping[str, Any] | None = None,
    propagator: Propagator | str | Mapping[str, Any] | None = None,
) -> Result:
    """Search, on all ranks together.

    Args:
        config: The settings.
        objective: What to minimise.
        transport: To the other ranks.
        signals: May ask for a clean stop.
        limits: What is searched, if the configuration does not say.
        propagator: Breeds, or says what does; None: what the configuration says.

    Raises:
        SharedError: Something in the settings or the run directory does not fit.
    """
    end = _allocation_end(transport)
    plan = together(transport, lambda: make_plan(config, objective, limits, propagator, transport.size, end))
    places = bind_ranks(config.gpus_per_node, transport)
    directory = RunDirectory(as_path(config.run_dir)) if config.run_dir else Scratch()
    screen = Screen(silent=config.quiet)
    asked = together(transport, lambda: _make_study(config, plan, objective, directory, transport))
    study, changes = agree_on_study(asked, config, directory, transport)
    if transport.rank == 0:
        screen.begin(study.name, str(directory), places, plan.budget, plan.archipelago, plan.migration)
        screen.constants(plan.space.constants)
        screen.notes(objective.notes if isinstance(objective, Training) else ())
    with closing(directory):
        worker = together(transport, lambda: _make_worker(config, plan, study, directory, places[transport.rank]))
        if changes and transport.rank == 0:
            screen.limits_changed(changes, worker.population)
        signals.listen(worker.stopping.request)
        conclusion = None if changes else _concluded_earlier(worker, directory, transport, config.debug)
        if conclusion is not None and transport.rank == 0:
            tell_changes(study, directory, screen)
        if conclusion is None:
            place = places[transport.rank]
            conclusion = _search(config, plan, study, worker, directory, transport, place, screen, signals)
            if study.definition.settings and transport.rank == 0 and not plan.separate:
                memory.remember(plan.objective, study.definition)
            transport.dead = transport.dead.union(conclusion.lost_ranks)
        result = Result(
            rank=transport.rank,
            events=directory.events,
            run_dir=as_path(str(directory)) if isinstance(directory, RunDirectory) else None,
            forms=study_forms(study),
            **msgspec.structs.asdict(conclusion),
        )
        if result.is_first:
            screen.end(result, plan.space.names, plan.archipelago.workers, transport.size)
        return result


def _allocation_end(transport: Transport) -> float | None:
    """When the batch job ends, which the first rank finds out for all."""
    end = allocation_end(os.environ) if transport.rank == 0 else None
    return msgspec.json.decode(transport.gather(json.dumps(end))[0], type=float | None)


def _make_study(
    config: Config,
    plan: Plan,
    objective: Callable[..., Any] | Named,
    directory: RunDirectory | Scratch,
    transport: Transport,
) -> Study:
    """The study that is asked for; the first rank's, by which the others go, knows what the objective is made of."""
    knows = transport.rank == 0 and isinstance(directory, RunDirectory)
    return Study(
        name=readable(directory.path.name),
        objective=readable(canonical_name(objective)),
        definition=define(objective, None if plan.separate else plan.objective) if knows else Definition(),
        limits=plan.space.describe(),
        constraints=list(plan.constraints),
        seed=config.seed or 0,
        propagator="; ".join(dict.fromkeys(map(repr, plan.propagators))),
        islands=[len(members) for members in plan.archipelago.members],
        pruning=repr(plan.pruner) if plan.pruner else "",
        topology=plan.migration.topology if plan.migration else (),
        baseline=plan.baseline,
        versions=versions_of(_VERSIONS) if transport.rank == 0 else {},
        created=time.time(),
    )


def _make_worker(config: Config, plan: Plan, study: Study, directory: RunDirectory | Scratch, place: Place) -> Worker:
    """The worker that this rank belongs to, which knows what happened in earlier sessions."""
    number = place.rank // config.ranks_per_worker
    island = plan.archipelago.island_of(number)
    former = [Space(limits) for limits in study.former]
    forms = Forms(study_space(study), former, plan.space) if former else None
    population = Population(plan.space, island, plan.archipelago.islands, forms)
    rungs = Rungs(plan.pruner) if plan.pruner else None
    for event in directory.events():
        try:
            population.apply(event)
        except ValueError as error:
            raise UserError(
                f"run directory {directory}: a journal holds {encode(event).decode()}, which does not fit: {error}; "
                f"evo repair {directory} salvages the rest"
            ) from None
        if rungs:
            rungs.apply(event)
    settings = Settings(
        rank=number,
        ranks=plan.archipelago.workers,
        seed=study.seed,
        budget=plan.budget,
        allow_duplicates=config.allow_duplicates,
        host=place.host,
        device=place.device,
        archipelago=plan.archipelago,
        migration=plan.migration,
        start=make_start_points(plan.space, plan.start, study.seed),
    )
    return Worker(settings, plan.propagators[island], population, rungs)


def _concluded_earlier(
    worker: Worker, directory: RunDirectory | Scratch, transport: Transport, debug: bool
) -> Conclusion | None:
    """What earlier sessions concluded, if no rank has anything left to do and the completion record is there."""
    reason = worker.stopping.why_complete
    digest = worker.population.digest() if debug else ""
    said = transport.gather(json.dumps([bool(reason) and directory.is_complete, digest]))
    answers = [msgspec.json.decode(text, type=tuple[bool, str]) for text in said]
    if not all(is_complete for is_complete, _ in answers):
        return None
    digest = same_digest(digest for _, digest in answers)
    gave_up = worker.settings.budget.too_many_failed(worker.population)
    return Conclusion(
        stop_reason=reason,
        gave_up=gave_up,
        all_failed=all_failed(worker.population),
        digest=digest,
        test=directory.tested(),
    )


def _search(
    config: Config,
    plan: Plan,
    study: Study,
    worker: Worker,
    directory: RunDirectory | Scratch,
    transport: Transport,
    place: Place,
    screen: Screen,
    signals: StopSignals,
) -> Conclusion:
    """Search, test the best individual and write the completion record; every rank has read all journals before."""
    team = Team(transport, config.ranks_per_worker)

    def is_interrupted() -> bool:
        return bool(worker.stopping.why_now(time.time()))

    session = transport.gather(secrets.token_hex(16))[0]
    made = together(transport, lambda: _make_evaluator(config, plan, directory, place, team, session, is_interrupted))
    with closing(made) as evaluator:
        signals.listen_to_hurry(evaluator.hurry)
        opened = together(transport, lambda: evaluator.open(plan.space.names, example_points(plan.space)))
        if transport.rank == 0:
            screen.notes(opened.notes)
        together(
            transport,
            lambda: begin_study(study, opened.settings, directory, screen) if transport.rank == 0 else None,
        )
        number = worker.settings.rank
        journal = together(transport, lambda: directory.open_journal(number) if team.leaders else None)
        if team.leaders is None or journal is None:
            words, events = assist(team, evaluator)
            for event in events:
                directory.remember(event)
            team.close()
            return decode_conclusion(words)
        team.leaders.attend()
        exchange = Exchange(team.leaders, plan.fan_out)
        progress = screen.progress(worker.population, plan.budget, plan.archipelago.workers, lambda: exchange.is_first)
        weights = Weights(worker.population, directory.folder, number, config.keep_checkpoints, exchange.is_first)
        ending = Ending(
            study,
            worker,
            exchange,
            evaluator,
            directory,
            weights,
            debug=config.debug,
            ranks=transport.size,
            by_keyboard=lambda: signals.by_keyboard,
        )

        def watch(event: AnyEvent) -> None:
            directory.remember(event)
            weights(event)
            progress(event)
            if exchange.is_first:
                screen.warn(event)

        with closing(journal), closing(progress):
            try:
                words = _run(search(worker, exchange, evaluator, journal, ending, watch, time.time))
            except (PropagatorError, ConstraintError) as error:
                raise MistakeFound(str(error)) from error
        team.dismiss(words, directory.events() if isinstance(directory, Scratch) else ())
        team.close()
        return decode_conclusion(words)


def _run(steps: Generator[None, None, str]) -> str:
    """Go through all steps; what the last one returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _make_evaluator(
    config: Config,
    plan: Plan,
    directory: RunDirectory | Scratch,
    place: Place,
    team: Team,
    session: str,
    is_interrupted: Callable[[], bool],
) -> Evaluator:
    evaluator: Evaluator
    patience = parse_duration("collective_timeout", config.collective_timeout)
    of_evo = {SESSION: session, GPU_MEMORY: str(config.gpu_memory), COLLECTIVE_TIMEOUT: str(patience)}
    environment = {**place.environment, **of_evo}
    if plan.separate:
        from evo.evaluation.process import ProcessEvaluator  # Others do without multiprocessing.

        limit = None if config.time_limit is None else parse_duration("time_limit", config.time_limit)
        evaluator = ProcessEvaluator(
            plan.objective,
            directory.folder,
            training_environment(os.environ, environment),
            place.threads,
            limit,
            team,
            checkpoint_interval=parse_duration("checkpoint_interval", config.checkpoint_interval),
            grace=parse_duration("grace", config.grace),
            is_interrupted=is_interrupted,
        )
    else:
        assert not isinstance(plan.objective, Named)
        evaluator = InlineEvaluator(plan.objective, directory.folder, environment, place.threads, team, is_interrupted)
    return TeamEvaluator(evaluator, team) if team.size > 1 and team.leaders else evaluator
