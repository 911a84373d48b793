"""What once hung, went on or was lost, in whole searches."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Ended, Launcher, call, is_alive, wait_until
from ranks import parent_of, start_ranks

LOSSES = """
import multiprocessing, os, pathlib, subprocess, time

def flood(params):
    while True:
        yield 1.0

def leaves_a_child(params):
    if params["n"] == 3:
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,)).start()
        os._exit(3)
    return float(params["n"])

def long(params):
    pathlib.Path(f"{os.getpid()}.pid").touch()
    time.sleep(1000)

def total(params):
    return float(params["n"])

def starts_others(params):
    for command in (["sleep", "1000"], ["python3", "-c", "import os, time; os.fork(); time.sleep(1000)"]):
        subprocess.Popen(command)
    pathlib.Path("started").touch()
    time.sleep(1000)
"""
LIMITS = "{n: [0, 9]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "losses.py").write_text(LOSSES)
    return tmp_path


def test_the_time_limit_holds_for_a_loss_that_reports_without_end(launcher: Launcher, folder: Path) -> None:
    options = ["--evaluations", "1", "--time-limit", "1", "--run-dir", "here"]
    ended = launcher.evo("losses.py:flood", "--limits", LIMITS, *options, timeout=30)
    assert ended.status == 1
    assert "TimeLimit: it took longer than the time limit of 1 s" in ended.err


def test_a_child_that_dies_and_leaves_a_process_behind_is_a_failed_individual(launcher: Launcher, folder: Path) -> None:
    options = ["--evaluate", "process", "--run-dir", "here"]
    ended = launcher.evo("losses.py:leaves_a_child", "--limits", LIMITS, *options, timeout=60)
    assert ended.status == 0
    assert "1 x ProcessDied: the evaluation process exited with status 3" in ended.out
    assert json.loads((folder / "here" / "summary.json").read_text())["evaluations"] == 10


@pytest.mark.mpi
def test_no_rank_outlives_a_killed_mpirun_however_long_its_loss(
    launcher: Launcher, folder: Path, mpirun_command: str
) -> None:
    search = ["-m", "evo.run", "losses.py:long", "--limits", LIMITS, "--run-dir", "here"]
    mpirun = start_ranks(launcher, mpirun_command, 2, *search)
    ranks = wait_until(lambda: len(list(folder.glob("*.pid"))) == 2 and list(folder.glob("*.pid")))
    mpirun.kill()
    wait_until(lambda: not any(is_alive(int(rank.stem)) for rank in ranks), seconds=5)


STARTS_LATE = """
import os, sys, time
from pathlib import Path
Path(f"{os.getpid()}.pid").touch()
while not Path("go").exists():
    time.sleep(0.01)
from evo.run import main
sys.exit(main(["sphere", "--generations", "100000", "--run-dir", "here"]))
"""


@pytest.mark.mpi
def test_no_rank_searches_alone_whose_mpirun_was_killed_before_it_connects(
    launcher: Launcher, folder: Path, mpirun_command: str
) -> None:
    (folder / "late.py").write_text(STARTS_LATE)
    mpirun = start_ranks(launcher, mpirun_command, 2, "late.py")
    ranks = wait_until(lambda: len(list(folder.glob("*.pid"))) == 2 and list(folder.glob("*.pid")))
    mpirun.kill()
    mpirun.wait(10)
    (folder / "go").touch()
    wait_until(lambda: not any(is_alive(int(rank.stem)) for rank in ranks), seconds=30)
    assert not (folder / "here").exists()


def test_what_an_evaluation_has_started_ends_with_a_killed_rank(launcher: Launcher, folder: Path) -> None:
    options = ["--limits", LIMITS, "--evaluate", "process", "--run-dir", "here"]
    rank = launcher.start(sys.executable, "-m", "evo.run", "losses.py:starts_others", *options)
    wait_until((folder / "started").exists)
    started = wait_until(lambda: len(launcher.survivors()) >= 6 and launcher.survivors())
    (child,) = [process for process in started if parent_of(process) == rank.pid and os.getpgid(process) == process]
    (guard,) = [process for process in started if parent_of(process) == child and os.getpgid(process) == process]
    os.kill(guard, signal.SIGUSR1)  # Slurm may send it to all, and it is how the guard learns of the end.
    wait_until(lambda: not pending(guard) >> (signal.SIGUSR1 - 1) & 1)
    assert is_alive(guard)
    rank.kill()
    wait_until(lambda: not launcher.survivors())


def pending(process: int) -> int:
    """The set of signals that wait until a process takes them."""
    (line,) = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("ShdPnd:")]
    return int(line.split()[1], 16)


@pytest.mark.mpi
def test_a_rank_that_is_told_to_exit_ends_all_ranks(folder: Path, mpirun: Callable[..., Ended]) -> None:
    (folder / "exits.py").write_text("""
import sys
import evo

class Exits(evo.Propagator):
    def breed(self, parents, space, rng):
        if len(parents) > 5:
            sys.exit(3)
        return evo.propagators.InitUniform().breed(parents, space, rng)

if __name__ == "__main__":
    import evo.propagators
    evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, propagator=Exits(), evaluations=1000)
""")
    ended = mpirun(2, "exits.py", timeout=30)
    assert ended.status != 0
    assert f"Exits.breed fails: SystemExit: 3 ({folder}/exits.py, line 8: sys.exit(3))" in ended.err


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_propagator_that_fails_late_is_one_message(
    launcher: Launcher, folder: Path, mpirun: Callable[..., Ended], ranks: int
) -> None:
    (folder / "late.py").write_text("""
import evo
from evo.propagators import InitUniform, Propagator

class Late(Propagator):
    def breed(self, parents, space, rng):
        if 4 < len(parents) < 16:
            raise ValueError("these are too many")
        return InitUniform().breed(parents, space, rng)
""")
    search = ["losses.py:total", "--limits", LIMITS, "--run-dir", "here", "--propagator", "{class_path: late.Late}"]
    ended = launcher.evo(*search) if ranks == 1 else mpirun(ranks, "-m", "evo.run", *search, timeout=30)
    assert ended.status == 2
    assert "evo: error: propagator <late.Late object" in ended.err
    place = f'{folder}/late.py, line 8: raise ValueError("these are too many")'
    assert f"Late.breed fails: ValueError: these are too many ({place}); a search needs one individual" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("damage", ["{}", "", '{"test": 3}'])
def test_a_damaged_completion_record_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.chdir(folder)
    search = ["run", "sphere", "--run-dir", "here"]
    assert call(*search).status == 0
    record = folder / "here" / "summary.json"
    whole = json.loads(record.read_text())
    record.write_text(damage)
    assert call(*search).status == 0
    assert json.loads(record.read_text())["best"] == whole["best"]


def test_failures_of_an_earlier_session_are_counted_in_the_progress(launcher: Launcher, folder: Path) -> None:
    search = ["losses.py:leaves_a_child", "--limits", LIMITS, "--run-dir", "here", "--evaluate", "process"]
    assert launcher.evo(*search, "--evaluations", "9").status == 0
    ended = launcher.evo(*search, "--evaluations", "10")
    assert "10/10 evaluations (1 failed)" in ended.out


def test_a_launcher_without_mpi4py_is_named(launcher: Launcher, folder: Path) -> None:
    (folder / "mpi4py").mkdir()
    (folder / "mpi4py" / "__init__.py").write_text("raise ImportError('no MPI library')")
    ended = launcher.evo("sphere", PYTHONPATH=f"{folder}:{launcher.environment()['PYTHONPATH']}", PMIX_RANK="0")
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert "there is no MPI (no MPI library)" in ended.err
