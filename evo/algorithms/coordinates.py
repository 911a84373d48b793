"""The numbers of a genome as coordinates: what algorithms that search along lines and ellipsoids see of it."""

from __future__ import annotations

import numpy as np

from evo.algorithms.distribution import Array
from evo.space.genes import Gene
from evo.space.space import Genome, Space

# A grid with more cells than this is as good as continuous.
_FINE = 2000


class Coordinates:
    """Turns genomes into points, whose coordinates are the ordered genes, and back.

    Args:
        space: The search space.
    """

    def __init__(self, space: Space) -> None:
        self.genes = np.nonzero(space.ordered)[0]
        """The indices of the ordered genes: numbers and ordered choices."""
        cells = space.cells[self.genes]
        self.widths: Array = np.where(np.isinf(cells), 0.0, 1 / cells)
        """The width of a cell of each coordinate; 0 where it is continuous."""
        searched = [gene for gene in space.genes if not gene.is_constant]
        self._grids: list[tuple[int, Array, Array]] = []
        for place, (index, count) in enumerate(zip(self.genes, cells, strict=True)):
            if count <= _FINE:
                places = np.array([searched[index].of_cell(cell) for cell in range(int(count))])
                self._grids.append((place, places, _borders(searched[index], places)))

    def __len__(self) -> int:
        return len(self.genes)

    def point(self, genome: Genome) -> Array:
        """The coordinates of a genome; an inactive one is in the middle."""
        point = genome[self.genes]
        return np.where(np.isnan(point), 0.5, point)

    def rounded(self, points: Array) -> Array:
        """Points as they would be evaluated: within bounds, and in the middle of their cells.

        Args:
            points: Shape (points, coordinates).
        """
        points = np.clip(points, 0.0, 1.0)
        for place, places, borders in self._grids:
            points[:, place] = places[np.searchsorted(borders, points[:, place])]
        return points

    def genome(self, point: Array, like: Genome) -> Genome:
        """The genome at a point; categories, and which genes are inactive, are as in another genome.

        Args:
            point: Shape (coordinates,).
            like: The other genome.
        """
        genome = like.copy()
        genome[self.genes] = np.where(np.isnan(like[self.genes]), np.nan, np.clip(point, 0.0, 1.0))
        return genome


def _borders(gene: Gene, places: Array) -> Array:
    """Where the cells of a grid meet: halfway between their values, which is not halfway on a log scale."""
    values = [gene.decode(place) for place in places]
    if len(places) > 1 and getattr(gene, "log", False):
        numbers = np.array(values, dtype=float)
        slope = (places[-1] - places[0]) / np.log(numbers[-1] / numbers[0])
        return np.asarray(places[0] + slope * np.log((numbers[1:] + numbers[:-1]) / 2 / numbers[0]))
    return np.asarray((places[1:] + places[:-1]) / 2)
