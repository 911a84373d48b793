"""The steps of a simplex, as pure functions of the results that are known; see `evo.algorithms.nelder_mead`."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evo.population.identity import Identity
from evo.space.space import Genome


@dataclass(frozen=True)
class Vertex:
    """A point with its loss.

    Args:
        position: Its numbers, of shape (numbers,).
        loss: Its loss; infinite if it has failed.
        identity: The individual that was evaluated there.
    """

    position: Genome
    loss: float
    identity: Identity


@dataclass(frozen=True)
class Steps:
    """The lengths of steps; see `evo.algorithms.nelder_mead.NelderMead`."""

    reflection: float = 1.0  # rho
    expansion: float = 2.0  # chi
    contraction: float = 0.5  # gamma
    shrinkage: float = 0.5  # sigma


class Simplex:
    """Vertices, and where they may go. Roles name points, for example "reflect 0" for the worst vertex reflected.

    Args:
        vertices: One more than there are numbers.
        steps: The lengths of steps.
        count: The number of worst vertices that are replaced at the same time (Lee and Wiswall's P).
    """

    def __init__(self, vertices: Sequence[Vertex], steps: Steps, count: int = 1) -> None:
        self.vertices = sorted(vertices, key=lambda one: (one.loss, one.identity))  # Step 1: order.
        self.steps = steps
        self.count = min(count, len(vertices) - 1)
        self.centroid: Genome = np.mean([one.position for one in self.vertices[: -self.count]], axis=0)
        # The same on all workers whose simplex has the same vertices, whatever they know besides.
        self.tag = zlib.crc32(repr(sorted(one.identity for one in vertices)).encode())

    @property
    def best(self) -> Vertex:
        """The vertex with the lowest loss."""
        return self.vertices[0]

    @property
    def edges(self) -> Genome:
        """The ways from the best vertex to the others, of shape (numbers, numbers)."""
        edges: Genome = np.array([one.position for one in self.vertices[1:]]) - self.best.position
        return edges

    @property
    def flatness(self) -> float:
        """The smallest singular value of the edges, as a share of the largest: 0 when they span no volume."""
        singular = np.linalg.svd(self.edges, compute_uv=False)
        return float(singular[-1] / singular[0]) if singular[0] > 0 else 0.0

    def point(self, role: str) -> Genome:
        """Where a role is, of shape (numbers,); it may lie out of bounds."""
        step, place = role.split()
        steps = self.steps
        if step == "shrink":  # Step 5
            best = self.best.position
            return best + steps.shrinkage * (self.vertices[int(place)].position - best)
        factor = {
            "reflect": steps.reflection,  # Step 2
            "expand": steps.reflection * steps.expansion,  # Step 3
            "outside": steps.reflection * steps.contraction,  # Step 4a
            "inside": -steps.contraction,  # Step 4b
        }[step]
        return self.centroid + factor * (self.centroid - self._worst(int(place)).position)

    def needed(self, results: Mapping[str, Vertex]) -> list[str]:
        """The roles without which the next simplex is not known; none when it is.

        Args:
            results: What is known of roles of this simplex.
        """
        moves = [self._move(place, results) for place in range(self.count)]
        missing = [move for move in moves if isinstance(move, str)]
        if missing or not all(move is None for move in moves):
            return missing
        return [role for role in self._shrunk() if role not in results]

    def ahead(self, results: Mapping[str, Vertex]) -> list[str]:
        """The roles that may be needed before the next simplex is known, the likeliest first."""
        unknown = [place for place in range(self.count) if f"reflect {place}" not in results]
        roles = [f"{step} {place}" for place in unknown for step in ("expand", "inside", "outside")]
        return [role for role in roles if role not in results]

    def outcomes(self, results: Mapping[str, Vertex]) -> list[Simplex]:
        """The simplexes that may be next, the likeliest first; their points may be evaluated before that is known.

        Only when one vertex is replaced at a time, and without those that are shrunk, which are rare.
        """
        if self.count > 1:
            return []
        steps = ["reflect", "expand", "inside", "outside"]
        if (reflected := results.get("reflect 0")) is not None:
            steps = steps[:2] if reflected.loss < self.best.loss else steps[2:]
        found = []
        for step in steps:
            # An expansion is the best vertex, and others at least not the worst one; more need not be known.
            loss = -math.inf if step == "expand" else self.best.loss
            moved = Vertex(np.clip(self.point(f"{step} 0"), 0.0, 1.0), loss, self.vertices[-1].identity)
            found.append(Simplex([*self.vertices[:-1], moved], self.steps))
        return found

    def after(self, results: Mapping[str, Vertex]) -> Simplex:
        """The next simplex, when nothing is needed any more."""
        moves = [self._move(place, results) for place in range(self.count)]
        kept = self.vertices[: -self.count]
        if all(move is None for move in moves):
            return Simplex([self.best, *(results[role] for role in self._shrunk())], self.steps, self.count)
        for place, move in enumerate(moves):
            # Of a vertex that has found nothing better than its reflection, the better of the two stays.
            either = (self._worst(place), results[f"reflect {place}"])
            kept.append(move if isinstance(move, Vertex) else min(either, key=lambda one: one.loss))
        return Simplex(kept, self.steps, self.count)

    def _worst(self, place: int) -> Vertex:
        return self.vertices[-1 - place]

    def _shrunk(self) -> list[str]:
        return [f"shrink {place}" for place in range(1, len(self.vertices))]

    def _move(self, place: int, results: Mapping[str, Vertex]) -> Vertex | str | None:
        """What one of the worst vertices becomes, or the role that is missing; None when nothing better was found."""
        if (role := f"reflect {place}") not in results:
            return role
        reflected = results[role]
        if reflected.loss < self.best.loss:
            if (role := f"expand {place}") not in results:
                return role
            return results[role] if results[role].loss < reflected.loss else reflected
        if reflected.loss < self.vertices[-2 - place].loss:
            return reflected
        is_outside = reflected.loss < self._worst(place).loss
        if (role := f"{'outside' if is_outside else 'inside'} {place}") not in results:
            return role
        contracted = results[role]
        if is_outside:
            return contracted if contracted.loss <= reflected.loss else None
        return contracted if contracted.loss < self._worst(place).loss else None
