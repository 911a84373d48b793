"""Trainings that go on from each other's states, on ranks that are killed, asked to stop, or fewer than before.

EVO_KILLS=20 kills one study so often, which takes about two minutes.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import evolving
import journals
import pytest
from helpers import Launcher, call, is_alive, wait_until
from ranks import find_ranks, start_ranks

KILLS = int(os.environ.get("EVO_KILLS", "2"))
SEARCH = ["-m", "evo.run", "evolving:loss", "--limits", evolving.ON_COMMAND_LINE, "--run-dir", "here", "--debug"]
SEARCH += ["--propagator", evolving.PBT, "--migration-probability", "0.3"]
pytestmark = pytest.mark.mpi


def search(evaluations: int, islands: int = 2) -> list[str]:
    """The arguments of Python for a search."""
    return [*SEARCH, "--evaluations", str(evaluations), "--islands", str(islands)]


@pytest.fixture
def here(launcher: Launcher) -> Path:
    return launcher.folder / "here"


def check_complete(here: Path, evaluations: int, ranks: int, islands: int = 2) -> None:
    assert evaluations <= journals.check_complete(here) <= evaluations + ranks - 1
    evolving.check_ended(here, ranks, islands)
    evolving.check_places(here, range(islands))
    replayed = call("replay", str(here))
    assert (replayed.status, replayed.err) == (0, ""), replayed.out


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_study_that_is_killed_again_and_again_loses_no_segment_but_those_in_flight(
    launcher: Launcher, mpirun_command: str, here: Path
) -> None:
    rng = random.Random(KILLS)
    recorded: dict[str, bytes] = {}
    budget = 30 * KILLS + 60
    for kill in range(KILLS):
        process = start_ranks(launcher, mpirun_command, 4, *search(budget), EVOLVING_SECONDS="0.005")
        enough = journals.count_finished(here) + rng.randrange(30)
        wait_until(lambda enough=enough: journals.count_finished(here) > enough, 60)  # type: ignore[misc]
        ranks = find_ranks(launcher)
        if kill % 5 == 4:
            os.kill(rng.choice(sorted(ranks.values())), signal.SIGKILL)
        process.kill()
        wait_until(lambda ranks=ranks: not any(map(is_alive, ranks.values())), 60)  # type: ignore[misc]
        wait_until(lambda: not launcher.survivors(), 60)
        evolving.check_kept(here)
        now = {file.name: file.read_bytes() for file in (here / "journal").glob("*.jsonl")}
        assert all(now[name].startswith(content[: content.rfind(b"\n") + 1]) for name, content in recorded.items())
        recorded = now
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 4, *search(budget), EVOLVING_SECONDS="0.005"))
    assert (ended.status, "Traceback" in ended.err) == (0, False), ended
    assert "all 4 ranks hold the same population" in ended.out
    check_complete(here, budget, 4)


@pytest.mark.parametrize("dies", [0, 3])
def test_the_others_go_on_with_all_places_when_a_rank_dies(
    launcher: Launcher, mpirun_that_goes_on: str, here: Path, dies: int
) -> None:
    process = start_ranks(launcher, mpirun_that_goes_on, 4, *search(120), options=["--with-ft", "ulfm"])
    wait_until(lambda: journals.count_finished(here) >= 30, 60)
    os.kill(find_ranks(launcher)[dies], signal.SIGKILL)
    ended = launcher.finish(process)
    assert "Traceback" not in ended.err
    assert "all 3 ranks hold the same population" in ended.out
    check_complete(here, 120, 4)


def test_a_study_that_is_asked_to_stop_goes_on_with_other_ranks(
    launcher: Launcher, mpirun_command: str, here: Path
) -> None:
    process = start_ranks(launcher, mpirun_command, 4, *search(9999), EVOLVING_SECONDS="0.1")
    wait_until(lambda: journals.count_finished(here) >= 8, 60)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process)
    assert (ended.status, "Traceback" in ended.err) == (85, False), ended
    evolving.check_kept(here)
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 3, *search(9999, islands=1), "--walltime", "1s"))
    assert ended.status == 85, ended
    evolving.check_kept(here)
    budget = len(journals.finished(here)) + 40
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 2, *search(budget)))
    assert (ended.status, "Traceback" in ended.err) == (0, False), ended
    check_complete(here, budget, 4)
