"""One contract that every propagator keeps; what the default does; what a user may write."""

from __future__ import annotations

import doctest
import functools
import inspect
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from offspring import CATEGORIES, Average, near, offspring_of
from records import ask, evaluate, evaluated, make_worker

import evo.propagators
import evo.testing.propagators
from evo.errors import UserError
from evo.population.events import decode, encode
from evo.population.individual import Active, Individual, Known
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
from evo.propagators.base import PropagatorError
from evo.space.limits import Float
from evo.space.space import Space
from evo.testing.propagators import CONTRACT, SPACES, Check, check_propagator

# Each, made to breed one individual from a whole population.
PROPAGATORS: dict[str, Propagator] = {
    "Compose": Compose([SelectMin(1), Compose([PointMutation(), IntervalMutationNormal()])]),
    "Conditional": Conditional(5, then=Compose([SelectMin(1), PointMutation()]), otherwise=InitUniform()),
    "CrossoverMultiple": Compose([SelectUniform(4), CrossoverMultiple()]),
    "CrossoverSigmoid": Compose([SelectUniform(2), CrossoverSigmoid()]),
    "CrossoverUniform": Compose([SelectUniform(2), CrossoverUniform()]),
    "InitUniform": InitUniform(),
    "IntervalMutationNormal": Compose([SelectUniform(1), IntervalMutationNormal(points=2)]),
    "PointMutation": Compose([SelectUniform(1), PointMutation(2)]),
    "Propagator": Compose([SelectUniform(2), Average()]),
    "RandomPointMutation": Compose([SelectUniform(1), RandomPointMutation(1, 3)]),
    "SelectMax": SelectMax(1),
    "SelectMin": SelectMin(1),
    "SelectUniform": SelectUniform(1),
    "Stochastic": Compose([SelectMin(1), Stochastic(PointMutation(), 0.5)]),
    "default_propagator": default_propagator(6),
}

# The contract


def test_every_propagator_of_the_package_is_under_contract() -> None:
    assert sorted(PROPAGATORS) == sorted(evo.propagators.__all__)


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("name", PROPAGATORS)
def test_every_propagator_keeps_the_contract(name: str, kind: str, check: Check) -> None:
    check(PROPAGATORS[name], SPACES[kind])


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("name", PROPAGATORS)
def test_every_propagator_searches(name: str, kind: str) -> None:
    worker = make_worker(SPACES[kind], Conditional(4, PROPAGATORS[name], InitUniform()), allow_duplicates=True)
    assert len(evaluate(worker, lambda params: float(len(params)), 20)) == 20


class Breaks(Propagator):
    """Breaks one rule."""

    def __init__(self, rule: Callable[..., Sequence[Any]]) -> None:
        self.rule = rule
        self.calls = 0

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
        self.calls += 1
        return self.rule(self, parents, space, rng)


def breeds_two(self: Breaks, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
    return parents[:2]


def breeds_none_of_a_shape(self: Breaks, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
    return [Individual(genome=np.zeros(len(space) + 1))]


def inherits_what_is_no_json(self: Breaks, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
    return [Individual(genome=space.sample(rng), strategy={"sigma": math.nan})]


def remembers(self: Breaks, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
    return [parents[self.calls % 7]]


def writes(self: Breaks, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
    parents[0].strategy["f"] = rng.random()
    return parents[:1]


def clips(self: Breaks, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
    moved = parents[0].genome + rng.normal(0.0, 1.0, len(space))
    return [Individual(genome=np.where(space.ordered, np.clip(moved, 0.0, 1.0), parents[0].genome))]


def moves_categories(self: Breaks, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Any]:
    return [Individual(genome=np.where(space.ordered, parents[0].genome, parents[0].genome + 0.5))]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (breeds_two, "it breeds 2 individuals rather than one"),
        (breeds_none_of_a_shape, r"returned an individual with a genome of shape \(5,\): it must be of shape \(4,\)"),
        (inherits_what_is_no_json, "returned an individual with strategy {'sigma': nan}: it must be"),
        (remembers, "it breeds others with a generator of the same seed"),
        (writes, "it writes genomes or strategies of parents"),
        (clips, "of its offspring lie on a bound"),
        (moves_categories, "it moves a category"),
    ],
)
def test_a_propagator_that_breaks_the_contract_is_named_with_the_rule(
    rule: Callable[..., Sequence[Any]], message: str
) -> None:
    with pytest.raises(AssertionError, match=rf"^<.*Breaks object.* breaks the contract .*'type': 'float'.*{message}"):
        check_propagator(Breaks(rule), SPACES["mixed"])


def test_the_example_of_the_contract_runs() -> None:
    found = doctest.testmod(evo.testing.propagators)
    assert (found.attempted, found.failed) == (2, 0)


# Better than chance


def sphere(params: dict[str, Any]) -> float:
    return sum(value * value for value in params.values())


def training(params: dict[str, Any]) -> float:
    """As a network's loss may depend on its hyperparameters."""
    loss = (math.log10(params["lr"]) + 3) ** 2 + 0.2 * abs(params["layers"] - 6)
    loss += {"relu": 0.0, "tanh": 0.5, "sigmoid": 1.0}[params["activation"]]
    return loss + (10 * (params["momentum"] - 0.9) ** 2 if params["optimizer"] == "sgd" else 0.4)


PROBLEMS: dict[str, tuple[Callable[[dict[str, Any]], float], Space]] = {
    "sphere": (sphere, Space({f"x{i}": (-5.12, 5.12) for i in range(4)})),
    "training": (
        training,
        Space(
            {
                "lr": Float(1e-6, 1.0, log=True),
                "layers": (1, 12),
                "activation": ("relu", "tanh", "sigmoid"),
                "optimizer": ("sgd", "adam"),
                "momentum": Float(0, 1, when={"optimizer": "sgd"}),
            }
        ),
    ),
}

OPTIMIZERS = {
    "default": default_propagator(8),
    "without crossover": default_propagator(8, crossover=0.0),
    "sigmoid crossover": Conditional(
        8,
        Compose(
            [
                SelectMin(8),
                SelectUniform(2),
                CrossoverSigmoid(0.1),
                RandomPointMutation(1, 1),
                IntervalMutationNormal(0.1),
            ]
        ),
        InitUniform(),
    ),
    "tournament": Conditional(
        8,
        Compose(
            [
                SelectUniform(6),
                SelectMin(2),
                CrossoverMultiple(2),
                Stochastic(PointMutation(), 0.5),
                IntervalMutationNormal(0.1, points=2),
            ]
        ),
        InitUniform(),
    ),
}


@functools.cache
def median_best(name: str, problem: str) -> float:
    """Of nine searches for a problem, the median of the best losses."""
    loss, space = PROBLEMS[problem]
    propagator = OPTIMIZERS.get(name, InitUniform())
    runs = [evaluate(make_worker(space, propagator, seed=seed), loss, 150) for seed in range(9)]
    return float(np.median([min(found for _, found in run) for run in runs]))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_beats_random_search(name: str, problem: str) -> None:
    assert median_best(name, problem) < 0.7 * median_best("random", problem)


# The default


def marked_population(size: int) -> Active:
    """Individuals whose genes say whose they are: all of the best one's are v0, of the next one's v1, …"""
    return evaluated(CATEGORIES, [({name: f"v{i}" for name in CATEGORIES.names}, float(i)) for i in range(size)]).active


def genes_of(propagator: Propagator, size: int, count: int = 2000) -> list[Counter[float]]:
    return [
        Counter(child.genome.tolist()) for child in offspring_of(propagator, marked_population(size), CATEGORIES, count)
    ]


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.7, 1.0])
def test_the_probability_of_crossover_means_what_it_says(probability: float) -> None:
    children = genes_of(default_propagator(10, crossover=probability, mutation=0.0, random_init=0.0), 10)
    assert max(map(len, children)) == (2 if probability else 1)
    mixed = sum(len(genes) == 2 for genes in children) / len(children)
    assert mixed == near(probability * (1 - 2**-11), 2000)  # Twelve genes of one parent are no crossover to the eye.


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_the_probability_of_mutation_means_what_it_says(probability: float) -> None:
    children = genes_of(default_propagator(10, crossover=0.0, mutation=probability, random_init=0.0), 10)
    assert {max(genes.values()) for genes in children} <= {11, 12}
    mutated = sum(max(genes.values()) == 11 for genes in children) / len(children)
    assert mutated == near(probability * 0.99, 2000)  # One value in a hundred is drawn again.


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_the_probability_of_a_random_individual_means_what_it_says(probability: float) -> None:
    children = genes_of(default_propagator(10, crossover=0.7, mutation=0.4, random_init=probability), 10)
    assert sum(len(genes) > 3 for genes in children) / len(children) == near(probability, 2000)


def test_only_the_best_breed_and_all_of_them_alike() -> None:
    children = genes_of(default_propagator(5, crossover=0.0, mutation=0.0, random_init=0.0), 20)
    parents = Counter(next(iter(genes)) for genes in children)
    assert set(parents) == {0, 1, 2, 3, 4}
    for count in parents.values():
        assert count / 2000 == near(1 / 5, 2000)


def test_individuals_are_random_until_the_population_is_large_enough() -> None:
    quiet = default_propagator(5, crossover=0.0, mutation=0.0, random_init=0.0)
    assert min(len(genes) for genes in genes_of(quiet, 4, 50)) > 3
    assert max(len(genes) for genes in genes_of(quiet, 5, 50)) == 1


# Written by users


def test_a_propagator_with_one_method_searches() -> None:
    space = Space({"x": (-5.0, 5.0), "y": (-5.0, 5.0)})
    propagator = Conditional(4, Compose([SelectUniform(3), Average(), IntervalMutationNormal(0.2)]), InitUniform())
    found = evaluate(make_worker(space, propagator), sphere, 100)
    assert min(loss for _, loss in found) < 1.0


class Wrong(Propagator):
    def __init__(self, bred: Sequence[Individual]) -> None:
        self.bred = bred

    def __repr__(self) -> str:
        return "Wrong()"

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return self.bred


@pytest.mark.parametrize(("count", "shown"), [(0, r"\[\]"), (2, r"\[\(2,\), \(2,\)\]")])
def test_a_propagator_that_returns_another_number_is_named(count: int, shown: str) -> None:
    propagator = Wrong([Individual(genome=np.zeros(2))] * count)
    worker = make_worker(Space({"x": (0.0, 1.0), "y": (0.0, 1.0)}), propagator)
    message = rf"Wrong\(\) makes . individuals of shapes {shown} from an empty population: .* one .* of shape \(2,\)"
    with pytest.raises(PropagatorError, match=message):
        ask(worker)


LIKE_WORDS: Any = np.str_("mine")
UNREADABLE: dict[str, dict[str, Any]] = {
    "bred_by 7": {"bred_by": 7},
    f"bred_by {LIKE_WORDS!r}": {"bred_by": LIKE_WORDS},
    r"bred_by '\ud800'": {"bred_by": "\ud800"},
    "parents ((0, -1),)": {"parents": ((0, -1),)},
    "parents ((0, 0.5),)": {"parents": ((0, 0.5),)},
    "parents [Individual(": {"parents": [Individual(genome=np.zeros(2))]},
    "parents 3": {"parents": 3},
    "strategy {'steps': array([1., 2.])}": {"strategy": {"steps": np.array([1.0, 2.0])}},
    "strategy {'step': nan}": {"strategy": {"step": math.nan}},
    "strategy {'pair': (1, 2)}": {"strategy": {"pair": (1, 2)}},
    "strategy {1: 2}": {"strategy": {1: 2}},
    "strategy None": {"strategy": None},
    "a genome of shape (3,)": {"genome": np.zeros(3)},
    "a genome of shape (1, 2)": {"genome": np.zeros((1, 2))},
    "genome array(['a', 'b']": {"genome": np.array(["a", "b"])},
    "genome [0.5, 0.5], a list": {"genome": [0.5, 0.5]},
    "genome array([0, 1]), an array of int64": {"genome": np.array([0, 1])},
}


@pytest.mark.parametrize("shown", UNREADABLE)
@pytest.mark.parametrize("is_first_of_several", [False, True])
def test_what_a_journal_could_not_give_back_is_refused_with_the_place_of_the_breed(
    shown: str, is_first_of_several: bool
) -> None:
    own = Wrong([Individual(**{"genome": np.zeros(2), **UNREADABLE[shown]})])
    propagator = Compose([own, PointMutation()]) if is_first_of_several else own
    worker = make_worker(Space({"x": (0.0, 1.0), "y": (0.0, 1.0)}), propagator)
    line = Wrong.breed.__code__.co_firstlineno
    with pytest.raises(PropagatorError) as caught:
        ask(worker)
    assert f"Wrong.breed ({__file__}, line {line}) returned an individual with {shown}" in str(caught.value)


def test_a_known_individual_with_an_identity_of_its_own_making_is_refused() -> None:
    worker = make_worker(Space({"x": (0.0, 1.0)}), Wrong([Known(genome=np.zeros(1), identity=(0, -1))]))
    with pytest.raises(PropagatorError, match=r"identity \(0, -1\): return known individuals as they were given"):
        ask(worker)


def test_parents_of_numpys_numbers_become_what_a_journal_holds() -> None:
    parents: Any = [(np.int64(0), np.int64(3)), [0, 1]]
    started = ask(make_worker(Space({"x": (0.0, 1.0)}), Wrong([Individual(genome=np.zeros(1), parents=parents)])))
    assert started is not None
    assert started.parents == ((0, 3), (0, 1))
    assert decode(encode(started)) == started


class PassesOn(Wrong):
    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return parents


def test_what_is_passed_on_unchanged_is_the_population_itself() -> None:
    space = Space({"x": (0.0, 1.0)})
    active = evo.testing.propagators.random_population(space).active
    rng = np.random.default_rng(0)
    assert PassesOn([])(active, space, rng) is active
    chosen = active[:2]
    assert Wrong(chosen)(active, space, rng) == list(chosen)


class Unnamed(Wrong):
    @property
    def bred_by(self) -> str:
        return 7  # type: ignore[return-value]


def test_a_name_of_a_propagator_that_is_no_text_is_refused_with_its_place() -> None:
    worker = make_worker(Space({"x": (0.0, 1.0)}), Unnamed([Individual(genome=np.zeros(1))]))
    line = inspect.getattr_static(Unnamed, "bred_by").fget.__code__.co_firstlineno
    with pytest.raises(PropagatorError, match=rf"Unnamed \({__file__}, line {line}\) has bred_by 7: it must be a text"):
        ask(worker)


def test_a_label_that_is_no_text_is_refused() -> None:
    label: Any = 7
    with pytest.raises(UserError, match="label of Compose is 7: it must be a text"):
        Compose([InitUniform()], label=label)


class Failing(Wrong):
    @property
    def parents(self) -> int | None:
        raise KeyError("none")

    def __repr__(self) -> str:
        raise KeyError("name")


def test_a_property_and_a_repr_that_fail_are_told_with_their_place() -> None:
    worker = make_worker(Space({"x": (0.0, 1.0)}), Failing([]))
    message = (
        rf"propagator Failing \(its __repr__ fails: KeyError: 'name' \({__file__}, line \d+: raise .*\)\) "
        rf"fails on an empty population: Failing.parents fails: KeyError: 'none' \({__file__}, line \d+: raise"
    )
    with pytest.raises(PropagatorError, match=message):
        ask(worker)
