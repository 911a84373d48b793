"""Algorithms that learn from every individual that finishes; see `evo.algorithms.base`."""

from evo.algorithms.base import Algorithm, Learner, Setup, View

__all__ = ["Algorithm", "Learner", "Setup", "View"]
