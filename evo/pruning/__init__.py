"""Pruning: early ends of evaluations that will not be among the best."""

from evo.pruning.base import Pruner, Verdict
from evo.pruning.catalogue import READY, make_pruner
from evo.pruning.curve import CurveExtrapolation
from evo.pruning.halving import SuccessiveHalving
from evo.pruning.median import MedianStopping
from evo.pruning.own import PrunerError, try_out
from evo.pruning.rungs import Rungs

__all__ = [
    "READY",
    "CurveExtrapolation",
    "MedianStopping",
    "Pruner",
    "PrunerError",
    "Rungs",
    "SuccessiveHalving",
    "Verdict",
    "make_pruner",
    "try_out",
]
