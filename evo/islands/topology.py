"""Which workers live on which island, and how many individuals go from island to island: decisions on numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evo.checks import check_count, did_you_mean
from evo.errors import UserError
from evo.randomness import topology_generator

Topology: TypeAlias = tuple[tuple[int, ...], ...]
"""A square matrix: entry (i, j) is how many individuals go from island i to island j at a time."""


# In one line: all targets of so few islands; of more so many of an island's, and islands while these characters last.
_FEW_ISLANDS = 3
_TARGETS_SHOWN = 4
_WIDTH = 80


@dataclass(frozen=True)
class Archipelago:
    """Which workers live on which island; made by `make_archipelago`.

    All answers are functions of the arguments alone, so that ranks that know the same agree without a word.

    Args:
        members: The workers of each island. Workers are numbered from 0, and islands are contiguous runs of them.

    Example:
        >>> archipelago = Archipelago(((0, 1, 2), (3, 4)))
        >>> archipelago.island_of(3), archipelago.heir(4, dead={4}), archipelago.heir(4, dead={3, 4})
        (1, 3, 0)
    """

    members: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        assert self.members, "an archipelago without islands"
        assert all(self.members), f"an island without workers: {self.members}"
        assert list(itertools.chain(*self.members)) == list(range(self.workers)), f"no contiguous runs: {self.members}"

    @property
    def islands(self) -> int:
        """How many islands there are."""
        return len(self.members)

    @cached_property
    def workers(self) -> int:
        """How many workers there are, on all islands."""
        return sum(map(len, self.members))

    def island_of(self, worker: int) -> int:
        """The island that a worker lives on."""
        assert 0 <= worker < self.workers, f"there is no worker {worker}"
        return self._homes[worker]

    def heir(self, worker: int, dead: Collection[int]) -> int | None:
        """Who takes over what a dead worker leaves behind.

        Args:
            worker: Who died, whether `dead` has it yet or not.
            dead: All workers that died.

        Returns:
            The next live worker of its island, cyclically; if nobody lives there, the first live worker of the next
            island that has one, cyclically; None when all are dead.
        """
        home = self.island_of(worker)
        own, place = self.members[home], worker - self.members[home][0]
        others = (own[place + 1 :], own[:place], *self.members[home + 1 :], *self.members[:home])
        return next((other for other in itertools.chain(*others) if other not in dead), None)

    def owner(self, identity: tuple[int, int], island: int, dead: Collection[int]) -> int | None:
        """The one worker of an island that decides on an individual there.

        Args:
            identity: The individual's: rank and generation of its birth, wherever that was.
            island: Where the individual is.
            dead: All workers that died.

        Returns:
            A live worker of that island; None when nobody lives there.
        """
        assert 0 <= island < self.islands, f"there is no island {island}"
        members: Sequence[int] = self.members[island]
        if dead:
            members = [member for member in members if member not in dead]
        return members[sum(identity) % len(members)] if members else None

    @cached_property
    def _homes(self) -> tuple[int, ...]:
        return tuple(island for island, members in enumerate(self.members) for _ in members)


def make_archipelago(workers: int, islands: int = 1, sizes: Sequence[int] | None = None) -> Archipelago:
    """Distribute the workers among islands.

    Args:
        workers: How many there are.
        islands: How many islands of equal size; the first ones are larger by one where that does not come out even.
            1 says nothing when there are sizes.
        sizes: How many workers each island has instead; users know it as island_sizes.

    Raises:
        UserError: There are more islands than workers, or the sizes fit neither the workers nor the islands.

    Example:
        >>> [len(members) for members in make_archipelago(10, 4).members]
        [3, 3, 2, 2]
    """
    check_count("workers", workers)
    check_count("islands", islands)
    if sizes is None:
        if islands > workers:
            raise UserError(
                f"islands is {islands}, but there {_are(workers, 'worker')}: every island needs a worker of its own, "
                f"so give at most {workers}, or start more workers"
            )
        sizes = [workers // islands + (island < workers % islands) for island in range(islands)]
    else:
        _check_sizes(sizes, workers, islands)
    ends = list(itertools.accumulate(sizes))
    return Archipelago(tuple(tuple(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)))


def _check_sizes(sizes: Sequence[int], workers: int, islands: int) -> None:
    if isinstance(sizes, str) or not isinstance(sizes, Sequence) or not sizes:
        raise UserError(
            f"island_sizes is {sizes!r}: give the number of workers of each island in a list, for example [4, 4, 2]"
        )
    for island, size in enumerate(sizes):
        check_count(f"island_sizes[{island}]", size)
    if islands not in (1, len(sizes)):
        raise UserError(
            f"islands is {islands}, but island_sizes is {list(sizes)}, which makes {len(sizes)}: "
            "give one size for each island, or leave out islands"
        )
    if sum(sizes) != workers:
        raise UserError(
            f"island_sizes is {list(sizes)}, which adds up to {sum(sizes)}, but there {_are(workers, 'worker')}: "
            f"change the sizes to add up to {workers}, or the number of workers to {sum(sizes)}"
        )


def make_topology(
    topology: str | Sequence[Sequence[int]] | NDArray[Any],
    islands: int,
    *,
    migrants: int = 1,
    degree: int = 2,
    seed: int = 0,
) -> Topology:
    """How many individuals go from each island to each other one at a time.

    Args:
        topology: The matrix itself, rows are where from and columns where to; or a name: full (each island to all
            others), ring (each to the next), torus (each to its four neighbours on the most square grid, which come
            round at its edges), star (island 0 to all others, these only to it), random (each to `degree` others,
            such that every island can be reached from every other one).
        islands: How many there are.
        migrants: How many individuals go along each edge of a named topology.
        degree: To how many others an island sends in a random topology, from 1 to islands - 1.
        seed: Of a random topology, not negative; the same seed gives the same topology on every rank.

    Returns:
        The matrix; all zero on its diagonal, and for one island.

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
    return (above_and_below | left_and_right) - {island}  # It is its own neighbour on a grid of one row.


def _star_targets(island: int, islands: int) -> set[int]:
    return {0} if island else _full_targets(island, islands)


def _random_targets(islands: int, degree: int, seed: int) -> list[set[int]]:
    """A ring in random order, so that nobody is left out, and more targets at random."""
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
            f"topology has the shape {len(rows)} x {columns}, but there {_are(islands, 'island')}: "
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
    """A topology in one line: where each island sends to, and how many; shortened when it is large.

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


def _are(count: int, noun: str) -> str:
    return f"is 1 {noun}" if count == 1 else f"are {count} {noun}s"
