"""States of trainings that other individuals go on from: their digests, and how one is taken over from a donor."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from evo.population.identity import Identity
from evo.population.segments import Donor
from evo.storage.checkpoints import INHERITED, STATE

_BLOCK = 2**20  # Bytes that are read at once.
_DIGEST_BYTES = 16


def state_digest(state: Path) -> str:
    """The digest of a state: of a file, or of all files of a directory with their names.

    Args:
        state: The file or directory.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name, file in _files(state):
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


class StateTaker:
    """Takes the state of a donor over into the folder of an individual that goes on from it.

    The files are linked, which takes neither time nor room, and they stay whatever becomes of the donor's own. Where
    the file system has no links, they are copied.

    Args:
        folder: Returns the folder of an individual.
    """

    def __init__(self, folder: Callable[[Identity], Path]) -> None:
        self._folder = folder

    def __call__(self, individual: Identity, donor: Donor) -> bool:
        """Take over a state; one that is there already stays.

        Args:
            individual: The individual that goes on.
            donor: Its donor.

        Returns:
            Whether the individual can go on from there; False when the donor's state is missing, on another machine's
            disk, or not what the donor has left.
        """
        own = self._folder(individual)
        inherited = own / INHERITED / STATE
        if (own / STATE).exists() or _is_whole(inherited, donor):
            return True  # It goes on after an interruption.
        with suppress(OSError):
            shutil.rmtree(inherited.parent, ignore_errors=True)
            inherited.parent.mkdir(parents=True)
            for name, file in _files(self._folder(donor.individual) / STATE):
                target = inherited / name if name else inherited
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(file, target)
                except FileNotFoundError:
                    raise
                except OSError:
                    shutil.copyfile(file, target)
            if _is_whole(inherited, donor):
                return True
        shutil.rmtree(inherited.parent, ignore_errors=True)
        return False


def _is_whole(state: Path, donor: Donor) -> bool:
    try:
        return state.exists() and state_digest(state) == donor.digest
    except OSError:
        return False


def _files(state: Path) -> Iterator[tuple[str, Path]]:
    """The files of a state by their names below it, in order; the name of a state that is one file is empty."""
    if not state.is_dir():
        yield "", state
        return
    for file in sorted(state.rglob("*")):
        if file.is_file():
            yield file.relative_to(state).as_posix(), file
