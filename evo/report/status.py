"""The command `evo status`: where the searches in run directories stand."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from evo.commands import CommandParser, status_of
from evo.report.best import printable_json
from evo.report.display import run_heading, run_view, standing_line, standing_view, state_text
from evo.report.progress import interval_at
from evo.report.tables import plain_console
from evo.report.watching import RunStanding, RunWatch
from evo.texts import draws_in_place, printable, terminal_width

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_INTERVAL = 1.0  # Seconds between two looks at a run directory.
_WIDTH = 100  # The characters of a line where no terminal says how many there are.


def main(arguments: Sequence[str], program: str) -> int:
    """Show where searches stand.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 shown, 2 a run directory cannot be read.
    """
    parser = CommandParser(
        prog=program,
        description="Show where the search in a run directory stands, be it running, dead or complete. It is read from "
        "its files alone, which may be done from any machine that sees them, and does not disturb it.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="A run directory, complete or not.")
    parser.add_argument(
        "--follow",
        action="store_true",
        help="Go on until no search runs any more, or until Ctrl-C: drawn anew on a terminal, else as lines.",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="Print a JSON object for each run, for scripts; with --follow, one whenever something is new.",
    )
    options = parser.parse_args(arguments)

    return status_of(lambda: _show(options.runs, follow=options.follow, as_json=options.json), options.debug)


def _show(runs: Sequence[str], *, follow: bool, as_json: bool) -> None:
    watches = [RunWatch(name) for name in runs]
    found = [watch.look() for watch in watches]
    if as_json:
        tell = _Objects()
        if follow:
            _follow(watches, found, tell)
        else:
            tell(found)
    elif not follow:
        console = _console()
        for one in found:
            console.print(run_heading(one), style="bold", markup=False, soft_wrap=True)
            console.print(standing_view(one.standing, one.goes_on))
            if one is not found[-1]:
                console.print()
    elif draws_in_place():
        with _View(_console()) as view:
            _follow(watches, found, view)
    else:
        _follow(watches, found, _LinesOfRuns(has_several=len(runs) > 1))


def _follow(
    watches: Sequence[RunWatch], found: Sequence[RunStanding], tell: Callable[[Sequence[RunStanding]], None]
) -> None:
    """Look again and again, until no search goes on."""
    tell(found)
    while any(one.goes_on for one in found):
        time.sleep(_INTERVAL)
        found = [watch.look() for watch in watches]
        tell(found)


class _Objects:
    """Prints a JSON object for each run of which there is something new."""

    def __init__(self) -> None:
        self._printed: dict[str, tuple[float, str]] = {}

    def __call__(self, found: Sequence[RunStanding]) -> None:
        for one in found:
            if self._printed.get(one.run) != (one.written, one.state):
                self._printed[one.run] = one.written, one.state
                known = msgspec.to_builtins(one)
                standing = known.pop("standing")
                text = msgspec.json.encode({**known, **standing}).decode()
                print(printable_json(text), flush=True)


class _LinesOfRuns:
    """Prints a line for each run now and then, and when something becomes of it."""

    def __init__(self, has_several: bool) -> None:
        self._has_several = has_several
        self._began = time.monotonic()
        self._said: dict[str, tuple[float, RunStanding]] = {}

    def __call__(self, found: Sequence[RunStanding]) -> None:
        now = time.monotonic()
        for one in found:
            said, before = self._said.get(one.run, (-math.inf, one))
            has_changed = one.state != before.state
            is_due = now - said >= interval_at(now - self._began) and (one.written != before.written or said < 0)
            if is_due or has_changed:
                self._said[one.run] = now, one
                name = f"{one.run}: " if self._has_several else ""
                line = standing_line(one.standing, has_improved=_is_better(one, before) and said >= 0)
                what = "" if one.state == "running" else f"; {state_text(one)}"
                print(printable(f"{name}{line}{what}"), flush=True)


def _is_better(now: RunStanding, before: RunStanding) -> bool:
    """Whether the best individual, or the front, has changed; times and counts since then change all the time."""
    best, earlier = now.standing.best, before.standing.best
    if best is None or earlier is None:
        return best is not earlier
    return (best.individual, best.values, best.members) != (earlier.individual, earlier.values, earlier.members)


class _View:
    """Draws all runs, in the same place again and again."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> _View:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def __call__(self, found: Sequence[RunStanding]) -> None:
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = []
        for one in found:
            parts += [run_view(one), Text()]
        self._live.update(Group(*parts[:-1]), refresh=True)


def _console() -> Console:
    from rich.console import Console

    width = terminal_width()
    if not width and os.environ.get("FORCE_COLOR"):  # As https://force-color.org has it; NO_COLOR comes before it.
        return Console(highlight=False, width=_WIDTH, force_terminal=True)
    return Console(highlight=False, width=width) if width else plain_console(_WIDTH)
