"""A study with other limits, on several ranks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Ended

from evo.population.events import Started
from evo.storage.rundir import RunDirectory


@pytest.mark.mpi
def test_all_ranks_go_on_with_the_same_limits_and_share_the_start_points(
    mpirun: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "l.py").write_text("def loss(p): return p['x'] + len(p['h'])\n")
    command = ["-m", "evo.run", "l.py:loss", "--run-dir", "run", "--debug"]
    old, new = "{x: [0.0, 1.0], h: [[1], [1, 2]]}", "{x: [0.5, 2.0], h: [[1], [1, 2]], k: 3}"
    first = mpirun(2, *command, "--limits", old, "--evaluations", "20")
    assert first.status == 0, first.err
    points = "[{x: 0.75, h: [1]}, {x: 1.5, h: [1, 2]}, {x: 2.0, h: [1]}]"
    grown = mpirun(2, *command, "--limits", new, "--evaluations", "40", "--change-limits", "--start-from", points)
    assert grown.status == 0, grown.err
    assert len(re.findall("other limits from now on: x was", grown.out)) == 1
    assert "hold the same population" in grown.out
    events = list(RunDirectory(tmp_path / "run").events())
    starts = [event for event in events if isinstance(event, Started) and event.params["x"] in (0.75, 1.5, 2.0)]
    assert sorted((event.individual[0], event.params["x"]) for event in starts) == [(0, 0.75), (0, 2.0), (1, 1.5)]
