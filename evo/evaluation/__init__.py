"""Evaluate one individual: in this process, in a child process that may crash, or with the other ranks of a worker."""

from evo.evaluation.evaluator import Evaluator
from evo.evaluation.inline import InlineEvaluator
from evo.evaluation.process import ProcessEvaluator
from evo.evaluation.settings import EvaluationSettings
from evo.evaluation.team import Team, TeamEvaluator, assist

__all__ = [
    "EvaluationSettings",
    "Evaluator",
    "InlineEvaluator",
    "ProcessEvaluator",
    "Team",
    "TeamEvaluator",
    "assist",
]
