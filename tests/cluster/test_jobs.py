"""The batch scripts of jobs/, as they are, run by a real Slurm."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Launcher, make_environment, wait_until
from slurm import NODES, Slurm

from evo.population.events import AnyEvent, Finished, Joined, Reported
from evo.storage.rundir import RunDirectory

pytestmark = [pytest.mark.slow, pytest.mark.mpi, pytest.mark.root]

JOBS = Path(__file__).parents[2] / "jobs"
# Stands for Apptainer: a container is a user, a mount and an IPC namespace, and the image is this machine's files.
APPTAINER = """#!/bin/sh
[ "$1 $2 $3 $5 $7" = "exec --nv --bind --pwd evo.sif" ] && [ -e "$7" ] || { echo "apptainer: not so: $*"; exit 255; }
cd "$6" && shift 7 && exec unshare --user --map-root-user --mount --ipc "$@"
"""
LAUNCHERS = {"mpirun": {}, "srun": {"LAUNCH": "srun --mpi=pmix --cpus-per-task=2"}}
SHORT = ["rastrigin", "--evaluations", "60", "--run-dir", "here"]

PATIENT = """
import time
import evo
def loss(params, trial, steps=40):
    saved = trial.folder / "step"
    for step in range(int(saved.read_text()) if saved.exists() else 0, steps):
        if trial.interrupted:
            saved.write_text(str(step))
            raise evo.Interrupted
        time.sleep(0.05)
        trial.report(params["x"], step=step)
    return params["x"]
def endless(params, trial):
    return loss(params, trial, 100_000)
"""
NETWORK = """
from evo import LightningObjective
from evo.problems.digits import Digits, DigitsNet
short = LightningObjective(DigitsNet, Digits, max_epochs=15, early_stopping=False)
endless = LightningObjective(DigitsNet, Digits, max_epochs=100_000, early_stopping=False)
"""
PATIENT_SEARCH = ["patient.py:loss", "--limits", "{x: [0.0, 1.0]}", "--run-dir", "here"]


@pytest.fixture
def folder(launcher: Launcher, mpirun_command: str) -> Path:
    """Where a user is: the scripts in jobs/, an environment in .venv."""
    shutil.copytree(JOBS, launcher.folder / "jobs")
    apptainer = make_environment(launcher.folder, mpirun_command).parent / "apptainer"
    apptainer.write_text(APPTAINER)
    apptainer.chmod(0o755)
    (launcher.folder / "evo.sif").touch()
    (launcher.folder / "patient.py").write_text(PATIENT)
    (launcher.folder / "network.py").write_text(NETWORK)
    return launcher.folder


def output(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted(folder.glob("*.out")))


def events(directory: Path) -> list[AnyEvent]:
    return list(RunDirectory(directory).events()) if (directory / "journal").exists() else []


def steps(directory: Path) -> dict[tuple[int, int], list[int]]:
    """What each individual has reported, in the order of time."""
    found: dict[tuple[int, int], list[int]] = {}
    for event in sorted((event for event in events(directory) if isinstance(event, Reported)), key=lambda e: e.time):
        found.setdefault(event.individual, []).append(event.step)
    return found


def ends(directory: Path, *statuses: str) -> dict[tuple[int, int], Finished]:
    """How individuals ended, those that did so with one of these statuses."""
    finished = [event for event in events(directory) if isinstance(event, Finished)]
    return {event.individual: event for event in finished if event.status in statuses}


def summary(directory: Path) -> Any:
    return json.loads((directory / "summary.json").read_text())


def devices(directory: Path) -> dict[int, str]:
    return {event.rank: event.device for event in events(directory) if isinstance(event, Joined)}


def ranks_on_nodes(directory: Path) -> Counter[str]:
    return Counter({event.rank: event.host for event in events(directory) if isinstance(event, Joined)}.values())


def evo_processes(launcher: Launcher) -> list[int]:
    """The ranks that run, without what they have started."""
    running = {process: command(process) for process in launcher.survivors()}
    python = os.path.basename(sys.executable)
    return [process for process, words in running.items() if words[:3] == [python, "-m", "evo.run"]]


def command(process: int) -> list[str]:
    try:
        name, *words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return []
    return [os.path.basename(name), *words]


@pytest.fixture(autouse=True)
def ending(slurm: Slurm, launcher: Launcher) -> Iterator[None]:
    """End jobs before the launcher ends their processes, or Slurm would run them again."""
    yield
    slurm.end_jobs()


# That srun starts one_node.sh as well: below, with a rank that is killed.
@pytest.mark.parametrize(
    ("script", "nodes", "launched_by"),
    [("one_node.sh", 1, "mpirun"), ("several_nodes.sh", 2, "mpirun"), ("container.sh", 2, "srun")],
)
def test_a_job_with_gpus_completes_with_a_rank_on_each(
    slurm: Slurm, launcher: Launcher, folder: Path, script: str, nodes: int, launched_by: str
) -> None:
    variables = dict(LAUNCHERS[launched_by])
    if script == "container.sh":  # It activates nothing: what would be in the environment is in the image.
        variables["PATH"] = os.pathsep.join([str(folder / ".venv" / "bin"), slurm.variables()["PATH"]])
    job = slurm.submit(launcher, f"jobs/{script}", *SHORT, **variables)
    assert slurm.wait(job) == 0, output(folder)
    assert summary(folder / "here")["evaluations"] >= 60
    assert ranks_on_nodes(folder / "here") == dict.fromkeys(NODES[:nodes], 4)
    assert Counter(devices(folder / "here").values()) == {f"cuda:{gpu}": nodes for gpu in range(4)}


@pytest.mark.parametrize(
    ("script", "used"),
    [("cpu.sh", {"cpu": 8}), ("shared_gpus.sh", {f"cuda:{gpu}": 3 for gpu in range(4)})],
)
def test_a_job_of_many_ranks_completes(
    slurm: Slurm, launcher: Launcher, folder: Path, script: str, used: dict[str, int]
) -> None:
    job = slurm.submit(launcher, f"jobs/{script}", *SHORT)
    assert slurm.wait(job) == 0, output(folder)
    assert summary(folder / "here")["evaluations"] >= 60
    assert Counter(devices(folder / "here").values()) == used


def test_a_job_of_workers_of_four_ranks_completes(slurm: Slurm, launcher: Launcher, folder: Path) -> None:
    (folder / "parts.py").write_text(
        "def loss(params, trial):\n"
        "    assert trial.size == 4\n"
        "    return params['x'] + trial.communicator.allreduce(trial.rank)\n"
    )
    search = ["parts.py:loss", "--limits", "{x: [0.0, 1.0]}", "--evaluations", "20", "--run-dir", "here"]
    job = slurm.submit(launcher, "jobs/ranks_per_worker.sh", *search, RANKS_PER_WORKER="4")
    assert slurm.wait(job) == 0, output(folder)
    assert 6 <= summary(folder / "here")["best"]["loss"] < 7
    assert {event.rank for event in ends(folder / "here", "completed").values()} == {0, 1}


def test_an_array_of_seeds_is_followed_by_a_report_on_all_of_them(
    slurm: Slurm, launcher: Launcher, folder: Path
) -> None:
    search = ["rastrigin", "--evaluations", "40", "--quiet"]
    seeds = slurm.submit(launcher, "--array=0-2", "--ntasks-per-node=2", "jobs/seeds.sh", *search)
    report = slurm.submit(launcher, f"--dependency=afterany:{seeds}", "jobs/report.sh", "runs/seeds")
    assert slurm.wait(report) == 0, output(folder)
    assert slurm.wait(seeds) == 0, output(folder)
    found = {f"runs/seeds/{seed}": summary(folder / "runs" / "seeds" / str(seed)) for seed in range(3)}
    assert [run["seed"] for run in found.values()] == [0, 1, 2]
    lines = (folder / f"report-{report}.out").read_text().splitlines()
    order = sorted(found, key=lambda run: found[run]["best"]["loss"])
    assert [line.split()[:2] for line in lines[1:4]] == [[run, str(found[run]["best"]["loss"])] for run in order]
    assert f"The best of them, of {order[0]}:" in lines


def test_a_chain_of_jobs_goes_on_with_its_trainings(slurm: Slurm, launcher: Launcher, folder: Path) -> None:
    search = ["network.py:short", "--limits", "{lr: [0.001, 0.01]}", "--evaluations", "2", "--run-dir", "here"]
    job = slurm.submit(launcher, "--ntasks-per-node=2", "jobs/chain.sh", *search)
    wait_until(lambda: sum(len(reported) > 3 for reported in steps(folder / "here").values()) == 2, 60)
    began = time.time()
    slurm.signal("USR1", job)
    wait_until(lambda: slurm.facts(job)[0]["Restarts"] == "1")
    interrupted = ends(folder / "here", "interrupted")
    assert len(interrupted) == 2
    assert all(end.time - began < 20 for end in interrupted.values())
    assert not (folder / "here" / "summary.json").exists()
    assert slurm.wait(job, 90) == 0, output(folder)
    assert summary(folder / "here")["evaluations"] == summary(folder / "here")["completed"]
    completed = ends(folder / "here", "completed")
    assert completed.keys() >= interrupted.keys()
    for individual in interrupted:
        assert completed[individual].metrics["epochs"] == 15
        assert steps(folder / "here")[individual] == list(range(15))  # None twice: the state was saved.


def test_a_chain_passes_signals_on_that_come_early_or_late(slurm: Slurm, launcher: Launcher, folder: Path) -> None:
    python = folder / ".venv" / "bin" / "python"
    python.write_text(
        python.read_text().replace("exec", '[ "$SLURM_RESTART_COUNT" ] || { touch begun; sleep 3; }\nexec')
    )
    job = slurm.submit(launcher, "jobs/chain.sh", *PATIENT_SEARCH, "--evaluations", "8", **LAUNCHERS["srun"])
    wait_until((folder / "begun").exists)
    slurm.signal("USR1", job)  # Which would kill whoever gets it now.
    wait_until(lambda: slurm.facts(job)[0]["Restarts"] == "1")
    before = len(events(folder / "here"))
    wait_until(lambda: len(events(folder / "here")) > before + 20, 30)
    slurm.signal("USR1", job)
    wait_until(lambda: slurm.facts(job)[0]["Restarts"] == "2")
    interrupted = ends(folder / "here", "interrupted")
    assert interrupted
    assert slurm.wait(job) == 0, output(folder)
    assert ends(folder / "here", "completed").keys() >= interrupted.keys()
    assert all(reported == list(range(40)) for reported in steps(folder / "here").values())
    assert (folder / f"evo-chain-{job}.out").read_text().count("evo: study here") == 3


def test_trainings_of_minutes_stop_soon_after_a_signal_to_the_job(
    slurm: Slurm, launcher: Launcher, folder: Path
) -> None:
    # Those that mpirun starts: in a chain of jobs, above.
    search = ["network.py:endless", "--limits", "{lr: [0.001, 0.01]}", "--run-dir", "here"]
    job = slurm.submit(launcher, "--ntasks-per-node=2", "jobs/one_node.sh", *search, **LAUNCHERS["srun"])
    wait_until(lambda: len(steps(folder / "here")) == 2, 60)
    began = time.monotonic()
    slurm.signal("USR1", job)
    assert slurm.wait(job, 40) == 85, output(folder)
    assert time.monotonic() - began < 20  # Of the 45 that they may take.
    assert len(ends(folder / "here", "interrupted")) == 2
    assert len(list((folder / "here" / "individuals").glob("*/last.ckpt"))) == 2
    wait_until(lambda: not launcher.survivors())


def test_a_search_stops_by_itself_before_its_job_has_to_end(slurm: Slurm, launcher: Launcher, folder: Path) -> None:
    search = ["patient.py:endless", "--limits", "{x: [0.0, 1.0]}", "--grace", "32s", "--run-dir", "here"]
    job = slurm.submit(launcher, "--time=1", "jobs/one_node.sh", *search)
    assert slurm.wait(job) == 85, output(folder)
    assert slurm.facts(job)[0]["JobState"] == "FAILED"  # And not TIMEOUT.
    assert "the end of the batch job is near" in output(folder)
    assert len(ends(folder / "here", "interrupted")) == 4


@pytest.mark.parametrize("launched_by", LAUNCHERS)
def test_a_rank_that_is_killed_ends_its_job_and_the_same_script_goes_on(
    slurm: Slurm, launcher: Launcher, folder: Path, launched_by: str
) -> None:
    submit = ["jobs/one_node.sh", *PATIENT_SEARCH, "--evaluations", "8"]
    job = slurm.submit(launcher, *submit, **LAUNCHERS[launched_by])
    wait_until(lambda: len(ends(folder / "here", "completed")) >= 4, 60)
    os.kill(evo_processes(launcher)[1], signal.SIGKILL)
    assert slurm.wait(job, 40) not in (0, 85), output(folder)
    wait_until(lambda: not launcher.survivors())
    before = ends(folder / "here", "completed")
    assert slurm.wait(slurm.submit(launcher, *submit, **LAUNCHERS[launched_by])) == 0, output(folder)
    assert ends(folder / "here", "completed").items() >= before.items()
    assert 8 <= summary(folder / "here")["completed"] <= 11


def test_ranks_that_do_not_find_each_other_say_what_to_do_and_write_nothing(
    slurm: Slurm, launcher: Launcher, folder: Path
) -> None:
    job = slurm.submit(launcher, "jobs/one_node.sh", *SHORT, LAUNCH="srun --mpi=none")
    assert slurm.wait(job) == 2, output(folder)
    message = "evo: error: srun started 4 tasks, but each is alone: start them with srun --mpi=pmix, or with mpirun"
    assert message in output(folder).splitlines()
    assert "Traceback" not in output(folder)
    assert not (folder / "here").exists()
