"""Whether files are the user's own: a file that another user owns, or may write to, can hold any code."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path


def belongs_to_user(file: Path) -> bool:
    """Whether a file is the user's own, see `why_foreign`.

    Args:
        file: The file; one that does not exist is not the user's own.
    """
    return not why_foreign(file)


def why_foreign(file: Path) -> str:
    """The reason why a file is not the user's own, as the rest of a sentence; empty when it is.

    The file and its folder must belong to the user who runs this process, and neither all users nor a group other than
    the user's primary one may write to them. A folder with the sticky bit is fine, because others cannot replace the
    user's files there. A symbolic link and its target must both fulfil this.

    Args:
        file: The file; one that does not exist is nobody's.

    Example:
        >>> why_foreign(Path("/dev/null/absent"))
        'cannot be looked at: Not a directory'
    """
    try:
        return _why_foreign([file.lstat(), file.stat(), file.parent.stat(), file.resolve().parent.stat()])
    except (OSError, RuntimeError) as error:  # Links that point to each other.
        return f"cannot be looked at: {getattr(error, 'strerror', None) or error}"


def is_own_folder(folder: Path) -> bool:
    """Whether a folder belongs to the user, and only the user may write to it, as `why_foreign` has it.

    Args:
        folder: The folder; one that does not exist is nobody's.
    """
    try:
        return not _why_foreign([folder.stat()])
    except OSError:
        return False


def _why_foreign(states: Sequence[os.stat_result]) -> str:
    user = os.geteuid()
    if any(state.st_uid != user for state in states):
        return "belongs to another user"
    if any(_is_open_to_others(state) for state in states):
        return "can be written by other users (chmod go-w makes it yours alone)"
    return ""


def _is_open_to_others(state: os.stat_result) -> bool:
    """Whether users other than its owner may write to a file, or replace the files of a folder."""
    if stat.S_ISLNK(state.st_mode) or (stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX):
        return False
    is_of_own_group = state.st_gid == _primary_group()
    return bool(state.st_mode & stat.S_IWOTH) or (bool(state.st_mode & stat.S_IWGRP) and not is_of_own_group)


def _primary_group() -> int:
    """The primary group of the user's account, because newgrp changes that of the process."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_gid
    except KeyError:  # A user without an account, as in a container.
        return os.getegid()
