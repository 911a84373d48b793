"""Ask and tell: searches whose individuals a loop of the user's own evaluates."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import evo
from evo.errors import UserError
from evo.population.individual import Individual
from evo.report.results import Result
from evo.report.times import OUTSIDE
from evo.study.told import Asked

LIMITS = {"x": (-5.0, 5.0), "k": (1, 3)}


def loss(params: dict[str, Any]) -> float:
    return float((params["x"] - 1) ** 2 + params["k"])


def run(study: evo.Study, batch: int = 1) -> list[str]:
    """Evaluate until the end, several at once, the last one first; returns the names of all."""
    names: list[str] = []
    while asked := [one for _ in range(batch) if (one := study.ask()) is not None]:
        names += [one.name for one in asked]
        for one in reversed(asked):
            study.tell(one, loss(one.params))
    return names


def ask(study: evo.Study) -> Asked:
    """The next individual, where there is one."""
    one = study.ask()
    assert one is not None
    return one


def ended(study: evo.Study) -> Result:
    """The result, once there is one."""
    assert study.result is not None
    return study.result


def kinds(run_dir: Path) -> list[str]:
    return [json.loads(line)["type"] for line in (run_dir / "journal" / "0.jsonl").read_text().splitlines()]


def test_a_loop_of_ones_own_searches_as_minimize_does() -> None:
    minimized = evo.minimize(loss, LIMITS, evaluations=40, seed=4)
    with evo.Study(LIMITS, evaluations=40, seed=4) as study:
        run(study)
        assert study.best is not None
        assert study.best.loss == minimized.best.loss  # type: ignore[union-attr]
    assert ended(study).stop_reason == study.stop_reason == minimized.stop_reason
    assert [one.params for one in ended(study).individuals] == [one.params for one in minimized.individuals]


def test_several_may_be_in_flight_and_a_later_session_evaluates_first_what_was_left(tmp_path: Path) -> None:
    path = tmp_path / "run"
    study = evo.Study(LIMITS, evaluations=20, seed=4, run_dir=path)
    first = [ask(study) for _ in range(4)]
    assert first[3].folder == path / "individuals" / "0-3"
    assert study.tell((0, 2), loss(first[2].params)) == "completed"
    study.close()
    assert ended(study).interrupted
    with evo.Study(LIMITS, evaluations=20, seed=4, run_dir=path) as study:
        names = run(study, batch=8)
    assert names[:3] == ["0-0", "0-1", "0-3"]
    assert len(names) == len(set(names)) == 19
    assert not ended(study).interrupted
    assert (path / "summary.json").is_file()
    with evo.Study(LIMITS, evaluations=20, seed=4, run_dir=path) as study:
        assert study.ask() is None
        assert study.should_stop
    assert study.stop_reason == "20 evaluations are complete"
    with pytest.raises(UserError, match="holds another study"):
        evo.minimize(loss, LIMITS, evaluations=20, seed=4, run_dir=path)


def test_when_nothing_more_may_start_there_is_none_before_those_in_flight_are_told() -> None:
    with evo.Study({"x": [1, 2, 3]}, evaluations=3, seed=0) as study:
        asked = [study.ask() for _ in range(5)]
        assert [one and one.name for one in asked] == ["0-0", "0-1", "0-2", None, None]
        study.tell((0, 0), 1.0, status="interrupted")  # It is evaluated again, as its own.
        again = ask(study)
        assert (again.name, again.params) == ("0-0", asked[0].params)  # type: ignore[union-attr]
        for identity in ((0, 0), (0, 1), (0, 2)):
            study.tell(identity, 2.0)
        assert study.ask() is None
    assert not ended(study).interrupted


@pytest.mark.parametrize(
    ("told", "status", "error"),
    [
        ({"loss": 1, "metrics": {"accuracy": 0.5}}, "completed", ""),
        ({"loss": math.nan}, "failed", "ValueError: the loss is nan: it must be finite"),
        ({"loss": "low"}, "failed", "TypeError: the loss is 'low' (str): it must be a number"),
        ({"error": ZeroDivisionError("by what")}, "failed", "ZeroDivisionError: by what"),
        ({"status": "failed"}, "failed", "no reason was given"),
        ({"status": "infeasible", "error": "too big"}, "infeasible", "too big"),
        ({"loss": 1.5, "status": "pruned"}, "pruned", ""),
    ],
)
def test_what_is_told_is_recorded_and_what_cannot_be_is_a_failed_individual(
    told: dict[str, Any], status: str, error: str
) -> None:
    with evo.Study(LIMITS, evaluations=1, seed=0) as study:
        assert study.tell(ask(study), **told) == status
        assert study.ask() is None
    (found,) = ended(study).individuals
    assert (found.status, found.error) == (status, error)


def test_mistakes_are_named_and_change_nothing() -> None:
    with evo.Study(LIMITS, evaluations=2, seed=0) as study:
        one, other = ask(study), ask(study)
        study.tell(one, 1.0)
        with evo.Study(LIMITS, evaluations=2, seed=0) as another:
            foreign = ask(another), ask(another)
        for call, message in (
            (lambda: study.tell(foreign[1], 1.0), r"individual 0-1 is not in flight here"),
            (lambda: study.tell(one, 2.0), r"individual 0-0 was told before, as completed"),
            (lambda: study.tell((3, 1), 2.0), r"individual 3-1 is not in flight here"),
            (lambda: study.tell("0-1", 2.0), r"individual '0-1' is not in flight here"),  # type: ignore[arg-type]
            (lambda: study.tell(other), r"individual 0-1 is told without a loss: give one"),
            (lambda: study.tell(other, 1.0, error="late"), r"0-1 is told with a loss and an error: give one"),
            (lambda: study.tell(other, 1.0, status="done"), r"status is 'done': it must be one of"),  # type: ignore
            (lambda: study.report(one, 1.0), r"was told before"),
            (lambda: study.report(other, 1.0, step=-1), r"step"),
        ):
            with pytest.raises(UserError, match=message):
                call()
        study.tell(other, 3.0)
    with pytest.raises(UserError, match="the study is closed"):
        study.ask()
    for setting in ({"ranks_per_worker": 2}, {"time_limit": 3}, {"evaluate": "process"}):
        with pytest.raises(UserError, match="leave it out, since your loop does"):
            evo.Study(LIMITS, **setting)  # type: ignore[arg-type]


def test_reports_prune_and_are_recorded(tmp_path: Path) -> None:
    pruning = {"name": "median", "grace": 1, "enough": 1}
    with evo.Study(LIMITS, evaluations=2, seed=0, pruning=pruning, run_dir=tmp_path / "run") as study:
        good, bad = ask(study), ask(study)
        assert [study.report(good, 1.0 / step) for step in (1, 2, 3)] == [False] * 3
        assert not study.report(good, math.inf)  # It is ignored.
        assert study.tell(good, 0.3) == "completed"
        stops = [study.report(bad, 9.0 + step, step=step) for step in range(4)]
        assert any(stops)
        assert study.tell(bad, 9.0) == "pruned"
    assert kinds(tmp_path / "run").count("Reported") == 7


def test_an_error_in_the_loop_leaves_what_is_in_flight_to_a_later_session(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def fail(error: BaseException) -> None:
        with evo.Study(LIMITS, evaluations=3, seed=0, run_dir=path) as study:
            study.ask()
            raise error

    for error in (RuntimeError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail(error)
        assert kinds(path)[-2:] == ["Finished", "Done"]
    with evo.Study(LIMITS, evaluations=3, seed=0, run_dir=path) as study:
        assert run(study) == ["0-0", "0-1", "0-2"]


def test_after_ctrl_c_nothing_more_is_asked_and_what_is_told_then_still_counts(tmp_path: Path) -> None:
    path = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)  # What a shell starts in the background ignores it.

    def stop() -> None:
        with evo.Study(LIMITS, evaluations=3, seed=0, run_dir=path) as study:
            one = ask(study)
            signal.raise_signal(signal.SIGINT)
            assert study.should_stop
            assert study.ask() is None
            assert study.tell(one, 1.0) == "completed"

    with pytest.raises(KeyboardInterrupt, match="Ctrl-C has stopped the study") as caught:
        stop()
    result = caught.value.result  # type: ignore[attr-defined]
    assert (result.interrupted, result.by_keyboard) == (True, True)
    assert signal.getsignal(signal.SIGINT) is before
    with evo.Study(LIMITS, evaluations=3, seed=0, run_dir=path) as study:
        assert run(study) == ["0-1", "0-2"]


class Breaks(evo.Propagator):
    """Fails once it is told a certain loss."""

    def breed(self, parents: Sequence[Individual], space: Any, rng: Any) -> list[Individual]:
        assert all(one.loss != 0.125 for one in parents), "I cannot go on"
        return [Individual(genome=space.sample(rng))]


def test_a_mistake_that_only_the_search_finds_is_raised_by_ask_and_closes_the_study() -> None:
    def search() -> None:
        with evo.Study(LIMITS, evaluations=9, seed=0, propagator=Breaks()) as study:
            study.tell(ask(study), 0.125)
            with pytest.raises(UserError, match="Breaks"):
                study.ask()
            study.ask()

    with pytest.raises(UserError, match="the study is closed"):
        search()


def test_the_time_of_the_caller_is_no_activity_of_the_search_whatever_it_calls(tmp_path: Path) -> None:
    with evo.Study({"x": [1, 2]}, evaluations=2, seed=0, run_dir=tmp_path / "run") as study:
        time.sleep(0.15)  # The caller makes ready, and then evaluates.
        asked = [ask(study), ask(study)]
        for call in (study.poll, study.poll, study.ask):  # Which has nothing more to give, for now.
            assert call() is None
            time.sleep(0.15)
        for one in asked:
            study.tell(one, 1.0)
            time.sleep(0.15)
            study.poll()
        assert study.ask() is None
    times = evo.load(tmp_path / "run").times
    assert sum(seconds for name, seconds in times.items() if name in OUTSIDE) < 0.1


def test_what_would_evaluate_after_a_search_is_told_to_name_an_objective() -> None:
    from evo.study.told import evaluated_by_the_caller

    with pytest.raises(evo.UserError, match="name an objective, --objective PLACE:NAME"):
        evaluated_by_the_caller({})
