"""What the first rank prints: the beginning, the progress and the end of a search."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AnySet
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from evo.engine.budget import Budget
from evo.islands.archipelago import Archipelago
from evo.islands.migration import Migration
from evo.islands.topology import topology_text
from evo.population.events import AnyEvent, Finished, Started
from evo.population.identity import Identity, individual_name
from evo.population.objectives import Objectives
from evo.population.population import Population
from evo.report.contributions import contributions_text
from evo.report.course import Course
from evo.report.front_summary import objectives_line
from evo.report.progress import Lines, LiveView, ProgressDisplay, Silent, TakingOver
from evo.report.results import Result
from evo.report.tables import count_text, number_text, plain_console, shares_text, summary_text
from evo.runtime.batch import find_batch_system
from evo.runtime.device import Placement
from evo.space.description import limits_lines
from evo.space.growth import Change
from evo.space.limits import Parameter
from evo.texts import draws_in_place, print_anything, printable, readable, terminal_width

if TYPE_CHECKING:
    from rich.console import Console

_MOST_ISLANDS = 12


class Screen:
    """Prints for a person, on a terminal or into a log file.

    Args:
        silent: Whether to print nothing but warnings.
    """

    def __init__(self, silent: bool) -> None:
        self._silent = silent
        if not silent:
            print_anything()
        self._width = terminal_width()
        self._live = not silent and draws_in_place()

    @cached_property
    def _console(self) -> Console:
        """Made when something is printed: only the first rank needs rich."""
        from rich.console import Console

        return Console(force_terminal=True, highlight=False, width=self._width) if self._live else plain_console()

    def begin(
        self,
        name: str,
        directory: str,
        places: Sequence[Placement],
        budget: Budget,
        archipelago: Archipelago,
        migration: Migration | None,
    ) -> None:
        """Say what is searched, where, by whom and for how long."""
        workers = archipelago.workers
        self._print(f"evo: study {name} in {directory}; {_budget_text(budget, workers, len(places))}")
        for line in [*_map_lines(places), *_worker_lines(len(places), archipelago, migration)]:
            self._print(line)

    def objectives(self, objectives: Objectives) -> None:
        """Say what is minimised or maximised, and within which bounds, if it is not one loss only."""
        if line := objectives_line(objectives):
            self._print(f"  {line}")

    def parameters(self, parameters: Mapping[str, Parameter], goes_on: bool = False) -> None:
        """Say what each parameter may be, since limits may be read in more ways than one.

        Args:
            parameters: The checked limit of each name.
            goes_on: Whether trainings go on from one another.
        """
        for line in limits_lines(parameters, goes_on):
            self._print(f"  {line}")

    def limits_changed(self, changes: Sequence[Change], population: Population) -> None:
        """Say how the limits have changed, and what becomes of the earlier individuals."""
        for change in changes:
            self._print(f"other limits from now on: {change}")
        known, aside = population.started + population.abandoned, len(population.set_aside)
        outside = f"{aside} of {known} individuals are outside of them and set aside"
        self._print(outside if aside else f"all {known} individuals are within them")

    def notes(self, notes: Sequence[str]) -> None:
        """Say how what the user gave was understood, where that is worth saying."""
        for note in notes:
            self._print(f"  note: {note}")

    def progress(
        self,
        course: Course,
        population: Population,
        is_first: Callable[[], bool],
        recall: Callable[[], Iterable[AnyEvent]],
    ) -> ProgressDisplay:
        """Say what is known already, if anything is; returns what is to be shown every event from now on.

        Args:
            course: What has happened in earlier sessions; empty on ranks that are not the first.
            population: What this rank knows.
            is_first: Returns whether this rank speaks for all; another one does when the first has died.
            recall: Returns all events until now.
        """
        if self._silent:
            return Silent()

        def write(line: str) -> None:
            if is_first():
                self._print(line)

        if population.started:
            waiting = len(population.running)
            again = f", {waiting} of them in flight, which are evaluated first" if waiting else ""
            write(f"resumed: {population.started} individuals are known{again}")
        if not is_first():
            return TakingOver(course, recall, write, is_first)
        return LiveView(course, self._console) if self._live else Lines(course, write)

    def warn(self, event: AnyEvent, needed: AnySet[Identity]) -> None:
        """Say at once, even when silent, what hindered an evaluation, so that the search will stop; or whose state was
        gone, so that another one was a donor.

        Args:
            event: Any event.
            needed: The individuals whose states should be there.
        """
        if isinstance(event, Started) and not needed.isdisjoint(event.lost):
            with suppress(OSError):
                print(f"evo: warning: {lost_text(event)}", file=sys.stderr, flush=True)
        if isinstance(event, Finished) and event.status == "interrupted" and event.error:
            with suppress(OSError):
                error = printable(event.error)
                print(f"evo: {'{}-{}'.format(*event.individual)} is interrupted: {error}", file=sys.stderr)

    def remark(self, text: str) -> None:
        """Warn, even when silent, of what may make the results other than they seem."""
        with suppress(OSError):
            print(f"evo: warning: {printable(text)}", file=sys.stderr, flush=True)

    def end(self, result: Result, names: Sequence[str], workers: int, ranks: int) -> None:
        """Show what was found.

        Args:
            result: The result of the search.
            names: The names of the parameters, in their order.
            workers: The number of workers that took part.
            ranks: The number of ranks of all workers together.
        """
        if self._silent:
            return
        self._print("")
        with self._despite_the_output():
            self._console.print(summary_text(result.individuals, names, objectives=result.objectives))
        for note in _closing_notes(result, workers, ranks):
            self._print(note)

    def _print(self, line: str) -> None:
        if not self._silent:
            with self._despite_the_output():
                self._console.print(printable(line), soft_wrap=True, markup=False, emoji=False)
                sys.stdout.flush()

    @contextmanager
    def _despite_the_output(self) -> Iterator[None]:
        """Search on in silence when what is printed goes to a full disk, or to a reader who has left."""
        try:
            yield
        except (OSError, SystemExit):  # rich exits for a broken pipe.
            self._silent = True
            with suppress(OSError):  # Python flushes the output once more at its end, and would complain.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lost_text(event: Started) -> str:
    """That the states of donors were missing or damaged, and who is the donor instead, in one line.

    Args:
        event: The beginning of the individual for which this was found out.

    Example:
        >>> from evo.population.segments import Donor, Segment
        >>> segment = Segment(until=4, donor=Donor(individual=(2, 3), step=2, digest=""))
        >>> lost_text(Started(time=0.0, individual=(1, 7), island=0, params={}, segment=segment, lost=((0, 4),)))
        'the state of 0-4 is gone: 1-7 goes on from 2-3 instead'
    """
    names, name = ", ".join(map(individual_name, event.lost)), individual_name(event.individual)
    donor = event.segment.donor if event.segment else None
    instead = f"goes on from {individual_name(donor.individual)}" if donor else "begins a training"
    return f"the state of {names} is gone: {name} {instead} instead"


def _test_notes(result: Result, best: str) -> list[str]:
    """What was found on the test set, by the best candidate or by those of the front."""
    tested = {f"{name} of the front": found for name, found in result.tests.items()}
    tested = tested or ({f"the best candidate, {best}": result.test} if result.test else {})
    notes = []
    for which, metrics in tested.items():
        figures = ", ".join(f"{name} {number_text(value)}" for name, value in metrics.items())
        notes.append(f"{which}, on the test set, from its saved weights: {figures}")
    if result.test_error:
        which = "a candidate of the front" if result.tests else "the best candidate"
        notes.append(f"{which} could not be tested: {result.test_error}")
    return notes


def _closing_notes(result: Result, workers: int, ranks: int) -> list[str]:
    """The last lines: how it ended, the test of the best candidate, and where everything is."""
    from rich.filesize import decimal

    best, run_dir = result.best, result.run_dir
    when = f"in {result.seconds:.1f} s" if result.seconds else "in earlier sessions"
    notes = [f"{count_text(result.individuals)} {when}: {result.stop_reason}"]
    if contributed := contributions_text(result.individuals):
        notes.append(contributed)
    if result.lost_ranks:
        lost = f"rank{'s' * (len(result.lost_ranks) > 1)} {', '.join(map(str, result.lost_ranks))} of {ranks}"
        notes.append(f"{lost} died, and the others took over")
    if best is None:
        notes.append("no evaluation completed, so there is no best candidate")
    elif best.origin and not result.objectives.are_several:
        notes.append(f"the best candidate, {best.name}, is known from {best.origin}: it was not evaluated here")
    else:
        notes += _test_notes(result, best.name)
    if shares := shares_text(result.times):
        notes.append(f"where the time went: {shares}")
    if result.digest:
        who = f"{workers - len(result.lost_ranks) * workers // ranks} {'ranks' if workers == ranks else 'workers'}"
        notes.append(f"all {who} hold the same population: {result.digest[:16]}")
    if run_dir is not None:
        record = ", summary.json" if (run_dir / "summary.json").exists() else ""
        size = f" ({decimal(result.individuals_bytes)})" if result.individuals_bytes else ""
        notes.append(f"everything is in {readable(str(run_dir))}: study.json, journal/, individuals/{size}{record}")
        notes += _files_notes(result, run_dir)
        if any((run_dir / "individuals").glob("*/events.out.tfevents*")):
            notes.append(f"learning curves: tensorboard --logdir {readable(str(run_dir / 'individuals'))}")
    if result.interrupted:
        system = find_batch_system(os.environ)
        how = f" ({system.name}: {system.again})" if system else ""
        notes.append("not complete" + (f": run the same command again to go on{how}" if run_dir else ""))
    return notes


def _files_notes(result: Result, run_dir: Path) -> list[str]:
    """Where the files of the best candidate, or of the knee of the front, are, if there are any."""
    are_several = result.objectives.are_several
    one = result.knee if are_several else result.best
    folder = run_dir / "individuals" / (one.name if one else "")
    if one is None or not folder.is_dir():
        return []
    what = f"the files of {one.name}, the knee of the front," if are_several else "the best candidate's files"
    if result.tests:  # These have kept their weights.
        what, folder = f"the weights of {', '.join(result.tests)}", folder.parent
    return [f"{what} are in {readable(str(folder))}"]


def _budget_text(budget: Budget, workers: int, ranks: int) -> str:
    parts = []
    if budget.generations:
        who = f" on each of {workers} {'ranks' if workers == ranks else 'workers'}" if workers > 1 else ""
        parts.append(f"{budget.generations} generations{who}")
    if budget.evaluations:
        parts.append(f"{budget.evaluations} evaluations")
    if budget.goal is not None:
        parts.append(f"until {budget.goal.condition}")
    if budget.deadline is not None:
        parts.append(f"until {budget.why_deadline}")
    return " or ".join(parts)


def _map_lines(places: Sequence[Placement]) -> list[str]:
    """One line per host: which ranks it has, and what they train on."""
    hosts: dict[str, list[Placement]] = {}
    for place in places:
        hosts.setdefault(place.host, []).append(place)
    lines = []
    for host, ranks in hosts.items():
        devices = ", ".join(f"{place.rank} on {place.device}" for place in ranks)
        threads = sorted({place.threads for place in ranks})
        many = "-".join(str(count) for count in dict.fromkeys((threads[0], threads[-1])))
        lines.append(
            f"  {host}: {'ranks' if len(ranks) > 1 else 'rank'} {devices}; {many} thread{'s' * (threads[-1] > 1)} each"
        )
    return lines


def _worker_lines(ranks: int, archipelago: Archipelago, migration: Migration | None) -> list[str]:
    """Which ranks form a worker, and which workers live together; nothing when each is alone on the only island."""
    lines = []
    size = ranks // archipelago.workers
    if size > 1:
        last = archipelago.workers - 1
        others = f", …, worker {last} of ranks {last * size}-{ranks - 1}" if last else ""
        lines.append(f"  worker 0 of ranks 0-{size - 1}{others}")
    if migration is not None:
        members = [f"{island}: {_range_text(workers)}" for island, workers in enumerate(archipelago.members)]
        shown = members if len(members) <= _MOST_ISLANDS else [*members[: _MOST_ISLANDS - 1], "…", members[-1]]
        lines.append(f"  {archipelago.islands} islands of {'workers' if size > 1 else 'ranks'}: {', '.join(shown)}")
        what = {"copy": "copies travel", "move": "individuals move"}[migration.mode]
        lines.append(f"  {what} with probability {migration.probability:g}: {topology_text(migration.topology)}")
    return lines


def _range_text(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
