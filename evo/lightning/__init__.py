"""Losses that are Lightning trainings. With evo.problems, the only place that imports torch and lightning."""

from evo.lightning.objective import LightningObjective
from evo.lightning.returned import LogReturned

__all__ = ["LightningObjective", "LogReturned"]
