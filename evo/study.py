"""One study, from its settings to its result: the wiring of everything else."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from evo.breeding import training_seed
from evo.budget import Budget
from evo.config import Config, load_limits, parse_duration
from evo.device import Place, available_cores, bind, count_gpus, share_of_cores, training_environment
from evo.evaluation import InlineEvaluator, ProcessEvaluator
from evo.events import AnyEvent
from evo.objectives import Reference, describe
from evo.population import Population
from evo.propagators import Propagator, default_propagator
from evo.report.progress import Progress
from evo.report.records import Result, count_statuses
from evo.report.screen import Screen
from evo.rundir import RunDirectory, Scratch, Study, find_study
from evo.search import search
from evo.signals import StopSignals
from evo.space import Space
from evo.transport import Transport, together
from evo.worker import Settings, Worker

_VERSIONS = ("evo", "numpy", "torch", "lightning", "mpi4py")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the settings amount to, checked.

    Args:
        space: What is searched.
        propagator: Breeds.
        budget: When it ends.
        separate: Whether the objective runs in a child process.
        objective: What is minimised.
    """

    space: Space
    propagator: Propagator
    budget: Budget
    separate: bool
    objective: Callable[..., Any] | Reference


def make_plan(
    config: Config,
    objective: Callable[..., Any] | Reference,
    limits: Mapping[str, Any] | None,
    propagator: Propagator | None,
    ranks: int,
) -> Plan:
    """Check all settings, and load the objective if it runs in this process.

    Args:
        config: The settings.
        objective: What to minimise.
        limits: What is searched, if the configuration does not say.
        propagator: Breeds; None: the default one, as the configuration says.
        ranks: How many there are.

    Raises:
        ValueError: Something does not fit; the message names it.
    """
    if config.run_dir and describe(objective).endswith("<lambda>"):
        raise ValueError(
            f"objective {describe(objective)} has no name by which run directory {config.run_dir} could know it again: "
            "define a function, or keep no files"
        )
    if isinstance(objective, Reference):
        needs_child = objective.is_heavy
    else:
        needs_child = bool(getattr(objective, "separate_process", False))
    given = config.limits if config.limits is not None else limits
    if given is None:
        raise ValueError(f"objective {describe(objective)} has no limits: say with --limits what is searched")
    space = Space(load_limits(given))
    separate = config.evaluate == "process" or (
        config.evaluate == "auto" and (needs_child or config.time_limit is not None)
    )
    return Plan(
        space=space,
        propagator=propagator
        or default_propagator(
            config.population or 2 * max(1, ranks),
            crossover=config.crossover,
            mutation=config.mutation,
            random_init=config.random_init,
            sigma=config.sigma,
        ),
        budget=config.budget(time.time()),
        separate=separate,
        objective=objective if separate or not isinstance(objective, Reference) else objective.load(),
    )


def run_study(
    config: Config,
    objective: Callable[..., Any] | Reference,
    transport: Transport,
    signals: StopSignals,
    limits: Mapping[str, Any] | None = None,
    propagator: Propagator | None = None,
) -> Result:
    """Search, on all ranks together.

    Args:
        config: The settings.
        objective: What to minimise.
        transport: To the other ranks.
        signals: May ask for a clean stop.
        limits: What is searched, if the configuration does not say.
        propagator: Breeds; None: the default one.

    Raises:
        SharedError: Something in the settings or the run directory does not fit.
    """
    plan = together(transport, lambda: make_plan(config, objective, limits, propagator, transport.size))
    places = _bind(config, transport)
    place = places[transport.rank]
    directory = RunDirectory(Path(config.run_dir)) if config.run_dir else Scratch()
    screen = Screen(silent=config.quiet or transport.rank != 0)
    study = _agree_on_study(
        _make_study(config, plan, describe(objective), directory), config.seed, directory, transport
    )
    screen.begin(study.name, str(directory), places, plan.budget)
    with closing(directory):
        population = Population(plan.space)
        together(transport, lambda: _replay(directory, population))
        settings = Settings(
            rank=transport.rank,
            ranks=transport.size,
            seed=study.seed,
            budget=plan.budget,
            allow_duplicates=config.allow_duplicates,
            host=place.host,
            device=place.device,
        )
        worker = Worker(settings, plan.propagator, population)
        signals.listen(worker.request_stop)
        if _is_complete(worker, directory, transport):
            result = _agree_on_end(worker, worker.why_idle(time.time()), transport, directory, config.debug)
            result = dataclasses.replace(result, test=directory.tested())
        else:
            with closing(_make_evaluator(config, plan, directory, place)) as evaluator:
                together(transport, lambda: evaluator.open(plan.space.names))
                progress = screen.progress(population, plan.budget, transport.size)
                result = _search(study, worker, transport, evaluator, directory, progress, config.debug)
        if transport.rank == 0:
            screen.end(result, plan.space.names, transport.size)
        transport.gather("")  # Nobody leaves before the completion record is written.
        return result


def _bind(config: Config, transport: Transport) -> list[Place]:
    """Bind every rank to a device; all ranks learn the places of all."""
    cores = [msgspec.json.decode(text, type=list[int]) for text in transport.gather(str(available_cores()))]
    local_rank = transport.node.index(transport.rank)
    threads = share_of_cores([cores[rank] for rank in transport.node], local_rank)
    binding = together(transport, lambda: bind(local_rank, os.environ, config.gpus_per_node, count_gpus(), threads))
    place = Place(transport.rank, socket.gethostname(), binding.device, threads, dict(binding.environment))
    return [msgspec.json.decode(text, type=Place) for text in transport.gather(msgspec.json.encode(place).decode())]


def _make_evaluator(
    config: Config, plan: Plan, directory: RunDirectory | Scratch, place: Place
) -> InlineEvaluator | ProcessEvaluator:
    if not plan.separate:
        assert not isinstance(plan.objective, Reference)
        return InlineEvaluator(plan.objective, directory.folder, place.environment, place.threads)
    limit = None if config.time_limit is None else parse_duration("time_limit", config.time_limit)
    environment = training_environment(os.environ, place.environment)
    return ProcessEvaluator(plan.objective, directory.folder, environment, place.threads, limit)


def _make_study(config: Config, plan: Plan, objective: str, directory: RunDirectory | Scratch) -> Study:
    return Study(
        name=directory.path.name,
        objective=objective,
        limits=plan.space.describe(),
        seed=config.seed or 0,
        propagator=repr(plan.propagator),
        versions=_versions(),
        created=time.time(),
    )


def _agree_on_study(asked: Study, seed: int | None, directory: RunDirectory | Scratch, transport: Transport) -> Study:
    """The study that the first rank finds in the directory, or else the one asked for; the same on all ranks."""
    found = together(transport, lambda: find_study(directory, asked, seed) if transport.rank == 0 else None)
    said = transport.gather(msgspec.json.encode(found or asked).decode())
    return msgspec.json.decode(said[0], type=Study)


def _replay(directory: RunDirectory | Scratch, population: Population) -> None:
    for event in directory.events():
        population.apply(event)


def _is_complete(worker: Worker, directory: RunDirectory | Scratch, transport: Transport) -> bool:
    """Whether no rank has anything left to do, and the completion record is there."""
    idle = bool(worker.why_idle(time.time())) and directory.is_complete
    return all(msgspec.json.decode(text, type=bool) for text in transport.gather(json.dumps(idle)))


def _search(
    study: Study,
    worker: Worker,
    transport: Transport,
    evaluator: InlineEvaluator | ProcessEvaluator,
    directory: RunDirectory | Scratch,
    progress: Progress,
    debug: bool,
) -> Result:
    """Search, test the best individual and write the completion record; every rank has read all journals before."""
    began = time.monotonic()
    together(transport, lambda: directory.begin(study) if transport.rank == 0 else None)
    with closing(together(transport, lambda: directory.open_journal(worker.settings.rank))) as journal:

        def watch(event: AnyEvent) -> None:
            directory.remember(event)
            progress(event)

        with closing(progress):
            deque(search(worker, transport, evaluator, journal, watch, time.time), maxlen=0)
    result = _agree_on_end(worker, worker.stop_reason, transport, directory, debug)
    test: dict[str, Any] = {}
    problem = ""
    if not (result.interrupted or result.gave_up):
        test, problem = _test_best(study, result, evaluator, directory, transport)
    result = dataclasses.replace(result, seconds=time.monotonic() - began, test=test, test_error=problem)
    if transport.rank == 0 and not (result.interrupted or result.gave_up):
        directory.write("summary.json", _summary(study, result, worker.settings.ranks))
    return result


def _agree_on_end(
    worker: Worker, reason: str, transport: Transport, directory: RunDirectory | Scratch, debug: bool
) -> Result:
    digest = worker.population.digest() if debug else ""
    ending = msgspec.json.encode([worker.interrupted, reason, digest]).decode()
    endings = [msgspec.json.decode(text, type=tuple[bool, str, str]) for text in transport.gather(ending)]
    digests = {digest for _, _, digest in endings}
    assert len(digests) == 1, f"the populations of the ranks differ: {endings}"
    interrupted = [reason for stopped, reason, _ in endings if stopped]
    return Result(
        rank=transport.rank,
        stop_reason=(interrupted or [reason])[0],
        interrupted=bool(interrupted),
        gave_up=worker.settings.budget.too_many_failed(worker.population),
        run_dir=Path(str(directory)) if isinstance(directory, RunDirectory) else None,
        digest=digest,
        events=directory.events,
    )


def _test_best(
    study: Study,
    result: Result,
    evaluator: InlineEvaluator | ProcessEvaluator,
    directory: RunDirectory | Scratch,
    transport: Transport,
) -> tuple[dict[str, Any], str]:
    """Test the best individual where its files are, for all ranks; or say why it could not be tested."""
    scratch = isinstance(directory, Scratch)  # Each rank has its own.
    best = result.best if scratch or transport.rank == 0 else None
    rank = best.rank if scratch and best is not None and best.rank is not None else 0
    found: dict[str, Any] = {}
    problem = ""
    if best is not None and transport.rank == rank:
        try:
            found = evaluator.test(best.individual, best.params, training_seed(study.seed, best.individual))
        except RuntimeError as error:
            problem = str(error)
    said = transport.gather(msgspec.json.encode([found, problem]).decode())[rank]
    return msgspec.json.decode(said, type=tuple[dict[str, Any], str])


def _summary(study: Study, result: Result, ranks: int) -> dict[str, Any]:
    """The completion record."""
    best, counts = result.best, count_statuses(result.individuals)
    found = best and {name: getattr(best, name) for name in ("individual", "loss", "params", "metrics")}
    return {
        "study": study.name,
        "seed": study.seed,
        "ranks": ranks,
        "evaluations": len(result.individuals),
        **{status: counts[status] for status in ("completed", "pruned", "failed")},
        "seconds": round(result.seconds, 3),
        "stopped": result.stop_reason,
        "best": found,
        "test": result.test,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _VERSIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
