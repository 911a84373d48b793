"""One study, from what is asked for to its result, on all ranks together."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import msgspec

from evo.engine.transport import Transport, together
from evo.objective.training import Training
from evo.population.goal import make_goal
from evo.population.objectives import Objectives
from evo.report.results import Result
from evo.report.screen import Screen
from evo.runtime.batch import allocation_end
from evo.runtime.device import bind_ranks
from evo.runtime.signals import StopSignals
from evo.storage.rundir import RunDirectory, Scratch
from evo.study.beginning import agree_on_study, ask_for_study
from evo.study.config import Config
from evo.study.inheritance import goes_on
from evo.study.job import Job
from evo.study.plan import Plan, make_plan
from evo.study.warm_start import agree_on_start
from evo.study.wiring import Session
from evo.texts import as_path


def run_study(job: Job, transport: Transport, signals: StopSignals) -> Result:
    """Search, on all ranks together; see `study_steps`."""
    steps = study_steps(job, transport, signals)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def study_steps(job: Job, transport: Transport, signals: StopSignals) -> Generator[None, None, Result]:
    """Search, on all ranks together, step by step.

    Args:
        job: What is asked for.
        transport: The connection to the other ranks.
        signals: May ask for a clean stop.

    Yields:
        None, wherever the search may rest; nothing before all ranks have begun.

    Raises:
        SharedError: Something in the settings or the run directory does not fit.
    """
    config = job.config
    end = _allocation_end(transport)
    plan = together(
        transport, lambda: make_plan(config, job.objective, job.limits, job.propagator, transport.size, end)
    )
    places = bind_ranks(config.gpus_per_node, transport)
    directory = together(transport, lambda: _open_directory(config))
    screen = Screen(silent=config.quiet)
    asked = together(transport, lambda: ask_for_study(config, plan, job.objective, directory, transport))
    study, changes = agree_on_study(asked, config, directory, transport)
    start = agree_on_start(config, plan.space, study, transport)
    plan = replace(in_recorded_order(plan, study.objectives, config), start=start.points, known=start.known)
    plan = replace(plan, known_at=start.time)
    if transport.rank == 0:
        screen.begin(study.name, str(directory), places, plan.budget, plan.archipelago, plan.migration)
        screen.objectives(plan.objectives)
        screen.parameters(plan.space.parameters, goes_on(plan.propagators))
        screen.notes([*start.notes, *job.notes, *(job.objective.notes if isinstance(job.objective, Training) else ())])
    session = Session(
        config=config,
        plan=plan,
        study=study,
        directory=directory,
        transport=transport,
        signals=signals,
        screen=screen,
        place=places[transport.rank],
        turn=job.turn,
    )
    with closing(directory):
        return (yield from session.steps(changes))


def in_recorded_order(plan: Plan, objectives: Objectives, config: Config) -> Plan:
    """A plan with the objectives in the order in which a study records losses, whatever order this session gives.

    Args:
        plan: What the settings amount to.
        objectives: The objectives of the study, the same apart from their order.
        config: The settings.
    """
    if plan.objectives.are_same(objectives):
        return plan
    goal = make_goal(config.target, config.reference_point, objectives)
    return replace(plan, objectives=objectives, budget=replace(plan.budget, goal=goal))


def _open_directory(config: Config) -> RunDirectory | Scratch:
    return RunDirectory(as_path(config.run_dir)) if config.run_dir else Scratch()


def _allocation_end(transport: Transport) -> float | None:
    """The time at which the batch job ends, which the first rank finds out for all."""
    end = allocation_end(os.environ) if transport.rank == 0 else None
    return msgspec.json.decode(transport.gather(json.dumps(end))[0], type=float | None)
