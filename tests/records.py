"""Short ways to write events, and to make populations and workers from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evo.algorithms.bred import Breeding
from evo.engine.breeding import Breeder
from evo.engine.budget import Budget
from evo.engine.learning import Learning
from evo.engine.settings import WorkerSettings
from evo.engine.worker import Worker
from evo.islands.archipelago import Archipelago, make_archipelago
from evo.islands.migration import Migration
from evo.population.assignment import Assignment
from evo.population.events import AnyEvent, Finished, Migrated, Pollinated, Retired, Started, Status
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.population.objectives import ONE_LOSS, Objectives
from evo.population.outcome import Outcome
from evo.population.population import Population
from evo.pruning import Rungs
from evo.space.space import Space
from evo.space.values import Params

NOW = 1e9


def assigned(identity: Identity = (0, 1), params: Mapping[str, Any] | None = None, **more: Any) -> Assignment:
    """An assignment, which is what an evaluation gets."""
    return Assignment(**{"individual": identity, "params": dict(params or {}), "seed": 5, **more})


def started(identity: Identity, params: Mapping[str, Any], island: int = 0, **strategy: Any) -> Started:
    """The event that an individual was bred."""
    return Started(time=NOW, individual=identity, island=island, params=dict(params), strategy=strategy)


def finished(identity: Identity, loss: float | None, status: Status | None = None, **more: Any) -> Finished:
    """The event that an evaluation ended: completed if there is a loss and no other status."""
    how = status or ("failed" if loss is None else "completed")
    return Finished(time=NOW, individual=identity, status=how, loss=loss, rank=identity[0], **more)


def retired(identity: Identity, island: int = 0) -> Retired:
    """The event that an individual breeds no longer."""
    return Retired(time=NOW, individual=identity, island=island)


def migrated(identity: Identity, island: int, move: int = 1) -> Migrated:
    """The event that an individual moved."""
    return Migrated(time=NOW, individual=identity, island=island, move=move)


def pollinated(identity: Identity, island: int) -> Pollinated:
    """The event that a copy of an individual travelled."""
    return Pollinated(time=NOW, individual=identity, island=island)


def replayed(space: Space, events: Iterable[AnyEvent], island: int = 0, islands: int = 1) -> Population:
    """The replica of a rank that knows these events."""
    population = Population(space, island, islands)
    for event in events:
        population.apply(event)
    return population


def evaluated(space: Space, evaluations: Iterable[tuple[Mapping[str, Any], float]]) -> Population:
    """A population of parameters with their losses."""
    population = Population(space)
    for generation, (params, loss) in enumerate(evaluations):
        population.apply(started((0, generation), params))
        population.apply(finished((0, generation), loss))
    return population


def individual(space: Space, params: Mapping[str, Any], loss: float | None = None, generation: int = 0) -> Known:
    """An individual to breed from."""
    status: Any = "running" if loss is None else "completed"
    return Known(genome=space.encode(params), identity=(0, generation), loss=loss, status=status)


def make_breeder(breeding: Breeding, population: Population, settings: WorkerSettings) -> Breeder:
    """The breeder of a worker, whose algorithm has learnt from the population."""
    return Breeder(Learning(breeding, population, settings, settings.workers, {}), population, settings)


def make_worker(
    space: Space,
    propagator: Breeding,
    budget: Budget | None = None,
    rank: int = 0,
    ranks: int = 1,
    seed: int = 0,
    population: Population | None = None,
    allow_duplicates: bool = False,
    archipelago: Archipelago | None = None,
    migration: Migration | None = None,
    ranks_per_worker: int = 1,
    rungs: Rungs | None = None,
    start: Sequence[Params] = (),
    session: int = 0,
    recorded: Mapping[str, Any] | None = None,
    objectives: Objectives = ONE_LOSS,
) -> Worker:
    """A worker that knows nothing yet but the population that it is given."""
    settings = WorkerSettings(
        worker=rank,
        workers=ranks,
        seed=seed,
        budget=budget or Budget(),
        allow_duplicates=allow_duplicates,
        host="here",
        device="cpu",
        archipelago=archipelago,
        migration=migration,
        ranks_per_worker=ranks_per_worker,
        start=start,
        session=session,
        recorded=recorded or {},
        objectives=objectives,
    )
    if population is None:
        islands = archipelago or make_archipelago(ranks)
        population = Population(space, islands.island_of(rank), islands.islands)
    return Worker(settings, propagator, population, rungs)


def ask(worker: Worker) -> Started | None:
    """The next individual of a worker that hears of nothing meanwhile."""
    return worker.ask(NOW, lambda: None)[0]


def evaluate(worker: Worker, loss: Any, count: int | None = None) -> list[tuple[dict[str, Any], float]]:
    """Let a worker search alone, `count` times or to its end; returns parameters and losses in their order."""
    found: list[tuple[dict[str, Any], float]] = []
    while count is None or len(found) < count:
        individual = ask(worker)
        if individual is None:
            break
        found.append((individual.params, loss(individual.params)))
        worker.tell(individual.individual, Outcome(status="completed", loss=found[-1][1]), NOW)
    return found
