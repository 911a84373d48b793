"""How ranks reach each other: the protocol, and one rank alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from evo.errors import Elsewhere, SharedError, UserError
from evo.frames import whole_traceback

T = TypeVar("T")


@dataclass
class Traffic:
    """What a rank has sent.

    Args:
        messages: The number of messages; several records may share one.
        bytes: The size of all of them together.
    """

    messages: int = 0
    bytes: int = 0


class Transport(Protocol):
    """What a rank needs of a network. Messages between two ranks arrive in the order in which they were sent.

    Args:
        rank: This rank, from 0.
        size: How many ranks there are.
        node: The ranks on this machine, this one included, in order.
        local: This rank's place among all ranks of the job on this machine, also those that take no part; and how many
            these are.
        dead: The ranks that are known to have died; only grows.
        traffic: What this rank has sent.
    """

    rank: int
    size: int
    node: Sequence[int]
    local: tuple[int, int]
    dead: frozenset[int]
    traffic: Traffic

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        """Send one record to some ranks, soon, or with `post` now; returns at once, whatever they do."""

    def post(self) -> None:
        """Let go what was sent; until then it may be held back, to be joined with more."""

    def receive(self) -> list[tuple[int, bytes]]:
        """All records that have arrived, each with the rank that sent it."""

    def attend(self) -> None:
        """From now on send and receive in the background too, while this rank computes, until it closes."""

    def settle(self) -> None:
        """Wait until what was sent has left, but not long."""

    def wait(self) -> None:
        """Sleep a moment while nothing is to be done; never spins."""

    def gather(self, text: str) -> list[str]:
        """What every rank says, by rank. All ranks must call it, and wait for the last one: not for use in a search."""

    def part(self, ranks: Sequence[int]) -> Transport:
        """A connection of some ranks only, numbered from 0 in their order. All of these must call it.

        Args:
            ranks: The ranks in ascending order; this one is among them.
        """

    def close(self) -> None:
        """End the connection once all that was sent has left. All live ranks must call it."""


def together(transport: Transport, act: Callable[[], T]) -> T:
    """Do something on all ranks that the user's input may make fail; all go on, or none does.

    Any exception that is no `UserError` is a bug: it is raised at once, and ends all ranks.

    Args:
        transport: The connection to the other ranks, which must call this too.
        act: What to do.

    Returns:
        What `act` returned here.

    Raises:
        SharedError: Some rank raised a `UserError`; everywhere with the message of the lowest such rank, and with that
            error as its cause.
    """
    result, mistake, said = None, None, ""
    try:
        result = act()
    except UserError as error:
        mistake = error
        said = json.dumps([str(error) or type(error).__name__, whole_traceback(error)])
    for rank, answer in enumerate(transport.gather(said)):
        if answer:
            message, traceback = json.loads(answer)
            raise SharedError(message) from (mistake if rank == transport.rank else Elsewhere(traceback))
    return result  # type: ignore[return-value]


class Passive:
    """The part of a transport that has nothing to do where messages move by themselves."""

    def post(self) -> None:
        """Nothing is held back."""

    def attend(self) -> None:
        """Nothing is left to do while this rank computes."""

    def settle(self) -> None:
        """Nothing has yet to leave."""

    def wait(self) -> None:
        """Nothing is to be waited for."""

    def close(self) -> None:
        """Nothing is open."""


class Serial(Passive):
    """One rank alone."""

    rank = 0
    size = 1
    node: Sequence[int] = (0,)
    local = (0, 1)
    dead: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.traffic = Traffic()

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        assert not ranks, "a rank alone has nobody to send to"

    def receive(self) -> list[tuple[int, bytes]]:
        return []

    def gather(self, text: str) -> list[str]:
        return [text]

    def part(self, ranks: Sequence[int]) -> Serial:
        return Serial()
