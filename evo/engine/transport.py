"""Connections between ranks: the protocol, and its implementation for a single rank."""

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
    """Counts what a rank has sent.

    Args:
        messages: The number of messages; several records may share one.
        bytes: The total size of all messages.
    """

    messages: int = 0
    bytes: int = 0


class Transport(Protocol):
    """The connection of a rank to others. Messages between two ranks arrive in the order in which they were sent.

    Args:
        rank: The number of this rank, from 0.
        size: The number of ranks.
        node: The ranks on this machine, this one included, in order.
        local: This rank's place among all ranks of the job on this machine, and the number of these; both include
            ranks that take no part.
        dead: The ranks that are known to have died; the set only grows.
        traffic: The messages that this rank has sent, counted.
    """

    rank: int
    size: int
    node: Sequence[int]
    local: tuple[int, int]
    dead: frozenset[int]
    traffic: Traffic

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        """Send one record to some ranks soon, or at the next `post`; returns at once, whatever they do."""

    def post(self) -> None:
        """Send off all records; until then they may be held back, to be joined to larger messages."""

    def receive(self) -> list[tuple[int, bytes]]:
        """All records that have arrived, each with the rank that sent it."""

    def attend(self) -> None:
        """Send and receive in the background too, while this rank computes, until the connection is closed."""

    def settle(self) -> None:
        """Wait a short time for what was sent to leave."""

    def wait(self) -> None:
        """Sleep for a moment when there is nothing to do; never spins."""

    def gather(self, text: str) -> list[str]:
        """The texts of all ranks, by rank. All ranks must call it and wait for the last, so it is not for a search."""

    def part(self, ranks: Sequence[int]) -> Transport:
        """A connection of some ranks only, numbered from 0 in their order; all of these must call it.

        Args:
            ranks: The ranks in ascending order; this one is among them.
        """

    def close(self) -> None:
        """End the connection once all that was sent has left. All live ranks must call it."""


def together(transport: Transport, act: Callable[[], T]) -> T:
    """Call a function on all ranks that may fail because of the user's input; either all go on, or none does.

    Any exception that is no `UserError` is a bug: it is raised at once, on this rank alone. Whoever has made the
    connection must end all ranks then, because the others wait here.

    Args:
        transport: The connection to the other ranks, which must call this too.
        act: The function to call.

    Returns:
        The result of `act` on this rank.

    Raises:
        SharedError: A rank raised a `UserError`. All ranks get the message of the lowest such rank, with that error as
            the cause.
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
    """The methods of a transport that do nothing where messages move by themselves."""

    def post(self) -> None:
        """Do nothing, because no record is held back."""

    def attend(self) -> None:
        """Do nothing, because messages need no background work."""

    def settle(self) -> None:
        """Do nothing, because messages leave at once."""

    def wait(self) -> None:
        """Do nothing, because there is nothing to wait for."""

    def close(self) -> None:
        """Do nothing, because nothing is open."""


class Serial(Passive):
    """The transport of a rank that is alone."""

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
