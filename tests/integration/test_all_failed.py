"""A search in which nothing completes says so, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Ended, Launcher, wait_until

import evo

LIMITS = {"x": (-1.0, 1.0)}


def fails(params: dict[str, Any]) -> float:
    if params["x"] > 0:
        raise ZeroDivisionError(f"by {params['x']}")
    raise OSError(f"no file {params['x']}")


def search(loss: Any, evaluations: int = 10, **settings: Any) -> Any:
    return evo.minimize(loss, LIMITS, evaluations=evaluations, **settings)


@pytest.mark.parametrize("run_dir", [None, "run"])
def test_when_all_have_failed_an_error_says_why_and_has_the_result(tmp_path: Path, run_dir: str | None) -> None:
    where = run_dir and str(tmp_path / run_dir)
    with pytest.raises(RuntimeError) as raised:
        search(fails, run_dir=where)
    assert isinstance(raised.value, evo.SearchFailed)
    result = raised.value.result
    assert (result.best, result.gave_up, result.all_failed, len(result.individuals)) == (None, False, True, 10)
    first, *reasons = str(raised.value).splitlines()
    assert first == "no evaluation completed: 10 of 10 evaluations failed:"
    counts = [int(reason.split(" x ")[0]) for reason in reasons]
    assert sum(counts) == 10
    assert counts == sorted(counts, reverse=True)
    name, line = Path(__file__).name, fails.__code__.co_firstlineno
    assert any(f" x ZeroDivisionError at {name}:{line + 2}, for example: by 0." in reason for reason in reasons)
    if where:  # Neither does another session find any.
        with pytest.raises(evo.SearchFailed, match="no evaluation completed: 10 of 10"):
            search(fails, run_dir=where)


def test_a_search_that_gives_up_without_any_result_is_an_error_too() -> None:
    with pytest.raises(evo.SearchFailed, match="the search gave up: 20 of 20 evaluations failed:\n  20 x TypeError"):
        search(lambda params: {"loss": params["x"]}, evaluations=100)


def test_a_summary_has_the_kind_of_the_stop_and_another_session_the_same(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    for _ in range(2):
        found = search(lambda params: params["x"], evaluations=3, run_dir=str(run_dir))
        assert (found.stop_kind, found.stop_reason) == ("evaluations", "3 evaluations are complete")
        summary = json.loads((run_dir / "summary.json").read_text())
        assert (summary["stop_kind"], summary["stopped"]) == ("evaluations", "3 evaluations are complete")
    del summary["stop_kind"]  # As an older evo has written it.
    (run_dir / "summary.json").write_text(json.dumps(summary))
    assert search(lambda params: params["x"], evaluations=3, run_dir=str(run_dir)).stop_kind == "evaluations"
    assert evo.load(run_dir).is_complete


def test_a_search_that_gives_up_with_a_result_returns_it() -> None:
    calls = []

    def loss(params: dict[str, Any]) -> float:
        calls.append(params)
        return float(params["x"]) if len(calls) == 1 else fails(params)

    found = search(loss, evaluations=100)
    assert (found.gave_up, found.all_failed) == (True, False)
    assert found.stop_kind == "too_many_failed"
    assert found.best is not None


def descends(params: dict[str, Any]) -> Iterator[float]:
    yield from (3.0, 2.0, 1.0)


def test_when_all_were_ended_early_nothing_has_failed_and_there_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo.engine.worker.Rungs.judge", lambda *given: _stop())
    with pytest.raises(evo.SearchFailed) as raised:
        search(descends, pruning="halving")
    found = raised.value.result
    assert {one.status for one in found.individuals} == {"pruned"}
    assert (found.best, found.nothing_completed, found.all_failed) == (None, True, False)
    assert str(raised.value) == (
        "no evaluation completed: 10 evaluations (10 pruned): prune less, so that some complete"
    )


def _stop() -> Any:
    from evo.pruning import Verdict

    return Verdict(stop=True, value=1.0, threshold=0.0, among=1)


def refuses(params: dict[str, Any]) -> float:
    raise evo.Infeasible("too large")


def test_when_all_were_refused_there_is_no_result() -> None:
    with pytest.raises(evo.SearchFailed) as raised:
        search(refuses)
    assert raised.value.result.all_failed
    first, reason = str(raised.value).splitlines()
    assert first == "no evaluation completed: 10 of 10 evaluations are infeasible:"
    assert reason.startswith("  10 x ")
    assert "too large" in reason


def test_when_all_that_completed_are_outside_of_changed_limits_there_is_no_result(tmp_path: Path) -> None:
    where: dict[str, Any] = {"evaluations": 3, "run_dir": str(tmp_path / "run")}
    assert evo.minimize(lambda params: params["x"], LIMITS, **where).best is not None
    with pytest.raises(evo.SearchFailed) as raised:
        evo.minimize(lambda params: params["x"], {"x": (5.0, 6.0)}, change_limits=True, **where)
    assert str(raised.value) == (
        "no evaluation completed within the limits: "
        "3 evaluations (3 completed), 3 of them outside of the limits and set aside"
    )
    found = raised.value.result
    assert (found.best, found.nothing_completed, found.interrupted) == (None, True, False)


def test_a_search_whose_time_is_over_before_any_has_completed_is_interrupted_and_returns() -> None:
    def loss(params: dict[str, Any], trial: Any) -> float:
        wait_until(lambda: trial.interrupted)
        raise evo.Interrupted

    found = search(loss, walltime=0.2)
    assert (found.best, found.interrupted, found.stop_reason) == (None, True, "the walltime is over")


def test_an_interrupted_search_in_which_all_have_failed_so_far_is_no_failure() -> None:
    import signal

    def loss(params: dict[str, Any]) -> float:
        signal.raise_signal(signal.SIGTERM)
        return fails(params)

    found = search(loss)
    assert (found.interrupted, found.best) == (True, None)


SCRIPT = """
import sys
import evo

def loss(params, trial):
    raise ValueError(f"so wrong: {params['x']}")

if __name__ == "__main__":
    print("before")
    try:
        evo.minimize(loss, {"x": (-1.0, 1.0)}, evaluations=6, ranks_per_worker=2)
    except evo.SearchFailed as error:
        assert len(error.result.individuals) >= 6
        assert "6 x ValueError at script.py:6, for example: so wrong" in str(error)
    evo.minimize(loss, {"x": (-1.0, 1.0)}, evaluations=6)
"""


@pytest.mark.mpi
def test_all_ranks_get_the_error_and_uncaught_it_is_shown_once(
    mpirun: Callable[..., Ended], launcher: Launcher
) -> None:
    (launcher.folder / "script.py").write_text(SCRIPT)
    ended = mpirun(2, "script.py")
    assert (ended.status, ended.out, "Traceback" in ended.err) == (1, "before\nbefore\n", False), ended
    assert ended.err.count("evo: error: no evaluation completed: ") == 1
    assert ended.err.count(" x ValueError at script.py:6, for example: so wrong: ") == 1


def test_the_command_line_names_the_most_frequent_reason(launcher: Launcher) -> None:
    (launcher.folder / "script.py").write_text(SCRIPT)
    ended = launcher.evo("script.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--evaluations", "50")
    assert ended.status == 1
    reason = "20 of 20 evaluations failed; the most frequent reason: 20 x ValueError at "
    assert ended.err.startswith(f"evo: error: the search gave up: {reason}")
    assert len(ended.err.splitlines()) == 1
    assert "20 of 20 evaluations failed:\n  20 x ValueError at script.py:6, for example: so wrong: " in ended.out
