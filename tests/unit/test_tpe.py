"""TPE: what it counts as good and bad, and what its proposals depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest

import evo
from evo.algorithms import parzen, tpe
from evo.algorithms.base import Learner, Setup, View
from evo.algorithms.tpe import TPE
from evo.errors import UserError
from evo.population.events import Status
from evo.population.individual import Known
from evo.space.space import Space

FLOATS = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
CONDITIONAL = {
    "model": ("svm", "forest"),
    "c": evo.Float(0.0, 1.0, when={"model": "svm"}),
    "kernel": evo.Choice("rbf", "linear", when={"model": "svm"}),
    "gamma": evo.Float(0.0, 1.0, when={"model": "svm", "kernel": "rbf"}),
    "trees": evo.Int(1, 50, when={"model": "forest"}),
    "rate": (0.0, 1.0),
}


def known(space: Space, params: Mapping[str, Any], number: int, loss: float | None, status: str = "completed") -> Known:
    return Known(genome=space.encode(params), identity=(0, number), loss=loss, status=status)  # type: ignore[arg-type]


def points(space: Space, count: int, seed: int = 0) -> list[Known]:
    rng = np.random.default_rng(seed)
    return [known(space, space.complete(space.sample(rng), rng), n, float(rng.random())) for n in range(count)]


def learner(space: Space, individuals: Sequence[Known], algorithm: TPE | None = None) -> Learner:
    state = (algorithm or TPE(anywhere=0.0)).start(Setup(space=space))
    for one in individuals:
        state.learn(one, one.loss if one.status in ("completed", "pruned") else None)
    return state


def proposals(state: Learner, count: int = 30, view: View | None = None, seed: int = 1) -> np.ndarray:
    return np.array([one.genome for one in islice(state.propose(view or View(), np.random.default_rng(seed)), count)])


def at_losses(
    individuals: Sequence[Known], losses: Sequence[float | None], status: Status = "completed"
) -> list[Known]:
    return [
        Known(genome=one.genome, identity=one.identity, loss=loss, status="failed" if loss is None else status)
        for one, loss in zip(individuals, losses, strict=True)
    ]


def near(center: float, count: int, first: int, loss: float, spread: float = 0.02) -> list[Known]:
    """Individuals of FLOATS around a point, with losses that rise a little."""
    rng = np.random.default_rng(first)
    space = Space(FLOATS)
    return [
        known(
            space,
            {name: float(np.clip(rng.normal(center, spread), 0, 1)) for name in FLOATS},
            first + n,
            loss + n / 1e3,
        )
        for n in range(count)
    ]


def test_before_enough_have_finished_points_are_drawn_at_random_and_say_so() -> None:
    space = Space(FLOATS)
    state = learner(space, points(space, 9))
    assert {one.bred_by for one in islice(state.propose(View(), np.random.default_rng(0)), 20)} == {"random"}
    state.learn(known(space, {"x": 0.5, "y": 0.5}, 9, 0.5), 0.5)
    assert {one.bred_by for one in islice(state.propose(View(), np.random.default_rng(0)), 20)} == {""}


def test_a_tenth_of_the_proposals_is_drawn_at_random() -> None:
    state = learner(Space(FLOATS), points(Space(FLOATS), 30), TPE())
    first = [next(state.propose(View(), np.random.default_rng(seed))).bred_by for seed in range(300)]
    assert 0.05 < first.count("random") / 300 < 0.15


def test_candidates_lie_where_the_good_ones_are() -> None:
    state = learner(Space(FLOATS), near(0.2, 3, 0, 0.0) + points(Space(FLOATS), 27, 5)[3:])
    first = np.array([proposals(state, 1, seed=seed)[0] for seed in range(40)])
    assert (np.abs(first - 0.2) < 0.15).all(axis=1).mean() > 0.9


def test_the_proposals_do_not_depend_on_the_order_of_arrival() -> None:
    space = Space(CONDITIONAL)
    individuals = points(space, 60)
    shuffled = [individuals[place] for place in np.random.default_rng(3).permutation(60)]
    running = [Known(genome=one.genome, identity=(1, n)) for n, one in enumerate(points(space, 5, 9))]
    there, back = View(running=running), View(running=running[::-1])
    one, other = learner(space, individuals), learner(space, shuffled)
    np.testing.assert_array_equal(proposals(one, view=there), proposals(other, view=back))


def test_asking_changes_nothing() -> None:
    space = Space(CONDITIONAL)
    asked, quiet = learner(space, points(space, 30)), learner(space, points(space, 30))
    proposals(asked, 50)
    np.testing.assert_array_equal(proposals(asked), proposals(quiet))


@pytest.mark.parametrize(("factor", "shift"), [(1e-9, 0.0), (1e6, -3e3)])
def test_the_scale_of_the_losses_does_not_matter(factor: float, shift: float) -> None:
    space = Space(CONDITIONAL)
    individuals = points(space, 40)
    scaled = at_losses(individuals, [factor * one.loss + shift for one in individuals if one.loss is not None])
    np.testing.assert_array_equal(proposals(learner(space, scaled)), proposals(learner(space, individuals)))


def test_a_point_next_to_a_running_one_is_less_promising() -> None:
    # Two good places of equal worth; in one of them, evaluations run.
    space = Space(FLOATS)
    good = [one for pair in zip(near(0.2, 2, 0, 0.0), near(0.8, 2, 10, 0.0), strict=True) for one in pair]
    state = learner(space, good + at_losses(points(space, 56, 5)[20:], [1.0] * 36))
    free = np.array([proposals(state, 1, seed=seed)[0] for seed in range(60)]).mean(axis=1) > 0.5
    running = View(running=[Known(genome=one.genome, identity=(1, n)) for n, one in enumerate(near(0.8, 12, 30, 0.0))])
    busy = np.array([proposals(state, 1, running, seed)[0] for seed in range(60)]).mean(axis=1) > 0.5
    assert 0.2 < free.mean() < 0.8
    assert busy.mean() < free.mean() / 2


def test_failed_ones_are_avoided_and_never_good() -> None:
    space = Space(FLOATS)
    failed = at_losses(near(0.8, 30, 50, 0.0), [None] * 30)
    good = near(0.2, 2, 0, 0.5) + near(0.8, 2, 10, 0.5)
    state = learner(space, good + failed)
    first = np.array([proposals(state, 1, seed=seed)[0] for seed in range(40)])
    assert (first.mean(axis=1) > 0.7).mean() < 0.1


def test_when_all_have_failed_points_are_drawn_at_random() -> None:
    space = Space(FLOATS)
    state = learner(space, at_losses(points(space, 20), [None] * 20))
    assert [one.bred_by for one in islice(state.propose(View(), np.random.default_rng(0)), 3)] == ["random"] * 3


def test_a_candidate_has_the_genes_of_its_branch_and_no_others() -> None:
    space = Space(CONDITIONAL)
    for genome in proposals(learner(space, points(space, 60)), 60):
        # What is missing would be drawn anew, and what is too much would be lost.
        params = space.complete(genome, np.random.default_rng(0))
        np.testing.assert_array_equal(np.isnan(space.encode(params)), np.isnan(genome))


def test_a_branch_is_chosen_by_its_own_genes_whatever_the_genes_below_it_are() -> None:
    # The ones of the good branch lie in one place, but there is no better or worse place within the other branch.
    space = Space({"a": ("l", "r"), **{f"x{n}": evo.Float(0.0, 1.0, when={"a": "l"}) for n in range(8)}})
    rng, individuals = np.random.default_rng(0), []
    for number in range(100):
        left = {"a": "l", **{f"x{n}": float(rng.normal(0.5, 0.01)) for n in range(8)}} if number % 2 else {"a": "r"}
        individuals.append(known(space, left, number, number // 2 / 100))
    state = learner(space, individuals)
    share = np.mean([proposals(state, 1, seed=seed)[0][0] == 0.0 for seed in range(200)])
    assert 0.2 < share < 0.8


class Spy:
    """Records the points that densities are made of: those of the good ones, then those of the bad ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.points: list[np.ndarray] = []

        def record(group: Any, genomes: Any, uniform: float) -> parzen.KernelDensity:
            self.points.append(genomes)
            return parzen.KernelDensity(group, genomes, uniform)

        monkeypatch.setattr(tpe, "KernelDensity", record)

    def sides(self, state: Learner, view: View | None = None) -> list[np.ndarray]:
        self.points.clear()
        proposals(state, 1, view)
        return self.points


def test_a_tenth_is_good_but_no_more_than_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    spy, space = Spy(monkeypatch), Space(FLOATS)
    for count, good in [(10, 1), (11, 2), (200, 20), (400, 25)]:
        assert [len(side) for side in spy.sides(learner(space, points(space, count)))] == [good, min(count - good, 200)]


def test_the_number_of_kernels_is_bounded_whatever_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    spy, space = Spy(monkeypatch), Space(FLOATS)
    running = View(running=[Known(genome=one.genome, identity=(1, n)) for n, one in enumerate(points(space, 300, 4))])
    assert [len(side) for side in spy.sides(learner(space, points(space, 1000)), running)] == [25, 400]


def test_of_many_bad_ones_the_best_half_is_used_and_others_that_lie_equally_far_apart() -> None:
    assert tpe._some(range(10), 2, 10) == list(range(10))
    assert tpe._some(range(101), 3, 8) == [0, 1, 2, 3, 27, 52, 76, 100]


@pytest.mark.parametrize(
    "limits",
    [
        {"a": ("l", "r")},
        {"a": (1, 2)},
        {"a": (0.0, 1.0)},
        {"a": (1, 10**6), "constant": 3},
        {"constant": 3, "b": evo.Choice("p", "q", when={"constant": 3})},
        {"a": evo.Int(1, 40, log=True), "b": evo.Float(0.0, 1.0, when={"a": (1, 2)})},
    ],
)
def test_degenerate_spaces_have_candidates(limits: dict[str, Any]) -> None:
    space = Space(limits)
    state = learner(space, points(space, 15))
    found = proposals(state, 60)
    assert found.shape == (60, len(space))
    for genome in found:
        space.encode(space.complete(genome, np.random.default_rng(0)))


def test_equal_losses_and_equal_points_do_no_harm() -> None:
    space = Space(FLOATS)
    same = [known(space, {"x": 0.5, "y": 0.5}, number, 1.0) for number in range(30)]
    assert np.isfinite(proposals(learner(space, same))).all()


def test_constants_are_checked() -> None:
    for wrong in (
        {"initial": 0},
        {"good": 1.5},
        {"anywhere": -0.1},
        {"uniform": 0.0},
        {"candidates": 0},
        {"kernels": 1},
    ):
        with pytest.raises(UserError, match=next(iter(wrong))):
            TPE(**wrong)  # type: ignore[arg-type]


def pruned_at(rung: int, individuals: Sequence[Known]) -> list[Known]:
    return [
        Known(genome=one.genome, identity=one.identity, loss=one.loss, status="pruned", rung=rung)
        for one in individuals
    ]


def same(rows: np.ndarray, individuals: Sequence[Known]) -> bool:
    """Whether points are those of some individuals, in any order."""
    return {row.tobytes() for row in rows} == {one.genome.tobytes() for one in individuals}


def test_individuals_are_compared_at_the_highest_rung_that_enough_have_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    # At rung 1 those at 0.8 are better, at rung 3 those at 0.2; four are enough for two genes, three are not.
    spy, space = Spy(monkeypatch), Space(FLOATS)
    low, high, others = near(0.2, 2, 0, 0.5), near(0.8, 2, 10, 0.5), pruned_at(1, points(space, 50, 5)[34:])
    first = {one.identity: 0.3 for one in low} | {one.identity: 0.2 for one in high} | {o.identity: 0.9 for o in others}
    third = {one.identity: 0.1 for one in low} | {one.identity: 0.15 for one in high}
    state = learner(space, pruned_at(3, low) + pruned_at(3, high) + others)
    good, bad = spy.sides(state, View(rungs={1: first, 3: third}))
    assert same(good, low[:1])
    assert same(bad, low[1:] + high + others)
    del third[high[0].identity]
    good, bad = spy.sides(state, View(rungs={1: first, 3: third}))
    assert same(good, high)
    assert same(bad, low + others)


def test_figures_of_running_ones_count_like_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    spy, space = Spy(monkeypatch), Space(FLOATS)
    individuals = pruned_at(1, points(space, 29, 5)[10:])
    reached, early = [Known(genome=one.genome, identity=(1, n)) for n, one in enumerate(near(0.9, 2, 0, 0.0))]
    figures = {one.identity: 0.5 + n / 100 for n, one in enumerate(individuals)}
    state = learner(space, individuals)
    good, bad = spy.sides(state, View(running=[reached, early], rungs={1: figures | {reached.identity: 0.1}}))
    assert same(good, [reached, individuals[0]])
    assert same(bad, [early, *individuals[1:]])
    good, _ = spy.sides(state, View(running=[reached, early], rungs={1: figures | {reached.identity: 0.9}}))
    assert same(good, individuals[:2])


def test_when_enough_are_complete_they_come_before_those_that_were_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    spy, space = Spy(monkeypatch), Space(FLOATS)
    complete = near(0.2, 4, 0, 0.5)
    others = pruned_at(3, at_losses(points(space, 50, 5)[34:], [0.1] * 16, "pruned"))
    # At the rung, all that were pruned were better.
    figures = {one.identity: 0.9 for one in complete} | {one.identity: 0.1 for one in others}
    good, bad = spy.sides(learner(space, complete + others), View(rungs={3: figures}))
    assert same(good, complete[:1])
    assert same(bad, complete[1:] + others)


def test_one_that_failed_after_a_rung_is_not_good_there(monkeypatch: pytest.MonkeyPatch) -> None:
    spy, space = Spy(monkeypatch), Space(FLOATS)
    failed, others = at_losses(near(0.8, 3, 0, 0.1), [None] * 3), pruned_at(1, points(space, 30, 5)[10:])
    figures = {one.identity: 0.1 for one in failed} | {one.identity: 0.5 + n / 50 for n, one in enumerate(others)}
    good, bad = spy.sides(learner(space, failed + others), View(rungs={1: figures}))
    assert same(good, others[:3])  # A tenth of 23.
    assert same(bad, failed + others[3:])


def test_a_rung_that_hardly_any_have_reached_does_not_count_while_more_are_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spy, space = Spy(monkeypatch), Space(FLOATS)
    complete, failed = near(0.2, 3, 0, 0.5), at_losses(near(0.8, 8, 20, 0.1), [None] * 8)
    good, bad = spy.sides(learner(space, complete + failed), View(rungs={1: {complete[2].identity: 0.1}}))
    assert same(good, complete[:1])
    assert same(bad, complete[1:] + failed)
