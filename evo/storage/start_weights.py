"""The file of weights with which all trainings of a study begin, as the study records it."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from evo.errors import UserError
from evo.storage.states import state_digest
from evo.texts import as_path


class StartWeights(msgspec.Struct, frozen=True, kw_only=True):
    """The file of weights with which all trainings of a study begin.

    Args:
        path: Its path.
        digest: Its digest, see `evo.storage.states.state_digest`.
    """

    path: str
    digest: str


def same_start_weights(weights: StartWeights | None) -> str:
    """The path of the weights of a study, after a check that the file is still the same; empty when there are none.

    Raises:
        UserError: It is gone, or another one.
    """
    if weights is None:
        return ""
    with suppress(OSError):
        if state_digest(as_path(weights.path)) == weights.digest:
            return weights.path
    raise UserError(
        f"the trainings of this study begin from {weights.path}, which is gone or holds something else now: bring the "
        "old file back"
    )
