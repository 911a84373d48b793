"""Which donors a worker may go on from, and which places of a population are free."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from evo.engine.learning import Learning
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.population.population import Population
from evo.population.segments import Donor, Segment
from evo.space.space import Genome


class Places:
    """What of a population's places and states this worker may use, as far as it knows.

    Args:
        population: The population as this worker knows it.
        learning: Knows which states this worker has found missing.
    """

    def __init__(self, population: Population, learning: Learning) -> None:
        self._population = population
        self._learning = learning

    def find(self, donor: Donor) -> Known | None:
        """The individual whose state this is; None if nobody can go on from there."""
        population, identity = self._population, donor.individual
        if identity not in population.states.needed:
            return None
        if identity in self._learning.lost or identity in population.set_aside:
            return None
        known = population.find(identity)
        return known if known is not None and known.donor == donor else None

    @property
    def busy(self) -> set[Identity]:
        """The individuals whose places those take that are in flight."""
        running = (one.segment for one in self._population.running)
        return {segment.replaces for segment in running if segment is not None and segment.replaces is not None}

    def is_free(self, segment: Segment, busy: Collection[Identity]) -> bool:
        """Whether nobody has taken the place that a segment is to take.

        Args:
            segment: The segment.
            busy: As the attribute of this name gives it; to ask that only once for many segments.
        """
        replaced = segment.replaces
        return replaced is None or (replaced not in busy and not self._population.states.is_taken(replaced))

    def fits(self, genome: Genome, donor: Known) -> bool:
        """Whether a point has the donor's genes where a training cannot change them.

        It may not, where constraints have moved it, or where what may change decides on what may not.
        """
        fixed = ~self._population.space.mutable
        return np.array_equal(genome[fixed], donor.genome[fixed], equal_nan=True)
