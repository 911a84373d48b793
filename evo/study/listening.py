"""Who hears of every event of a search: its files, the screen, and the callbacks and commands of the user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from evo.population.events import AnyEvent
from evo.population.population import Population
from evo.report.callbacks import Announcer, Callback, make_callbacks
from evo.report.progress import ProgressDisplay
from evo.report.results import Result
from evo.report.screen import Screen
from evo.runtime.device import training_environment
from evo.storage.checkpoints import Weights
from evo.storage.rundir import RunDirectory, Scratch
from evo.study.config import Config
from evo.study.durations import parse_duration

if TYPE_CHECKING:
    from evo.report.shell import ShellCommands


@final
class Listeners:
    """The callbacks and commands of the user's, on one rank; only the first one speaks to them.

    Args:
        config: The settings, which name them.
        directory: The folder with the study's files, if any are kept.
        population: What this rank knows.
        screen: Tells the user of those that fail.
    """

    def __init__(
        self, config: Config, directory: RunDirectory | Scratch, population: Population, screen: Screen
    ) -> None:
        self._config = config
        self._directory = directory
        self._population = population
        self._screen = screen
        self._commands: ShellCommands | None = None
        is_wanted = bool(config.callbacks or config.on_improvement or config.on_end)
        home = directory.individuals if isinstance(directory, RunDirectory) else None
        self._announcer = Announcer(self._make, population, home, screen.remark) if is_wanted else None

    def open(self) -> None:
        """Make the callbacks, as the first rank does before the search.

        Raises:
            UserError: One cannot be made.
        """
        if self._announcer is not None:
            self._announcer.open()

    def watch(
        self, weights: Weights, progress: ProgressDisplay, is_first: Callable[[], bool]
    ) -> Callable[[AnyEvent], None]:
        """A function that every event of the search is shown to.

        Args:
            weights: The checkpoints of this rank's individuals.
            progress: What shows progress.
            is_first: Returns whether this rank speaks for all.
        """

        def watch(event: AnyEvent) -> None:
            self._directory.remember(event)
            weights(event)
            progress(event)
            if is_first():
                self._screen.warn(event, self._population.states.needed)
            if self._announcer is not None:
                self._announcer(event, is_first())

        return watch

    def end(self, result: Result) -> None:
        """Say that the search has ended, on the first rank."""
        if self._announcer is not None and result.is_first:
            self._announcer.end(result)

    @contextmanager
    def unless_it_fails(self) -> Iterator[None]:
        """Kill what commands still run if the search inside fails."""
        try:
            yield
        except BaseException:
            if self._commands is not None:
                self._commands.close()
            raise

    def _make(self) -> Sequence[Callback]:
        config = self._config
        made = make_callbacks(config.callbacks)
        if config.on_improvement or config.on_end:
            from evo.report.shell import LOG, Shell, ShellCommands  # It loads what most ranks do without.

            log = self._directory.path / LOG if isinstance(self._directory, RunDirectory) else None
            shell = Shell(
                environment=training_environment(os.environ, {}),
                log=log,
                timeout=parse_duration("command_timeout", config.command_timeout),
                warn=self._screen.remark,
            )
            run_dir = "" if log is None else str(self._directory.path)
            self._commands = ShellCommands(
                config.on_improvement, config.on_end, shell, lambda: self._population.finished, run_dir, config.goals
            )
            made.append(self._commands)
        return made
