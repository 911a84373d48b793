"""Which points were tried, and from whose states."""

from __future__ import annotations

from dataclasses import dataclass, field

from evo.population.identity import Identity
from evo.population.segments import Segment


@dataclass(frozen=True)
class TriedPoints:
    """The points that were ever tried, by the bytes of their genomes.

    Args:
        begun: Those with which a training began.
        continued: Those with which a training went on, each with the individuals from whose state and in whose place.
            So a place may always go on from its own state, whoever else has done that.
    """

    begun: set[bytes] = field(default_factory=set)
    continued: set[tuple[Identity, Identity | None, bytes]] = field(default_factory=set)

    def add(self, key: bytes, segment: Segment | None) -> None:
        """Note that a point is tried.

        Args:
            key: The bytes of its genome.
            segment: The part of a training that it is.
        """
        if segment is None or segment.donor is None:
            self.begun.add(key)
        else:
            self.continued.add((segment.donor.individual, segment.replaces, key))

    def __len__(self) -> int:
        """How often a training began or went on with a point that was new there."""
        return len(self.begun) + len(self.continued)

    def has(self, key: bytes, segment: Segment | None = None) -> bool:
        """Whether a training began with this point, or went on with it as this segment would.

        Args:
            key: The bytes of its genome.
            segment: The part of a training that it would be.
        """
        if segment is None or segment.donor is None:
            return key in self.begun
        return (segment.donor.individual, segment.replaces, key) in self.continued
