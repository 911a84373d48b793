"""What a rank and its child process say to each other, as records in JSON, checked when they are read.

The child is told once how it evaluates (`ChildSetup`) and answers with `Ready`. Then it answers each `Evaluate` with an
`Ended`, each `Examine` with an `Examined`, and waits for an `Answer` to each `Progress`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from evo.evaluation.settings import EvaluationSettings
from evo.population.assignment import NOTHING_FURTHER, Assignment, Further
from evo.population.outcome import Outcome
from evo.space.values import Params


class ChildSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is told once, before it loads the objective.

    Args:
        settings: The settings of all evaluations.
        names: The parameters that the objective must take.
        examples: Points that show them, see `evo.space.examples`.
        output: The file for what is printed before the first evaluation.
    """

    settings: EvaluationSettings
    names: list[str]
    examples: list[Params]
    output: str


class Evaluate(msgspec.Struct, frozen=True, tag=True):
    """Evaluate an individual in its folder."""

    assignment: Assignment


class Examine(msgspec.Struct, frozen=True, tag=True):
    """Test an individual that has been evaluated."""

    assignment: Assignment


class Answer(msgspec.Struct, frozen=True, tag=True):
    """The answer to an intermediate loss: whether to stop early."""

    stop: bool


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The objective is loaded and takes the parameters, or else why not.

    Args:
        refusal: What the user has to mend before it can be evaluated.
        traceback: The traceback of what went wrong, which is a bug if there is no refusal. Empty means that the
            objective can be evaluated.
        may_save: Whether it may save its state when it is interrupted, which needs the trial.
        settings: What an objective that was named depends on.
        notes: Remarks for the user.
    """

    refusal: str = ""
    traceback: str = ""
    may_save: bool = False
    settings: dict[str, Any] = {}
    notes: list[str] = []


class Progress(msgspec.Struct, frozen=True, tag=True):
    """An intermediate loss, with what else is known then."""

    step: int
    loss: float
    further: Further = NOTHING_FURTHER


class Ended(msgspec.Struct, frozen=True, tag=True):
    """An evaluation ended."""

    outcome: Outcome


class Examined(msgspec.Struct, frozen=True, tag=True):
    """A test ended.

    Args:
        metrics: What it found.
        error: Why it failed. Empty means that it did not.
        traceback: The traceback of what made it fail, if there is one.
        remarks: What the test put into `trial.metrics`.
    """

    metrics: dict[str, Any]
    error: str = ""
    traceback: str = ""
    remarks: dict[str, Any] = {}


Order: TypeAlias = Evaluate | Examine | Answer
News: TypeAlias = Ready | Progress | Ended | Examined

encode = msgspec.json.Encoder().encode
_setups = msgspec.json.Decoder(ChildSetup)
_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_news: msgspec.json.Decoder[News] = msgspec.json.Decoder(News)
decode_setup = _setups.decode
decode_order = _orders.decode
decode_news = _news.decode


def output_folder(order: Evaluate | Examine) -> str:
    """The folder for what an order prints; a test with results leaves the individual's own folder alone."""
    return order.assignment.results or order.assignment.folder


def log_name(rank: int) -> str:
    """The file in an individual's folder for what is printed.

    Args:
        rank: The place of the process among those that evaluate it together.
    """
    return f"output-{rank}.log" if rank else "output.log"
