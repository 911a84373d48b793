"""Evaluate one individual: in this process, in a child process that may crash, or with the other ranks of a worker."""

from evo.evaluation.inline import COLLECTIVE_TIMEOUT, GPU_MEMORY, SESSION, TRUST, InlineEvaluator
from evo.evaluation.process import ProcessEvaluator
from evo.evaluation.team import Evaluator, Team, TeamEvaluator, assist

__all__ = [
    "COLLECTIVE_TIMEOUT",
    "GPU_MEMORY",
    "SESSION",
    "TRUST",
    "Evaluator",
    "InlineEvaluator",
    "ProcessEvaluator",
    "Team",
    "TeamEvaluator",
    "assist",
]
