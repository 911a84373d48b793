"""Particle swarms: each particle flies on, drawn to the best places that it and its swarm have found.

J. Kennedy and R. Eberhart, "Particle swarm optimization", 1995, doi:10.1109/ICNN.1995.488968; inertia and limits of
velocities: Y. Shi and R. Eberhart, "A modified particle swarm optimizer", 1998, doi:10.1109/ICEC.1998.699146;
constriction: M. Clerc and J. Kennedy, "The particle swarm: explosion, stability, and convergence in a multidimensional
complex space", 2002, doi:10.1109/4235.985692; both together, the canonical swarm: R. Eberhart and Y. Shi, "Comparing
inertia weights and constriction factors", 2000, doi:10.1109/CEC.2000.870279; bounds: M. Clerc, "Standard particle swarm
optimisation", 2012, https://hal.science/hal-00764996.

There are no iterations. A particle is known by the individual that it was last; its velocity, and whose successor an
individual is, travel in the strategy, so that every worker computes the same swarm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.checks import check_count, check_probability, did_you_mean
from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.space.space import Genome

VARIANTS = ("basic", "clamped", "constricted", "canonical")
_PARTICLES = 5  # 10 in "Standard PSO 2006", which is slower in searches of hundreds of evaluations.
_REBOUND = -0.5  # What is left of a velocity that would lead out of bounds.


@final
@dataclass(frozen=True)
class ParticleSwarm(Algorithm):
    """A particle swarm, for numbers; categories are taken from the best places, or rarely drawn.

    Args:
        variant: "basic" has inertia, "clamped" also limits velocities, "constricted" has a constriction factor instead,
            and "canonical" has that factor and limits velocities too.
        particles: The number of particles; None is 5 + 2 * sqrt(genes), or the number of workers if that is larger.
        inertia: The share of its velocity that a particle keeps; only for "basic" and "clamped".
        cognition: The strength with which it is drawn to the best place that it has found itself. None is 2.05 with
            constriction, and 1.49618 without.
        sociality: The strength with which it is drawn to the best place that all have found; None as for `cognition`.
        fastest: The highest velocity, as a share of each range, only for "clamped" and "canonical". The canonical swarm
            as published has whole ranges, 1.0, which is slower in searches of hundreds of evaluations.
        anew: The probability that a category is drawn at random.
    """

    variant: str = "canonical"
    particles: int | None = None
    inertia: float = 0.7298  # w
    cognition: float | None = None  # c_1, or phi_1
    sociality: float | None = None  # c_2, or phi_2
    fastest: float = 0.2  # V_max
    anew: float = 0.1

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            meant = did_you_mean(self.variant, VARIANTS) or f": give {', '.join(VARIANTS)}"
            raise UserError(f"no particle swarm is called {self.variant!r}{meant}")
        if self.particles is not None:
            check_count("particles", self.particles, least=2)
        check_probability("inertia", self.inertia)
        check_probability("anew", self.anew)
        for name in ("cognition", "sociality", "fastest"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and 0 < value <= 10):
                raise UserError(f"{name} is {value!r}: give a number above 0, and not above 10")
        if self._is_constricted and sum(self.pulls) <= 4:
            raise UserError(
                f"cognition and sociality are {self.pulls[0]:g} and {self.pulls[1]:g}: a constricted swarm needs more "
                "than 4 in sum, such as 2.05 for each"
            )

    @property
    def _is_constricted(self) -> bool:
        return self.variant in ("constricted", "canonical")

    @property
    def pulls(self) -> tuple[float, float]:
        """How strongly a particle is drawn to its own best place, and to that of all."""
        usual = 2.05 if self._is_constricted else 1.49618
        own, common = self.cognition, self.sociality
        return usual if own is None else own, usual if common is None else common

    @property
    def constriction(self) -> float:
        """The factor of whole velocities (Clerc and Kennedy's chi, with kappa = 1); 1 without constriction."""
        if not self._is_constricted:
            return 1.0
        phi = sum(self.pulls)
        return 2.0 / abs(2.0 - phi - math.sqrt(phi * phi - 4.0 * phi))  # chi

    @property
    def limit(self) -> float:
        """The highest velocity, as a share of each range; infinite without limits."""
        return self.fastest if self.variant in ("clamped", "canonical") else math.inf

    @property
    def bred_by(self) -> str:
        return "pso"

    def start(self, setup: Setup) -> Learner:
        return _State(self, setup)


@dataclass
class _Particle:
    """A particle.

    Args:
        identity: The individual that it was last.
        position: Its genome.
        velocity: How far it has moved last, by gene; 0 for categories.
        best: The genome of the best individual that it was.
        loss: The loss of that.
        moves: The number of its moves so far.
    """

    identity: Identity
    position: Genome
    velocity: Genome
    best: Genome
    loss: float
    moves: int = 0


class _State(Learner):
    def __init__(self, algorithm: ParticleSwarm, setup: Setup) -> None:
        self.algorithm, self.space = algorithm, setup.space
        usual = max(_PARTICLES + round(2 * math.sqrt(len(setup.space))), setup.workers)
        self.size = algorithm.particles or usual
        self.particles: list[_Particle] = []
        self.best: tuple[float, Identity, Genome] | None = None  # Of everybody: g
        self.on_grids = setup.space.ordered & ~np.isinf(setup.space.cells)

    def learn(self, individual: Known, loss: float | None) -> None:
        move = _move_of(individual)
        if len(move.get("velocity", ())) != len(self.space):  # It is of somebody else, or of a space with other genes.
            move = {}
        particle = next((one for one in self.particles if one.identity == move.get("after")), None)
        position = self._position(individual.genome, move)
        if loss is not None and (self.best is None or (loss, individual.identity) < self.best[:2]):
            self.best = (loss, individual.identity, position)
        if particle is not None:
            particle.moves += 1
            if loss is None:  # It stays where it was, and is drawn back from there.
                particle.velocity = _REBOUND * np.array(move["velocity"])
                return
            particle.identity, particle.position = individual.identity, position
            particle.velocity = np.array(move["velocity"])
            if loss <= particle.loss:
                particle.best, particle.loss = position, loss
        elif loss is not None and len(self.particles) < self.size:
            # Any individual may begin as a particle while the swarm is not complete; that of somebody else is at rest.
            velocity = np.array(move["velocity"]) if move else np.zeros(len(self.space))
            moves = min((one.moves for one in self.particles), default=0)
            self.particles.append(_Particle(individual.identity, position, velocity, position, loss, moves))

    def _position(self, genome: Genome, move: dict[str, Any]) -> Genome:
        """Where a particle is: on a grid between two values, because a slow one would never reach the next value."""
        if len(move.get("between", ())) != self.on_grids.sum() or not self.on_grids.any():
            return genome
        position = genome.copy()
        position[self.on_grids] = move["between"]
        rounded = self.space.encode(self.space.complete(position, np.random.Generator(np.random.PCG64(0))))
        return np.where(rounded == genome, position, genome)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        moves = [move for move in map(_move_of, view.running) if move]
        flying = Counter(move.get("after") for move in moves)
        drawn = flying.pop(None, 0)
        if not self.particles or len(self.particles) + drawn < self.size:
            genome = self.space.sample(rng)
            velocity = np.where(self.space.ordered, (self.space.sample(rng) - genome) / 2, 0.0)
            yield self._individual(genome, velocity, None)
        if not self.particles:
            return
        order = [self.particles[place] for place in rng.permutation(len(self.particles))]
        order.sort(key=lambda one: (flying[one.identity], one.moves))
        while True:
            for particle in order:
                yield self._moved(particle, rng)

    def _moved(self, particle: _Particle, rng: np.random.Generator) -> Individual:
        assert self.best is not None  # Each particle has a loss.
        algorithm, common = self.algorithm, self.best[2]
        own_pull, common_pull = algorithm.pulls
        # A gene that does not exist there is that of the best places, where it exists.
        start = _first_known(particle.position, particle.best, common)
        pull = own_pull * rng.random(len(start)) * np.nan_to_num(particle.best - start)
        pull += common_pull * rng.random(len(start)) * np.nan_to_num(common - start)
        if algorithm.variant in ("constricted", "canonical"):
            velocity = algorithm.constriction * (particle.velocity + pull)  # Clerc and Kennedy
        else:
            velocity = algorithm.inertia * particle.velocity + pull  # Shi and Eberhart
        velocity = np.where(self.space.ordered, np.clip(velocity, -algorithm.limit, algorithm.limit), 0.0)
        moved = start + velocity  # Kennedy and Eberhart
        velocity = np.where((moved < 0.0) | (moved > 1.0), _REBOUND * velocity, velocity)
        categories = self._categories((start, particle.best, common), rng)
        genome = np.where(self.space.ordered, np.clip(moved, 0.0, 1.0), categories)
        return self._individual(genome, velocity, particle.identity)

    def _categories(self, places: tuple[Genome, ...], rng: np.random.Generator) -> Genome:
        """Categories have no velocity: each is one of three places, in proportion to what draws there, or drawn."""
        own, common = (pull / 2 for pull in self.algorithm.pulls)
        weights = np.array([self.algorithm.inertia, own, common])
        chosen = rng.choice(3, size=len(self.space), p=weights / weights.sum())
        taken = np.array(places)[chosen, np.arange(len(self.space))]
        anew = np.floor(rng.random(len(self.space)) * np.where(self.space.ordered, 1.0, self.space.cells))
        return np.where(rng.random(len(self.space)) < self.algorithm.anew, anew, taken)

    def _individual(self, genome: Genome, velocity: Genome, after: Identity | None) -> Individual:
        move: dict[str, Any] = {"velocity": _rounded(velocity)}
        if self.on_grids.any() and not np.isnan(genome[self.on_grids]).any():
            move["between"] = _rounded(genome[self.on_grids])
        if after is not None:
            move["after"] = list(after)
        parents = [after, self.best[1]] if after is not None and self.best is not None else []
        return Individual(genome=genome, strategy={"pso": move}, parents=tuple(dict.fromkeys(parents)))


def _rounded(numbers: Genome) -> list[float]:
    """Numbers as a journal keeps them, not longer than they matter."""
    return [float(f"{number:.6g}") for number in numbers]


def _first_known(*genomes: Genome) -> Genome:
    """Each gene of the first genome in which it exists."""
    known = genomes[-1]
    for genome in reversed(genomes[:-1]):
        known = np.where(np.isnan(genome), known, genome)
    return known


def _move_of(individual: Individual) -> dict[str, Any]:
    """What this algorithm has written into the strategy of an individual; empty if it did not propose it."""
    move = individual.strategy.get("pso")
    if not isinstance(move, dict):
        return {}
    return {**move, "after": tuple(move["after"])} if "after" in move else move


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
