"""Whole searches under mpirun that are asked to stop, at any moment, and go on where they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import journals
import logged_digits
import pytest
from helpers import Ended, Launcher, wait_until
from logged_digits import BATCHES, GAMMA, Step, read_steps
from ranks import find_ranks, start_ranks

from evo.population.events import Finished
from evo.population.identity import Identity

TRAININGS = ["-m", "evo.run", "logged_digits:long", "--limits", logged_digits.LIMITS, "--run-dir", "here"]
TRAININGS += ["--evaluations", "2"]


def stop(launcher: Launcher, process: subprocess.Popen[str], name: str, seconds: float = 20) -> None:
    """Send a signal, upon which all processes end in time, with the status that asks for another session."""
    asked = time.monotonic()
    process.send_signal(getattr(signal, name))
    ended = launcher.finish(process, timeout=60)
    assert time.monotonic() - asked < seconds
    check_stopped(launcher, ended, name)


def check_stopped(launcher: Launcher, ended: Ended, name: str) -> None:
    """Check that a session has stopped cleanly."""
    assert (ended.status, "Traceback" in ended.err) == (85, False), ended
    assert f"{name} asked to stop\n" in ended.out
    assert "not complete: run the same command again to go on\n" in ended.out
    wait_until(lambda: not launcher.survivors())


def interrupted(directory: Path) -> list[Identity]:
    """The individuals whose evaluations were interrupted, as often as they were."""
    ends = [event for event in journals.events(directory) if isinstance(event, Finished)]
    return sorted(end.individual for end in ends if end.status == "interrupted")


def sessions_of(steps: list[Step], individual: str) -> list[list[Step]]:
    """The steps of one training, by the process that took them."""
    own = [step for step in steps if step.individual == individual]
    return [list(session) for _, session in groupby(own, lambda step: step.process)]


def wait_for_steps(launcher: Launcher, trainings: int, enough: int) -> None:
    """Wait until so many trainings have taken so many steps in this session, whose processes are the ones that run."""

    def are_there() -> bool:
        running = set(launcher.survivors())
        taken = [step.individual for step in read_steps(launcher.folder) if step.process in running]
        return sum(taken.count(individual) >= enough for individual in set(taken)) == trainings

    wait_until(are_there, 90)


@pytest.mark.mpi
@pytest.mark.slow
def test_long_trainings_are_saved_when_asked_and_go_on_with_more_ranks_and_with_fewer(
    launcher: Launcher, mpirun_command: str
) -> None:
    directory = launcher.folder / "here"
    for ranks, name, enough in ((1, "SIGUSR2", 30), (2, "SIGUSR1", 10)):
        process = start_ranks(launcher, mpirun_command, ranks, *TRAININGS)
        wait_for_steps(launcher, ranks, enough)
        stop(launcher, process, name)
        assert {rank for rank, _ in journals.started(directory)} == set(range(ranks))
        for rank in range(ranks):
            assert (directory / "individuals" / f"{rank}-0" / "last.ckpt").is_file()
    assert interrupted(directory) == [(0, 0), (0, 0), (1, 0)]

    (launcher.folder / logged_digits.ENOUGH).touch()
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 1, *TRAININGS), timeout=90)
    assert (ended.status, ended.err) == (0, "")
    assert "resumed: 2 individuals are known, 2 of them in flight, which are evaluated first\n" in ended.out
    assert journals.check_complete(directory) == 2
    check_trainings(launcher.folder)


def check_trainings(folder: Path) -> None:
    """Check from what the trainings have written that each was one, whose epochs, optimizer and scheduler add up."""
    params, outcomes = journals.started(folder / "here"), journals.finished(folder / "here")
    for rank, sessions in ((0, 3), (1, 2)):
        parts = sessions_of(read_steps(folder), f"{rank}-0")
        assert len(parts) == sessions
        steps = [step for part in parts for step in part]
        # No step is missing or taken twice, so that no epoch is repeated, not even the interrupted one.
        assert [step.step for step in steps] == list(range(1, len(steps) + 1))
        assert [step.epoch for step in steps] == [taken // BATCHES for taken in range(len(steps))]
        assert [step.optimizer_steps for step in steps] == [step.step for step in steps]
        rates = [params[rank, 0]["lr"] * GAMMA ** (step.step // BATCHES) for step in steps]
        assert [step.lr for step in steps] == pytest.approx(rates)
        assert outcomes[rank, 0].metrics["epochs"] == steps[-1].epoch + 1 == len(steps) / BATCHES


def handles_signals(process: int) -> bool:
    """Whether a process has a handler for SIGUSR1 (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)


@pytest.mark.parametrize("objective", ["slow.py:loss", "logged_digits:long"])
def test_a_search_may_be_asked_to_stop_as_soon_as_it_handles_signals(launcher: Launcher, objective: str) -> None:
    (launcher.folder / "slow.py").write_text("import time\ndef loss(params): time.sleep(0.1); return 0.0\n")
    search = ["-m", "evo.run", objective, "--limits", logged_digits.LIMITS, "--run-dir", "here"]
    process = launcher.start(sys.executable, *search)
    wait_until(lambda: handles_signals(process.pid))
    stop(launcher, process, "SIGTERM")
    assert journals.finished(launcher.folder / "here") == {}


@pytest.mark.mpi
def test_ranks_may_be_asked_to_stop_as_soon_as_the_ready_file_is_there(launcher: Launcher, mpirun_command: str) -> None:
    # That one with a child that loads torch may be asked as well is tested above, on one rank.
    (launcher.folder / "slow.py").write_text("import time\ndef loss(params): time.sleep(0.1); return 0.0\n")
    search = ["-m", "evo.run", "slow.py:loss", "--limits", logged_digits.LIMITS, "--run-dir", "here"]
    process = start_ranks(launcher, mpirun_command, 2, *search, options=["-x", "EVO_READY_FILE=ready"])
    wait_until((launcher.folder / "ready").exists)
    stop(launcher, process, "SIGUSR1")


NEVER_SAVES = """
import time
from pathlib import Path
def loss(params, trial):
    assert not trial.interrupted  # It does look, so it might save.
    (trial.folder / "sleeps").touch()
    if not Path("enough").exists():
        time.sleep(1000)
    return 0.0
"""


@pytest.mark.mpi
@pytest.mark.parametrize(("evaluate", "name"), [("inline", "SIGTERM"), ("process", "SIGUSR1")])
def test_a_second_signal_gives_up_evaluations_that_do_not_save(
    launcher: Launcher, mpirun_command: str, evaluate: str, name: str
) -> None:
    (launcher.folder / "never.py").write_text(NEVER_SAVES)
    search = ["-m", "evo.run", "never.py:loss", "--limits", "{x: [0.0, 1.0]}", "--evaluate", evaluate]
    search += ["--run-dir", "here", "--evaluations", "2"]
    process = start_ranks(launcher, mpirun_command, 2, *search)
    directory = launcher.folder / "here"
    wait_until(lambda: len(list(directory.glob("individuals/*/sleeps"))) == 2)
    signal_ranks(launcher, process, name)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    asked = time.monotonic()
    signal_ranks(launcher, process, name)
    ended = launcher.finish(process, timeout=40)
    assert time.monotonic() - asked < 20
    check_stopped(launcher, ended, name)
    assert interrupted(directory) == [(0, 0), (1, 0)]

    (launcher.folder / "enough").touch()
    assert launcher.finish(start_ranks(launcher, mpirun_command, 2, *search)).status == 0
    assert set(journals.finished(directory)) == {(0, 0), (1, 0)}


def signal_ranks(launcher: Launcher, process: subprocess.Popen[str], name: str) -> None:
    """Send a signal to mpirun, which passes it on; SIGTERM to the ranks, since it would make mpirun kill them."""
    if name != "SIGTERM":
        process.send_signal(getattr(signal, name))
        return
    for rank in find_ranks(launcher).values():
        os.kill(rank, signal.SIGTERM)
