"""Which points were tried, and from whose states."""

from __future__ import annotations

from dataclasses import dataclass, field

from evo.population.identity import Identity
from evo.population.segments import Donor, Segment


@dataclass(frozen=True)
class TriedPoints:
    """The points that were ever tried, by the bytes of their genomes.

    Args:
        begun: Those with which a training began.
        continued: Those with which a training went on, each with the individual from whose state it did.
    """

    begun: set[bytes] = field(default_factory=set)
    continued: set[tuple[Identity, bytes]] = field(default_factory=set)

    def add(self, key: bytes, segment: Segment | None) -> None:
        """Note that a point is tried.

        Args:
            key: The bytes of its genome.
            segment: The part of a training that it is.
        """
        if segment is None or segment.donor is None:
            self.begun.add(key)
        else:
            self.continued.add((segment.donor.individual, key))

    def __len__(self) -> int:
        """How often a training began or went on with a point that was new there."""
        return len(self.begun) + len(self.continued)

    def has(self, key: bytes, donor: Donor | None = None) -> bool:
        """Whether a training began with this point, or went on with it from the state of this donor."""
        return key in self.begun if donor is None else (donor.individual, key) in self.continued
