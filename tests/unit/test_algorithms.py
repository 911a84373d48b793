"""The contract of algorithms that learn, for all that evo has."""

from __future__ import annotations

import doctest
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import evo.testing.algorithms
from evo.algorithms import (
    CMAES,
    TPE,
    AdditiveSearch,
    Algorithm,
    FrontSearch,
    Learner,
    ModelledSearch,
    NelderMead,
    OptunaSampler,
    ParticleSwarm,
    Portfolio,
    RegularizedEvolution,
    Setup,
    Shade,
    View,
)
from evo.errors import UserError
from evo.population.individual import Individual, Known
from evo.testing.algorithms import (
    CONTRACT,
    SPACES,
    AlgorithmCheck,
    check_algorithm,
    copes_with_whatever_it_is_told,
    keeps_the_contract_with_two_objectives,
    learns_nothing_from_what_it_only_proposes,
    never_writes_what_it_learns_from,
    proposes_the_same_when_losses_are_scaled_and_shifted,
    proposes_the_same_when_told_the_same,
    proposes_what_can_be_tried_and_journalled,
    searches_better_than_at_random,
)

ALGORITHMS: Mapping[str, Algorithm] = {
    "additive": AdditiveSearch(),
    "cmaes": CMAES(),
    "front": FrontSearch(),
    "modelled": ModelledSearch(),
    "nelder_mead": NelderMead(),
    "portfolio": Portfolio(),
    "pso": ParticleSwarm(),
    "regularized": RegularizedEvolution(),
    "shade": Shade(),
    "tpe": TPE(),
}


def _is_chosen(name: str, space: str, check: AlgorithmCheck, is_even: bool) -> bool:
    """Whether a triple says what others do not: those of a front are slow, and one loss is the least of its cases."""
    if check is keeps_the_contract_with_two_objectives:
        return (name, space) in (("front", "conditional"), ("front", "one switch"), ("tpe", "floats"))
    return is_even and (name != "front" or space in ("mixed", "one switch"))


# Half of all triples, chosen so that each algorithm meets each space and each check, and each check each space.
# EVO_WHOLE=1 tries all of them, for whoever changes an algorithm.
TRIPLES = [
    (name, space, check)
    for row, name in enumerate(ALGORITHMS)
    for column, space in enumerate(SPACES)
    for layer, check in enumerate(each for each in CONTRACT if each is not searches_better_than_at_random)
    if os.environ.get("EVO_WHOLE") or _is_chosen(name, space, check, (row + column + layer) % 2 == 0)
]


@pytest.mark.parametrize(("name", "space", "check"), TRIPLES)
def test_an_algorithm_keeps_the_contract(name: str, space: str, check: AlgorithmCheck) -> None:
    check(ALGORITHMS[name], SPACES[space])


# CMA-ES searches numbers, and changes a category now and then only.
SEARCHED = [(name, space) for name in ALGORITHMS for space in ("floats", "mixed", "conditional", "constrained")]
SEARCHED.remove(("cmaes", "mixed"))
# What a front is found with has tests of its own.
SEARCHED = [(name, space) for name, space in SEARCHED if name != "front"]
# A proposal of the portfolio is one of each of its members, which are tried in all spaces: here, how it chooses.
SEARCHED = [(name, space) for name, space in SEARCHED if name != "portfolio" or space in ("mixed", "constrained")]


@pytest.mark.parametrize(("name", "space"), SEARCHED)
def test_an_algorithm_finds_better_points_than_chance(name: str, space: str) -> None:
    searches_better_than_at_random(ALGORITHMS[name], SPACES[space])


class Broken(Algorithm):
    """Draws around the best one that is known, and does one thing wrong."""

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong

    def __repr__(self) -> str:
        return f"Broken({self.wrong!r})"

    def start(self, setup: Setup) -> Learner:
        return BrokenState(self.wrong, setup)


class BrokenState(Learner):
    def __init__(self, wrong: str, setup: Setup) -> None:
        self.wrong, self.space = wrong, setup.space
        self.best, self.lowest = setup.space.sample(setup.generator(0)), np.inf
        self.count = 0
        self.own = np.random.default_rng()

    def learn(self, individual: Known, loss: float | None) -> None:
        if self.wrong == "writes":
            individual.strategy["seen"] = True
        if self.wrong == "expects a loss":
            assert loss is not None
        tolerance = 0.01 if self.wrong == "has an absolute tolerance" else 0.0
        if loss is not None and loss < self.lowest - tolerance:
            self.best, self.lowest = individual.genome, loss

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        self.count += 1
        while True:
            genome = self.best + 0.1 * rng.standard_normal(len(self.space))
            if self.wrong == "counts its proposals":
                genome += 0.001 * self.count
            if self.wrong == "has its own generator":
                genome += 0.001 * self.own.random()
            if self.wrong == "forgets a gene":
                genome = genome[1:]
            if self.wrong == "stays in a corner":
                genome = 0.01 * rng.random(len(self.space))
            strategy: dict[str, Any] = {}
            if self.wrong == "has an array in its strategy":
                strategy["mean"] = genome
            if self.wrong == "keeps everything in its strategy":
                strategy["all"] = list(range(5000))
            yield Individual(genome=genome, strategy=strategy, parents=())


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ("writes", never_writes_what_it_learns_from),
        ("expects a loss", copes_with_whatever_it_is_told),
        ("has an absolute tolerance", proposes_the_same_when_losses_are_scaled_and_shifted),
        ("counts its proposals", learns_nothing_from_what_it_only_proposes),
        ("has its own generator", proposes_the_same_when_told_the_same),
        ("forgets a gene", proposes_what_can_be_tried_and_journalled),
        ("stays in a corner", searches_better_than_at_random),
        ("has an array in its strategy", proposes_what_can_be_tried_and_journalled),
        ("keeps everything in its strategy", proposes_what_can_be_tried_and_journalled),
    ],
)
def test_the_contract_finds_what_is_wrong(wrong: str, check: AlgorithmCheck) -> None:
    space = SPACES["floats"]
    check(Broken("nothing"), space)
    with pytest.raises(AssertionError):
        check(Broken(wrong), space)


def test_check_algorithm_runs_all_checks_in_one_space_or_in_all() -> None:
    assert doctest.testmod(evo.testing.algorithms).failed == 0
    with pytest.raises(AssertionError, match=r"Broken\('stays in a corner'\) breaks the contract of algorithms where"):
        check_algorithm(Broken("stays in a corner"), SPACES["one float"])


def test_without_optuna_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r'not installed: pip install "evo-mpi\[optuna\]"'):
        OptunaSampler()
