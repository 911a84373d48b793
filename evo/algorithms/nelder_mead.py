"""Nelder-Mead with several vertices at once: a simplex that walks downhill, for a few numbers and smooth losses.

J. A. Nelder and R. Mead, "A simplex method for function minimization", The Computer Journal 7 (1965), 308-313,
doi:10.1093/comjnl/7.4.308; its rules of acceptance are those of J. C. Lagarias et al., SIAM Journal on Optimization 9
(1998), 112-147, doi:10.1137/S1052623496303470, whose numbers of steps are on the lines. Several vertices at once:
D. Lee and M. Wiswall, "A parallel implementation of the simplex function minimization routine", Computational Economics
30 (2007), 171-187, doi:10.1007/s10614-007-9094-2.

Each proposal says in its strategy of which simplex it is and in which role. Workers without a role take the points that
may be needed next (expansions, contractions, and the points of the simplexes that may follow) before it is known that
they are, and then points around the best vertex. Individuals of others do not change a simplex, but a new one begins at
the best point that is known.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.simplex import Simplex, Steps, Vertex
from evo.checks import check_count
from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.space.space import Genome

_FLAT = 1e-12  # A simplex is flat when its losses differ by less than this share of the range of all losses.
_DEGENERATE = 1e-9  # Its edges span no volume when the ratio of their singular values is below this.
_NEAR = [0.01 * 4**place for place in range(7)]  # Distances from a point that was tried already, in simplex sizes.
_NEIGHBOURS = 0.3  # The share of proposals that change a category, where there is one.
_MOST_STEPS = 30  # Among points that are all known, before it begins anew.
_LATER = 13  # The number of simplexes that may come later, and whose points are evaluated before that is known.
_AROUND = 20  # The number of points around the best vertex, when no role is left.


@final
@dataclass(frozen=True)
class NelderMead(Algorithm):
    """The simplex method. It walks through the numbers alone; a new simplex may have other categories.

    Args:
        vertices: The number of worst vertices that are replaced at the same time; None is an eighth of the number of
            workers, and at most half the number of genes. 1 is the method as published.
        edge: The length of the first edges, as a share of each range.
        least: The size below which a simplex has converged, so that a new one begins, as a share of the ranges.
        reflection: How far beyond the centroid the worst vertex is reflected, in distances to it.
        expansion: How far beyond the centroid it is expanded.
        contraction: How far from the centroid it is contracted.
        shrinkage: The size of a simplex that was shrunk towards its best vertex.
    """

    vertices: int | None = None
    edge: float = 0.2
    least: float = 1e-5
    reflection: float = 1.0  # rho
    expansion: float = 2.0  # chi
    contraction: float = 0.5  # gamma
    shrinkage: float = 0.5  # sigma

    def __post_init__(self) -> None:
        if self.vertices is not None:
            check_count("vertices", self.vertices)
        for name, low, high in (
            ("edge", 0.0, 1.0),
            ("least", 0.0, 1.0),
            ("reflection", 0.0, math.inf),
            ("expansion", 1.0, math.inf),
            ("contraction", 0.0, 1.0),
            ("shrinkage", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
                raise UserError(f"{name} is {value!r}: give a number between {low:g} and {high:g}, these excluded")
        if self.expansion <= self.reflection:
            raise UserError(f"expansion is {self.expansion!r}: give a number above reflection, {self.reflection!r}")

    @property
    def bred_by(self) -> str:
        return "nelder_mead"

    def start(self, setup: Setup) -> Learner:
        return _State(self, setup)


class _State(Learner):
    def __init__(self, algorithm: NelderMead, setup: Setup) -> None:
        self.algorithm, self.setup, self.space = algorithm, setup, setup.space
        self.steps = Steps(algorithm.reflection, algorithm.expansion, algorithm.contraction, algorithm.shrinkage)
        self.best: Known | None = None
        self.lowest, self.highest = math.inf, -math.inf  # Of all losses.
        # By genome, because no point is evaluated twice, but a simplex may come back to one.
        self.known: dict[bytes, Known] = {}
        self.losses: dict[Identity, float] = {}
        self.starts = 0
        self._begin_anywhere()

    def learn(self, individual: Known, loss: float | None) -> None:
        said = individual.strategy.get("nelder_mead")
        self.known[individual.genome.tobytes()] = individual
        self.losses[individual.identity] = _or_infinite(loss)
        if loss is not None:
            if loss < self.lowest:
                self.best = individual
            self.lowest, self.highest = min(self.lowest, loss), max(self.highest, loss)
        if isinstance(said, dict) and said["simplex"] == self.tag and said["role"] not in ("around", "neighbour"):
            if said["role"] == "lost":
                self._begin_again()
            else:
                self.results[said["role"]] = self._vertex(individual, said["role"])
        elif loss is not None:
            self._consider(individual, loss, is_own=said is not None)
        if self.moving.any():
            self._advance()

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        has_numbers, has_categories = bool(self.moving.any()), not self.space.ordered.all()
        if self.best is not None and has_categories and (not has_numbers or rng.random() < _NEIGHBOURS):
            yield self._neighbour(self.best, rng)
        if has_numbers:
            yield from self._of_the_simplex(view, rng)
        while self.best is not None and has_categories:
            yield self._neighbour(self.best, rng)

    def _begin_anywhere(self) -> None:
        rng = self.setup.generator(self.starts)
        self._begin(self.space.encode(self.space.complete(self.space.sample(rng), rng)), None, self.algorithm.edge)

    def _begin_again(self) -> None:
        """Begin at the best individual of all and anywhere in turn."""
        if self.best is None or self.starts % 2 == 0:
            self._begin_anywhere()
        else:
            self._begin_at(self.best, self.lowest, self.algorithm.edge)

    def _begin_at(self, individual: Known, loss: float, edge: float) -> None:
        numbers = individual.genome[self._moving(individual.genome)]
        self._begin(individual.genome, Vertex(numbers, loss, individual.identity), edge)

    def _begin(self, genome: Genome, known: Vertex | None, edge: float) -> None:
        """Begin with edges along the axes, of which one end may be known."""
        self.starts += 1
        self.base, self.size = genome, edge
        self.moving = self._moving(genome)
        self.simplex: Simplex | None = None
        self.results = {} if known is None else {"vertex 0": known}
        # Workers that begin at the same individual for the same time have the same simplex.
        self.tag = zlib.crc32(repr((self.starts, known and known.identity)).encode())
        corner = genome[self.moving]
        edges = np.maximum(edge, 1 / self.space.cells[self.moving])  # At least one cell.
        upward = self.setup.generator(self.starts, 1).random(len(corner)) < 0.5
        upward = np.where(upward, corner + edges <= 1.0, corner - edges < 0.0)
        self.corners = np.vstack([corner, corner + np.diag(np.where(upward, edges, -edges))])

    def _moving(self, genome: Genome) -> NDArray[np.bool_]:
        return self.space.ordered & ~np.isnan(genome)

    def _cell(self, numbers: Genome) -> Genome:
        """The genome of these numbers, as it will come back unless it is repaired."""
        rng = self.setup.generator(self.starts)
        return self.space.encode(self.space.complete(self._embedded(numbers), rng))

    def _key(self, numbers: Genome) -> bytes:
        return self._cell(numbers).tobytes()

    def _vertex(self, individual: Known, role: str) -> Vertex:
        meant = self._embedded(self._point(role))
        # On a grid, the point that was meant is kept, because a simplex of rounded points would soon be flat.
        is_as_meant = self._cell(self._point(role)) == individual.genome
        numbers = np.where(is_as_meant, meant, individual.genome)[self.moving]
        numbers = np.where(np.isnan(numbers), self.base[self.moving], numbers)
        return Vertex(numbers, self.losses[individual.identity], individual.identity)

    def _consider(self, individual: Known, loss: float, is_own: bool) -> None:
        """Begin at an individual without a role, if there is no simplex yet, or if its other categories are better."""
        if not is_own and self.starts == 1 and self.simplex is None and not self.results:
            self._begin_at(individual, loss, self.algorithm.edge)
            return
        others = self.simplex.vertices if self.simplex else list(self.results.values())
        is_alike = np.array_equal(individual.genome[~self.moving], self.base[~self.moving], equal_nan=True)
        if not is_alike and loss < min((one.loss for one in others), default=math.inf):
            self._begin_at(individual, loss, self.size)

    def _advance(self) -> None:
        """Go on to the next simplex as long as all that it depends on is known."""
        for _ in range(_MOST_STEPS):
            missing = self._missing()
            for role in missing:
                known = self.known.get(self._key(self._point(role)))
                if known is not None:
                    self.results[role] = self._vertex(known, role)
            if not missing:
                self._adopt(self._next())
            elif not any(role in self.results for role in missing):
                return
        self._begin_again()

    def _missing(self) -> list[str]:
        if self.simplex is not None:
            return self.simplex.needed(self.results)
        return [role for role in map("vertex {}".format, range(len(self.corners))) if role not in self.results]

    def _next(self) -> Simplex:
        if self.simplex is not None:
            return self.simplex.after(self.results)
        numbers = len(self.corners) - 1
        count = self.algorithm.vertices or max(1, min(self.setup.workers // 8, numbers // 2))
        return Simplex(list(self.results.values()), self.steps, count)

    def _adopt(self, simplex: Simplex) -> None:
        """Make it the simplex, or begin anew when it has converged, when all have failed, or when it spans nothing."""
        self.simplex, self.results, self.tag = simplex, {}, simplex.tag
        self.size = float(np.abs(simplex.edges).max())
        spread = simplex.vertices[-1].loss - simplex.best.loss
        if self.size < self.algorithm.least or not spread > _FLAT * (self.highest - self.lowest):
            self._begin_again()
        elif simplex.flatness < _DEGENERATE:
            self._begin(self._embedded(simplex.best.position), simplex.best, self.size)

    def _of_the_simplex(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Its points that are needed and nobody evaluates, those that may be needed, and others around."""
        said = [one.strategy.get("nelder_mead") for one in view.running]
        flying = {each["role"] for each in said if isinstance(each, dict) and each["simplex"] == self.tag}
        others = {one.genome.tobytes() for one in view.running}
        missing = (role for role in self._missing() if role not in flying)
        needed = [role for role in missing if self._key(self._point(role)) not in others]
        ahead = self.simplex.ahead(self.results) if self.simplex else []
        center = self.simplex.best.position if self.simplex else self.corners[0]
        for role in dict.fromkeys(needed + ahead):
            if role not in flying:
                point = self._point(role)
                yield self._in(role, point)
                # If that is tried already, or no other place is near, another point may stand for it.
                for distance in _NEAR if role in needed else ():
                    yield self._in(role, point + min(distance * self.size, 1.0) * rng.normal(size=len(point)))
        if needed:
            yield Individual(genome=self.space.sample(rng), strategy=self._as("lost"), parents=())
        for point in self._later():
            if self._key(point) not in self.known and self._key(point) not in others:
                yield self._in("around", point)
        for _ in range(_AROUND):
            yield self._in("around", center + self.size * rng.normal(size=len(center)))

    def _later(self) -> Iterator[Genome]:
        """Points of the simplexes that may follow, the likeliest first."""
        following = deque(self.simplex.outcomes(self.results) if self.simplex else [])
        for _ in range(_LATER if following else 0):
            simplex = following.popleft()
            yield from map(simplex.point, ("reflect 0", "expand 0", "inside 0"))
            following.extend(simplex.outcomes({}))

    def _point(self, role: str) -> Genome:
        if self.simplex is None:
            return np.asarray(self.corners[int(role.split()[1])])
        return self.simplex.point(role)

    def _in(self, role: str, numbers: Genome) -> Individual:
        vertices = self.simplex.vertices if self.simplex else list(self.results.values())
        parents = tuple(one.identity for one in vertices)
        return Individual(genome=self._embedded(numbers), strategy=self._as(role), parents=parents)

    def _as(self, role: str) -> dict[str, Any]:
        return {"nelder_mead": {"simplex": self.tag, "role": role}}

    def _embedded(self, numbers: Genome) -> Genome:
        genome = self.base.copy()
        genome[self.moving] = np.clip(numbers, 0.0, 1.0)
        return genome

    def _neighbour(self, individual: Known, rng: np.random.Generator) -> Individual:
        """An individual with one other category, or any one if it has no category."""
        genome = individual.genome.copy()
        places = np.flatnonzero(~self.space.ordered & ~np.isnan(genome))
        if not len(places):
            return Individual(genome=self.space.sample(rng), strategy=self._as("neighbour"), parents=())
        place = places[int(rng.integers(len(places)))]
        cells = int(self.space.cells[place])
        genome[place] = (genome[place] + 1 + int(rng.integers(cells - 1))) % cells
        return Individual(genome=genome, strategy=self._as("neighbour"), parents=(individual.identity,))


def _or_infinite(loss: float | None) -> float:
    return math.inf if loss is None else loss
