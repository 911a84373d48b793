"""Who is better where there are several objectives, against definitions that are written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evo.algorithms.improvement import volumes_added
from evo.algorithms.selected import SelectedPopulation
from evo.population.dominance import (
    Front,
    Losses,
    hypervolume,
    hypervolume_contributions,
    order_by_dominance,
    ranks,
    sampled_contributions,
)
from evo.population.individual import Known


def individual(number: int, losses: tuple[float, ...], violation: float = 0.0) -> Known:
    genome = np.zeros(1)
    return Known(
        genome=genome,
        identity=(number % 2, number),
        status="completed",
        loss=losses[0],
        losses=losses,
        violation=violation,
    )


def dominates(first: Known, second: Known) -> bool:
    """As constrained dominance is defined (Deb, 2002)."""
    if first.violation != second.violation:
        return first.violation < second.violation
    pairs = list(zip(first.losses, second.losses, strict=True))
    return first.violation == 0.0 and all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def drawn(seed: int, count: int = 40, objectives: int = 2, violating: float = 0.2) -> list[Known]:
    """Individuals with coarse losses, so that some are equal."""
    rng = np.random.default_rng(seed)
    return [
        individual(number, tuple(rng.integers(0, 9, objectives) / 8), float(rng.random() < violating) * (number % 3))
        for number in range(count)
    ]


def volume(losses: Losses, reference: list[float]) -> float:
    """The hypervolume by inclusion and exclusion."""
    total = 0.0
    for size in range(1, len(losses) + 1):
        for subset in itertools.combinations(losses, size):
            total -= (-1) ** size * float(np.prod(np.maximum(0.0, reference - np.max(subset, axis=0))))
    return total


@pytest.mark.parametrize("objectives", [2, 3, 5])
def test_hypervolumes_and_contributions_are_those_of_the_definition(objectives: int) -> None:
    losses = np.random.default_rng(0).random((7, objectives))
    reference = [1.1] * objectives
    assert hypervolume(losses, reference) == pytest.approx(volume(losses, reference))
    front = losses[ranks(losses) == 0]
    found = hypervolume_contributions(front, np.array(reference))
    extent = np.prod(front.max(axis=0) - front.min(axis=0))
    for place, contributed in enumerate(found):
        without = volume(np.delete(front, place, axis=0), reference)
        assert contributed * extent == pytest.approx(volume(front, reference) - without)


def test_a_hypervolume_worked_out_by_hand() -> None:
    assert hypervolume(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]), [4.0, 4.0]) == 6.0
    assert hypervolume(np.array([[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]), [1.0, 2.0, 3.0]) == 6.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("violating", [0.0, 0.2, 1.0])
def test_the_front_is_what_nobody_dominates_in_any_order_of_arrival(seed: int, violating: float) -> None:
    individuals = drawn(seed, violating=violating)
    not_dominated = [one for one in individuals if not any(dominates(other, one) for other in individuals)]
    firsts: dict[object, Known] = {}
    for one in sorted(not_dominated, key=lambda one: one.identity):
        firsts.setdefault((one.violation, one.losses if one.violation == 0.0 else ()), one)
    for order in range(3):
        front: Front[Known] = Front()
        for place in np.random.default_rng(order).permutation(len(individuals)):
            front.add(individuals[place])
        assert set(front) == set(firsts.values())


@pytest.mark.parametrize("seed", range(3))
def test_nobody_comes_before_one_that_dominates_it(seed: int) -> None:
    ordered = order_by_dominance(drawn(seed, objectives=3))
    assert not any(dominates(later, one) for place, one in enumerate(ordered) for later in ordered[place:])


def test_ranks_are_those_of_peeling_front_after_front() -> None:
    individuals = drawn(1, violating=0.0)
    found = ranks(np.array([one.losses for one in individuals]))
    left, rank = list(range(len(individuals))), 0
    while left:
        peeled = [i for i in left if not any(dominates(individuals[j], individuals[i]) for j in left)]
        assert {rank} == {found[i] for i in peeled}
        left, rank = [i for i in left if i not in peeled], rank + 1


@pytest.mark.parametrize("objectives", [2, 3, 6])
def test_a_selected_population_is_bounded_and_keeps_the_extremes_and_what_is_feasible(objectives: int) -> None:
    individuals = drawn(2, 150, objectives)
    population = SelectedPopulation(12)
    for one in individuals:
        population.add(one)
        assert len(population) <= 12
    sound = [one for one in individuals if one.violation == 0.0]
    assert not population.violations.any()
    assert population.losses.min(axis=0).tolist() == np.min([one.losses for one in sound], axis=0).tolist()
    members = [one for one in individuals if one.identity in {member.identity for member in population}]
    last = [members[place] for place in population.order()]
    assert len(last) == len(population)


def test_while_all_violate_bounds_those_stay_that_do_so_least() -> None:
    population = SelectedPopulation(4)
    for number in range(20):
        population.add(individual(number, (number / 20, 1 - number / 20), violation=float((7 * number) % 20 + 1)))
    assert sorted(population.violations) == [1.0, 2.0, 3.0, 4.0]
    assert [one.violation for one in population.front] == [1.0]


def test_estimated_contributions_are_near_to_the_exact_ones() -> None:
    rng = np.random.default_rng(3)
    losses = rng.random((60, 3))
    losses = losses[ranks(losses) == 0]
    exact, estimated = hypervolume_contributions(losses), sampled_contributions(losses)
    inner = np.isfinite(exact)
    assert (np.isinf(estimated) == ~inner).all()
    assert np.abs(estimated[inner] * 1.1**3 - exact[inner]).max() < 0.02


@pytest.mark.parametrize("objectives", [2, 3])
def test_what_a_candidate_adds_is_the_difference_of_two_hypervolumes(objectives: int) -> None:
    rng = np.random.default_rng(4)
    front, candidates, reference = rng.random((9, objectives)), rng.random((20, objectives)) * 1.3, [1.1] * objectives
    before = hypervolume(front, reference)
    added = [hypervolume(np.vstack([front, one]), reference) - before for one in candidates]
    found = volumes_added(front, candidates, np.array(reference), rng)
    assert found == pytest.approx(added, abs=1e-12 if objectives == 2 else 0.02)
