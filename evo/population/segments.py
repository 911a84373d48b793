"""Parts of trainings: from whose state an individual goes on, until which step, and which states are still needed."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from evo.population.identity import Identity

Step: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number of complete training steps, usually epochs."""


class SavedState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The state that an individual has left, from which others may go on.

    Args:
        step: The number of complete training steps after which it was saved, those of its donors included.
        digest: The digest of its file, see `evo.storage.states.state_digest`.
        is_over: Whether the training is at its end, so that nothing can go on from here.
    """

    step: Step
    digest: str
    is_over: bool = False


class Donor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The individual from whose state another one goes on.

    Args:
        individual: Its identity.
        step: The step of its state, as in `SavedState`.
        digest: The digest of its file.
    """

    individual: Identity
    step: Step
    digest: str


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The part of a training that one evaluation is.

    Args:
        until: The step at which it ends, counted from the beginning of the training.
        donor: The individual from whose state it goes on. None means that the training begins here.
        replaces: The individual whose place in the population it takes: the state of that one is not needed any more
            once this one has begun from another state, or has left a state of its own. None means a new place.
        drops: Others whose places are given up, because there are more than the population has: several workers have
            taken one place at the same moment. Their states are not needed any more once this one has begun.
    """

    until: Step
    donor: Donor | None = None
    replaces: Identity | None = None
    drops: tuple[Identity, ...] = ()

    @property
    def begin(self) -> int:
        """The step from which it goes on; 0 where the training begins."""
        return self.donor.step if self.donor else 0
