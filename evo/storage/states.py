"""States of trainings that other individuals go on from: their digests, and how one is taken over from a donor."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from evo.ownership import belongs_to_user
from evo.population.identity import Identity, individual_name
from evo.population.segments import Donor
from evo.storage.checkpoints import INHERITED, STATE, remove_path
from evo.storage.retry import StorageError, persist, why_not_writable

_BLOCK = 2**20  # Bytes that are read at once.
_DIGEST_BYTES = 16
# A state that cannot be read because of these is not there for this user; other errors may be over in a moment.
_ABSENT = (FileNotFoundError, NotADirectoryError, PermissionError)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def state_digest(state: Path) -> str:
    """The digest of a state: of a file, or of all files of a directory with their names.

    Args:
        state: The file or directory.

    Raises:
        OSError: It cannot be read, or is neither.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name, file in _files(state):
        digest.update(os.fsencode(name) + f"\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def has_state(state: Path) -> bool:
    """Whether there is a state: a file, or a directory with any file in it, since nobody can go on from an empty one.

    Args:
        state: The file or directory.

    Raises:
        OSError: It cannot be read, or holds what is neither.
    """
    return state.exists() and next(_files(state), None) is not None


class StateTaker:
    """Takes the state of a donor over into the folder of an individual that goes on from it.

    The files are linked, which takes neither time nor room, and they stay whatever becomes of the donor's own. Where
    the file system has no links, they are copied; but another user's are not, because a copy would be the user's own,
    which may hold any code.

    Args:
        folder: Returns the folder of an individual.
        trust: Whether other users' files may be copied.
    """

    def __init__(self, folder: Callable[[Identity], Path], trust: bool = False) -> None:
        self._folder = folder
        self._trust = trust

    def __call__(self, individual: Identity, donor: Donor) -> bool:
        """Take over a state; one that is there already stays.

        Args:
            individual: The individual that goes on.
            donor: Its donor.

        Returns:
            Whether the individual can go on from there; False when the donor's state is missing, on another machine's
            disk, cannot be read, or is not what the donor has left.

        Raises:
            StorageError: The folder of the individual cannot be written, for half a minute now.
        """
        own = self._folder(individual)
        if (own / STATE).exists():
            return True  # It goes on after an interruption.
        failed: list[OSError] = []

        def take() -> bool:
            try:
                return self._take(own / INHERITED, donor)
            except OSError as error:
                failed.append(error)
                raise

        try:
            taken = persist(f"the state of {individual_name(donor.individual)} cannot be taken over to {own}", take)
        except StorageError:
            if failed[-1].errno in _NO_ROOM or why_not_writable(own, failed[-1]):
                raise
            taken = False  # It is the donor's state that cannot be read.
        if not taken:
            remove_path(own / INHERITED)
        return taken

    def _take(self, inherited: Path, donor: Donor) -> bool:
        """Take over a state; a repeated call begins anew.

        Raises:
            OSError: Something failed that may be over in a moment.
        """
        if _is_whole(inherited / STATE, donor):
            return True
        remove_path(inherited)
        inherited.mkdir(parents=True)
        source = self._folder(donor.individual) / STATE
        try:
            files = list(_files(source))
        except _ABSENT:
            return False
        for name, file in files:
            target = inherited / STATE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not self._link(file, target):
                return False
        return _is_whole(inherited / STATE, donor)

    def _link(self, file: Path, target: Path) -> bool:
        """Link or copy a file; returns whether there is one that may be taken.

        Raises:
            OSError: It cannot be copied.
        """
        try:
            # A link to a relative symbolic link would lead elsewhere.
            os.link(os.path.realpath(file), target)
        except FileNotFoundError:
            return False
        except OSError:
            if not (self._trust or belongs_to_user(file)):
                return False
            try:
                shutil.copyfile(file, target)
            except FileNotFoundError:
                return False
        return True


def _is_whole(state: Path, donor: Donor) -> bool:
    try:
        return state_digest(state) == donor.digest
    except _ABSENT:
        return False


def _files(state: Path) -> Iterator[tuple[str, Path]]:
    """The files of a state by their names below it, in order; the name of a state that is one file is empty.

    Raises:
        OSError: It is absent, or holds what is neither file nor directory, such as a named pipe.
    """
    if not state.is_dir():
        state.stat()
        files = [("", state)]
    else:
        files = sorted((path.relative_to(state).as_posix(), path) for path in state.rglob("*") if not path.is_dir())
    for name, file in files:
        if file.exists() and not file.is_file():
            raise FileNotFoundError(errno.ENOENT, "neither a file nor a directory", str(file))
        yield name, file
