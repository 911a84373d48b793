"""The contract of propagators, for tests of your own.

`check_propagator` checks all of it. To see in the name of a failed test which rule is broken, run each check of
`CONTRACT` in each space of `SPACES`, for example with `pytest.mark.parametrize`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from evo.population import Active, Individual, Population
from evo.population.events import Finished, Started
from evo.propagators import InitUniform, Propagator
from evo.propagators.base import PropagatorError
from evo.propagators.offspring import usable
from evo.space.limits import Choice, Float, Int
from evo.space.space import Space
from evo.space.values import Params

SPACES: Mapping[str, Space] = {
    "floats": Space({"x": (-1.0, 1.0), "y": Float(1e-5, 1e-1, log=True), "z": (5.0, 0.5)}),
    "integers": Space({"x": (1, 30), "y": Int(1, 512, log=True), "z": Int(0, 100, step=5)}),
    "categories": Space({"x": ("a", "b", "c"), "y": (False, True), "z": Choice("a", None, 1)}),
    "mixed": Space({"x": (-1.0, 1.0), "y": (1, 30), "z": ("a", "b", "c"), "w": (8, 16, 64)}),
    "conditional": Space(
        {
            "momentum": Float(0, 1, when={"optimizer": "sgd"}),
            "optimizer": ("sgd", "adam"),
            "layers": (1, 3),
            "width": Int(1, 512, log=True, when={"layers": [2, 3]}),
            "nesterov": Choice(False, True, when={"momentum_kind": "fixed"}),
            "momentum_kind": Choice("fixed", "free", when={"optimizer": "sgd"}),
        }
    ),
}
"""Small spaces with parameters of every kind, by name."""

_PARENTS = 12
_FEW, _MANY = 50, 400  # The number of times that a propagator breeds in a check.
_CLIPPED = 0.05  # The share of offspring that may lie on a bound, since a gene drawn anew and then moved may reach it.

Check: TypeAlias = Callable[[Propagator, Space], None]


def check_propagator(propagator: Propagator, space: Space | None = None) -> None:
    """Make sure that a propagator keeps the contract.

    Args:
        propagator: A propagator that breeds one individual from a whole population, as that of a study does. A part,
            which takes a fixed number of parents or returns several individuals, must be combined with selections.
        space: The search space. None means each of `SPACES`.

    Raises:
        AssertionError: The propagator breaks a rule; the message says which one, and in which space.

    Example:
        >>> from evo.propagators import Compose, CrossoverUniform, SelectUniform
        >>> check_propagator(Compose([SelectUniform(2), CrossoverUniform()]))
    """
    for each in SPACES.values() if space is None else [space]:
        for check in CONTRACT:
            check(propagator, each)


def breeds_one_individual_within_the_limits(propagator: Propagator, space: Space) -> None:
    """Each call returns one individual, whose genome can be completed to a point within the limits."""
    rng = np.random.default_rng(0)
    active = random_population(space).active
    for bred in (_bred(propagator, active, space, rng) for _ in range(_FEW)):
        _require(len(bred) == 1, f"it breeds {len(bred)} individuals rather than one", propagator, space)
        try:
            usable(bred[0], space)
        except ValueError as error:
            _require(False, f"it returned an individual with {error}", propagator, space)
        params = space.complete(bred[0].genome, rng)
        known = space.decode(space.encode(params))
        _require(known == params, f"{params} comes back as {known}", propagator, space)


def gives_the_same_for_the_same_generator(propagator: Propagator, space: Space) -> None:
    """With equal generators it breeds the same, so it has no other source of randomness and no memory."""
    active = random_population(space).active
    one, other = (
        [(child.genome.tobytes(), child.strategy) for child in _offspring(propagator, active, space, _FEW)]
        for _ in range(2)
    )
    _require(one == other, "it breeds others with a generator of the same seed", propagator, space)


def never_writes_what_it_was_given(propagator: Propagator, space: Space) -> None:
    """It reads the genomes and strategies of parents, but never writes them."""
    parents = list(random_population(space, f=0.5).active)
    before = [(parent.genome.tobytes(), json.dumps(parent.strategy)) for parent in parents]
    _offspring(propagator, parents, space, _FEW)
    after = [(parent.genome.tobytes(), json.dumps(parent.strategy)) for parent in parents]
    _require(after == before, "it writes genomes or strategies of parents", propagator, space)


def puts_hardly_any_mass_on_bounds_and_none_between_categories(propagator: Propagator, space: Space) -> None:
    """With equal parents away from the bounds, few offspring are clipped, and categories stay whole numbers."""
    middle = np.where(np.isinf(space.cells), 0.5, space.sample(np.random.default_rng(0)))
    params = space.complete(middle, np.random.default_rng(0))
    active = _evaluated(space, [params] * _PARENTS).active
    genomes = np.stack([child.genome for child in _offspring(propagator, active, space, _MANY)])
    clipped = float(np.isin(genomes[:, np.isinf(space.cells)], [0.0, 1.0]).any(axis=1).mean())
    on_bounds = f"{clipped:.0%} of its offspring lie on a bound: draw anew what is outside"
    _require(clipped < _CLIPPED, on_bounds, propagator, space)
    categories, cells = genomes[:, ~space.ordered], space.cells[~space.ordered]
    exists = ~np.isnan(categories)
    whole = (categories == np.round(categories)) & (categories >= 0) & (categories < cells)
    _require(bool(whole[exists].all()), "it moves a category, whose gene is a whole number", propagator, space)


def searches(propagator: Propagator, space: Space) -> None:
    """It breeds from a growing population, whose first individuals are random."""
    rng = np.random.default_rng(0)
    points: list[Params] = []
    population = Population(space)
    for place in range(20):
        breed = propagator if place >= 4 else InitUniform()
        points.append(space.complete(_bred(breed, population.active, space, rng)[0].genome, rng))
        _add(population, place, points[-1], float(len(points[-1])))
    _require(len(population.active) == 20, "its offspring do not become individuals", propagator, space)


CONTRACT: Sequence[Check] = (
    breeds_one_individual_within_the_limits,
    gives_the_same_for_the_same_generator,
    never_writes_what_it_was_given,
    puts_hardly_any_mass_on_bounds_and_none_between_categories,
    searches,
)
"""All checks; each takes a propagator and a space, and raises an AssertionError."""


def random_population(space: Space, size: int = _PARENTS, seed: int = 0, **strategy: float) -> Population:
    """A population of random completed individuals with random losses.

    Args:
        space: The search space.
        size: The number of individuals.
        seed: The seed of the generator that draws them.
        strategy: The strategy parameters of each individual, by name.
    """
    rng = np.random.default_rng(seed)
    population = Population(space)
    for place in range(size):
        _add(population, place, space.complete(space.sample(rng), rng), float(rng.random()), **strategy)
    return population


def _evaluated(space: Space, points: Sequence[Params]) -> Population:
    population = Population(space)
    for place, params in enumerate(points):
        _add(population, place, params, float(place))
    return population


def _add(population: Population, place: int, params: Params, loss: float, **strategy: float) -> None:
    population.apply(Started(time=0.0, individual=(0, place), island=0, params=params, strategy=dict(strategy)))
    population.apply(Finished(time=0.0, individual=(0, place), status="completed", loss=loss, rank=0))


def _offspring(propagator: Propagator, parents: Active, space: Space, count: int) -> list[Individual]:
    rng = np.random.default_rng(1)
    return [child for _ in range(count) for child in _bred(propagator, parents, space, rng)]


def _bred(propagator: Propagator, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
    try:
        return propagator(parents, space, rng)
    except PropagatorError as error:
        _require(False, str(error), propagator, space)
        raise


def _require(holds: bool, otherwise: str, propagator: Propagator, space: Space) -> None:
    if not holds:
        raise AssertionError(f"{propagator!r} breaks the contract of propagators where {space.describe()}: {otherwise}")
