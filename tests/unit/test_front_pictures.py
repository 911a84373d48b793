"""The pictures of a report about several objectives."""

from __future__ import annotations

import msgspec
import pytest

from evo.population.events import AnyEvent, Finished, Joined, Started
from evo.population.objectives import Objectives, make_objectives
from evo.report.fronts import find_front
from evo.report.hypervolumes import make_yardstick
from evo.report.pages.front_pictures import (
    colours_of_proposers,
    hypervolume_over_evaluations,
    pairs_of_objectives,
    parallel_objectives,
    without_legend,
)
from evo.report.pages.progress_pictures import compared, loss_scale, over_evaluations
from evo.report.records import Evaluation, gather_evaluations, rank_evaluations

TWO = make_objectives({"accuracy": "max", "latency": "min"}, {"memory": "<= 7"})
# accuracy, latency, memory: the first violates the bound, the fourth is dominated.
FOUND = [(0.99, 1.0, 14.0), (0.9, 5.0, 6.0), (0.8, 2.0, 5.0), (0.7, 3.0, 5.0), (0.85, 2.5, 7.0), (0.6, 0.5, 1.0)]
BY = ["random", "random", "near", "near", "wide", "wide"]


def events(found: list[tuple[float, float, float]] = FOUND, objectives: Objectives = TWO) -> list[AnyEvent]:
    made: list[AnyEvent] = [Joined(time=0.0, rank=0, ranks=1, host="node", device="cpu", evaluations=len(found))]
    for number, (accuracy, latency, memory) in enumerate(found):
        metrics = {"accuracy": accuracy, "latency": latency, "memory": memory}
        losses = objectives.losses(metrics)
        who, began = (0, number), 6.0 * number
        made += [
            Started(time=began, individual=who, island=0, params={"lr": 0.5 * number}, bred_by=BY[number]),
            Finished(time=began + 6.0, individual=who, status="completed", loss=losses[0], losses=losses, rank=0,
                     violation=objectives.violation(metrics), metrics=metrics, seconds=6.0, host="node", device="cpu"),
        ]  # fmt: skip
    return made


def evaluations() -> list[Evaluation]:
    return gather_evaluations(events())


def front() -> list[Evaluation]:
    return find_front(rank_evaluations(evaluations()), TWO)


def test_a_picture_of_two_objectives_has_a_staircase_and_sets_apart_what_is_dominated_or_violates_bounds() -> None:
    (picture,) = pairs_of_objectives(evaluations(), front(), TWO, colours_of_proposers(front()))
    points = {one.name: list(zip(one.x, one.y, strict=True)) for one in picture.series if one.kind == "points"}
    assert points["dominated"] == [(0.7, 3.0)]
    assert points["violates bounds"] == [(0.99, 1.0)]
    assert points["front: wide"] == [(0.85, 2.5), (0.6, 0.5)]
    assert points["knee"] == [(0.8, 2.0)]
    (steps,) = (one for one in picture.series if one.kind == "steps")
    assert list(steps.x) == [0.9, 0.85, 0.8, 0.6]
    assert [axis.title for axis in (picture.x, picture.y)] == [
        "accuracy (higher is better)",
        "latency (lower is better)",
    ]
    assert not any(one.name for one in without_legend(picture).series)
    assert picture.x.ends is not None
    assert picture.x.ends[1] >= 0.99  # What violates a bound, but would be better.


def test_the_hypervolume_grows_to_all_of_it_with_the_algorithm_that_brought_each_step() -> None:
    yardstick = make_yardstick([front()])
    assert yardstick is not None
    picture = hypervolume_over_evaluations({"a": evaluations()}, yardstick, TWO, colours_of_proposers(front()))
    line, *points = picture.series
    assert line.y[-1] == pytest.approx(1.0)
    assert list(line.y) == sorted(line.y)
    assert list(line.x) == [2.0, 3.0, 5.0, 6.0, 6.0]
    assert {one.name: list(one.x) for one in points} == {"wide": [5.0, 6.0], "near": [3.0], "random": [2.0]}


def test_three_objectives_are_drawn_in_pairs_and_all_at_once() -> None:
    three = make_objectives({"accuracy": "max", "latency": "min", "memory": "min"})
    found = gather_evaluations(events(objectives=three))
    best = find_front(rank_evaluations(found), three)
    colours = colours_of_proposers(best)
    assert [one.name for one in pairs_of_objectives(found, best, three, colours)] == [
        "front-1-2",
        "front-1-3",
        "front-2-3",
    ]
    picture = parallel_objectives(best, three, colours)
    assert picture is not None
    assert picture.x.categories[0] == "accuracy (0.6 to 0.99)"
    assert all(height is None or 0 <= height <= 1 for one in picture.series for height in one.y)
    assert parallel_objectives(front(), TWO, colours) is None


def test_the_best_loss_of_a_study_with_several_objectives_never_rises() -> None:
    found = gather_evaluations(events(FOUND[1:5]))
    picture = compared({"a": found}, loss_scale(found))
    (line,) = picture.series
    assert list(line.y) == sorted(line.y, reverse=True)


def test_individuals_that_violate_bounds_are_crossed_in_pictures_of_one_loss() -> None:
    one = make_objectives({"accuracy": "max"}, {"memory": "<= 7"})
    found = [msgspec.structs.replace(each, losses=()) for each in gather_evaluations(events(objectives=one))]
    picture = over_evaluations(found, found, loss_scale(found), "-accuracy")
    (crossed,) = (series for series in picture.series if series.symbol == "x")
    assert (crossed.name, list(crossed.x), picture.y.title) == ("violates bounds", [1.0], "-accuracy")
