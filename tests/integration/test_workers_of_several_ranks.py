"""Workers of two ranks, which evaluate every individual together, under a real mpirun."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import journals
import pytest
from helpers import Ended, Launcher, is_alive, wait_until
from ranks import find_ranks, start_ranks

from evo.population.events import Died, Finished, Joined

pytestmark = pytest.mark.mpi

MpiRun = Callable[..., Ended]

# Every rank tells the others what it got, and which rank of the job it is.
TOGETHER = """
import os, time
def loss(params, trial):
    mine = [params, trial.individual, trial.seed, trial.size]
    got = trial.communicator.allgather([*mine, trial.rank, os.environ["OMPI_COMM_WORLD_RANK"]])
    assert [one[:4] for one in got] == [mine] * trial.size
    assert [one[4] for one in got] == list(range(trial.communicator.size))
    trial.metrics["ranks"] = ",".join(one[5] for one in got)
    time.sleep(0.01)
    return params["x"] ** 2 + 1000 * trial.rank  # Only that of the first one counts.
"""
LIMITS = {"x": (-1.0, 1.0)}


def search(loss: str, *arguments: str, ranks_per_worker: int = 2) -> list[str]:
    """The arguments of Python for a search."""
    limits = ["--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here"]
    return ["-m", "evo.run", loss, *limits, "--ranks-per-worker", str(ranks_per_worker), *arguments]


@pytest.fixture
def folder(launcher: Launcher) -> Path:
    (launcher.folder / "together.py").write_text(TOGETHER)
    return launcher.folder


@pytest.mark.parametrize(("ranks", "size"), [(6, 2), (3, 3)])
def test_the_ranks_of_a_worker_evaluate_the_same_individuals_and_count_as_one(
    mpirun: MpiRun, folder: Path, ranks: int, size: int
) -> None:
    workers = ranks // size
    arguments = ["--generations", "12", "--islands", str(min(2, workers)), "--debug"]
    ended = mpirun(ranks, *search("together.py:loss", *arguments, ranks_per_worker=size))
    assert (ended.status, ended.err) == (0, "")
    here = folder / "here"
    assert journals.check_complete(here) == 12 * workers
    outcomes = journals.finished(here)
    assert set(outcomes) == {(worker, generation) for worker in range(workers) for generation in range(12)}
    for (worker, _), end in outcomes.items():
        assert (end.status, end.rank) == ("completed", worker)
        assert end.loss is not None
        assert end.loss <= 1
        assert end.metrics == {"ranks": ",".join(str(worker * size + place) for place in range(size))}
    assert sorted(journals.events_by_worker(here)) == list(range(workers))
    joined = [event for event in journals.events(here) if isinstance(event, Joined)]
    assert sorted((event.rank, event.ranks, event.ranks_per_worker) for event in joined) == [
        (worker, workers, size) for worker in range(workers)
    ]
    assert re.search(r"^ *evaluated by +worker \d", ended.out, re.M)
    record = journals.summary(here)
    assert (record["ranks"], record["evaluations"], record["completed"]) == (ranks, 12 * workers, 12 * workers)
    digest = journals.digest(here, LIMITS, min(2, workers))
    assert re.search(rf"^all {workers} .* hold the same population: {digest}$", ended.out, re.M)
    others = f", …, worker {workers - 1} of ranks {ranks - size}-{ranks - 1}" if workers > 1 else ""
    assert f"\n  worker 0 of ranks 0-{size - 1}{others}\n" in ended.out


def test_a_study_goes_on_with_another_number_of_ranks_for_each_worker(mpirun: MpiRun, folder: Path) -> None:
    for session, (ranks, size) in enumerate([(4, 2), (2, 1), (3, 3)]):
        budget = 15 * (session + 1)
        arguments = ["--evaluations", str(budget), "--debug"]
        ended = mpirun(ranks, *search("together.py:loss", *arguments, ranks_per_worker=size))
        assert (ended.status, ended.err) == (0, "")
        assert budget <= journals.check_complete(folder / "here") <= budget + ranks // size - 1
    sizes = [len(end.metrics["ranks"].split(",")) for end in journals.finished(folder / "here").values()]
    assert set(sizes) == {1, 2, 3}


SCRIPT = """
import json, sys
from pathlib import Path
import evo
from mpi4py import MPI

def loss(params, trial):
    halves = [params["x"], params["y"] - 1]
    return trial.communicator.allreduce(halves[trial.rank] ** 2)

run_dir = sys.argv[1] if len(sys.argv) > 1 else None
limits = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}
result = evo.minimize(loss, limits, evaluations=30, ranks_per_worker=2, islands=2, run_dir=run_dir)
found = [[one.individual, one.status, one.loss, one.params, one.rank] for one in result.individuals]
said = [found, result.best.individual, result.stop_reason, result.first_rank]
Path(f"said-{MPI.COMM_WORLD.rank}.json").write_text(json.dumps(said))
print(f"first: {MPI.COMM_WORLD.rank}" if result.is_first else "", end="")
"""


@pytest.mark.parametrize("run_dir", [[], ["here"]], ids=["without", "with"])
def test_minimize_returns_the_same_on_all_ranks_of_all_workers(
    mpirun: MpiRun, folder: Path, run_dir: list[str]
) -> None:
    (folder / "script.py").write_text(SCRIPT)
    ended = mpirun(4, "script.py", *run_dir)
    assert (ended.status, ended.out, ended.err) == (0, "first: 0", "")
    said = [json.loads((folder / f"said-{rank}.json").read_text()) for rank in range(4)]
    assert said == [said[0]] * 4
    found = said[0][0]
    assert 30 <= len(found) <= 31
    for _, status, loss, params, _ in found:
        assert status == "completed"
        assert loss == pytest.approx(params["x"] ** 2 + (params["y"] - 1) ** 2)
    assert {rank for *_, rank in found} == {0, 1}


FAILING = """
import os
def loss(params, trial):
    if trial.individual[1] == 3 and trial.rank == 1:
        raise ValueError("not on the second one")
    if trial.individual[1] == 5 and trial.rank == 0:
        raise ValueError("not on the first one")
    if trial.individual[1] == 7:
        raise ValueError(f"on no one, not on {trial.rank}")
    assert trial.size == 2
    trial.metrics["is_child"] = "OMPI_COMM_WORLD_RANK" not in os.environ
    return params["x"] ** 2 + 1000 * trial.rank
"""


@pytest.mark.parametrize(("where", "workers"), [("inline", 2), ("process", 1)])
def test_an_individual_has_failed_when_it_has_on_one_of_the_ranks(
    mpirun: MpiRun, folder: Path, where: str, workers: int
) -> None:
    (folder / "failing.py").write_text(FAILING)
    arguments = ["--generations", "10", "--evaluate", where, "--debug"]
    ended = mpirun(2 * workers, *search("failing.py:loss", *arguments))
    assert (ended.status, ended.err) == (0, "")
    assert journals.check_complete(folder / "here") == 10 * workers
    for (_, generation), end in journals.finished(folder / "here").items():
        if generation in (3, 5, 7):
            assert (end.status, end.loss) == ("failed", None)
            assert (
                end.error
                == {
                    3: "on rank 1 of the worker: ValueError: not on the second one",
                    5: "ValueError: not on the first one",
                    7: "ValueError: on no one, not on 0",
                }[generation]
            )
            assert "failing.py" in end.traceback
        else:
            assert end.status == "completed"
            assert end.loss is not None
            assert end.loss <= 1
            assert end.metrics == {"is_child": where == "process"}


def test_in_a_child_process_the_communicator_is_refused_in_words_that_say_what_to_do(
    mpirun: MpiRun, folder: Path
) -> None:
    command = search("together.py:loss", "--generations", "2", "--evaluate", "process")
    ended = mpirun(2, *command)
    assert ended.status == 1
    for end in journals.finished(folder / "here").values():
        assert end.status == "failed"
        assert end.error.removeprefix("on rank 1 of the worker: ") == (
            "RuntimeError: a child process has no MPI communicator: use trial.rank and trial.size, or run inline"
        )
    (line,) = re.findall(r"^.*evo: error: .*$", ended.err, re.M)
    assert "a child process has no MPI communicator" in line


def test_a_worker_that_would_be_incomplete_is_one_line(mpirun: MpiRun, folder: Path) -> None:
    ended = mpirun(3, *search("together.py:loss", "--generations", "2"))
    assert ended.status == 2
    (line,) = re.findall(r"^.*evo: error: .*$", ended.err, re.M)
    assert "ranks_per_worker is 2, but there are 3 ranks: start a multiple of it" in line
    assert "Traceback" not in ended.err
    assert not (folder / "here").exists()


# The second rank fails while the first one waits for it inside MPI.
STUCK = """
import sys
import evo.evaluation.team
from evo.run import main
evo.evaluation.team._PATIENCE = 1.0
sys.exit(main(sys.argv[1:]))
"""
WAITING = """
def loss(params, trial):
    if trial.individual == (1, 3) and trial.rank == 1:
        raise ValueError("not on the second one")
    return trial.communicator.allreduce(params["x"] ** 2)
"""
MENDED = """
def loss(params, trial):
    return trial.communicator.allreduce(params["x"] ** 2)
"""


def test_a_rank_that_waits_for_one_that_failed_ends_the_search_and_the_same_command_goes_on(
    mpirun_command: str, launcher: Launcher, folder: Path
) -> None:
    (folder / "stuck.py").write_text(STUCK)
    (folder / "waiting.py").write_text(WAITING)
    command = ["stuck.py", *search("waiting.py:loss", "--generations", "20")[2:]]
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 4, *command), timeout=40)
    wait_until(lambda: not launcher.survivors())
    (problem,) = re.findall(r"evo: error: .*$", ended.err, re.M)
    assert "the objective failed on rank 1 of the 2 of a worker (ValueError: not on the second one)" in problem
    assert "Traceback" not in ended.err
    assert ended.status not in (0, 2, 85)
    assert not (folder / "here" / "summary.json").exists()
    assert (1, 2) in journals.finished(folder / "here")
    assert (1, 3) not in journals.finished(folder / "here")
    (folder / "waiting.py").write_text(MENDED)
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 4, *command))
    assert ended.status == 0, ended.err
    (told,) = ended.err.splitlines()
    assert "waiting:loss has changed since then: waiting.py" in told
    assert journals.check_complete(folder / "here") == 40


def test_an_individual_in_which_workers_wait_for_ever_fails_where_the_others_survive_them(
    mpirun_that_goes_on: str, launcher: Launcher, folder: Path
) -> None:
    (folder / "stuck.py").write_text(STUCK)
    (folder / "waiting.py").write_text(WAITING)
    command = ["stuck.py", *search("waiting.py:loss", "--evaluations", "40", "--debug")[2:]]
    process = start_ranks(launcher, mpirun_that_goes_on, 6, *command, options=["--with-ft", "ulfm"])
    ended = launcher.finish(process)
    wait_until(lambda: not launcher.survivors())
    assert len(re.findall(r"evo: error: the objective failed on rank 1 of the 2 of a worker ", ended.err)) == 2
    assert 40 <= journals.check_complete(folder / "here") <= 42
    end = journals.finished(folder / "here")[1, 3]
    assert (end.status, end.error.partition(":")[0]) == ("failed", "RankDied")
    record = journals.summary(folder / "here")
    assert (record["failed"], len(record["lost_ranks"])) == (1, 4)


SLEEPING = """
import time
def loss(params, trial):
    time.sleep(0.01)
    return params["x"] ** 2
"""


@pytest.mark.parametrize(("dies", "where"), [(0, "process"), (3, "inline")])
def test_a_worker_that_loses_a_rank_ends_and_the_others_take_over(
    mpirun_that_goes_on: str, launcher: Launcher, folder: Path, dies: int, where: str
) -> None:
    (folder / "sleeping.py").write_text(SLEEPING)
    loss = "together.py:loss" if where == "inline" else "sleeping.py:loss"
    command = search(loss, "--evaluations", "120", "--evaluate", where, "--islands", "2", "--debug")
    process = start_ranks(launcher, mpirun_that_goes_on, 6, *command, options=["--with-ft", "ulfm"])
    wait_until(lambda: len(find_ranks(launcher)) == 6)
    processes = find_ranks(launcher)
    here = folder / "here"
    wait_until(lambda: journals.count_finished(here) >= 20)
    os.kill(processes[dies], signal.SIGKILL)
    worker, partner = dies // 2, dies ^ 1
    wait_until(lambda: not is_alive(processes[partner]))
    ended = launcher.finish(process)
    wait_until(lambda: not launcher.survivors())
    assert 120 <= journals.check_complete(here) <= 122
    record = journals.summary(here)
    lost = sorted([dies, partner])
    assert (record["completed"], record["lost_ranks"]) == (record["evaluations"], lost)
    assert {event.rank for event in journals.events(here) if isinstance(event, Died)} == {worker}
    ends = f"evo: error: rank {partner % 2} of a worker ends, because rank {dies % 2} of it has died"
    assert ends in ended.err
    assert "Traceback" not in ended.err
    assert ended.out.count("The best candidates") == 1
    assert f"\nranks {lost[0]}, {lost[1]} of 6 died, and the others took over\n" in ended.out
    assert f"hold the same population: {journals.digest(here, LIMITS, 2)}\n" in ended.out


IN_STEP = """
import time
import evo
def loss(params, trial):
    for _ in range(10000):
        if trial.interrupted:
            raise evo.Interrupted
        time.sleep(0.01 * (1 + trial.rank))
        trial.communicator.allreduce(1)
    return 0.0
"""


def test_the_ranks_of_a_worker_agree_when_they_are_interrupted(
    mpirun_command: str, launcher: Launcher, folder: Path
) -> None:
    (folder / "in_step.py").write_text(IN_STEP)
    command = search("in_step.py:loss", "--evaluate", "inline", "--evaluations", "10")
    process = start_ranks(launcher, mpirun_command, 4, *command)
    wait_until(lambda: len(journals.started(folder / "here")) == 2)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process, timeout=40)
    assert ended.status == 85, ended
    assert [end.status for end in journals.events(folder / "here") if isinstance(end, Finished)] == ["interrupted"] * 2


@pytest.mark.parametrize("where", ["inline", "process"])
def test_a_signal_stops_all_ranks_of_all_workers_and_the_same_command_goes_on(
    mpirun: MpiRun, mpirun_command: str, launcher: Launcher, folder: Path, where: str
) -> None:
    (folder / "sleeping.py").write_text(SLEEPING)
    loss = "together.py:loss" if where == "inline" else "sleeping.py:loss"
    command = search(loss, "--evaluate", where, "--islands", "2", "--debug")
    process = start_ranks(launcher, mpirun_command, 4, *command, "--evaluations", "100000")
    here = folder / "here"
    wait_until(lambda: journals.count_finished(here) >= 20)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process, timeout=40)
    assert ended.status == 85, ended
    assert ": SIGUSR1 asked to stop\n" in ended.out
    assert not (here / "summary.json").exists()
    known = journals.finished(here)
    in_flight = set(journals.started(here)) - set(known)
    assert len(in_flight) <= (2 if where == "process" else 0)
    budget = len(known) + 20
    ended = mpirun(4, *command, "--evaluations", str(budget))
    assert (ended.status, ended.err) == (0, "")
    assert budget <= journals.check_complete(here) <= budget + 1
    assert journals.finished(here).items() >= known.items()
    assert in_flight <= set(journals.finished(here))
