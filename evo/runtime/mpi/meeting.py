"""Ranks wait for each other before a search, and find out which ones are absent."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from evo.errors import Stuck, UserError

if TYPE_CHECKING:
    from mpi4py import MPI

VARIABLE = "EVO_MEETING_TIMEOUT"
"""The environment variable with the seconds that a rank waits for the others before a search."""
_WAIT = 60.0
_UNTIL_NOTE = 10.0  # The seconds after which a rank prints that it waits.
_COUNTING = 3.0  # The seconds in which waiting ranks find each other, once the time of one of them is over.
_TAG = 31_337
# Waiting ranks tell the first so many ranks, which ask all, so that thousands of ranks need not ask each other.
_COUNTERS = 64
_NAP = 0.01  # The seconds to sleep between tests, because waiting inside MPI would spin.


class Absent(Stuck):
    """Some ranks are absent."""

    status = 2


def waiting_time(environment: Mapping[str, str]) -> float:
    """The seconds that a rank waits for the others.

    Args:
        environment: The environment variables.

    Raises:
        UserError: The variable holds no number of seconds.

    Example:
        >>> waiting_time({"EVO_MEETING_TIMEOUT": "300"})
        300.0
    """
    given = environment.get(VARIABLE, str(_WAIT))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 1e9:
        raise UserError(f"{VARIABLE} is {given!r}: give seconds above 0, for example 300")
    return seconds


def meet(communicator: MPI.Intracomm, wait: float, is_given_up: Callable[[], bool], name: str = "") -> None:
    """Wait until all ranks of a communicator have called this.

    Waiting ranks learn of each other by point-to-point messages with a tag of evo's, and only once the time of one of
    them is over, because an absent rank may use the communicator for something else.

    Args:
        communicator: The communicator of these ranks, perhaps the user's own.
        wait: The seconds after which waiting ranks give up.
        is_given_up: Whether this rank must stop waiting.
        name: The text after the ranks in messages, which names the communicator.

    Raises:
        Absent: Some ranks are absent; only one of the waiting ranks raises it.
        KeyboardInterrupt: The waiting was given up.
    """
    _Meeting(communicator, wait, name).run(is_given_up)


class _Meeting:
    """One rank's part in a meeting; see `meet`."""

    def __init__(self, communicator: MPI.Intracomm, wait: float, name: str) -> None:
        self._communicator = communicator
        self._wait = wait
        self._name = name
        self._rank, self._size = communicator.Get_rank(), communicator.Get_size()
        self._heard: set[int] = set()  # The other waiting ranks, as far as this one knows.
        self._requests: list[MPI.Request] = []

    def run(self, is_given_up: Callable[[], bool]) -> None:
        began = time.monotonic()
        note_at, counted_at = began + min(_UNTIL_NOTE, self._wait / 2), math.inf
        if self._wait == math.inf:
            note_at = math.inf
        all_are_here = self._communicator.Ibarrier()
        while not all_are_here.Test():
            now = time.monotonic()
            if is_given_up():
                raise KeyboardInterrupt
            if now >= note_at:
                note_at = math.inf
                self._say_that_it_waits()
            self._listen()
            if counted_at == math.inf and (self._heard or now - began >= self._wait):
                counted_at = now + _COUNTING
                self._tell()
            if now >= counted_at and self._is_to_speak(now - counted_at):
                raise Absent(self._verdict())
            time.sleep(_NAP if now - began > 1 else _NAP / 10)

    def _say_that_it_waits(self) -> None:
        if self._rank == 0 or self._rank == self._size - 1:  # Two ranks print it, since one of them may be absent.
            print(
                f"evo: rank {self._rank} waits for other ranks{self._name} to call evo.minimize, "
                f"{self._wait:g} s at most ({VARIABLE} sets another time)",
                file=sys.stderr,
                flush=True,
            )

    def _tell(self) -> None:
        """Let other ranks know that this one waits."""
        others = range(self._size if self._rank < _COUNTERS else min(self._size, _COUNTERS))
        for other in others:
            if other != self._rank:
                self._requests.append(self._communicator.isend(None, other, _TAG))

    def _listen(self) -> None:
        from mpi4py import MPI

        status = MPI.Status()
        while self._communicator.iprobe(MPI.ANY_SOURCE, _TAG, status):
            self._communicator.recv(source=status.Get_source(), tag=_TAG)
            self._heard.add(status.Get_source())

    def _is_to_speak(self, late: float) -> bool:
        """Whether this rank speaks for all that wait; if the first one does not, the next ones do so a little later."""
        earlier = sum(rank < self._rank for rank in self._heard)
        return late >= _COUNTING * earlier

    def _verdict(self) -> str:
        absent = sorted(set(range(self._size)) - self._heard - {self._rank})
        # A rank that is not among the first ones hears of these only.
        more = " and perhaps others" if self._rank >= _COUNTERS else ""
        absent = [rank for rank in absent if not more or rank < _COUNTERS]
        which = f"{'ranks' if len(absent) > 1 else 'rank'} {_ranges(absent)}{more}"
        have = "have" if len(absent) > 1 or more else "has"
        return (
            f"{which} of {self._size}{self._name} {have} not called evo.minimize within {self._wait:g} s: let all "
            "ranks call it, or those that search pass a communicator of their own, evo.minimize(..., comm=comm); "
            f"{VARIABLE}=SECONDS waits longer"
        )


def _ranges(numbers: list[int]) -> str:
    """Ascending numbers in few words.

    Example:
        >>> _ranges([1, 3, 4, 5, 8, 9])
        '1, 3-5, 8, 9'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    texts = [f"{part[0]}-{part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts]
    return ", ".join(texts)
