"""Evaluate one individual: in this process, or in a child process that may crash, hang or be killed."""

from evo.evaluation.inline import InlineEvaluator
from evo.evaluation.process import ProcessEvaluator

__all__ = ["InlineEvaluator", "ProcessEvaluator"]
