"""Ask and tell under mpirun: each rank has a loop of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Ended, Launcher

SCRIPT = """
import json, sys
import evo

def loop(leaves=99, fails=99):
    told = []
    with evo.Study({"x": (-5.0, 5.0)}, evaluations=60, seed=2, run_dir="run") as study:
        rank = int(sys.argv[1] == "fails") and study.ask().identity[0]
        while batch := [one for _ in range(3) if (one := study.ask())]:
            if len(told) >= fails and rank == 1:
                raise RuntimeError("a mistake of one rank")
            if len(told) >= leaves and batch[0].identity[0] == 1:
                break
            for one in batch:
                study.tell(one, (one.params["x"] - 1) ** 2)
                told.append(one.name)
    return study, told

if sys.argv[1] == "fails":
    loop(fails=3)
for leaves in (0, 99):
    study, told = loop(leaves)
    result = study.result
    said = [result.rank, told, result.interrupted, study.stop_reason, study.best.loss, len(result.individuals)]
    print(json.dumps(said), flush=True)
"""


@pytest.fixture
def script(launcher: Launcher) -> Path:
    file = launcher.folder / "loop.py"
    file.write_text(SCRIPT)
    return file


def test_ranks_that_ask_and_tell_share_a_study_and_a_later_session_takes_up_what_one_has_left(
    script: Path, mpirun: Callable[..., Ended]
) -> None:
    ended = mpirun(2, script, "goes on")
    assert ended.status == 0, ended.err
    said = sorted(json.loads(line) for line in ended.out.splitlines())
    first, last = [one for one in said if one[2]], [one for one in said if not one[2]]
    assert [one[0] for one in first] == [one[0] for one in last] == [0, 1]
    assert {tuple(one[3:4]) for one in first} == {("the loop of the caller has ended",)}
    assert {tuple(one[3:]) for one in last} == {("60 evaluations are complete", last[0][4], last[0][5])}
    assert 60 <= last[0][5] <= 61
    told = [name for one in said for name in one[1]]
    assert len(told) == len(set(told)) == last[0][5]  # Each once, those that rank 1 has left included.


def test_an_error_in_the_loop_of_one_rank_ends_all_with_its_traceback(
    script: Path, mpirun: Callable[..., Ended]
) -> None:
    ended = mpirun(2, script, "fails")
    assert ended.status != 0
    assert ended.err.count("RuntimeError: a mistake of one rank") == 1
    interrupted = [line for line in (script.parent / "run/journal/1.jsonl").read_text().splitlines() if "inter" in line]
    assert interrupted
    assert all('"status":"interrupted"' in line for line in interrupted)
