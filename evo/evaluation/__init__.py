"""Evaluate one individual: in this process, in a child process that may crash, or with the other ranks of a worker."""

from typing import TYPE_CHECKING, Any

from evo.evaluation.evaluator import Evaluator, Opened
from evo.evaluation.inline import InlineEvaluator
from evo.evaluation.settings import EvaluationSettings
from evo.evaluation.team import Team, TeamEvaluator, assist

if TYPE_CHECKING:
    from evo.evaluation.process import ProcessEvaluator

__all__ = [
    "EvaluationSettings",
    "Evaluator",
    "InlineEvaluator",
    "Opened",
    "ProcessEvaluator",
    "Team",
    "TeamEvaluator",
    "assist",
]


def __getattr__(name: str) -> Any:
    if name != "ProcessEvaluator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from evo.evaluation.process import ProcessEvaluator  # It loads multiprocessing, which most ranks do not need.

    return ProcessEvaluator
