"""Where a search stands: a fold over its events, in any order, and what is estimated from it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Joined,
    Migrated,
    Pollinated,
    Reported,
    Started,
    Status,
)
from evo.population.identity import Identity
from evo.population.reason import StopKind
from evo.report.course import Course
from evo.report.display import standing_line
from evo.report.standing import Pace, Standing, estimate_seconds_left, estimate_total
from evo.report.times import sessions_of


def join(time: float, rank: int, ranks: int = 2, **limits: Any) -> Joined:
    return Joined(time=time, rank=rank, ranks=ranks, host=f"node{rank}", device=f"cuda:{rank}", **limits)


def start(time: float, identity: Identity, rank: int | None = None, island: int = 0) -> Started:
    return Started(time=time, individual=identity, island=island, params={}, rank=rank)


def report(time: float, identity: Identity, step: int, loss: float = 1.0) -> Reported:
    return Reported(time=time, individual=identity, step=step, loss=loss)


def end(time: float, identity: Identity, loss: float | None = None, **more: Any) -> Finished:
    status: Status = more.pop("status", "failed" if loss is None else "completed")
    return Finished(
        time=time, individual=identity, status=status, loss=loss, rank=more.pop("rank", identity[0]), **more
    )


def standing(*events: AnyEvent, now: float = 100.0) -> Standing:
    course = Course()
    course.add_all(events)
    return course.standing(now)


# Two sessions of two workers on two islands: all fates, reports, travels, an individual that is evaluated again.
EVENTS: list[AnyEvent] = [
    join(0.0, 0),
    join(0.5, 1),
    start(1.0, (0, 0)),
    *(report(2.0 + step, (0, 0), step, 3.0 - step) for step in range(3)),
    end(6.0, (0, 0), loss=0.5, seconds=5.0),
    Pollinated(time=6.0, individual=(0, 0), island=1),
    start(1.5, (1, 0), island=1),
    report(3.0, (1, 0), 0, 8.0),
    end(9.0, (1, 0), status="pruned", loss=2.0, seconds=7.0, rung=1),
    Migrated(time=9.5, individual=(1, 0), island=0, move=1),
    start(7.0, (0, 1)),
    start(10.0, (1, 1), island=1),
    end(12.0, (1, 1), status="interrupted", seconds=2.0),
    join(20.0, 0, generations=4),
    join(20.5, 1, generations=4),
    start(21.0, (0, 1)),
    report(25.0, (0, 1), 0, 4.0),
    start(21.5, (1, 1), island=1),
    end(31.5, (1, 1), loss=0.25, seconds=10.0),
    start(32.0, (1, 2), island=1),
    end(33.0, (1, 2), seconds=1.0),
    Done(time=34.0, rank=1, reason="the walltime is over", kind=StopKind.DEADLINE),
]


def test_where_a_search_stands_is_told_from_its_events() -> None:
    found = standing(*EVENTS, now=40.0)
    assert found.counts == {"completed": 2, "pruned": 1, "infeasible": 0, "failed": 1}
    assert (found.finished, found.running, found.waiting, found.total) == (4, 1, 0, 5 + 2 + 1)
    assert found.best is not None
    assert (found.best.individual, found.best.loss) == ("1-1", 0.25)
    assert (found.best.seconds_ago, found.best.evaluations_ago) == (8.5, 1)
    assert (found.seconds, found.islands, found.migrated, found.pollinated) == (20.0, 2, 1, 1)
    assert found.busy == pytest.approx((19.0 + 10.0 + 1.0) / (20.0 + 13.5))  # Worker 1 was there until its end.
    first, second = found.workers
    assert (first.state, first.individual, first.seconds, first.host) == ("evaluating", "0-1", 19.0, "node0")
    assert (first.steps, first.most_steps, first.value) == (1, 3, 4.0)
    assert (second.state, second.reason) == ("done", "the walltime is over")
    assert (found.stop_reasons, found.is_before_the_end, found.has_ended) == (["the walltime is over"], True, False)


def test_the_order_of_events_and_repetitions_change_nothing() -> None:
    expected = standing(*EVENTS)
    generator = random.Random(1)
    for _ in range(100):
        events = EVENTS + generator.choices(EVENTS, k=5)
        generator.shuffle(events)
        assert standing(*events) == expected
        course = Course()
        for event in events:  # What is summed up in between changes nothing either.
            course.add(event)
            course.standing(100.0)
        assert course.standing(100.0) == expected


def test_the_better_of_two_outcomes_counts_and_an_outcome_without_its_start_does_not() -> None:
    ends = [end(2.0, (0, 0)), end(3.0, (0, 0), loss=2.0), end(4.0, (0, 0), loss=1.0), end(5.0, (0, 0), loss=3.0)]
    found = standing(join(0.0, 0, 1), start(1.0, (0, 0)), *ends, end(6.0, (0, 1), loss=0.5))
    assert (found.finished, found.best and found.best.loss) == (1, 1.0)
    assert found.counts["completed"] == 1


def test_who_is_set_aside_is_not_the_best() -> None:
    course = Course({(0, 0)})
    course.add_all([start(1.0, (0, 0)), end(2.0, (0, 0), loss=1.0), start(1.0, (0, 1)), end(2.0, (0, 1), loss=2.0)])
    assert course.best == (0, 1)
    course.heed({(0, 1)})
    assert course.best == (0, 0)


def test_individuals_that_nobody_has_taken_up_again_wait() -> None:
    earlier = [join(0.0, 0), join(0.0, 1), start(1.0, (0, 0)), start(1.0, (1, 0))]
    found = standing(*earlier, join(10.0, 0, 1), start(11.0, (1, 0), rank=0))
    assert (found.running, found.waiting) == (1, 1)
    assert [(one.worker, one.individual) for one in found.workers] == [(0, "1-0")]


def test_a_worker_that_died_is_lost_and_its_individual_is_evaluated_by_its_successor() -> None:
    events = [join(0.0, 0), join(0.0, 1), start(1.0, (1, 0)), Died(time=5.0, rank=1, heir=0)]
    found = standing(*events)
    assert ([one.state for one in found.workers], found.running, found.waiting) == (["idle", "lost"], 0, 1)
    found = standing(*events, start(6.0, (1, 0), rank=0))
    assert ([one.state for one in found.workers], found.running, found.waiting) == (["evaluating", "lost"], 1, 0)
    done = Done(time=9.0, rank=0, reason="enough", kind=StopKind.EVALUATIONS)
    assert standing(*events, start(6.0, (1, 0), rank=0), end(8.0, (1, 0), loss=1.0, rank=0), done).has_ended


def test_before_anybody_has_joined_nothing_is_known() -> None:
    found = standing()
    assert (found.finished, found.total, found.best, found.busy, found.workers) == (0, None, None, None, [])
    assert not found.has_ended


@pytest.mark.parametrize(
    ("joined", "members"),
    [
        ([], {}),
        ([join(0.0, 0), join(1.0, 1)], {0: 0.0, 1: 1.0}),
        ([join(5.0, 0), join(0.0, 0), join(1.0, 1), join(5.5, 1)], {0: 5.0, 1: 5.5}),
        ([join(0.0, 0), join(1.0, 1), join(5.0, 2, 3)], {2: 5.0}),
        ([join(0.0, 0, 1), join(5.0, 1)], {1: 5.0}),
    ],
)
def test_the_latest_session_begins_when_a_worker_joins_again_or_others_do(
    joined: list[Joined], members: dict[int, float]
) -> None:
    assert {rank: event.time for rank, event in dict(*sessions_of(joined)[-1:]).items()} == members


@pytest.mark.parametrize(
    ("evaluations", "generations", "total"),
    [(None, None, None), (20, None, 20), (None, 4, 5 + 2 + 1), (20, 4, 8), (6, 4, 6), (None, 1, 5)],
)
def test_how_many_evaluations_there_will_be_follows_from_the_budget(
    evaluations: int | None, generations: int | None, total: int | None
) -> None:
    assert estimate_total(evaluations, generations, started=5, bred={0: 2, 1: 3}, workers=2) == total


@pytest.mark.parametrize(
    ("finished", "running", "remaining", "left"),
    [
        (10, [], None, None),
        (0, [5.0, 5.0], 10, None),
        (1, [1.0] * 4, 20, None),  # The first that ends may have failed at once.
        (10, [], 0, 0.0),
        (10, [], 20, 100.0),
        (10, [5.0, 5.0], 20, 19 * 50.0 / 11),  # Each has done half of an evaluation.
        (10, [500.0, 0.0], 20, pytest.approx((20 - 0.95) * 50.0 / (10 + 0.95))),
        (10, [2.0, 6.0], 2, 8.0),  # Nothing starts any more: the last one decides.
        (10, [100.0], 1, pytest.approx(0.5)),
    ],
)
def test_the_time_left_is_that_of_the_pace_until_now(
    finished: int, running: list[float], remaining: int | None, left: Any
) -> None:
    pace = Pace(finished=finished, spent=10.0 * finished, elapsed=50.0, running=running)
    assert estimate_seconds_left(pace, remaining) == left


def test_known_results_are_no_evaluations_but_may_be_the_best() -> None:
    known = [
        Started(time=0.0, individual=(0, n), island=0, params={}, origin="elsewhere", bred_by="known") for n in (0, 1)
    ]
    ends = [end(0.0, (0, n), loss=0.25 + n) for n in (0, 1)]
    limits = {"evaluations": 40, "generations": 3}
    events = [
        *known,
        *ends,
        join(0.5, 0, ranks=1, **limits),
        start(1.0, (0, 2)),
        end(5.0, (0, 2), loss=0.5, seconds=2.0),
    ]
    for order in (events, events[::-1]):
        told = standing(*order)
        assert (told.known, told.finished, told.total, told.counts["completed"]) == (2, 1, 3, 1)
        assert told.best is not None
        assert (told.best.individual, told.best.evaluations_ago) == ("0-0", 1)
    assert (
        standing_line(told).split("] ")[1].startswith("1/3 evaluations beside 2 known results, best 0.25 by 0-0, 1 ago")
    )


def test_a_worker_may_evaluate_several_individuals_at_once_in_a_loop_of_the_users_own() -> None:
    told = standing(join(0.0, 0, ranks=1), *(start(1.0 + n, (0, n)) for n in range(3)), end(5.0, (0, 1), loss=1.0))
    assert (told.running, told.waiting) == (2, 0)
    (worker,) = told.workers
    assert (worker.individual, worker.others, worker.seconds) == ("0-0", 1, 99.0)
