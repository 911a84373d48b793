"""How numbers are shown: the part of an axis that tells something, units of time, and a time without pauses."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LARGEST = 1e290  # What draws needs some room above the largest number.
_UNITS = (("seconds", 1.0, 180.0), ("minutes", 60.0, 3 * 3600.0), ("hours", 3600.0, 4 * 86400.0))


@dataclass(frozen=True)
class Scale:
    """The part of the losses that a picture shows.

    Args:
        low: The lowest loss.
        high: The highest loss that is shown in its place; higher ones are drawn there as well.
        log: Whether the scale is logarithmic.
        beyond: How many losses are higher.
    """

    low: float
    high: float
    log: bool
    beyond: int

    def place(self, loss: float) -> float:
        """Where a loss is drawn."""
        return min(max(loss, self.low), self.high)

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of an axis, with some room at both."""
        if self.log:
            room = (self.high / self.low) ** 0.05 if self.high > self.low else 2.0
            return self.low / room, self.high * room
        room = (self.high / 2 - self.low / 2) * 0.1 or abs(self.low) * 0.1 or 1.0
        return self.low - room, self.high + room


def scale_of(losses: Iterable[float]) -> Scale:
    """The part of the losses in which their differences can be seen: a few huge ones do not hide all others.

    Args:
        losses: Finite losses.

    Example:
        >>> scale_of([1.0, 2.0, 3.0, 4.0])
        Scale(low=1.0, high=4.0, log=False, beyond=0)
        >>> scale_of([*range(10), 1e308]).high
        63.0
        >>> scale_of([0.001, 0.1, 1.0, 10.0]).log
        True
    """
    ordered = sorted(min(max(float(loss), -_LARGEST), _LARGEST) for loss in losses)
    if not ordered:
        return Scale(0.0, 1.0, False, 0)
    low, high = ordered[0], ordered[-1]
    most = ordered[int(0.9 * (len(ordered) - 1))]
    crowded = ordered[len(ordered) // 2] - low < 0.05 * (min(high, low + 7 * (most - low)) - low)
    log = low > 0 and (most / low > 20 or (crowded and high / low > 20))
    if most > low:
        high = min(high, most * 100 if log else low + 7 * (most - low), _LARGEST)
    return Scale(low, high, log, len(ordered) - bisect_right(ordered, high))


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a time can be read, and its seconds.

    Example:
        >>> time_unit(5000.0)
        ('minutes', 60.0)
    """
    return next(((name, size) for name, size, most in _UNITS if seconds < most), ("days", 86400.0))


class RunningTime:
    """The time for which a search has run, without the pauses between its sessions.

    Args:
        spans: When it ran: pairs of beginning and end in seconds since the epoch, which may overlap.

    Example:
        >>> clock = RunningTime([(100.0, 110.0), (105.0, 120.0), (500.0, 600.0)])
        >>> clock.at(110.0), clock.at(300.0), clock.at(510.0), clock.total
        (10.0, 20.0, 30.0, 120.0)
    """

    def __init__(self, spans: Iterable[tuple[float, float]]) -> None:
        merged: list[list[float]] = []
        for begin, end in sorted(spans):
            if merged and begin <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([begin, max(begin, end)])
        self._begins = [begin for begin, _ in merged]
        self._ends = [end for _, end in merged]
        before = 0.0
        self._before: list[float] = []
        for begin, end in merged:
            self._before.append(before)
            before += end - begin
        self.total = before

    @property
    def pauses(self) -> Sequence[float]:
        """Where pauses are left out, in seconds of running time."""
        return self._before[1:]

    def at(self, time: float) -> float:
        """The seconds for which it had run at a time; not negative."""
        place = bisect_right(self._begins, time) - 1
        if place < 0:
            return 0.0
        return self._before[place] + min(time, self._ends[place]) - self._begins[place]
