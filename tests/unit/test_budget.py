"""When a search ends, as a function of what a rank knows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from records import finished, replayed, started

from evo.engine.budget import Budget
from evo.population.events import AnyEvent
from evo.population.goal import make_goal
from evo.population.objectives import ONE_LOSS
from evo.population.population import Population
from evo.population.reason import StopKind, StopReason
from evo.space.space import Space

SPACE = Space({"x": (1, 1000)})


def population_of(
    completed: int = 0, failed: int = 0, pruned: int = 0, running: int = 0, loss: float = 1.0
) -> Population:
    """Individuals of rank 0 that ended in these ways; the first completed one has the loss."""
    outcomes = ["completed"] * completed + ["failed"] * failed + ["pruned"] * pruned + [None] * running
    events: list[AnyEvent] = []
    for generation, status in enumerate(outcomes):
        events.append(started((0, generation), {"x": generation + 1}))
        if status:
            outcome: Any = status
            value = {"completed": loss + generation, "pruned": 9.0}.get(outcome)
            events.append(finished((0, generation), value, outcome, seconds=1.0))
    return replayed(SPACE, events)


def test_without_limits_a_search_does_not_end() -> None:
    population = population_of(completed=500, running=3)
    assert Budget().why_stop_now(population, now=1e12) is None
    assert Budget().why_breed_no_more(population, generation=10**9) is None
    assert Budget().evaluations_left(population) == math.inf


def test_each_rank_breeds_so_many_generations() -> None:
    budget = Budget(generations=3)
    assert [bool(budget.why_breed_no_more(population_of(), generation)) for generation in range(5)] == [False] * 3 + [
        True
    ] * 2
    assert str(budget.why_breed_no_more(population_of(), 3)) == "3 generations are complete"
    assert str(Budget(generations=1).why_breed_no_more(population_of(), 1)) == "1 generation is complete"
    assert budget.why_stop_now(population_of(), now=0.0) is None


@pytest.mark.parametrize("kind", ["completed", "failed", "pruned", "running"])
def test_evaluations_count_as_soon_as_they_start_however_they_end(kind: str) -> None:
    budget = Budget(evaluations=4)
    for count in range(6):
        population = population_of(**{kind: count})
        assert budget.evaluations_left(population) == 4 - count
        assert bool(budget.why_breed_no_more(population, generation=0)) == (count >= 4)
    assert str(budget.why_breed_no_more(population_of(completed=4), 0)) == "4 evaluations are complete"


@pytest.mark.parametrize(("loss", "reached"), [(0.5, False), (0.1000001, False), (0.1, True), (-3.0, True)])
def test_a_search_stops_once_a_loss_is_as_low_as_the_target(loss: float, reached: bool) -> None:
    budget = Budget(goal=make_goal(0.1, None, ONE_LOSS))
    assert bool(budget.why_stop_now(population_of(completed=3, loss=loss), now=0.0)) == reached
    assert budget.why_stop_now(population_of(), now=0.0) is None


def test_the_target_is_named() -> None:
    reason = Budget(goal=make_goal(0.125, None, ONE_LOSS)).why_stop_now(population_of(completed=1, loss=0.0), 0.0)
    assert reason == StopReason(StopKind.TARGET, "the target loss 0.125 is reached")


def test_only_completed_evaluations_reach_a_target() -> None:
    assert Budget(goal=make_goal(10.0, None, ONE_LOSS)).why_stop_now(population_of(pruned=5, failed=5), now=0.0) is None


@pytest.mark.parametrize(("now", "late"), [(99.9, False), (100.0, True), (101.0, True)])
def test_a_search_stops_at_the_deadline(now: float, late: bool) -> None:
    budget = Budget(deadline=100.0)
    assert budget.is_late(now) == late
    reason = StopReason(StopKind.DEADLINE, "the walltime is over")
    assert budget.why_stop_now(population_of(), now) == (reason if late else None)


def test_an_evaluation_is_launched_if_the_fastest_so_far_would_end_by_the_deadline() -> None:
    population = population_of(completed=3)  # Of one second each.
    budget = Budget(deadline=100.0)
    assert budget.why_launch_no_more(population, 99.0) is None
    reason = budget.why_launch_no_more(population, 99.1)
    assert reason is not None
    assert (reason.kind, reason.is_before_the_end) == (StopKind.TOO_SHORT, True)
    assert budget.why_launch_no_more(population_of(running=1, failed=1), 99.9) is None
    assert Budget().why_launch_no_more(population, 1e12) is None


def test_only_lack_of_time_leaves_more_to_do() -> None:
    budget = Budget(
        deadline=100.0,
        why_deadline="the end of the batch job is near",
        goal=make_goal(1.0, None, ONE_LOSS),
        generations=0,
    )
    late = budget.why_stop_now(population_of(), 100.0)
    reached = budget.why_stop_now(population_of(completed=1, loss=0.0), 0.0)
    complete = budget.why_breed_no_more(population_of(), 0)
    reasons = [reason for reason in (late, reached, complete) if reason is not None]
    assert [reason.is_before_the_end for reason in reasons] == [True, False, False]
    assert str(late) == "the end of the batch job is near"


def test_what_stops_from_outside_leaves_more_to_do_whatever_its_text() -> None:
    text = "2 generations are complete"
    before = {kind for kind in StopKind if StopReason(kind, text).is_before_the_end}
    assert before == {StopKind.DEADLINE, StopKind.TOO_SHORT, StopKind.REQUESTED, StopKind.STORAGE}


@pytest.mark.parametrize(
    ("completed", "failed", "share", "given_up"),
    [
        (0, 19, 0.9, False),
        (0, 20, 0.9, True),
        (2, 18, 0.9, False),
        (1, 19, 0.9, True),
        (10, 10, 0.5, False),
        (10, 11, 0.5, True),
        (20, 0, 0.0, False),
        (19, 1, 0.0, True),
        (0, 200, 1.0, False),
    ],
)
def test_a_search_is_given_up_when_more_than_a_share_of_at_least_twenty_failed(
    completed: int, failed: int, share: float, given_up: bool
) -> None:
    population = population_of(completed=completed, failed=failed, running=7)
    reason = Budget(max_failed_share=share).why_stop_now(population, now=0.0)
    assert (reason is not None) == given_up
    if reason is not None:
        assert reason.kind == StopKind.TOO_MANY_FAILED
        assert reason.text.startswith(f"{failed} of {failed + completed} evaluations failed")


def test_pruned_evaluations_have_not_failed() -> None:
    assert Budget(max_failed_share=0.5).why_stop_now(population_of(pruned=30, failed=20), now=0.0) is None
    assert Budget(max_failed_share=0.3).why_stop_now(population_of(pruned=30, failed=20), now=0.0)
