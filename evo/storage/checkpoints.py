"""Keeps the checkpoints of the best individuals only, because weights take the most room."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from evo.errors import UserError
from evo.population.events import AnyEvent, Died, Finished
from evo.population.identity import Identity
from evo.population.population import Population
from evo.population.states import StatesInUse

SUFFIX = ".ckpt"
"""The suffix of all checkpoints, including those of the user's callbacks."""
BEST = f"best{SUFFIX}"
"""The weights of a training at its best value, in the individual's folder."""
STATE = f"last{SUFFIX}"
"""The state from which a training continues, or others go on. In subfolders such a file is the user's own."""
INHERITED = "inherited"
"""The folder of an individual in which the state of its donor is, while it needs that."""


def partial_checkpoint(file: Path) -> Path:
    """The name of a checkpoint while it is written; it has the suffix too, so that a file left by a kill is deleted.

    Example:
        >>> partial_checkpoint(Path("last.ckpt")).name
        'last.part.ckpt'
    """
    return file.with_name(f"{file.stem}.part{file.suffix}")


_STATES = (STATE, partial_checkpoint(Path(STATE)).name, INHERITED)


def find_weights(folder: Path) -> list[Path]:
    """The checkpoints directly in an individual's folder, in the order of their names, without states of trainings.

    Args:
        folder: The folder of the individual; it need not exist.

    Raises:
        UserError: It cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"the checkpoints in {folder} cannot be read: {error.strerror}") from None
    return [folder / name for name in names if name.endswith(SUFFIX) and name not in _STATES]


class Weights:
    """Deletes the checkpoints of individuals as soon as enough better ones are known, and states of ended trainings.

    Checkpoints are the files and directories *.ckpt anywhere below an individual's folder, including sharded ones and
    those of a module's own callbacks. Links are deleted rather than followed, and nothing else is touched.

    A state is deleted only when the end of the training is recorded, because a kill before that would cost the whole
    training; and one from which others may go on when nobody needs it, see `evo.population.states.StatesInUse`. Each
    rank deletes the files of individuals that it has evaluated in this session; `sweep` those of all.

    Args:
        population: The population; each event must have been applied to it before it is passed to this object.
        folder: Returns the folder of an individual.
        rank: The rank whose individuals these are.
        keep: The number of best individuals of the study that keep their checkpoints.
        is_first: Whether this rank also deletes checkpoints that earlier sessions have left.
    """

    def __init__(
        self, population: Population, folder: Callable[[Identity], Path], rank: int, keep: int, is_first: bool
    ) -> None:
        self._population = population
        self._folder = folder
        self._rank = rank
        self._keep = keep
        self._kept: set[Identity] = self._best() if is_first else set()
        self._states = StatesInUse(population.individuals)
        # The individuals of this rank whose states are kept.
        self._with_state: set[Identity] = set(self._states.needed) if is_first else set()

    def __call__(self, event: AnyEvent) -> None:
        """Take an event into account."""
        self._states.apply(event)
        if isinstance(event, Died) and event.heir == self._rank:
            self._with_state |= self._states.needed
        if self._with_state:
            self._delete_states()
        if not isinstance(event, Finished) or event.status == "interrupted":
            return
        # A plain loss has no folder, and must not pay for looking into it.
        if event.rank == self._rank and os.path.isdir(folder := self._folder(event.individual)):
            self._kept.add(event.individual)
            _remove(folder / INHERITED)
            self._with_state.add(event.individual)
            self._delete_states()
        if self._kept:
            if beaten := self._kept - self._best():
                beaten -= self._running()
            self._kept -= beaten
            needed = self._states.needed
            for identity in beaten:
                _remove_checkpoints(self._folder(identity), but_state=identity in needed)

    def sweep(self, individuals: Path) -> int:
        """Delete the checkpoints of all individuals but the best, and the states of all trainings that have ended.

        Files that cannot be deleted stay, and those that cannot be read are not counted, because saving room is no
        reason to fail.

        Args:
            individuals: The folder that holds the folders of all individuals.

        Returns:
            The size in bytes of all individuals' files afterwards.
        """
        best = {self._folder(identity).name for identity in self._best()}
        needed = {self._folder(identity).name for identity in self._states.needed}
        running = {self._folder(identity).name for identity in self._running()}
        try:
            folders = list(individuals.iterdir())
        except OSError:
            return 0
        for folder in folders:
            if folder.name not in best | running:
                _remove_checkpoints(folder, but_state=folder.name in needed)
            if folder.name not in running:
                _remove(folder / INHERITED)
            if folder.name not in running | needed:
                delete_state(folder)
        return sum(map(_size, folders))

    def _delete_states(self) -> None:
        """Delete the states of this rank's individuals from which nobody will go on."""
        for identity in self._with_state - self._states.needed:
            self._with_state.discard(identity)
            delete_state(self._folder(identity))

    def _running(self) -> set[Identity]:
        """The individuals that are being evaluated, or will be again."""
        return {one.identity for one in self._population.running}

    def _best(self) -> set[Identity]:
        # An individual that was not trained here has no files, and takes no other one's place.
        imported = self._population.imported
        trained = (one.identity for one in self._population.ranking if one.identity not in imported)
        return set(itertools.islice(trained, self._keep))


def delete_state(folder: Path) -> None:
    """Delete the state of a training that has ended.

    Args:
        folder: The folder of the individual.
    """
    for name in _STATES:
        _remove(folder / name)


def _remove_checkpoints(folder: Path, *, but_state: bool = False) -> bool:
    """Remove all checkpoints below a folder, and the folders that this leaves empty; returns whether any was found."""
    found = False
    for path in _contents(folder):
        if but_state and path.name == STATE:
            continue
        if path.name.endswith(SUFFIX):
            found = _remove(path) or found
        elif path.is_dir() and not path.is_symlink() and _remove_checkpoints(path):
            found = True
            with suppress(OSError):  # The folder holds other files.
                path.rmdir()
    return found


def _contents(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if os.path.isdir(folder) else []
    except OSError:
        return []


def _remove(path: Path) -> bool:
    """Remove a file, a link or a whole directory; returns whether that was possible."""
    try:
        if path.is_dir() and not path.is_symlink():
            import shutil

            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True


def _size(folder: Path) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.stat(os.path.join(path, name), follow_symlinks=False).st_size
    return size
