"""Topologies: how many individuals go from each island to each other one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evo.checks import check_count, did_you_mean
from evo.errors import UserError
from evo.randomness import topology_generator

Topology: TypeAlias = tuple[tuple[int, ...], ...]
"""A square matrix: entry (i, j) is the number of individuals that go from island i to island j at a time."""

# The limits of a topology in one line: more islands than these are summed up where each sends to all others, an island
# shows so many targets at most, and as many islands are listed as fit into the width.
_FEW_ISLANDS = 3
_TARGETS_SHOWN = 4
_WIDTH = 80


def make_topology(
    topology: str | Sequence[Sequence[int]] | NDArray[Any],
    islands: int,
    *,
    migrants: int = 1,
    degree: int = 2,
    seed: int = 0,
) -> Topology:
    """Make a topology from its name, or check one that is given as a matrix.

    Args:
        topology: The matrix itself, with a row for each source and a column for each target; or a name: full (each
            island to all others), ring (each to the next), torus (each to its four neighbours on the most square grid,
            which wraps around at its edges), star (island 0 to all others, these only to it), random (each to `degree`
            others, such that every island can be reached from every other one).
        islands: The number of islands.
        migrants: The number of individuals that go along each edge of a named topology.
        degree: The number of others that an island sends to in a random topology, from 1 to islands - 1.
        seed: The seed of a random topology, not negative; the same seed gives every worker the same topology.

    Returns:
        The matrix. Its diagonal is zero, and so is the whole matrix for one island.

    Raises:
        UserError: A name is unknown, a number out of range, or a matrix has another shape or other entries.

    Example:
        >>> make_topology("ring", 3, migrants=2)
        ((0, 2, 0), (0, 0, 2), (2, 0, 0))
    """
    for name, value, least in (("islands", islands, 1), ("migrants", migrants, 1), ("seed", seed, 0)):
        check_count(name, value, least)
    if not isinstance(topology, str):
        return _checked_matrix(topology, islands)
    if topology not in TOPOLOGIES:
        raise UserError(f"topology is {topology!r}: {_CHOICE}{did_you_mean(topology, TOPOLOGIES)}")
    if islands == 1:
        return ((0,),)
    if topology == "random":
        targets = _random_targets(islands, degree, seed)
    else:
        targets = [_NAMED[topology](island, islands) for island in range(islands)]
    return tuple(tuple(migrants if other in row else 0 for other in range(islands)) for row in targets)


def _full_targets(island: int, islands: int) -> set[int]:
    return set(range(islands)) - {island}


def _ring_targets(island: int, islands: int) -> set[int]:
    return {(island + 1) % islands}


def _torus_targets(island: int, islands: int) -> set[int]:
    rows = max(rows for rows in range(1, math.isqrt(islands) + 1) if islands % rows == 0)
    columns = islands // rows
    row, column = divmod(island, columns)
    above_and_below = {(row + step) % rows * columns + column for step in (-1, 1)}
    left_and_right = {row * columns + (column + step) % columns for step in (-1, 1)}
    return (above_and_below | left_and_right) - {island}  # On a grid of one row an island is its own neighbour.


def _star_targets(island: int, islands: int) -> set[int]:
    return {0} if island else _full_targets(island, islands)


def _random_targets(islands: int, degree: int, seed: int) -> list[set[int]]:
    """A ring in random order, so that every island is reached, and further random targets."""
    if not isinstance(degree, int) or isinstance(degree, bool) or not 1 <= degree < islands:
        allowed = f"a whole number from 1 to {islands - 1}" if islands > 2 else "1"
        raise UserError(
            f"degree is {degree!r}, but there are {islands} islands, and each sends to that many others: give {allowed}"
        )
    rng = topology_generator(seed)
    order = rng.permutation(islands).tolist()
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    targets = []
    for island in range(islands):
        others = sorted(_full_targets(island, islands) - {following[island]})
        targets.append({following[island], *rng.permutation(others)[: degree - 1].tolist()})
    return targets


_NAMED: Mapping[str, Callable[[int, int], set[int]]] = {
    "full": _full_targets,
    "ring": _ring_targets,
    "torus": _torus_targets,
    "star": _star_targets,
}
TOPOLOGIES = (*_NAMED, "random")
"""The names that `make_topology` knows."""
_CHOICE = f"give one of {', '.join(TOPOLOGIES)}, or a matrix with a row and a column for each island"


def _checked_matrix(matrix: Any, islands: int) -> Topology:
    rows = matrix.tolist() if isinstance(matrix, np.ndarray) else matrix
    if not isinstance(rows, Sequence):
        raise UserError(f"topology is {rows!r}: {_CHOICE}")
    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in rows]
    for source, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Sequence):
            raise UserError(f"topology has the row {row!r} (row {source}, from 0): a row is a list of whole numbers")
    lengths = sorted({len(row) for row in rows})
    if len(rows) != islands or lengths != [islands]:
        columns = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else sum(lengths)
        raise UserError(
            f"topology has the shape {len(rows)} x {columns}, but there {_islands(islands)}: "
            f"give a row and a column for each, {islands} x {islands}"
        )
    return tuple(
        tuple(_checked_entry(entry, source, target) for target, entry in enumerate(row))
        for source, row in enumerate(rows)
    )


def _checked_entry(entry: Any, source: int, target: int) -> int:
    place = f"topology has {entry!r} in row {source}, column {target} (from 0)"
    if not isinstance(entry, int | np.integer) or isinstance(entry, bool) or entry < 0:
        raise UserError(
            f"{place}: give a whole number of at least 0, how many individuals go from island {source} "
            f"to island {target} at a time"
        )
    if source == target and entry != 0:
        raise UserError(f"{place}: nobody goes from an island to itself, so give 0 on the diagonal")
    return int(entry)


def topology_text(topology: Sequence[Sequence[int]]) -> str:
    """A topology in one line, with the targets and numbers of each island; shortened when it is large.

    Args:
        topology: The matrix, see `make_topology`.

    Example:
        >>> topology_text(make_topology("star", 3, migrants=2))
        '0 -> 1, 2; 1 -> 0; 2 -> 0 (2 each time)'
        >>> topology_text([[0, 3, 1], [2, 0, 0], [0, 0, 0]])
        '0 -> 1 ×3, 2 ×1; 1 -> 0 ×2; 2 -> none (each time)'
    """
    numbers = {number for row in topology for number in row if number}
    if not numbers:
        return "no island sends to another"
    others = [number for source, row in enumerate(topology) for target, number in enumerate(row) if source != target]
    if len(topology) > _FEW_ISLANDS and len(set(others)) == 1:
        return f"each -> all others ({others[0]} each time)"
    times = "" if len(numbers) == 1 else " ×{}"
    rows = []
    for island, row in enumerate(topology):
        targets = [f"{other}{times.format(number)}" for other, number in enumerate(row) if number]
        rows.append(f"{island} -> {_shortened(targets) or 'none'}")
    ends = itertools.accumulate(len(row) + 2 for row in rows)
    fitting = max(1, sum(end - 2 <= _WIDTH for end in ends))
    shown = rows[:fitting] + ([f"… and {len(rows) - fitting} more"] if fitting < len(rows) else [])
    return f"{'; '.join(shown)} ({'' if times else f'{max(numbers)} '}each time)"


def _shortened(targets: list[str]) -> str:
    if len(targets) <= _TARGETS_SHOWN:
        return ", ".join(targets)
    shown = targets[: _TARGETS_SHOWN - 1]
    return f"{', '.join(shown)}, … and {len(targets) - len(shown)} more"


def _islands(count: int) -> str:
    return "is 1 island" if count == 1 else f"are {count} islands"
