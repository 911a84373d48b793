"""Propagators: how individuals are bred from individuals."""

from evo.propagators.base import Compose, Conditional, Propagator, Stochastic
from evo.propagators.crossover import CrossoverMultiple, CrossoverSigmoid, CrossoverUniform
from evo.propagators.genetic import default_propagator
from evo.propagators.mutation import InitUniform, IntervalMutationNormal, PointMutation, RandomPointMutation
from evo.propagators.selection import SelectMax, SelectMin, SelectUniform

__all__ = [
    "Compose",
    "Conditional",
    "CrossoverMultiple",
    "CrossoverSigmoid",
    "CrossoverUniform",
    "InitUniform",
    "IntervalMutationNormal",
    "PointMutation",
    "Propagator",
    "RandomPointMutation",
    "SelectMax",
    "SelectMin",
    "SelectUniform",
    "Stochastic",
    "default_propagator",
]
