"""What happened, as events; the individuals that a rank knows of."""

from evo.population.population import Active, Individual, Population

__all__ = ["Active", "Individual", "Population"]
