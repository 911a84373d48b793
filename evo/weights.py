"""Weights take the most room: only the best individuals of a study keep theirs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from evo.events import AnyEvent, Finished, Identity
from evo.population import Population

_PATTERN = "*.ckpt"
_STATE = "last*.ckpt"  # What a training goes on from; of no use once it has ended.


class Weights:
    """Deletes the checkpoints of individuals as soon as enough better ones are known, and states of ended trainings.

    A state goes when the end is recorded: a kill before that would cost the whole training. Each rank looks after what
    it has evaluated itself, in this session; `sweep` after all.

    Args:
        population: What is known; each event must have been applied before it is shown here.
        folder: Of an individual.
        rank: Whose individuals these are.
        keep: How many of the best individuals of the study keep their checkpoints.
    """

    def __init__(self, population: Population, folder: Callable[[Identity], Path], rank: int, keep: int) -> None:
        self._population = population
        self._folder = folder
        self._rank = rank
        self._keep = keep
        self._kept: set[Identity] = set()

    def __call__(self, event: AnyEvent) -> None:
        """Take note of an event."""
        if not isinstance(event, Finished) or event.status == "interrupted":
            return
        if event.rank == self._rank:
            self._kept.add(event.individual)
            delete_state(self._folder(event.individual))
        if self._kept:
            beaten = self._kept - self._best()
            self._kept -= beaten
            with suppress(OSError):  # The end is early enough.
                _delete(self._folder(identity) for identity in beaten)

    def sweep(self, individuals: Path) -> int:
        """Delete the checkpoints of all individuals but the best, and the states of all trainings that have ended.

        Args:
            individuals: The folder of all their folders.

        Returns:
            Bytes that all individuals' files take, afterwards.
        """
        best = {self._folder(identity).name for identity in self._best()}
        running = {self._folder(one.identity).name for one in self._population.running if one.identity is not None}
        folders = list(individuals.iterdir()) if individuals.is_dir() else []
        _delete(folder for folder in folders if folder.name not in best | running)
        _delete((folder for folder in folders if folder.name not in running), _STATE)
        files = itertools.chain.from_iterable(folder.rglob("*") for folder in folders)
        return sum(file.stat().st_size for file in files if file.is_file())

    def _best(self) -> set[Identity]:
        ranking = itertools.islice(self._population.ranking, self._keep)
        return {individual.identity for individual in ranking if individual.identity is not None}


def delete_state(folder: Path) -> None:
    """Delete what a training goes on from, which has ended.

    Args:
        folder: Of the individual.
    """
    _delete([folder], _STATE)


def _delete(folders: Iterable[Path], pattern: str = _PATTERN) -> None:
    for folder in folders:
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
