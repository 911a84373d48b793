"""Particle swarms: their equations, worked out by hand, and their particles on several workers."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest

from evo.algorithms.base import Setup, View
from evo.algorithms.pso import ParticleSwarm, _State
from evo.errors import UserError
from evo.population.individual import Known
from evo.space.limits import Choice, Float
from evo.space.space import Space
from evo.testing.searches import VirtualSearch, completed, distance_to_a_point

PLANE = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})
VARIANTS = ["basic", "clamped", "constricted", "canonical"]


class Always(np.random.Generator):
    """A generator whose numbers are all one number."""

    def __init__(self, number: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.number = number

    def random(self, size: Any = None, **_: Any) -> Any:
        return self.number if size is None else np.full(size, self.number)


def started(space: Space = PLANE, workers: int = 1, **constants: Any) -> _State:
    state = ParticleSwarm(**constants).start(Setup(space=space, workers=workers))
    assert isinstance(state, _State)
    return state


def told(state: _State, number: int, genome: list[float], loss: float | None, **move: Any) -> None:
    status: Any = "failed" if loss is None else "completed"
    strategy = {"pso": move} if move else {}
    state.learn(Known(genome=np.array(genome), identity=(0, number), loss=loss, status=status, strategy=strategy), loss)


def only_particle(state: _State) -> None:
    """One particle at (0.5, 0.5), whose best place is (0.4, 0.5); the best place of all is (0.5, 0.8)."""
    told(state, 0, [0.4, 0.5], 1.0, velocity=[0.0, 0.0])
    told(state, 1, [0.5, 0.5], 2.0, velocity=[0.1, -0.05], after=[0, 0])
    state.size = 1
    told(state, 2, [0.5, 0.8], 0.5)


def test_the_constriction_factor_is_that_of_clerc_and_kennedy() -> None:
    assert ParticleSwarm().constriction == pytest.approx(0.72984, abs=1e-5)
    assert ParticleSwarm(cognition=2.8, sociality=1.3).constriction == pytest.approx(0.72984, abs=1e-5)
    assert ParticleSwarm("basic").constriction == 1.0


@pytest.mark.parametrize(
    ("constants", "velocity"),
    [
        ({"variant": "basic", "inertia": 0.6}, [0.06 - 0.0748090, -0.03 + 0.2244270]),
        ({"variant": "clamped", "inertia": 0.6, "fastest": 0.05}, [0.06 - 0.0748090, 0.05]),
        ({"variant": "constricted"}, [0.7298438 * (0.1 - 0.1025), 0.7298438 * (-0.05 + 0.3075)]),
        ({"variant": "canonical", "fastest": 0.15}, [0.7298438 * (0.1 - 0.1025), 0.15]),
    ],
    ids=VARIANTS,
)
def test_a_particle_keeps_velocity_and_is_drawn_to_both_best_places(
    constants: dict[str, Any], velocity: list[float]
) -> None:
    state = started(**constants)
    only_particle(state)
    bred = next(state.propose(View(), Always(0.5)))  # So that c_1 r_1 and c_2 r_2 are half of c_1 and c_2.
    assert bred.strategy["pso"]["after"] == [0, 1]
    assert bred.strategy["pso"]["velocity"] == pytest.approx(velocity, abs=1e-6)
    assert bred.genome == pytest.approx(np.array([0.5, 0.5]) + velocity, abs=1e-6)
    assert bred.parents == ((0, 1), (0, 2))


def test_a_particle_that_would_leave_the_bounds_stops_there_and_turns_round() -> None:
    state = started(particles=2)
    told(state, 0, [0.9, 0.5], 1.0, velocity=[0.8, 0.0])
    told(state, 1, [0.9, 0.5], 1.0, velocity=[0.8, 0.0])
    bred = next(state.propose(View(), np.random.default_rng(0)))
    assert bred.genome.tolist() == [1.0, 0.5]
    assert bred.strategy["pso"]["velocity"] == pytest.approx([-0.5 * 0.2, 0.0], abs=1e-6)


def test_a_particle_remembers_its_best_place_and_flies_on_from_its_latest() -> None:
    state = started(particles=3)
    told(state, 0, [0.1, 0.1], 3.0, velocity=[0.0, 0.0])
    told(state, 1, [0.2, 0.2], 1.0, velocity=[0.1, 0.1], after=[0, 0])
    told(state, 2, [0.3, 0.3], 2.0, velocity=[0.1, 0.1], after=[0, 1])
    (particle,) = state.particles
    assert (particle.identity, particle.moves, particle.loss) == ((0, 2), 2, 1.0)
    assert particle.position.tolist() == [0.3, 0.3]
    assert particle.best.tolist() == [0.2, 0.2]


def test_a_move_that_failed_turns_the_particle_round() -> None:
    state = started()
    told(state, 0, [0.1, 0.1], 3.0, velocity=[0.0, 0.0])
    told(state, 1, [0.2, 0.2], None, velocity=[0.2, 0.1], after=[0, 0])
    (particle,) = state.particles
    assert particle.identity == (0, 0)
    assert particle.velocity.tolist() == [-0.1, -0.05]


def test_what_others_have_found_draws_the_swarm_once_it_is_complete() -> None:
    state = started(particles=2)
    for number in range(2):
        told(state, number, [0.1 * number, 0.1], 3.0 + number, velocity=[0.0, 0.0])
    told(state, 7, [0.9, 0.9], 1.0)
    assert len(state.particles) == 2
    bred = next(state.propose(View(), Always(0.5)))
    assert bred.parents is not None
    assert (0, 7) in bred.parents
    assert bred.genome[0] == pytest.approx(0.2)  # As fast as it may be.


def test_a_particle_is_in_flight_once_and_the_one_that_has_moved_least_is_next() -> None:
    state = started(particles=3)
    for number in range(3):
        told(state, number, [0.1 * number, 0.1], 3.0 + number, velocity=[0.0, 0.0])
    running = list[Known]()
    for number in range(3):
        bred = next(state.propose(View(running=running), np.random.default_rng(number)))
        running.append(Known(genome=bred.genome, identity=(1, number), strategy=bred.strategy))
    assert {tuple(one.strategy["pso"]["after"]) for one in running} == {(0, 0), (0, 1), (0, 2)}


def test_the_first_swarm_is_drawn_once_by_all_workers_together_and_is_as_large_as_their_number() -> None:
    state = started(workers=24)
    running = [Known(genome=np.zeros(2), identity=(0, n), strategy={"pso": {"velocity": [0, 0]}}) for n in range(24)]
    told(state, 30, [0.1, 0.1], 1.0, velocity=[0.0, 0.0])
    assert "after" not in next(state.propose(View(running=running[:22]), np.random.default_rng(0))).strategy["pso"]
    assert "after" in next(state.propose(View(running=running[:23]), np.random.default_rng(0))).strategy["pso"]


def test_categories_are_those_of_the_best_places_or_rarely_any() -> None:
    space = Space({"x": (0.0, 1.0), "kind": Choice("a", "b", "c", "d")})
    state = started(space, particles=2)
    told(state, 0, [0.4, 0.0], 2.0, velocity=[0.0, 0.0])
    told(state, 1, [0.4, 1.0], 1.0, velocity=[0.0, 0.0])
    bred = [one for one in islice(state.propose(View(), np.random.default_rng(0)), 4000) if one.parents[0] == (0, 0)]
    kinds = Counter(float(one.genome[1]) for one in bred)
    assert kinds[2.0] + kinds[3.0] == pytest.approx(0.05 * len(bred), rel=0.3)
    # Its own place and its best have category 0, with weights 0.73 and 1.025, the best of all has 1, with 1.025.
    assert kinds[0.0] == pytest.approx((0.9 * 0.63 + 0.025) * len(bred), rel=0.1)


def test_a_gene_that_the_particle_does_not_have_is_that_of_the_best_place() -> None:
    space = Space({"kind": Choice("a", "b"), "x": Float(0.0, 1.0, when={"kind": "b"})})
    state = started(space, particles=2)
    told(state, 0, [0.0, np.nan], 2.0, velocity=[0.0, 0.0])
    told(state, 1, [1.0, 0.7], 1.0, velocity=[0.0, 0.0])
    bred = [one for one in islice(state.propose(View(), np.random.default_rng(0)), 10) if one.parents[0] == (0, 0)]
    assert {float(one.genome[1]) for one in bred} == {0.7}


def test_a_slow_particle_reaches_the_next_value_of_a_grid_after_some_moves() -> None:
    space = Space({"x": (0.0, 1.0), "n": (1, 4)})  # The values of n are at 0.125, 0.375, 0.625 and 0.875.
    state = started(space)
    position = np.array([0.5, 0.125])
    told(state, 0, position.tolist(), 1.0, velocity=[0.0, 0.1], between=[0.2])
    state.size = 1
    bred = next(state.propose(View(), Always(0.5)))
    assert bred.strategy["pso"]["between"] == pytest.approx([0.2 + 0.07298438], abs=1e-6)
    assert space.complete(bred.genome, np.random.default_rng(0))["n"] == 2


def test_a_particle_that_was_moved_by_a_repair_is_where_it_was_moved_to() -> None:
    state = started(Space({"x": (0.0, 1.0), "n": (1, 4)}))
    told(state, 0, [0.5, 0.625], 1.0, velocity=[0.0, 0.1], between=[0.2])
    assert state.particles[0].position.tolist() == [0.5, 0.625]


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_converges_on_a_sphere(variant: str, workers: int) -> None:
    space = Space({f"x{place}": Float(-5.0, 5.0) for place in range(3)})
    loss = distance_to_a_point(space, seed=1)
    search = VirtualSearch(
        ParticleSwarm(variant), space, lambda known: completed(known, loss(known.genome)), workers=workers
    )
    search.run(1000)
    best = search.view.active[0].loss
    assert best is not None
    assert best < 1e-7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"variant": "canonic"}, "no particle swarm is called 'canonic'; did you mean canonical?"),
        ({"variant": "wasp"}, "no particle swarm is called 'wasp': give basic, clamped, constricted, canonical"),
        ({"particles": 1}, "particles is 1: give a whole number of at least 2"),
        ({"cognition": 1.0}, "cognition and sociality are 1 and 2.05: a constricted swarm needs more than 4 in sum"),
        ({"sociality": -1}, "sociality is -1: give a number above 0"),
        ({"inertia": 2}, "inertia is 2: a probability"),
    ],
)
def test_a_wrong_constant_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ParticleSwarm(**wrong)
