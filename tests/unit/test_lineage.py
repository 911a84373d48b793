"""Whom an individual was bred from, and what has bred it: from propagators into the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from offspring import Average, offspring_of
from records import NOW, ask, evaluate, finished, make_worker, replayed, started
from simulation import Session, simulate

from evo.engine.budget import Budget
from evo.engine.settings import WorkerSettings
from evo.engine.worker import Worker
from evo.islands.archipelago import make_archipelago
from evo.islands.migration import Migration, Migrator, SelectionError
from evo.islands.topology import make_topology
from evo.population import Active, Individual, Known, Population
from evo.population.events import Finished, Started, decode, encode
from evo.population.individual import ancestors
from evo.propagators import (
    Compose,
    Conditional,
    CrossoverMultiple,
    CrossoverSigmoid,
    CrossoverUniform,
    InitUniform,
    IntervalMutationNormal,
    PointMutation,
    Propagator,
    RandomPointMutation,
    SelectMax,
    SelectMin,
    SelectUniform,
    Stochastic,
    default_propagator,
)
from evo.space.space import Space
from evo.testing.propagators import SPACES, random_population

SPACE = SPACES["mixed"]


class Whole(Propagator):
    """Looks at all that it is given, and takes the first."""

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [Individual(genome=parents[0].genome.copy())] if parents else [Individual(genome=space.sample(rng))]


class Sampler(Propagator):
    """Looks at no parents, and says so."""

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return [Individual(genome=space.sample(rng), parents=())]


def parents_of(propagator: Propagator, population: int = 12) -> tuple[tuple[int, int], ...] | None:
    (child,) = offspring_of(propagator, random_population(SPACE, population).active, SPACE, 1)
    return child.parents


@pytest.mark.parametrize(
    ("propagator", "count"),
    [
        (Compose([SelectMin(2), CrossoverUniform()]), 2),
        (Compose([SelectMin(2), CrossoverSigmoid()]), 2),
        (Compose([SelectMin(1), PointMutation()]), 1),
        (Compose([SelectMax(1), RandomPointMutation()]), 1),
        (Compose([SelectUniform(1), IntervalMutationNormal()]), 1),
        (Compose([SelectUniform(2), CrossoverUniform(), PointMutation(), IntervalMutationNormal()]), 2),
        (Compose([SelectUniform(2), Stochastic(CrossoverUniform(), 0.0), PointMutation()]), 1),
        (Compose([SelectMin(3), Average(), PointMutation()]), 3),
        (Compose([SelectMin(3), Compose([Average(), Average()])]), 3),
        (Compose([SelectMin(2), CrossoverUniform(), Stochastic(InitUniform(), 1.0)]), 0),
        (Compose([SelectMin(3), Sampler()]), 0),
        (InitUniform(), 0),
    ],
)
def test_offspring_say_whom_they_were_bred_from(propagator: Propagator, count: int) -> None:
    population = random_population(SPACE, 12)
    known = {one.identity for one in population.active}
    for child in offspring_of(propagator, population.active, SPACE, 20):
        assert child.parents is not None
        assert len(set(child.parents)) == len(child.parents) == count
        assert set(child.parents) <= known


def test_of_many_parents_those_count_that_gave_a_gene() -> None:
    population = random_population(SPACE, 50)
    for child in offspring_of(CrossoverMultiple(), population.active, SPACE, 20):
        assert child.parents is not None
        assert 1 <= len(child.parents) <= len(SPACE)
        genomes = {one.identity: one.genome for one in population.active}
        for place, gene in enumerate(child.genome):
            assert gene in [genomes[parent][place] for parent in child.parents]


@pytest.mark.parametrize(
    ("propagator", "population"), [(Whole(), 5), (Whole(), 50), (Compose([SelectMin(11), Whole()]), 50)]
)
def test_of_a_whole_population_or_of_very_many_nobody_is_taken_for_a_parent(
    propagator: Propagator, population: int
) -> None:
    assert parents_of(propagator, population) is None


def test_what_is_passed_on_is_the_very_individual() -> None:
    population = random_population(SPACE, 5)
    (child,) = Compose([SelectMin(1), Stochastic(Average(), 0.0)])(population.active, SPACE, np.random.default_rng(0))
    assert child is population.active[0]
    assert ancestors([child]) == (population.active[0].identity,)


def test_one_of_unknown_descent_hides_that_of_its_offspring() -> None:
    genome = np.zeros(len(SPACE))
    known, unknown = Known(genome=genome, identity=(0, 3)), Individual(genome=genome)
    assert ancestors([known, unknown]) is None
    (child,) = PointMutation()([unknown], SPACE, np.random.default_rng(0))
    assert child.parents is None


@pytest.mark.parametrize(
    ("propagator", "name"),
    [
        (default_propagator(4), "genetic"),
        (InitUniform(), "random"),
        (Average(), "Average"),
        (Conditional(8, Compose([SelectMin(8), Average(), Stochastic(PointMutation(), 0.5)]), InitUniform()), None),
        (Compose([SelectMin(3), Average()], label="mean"), "mean"),
    ],
)
def test_a_propagator_has_a_short_name_for_records(propagator: Propagator, name: str | None) -> None:
    assert propagator.bred_by == (name or "Average+PointMutation")


def test_the_journal_tells_parents_and_what_has_bred_them() -> None:
    for seed in range(5):
        result = simulate(Session(seed=seed, ranks=3, budget=Budget(generations=30), propagator=default_propagator(4)))
        events = result.of(Started)
        assert {event.bred_by for event in events} == {"genetic", "random"}
        for number, journal in enumerate(result.journals):
            ended = set()
            for event in result.watched[number]:
                if isinstance(event, Finished) and event.status in ("completed", "pruned"):
                    ended.add(event.individual)
                elif isinstance(event, Started) and event.individual[0] == number:
                    assert set(event.parents) <= ended, "bred from what this rank did not know to have ended"
                    assert bool(event.parents) == (event.bred_by == "genetic")
                    assert encode(event) in journal.lines


def test_start_points_come_from_nobody() -> None:
    settings = WorkerSettings(worker=0, workers=1, seed=0, budget=Budget(), start=[{"x": 0.25}, {"x": 0.75}])
    space = Space({"x": (0.0, 1.0)})
    worker = Worker(settings, default_propagator(2), Population(space))
    first = [ask(worker) for _ in range(3)]
    assert [(one.params["x"], one.bred_by, one.parents) for one in first[:2] if one] == [
        (0.25, "start", ()),
        (0.75, "start", ()),
    ]
    assert first[2] is not None
    assert first[2].bred_by == "random"


def test_a_finite_space_that_is_gone_through_at_last_says_so() -> None:
    @dataclass(frozen=True)
    class Corner(Propagator):
        def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
            return [Individual(genome=np.zeros(len(space)))]

    worker = make_worker(Space({"x": (1, 40), "y": (1, 40)}), Corner())
    assert len(evaluate(worker, lambda params: 1.0)) == 1600
    assert worker.population.started == 1600
    names = {one.bred_by for one in worker.population.ranking}
    assert names == {"Corner", "random", "enumeration"}
    assert [one.bred_by for one in worker.population.ranking].count("Corner") == 1


def test_what_is_taken_up_again_keeps_its_descent() -> None:
    event = Started(
        time=NOW,
        individual=(1, 0),
        island=0,
        params={"x": 0.5, "y": 3, "z": "a", "w": 8},
        parents=((0, 4), (1, 7)),
        bred_by="genetic",
    )
    worker = make_worker(SPACE, InitUniform(), population=replayed(SPACE, [event]))
    again = ask(worker)
    assert again is not None
    assert (again.individual, again.parents, again.bred_by) == (event.individual, event.parents, "genetic")


def test_parents_may_arrive_after_their_offspring() -> None:
    child = Started(time=NOW, individual=(1, 0), island=0, params={"x": 0.5}, parents=((0, 0),), bred_by="genetic")
    events = [child, finished((1, 0), 1.0), started((0, 0), {"x": 0.25}), finished((0, 0), 2.0)]
    space = Space({"x": (0.0, 1.0)})
    for order in (events, events[::-1]):
        best = replayed(space, order).best
        assert best is not None
        assert (best.identity, best.parents, best.bred_by) == ((1, 0), ((0, 0),), "genetic")


def test_journals_of_an_earlier_version_tell_no_descent() -> None:
    old = decode(b'{"type":"Started","time":1.0,"individual":[0,3],"island":0,"params":{"x":0.5}}')
    assert isinstance(old, Started)
    assert (old.parents, old.bred_by) == ((), "")
    assert encode(old) == b'{"type":"Started","time":1.0,"individual":[0,3],"island":0,"params":{"x":0.5}}'


def test_a_selection_of_migrants_that_makes_new_individuals_is_refused() -> None:
    class Copies(Propagator):
        def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
            return [Individual(genome=parents[0].genome)]

    space = Space({"x": (0.0, 1.0)})
    population = Population(space, 0, 2)
    for event in (started((0, 0), {"x": 0.5}), finished((0, 0), 1.0)):
        population.apply(event)
    rules = Migration(
        mode="move", probability=1.0, topology=make_topology("full", 2), emigration=lambda count: Copies()
    )
    migrator = Migrator(rules, make_archipelago(2, 2), population, 0, 0)
    with pytest.raises(SelectionError, match=r"returns Individual.*none of those that it was given"):
        list(migrator.depart((0, 0), NOW))
