"""Why a worker stops: a kind by which the program goes, and a text for people."""

from __future__ import annotations

import enum

import msgspec


class StopKind(str, enum.Enum):
    """What makes a worker stop; its value is what journals hold."""

    GENERATIONS = "generations"
    EVALUATIONS = "evaluations"
    EXHAUSTED = "exhausted"
    TARGET = "target"
    TOO_MANY_FAILED = "too_many_failed"
    DEADLINE = "deadline"
    TOO_SHORT = "too_short"
    REQUESTED = "requested"
    STORAGE = "storage"


_BEFORE_THE_END = {StopKind.DEADLINE, StopKind.TOO_SHORT, StopKind.REQUESTED, StopKind.STORAGE}


class StopReason(msgspec.Struct, frozen=True):
    """Why a worker stops.

    Args:
        kind: What the reason is.
        text: The same for people, in a few words.

    Example:
        >>> StopReason(StopKind.DEADLINE, "the walltime is over").is_before_the_end
        True
    """

    kind: StopKind
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_before_the_end(self) -> bool:
        """Whether whoever stops for it does so before the budget is spent: the same command goes on."""
        return self.kind in _BEFORE_THE_END
