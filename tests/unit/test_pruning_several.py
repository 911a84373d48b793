"""Pruning with several objectives: only of individuals that cannot be on the front by another one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evo.evaluation.settings import EvaluationSettings
from evo.evaluation.trial import RunningTrial
from evo.objective.losses import reported_losses
from evo.population.assignment import Further
from evo.population.events import Reported
from evo.population.objectives import Objectives, make_objectives
from evo.pruning import MedianStopping, Rungs
from evo.testing.trials import FakeTrial
from tests.records import assigned

TWO = make_objectives({"acc": "max", "size": "min"})
BOUNDED = make_objectives({"acc": "max", "size": "min"}, {"memory": "<= 2"})


def report(number: int, losses: tuple[float, ...], loss: float | None = None, violation: float = 0.0) -> Reported:
    first = losses[0] if loss is None else loss
    return Reported(time=0.0, individual=(0, number), step=0, loss=first, losses=losses, violation=violation)


@pytest.mark.parametrize(
    ("last", "stops"),
    [
        (report(9, (5.0, 6.0)), True),
        (report(9, (5.0, 5.0)), True),
        (report(9, (5.0, 4.9)), False),
        (report(9, (0.5, 9.0)), False),
        (report(9, (), loss=5.0), False),
        (report(9, (), loss=5.0, violation=0.1), False),
        (report(9, (5.0, 0.0), violation=0.1), False),
        (report(9, (5.0, 6.0), violation=0.1), True),
        (report(9, (5.0, 0.0), violation=1.0), True),
    ],
    ids=[
        "dominated",
        "equal to one",
        "better by another",
        "not stopped",
        "incomplete",
        "violates, incomplete",
        "violates, better",
        "violates, dominated",
        "violates as much",
    ],
)
def test_only_those_that_another_one_equals_or_surpasses_in_everything_end_early(last: Reported, stops: bool) -> None:
    rungs = Rungs(MedianStopping(grace=1, enough=3), are_several=True)
    for other in (
        report(1, (1.0, 7.0)),
        report(2, (5.0, 5.0)),
        report(3, (2.0, 0.0), violation=1.0),
        report(4, (), 0.0),
    ):
        rungs.apply(other)
    rungs.apply(last)
    verdict = rungs.judge((0, 9), 1, None)
    assert verdict.stop is stops
    assert verdict.value == last.loss
    # With one loss the pruner alone decides.
    alone = Rungs(MedianStopping(grace=1, enough=3))
    for event in (*(report(number, (), float(number)) for number in range(4)), report(9, (), last.loss)):
        alone.apply(event)
    assert alone.judge((0, 9), 1, None).stop is (last.loss > 1.0)


@pytest.mark.parametrize(
    ("value", "recorded", "objectives", "expected"),
    [
        ({"acc": 0.5, "size": 3}, {}, TWO, (-0.5, (-0.5, 3.0), 0.0)),
        ([0.5, 3], {}, TWO, (-0.5, (-0.5, 3.0), 0.0)),
        (0.5, {}, TWO, (-0.5, (), 0.0)),
        (0.5, {"size": 3, "other": "text"}, TWO, (-0.5, (-0.5, 3.0), 0.0)),
        (0.5, {"size": "large"}, TWO, (-0.5, (), 0.0)),
        ({"acc": 0.5, "size": math.nan}, {}, TWO, (-0.5, (), 0.0)),
        ({"acc": 0.5, "size": 3}, {}, BOUNDED, (-0.5, (), 0.0)),
        ({"acc": 0.5, "size": 3, "memory": 3}, {}, BOUNDED, (-0.5, (-0.5, 3.0), 0.5)),
        (0.5, {"memory": 3.0}, BOUNDED, (-0.5, (), 0.5)),
        (0.5, {"memory": 3.0}, make_objectives(None, {"memory": "<= 2"}), (0.5, (), 0.5)),
        (0.5, {}, make_objectives({"acc": "max"}), (-0.5, (), 0.0)),
    ],
)
def test_what_is_reported_becomes_losses_once_everything_is_known(
    value: Any, recorded: dict[str, Any], objectives: Objectives, expected: Any, tmp_path: Path
) -> None:
    found = reported_losses(value, objectives, recorded)
    assert (found.loss, found.losses, found.violation) == expected
    told: list[Any] = []
    settings = EvaluationSettings(objectives=objectives)
    trial = RunningTrial(assigned(folder=str(tmp_path)), settings, lambda *one: bool(told.append(one)))
    fake = FakeTrial(tmp_path, objectives=objectives)
    for each in (trial, fake):
        each.metrics.update(recorded)
        each.report(value)
    assert told == [(0, expected[0], Further(losses=expected[1], violation=expected[2]))]
    assert (fake.reports, fake.vectors) == ([(0, expected[0])], [expected[1]])


@pytest.mark.parametrize("value", [{"size": 3}, "0.5", [1, 2, 3], None, {"acc": None}, {"acc": 1, "size": "small"}])
def test_a_report_without_the_first_objective_or_of_no_numbers_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"trial\.report is given .*: report values by name, at least that of 'acc'"):
        reported_losses(value, TWO)


def test_the_seconds_so_far_are_known(tmp_path: Path) -> None:
    told: list[Any] = []
    settings = EvaluationSettings(objectives=make_objectives(["loss", "seconds"]))
    trial = RunningTrial(assigned(folder=str(tmp_path)), settings, lambda *one: bool(told.append(one)))
    trial.report({"loss": 1.0})
    assert 0.0 <= told[0][2].losses[1] < 60.0
