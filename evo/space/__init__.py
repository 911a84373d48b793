"""The search space: limits, constraints, and the genomes that propagators work on."""

from evo.space.parameters import Choice, Float, Int
from evo.space.space import Genome, Space

__all__ = ["Choice", "Float", "Genome", "Int", "Space"]
