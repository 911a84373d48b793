"""Progress while a search runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from evo.population.events import AnyEvent, Finished, Identity, Reported
from evo.population.population import Population
from evo.report.tables import number_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_LINE_INTERVAL = 5.0  # Seconds between two lines, so that a log of a long search stays readable.
_MOST_RUNNING = 16


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


class Tally:
    """What progress shows of a search.

    Args:
        population: What the rank knows, kept up to date by the search.
    """

    def __init__(self, population: Population) -> None:
        self._population = population
        self._best_before = population.best
        # The last step and loss of each individual in evaluation.
        self._reports: dict[Identity, str] = {}

    @property
    def finished(self) -> int:
        """How many evaluations have finished."""
        return self._population.finished

    @property
    def failed(self) -> int:
        """How many of these have failed."""
        return self._population.counts["failed"]

    @property
    def besides(self) -> list[str]:
        """How many of these have no loss, and why; nothing where all have one."""
        counts = self._population.counts
        return [f"{counts[status]} {status}" for status in ("infeasible", "failed") if counts[status]]

    @property
    def running(self) -> dict[Identity, str]:
        """The individuals in evaluation, with what is known of each."""
        return {one.identity: self._reports.get(one.identity, "") for one in self._population.running}

    def add(self, event: AnyEvent) -> None:
        """Take note of an event."""
        if isinstance(event, Reported):
            self._reports[event.individual] = f"step {event.step}, loss {number_text(event.loss)}"
        elif isinstance(event, Finished):
            self._reports.pop(event.individual, None)

    def has_improved(self) -> bool:
        """Whether there is a better one than when this was last asked."""
        before, self._best_before = self._best_before, self._population.best
        return self._best_before is not before

    def best_text(self) -> str:
        """The best loss so far, and the individual that has it."""
        best = self._population.best
        if best is None:
            return "none yet"
        return f"{number_text(best.loss)} by {'{}-{}'.format(*best.identity)}"


class Lines:
    """A line every few seconds in which something happened.

    Args:
        tally: Where the search stands.
        total: How many evaluations are to finish. None means that this is unknown.
        write: Prints one line.
        clock: Returns the time in seconds.
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
        failed = f" ({', '.join(tally.besides)})" if tally.besides else ""
        mark = " *" if tally.has_improved() else ""
        seconds = f"[{self._said - self._began:7.1f} s]"
        self._write(f"{seconds} {tally.finished}{of_total} evaluations{failed}, best {tally.best_text()}{mark}")


class LiveView:
    """A view that is redrawn in place.

    Args:
        tally: Where the search stands.
        total: How many evaluations are to finish. None means that this is unknown.
        console: The console to draw on.
    """

    def __init__(self, tally: Tally, total: int | None, console: Console) -> None:
        from rich.live import Live

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
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tally = self._tally
        grid = Table.grid(padding=(0, 2))
        seconds = time.monotonic() - self._began
        of_total = "" if self._total is None else f" of {self._total}"
        failed = "".join(f", [red]{text}[/red]" for text in tally.besides)
        bar = ProgressBar(total=self._total, completed=tally.finished, width=30) if self._total else Text()
        grid.add_row(bar, f"{tally.finished}{of_total} evaluations{failed}", f"{seconds:.0f} s")
        grid.add_row("best", f"[green]{tally.best_text()}[/green]", "")
        running = sorted(tally.running.items())
        rows = [Text(f"  {'{}-{}'.format(*identity):>8}  {news}") for identity, news in running[:_MOST_RUNNING]]
        if len(running) > _MOST_RUNNING:
            rows.append(Text(f"  and {len(running) - _MOST_RUNNING} more"))
        return Group(grid, *rows)
