"""The simplex method: its published steps with one worker, and what several workers do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize, rosen

from evo.algorithms.base import Setup, View
from evo.algorithms.nelder_mead import NelderMead
from evo.algorithms.simplex import Simplex, Steps, Vertex
from evo.errors import UserError
from evo.population.individual import Known
from evo.space.limits import Choice, Float
from evo.space.space import Genome, Space
from evo.testing.searches import VirtualSearch, completed

# A triangle whose worst vertex is (1, 0), and the middle of whose other side is (0, 0.5).
TRIANGLE = [((0.0, 0.0), 1.0), ((0.0, 1.0), 2.0), ((1.0, 0.0), 3.0)]


def vertex(position: tuple[float, ...], loss: float, number: int = 0) -> Vertex:
    return Vertex(np.array(position), loss, (0, number))


def triangle(count: int = 1) -> Simplex:
    return Simplex([vertex(*one, number) for number, one in enumerate(TRIANGLE)], Steps(), count)


def evaluated(simplex: Simplex, losses: Mapping[str, float]) -> dict[str, Vertex]:
    return {role: Vertex(simplex.point(role), loss, (1, number)) for number, (role, loss) in enumerate(losses.items())}


def positions(simplex: Simplex) -> list[list[float]]:
    return [one.position.tolist() for one in simplex.vertices]


@pytest.mark.parametrize(
    ("losses", "added"),
    [
        ({"reflect 0": 1.5}, [-1.0, 1.0]),  # Between the best and the second worst.
        ({"reflect 0": 0.5, "expand 0": 0.4}, [-2.0, 1.5]),
        ({"reflect 0": 0.5, "expand 0": 0.6}, [-1.0, 1.0]),  # The expansion is worse than the reflection.
        ({"reflect 0": 2.5, "outside 0": 2.4}, [-0.5, 0.75]),
        ({"reflect 0": 3.5, "inside 0": 2.9}, [0.5, 0.25]),
    ],
    ids=["reflection", "expansion", "failed expansion", "outside contraction", "inside contraction"],
)
def test_the_worst_vertex_is_replaced_as_published(losses: dict[str, float], added: list[float]) -> None:
    simplex = triangle()
    known: dict[str, float] = {}
    for role, loss in losses.items():
        assert simplex.needed(evaluated(simplex, known)) == [role]
        known[role] = loss
    results = evaluated(simplex, known)
    assert simplex.needed(results) == []
    after = simplex.after(results)
    assert sorted(positions(after)) == sorted([[0.0, 0.0], [0.0, 1.0], added])
    assert [one.loss for one in after.vertices] == sorted(one.loss for one in after.vertices)


@pytest.mark.parametrize("contraction", [{"reflect 0": 2.5, "outside 0": 2.6}, {"reflect 0": 3.5, "inside 0": 3.0}])
def test_a_contraction_that_is_no_better_halves_all_edges(contraction: dict[str, float]) -> None:
    simplex = triangle()
    results = evaluated(simplex, contraction)
    assert simplex.needed(results) == ["shrink 1", "shrink 2"]
    results |= evaluated(simplex, {"shrink 1": 5.0, "shrink 2": 4.0})
    after = simplex.after(results)
    assert positions(after) == [[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]
    assert abs(np.linalg.det(after.edges)) == pytest.approx(abs(np.linalg.det(simplex.edges)) / 4)


def test_two_vertices_at_once_are_reflected_through_the_best_point_alone() -> None:
    simplex = triangle(count=2)
    assert simplex.needed({}) == ["reflect 0", "reflect 1"]
    results = evaluated(simplex, {"reflect 0": 1.5, "reflect 1": 9.0, "inside 1": 9.0})
    # The first is better than the next vertex, the second has found nothing, so that its vertex stays.
    assert positions(simplex.after(results)) == [[0.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]


def test_several_vertices_shrink_only_when_none_has_found_anything() -> None:
    simplex = triangle(count=2)
    failed = evaluated(simplex, {"reflect 0": 9.0, "inside 0": 9.0, "reflect 1": 9.0})
    assert simplex.needed(failed) == ["inside 1"]
    assert simplex.needed(failed | evaluated(simplex, {"inside 1": 9.0})) == ["shrink 1", "shrink 2"]


def path_of(loss: Callable[[Genome], float], size: int, evaluations: int) -> list[Genome]:
    space = Space({f"x{place}": (0.0, 1.0) for place in range(size)})
    search = VirtualSearch(
        NelderMead(edge=0.1, least=1e-9), space, lambda known: completed(known, loss(known.genome)), seed=size
    )
    search.run(evaluations)
    return [known.genome for known, _ in search.told]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["quadratic", "valley", "noisy"])
def test_one_worker_tries_the_same_points_as_scipy(name: str, size: int) -> None:
    count = 20 if size == 1 else 70  # It has not converged by then.

    def loss(genome: Genome) -> float:
        x = (genome - 0.5) * 4 + 0.3
        value = (
            float(rosen(x)) if name == "valley" and size > 1 else float(((x - 0.7) ** 2 * np.arange(1, size + 1)).sum())
        )
        # Noise makes it shrink; it is the same at a point that is rounded differently.
        return value + (math.sin(1e3 * round(float(x.sum()), 6)) if name == "noisy" else 0.0)

    ours, theirs = path_of(loss, size, count), list[Genome]()

    def noted(x: Genome) -> float:
        theirs.append(x.copy())
        return loss(x)

    options = {"initial_simplex": np.array(ours[: size + 1]), "maxfev": 3 * count, "xatol": 0.0, "fatol": 0.0}
    minimize(noted, ours[0], method="Nelder-Mead", bounds=[(0.0, 1.0)] * size, options=options)
    # It comes back to some points, which evo does not evaluate again.
    fresh = [x for place, x in enumerate(theirs) if all(np.abs(x - other).max() > 1e-9 for other in theirs[:place])]
    assert np.allclose(np.array(ours), np.array(fresh[:count]), rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_it_converges_in_a_narrow_valley(workers: int) -> None:
    space = Space({"x": (-2.0, 2.0), "y": (-2.0, 2.0)})
    search = VirtualSearch(
        NelderMead(), space, lambda known: completed(known, float(rosen(known.genome * 4 - 2))), workers=workers, seed=1
    )
    search.run({1: 250, 2: 300, 8: 800}[workers])
    best = search.view.active[0].loss
    assert best is not None
    assert best < 1e-6


def test_workers_have_different_roles_and_then_points_around() -> None:
    learner = NelderMead().start(Setup(space=Space({"x": (0.0, 1.0), "y": (0.0, 1.0)}), workers=12))
    running = list[Known]()

    def proposed() -> str:
        bred = next(learner.propose(View(running=running), np.random.default_rng(len(running))))
        running.append(Known(genome=bred.genome, identity=(0, len(running)), strategy=bred.strategy))
        return str(bred.strategy["nelder_mead"]["role"])

    assert [proposed() for _ in range(4)] == ["vertex 0", "vertex 1", "vertex 2", "around"]
    for number, one in enumerate(running):
        learner.learn(one, float(number))
    running.clear()
    roles = [proposed() for _ in range(6)]
    assert roles == ["reflect 0", "expand 0", "inside 0", "outside 0", "around", "around"]


@pytest.mark.parametrize(
    ("losses", "outcome"),
    [({"reflect 0": 1.5}, 0), ({"reflect 0": 0.5, "expand 0": 0.4}, 1), ({"reflect 0": 3.5, "inside 0": 1.9}, 2)],
)
def test_the_points_of_the_simplex_that_follows_are_known_before_its_losses_are(
    losses: dict[str, float], outcome: int
) -> None:
    # Far from the bounds, where nothing is clipped.
    simplex = Simplex(
        [vertex((0.4 + x / 10, 0.4 + y / 10), loss, n) for n, ((x, y), loss) in enumerate(TRIANGLE)], Steps()
    )
    after = simplex.after(evaluated(simplex, losses))
    for role in ("reflect 0", "expand 0", "inside 0"):
        assert simplex.outcomes({})[outcome].point(role) == pytest.approx(after.point(role))
    known = evaluated(simplex, dict(list(losses.items())[:1]))
    if simplex.needed(known):
        assert len(simplex.outcomes(known)) == 2


def test_a_point_that_was_evaluated_ahead_is_not_evaluated_again() -> None:
    space = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    search = VirtualSearch(
        NelderMead(edge=0.1),
        space,
        lambda known: completed(known, float(((known.genome - 0.45) ** 2).sum())),
        workers=8,
    )
    seen = list[int]()
    for _ in range(120):
        search.run(1)
        seen.append(search.learner.tag)  # type: ignore[attr-defined]
    said = [one.strategy["nelder_mead"] for one, _ in search.told if one.strategy]
    played = {each["simplex"] for each in said if each["role"] == "reflect 0"}
    begun = {each["simplex"] for each in said if each["role"].startswith("vertex")}
    # Some simplexes had no reflection of their own, because its point was known before.
    assert set(seen[:-20]) - played - begun


@pytest.mark.parametrize("loss", [lambda genome: 1.0, lambda genome: float(genome[0])], ids=["flat", "one direction"])
def test_a_simplex_that_cannot_go_on_begins_anew(loss: Callable[[Genome], float]) -> None:
    points = path_of(loss, 2, 120)
    spread = np.array(points[-60:]).std(axis=0)
    assert spread.min() > 1e-3


def test_it_begins_at_a_point_of_the_user() -> None:
    space = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    learner = NelderMead(edge=0.1).start(Setup(space=space))
    learner.learn(Known(genome=np.array([0.25, 0.95]), identity=(0, 0), loss=1.0, status="completed"), 1.0)
    bred = next(learner.propose(View(), np.random.default_rng(0)))
    assert bred.genome == pytest.approx([0.35, 0.95])
    assert bred.strategy["nelder_mead"]["role"] == "vertex 1"


def test_what_others_have_found_does_not_change_a_simplex() -> None:
    space = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    search = VirtualSearch(NelderMead(), space, lambda known: completed(known, float(known.genome.sum())))
    search.run(5)
    before = next(search.candidates())
    search.learner.learn(Known(genome=np.array([0.5, 0.5]), identity=(7, 7), loss=-9.0, status="completed"), -9.0)
    assert next(search.candidates()).strategy == before.strategy
    assert next(search.candidates()).genome.tobytes() == before.genome.tobytes()


def test_a_better_category_takes_the_simplex_along() -> None:
    space = Space({"x": (0.0, 1.0), "kind": Choice("a", "b", "c"), "y": Float(0.0, 1.0, when={"kind": "c"})})

    def loss(genome: Genome) -> float:
        return float((genome[0] - 0.3) ** 2) + (float((genome[2] - 0.6) ** 2) if genome[1] == 2.0 else 1.0)

    search = VirtualSearch(NelderMead(), space, lambda known: completed(known, loss(known.genome)))
    search.run(150)
    best = search.view.active[0]
    assert best.genome[1] == 2.0
    assert best.loss is not None
    assert best.loss < 1e-6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vertices": 0}, "vertices is 0: give a whole number of at least 1"),
        ({"edge": 0}, "edge is 0: give a number between 0 and 1, these excluded"),
        ({"expansion": 1.0}, "expansion is 1.0: give a number between 1 and inf"),
        ({"reflection": 3.0}, "expansion is 2.0: give a number above reflection, 3.0"),
        ({"shrinkage": True}, "shrinkage is True"),
    ],
)
def test_a_wrong_constant_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NelderMead(**wrong)
