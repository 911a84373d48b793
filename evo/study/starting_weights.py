"""The file of weights with which all trainings of a study begin."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.storage.start_weights import StartWeights
from evo.storage.states import state_digest
from evo.texts import as_path, readable

StartFrom: TypeAlias = str | os.PathLike[str] | Sequence[Any] | Mapping[str, Any] | None
"""What the setting `start_from` may be."""


def start_points(given: StartFrom) -> str | os.PathLike[str] | Sequence[Any] | None:
    """What `start_from` says of points, see `evo.study.point_rows.read_points`; None when it says nothing.

    Raises:
        UserError: It is a mapping with other keys.
    """
    if not isinstance(given, Mapping):
        return given
    for name in given:
        if name not in ("weights", "points"):
            raise UserError(
                f"start_from has {name!r}{did_you_mean(str(name), ('weights', 'points'))}: it may have weights, a "
                "file, and points; a single point is a list of one mapping"
            )
    points: str | Sequence[Any] | None = given.get("points")
    return points


def find_start_weights(given: StartFrom) -> StartWeights | None:
    """The file of weights that `start_from` names; None when it names none.

    Whether they fit the network is found out where that is made, before anything is trained.

    Raises:
        UserError: There is no such file, or it cannot be read.
    """
    start_points(given)
    name = given.get("weights") if isinstance(given, Mapping) else None
    if name is None:
        return None
    if not isinstance(name, str | os.PathLike) or not os.fspath(name).strip():
        raise UserError(
            f"start_from.weights is {name!r}: name a checkpoint of Lightning, or a state_dict by torch.save"
        )
    file = as_path(name).absolute()
    if not file.is_file():
        why = "is a directory" if file.is_dir() else "does not exist"
        raise UserError(f"start_from.weights is {readable(os.fspath(name))}, which {why}: name a file of weights")
    try:
        return StartWeights(path=readable(os.fspath(file)), digest=state_digest(file))
    except OSError as error:
        raise UserError(f"start_from.weights {readable(os.fspath(name))} cannot be read: {error.strerror}") from None


def check_start_weights(where: str, found: StartWeights | None, asked: StartWeights | None) -> None:
    """Make sure that a study goes on with the weights that it has begun with.

    Args:
        where: The beginning of the message.
        found: The weights of the study.
        asked: Those that are asked for.

    Raises:
        UserError: They are others.
    """
    if found is None and asked is not None:
        raise UserError(f"{where}: its trainings do not begin from weights; choose another directory with --run-dir")
    if found is not None and asked is None:
        raise UserError(
            f"{where}: its trainings begin from {found.path}: name that with --start-from.weights, or choose another "
            "directory with --run-dir"
        )
    if found is not None and asked is not None and found.digest != asked.digest:
        raise UserError(
            f"{where}: its trainings begin from {found.path}, and {asked.path} holds something else now: bring the old "
            "file back, or choose another directory with --run-dir"
        )
