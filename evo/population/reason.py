"""Why a worker stops: a kind for the program, and a text for people."""

from __future__ import annotations

import enum

import msgspec


class StopKind(str, enum.Enum):
    """The kinds of reasons to stop; journals hold their values."""

    GENERATIONS = "generations"
    EVALUATIONS = "evaluations"
    EXHAUSTED = "exhausted"
    TARGET = "target"
    TOO_MANY_FAILED = "too_many_failed"
    DEADLINE = "deadline"
    TOO_SHORT = "too_short"
    REQUESTED = "requested"
    STORAGE = "storage"

    @property
    def is_before_the_end(self) -> bool:
        """Whether the search stops before its budget is spent, so that the same command continues it."""
        return self in _BEFORE_THE_END


_BEFORE_THE_END = {StopKind.DEADLINE, StopKind.TOO_SHORT, StopKind.REQUESTED, StopKind.STORAGE}


class StopReason(msgspec.Struct, frozen=True):
    """The reason why a worker stops.

    Args:
        kind: The kind of reason.
        text: The reason for people, in a few words.

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
        """Whether the search stops before its budget is spent, so that the same command continues it."""
        return self.kind.is_before_the_end
