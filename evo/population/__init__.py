"""The events of a search, and the population of individuals that a worker knows."""

from evo.population.individual import Active, Individual, Known
from evo.population.population import Population

__all__ = ["Active", "Individual", "Known", "Population"]
