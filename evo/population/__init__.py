"""What happened, as events; the individuals that a worker knows of."""

from evo.population.individual import Active, Individual, Known
from evo.population.population import Population

__all__ = ["Active", "Individual", "Known", "Population"]
