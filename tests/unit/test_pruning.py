"""Which evaluations are ended early, and what that is based on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import NOW, ask, make_worker

import evo
from evo.engine.worker import Worker
from evo.population.events import AnyEvent, Judged, Reported
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.propagators import default_propagator
from evo.pruning import CurveExtrapolation, MedianStopping, Pruner, Rungs, SuccessiveHalving, Verdict, make_pruner
from evo.space.space import Space

SPACE = Space({"x": (-1.0, 1.0)})
ALL: Sequence[Pruner] = [
    SuccessiveHalving(),
    SuccessiveHalving(grace=3, reduction=2, maximum=20),
    MedianStopping(grace=2, interval=3, enough=1),
    CurveExtrapolation(maximum=30),
]
losses = st.floats(-1e6, 1e6)
curves = st.lists(losses, min_size=1, max_size=29).map(lambda values: dict(enumerate(values, start=1)))


def report(individual: Identity, step: int, loss: float) -> Reported:
    return Reported(time=NOW, individual=individual, step=step, loss=loss)


@pytest.mark.parametrize("pruner", ALL, ids=repr)
@given(curve=curves, others=st.lists(losses), best=st.none() | losses)
def test_whoever_is_above_the_threshold_stops_and_nobody_else(
    pruner: Pruner, curve: Mapping[int, float], others: list[float], best: float | None
) -> None:
    verdict = pruner.judge(curve, others, best)
    assert verdict.stop == (verdict.threshold is not None and verdict.value > verdict.threshold)
    assert verdict.among == len(others)


@pytest.mark.parametrize("pruner", ALL, ids=repr)
@given(curve=curves, worse=st.lists(st.floats(0, 1e6)), best=st.none() | st.floats(0, 1e6))
def test_nobody_stops_who_is_as_good_as_everybody_else(
    pruner: Pruner, curve: Mapping[int, float], worse: list[float], best: float | None
) -> None:
    lowest = min(curve.values())
    others = [lowest + more for more in worse]
    assert not pruner.judge(curve, others, None if best is None else lowest + best).stop


@pytest.mark.parametrize("pruner", ALL, ids=repr)
def test_rungs_are_reached_one_after_another(pruner: Pruner) -> None:
    reached = [pruner.rung(steps) for steps in range(1, 60)]
    known = [rung for rung in reached if rung is not None]
    assert reached == [None] * (len(reached) - len(known)) + known
    assert known == sorted(known)
    assert all(rung <= steps for steps, rung in enumerate(reached, start=1) if rung is not None)


def test_the_rungs_of_successive_halving_grow_by_the_reduction_factor() -> None:
    def rungs(pruner: Pruner, steps: int) -> list[int | None]:
        return sorted({rung for step in range(1, steps + 1) if (rung := pruner.rung(step))})

    assert rungs(SuccessiveHalving(grace=1, reduction=2), 10) == [1, 2, 4, 8]
    assert rungs(SuccessiveHalving(grace=4, reduction=4, maximum=256), 1000) == [4, 16, 64]
    assert rungs(MedianStopping(grace=3, interval=2), 8) == [3, 5, 7]
    assert rungs(CurveExtrapolation(maximum=8, interval=3), 20) == [5]


@given(st.lists(losses, min_size=1, unique=True), st.integers(2, 5))
def test_of_those_that_come_together_successive_halving_lets_the_best_share_go_on(
    figures: list[float], reduction: int
) -> None:
    pruner = SuccessiveHalving(reduction=reduction)
    on = [
        figure
        for place, figure in enumerate(figures)
        if not pruner.judge({1: figure}, figures[:place] + figures[place + 1 :], None).stop
    ]
    share = len(figures) // reduction
    assert sorted(on) == (sorted(figures)[:share] if share else sorted(figures))


def test_a_loss_that_was_better_before_still_counts() -> None:
    assert not SuccessiveHalving().judge({1: 0.1, 2: 9.0, 3: 9.0}, [1.0, 2.0, 3.0, 4.0, 5.0], None).stop
    assert not MedianStopping().judge({1: 0.1, 2: 9.0}, [1.0] * 9, None).stop


def learning_curves(count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Losses after 1 to 50 steps: power laws that end at different values, with noise."""
    steps = np.arange(1, 51)
    for _ in range(count):
        end, height, power = rng.uniform(0.1, 0.5), rng.uniform(0.5, 2.0), rng.uniform(0.5, 1.2)
        yield end + height * steps**-power + rng.normal(0, 0.01, steps.size)


def test_extrapolated_curves_that_would_have_reached_the_best_are_seldom_stopped_and_the_others_mostly() -> None:
    rng = np.random.default_rng(4)
    pruner, best = CurveExtrapolation(maximum=50, grace=10, interval=10), 0.3
    wrong, saved = [], []
    for curve in learning_curves(300, rng):
        stops = [
            steps for steps in (10, 20, 30, 40) if pruner.judge(dict(enumerate(curve[:steps], start=1)), [], best).stop
        ]
        (wrong if curve.min() <= best else saved).append(bool(stops))
    assert min(len(wrong), len(saved)) > 50
    assert np.mean(wrong) <= 0.05  # What a confidence of 95 % promises.
    assert np.mean(saved) >= 0.6


def follow(rungs: Rungs, *events: AnyEvent) -> None:
    for event in events:
        rungs.apply(event)


def test_reports_count_once_however_often_they_arrive() -> None:
    rungs = Rungs(SuccessiveHalving(reduction=2))
    events = [report((rank, 0), 0, float(rank)) for rank in range(4)]
    follow(rungs, *events, *reversed(events), *events)
    assert rungs.judge((3, 0), 1, None) == Verdict(True, 3.0, 1.0, 3)


def test_an_individual_that_is_begun_anew_does_not_keep_later_losses_of_its_first_attempt() -> None:
    rungs = Rungs(CurveExtrapolation(maximum=30, grace=4))
    follow(rungs, *(report((0, 0), step, 0.0) for step in range(8)))
    follow(rungs, *(report((0, 0), step, 1.0) for step in range(5)))
    assert rungs.judge((0, 0), 5, 0.5).value == 1.0


@pytest.fixture
def worker() -> Worker:
    worker = make_worker(SPACE, default_propagator(4), ranks=2)
    return Worker(worker.settings, default_propagator(4), worker.population, Rungs(SuccessiveHalving(reduction=2)))


def test_a_worker_records_each_decision_with_what_it_was_based_on(worker: Worker) -> None:
    worker.receive(report((1, 0), 0, 0.25), NOW)
    started = ask(worker)
    assert started is not None
    identity = started.individual
    judged = Judged(time=NOW, individual=identity, rung=1, stop=True, value=0.5, threshold=0.25, among=1)
    assert worker.report(identity, 0, 0.5, NOW) == [report(identity, 0, 0.5), judged]


def test_a_rung_is_decided_once(worker: Worker) -> None:
    started = ask(worker)
    assert started is not None
    kinds = [[type(event) for event in worker.report(started.individual, step, 0.5, NOW)] for step in range(5)]
    assert [Judged in each for each in kinds] == [True, True, False, True, False]  # After 1, 2 and 4 steps.


def test_a_pruned_individual_breeds_behind_all_completed_ones_and_is_never_the_best(worker: Worker) -> None:
    identities = []
    for steps, status, loss in [(1, "pruned", -100.0), (2, "pruned", 5.0), (4, "completed", 7.0)]:
        started = ask(worker)
        assert started is not None
        identities.append(started.individual)
        for step in range(steps):
            worker.report(started.individual, step, loss, NOW)
        worker.tell(started.individual, Outcome(status=status, loss=loss), NOW)
    first, second, completed = identities
    assert worker.population.best is not None
    assert worker.population.best.identity == completed
    assert [one.identity for one in worker.population.active] == [completed, second, first]
    assert [one.rung for one in worker.population.active] == [0, 2, 1]


@pytest.mark.parametrize(
    ("what", "pruner"),
    [
        ("none", None),
        ("halving", SuccessiveHalving()),
        ({"name": "none"}, None),
        ({"name": "halving", "grace": 2, "reduction": 4, "maximum": 100}, SuccessiveHalving(2, 4, 100)),
        ({"name": "median", "enough": 2}, MedianStopping(enough=2)),
        ({"name": "curve", "maximum": 100, "confidence": 0.9}, CurveExtrapolation(100, confidence=0.9)),
    ],
)
def test_a_study_file_names_a_pruner(what: Any, pruner: Pruner | None) -> None:
    assert make_pruner(what) == pruner


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("asha", "pruning 'asha' is no ready one: give one of none, halving, median, curve, {name: one of these,"),
        ({"grace": 2}, "pruning is {'grace': 2}: give one of none, halving, median, curve, {name: one of these,"),
        (3, "pruning is 3: give one of none,"),
        ({"name": ["halving"]}, "pruning ['halving'] is no ready one: give one of none,"),
        ({"name": "halving", "eta": 3}, "pruning halving: 'eta' is 3, but it takes grace, reduction, maximum"),
        ({"name": "halving", "reduction": 1}, "pruning halving: reduction is 1: give a whole number of at least 2"),
        (
            {"name": "halving", "grace": 9, "maximum": 9},
            "pruning halving: maximum is 9: give a whole number of at least",
        ),
        ({"name": "curve"}, "pruning curve: maximum is missing; it takes maximum, grace, interval, confidence"),
        ({"name": "curve", "maximum": 50, "confidence": 2}, "pruning curve: confidence is 2.0: a probability"),
        ({"name": "median", "interval": "often"}, "pruning median: interval is 'often', but it takes interval: int"),
    ],
)
def test_a_mistake_in_it_is_named(what: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        make_pruner(what)


def descends(params: Mapping[str, Any]) -> Iterator[float]:
    for step in range(9):
        yield abs(params["x"]) + 1 / (step + 1)


def test_a_search_stops_bad_candidates_at_rungs_and_goes_on_with_good_ones(tmp_path: Path) -> None:
    # Random candidates: the better a search, the fewer of its candidates are stopped.
    settings: dict[str, Any] = {"evaluations": 40, "seed": 1, "propagator": "random"}
    settings["pruning"] = {"name": "halving", "maximum": 9}
    found = evo.minimize(descends, {"x": (-1.0, 1.0)}, run_dir=str(tmp_path / "run"), **settings)
    events = list(found.events())
    steps = Counter(event.individual for event in events if isinstance(event, Reported))
    stopped = {event.individual: event.rung for event in events if isinstance(event, Judged) and event.stop}
    assert {one.individual for one in found.individuals if one.status == "pruned"} == set(stopped)
    assert all(steps[one.individual] == stopped.get(one.individual, 9) for one in found.individuals)
    assert sum(steps.values()) < 0.6 * 9 * 40
    assert found.best is not None
    assert abs(found.best.params["x"]) == min(abs(one.params["x"]) for one in found.individuals)
    # A session that goes on knows what others had reached at the rungs.
    again = evo.minimize(descends, {"x": (-1.0, 1.0)}, run_dir=str(tmp_path / "run"), **settings | {"evaluations": 41})
    judged = [event for event in again.events() if isinstance(event, Judged) and event.rung == 1]
    assert judged[-1].among == 40


def test_with_several_graces_the_longer_ones_have_fewer_individuals_evenly_over_time() -> None:
    rungs = Rungs(SuccessiveHalving(grace=1, reduction=3, graces=3))
    firsts = []
    for generation in range(1300):
        reached = [rungs.reached(report((0, generation), step, 1.0)) for step in range(9)]
        firsts.append(1 + next(step for step, rung in enumerate(reached) if rung is not None))
    assert Counter(firsts) == {1: pytest.approx(900, abs=3), 3: pytest.approx(300, abs=3), 9: pytest.approx(100, abs=3)}
    assert all(Counter(firsts[start : start + 130])[9] in (9, 10, 11) for start in range(0, 1300, 130))


def test_an_individual_is_compared_with_those_of_its_own_grace() -> None:
    rungs = Rungs(SuccessiveHalving(grace=1, reduction=3, graces=2))
    reached = {(0, number): rungs.reached(report((0, number), 0, 0.0)) for number in range(40)}
    early = [identity for identity, rung in reached.items() if rung == 1]
    late = [identity for identity, rung in reached.items() if rung is None]
    assert len(early) > len(late) >= 4
    for place, identity in enumerate([*early, *late]):
        rungs.apply(report(identity, 2, float(place)))
    assert rungs.judge(late[0], 3, None).among == len(late) - 1
    assert not rungs.judge(late[0], 3, None).stop  # The best of its own grace, though all others are better.
    assert rungs.judge(early[-1], 3, None).stop
    assert len(rungs.figures[3]) == 40


def test_more_graces_than_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"graces is 4: the longest grace would be 27 steps, but maximum is 27"):
        SuccessiveHalving(grace=1, reduction=3, maximum=27, graces=4)
