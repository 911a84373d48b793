"""Keeps the checkpoints of the best individuals only, because weights take the most room."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from pathlib import Path

from evo.errors import UserError
from evo.population.events import AnyEvent, Died, Finished, Started
from evo.population.identity import Identity
from evo.population.keeping import Keeping
from evo.population.population import Population

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


# What is left beside the state of a training that has ended: what it has begun from, and what a kill has cut off.
_LEFT_OVER = (partial_checkpoint(Path(STATE)).name, INHERITED)
_STATES = (STATE, *_LEFT_OVER)


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

    With one loss the best keep theirs; with several objectives those that `evo.population.keeping.Keeping` says.

    Checkpoints are the files and directories *.ckpt anywhere below an individual's folder, including sharded ones and
    those of a module's own callbacks. Links are deleted rather than followed, and nothing else is touched.

    A state is deleted only when the end of the training is recorded, because a kill before that would cost the whole
    training; and one from which others may go on when nobody needs it, see `evo.population.states.StatesInUse`. Each
    rank deletes the files of individuals that it has evaluated in this session, and the states of those whose places it
    has taken, because their ranks may have died; `sweep` those of all.

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
        # Who keeps them with several objectives; None while there is one loss, or nobody has completed.
        self._keeping = self._begin_keeping() if population.standings.has_several else None
        self._kept: set[Identity] = self._best() if is_first else set()
        # The individuals of this rank that have left states which were needed.
        self._with_state: set[Identity] = set(self._needed) if is_first else set()

    def __call__(self, event: AnyEvent) -> None:
        """Take an event into account."""
        if isinstance(event, Finished):
            if event.status != "interrupted":
                self._finish(event)
        elif isinstance(event, Started):
            if event.segment is not None and self._rank == (event.individual[0] if event.rank is None else event.rank):
                self._take_place(event.individual)
        elif isinstance(event, Died) and event.heir == self._rank:
            self._with_state |= self._needed
        if self._with_state:
            self._delete_states()

    def _finish(self, event: Finished) -> None:
        if event.status == "completed" and self._population.standings.has_several:
            self._keeping = self._keeping or self._begin_keeping()
            if (known := self._population.find(event.individual)) is not None and known.status == "completed":
                self._keeping.add(known)
        # A plain loss has no folder, and must not pay for looking into it.
        if event.rank == self._rank and os.path.isdir(folder := self._folder(event.individual)):
            self._kept.add(event.individual)
            if event.individual in self._needed:
                self._with_state.add(event.individual)
                for name in _LEFT_OVER:
                    remove_path(folder / name)
            else:
                delete_state(folder)
            self._take_place(event.individual)
        if self._kept:
            if beaten := self._kept - self._best():
                beaten -= self._running()
            self._kept -= beaten
            for identity in beaten:
                _remove_checkpoints(self._folder(identity), but_state=identity in self._needed)

    def _take_place(self, identity: Identity) -> None:
        """Delete the states of those whose places one of this rank's individuals has taken or dropped, if possible."""
        known = self._population.find(identity)
        if known is None or known.segment is None:
            return
        for other in filter(None, (known.segment.replaces, *known.segment.drops)):
            former = self._population.find(other)
            if former is not None and other not in self._needed and not self._population.is_running(former):
                self._with_state.discard(other)
                delete_state(self._folder(other))

    def sweep(self, individuals: Path) -> int:
        """Delete the checkpoints of all individuals but the best, and the states of all trainings that have ended.

        Files that cannot be deleted stay, and those that cannot be read are not counted, because saving room is no
        reason to fail.

        Args:
            individuals: The folder that holds the folders of all individuals.

        Returns:
            The size in bytes of all individuals' files afterwards.
        """
        needed = {self._folder(identity).name for identity in self._needed}
        running = {self._folder(identity).name for identity in self._running()}
        folders = sweep_states(self._population, self._folder, individuals)
        best = {self._folder(identity).name for identity in self._last(folders)}
        for folder in folders:
            if folder.name not in best | running:
                _remove_checkpoints(folder, but_state=folder.name in needed)
        return sum(map(_size, folders))

    def to_test(self, sees_all: bool) -> list[Identity]:
        """The individuals of the front that keep their weights in the end, in its order, with several objectives.

        If none has any, since the objective saves none, they are those that would keep them.

        Args:
            sees_all: Whether the files of all individuals can be seen here, rather than only those of this rank.
        """
        if self._keeping is None:
            return []
        front = [one.identity for one in self._population.front]
        known = front if sees_all else [identity for identity in front if identity in self._keeping.members]
        with_weights = [identity for identity in known if sees_all and _has_checkpoints(self._folder(identity))]
        return [one.identity for one in self._keeping.last(with_weights or known)]

    def _begin_keeping(self) -> Keeping:
        return Keeping(self._population, self._keep, lambda identity: _has_checkpoints(self._folder(identity)))

    def _last(self, folders: Iterable[Path]) -> Iterable[Identity]:
        """The individuals that keep their checkpoints in the end."""
        if self._keeping is None:
            return self._best()
        names = {folder.name for folder in folders if _has_checkpoints(folder)}
        ranking = self._population.ranking
        having = [one.identity for one in ranking if self._folder(one.identity).name in names]
        return [one.identity for one in self._keeping.last(having)]

    @property
    def _needed(self) -> Set[Identity]:
        return self._population.states.needed

    def _delete_states(self) -> None:
        """Delete the states of this rank's individuals from which nobody will go on any more."""
        for identity in self._with_state - self._needed:
            self._with_state.discard(identity)
            delete_state(self._folder(identity))

    def _running(self) -> set[Identity]:
        """The individuals that are being evaluated, or will be again."""
        return {one.identity for one in self._population.running}

    def _best(self) -> set[Identity]:
        if self._keeping is not None:
            return self._keeping.members
        # An individual that was not trained here has no files, and takes no other one's place.
        imported = self._population.imported
        trained = (one.identity for one in self._population.ranking if one.identity not in imported)
        return set(itertools.islice(trained, self._keep))


def sweep_states(population: Population, folder: Callable[[Identity], Path], individuals: Path) -> list[Path]:
    """Delete all states that nobody needs. No rank may be about to evaluate.

    Args:
        population: The population.
        folder: Returns the folder of an individual.
        individuals: The folder that holds the folders of all individuals; it need not exist.

    Returns:
        The folders in there.
    """
    running = {folder(one.identity).name for one in population.running}
    needed = {folder(identity).name for identity in population.states.needed}
    folders = _contents(individuals)
    for each in folders:
        if each.name in running:
            continue
        for name in _LEFT_OVER if each.name in needed else _STATES:
            remove_path(each / name)
    return folders


def delete_state(folder: Path) -> None:
    """Delete the state of a training from which nobody goes on.

    Args:
        folder: The folder of the individual.
    """
    for name in _STATES:
        remove_path(folder / name)


def _remove_checkpoints(folder: Path, *, but_state: bool = False) -> bool:
    """Remove all checkpoints below a folder, and the folders that this leaves empty; returns whether any was found."""
    found = False
    # The state may be a link to another checkpoint beside it.
    kept = {STATE, Path(os.path.realpath(folder / STATE)).name} if but_state else set()
    for path in _contents(folder):
        if path.name in kept:
            continue
        if path.name.endswith(SUFFIX):
            found = remove_path(path) or found
        elif path.is_dir() and not path.is_symlink() and _remove_checkpoints(path):
            found = True
            with suppress(OSError):  # The folder holds other files.
                path.rmdir()
    return found


def _has_checkpoints(folder: Path) -> bool:
    """Whether there are checkpoints, other than the states of trainings, anywhere below a folder."""
    return any(
        path.name.endswith(SUFFIX) or (path.is_dir() and not path.is_symlink() and _has_checkpoints(path))
        for path in _contents(folder)
        if path.name not in _STATES
    )


def _contents(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if os.path.isdir(folder) else []
    except OSError:
        return []


def remove_path(path: Path) -> bool:
    """Remove a file, a link or a whole directory; returns whether that was possible.

    Args:
        path: What is removed; it need not exist.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            import shutil

            # Another rank may remove the same at this moment, so what is gone already is no reason to leave the rest.
            shutil.rmtree(path, ignore_errors=True)
            return not path.exists()
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
