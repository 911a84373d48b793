"""Progress while a search runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from evo.population.events import AnyEvent, Finished, Reported
from evo.report.course import Course
from evo.report.display import standing_line, standing_view

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Seconds between two lines of a log: at first, and at most. In between it is a part of the time until then, so that the
# log of a long search stays readable.
_FIRST_INTERVAL, _LONGEST_INTERVAL, _PART = 5.0, 600.0, 1 / 30
_UNFINISHED_INTERVAL = 60.0  # The same where no evaluation has ended since the last line.
_REDRAWS = 2  # Of the live view, in a second.


class ProgressDisplay(Protocol):
    """Is shown every event and tells the user."""

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""

    def close(self) -> None:
        """Show where the search ended."""


class Silent:
    """Says nothing."""

    def __call__(self, event: AnyEvent) -> None:
        """Take note of nothing."""

    def close(self) -> None:
        """Say nothing."""


class Lines:
    """A line now and then, when something has happened; less and less often, the longer a search takes.

    Args:
        course: What has happened until now; the events that follow are added.
        write: Prints one line.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(self, course: Course, write: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._course = course
        self._write = write
        self._clock = clock
        self._began = self._said = clock()
        self._leaders = course.leaders
        self._has_finished = self._has_news = False

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""
        self._course.add(event)
        if not isinstance(event, Finished | Reported):
            return
        self._has_news = True
        self._has_finished = self._has_finished or isinstance(event, Finished)
        now = self._clock()
        interval = interval_at(now - self._began)
        if now - self._said >= (interval if self._has_finished else max(interval, _UNFINISHED_INTERVAL)):
            self._say(now)

    def close(self) -> None:
        """Say where it ended."""
        if self._has_finished:
            self._say(self._clock())

    def _say(self, now: float) -> None:
        leaders = self._course.leaders
        self._write(standing_line(self._course.standing(now), has_improved=leaders != self._leaders))
        self._said, self._leaders, self._has_finished, self._has_news = now, leaders, False, False


def interval_at(elapsed: float) -> float:
    """The seconds between two lines of a log, so many seconds after it began.

    Example:
        >>> interval_at(0), interval_at(3600), interval_at(86400)
        (5.0, 120.0, 600.0)
    """
    return min(_LONGEST_INTERVAL, max(_FIRST_INTERVAL, elapsed * _PART))


class TakingOver:
    """Lines of a rank that speaks for all only once those before it have died: until then it keeps nothing.

    Args:
        course: An empty course.
        recall: Returns all events until now, which are read when this rank is the first to speak.
        write: Prints one line.
        is_first: Returns whether this rank speaks for all.
    """

    def __init__(
        self,
        course: Course,
        recall: Callable[[], Iterable[AnyEvent]],
        write: Callable[[str], None],
        is_first: Callable[[], bool],
    ) -> None:
        self._course, self._recall, self._write, self._is_first = course, recall, write, is_first
        self._lines: Lines | None = None

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""
        if self._lines is None and self._is_first():
            self._course.add_all(self._recall())
            self._lines = Lines(self._course, self._write)
        if self._lines is not None:
            self._lines(event)

    def close(self) -> None:
        """Say where it ended."""
        if self._lines is not None:
            self._lines.close()


class LiveView:
    """A view that is redrawn in place.

    Args:
        course: What has happened until now; the events that follow are added.
        console: The console to draw on.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(self, course: Course, console: Console, clock: Callable[[], float] = time.time) -> None:
        from rich.live import Live

        self._course = course
        self._clock = clock
        self._lock = threading.Lock()  # A thread draws, while another one adds events.
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=_REDRAWS, transient=False)
        self._live.start()

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""
        with self._lock:
            self._course.add(event)

    def close(self) -> None:
        """Draw for the last time."""
        self._live.stop()

    def _render(self) -> RenderableType:
        from rich.console import Group

        with self._lock:
            standing = self._course.standing(self._clock())
        # mpirun keeps back what follows the end of the last line, so that nothing must.
        return Group(standing_view(standing), "")
