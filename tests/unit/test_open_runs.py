"""Runs in tracking stores that a dead training has left open."""

from __future__ import annotations

from pathlib import Path

import pytest

from evo.evaluation import open_runs
from evo.evaluation.open_runs import OPEN_RUNS, OpenRun, end_in_another_process, note_open_runs


def test_a_run_that_cannot_be_ended_keeps_no_other_one_open_and_stays_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def end(run: OpenRun, status: str, error: str) -> None:
        if run.store == "away":
            raise RuntimeError("no such store")
        ended.append(run.run)

    monkeypatch.setattr(open_runs, "end_mlflow_run", end)
    runs = [OpenRun(kind="mlflow", run="a", store="away"), None, OpenRun(kind="mlflow", run="b")]
    note_open_runs(tmp_path, runs)
    open_runs.main(str(tmp_path), "failed", "")
    assert ended == ["b"]
    assert (tmp_path / OPEN_RUNS).exists()
    note_open_runs(tmp_path, runs[1:])
    open_runs.main(str(tmp_path), "failed", "")
    assert not (tmp_path / OPEN_RUNS).exists()


def test_a_rank_that_can_start_no_process_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    note_open_runs(tmp_path, [OpenRun(kind="mlflow", run="a")])
    monkeypatch.setattr("subprocess.Popen", fails)
    assert end_in_another_process(str(tmp_path), "failed", "why", {}) is None
