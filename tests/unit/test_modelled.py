"""The search with models: what it reaches, and what it depends on."""

import itertools

import numpy as np
import pytest

from evo.algorithms.base import Setup, View
from evo.algorithms.modelled import ModelledSearch
from evo.algorithms.pair import PairSearch
from evo.errors import UserError
from evo.population.individual import Known, by_loss
from evo.space.parameters import Float, Int
from evo.space.space import Space


class Search:
    """One learner, told all that it proposes; `workers` evaluations are in flight at any time."""

    def __init__(self, limits, loss, algorithm=None, workers=1, seed=0):
        self.space, self.loss, self.workers = Space(limits), loss, workers
        self.algorithm = algorithm or ModelledSearch()
        self.learner = self.algorithm.start(Setup(space=self.space, workers=workers, entropy=(seed,)))
        self.rng, self.active, self.running, self.told = np.random.default_rng(seed), [], [], []
        self.tried = set()

    def view(self):
        return View(active=self.active, running=self.running, used=len(self.told) + len(self.running))

    def ask(self):
        for bred in itertools.islice(self.learner.propose(self.view(), self.rng), 50):
            genome = self.space.encode(self.space.complete(bred.genome, self.rng))
            if genome.tobytes() not in self.tried:
                break
        self.tried.add(genome.tobytes())
        number = len(self.told) + len(self.running)
        self.running.append(
            Known(genome=genome, identity=(0, number), strategy=bred.strategy, bred_by=bred.bred_by or "modelled")
        )

    def run(self, evaluations):
        while len(self.told) < evaluations:
            while len(self.running) < self.workers:
                self.ask()
            started = self.running.pop(0)
            loss = self.loss(self.space.decode(started.genome))
            ended = Known(
                genome=started.genome,
                identity=started.identity,
                strategy=started.strategy,
                bred_by=started.bred_by,
                loss=loss,
                status="completed" if loss is not None else "failed",
            )
            if loss is not None:
                self.active = sorted([*self.active, ended], key=by_loss)
            self.told.append(ended)
            self.learner.learn(ended, loss)
        return self

    @property
    def best(self):
        return self.active[0].loss


def floats(dimension):
    return {f"x{index}": (-5.0, 5.0) for index in range(dimension)}


def sphere(params):
    return sum((value - 0.7) ** 2 for value in params.values())


def rosenbrock(params):
    x = np.array([*params.values()])
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_the_sphere_is_solved_to_1e_8_in_300_evaluations(dimension):
    assert Search(floats(dimension), sphere).run(300).best < 1e-8


def test_a_curved_valley_is_followed_to_its_end():
    assert Search(floats(3), rosenbrock).run(600).best < 1e-8


def test_eight_workers_solve_the_sphere_too():
    assert Search(floats(4), sphere, workers=8).run(400).best < 1e-8


def test_losses_of_another_scale_and_offset_lead_to_the_same_search():
    # A power of two and an offset that is one, so that rounding errors do not differ much.
    plain = Search(floats(3), lambda params: rosenbrock(params) + 1).run(60)
    scaled = Search(floats(3), lambda params: 1024 * (rosenbrock(params) + 1)).run(60)
    moved = Search(floats(3), lambda params: rosenbrock(params) + 3).run(60)
    for other, tolerance in ((scaled, 1e-6), (moved, 1e-3)):
        for first, second in zip(plain.told, other.told, strict=True):
            np.testing.assert_allclose(first.genome, second.genome, atol=tolerance)


def test_learners_that_were_told_the_same_propose_the_same():
    search = Search(floats(4), rosenbrock, workers=4).run(120)
    other = ModelledSearch().start(Setup(space=search.space, workers=4, entropy=(0,)))
    for known in search.told:
        other.learn(known, known.loss)
    for seed in range(10):
        first, second = (
            [bred.genome for bred in itertools.islice(one.propose(search.view(), np.random.default_rng(seed)), 5)]
            for one in (search.learner, other)
        )
        np.testing.assert_array_equal(first, second)


def test_what_was_only_proposed_changes_nothing():
    search = Search(floats(3), sphere).run(40)
    other = ModelledSearch().start(Setup(space=search.space, entropy=(0,)))
    for known in search.told:
        list(itertools.islice(other.propose(View(), np.random.default_rng(1)), 30))
        other.learn(known, known.loss)
    bred = [next(one.propose(View(), np.random.default_rng(3))) for one in (search.learner, other)]
    np.testing.assert_array_equal(bred[0].genome, bred[1].genome)


MIXED = {
    "kind": ("a", "b", "c"),
    "n": (1, 9),
    "x": (0.0, 1.0),
    "rate": Float(1e-5, 1.0, log=True),
    "width": Int(1, 512, log=True),
    "deep": Float(0.0, 1.0, when={"kind": "c"}),
    "size": (8, 16, 64),
}


def mixed(params):
    penalty = {"a": 2.0, "b": 1.0, "c": 0.0}[params["kind"]]
    return penalty + (params["n"] - 4) ** 2 + (params["x"] - 0.3) ** 2 + abs(params.get("deep", 0.5) - 0.9)


def test_categories_conditions_and_grids_are_searched_together():
    search = Search(MIXED, mixed).run(400)
    assert search.best < 1e-2
    assert search.space.decode(search.active[0].genome)["kind"] == "c"


@pytest.mark.parametrize(
    "limits",
    [
        {"x": (0.0, 1.0)},
        {"n": (1, 2)},
        {"kind": ("a", "b")},
        {"kind": ("a", "b"), "other": ("c", "d", "e")},
        {"kind": ("a", "b"), "x": Float(0.0, 1.0, when={"kind": "b"})},
    ],
    ids=str,
)
def test_small_spaces_are_no_error(limits):
    search = Search(limits, lambda params: len(repr(params))).run(40)
    assert len(search.told) == 40


@pytest.mark.parametrize("workers", [1, 8])
def test_failures_plateaus_and_noise_are_no_error(workers):
    rng = np.random.default_rng(0)

    def fails(params):
        return None if params["x1"] > 0 else sphere(params)

    assert Search(floats(3), fails, workers=workers).run(200).best < 1.0
    assert len(Search(floats(3), lambda params: None, workers=workers).run(50).told) == 50
    assert len(Search(floats(3), lambda params: 1.0, workers=workers).run(150).told) == 150
    assert Search(floats(3), lambda p: sphere(p) + 0.1 * rng.normal(), workers=workers).run(300).best < 0.5
    assert Search(floats(3), lambda p: float(np.floor(sphere(p))), workers=workers).run(200).best == 0.0


def test_huge_and_infinite_losses_are_no_error():
    assert Search(floats(2), lambda p: 1e300 * sphere(p)).run(100).best < 1e299
    assert Search(floats(2), lambda p: np.inf if p["x0"] < 0 else sphere(p)).run(100).best < 1.0


def test_proposals_say_which_operator_made_them():
    search = Search(floats(3), rosenbrock).run(200)
    names = {known.bred_by for known in search.told}
    assert names == {"random", "offspring", "minimiser", "pair"}


def test_workers_follow_the_others_to_a_later_run():
    setup = Setup(space=Space(floats(2)))
    learner = ModelledSearch().start(setup)
    for number in range(6):
        learner.learn(Known(genome=np.full(2, 0.1 * number), identity=(0, number), loss=float(number)), float(number))
    assert learner.run.number == 1
    far = Known(genome=np.full(2, 0.9), identity=(1, 0), strategy={"run": 3}, bred_by="offspring", loss=9.0)
    learner.learn(far, 9.0)
    assert learner.run.number == 3


def test_pairs_cross_the_two_best_and_say_that_they_are_the_parents():
    space = Space(MIXED)
    rng = np.random.default_rng(0)
    active = [Known(genome=space.sample(rng), identity=(0, n), loss=float(n), status="completed") for n in range(5)]
    learner = PairSearch(anywhere=0).start(Setup(space=space))
    bred = list(itertools.islice(learner.propose(View(active=active), rng), 50))
    assert {one.parents for one in bred} == {((0, 0), (0, 1)), ((0, 1), (0, 0))}
    assert all(space.decode(space.encode(space.complete(one.genome, rng))) for one in bred)


def test_shares_beyond_one_are_refused():
    with pytest.raises(UserError, match="minimiser"):
        ModelledSearch(minimiser=1.5)
    with pytest.raises(UserError, match=r"minimiser \+ pair"):
        ModelledSearch(minimiser=0.6, pair=0.6)
