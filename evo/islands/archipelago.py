"""Which workers live on which island, and which worker succeeds another: pure functions of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from evo.checks import check_count
from evo.errors import UserError


@dataclass(frozen=True)
class Archipelago:
    """The workers of each island; made by `make_archipelago`.

    All answers depend on the arguments alone, so that workers that know the same agree without communication.

    Args:
        members: The workers of each island. Workers are numbered from 0, and islands are contiguous runs of them.

    Example:
        >>> archipelago = Archipelago(((0, 1, 2), (3, 4)))
        >>> archipelago.island_of(3), archipelago.successor(4, dead={4}), archipelago.successor(4, dead={3, 4})
        (1, 3, 0)
    """

    members: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        assert self.members, "an archipelago without islands"
        assert all(self.members), f"an island without workers: {self.members}"
        assert list(itertools.chain(*self.members)) == list(range(self.workers)), f"no contiguous runs: {self.members}"

    @property
    def islands(self) -> int:
        """The number of islands."""
        return len(self.members)

    @cached_property
    def workers(self) -> int:
        """The number of workers on all islands."""
        return sum(map(len, self.members))

    def island_of(self, worker: int) -> int:
        """The island that a worker lives on."""
        assert 0 <= worker < self.workers, f"there is no worker {worker}"
        return self._homes[worker]

    def successor(self, worker: int, dead: Collection[int]) -> int | None:
        """The worker that takes over the work of a dead worker.

        Args:
            worker: The worker that died; `dead` may contain it or not.
            dead: All workers that died.

        Returns:
            The next live worker of its island, cyclically. If there is none, the first live worker of the next island
            that has one, cyclically. None when all are dead.
        """
        home = self.island_of(worker)
        own, place = self.members[home], worker - self.members[home][0]
        others = (own[place + 1 :], own[:place], *self.members[home + 1 :], *self.members[:home])
        return next((other for other in itertools.chain(*others) if other not in dead), None)

    def owner(self, identity: tuple[int, int], island: int, dead: Collection[int]) -> int | None:
        """The one worker of an island that decides on an individual there.

        Args:
            identity: The worker and the generation of the individual's birth, on whichever island that was.
            island: The island on which the individual is.
            dead: All workers that died.

        Returns:
            A live worker of that island; None when there is none.
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
        workers: The number of workers.
        islands: The number of islands of equal size; the first ones have one worker more where the workers do not
            divide evenly. With `sizes`, 1 stands for any number.
        sizes: The number of workers of each island, instead of equal sizes; users know it as island_sizes.

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
                f"islands is {islands}, but there {_workers(workers)}: every island needs a worker of its own, "
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
            f"island_sizes is {list(sizes)}, which adds up to {sum(sizes)}, but there {_workers(workers)}: "
            f"change the sizes to add up to {workers}, or the number of workers to {sum(sizes)}"
        )


def _workers(count: int) -> str:
    return "is 1 worker" if count == 1 else f"are {count} workers"
