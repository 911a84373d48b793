"""Searches on several ranks, under a real mpirun."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import journals
import mistakes
import pytest
from helpers import Ended, Launcher, RunOnce, mpi_variables, wait_until
from ranks import start_ranks

from evo.population.events import Finished
from evo.runtime.mpi import is_launched, why_not_one_world

pytestmark = pytest.mark.mpi

MpiRun = Callable[..., Ended]

SLOW = """
import time
def loss(params):
    time.sleep(0.01)
    return params["x"] ** 2 + params["n"]
"""
SLOW_SEARCH = ["-m", "evo.run", "slow.py:loss", "--limits", "{x: [-1.0, 1.0], n: [0, 9]}", "--run-dir", "here"]


@pytest.fixture
def folder(launcher: Launcher) -> Path:
    (launcher.folder / "slow.py").write_text(SLOW)
    return launcher.folder


# The transport alone.

TORTURE = """
import sys, time
from mpi4py import MPI
from evo.runtime.mpi import MPITransport
transport = MPITransport(MPI.COMM_WORLD.Dup())
rank, size = transport.rank, transport.size
others = [other for other in range(size) if other != rank]
got = {other: [] for other in others}
COUNT = 10_000

def length(number):
    return 300_000 if number % 2500 == 77 else number % 300

def take():
    for source, message in transport.receive():
        sender, number, filling = message.decode().split(" ")
        assert int(sender) == source
        assert len(filling) == length(int(number)), message[:50]
        got[int(sender)].append(int(number))

began = time.monotonic()
if rank != 0:  # which looks after nothing meanwhile
    for number in range(COUNT):
        transport.send(f"{rank} {number} {'x' * length(number)}".encode(), others)
        if number % 50 == 0:
            take()
    assert time.monotonic() - began < 10, "sending waited for the rank that receives nothing"
else:
    time.sleep(0.5)
words = [f"\\u00e9{other}" * (1 + 100_000 * other) for other in range(size)]
assert transport.gather(words[rank]) == words
assert transport.gather("") == [""] * size
deadline = time.monotonic() + 30
while any(len(got[other]) < COUNT for other in others if other):
    take()
    transport.wait()
    assert time.monotonic() < deadline, {other: len(numbers) for other, numbers in got.items()}
for other in others:
    assert got[other] == (list(range(COUNT)) if other else [])
transport.close()
print(f"rank {rank} of {size} on a node of {len(transport.node)}", flush=True)
"""


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_all_messages_arrive_in_order_also_at_a_rank_that_receives_none_for_a_while(
    mpirun: MpiRun, folder: Path, ranks: int
) -> None:
    (folder / "torture.py").write_text(TORTURE)
    ended = mpirun(ranks, "torture.py")
    assert (ended.status, ended.err) == (0, "")
    expected = [f"rank {rank} of {ranks} on a node of {ranks}" for rank in range(ranks)]
    assert sorted(ended.out.splitlines()) == expected


PARTS = """
import sys
from mpi4py import MPI
from evo.runtime.mpi import MPITransport
transport = MPITransport(MPI.COMM_WORLD.Dup())
rank = transport.rank
outer, inner = [0, 3], [1, 2]
part = transport.part(outer if rank in outer else inner)
assert (part.rank, part.size) == (int(rank > 1), 2)
assert part.node == [0, 1]
assert part.gather(str(rank)) == ([str(other) for other in (outer if rank in outer else inner)])
transport.send(b"to all", [other for other in range(4) if other != rank])
part.send(b"to one", [1 - part.rank])
transport.post()
part.post()
heard, in_part = [], []
while len(heard) < 3 or len(in_part) < 1:
    heard += transport.receive()
    in_part += part.receive()
    transport.wait()
assert sorted(heard) == [(other, b"to all") for other in range(4) if other != rank]
assert in_part == [(1 - part.rank, b"to one")]
assert (part.dead, transport.dead) == (frozenset(), frozenset())
assert (transport.traffic.messages, part.traffic.messages, part.traffic.bytes) == (3, 1, 6)
part.close()
transport.close()
"""


def test_a_part_of_the_ranks_has_numbers_and_messages_of_its_own(mpirun: MpiRun, folder: Path) -> None:
    (folder / "parts.py").write_text(PARTS)
    assert mpirun(4, "parts.py") == Ended(0, "", "")


def test_a_process_is_one_of_several_only_when_a_launcher_says_so() -> None:
    assert not is_launched({"PATH": "/bin", "SLURM_NTASKS": "4"})
    for variable in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"):
        assert is_launched({variable: "1"})


def test_ranks_that_srun_started_alone_are_told_how_to_start_them() -> None:
    slurm = {"SLURM_STEP_NUM_TASKS": "4"}
    assert why_not_one_world(1, slurm).startswith("srun started 4 tasks, but each is alone: start them with srun --mpi")
    assert why_not_one_world(4, slurm) == ""
    assert why_not_one_world(1, {"SLURM_STEP_NUM_TASKS": "1"}) == ""
    assert why_not_one_world(1, {}) == ""
    assert why_not_one_world(1, {**slurm, "OMPI_COMM_WORLD_SIZE": "1"}) == ""  # mpirun -n 1 in a larger job.
    mpirun = {"OMPI_COMM_WORLD_SIZE": "4"}
    assert why_not_one_world(1, mpirun).startswith("mpirun started 4 ranks, but each is alone: it has ended, or")
    assert why_not_one_world(4, mpirun) == ""


def test_ranks_whose_launcher_tells_of_them_by_pmi_do_not_search_when_they_are_alone(launcher: Launcher) -> None:
    first, second = (
        launcher.evo("sphere", "--evaluations", "8", PMI_SIZE="2", PALS_RANKID=rank, **mpi_variables()) for rank in "01"
    )
    assert first.err.startswith(
        "evo: error: the launcher started 2 ranks, but each is alone: the MPI that mpi4py uses "
    )
    assert first.err.count("\n") == 1
    assert (first.status, first.out) == (2, "")
    assert second == Ended(2, "", "")
    assert not (launcher.folder / "runs").exists()


def test_an_mpi_library_that_cannot_be_loaded_is_an_error_that_says_what_to_do(launcher: Launcher) -> None:
    package = launcher.folder / "absent" / "mpi4py"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("class rc:\n    finalize = None\n")
    (package / "MPI.py").write_text("raise RuntimeError('cannot load MPI library\\nlibmpi.so.40: no such file')\n")
    path = os.pathsep.join([str(package.parent), launcher.environment()["PYTHONPATH"]])
    ended = launcher.evo("sphere", "--evaluations", "8", PMI_SIZE="1", PMI_RANK="0", PYTHONPATH=path)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(
        "evo: error: mpirun or srun started this process, but mpi4py has no MPI library (cannot load MPI library; "
        "libmpi.so.40: no such file): load the module of the cluster's MPI, name its library in MPI4PY_LIBMPI, "
    )
    assert ended.err.count("\n") == 1


# Whole searches.


def test_four_ranks_find_the_minimum_and_hold_the_same_population(mpirun: MpiRun, folder: Path) -> None:
    ended = mpirun(4, "-m", "evo.run", "sphere", "--generations", "125", "--debug")
    assert (ended.status, ended.err) == (0, "")
    assert "evo: study sphere in runs/sphere; 125 generations on each of 4 ranks\n" in ended.out
    assert ended.out.count("The best candidates") == 1
    assert re.search(r"^all 4 ranks hold the same population: [0-9a-f]{16}$", ended.out, re.M)
    summary = json.loads((folder / "runs" / "sphere" / "summary.json").read_text())
    assert summary["best"]["loss"] < 1e-8
    assert (summary["ranks"], summary["evaluations"], summary["completed"]) == (4, 500, 500)
    ends = journals.finished(folder / "runs" / "sphere")
    assert set(ends) == {(rank, generation) for rank in range(4) for generation in range(125)}
    assert all(end.rank == rank for (rank, _), end in ends.items())


def test_one_rank_under_mpirun_searches_as_without_it(mpirun: MpiRun, launcher: Launcher, folder: Path) -> None:
    assert mpirun(1, "-m", "evo.run", "sphere", "--evaluations", "30", "--run-dir", "one").status == 0
    assert launcher.evo("sphere", "--evaluations", "30", "--run-dir", "two").status == 0
    assert journals.started(folder / "one") == journals.started(folder / "two")


BUDGETS = """
import sys
from evo.run import main
for seed in range(4):
    budget = 20 + 30 * seed
    arguments = f"sphere --evaluations {budget} --seed {seed} --run-dir {budget} --quiet --debug"
    assert main(arguments.split()) == 0
"""


def test_a_budget_of_evaluations_is_spent_and_overspent_by_less_than_the_ranks(mpirun: MpiRun, folder: Path) -> None:
    ranks = 5
    (folder / "budgets.py").write_text(BUDGETS)
    assert mpirun(ranks, "budgets.py") == Ended(0, "", "")
    for budget in range(20, 140, 30):
        assert budget <= len(journals.finished(folder / str(budget))) <= budget + ranks - 1
        assert set(journals.started(folder / str(budget))) == set(journals.finished(folder / str(budget)))


def test_a_finite_space_is_shared_out_without_trying_a_point_twice(mpirun: MpiRun, folder: Path) -> None:
    limits = "{n: [1, 20], x: [a, b, c]}"
    (folder / "free.py").write_text("def loss(params): return params['n']\n")
    ended = mpirun(4, "-m", "evo.run", "free.py:loss", "--limits", limits, "--generations", "500", "--run-dir", "here")
    assert ended.status == 0
    points = Counter(tuple(params.values()) for params in journals.started(folder / "here").values())
    assert points.keys() == {(n, x) for n in range(1, 21) for x in "abc"}
    # From a rank that the machine has held up for long, the others may take what is left of its share.
    assert points.total() <= 60 + 2


def test_a_target_that_one_rank_reaches_ends_the_search_of_all(mpirun: MpiRun, folder: Path) -> None:
    ended = mpirun(4, *SLOW_SEARCH, "--target", "0.05", "--debug")
    assert ended.status == 0
    assert ": the target loss 0.05 is reached\n" in ended.out
    assert min(end.loss for end in journals.finished(folder / "here").values() if end.loss is not None) <= 0.05


def check_mistake(folder: Path, err: str, name: str) -> None:
    (line,) = re.findall(r"^.*evo: error: .*$", err, re.M)
    assert all(word in line for word in mistakes.MISTAKES[name][1]), line
    assert "Traceback" not in err


def test_a_mistake_on_four_ranks_gives_one_line_and_the_status_2(
    mpirun: MpiRun, launcher: Launcher, folder: Path
) -> None:
    name = "other_objective"
    mistakes.prepare(folder)
    before = mistakes.contents(folder)
    traps = f"{folder / 'traps'}{os.pathsep}{launcher.environment()['PYTHONPATH']}"
    ended = mpirun(4, "-m", "evo.run", *shlex.split(mistakes.MISTAKES[name][0]), PYTHONPATH=traps)
    assert ended.status == 2, ended
    check_mistake(folder, ended.err, name)
    assert mistakes.contents(folder) == before


def test_each_of_all_mistakes_on_four_ranks_gives_one_line(mpirun: MpiRun, launcher: Launcher, folder: Path) -> None:
    mistakes.prepare(folder)
    (folder / "all.py").write_text(mistakes.ALL)
    before = mistakes.contents(folder)
    traps = f"{folder / 'traps'}{os.pathsep}{launcher.environment()['PYTHONPATH']}"
    ended = mpirun(4, "all.py", PYTHONPATH=traps)
    assert ended.status == 0, ended
    said = [line for line in ended.err.splitlines() if not line.startswith("after ")]
    assert len(said) == len(mistakes.MISTAKES)
    for name in mistakes.MISTAKES:
        assert ended.err.count(f"after {name}\n") == 4
    for line, name in zip(said, mistakes.MISTAKES, strict=True):
        check_mistake(folder, line, name)
    assert mistakes.contents(folder) == before


def test_a_mistake_in_a_script_on_four_ranks_gives_one_line_as_well(mpirun: MpiRun, folder: Path) -> None:
    (folder / "script.py").write_text("import evo\nevo.minimize(abs, {'x': (1.0, float('inf'))})\n")
    ended = mpirun(4, "script.py")
    assert ended.status == 2, ended
    (line,) = re.findall(r"^.*evo: error: .*$", ended.err, re.M)
    assert "limit 'x'" in line
    assert "Traceback" not in ended.err


def test_a_journal_that_one_rank_cannot_write_is_one_line(mpirun: MpiRun, folder: Path) -> None:
    (folder / "here" / "journal" / "3.jsonl").mkdir(parents=True)
    ended = mpirun(4, "-m", "evo.run", "sphere", "--run-dir", "here")
    assert ended.status == 2, ended
    (line,) = re.findall(r"^.*evo: error: .*$", ended.err, re.M)
    assert "journal/3.jsonl" in line
    assert "Traceback" not in ended.err


def test_the_help_is_printed_once(mpirun: MpiRun) -> None:
    ended = mpirun(3, "-m", "evo.run", "--help")
    assert (ended.status, ended.out.count("usage: ")) == (0, 1)


def test_a_signal_to_mpirun_stops_all_ranks_and_the_same_command_goes_on(
    mpirun: MpiRun, mpirun_command: str, launcher: Launcher, folder: Path
) -> None:
    process = start_ranks(launcher, mpirun_command, 4, *SLOW_SEARCH, "--evaluations", "100000")
    wait_until(lambda: len(journals.finished(folder / "here")) > 20)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process, timeout=40)
    assert ended.status == 85, ended
    assert ": SIGUSR1 asked to stop\n" in ended.out
    assert "not complete: run the same command again to go on\n" in ended.out
    before = journals.finished(folder / "here")
    assert set(before) == set(journals.started(folder / "here"))
    assert mpirun(4, *SLOW_SEARCH, "--evaluations", str(len(before) + 40), "--debug").status == 0
    after = journals.finished(folder / "here")
    assert after.items() >= before.items()
    assert len(before) + 40 <= len(after) <= len(before) + 43


def kill_in_the_middle(launcher: Launcher, process: subprocess.Popen[str], here: Path, enough: int, what: str) -> None:
    """Kill mpirun, or all ranks with it, once so many evaluations have finished, and wait for all to be gone."""
    wait_until(lambda: journals.count_finished(here) >= enough)
    assert process.poll() is None, "it had ended before it could be killed"
    if what == "mpirun":
        process.kill()  # Its ranks notice, and end within a second or so.
    else:
        launcher.kill()
    process.wait(60)
    wait_until(lambda: not launcher.survivors())


@pytest.mark.slow
def test_a_search_whose_mpirun_was_killed_goes_on_and_has_lost_nothing(
    mpirun: MpiRun, mpirun_command: str, launcher: Launcher, folder: Path
) -> None:
    search = [*SLOW_SEARCH, "--evaluations", "200"]
    process = start_ranks(launcher, mpirun_command, 4, *search)
    kill_in_the_middle(launcher, process, folder / "here", random.Random(1).randrange(10, 100), "mpirun")
    before, in_flight = journals.finished(folder / "here"), journals.started(folder / "here")
    assert 10 <= len(before) < 200
    ended = mpirun(4, *search, "--debug")
    assert (ended.status, ended.err) == (0, "")
    check_nothing_lost(folder / "here", ended, before, in_flight, 200, 4)


def check_nothing_lost(
    here: Path, ended: Ended, finished: Mapping[Any, Any], started: Mapping[Any, Any], budget: int, ranks: int
) -> None:
    """Check that a complete search has all that earlier sessions had, and nothing in flight."""
    assert f"all {ranks} ranks hold the same population: " in ended.out
    after, params = journals.finished(here), journals.started(here)
    assert after.items() >= finished.items()
    assert params.items() >= started.items()
    assert set(after) == set(params)
    assert budget <= len(after) <= budget + ranks - 1
    summary = json.loads((here / "summary.json").read_text())
    assert (summary["evaluations"], summary["ranks"]) == (len(after), ranks)


@pytest.mark.slow
def test_a_search_survives_being_killed_again_and_again(
    mpirun: MpiRun, mpirun_command: str, launcher: Launcher, folder: Path
) -> None:
    budget = 150
    search = [*SLOW_SEARCH, "--evaluations", str(budget)]
    known: dict[tuple[int, int], Finished] = {}
    for ranks, enough in ((4, 20), (6, 50), (2, 80)):
        process = start_ranks(launcher, mpirun_command, ranks, *search)
        kill_in_the_middle(launcher, process, folder / "here", enough, "everything")
        after = journals.finished(folder / "here")
        assert after.items() >= known.items()
        known = after
    started = journals.started(folder / "here")
    ended = mpirun(3, *search, "--debug")
    assert (ended.status, ended.err) == (0, "")
    check_nothing_lost(folder / "here", ended, known, started, budget, 3)


BUG = """
import time
from pathlib import Path
from mpi4py import MPI
import evo
from evo.engine.breeding import Breeder

breed, calls = Breeder.breed, []
def broken(self, rng):
    calls.append(rng)
    if MPI.COMM_WORLD.rank == 1 and len(calls) == 5:
        Path("raised").touch()
        raise {error}("a bug of ours")
    return breed(self, rng)
Breeder.breed = broken

def loss(params):
    time.sleep(0.01)
    return params["x"] ** 2

evo.minimize(loss, {{"x": (-1.0, 1.0)}}, generations=100000)
"""


@pytest.mark.parametrize("error", ["RuntimeError", "ValueError"])
def test_a_bug_on_one_rank_ends_all_ranks_at_once(
    mpirun_command: str, launcher: Launcher, folder: Path, error: str
) -> None:
    (folder / "bug.py").write_text(BUG.format(error=error))
    process = start_ranks(launcher, mpirun_command, 4, "bug.py")
    wait_until(lambda: (folder / "raised").exists() or process.poll() is not None)
    began = time.monotonic()
    ended = launcher.finish(process, timeout=40)
    assert time.monotonic() - began < 30
    assert ended.status not in (0, 2, 85)
    assert ended.err.count(f"{error}: a bug of ours") == 1
    wait_until(lambda: not launcher.survivors())


DYING = """
import os
from pathlib import Path
if Path("broken").exists():
    raise ImportError("it was changed")
def loss(params, trial):
    if trial.individual[1] == 2:
        Path("broken").touch()
        os._exit(1)
    return params["x"] ** 2
"""


def test_an_objective_that_breaks_in_the_middle_of_a_search_is_given_up_by_all(mpirun: MpiRun, folder: Path) -> None:
    (folder / "dying.py").write_text(DYING)
    command = ["-m", "evo.run", "dying.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here"]
    ended = mpirun(2, *command, "--evaluate", "process", "--max-failed-share", "0.5", "--evaluations", "200")
    assert ended.status == 1
    assert " evaluations failed" in ended.out
    assert "ImportError: it was changed" in ended.out
    assert "Traceback" not in ended.err


SCRIPT = """
import json, sys
from pathlib import Path
import evo

class Loss:
    def __call__(self, params, trial):
        (trial.folder / "weights").write_text(str(params["x"]))
        return params["x"] ** 2 + (trial.individual[0] == 0)  # The best one is born on another rank than the first.
    def test(self, params, trial):
        return {"weight": float((trial.folder / "weights").read_text())}

if __name__ == "__main__":
    from mpi4py import MPI

    rank = MPI.COMM_WORLD.rank
    run_dir = sys.argv[1] if len(sys.argv) > 1 else None
    result = evo.minimize(Loss(), {"x": (-1.0, 1.0)}, generations=20, run_dir=run_dir)
    best = result.best
    said = [best.individual, best.loss, best.params["x"], len(result.individuals), result.stop_reason]
    Path(f"best-{rank}.json").write_text(json.dumps(said))
    if rank == 0:
        print(json.dumps([result.test, result.test_error, best.params["x"]]))
"""


@pytest.mark.parametrize("run_dir", [[], ["here"]], ids=["without", "with"])
def test_minimize_returns_the_same_best_on_all_ranks_tested_wherever_it_was_evaluated(
    mpirun: MpiRun, folder: Path, run_dir: list[str]
) -> None:
    (folder / "script.py").write_text(SCRIPT)
    ended = mpirun(4, "script.py", *run_dir)
    assert (ended.status, ended.err) == (0, "")
    said = [json.loads((folder / f"best-{rank}.json").read_text()) for rank in range(4)]
    assert said == [said[0]] * 4
    assert said[0][3:] == [80, "20 generations are complete"]
    assert said[0][0][0] != 0
    test, problem, x = json.loads(ended.out)
    assert (test, problem) == ({"weight": x}, "")


def test_minimize_can_be_called_twice_and_its_errors_caught(mpirun: MpiRun, folder: Path) -> None:
    (folder / "twice.py").write_text(
        "import evo\n"
        "best = []\n"
        "for high in (1.0, float('inf'), 2.0):\n"
        "    try:\n"
        "        found = evo.minimize(lambda params: params['x'], {'x': (0.0, high)}, evaluations=20)\n"
        "        best.append(found.best.loss)\n"
        "    except ValueError as error:\n"
        "        best.append(str(error)[:9])\n"
        "print(best[1], len(best), best[0] < 1, best[2] < 2)\n"
    )
    ended = mpirun(3, "twice.py")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "limit 'x' 3 True True\n" * 3


# The conclusion has 10 kB, which every rank tells all others before it leaves.
MANY_METRICS = """
class Loss:
    def __call__(self, params):
        return params["x"] ** 2
    def test(self, params, trial):
        return {f"a metric with a long name, number {number}": float(number) for number in range(200)}
loss = Loss()
"""


def test_a_long_conclusion_lets_all_ranks_leave(mpirun: MpiRun, folder: Path) -> None:
    (folder / "metrics.py").write_text(MANY_METRICS)
    search = ["-m", "evo.run", "metrics.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--quiet"]
    assert mpirun(4, *search, "--generations", "3", timeout=40) == Ended(0, "", "")
    assert len(journals.summary(folder / "here")["test"]) == 200


@pytest.mark.slow
def test_digits_on_two_ranks_ends_with_the_test_accuracy_of_saved_weights(main_job: RunOnce) -> None:
    ended, folder = main_job.ended, main_job.folder
    assert (ended.status, ended.err) == (0, "")
    tested = r"^the best candidate, ([01])-0, on the test set, from its saved weights: .*test_acc ([.0-9]+)"
    ((rank, accuracy),) = re.findall(tested, ended.out, re.M)
    assert 0.05 < float(accuracy) <= 1
    directory = folder / "runs" / "digits"
    assert (directory / "individuals" / f"{rank}-0" / "best.ckpt").is_file()
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["completed"] + summary["failed"] == 2
    assert summary["test"]["test_acc"] == pytest.approx(float(accuracy), abs=1e-3)
    assert {path.name for path in folder.iterdir()} == {"runs"}


@pytest.mark.slow
def test_digits_runs_inline_under_mpirun_too(mpirun: MpiRun, folder: Path) -> None:
    (folder / "once.py").write_text(
        "from evo import LightningObjective\nfrom evo.problems.digits import Digits, DigitsNet\n"
        "once = LightningObjective(DigitsNet, Digits, max_epochs=1)\n"
    )
    search = ["once.py:once", "--limits", "{conv_layers: [1, 2]}", "--evaluations", "1", "--run-dir", "here"]
    ended = mpirun(1, "-m", "evo.run", *search, "--evaluate", "inline", timeout=200)
    assert ended.status == 0, ended
    assert [end.status for end in journals.finished(folder / "here").values()] == ["completed"]
    assert "test_acc" in ended.out
