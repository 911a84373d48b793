"""Progress while a search runs: a live view on a terminal, sober lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evo.events import AnyEvent, Finished, Identity, Reported, Started
from evo.report.tables import number_text

_LINE_INTERVAL = 5.0  # Seconds between two lines, so that a log of a long search stays readable.
_MOST_RUNNING = 16


class Progress(Protocol):
    """Is shown every event and tells the user."""

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""

    def close(self) -> None:
        """Say the last word."""


class Silent:
    """Says nothing."""

    def __call__(self, event: AnyEvent) -> None:
        """Take note of nothing."""

    def close(self) -> None:
        """Say nothing."""


class Tally:
    """The little of a search that progress shows.

    Args:
        finished: Evaluations that had finished before.
        best: The lowest loss so far, with its individual.
        failed: How many of these evaluations had failed.
    """

    def __init__(self, finished: int, best: tuple[float, Identity] | None, failed: int = 0) -> None:
        self.finished = finished
        self.failed = failed
        self.best = best
        self.improved = False
        # Individual to what is known of its evaluation: the last step and loss.
        self.running: dict[Identity, str] = {}

    def add(self, event: AnyEvent) -> None:
        """Take note of an event."""
        if isinstance(event, Started):
            self.running[event.individual] = ""
        elif isinstance(event, Reported) and event.individual in self.running:
            self.running[event.individual] = f"step {event.step}, loss {number_text(event.loss)}"
        elif isinstance(event, Finished):
            self.running.pop(event.individual, None)
            self.finished += event.status != "interrupted"
            self.failed += event.status == "failed"
            if event.status == "completed" and event.loss is not None:
                found = (event.loss, event.individual)
                if self.best is None or found < self.best:
                    self.best, self.improved = found, True

    def best_text(self) -> str:
        """The best so far."""
        return "none yet" if self.best is None else f"{number_text(self.best[0])} by {'{}-{}'.format(*self.best[1])}"


class Lines:
    """A line every few seconds in which something happened.

    Args:
        tally: Where the search stands.
        total: How many evaluations are to finish; None: unknown.
        write: Takes one line.
        clock: Seconds.
    """

    def __init__(
        self,
        tally: Tally,
        total: int | None,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = tally
        self._total = total
        self._write = write
        self._clock = clock
        self._began = self._said = clock()
        self._pending = False

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""
        self._tally.add(event)
        self._pending = self._pending or isinstance(event, Finished)
        if self._pending and self._clock() - self._said >= _LINE_INTERVAL:
            self._say()

    def close(self) -> None:
        """Say where it ended."""
        if self._pending:
            self._say()

    def _say(self) -> None:
        self._said, self._pending = self._clock(), False
        tally = self._tally
        of_total = "" if self._total is None else f"/{self._total}"
        failed = f" ({tally.failed} failed)" if tally.failed else ""
        mark = " *" if tally.improved else ""
        tally.improved = False
        seconds = f"[{self._said - self._began:7.1f} s]"
        self._write(f"{seconds} {tally.finished}{of_total} evaluations{failed}, best {tally.best_text()}{mark}")


class LiveView:
    """A view that is redrawn in place.

    Args:
        tally: Where the search stands.
        total: How many evaluations are to finish; None: unknown.
        console: Where.
    """

    def __init__(self, tally: Tally, total: int | None, console: Console) -> None:
        self._tally = tally
        self._total = total
        self._began = time.monotonic()
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=False)
        self._live.start()

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""
        self._tally.add(event)

    def close(self) -> None:
        """Draw for the last time."""
        self._live.stop()

    def _render(self) -> RenderableType:
        tally = self._tally
        grid = Table.grid(padding=(0, 2))
        seconds = time.monotonic() - self._began
        of_total = "" if self._total is None else f" of {self._total}"
        failed = f", [red]{tally.failed} failed[/red]" if tally.failed else ""
        bar = ProgressBar(total=self._total, completed=tally.finished, width=30) if self._total else Text()
        grid.add_row(bar, f"{tally.finished}{of_total} evaluations{failed}", f"{seconds:.0f} s")
        grid.add_row("best", f"[green]{tally.best_text()}[/green]", "")
        # A copy, since the search goes on in another thread while this one draws.
        running = sorted(tally.running.copy().items())
        rows = [Text(f"  {'{}-{}'.format(*identity):>8}  {news}") for identity, news in running[:_MOST_RUNNING]]
        if len(running) > _MOST_RUNNING:
            rows.append(Text(f"  and {len(running) - _MOST_RUNNING} more"))
        return Group(grid, *rows)
