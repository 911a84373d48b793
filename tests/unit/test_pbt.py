"""Population-based training: who goes on, from whose state, with which hyperparameters, and who waits: nobody."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from evo.algorithms import PopulationBasedTraining, Portfolio, Setup, View
from evo.algorithms.catalogue import make_propagator
from evo.algorithms.explore import Explorer
from evo.algorithms.pbt import steps_of
from evo.algorithms.pbt_architectures import standings
from evo.errors import UserError
from evo.population.individual import Known
from evo.population.segments import Donor, SavedState, Segment
from evo.space.parameters import Choice, Float, Int
from evo.space.space import Space
from evo.testing.algorithms import CONTRACT, SPACES, searches_better_than_at_random
from evo.testing.searches import VirtualSearch, changed, completed, failed, mixed_outcomes

RNG = np.random.default_rng(0)
SPACE = Space({"lr": Float(1e-4, 1.0, log=True, mutable=True), "width": Int(1, 900)})
ARCHITECTURES = Space({"lr": Float(1e-4, 1.0, log=True, mutable=True), "width": Int(1, 40), "kind": ("a", "b", "c")})


def mutable(space: Space) -> Space:
    """The same space, where every parameter but the first may change in training."""
    limits: dict[str, Any] = {}
    for place, (name, one) in enumerate(space.parameters.items()):
        if isinstance(one, Choice):
            limits[name] = Choice(list(one.values), when=one.when, mutable=place > 0)
        else:
            ends = {end: text for end, text in zip(("low", "high"), one.bounds or (None, None), strict=True) if text}
            changes: dict[str, Any] = {"mutable": place > 0, "bounds": None, **ends}
            limits[name] = dataclasses.replace(one, **changes)
    return Space(limits, space.constraints)


MADE = {
    "perturb": PopulationBasedTraining(population=6),
    "crossover": PopulationBasedTraining(interval=2, population=6, explore="crossover", quantile=0.5, growth=2),
    "lineages": PopulationBasedTraining(population=8, lineages=3, architecture=make_propagator("regularized", {})),
}
CASES = [
    (name, check, place)
    for (name, check), place in itertools.product(itertools.product(MADE, CONTRACT), range(len(SPACES)))
    if check is not searches_better_than_at_random and (place + len(check.__name__) + len(name)) % 4 == 0
]


@pytest.mark.parametrize(("name", "check", "place"), CASES, ids=lambda one: getattr(one, "__name__", str(one)))
def test_it_keeps_the_contract_of_algorithms(name: str, check: Callable[..., None], place: int) -> None:
    check(MADE[name], mutable(list(SPACES.values())[place]))


def loss_of(space: Space, of: Callable[[dict[str, Any]], float]) -> Callable[[Known], Any]:
    return lambda known: completed(known, of(space.decode(known.genome)))


def searched(algorithm: PopulationBasedTraining, evaluations: int, **more: Any) -> VirtualSearch:
    space = more.pop("space", SPACE)
    outcome = more.pop("outcome", None) or loss_of(space, lambda params: abs(math.log(params["lr"]) + 4))
    search = VirtualSearch(algorithm, space, outcome, **more)
    search.run(evaluations)
    return search


def knowns(search: VirtualSearch) -> list[Known]:
    return [known for known, _ in search.told]


def test_the_worst_go_on_from_the_best_of_their_step_and_all_others_from_themselves() -> None:
    search = searched(PopulationBasedTraining(population=8), 16)
    by_identity = {one.identity: one for one in knowns(search)}
    first, second = knowns(search)[:8], knowns(search)[8:]
    ranked = sorted(first, key=lambda one: one.loss or 0.0)
    best, worst = {one.identity for one in ranked[:2]}, {one.identity for one in ranked[6:]}
    for one in second:
        assert one.segment is not None
        assert one.segment.donor is not None
        donor, replaced = one.segment.donor.individual, one.segment.replaces
        if replaced in worst:
            before = by_identity[donor].segment
            assert best & {donor, before.donor.individual if before and before.donor else None}
            assert one.bred_by == "pbt/exploit"
            assert one.genome[0] != by_identity[donor].genome[0]
        else:
            assert donor == replaced
            assert (one.segment.begin, one.segment.until) == (1, 2)
            assert np.array_equal(one.genome, by_identity[donor].genome)
    assert {one.segment.replaces for one in second if one.segment} == {one.identity for one in first}


def segments(search: VirtualSearch) -> Iterable[Segment]:
    return [one.segment for one in [*knowns(search), *search.view.running] if one.segment]


@pytest.mark.parametrize("workers", [1, 5, 32])
def test_nobody_ever_waits_and_no_two_work_on_one_place(workers: int) -> None:
    search = searched(PopulationBasedTraining(population=8), 300, workers=workers, outcome=mixed_outcomes(SPACE))
    assert len(search.view.running) >= workers - 1
    places = Counter(segment.replaces for segment in segments(search) if segment.donor and segment.replaces)
    again = {one.segment.replaces for one in knowns(search) if one.status != "completed" and one.segment}
    assert all(count == 1 for place, count in places.items() if place not in again)
    assert len(search.view.kept) <= max(8, workers)


def test_individuals_are_judged_by_those_that_have_ended_at_the_same_step() -> None:
    """However bad a late loss is compared to early ones: only those at its step count."""
    harder = lambda known: completed(known, float(known.segment.until) * 100 + known.genome[0])  # noqa: E731
    search = searched(PopulationBasedTraining(population=8), 40, outcome=harder, workers=3)
    ended = {(one.identity, one.segment.until): one.loss or 0.0 for one in knowns(search) if one.segment}
    for one in knowns(search):
        if one.bred_by == "pbt/exploit" and one.segment and one.segment.replaces:
            (step,) = [step for identity, step in ended if identity == one.segment.replaces]
            at_step = [loss for (_, other), loss in ended.items() if other == step]
            assert ended[one.segment.replaces, step] > np.quantile(at_step, 0.5)


def test_a_donor_whose_state_is_lost_is_replaced_by_the_next_best_and_a_lost_place_is_taken_from_others() -> None:
    search = searched(PopulationBasedTraining(population=8), 8)
    ranked = sorted(knowns(search), key=lambda one: one.loss or 0.0)
    lost = {one.identity for one in ranked[:3]} | {ranked[4].identity}
    proposals: dict[Any, Donor | None] = {}
    for one in itertools.islice(search.learner.propose(dataclasses.replace(search.view, lost=lost), RNG), 200):
        if one.segment is not None and one.segment.replaces:
            proposals.setdefault(one.segment.replaces, one.segment.donor)
    donors = {donor.individual for donor in proposals.values() if donor}
    assert not donors & lost
    worst, place = proposals[ranked[7].identity], proposals[ranked[4].identity]
    assert worst is not None
    assert worst.individual == ranked[3].identity
    assert place is not None
    assert place.individual == ranked[3].identity


def test_a_failed_segment_leaves_its_place_to_a_donor_and_releases_the_state_that_it_began_from() -> None:
    def outcome(known: Known) -> Any:
        step = known.segment.until if known.segment else 0
        return failed(known) if step == 2 and known.bred_by == "pbt/continue" else completed(known, known.genome[0])

    search = searched(PopulationBasedTraining(population=6), 60, outcome=outcome)
    assert any(one.status == "failed" for one in knowns(search))
    assert max(segment.until for segment in segments(search)) > 3
    assert len(search.view.kept) <= 6


def test_individuals_of_other_islands_are_donors_but_have_no_places() -> None:
    learner = PopulationBasedTraining(population=3).start(Setup(space=SPACE, islands=2, island=0))
    rng = np.random.default_rng(0)

    def known(number: int, loss: float, island: int) -> Known:
        genome = SPACE.encode(SPACE.complete(SPACE.sample(rng), rng))
        one = Known(genome=genome, identity=(island, number), island=island, segment=Segment(until=1))
        return changed(one, status="completed", loss=loss, state=SavedState(step=1, digest="d"))

    told = [known(number, 5.0 + number, 0) for number in range(3)] + [
        known(number, number * 1.0, 1) for number in (0, 1)
    ]
    for one in told:
        learner.learn(one, one.loss)
    view = View(kept={one.identity for one in told})
    found = [next(iter(learner.propose(view, np.random.default_rng(seed)))).segment for seed in range(40)]
    assert {one.replaces for one in found if one} == {(0, 0), (0, 1), (0, 2)}
    donors = {one.donor.individual for one in found if one and one.donor and one.replaces == (0, 2)}
    assert donors <= {(1, 0), (1, 1)}
    assert donors


def test_surplus_places_are_dropped() -> None:
    learner = PopulationBasedTraining(population=2).start(Setup(space=SPACE))
    rng = np.random.default_rng(0)
    for number in range(5):
        genome = SPACE.encode(SPACE.complete(SPACE.sample(rng), rng))
        state = SavedState(step=1, digest="")
        one = Known(genome=genome, identity=(0, number), segment=Segment(until=1), status="completed", state=state)
        learner.learn(changed(one, loss=float(number)), float(number))
    view = View(kept={(0, number) for number in range(5)})
    proposed = next(iter(learner.propose(view, rng)))
    assert proposed.segment is not None
    assert proposed.segment.drops == ((0, 4), (0, 3), (0, 2))


def test_only_what_may_change_is_changed_and_numbers_move_by_a_factor() -> None:
    space = Space(
        {
            "rate": Float(0.0, 10.0, mutable=True),
            "count": Int(1, 500, log=True, mutable=True),
            "grid": Float(0.0, 1.0, step=0.25, mutable=True),
            "list": Choice(8, 16, 64, mutable=True),
            "kind": Choice("a", "b", "c", mutable=True),
            "width": Int(1, 9),
        }
    )
    explorer = Explorer(space, (0.8, 1.2), 0.0)
    rng = np.random.default_rng(1)
    seen = [
        space.decode(explorer.perturbed(space.encode(given), rng))
        for given in [{"rate": 5.0, "count": 1, "grid": 0.0, "list": 16, "kind": "a", "width": 3}] * 40
    ]
    assert {round(one["rate"], 6) for one in seen} == {4.0, 6.0}
    assert {one["count"] for one in seen} == {2}
    assert {one["grid"] for one in seen} == {0.25}
    assert {one["list"] for one in seen} == {8, 64}
    assert {one["kind"] for one in seen} == {"a"}
    assert {one["width"] for one in seen} == {3}


def test_a_training_that_is_over_gives_its_place_to_a_new_one_while_the_budget_is_enough() -> None:
    enough = searched(PopulationBasedTraining(population=4, growth=2), 80)
    founders = [one for one in knowns(enough) if one.segment and one.segment.donor is None]
    assert {one.segment.until for one in founders if one.segment} >= {1, 2}
    scarce = searched(PopulationBasedTraining(population=4), 24, budget=24)
    assert sum(one.segment.donor is None for one in knowns(scarce) if one.segment) <= 5


def test_architectures_share_out_their_trainings_and_bad_ones_give_their_places_up() -> None:
    inner = make_propagator("random", {})
    algorithm = PopulationBasedTraining(population=9, lineages=3, quantile=0.3, architecture=inner)
    distance = {"a": 0.0, "b": 5.0, "c": 9.0}
    outcome = loss_of(ARCHITECTURES, lambda p: distance[p["kind"]] + abs(p["width"] - 20) / 10 + abs(p["lr"] - 0.1))
    search = searched(algorithm, 150, space=ARCHITECTURES, outcome=outcome, workers=2)
    genomes = {one.identity: one.genome for one in knowns(search)}
    for one in knowns(search):
        if one.segment and one.segment.donor:
            assert np.array_equal(one.genome[1:], genomes[one.segment.donor.individual][1:])
    early, late = Counter[str](), Counter[str]()
    for one in knowns(search):
        at = early if one.segment and one.segment.until == 1 else late
        at[ARCHITECTURES.decode(one.genome)["kind"]] += 1
    assert late["a"] / late.total() > early["a"] / early.total()
    shared = Counter(one.genome[1:].tobytes() for one in knowns(search) if one.segment and not one.segment.donor)
    assert max(shared.values()) == 3


def test_an_architecture_that_ended_early_counts_as_much_worse_as_it_was_then() -> None:
    losses = {b"long": {1: 5.0, 2: 3.0, 3: 2.0}, b"middle": {1: 6.0, 2: 5.0}, b"short": {1: 7.5}, b"best": {1: 1.0}}
    assert standings(losses) == {b"long": 2.0, b"middle": 4.0, b"short": 5.5, b"best": 2.0}


def test_it_finds_a_schedule_that_is_better_than_the_best_constant() -> None:
    """Each step adds how far the rate is from what is best there, which falls; the best constant comes to 8."""
    costs: dict[Any, float] = {}

    def outcome(known: Known) -> Any:
        assert known.segment is not None
        before = costs[known.segment.donor.individual] if known.segment.donor else 0.0
        wanted = -2.0 * known.segment.until
        costs[known.identity] = before + abs(math.log(SPACE.decode(known.genome)["lr"]) - wanted)
        return completed(known, costs[known.identity])

    search = searched(PopulationBasedTraining(population=24, quantile=0.4), 96, outcome=outcome, workers=4)
    late = [one.loss or 0.0 for one in knowns(search) if one.segment and one.segment.until == 4]
    assert min(late) < 8.0


def test_learning_in_another_order_gives_the_same_places() -> None:
    """A child may be known before the one whose place it takes."""
    search = searched(PopulationBasedTraining(population=4), 12)
    one, other = (PopulationBasedTraining(population=4).start(Setup(space=SPACE)) for _ in range(2))
    for learner, order in ((one, search.told), (other, search.told[::-1])):
        for known, loss in order:
            learner.learn(known, loss)
    places = [set(learner._members.places) for learner in (one, other)]  # type: ignore[attr-defined]
    assert places[0] == places[1]


WRONG: dict[str, list[Any]] = {
    "interval": [0, -1, True, 2.5, None, "2 weeks", "", "epochs", "1.5 epochs", 2**40, "9" * 5000],
    "quantile": [0, 0.6, -1, math.nan, "a", True],
    "perturb": [[], [1], [0.0], [0.8, "a"], [math.inf], 0.8, "0.8"],
    "resample": [-0.1, 2, "a"],
    "population": [1, 0, 2.5, "a"],
    "explore": ["x", None],
    "growth": [0, 1.5],
    "lineages": [1, 17, -2],
    "architecture": ["tpe", 3],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^propagator pbt: {name} is "):
        make_propagator({"name": "pbt", name: value}, {})


def test_every_form_of_the_setting_is_read() -> None:
    assert [steps_of(one) for one in (3, "3", "2 epochs", "1 epoch", "100 steps")] == [3, 3, 2, 1, 100]
    given = {"name": "pbt", "interval": "2 epochs", "lineages": 4, "architecture": {"name": "portfolio"}}
    made = make_propagator(given, {"population": 2})
    assert isinstance(made, PopulationBasedTraining)
    assert (made.population, made.first_segment) == (16, Segment(until=2))
    assert isinstance(made.architecture, Portfolio)
    with pytest.raises(UserError, match="trains in parts itself"):
        make_propagator({"name": "pbt", "lineages": 4, "architecture": "pbt"}, {})
    with pytest.raises(UserError, match="trains in parts"):
        make_propagator({"name": "portfolio", "members": ["pbt", "tpe"]}, {})
