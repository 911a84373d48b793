"""Sessions of all kinds, each drawn from its number alone, and what must be true of every one.

EVO_SCHEDULES=10 goes through ten times as many, which takes some minutes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from records import replayed
from simulation import RANDOM, SPACE, Death, Phase, Result, Session, how_it_ends

from evo.engine.budget import Budget
from evo.islands.migration import Migration
from evo.islands.topology import TOPOLOGIES, make_topology
from evo.population.events import Died, Finished, Started
from evo.population.identity import Identity
from evo.population.individual import Known, by_standing
from evo.population.population import Population
from evo.propagators import SelectMax, SelectMin, SelectUniform, default_propagator
from evo.randomness import training_seed
from evo.space.space import Space

SCHEDULES = int(os.environ.get("EVO_SCHEDULES", "1"))  # Multiplies the number of sessions.
_SELECTIONS = (SelectMin, SelectMax, SelectUniform)
# Sessions with such settings of their own have one loss.
_OF_ONE_LOSS = {"propagator", "known", "space", "pruner"}
PHASES: tuple[Phase, ...] = ("step", "step", "line", "line", "done", "ready", "concluding", "closed", "left")
ENDING: tuple[Phase, ...] = ("done", "ready", "concluding", "closed", "left")


def sessions(block: int, count: int, **fixed: Any) -> Iterator[Session]:
    """One island: few and many ranks, messages fast, slow and repeated, short and long evaluations."""
    for seed in range(block * count, (block + 1) * count):
        rng = np.random.default_rng(seed)
        longest = int(rng.integers(1, 40))
        session = Session(
            seed=seed,
            ranks=int(rng.integers(1, 7)),
            budget=Budget(evaluations=int(rng.integers(1, 16))),
            max_delay=int(rng.choice([0, 2, 20, 100])),
            duplicates=float(rng.choice([0.0, 0.3])),
            polls=(int(rng.integers(longest)), longest),
            several=seed % 4 == 1 and not fixed.keys() & _OF_ONE_LOSS,
        )
        yield replace(session, **fixed)


def island_sessions(block: int, count: int, **fixed: Any) -> Iterator[Session]:
    """Sessions of mostly several islands, of equal and other sizes, with all migrations, events flat and in trees.

    Args:
        block: The number of the block of sessions.
        count: The number of sessions in a block.
        **fixed: What is the same in all sessions; `mode` is that of the migration.
    """
    mode = fixed.pop("mode", None)
    for seed in range(block * count, (block + 1) * count):
        rng = np.random.default_rng([seed, 1])
        ranks = int(rng.integers(2, 9))
        islands = int(rng.integers(1, min(4, ranks) + 1))
        longest = int(rng.integers(1, 40))
        session = Session(
            seed=seed,
            ranks=ranks,
            sizes=_sizes(rng, ranks, islands),
            migration=_migration(rng, islands, seed),
            budget=Budget(evaluations=int(rng.integers(5, 40))),
            fan_out=[None, None, 2, 3][int(rng.integers(4))],
            max_delay=int(rng.choice([0, 2, 20, 100])),
            duplicates=float(rng.choice([0.0, 0.3])),
            polls=(int(rng.integers(longest)), longest),
            propagator=[RANDOM, default_propagator(4)][int(rng.integers(2))],
            several=seed % 4 == 1 and not fixed.keys() & _OF_ONE_LOSS,
        )
        if mode is not None and session.migration is not None:
            session = replace(session, migration=replace(session.migration, mode=mode))
        yield replace(session, **fixed)


def _sizes(rng: np.random.Generator, ranks: int, islands: int) -> tuple[int, ...]:
    if rng.random() < 0.5:
        return tuple(ranks // islands + (island < ranks % islands) for island in range(islands))
    ends = np.sort(rng.choice(np.arange(1, ranks), islands - 1, replace=False))
    return tuple(np.diff([0, *ends, ranks]).tolist())


def _migration(rng: np.random.Generator, islands: int, seed: int) -> Migration | None:
    if islands == 1:
        return None
    name, degree = str(rng.choice(TOPOLOGIES)), int(rng.integers(1, islands))
    topology = make_topology(name, islands, migrants=int(rng.integers(1, 4)), degree=degree, seed=seed)
    if rng.random() < 0.2:
        numbers = rng.integers(0, 3, (islands, islands))
        topology = make_topology(numbers - np.diag(np.diag(numbers)), islands)
    return Migration(
        mode=["move", "copy"][int(rng.integers(2))],  # type: ignore[arg-type]
        probability=float(rng.choice([0.2, 0.6, 1.0])),
        topology=topology,
        emigration=_SELECTIONS[rng.integers(3)],
        immigration=_SELECTIONS[rng.integers(3)],
    )


def random_deaths(session: Session, phases: tuple[Phase, ...] = PHASES) -> dict[int, Death]:
    """One rank or several die, often the first one or a whole island, but not all."""
    rng = np.random.default_rng([session.seed, 2])
    count = 1 if rng.random() < 0.5 else int(rng.integers(1, session.ranks))
    victims = set(rng.choice(session.ranks, count, replace=False).tolist())
    islands = session.archipelago.members
    if rng.random() < 0.3:
        victims.add(0)
    if len(islands) > 1 and rng.random() < 0.2:
        victims |= set(islands[rng.integers(len(islands))])
    if len(victims) == session.ranks:
        victims.remove(int(rng.choice(session.ranks)))
    return {victim: _death(rng, phases) for victim in sorted(victims)}


def _death(rng: np.random.Generator, phases: tuple[Phase, ...]) -> Death:
    phase = phases[rng.integers(len(phases))]
    number = {"step": int(rng.integers(1, 200)), "line": int(rng.integers(1, 30))}.get(phase, 1)
    return Death(phase, number, later=0 if phase == "step" else int(rng.choice([0, 0, 1, 2, 5, 20])))


def digests(result: Result, space: Space = SPACE) -> set[str]:
    """The digests of the replicas of all survivors, and of one that has read all journals."""
    islands = result.session.archipelago.islands
    own = {worker.population.digest() for worker in result.survivors}
    return own | {replayed(space, result.events, islands=islands).digest()}


def spent(session: Session, result: Result) -> str:
    """The reason to stop of a worker whose budget is spent."""
    return str(session.budget.why_breed_no_more(result.survivors[0].population, 0))


def check_front(population: Population, known: Population, session: Session) -> None:
    """Two populations have the same front, which no other individual beats, in the order that breeds."""
    front = [one.identity for one in population.front]
    assert front == [one.identity for one in known.front], session
    for other in known.ranking:
        assert any(_is_as_good(one, other) for one in population.front), session
    assert population.best is None or population.best.identity == front[0], session
    if session.several and len(known.active) and not known.standings.ranking[0].violation:
        assert [one.identity for one in population.active] == [one.identity for one in known.active], session


def _is_as_good(one: Known, other: Known) -> bool:
    if one.violation or other.violation:
        return one.violation <= other.violation
    return all(ours <= theirs for ours, theirs in zip(one.vector, other.vector, strict=True))


def check_outcomes(result: Result, session: Session) -> None:
    """No individual is evaluated twice to the end, and all outcomes are those of the individual's own parameters."""
    assert Counter(result.evaluated).most_common(1)[0][1] == 1, session
    params: dict[Identity, Any] = {}
    for event in result.of(Started):
        assert params.setdefault(event.individual, event.params) == event.params, session
    for event in result.of(Finished):
        if event.error.startswith("RankDied"):
            assert len(result.died) >= 2, session
        elif event.status != "interrupted":
            expected = how_it_ends(params[event.individual], several=session.several)
            assert (event.status, event.loss, event.losses, event.violation) == (
                expected.status,
                expected.loss,
                expected.losses,
                expected.violation,
            ), session
    assert all(seed == training_seed(0, identity) for identity, seed in result.seeds.items())


def check_replicas(result: Result, session: Session) -> None:
    """All survivors know the same, which is what the journals say in any order, and all were told the same."""
    rng = np.random.default_rng(session.seed)
    survivors, islands = result.survivors, session.archipelago.islands
    # Without files, what only the dead ranks knew is gone.
    events = result.events if session.files else result.watched[survivors[0].settings.worker]
    events = [events[place] for place in rng.permutation(len(events))]
    for island in range(islands):
        known = replayed(session.space, events, island, islands)
        for worker in survivors:
            assert worker.population.digest() == known.digest(), session
            if worker.population.island == island:
                check_front(worker.population, known, session)
                assert members(worker.population) == members(known), session
    assert len({result.told[worker.settings.worker] for worker in survivors}) == 1, session


def members(population: Any) -> list[tuple[Identity, float]]:
    """The completed individuals of an island that breed, by their violations and then by their (first) losses."""
    breeding = sorted(population._active, key=by_standing)  # The order by dominance would take long at every step.
    return [(one.identity, one.loss) for one in breeding if one.status == "completed"]


def check_deaths(result: Result, session: Session) -> None:
    """Each death that a successor has heard of is recorded by it, once."""
    records = Counter((event.rank, event.heir) for event in result.of(Died))
    assert all(count == 1 for count in records.values()), session
    for worker in result.survivors:
        successor, dead = worker.settings.worker, worker.dead
        assert dead <= result.died, session
        inherited = {rank for rank in dead if session.archipelago.successor(rank, dead) == successor}
        assert inherited <= {rank for rank, other in records if other == successor}, session


def check_conclusion(result: Result) -> None:
    """What the survivors were told was concluded from what they had said when they all knew the same."""
    assert result.conclusions
    for _, words in result.conclusions:
        assert set(words.values()) == {result.survivors[0].population.digest()}, result.session
