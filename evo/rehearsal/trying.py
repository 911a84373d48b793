"""One point of a study, tried: how it ended, and what was done when."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo.evaluation import Evaluator
from evo.evaluation.stages import CALLING, ENDED, LAST, MISTAKE, TRAINING_BATCH, VALIDATION_BATCH, Stage, read_stages
from evo.population.assignment import Assignment
from evo.population.outcome import Outcome
from evo.randomness import training_seed
from evo.space.values import Params
from evo.texts import readable

# A batch hangs when it takes longer than this many seconds, and this many times as long as the longest before it.
_SURELY, _TIMES = 10.0, 20.0
_BATCHES = (TRAINING_BATCH, VALIDATION_BATCH)
_LOOK = 0.25  # Seconds between two looks at the notes.


@dataclass(frozen=True, kw_only=True)
class Tried:
    """How it went with one point.

    Args:
        params: The parameters.
        outcome: How the evaluation ended; where it was stopped from outside, `late` says why.
        stages: What was done when.
        late: Why it was stopped; empty when it was not.
    """

    params: Params
    outcome: Outcome
    stages: Sequence[Stage]
    late: str = ""

    @property
    def failed(self) -> bool:
        """Whether it did not come to its end, for another reason than a loss that takes long."""
        return self.outcome.status in ("failed", "interrupted") and not self.is_unfinished

    @property
    def is_unfinished(self) -> bool:
        """Whether a loss, which may take as long as it likes, was stopped."""
        return bool(self.late) and self.doing == CALLING

    @property
    def why(self) -> str:
        """Why it failed, in one line; empty where it did not."""
        return self.late or self.fact(MISTAKE) or self.outcome.error

    def fact(self, name: str) -> Any:
        """What was found out; None where nothing was noted."""
        return next((stage.facts[name] for stage in reversed(self.stages) if name in stage.facts), None)

    @property
    def doing(self) -> str:
        """What was being done at the end."""
        return self.stages[-1].doing if self.stages else ""


@dataclass(frozen=True)
class Patience:
    """How long a try may take, in seconds: a training in all, and a loss that is called."""

    training: float
    call: float


def why_late(stages: Sequence[Stage], began: float, now: float, patience: Patience) -> str:
    """Why something takes too long; empty when it does not.

    Args:
        stages: What was done when.
        began: When it was begun, in seconds since the epoch.
        now: The time.
        patience: How long it may take.

    Example:
        >>> batches = [Stage(doing="training batch", number=n, time=float(n)) for n in (1, 2, 3)]
        >>> why_late(batches, 0.0, 12.0, Patience(60.0, 10.0))
        ''
        >>> why_late(batches, 0.0, 24.0, Patience(60.0, 10.0))
        'training batch 3 has taken 21 s, and the longest before it 1 s: it hangs'
    """
    current = stages[-1] if stages else Stage(doing="the beginning", time=began)
    if current.doing == ENDED:
        return ""
    if current.doing == CALLING:
        return f"it has taken {now - current.time:.0f} s" if now - current.time > patience.call else ""
    if now - began > patience.training:
        return f"{current.text} was not over after {now - began:.0f} s in all; --timeout gives it longer"
    lasted, before = now - current.time, _longest_batch(stages)
    if (
        current.doing in _BATCHES
        and current.number > 1
        and LAST not in current.facts
        and lasted > max(_SURELY, _TIMES * before)
    ):
        return f"{current.text} has taken {lasted:.0f} s, and the longest before it {before:.2g} s: it hangs"
    return ""


def _longest_batch(stages: Sequence[Stage]) -> float:
    pairs = itertools.pairwise(stages)
    return max((after.time - one.time for one, after in pairs if one.doing in _BATCHES), default=0.0)


def try_point(evaluator: Evaluator, params: Params, folder: Path, patience: Patience) -> Tried:
    """Try a point, and stop it where it takes too long.

    Args:
        evaluator: Evaluates a `Rehearsal`; it has been opened.
        params: The parameters.
        folder: The folder for all files.
        patience: How long it may take.
    """
    individual = (0, 0)
    seed = training_seed(0, individual)
    began = looked = time.time()
    assignment = Assignment(individual=individual, params=params, seed=seed, folder=readable(str(folder)))
    evaluator.start(assignment, lambda *report: False)
    late = ""
    while (outcome := evaluator.poll()) is None:
        now = time.time()
        if not late and now - looked > _LOOK:
            looked = now
            if late := why_late(read_stages(folder), began, now, patience):
                evaluator.interrupt()
                evaluator.hurry()
    return Tried(params=params, outcome=outcome, stages=read_stages(folder), late=late)
