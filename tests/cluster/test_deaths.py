"""Searches some of whose ranks are killed, under a real mpirun that leaves the others alone (ULFM)."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import journals
import pytest
from helpers import Ended, Launcher, call, is_alive, wait_until
from ranks import find_ranks, parent_of, start_ranks

import evo
from evo.population.events import Died
from evo.population.population import Population
from evo.space.space import Space

pytestmark = pytest.mark.mpi

LIMITS = {"x": (-1.0, 1.0)}
SLOW = """
import random, time
def loss(params):
    time.sleep(random.uniform(0.01, 0.02))
    return params["x"] ** 2
def several(params, trial):
    (trial.folder / "best.ckpt").write_text(str(params["x"]))
    near = loss(params)
    return {"near": near, "far": (params["x"] - 1) ** 2}
"""
SEVERAL = ["--objectives", "{near: min, far: min}", "--keep-checkpoints", "4"]
SEARCH = ["-m", "evo.run", "slow.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--debug"]
BUDGET = 160


@pytest.fixture
def here(launcher: Launcher) -> Path:
    (launcher.folder / "slow.py").write_text(SLOW)
    return launcher.folder / "here"


def as_asked(search: list[str]) -> list[str]:
    """A command, with the loss that fits its objectives."""
    return ["slow.py:several" if word == "slow.py:loss" and "--objectives" in search else word for word in search]


def search_and_kill(
    launcher: Launcher, command: str, here: Path, kills: Sequence[tuple[int, int]], *arguments: str
) -> Ended:
    """Search on four ranks, and kill each of some ranks once so many evaluations have finished."""
    search = as_asked([*SEARCH, "--evaluations", str(BUDGET), *arguments])
    process = start_ranks(launcher, command, 4, *search, options=["--with-ft", "ulfm"])
    wait_until(lambda: len(find_ranks(launcher)) == 4)
    processes = find_ranks(launcher)
    for rank, enough in kills:
        wait_until_finished(here, enough)
        children = kill_with_children(launcher, processes[rank])
        assert (children > 0) == ("process" in arguments)
        # Or the next one might die over the same individual, which would then be taken for the cause, and fail.
        wait_until_taken_over(here, rank)
    ended = launcher.finish(process)
    wait_until(lambda: not launcher.survivors())
    return ended


def wait_until_finished(here: Path, enough: int) -> None:
    """Wait until so many evaluations have ended."""
    wait_until(lambda: journals.count_finished(here) >= enough)


def wait_until_taken_over(here: Path, rank: int) -> None:
    """Wait until all evaluations that a rank had begun have ended."""
    wait_until(lambda: {one for one in journals.started(here) if one[0] == rank} <= set(journals.finished(here)))


def kill_with_children(launcher: Launcher, process: int) -> int:
    """Kill a process, and see that what it has started ends with it; returns how many processes that were."""
    children = [other for other in launcher.survivors() if parent_of(other) == process]
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, [process, *children])))
    return len(children)


def check_survived(ended: Ended, here: Path, lost: Sequence[int]) -> None:
    """Check that the others have completed the search, that nothing was lost or done twice, and that they say so."""
    dead = sorted(lost)
    assert "Traceback" not in ended.err  # Open MPI itself may warn there.
    record = journals.summary(here)
    assert BUDGET <= journals.check_complete(here) <= BUDGET + 3
    assert (record["completed"], record["ranks"], record["lost_ranks"]) == (record["evaluations"], 4, dead)
    # A successor that dies itself has successors, who say so again.
    assert {event.rank for event in journals.events(here) if isinstance(event, Died)} == set(dead)
    who = f"rank{'s' * (len(dead) > 1)} {', '.join(map(str, dead))} of 4"
    assert ended.out.count(f"\n{who} died, and the others took over\n") == 1
    assert len(re.findall(r"\n(?:The best candidates|The front \()", ended.out)) == 1
    digest = journals.digest(here, LIMITS, 2)
    assert f"\nall {4 - len(dead)} ranks hold the same population: {digest}\n" in ended.out
    replayed = call("replay", str(here))
    assert (replayed.status, replayed.err) == (0, ""), replayed.out


def check_front(here: Path) -> None:
    """Check that as many individuals of the front have kept their weights as are to, and no others."""
    run = evo.load(here)
    population = Population(Space(LIMITS))
    for event in run.events():
        population.apply(event)
    kept = {one.individual for one in run.individuals if one.weights}
    assert kept <= {one.identity for one in population.front}
    assert len(kept) == min(4, len(population.front))


def moment(seed: int) -> tuple[int, int]:
    """Some rank, each third time the first one, and after how many evaluations it dies."""
    rng = random.Random(seed)
    return (0 if seed % 3 == 0 else rng.randrange(1, 4)), rng.randrange(1, BUDGET - 80)


# The first rank and another one, each with copies in a tree and with moves, flat; the other one is the last once, with
# several objectives. In which moment they die, and in which order the others hear of it, is gone through in
# test_survival.
@pytest.mark.parametrize("seed", [3, 6, 7, 10])
def test_a_search_goes_on_without_a_rank_that_dies(
    mpirun_that_goes_on: str, launcher: Launcher, here: Path, seed: int
) -> None:
    rank, enough = moment(seed)
    mode, exchange = ["move", "copy"][seed % 2], ["flat", "tree"][seed % 4 == 3]
    options = ["--islands", "2", "--migration", mode, "--exchange", exchange, *(SEVERAL if seed == 10 else [])]
    ended = search_and_kill(launcher, mpirun_that_goes_on, here, [(rank, enough)], *options)
    check_survived(ended, here, [rank])
    if seed == 10:
        check_front(here)


def test_the_child_process_of_a_rank_ends_with_it_and_the_others_go_on(
    mpirun_that_goes_on: str, launcher: Launcher, here: Path
) -> None:
    options = ["--islands", "2", "--evaluate", "process"]
    ended = search_and_kill(launcher, mpirun_that_goes_on, here, [(2, 20), (0, 90)], *options)
    check_survived(ended, here, [0, 2])


def test_a_search_goes_on_without_two_ranks_that_were_all_of_an_island(
    mpirun_that_goes_on: str, launcher: Launcher, here: Path
) -> None:
    ended = search_and_kill(launcher, mpirun_that_goes_on, here, [(0, 40), (1, 40)], "--islands", "2")
    check_survived(ended, here, [0, 1])


def test_the_last_of_four_ranks_completes_a_search_when_the_others_die_one_after_another(
    mpirun_that_goes_on: str, launcher: Launcher, here: Path
) -> None:
    kills = [(0, 30), (2, 60), (3, 90)]
    ended = search_and_kill(launcher, mpirun_that_goes_on, here, kills, "--islands", "2")
    check_survived(ended, here, [0, 2, 3])


@pytest.mark.parametrize("objectives", [[], SEVERAL], ids=["one loss", "several"])
def test_a_search_that_goes_on_where_another_was_killed_survives_a_death_as_well(
    mpirun_that_goes_on: str, launcher: Launcher, here: Path, objectives: list[str]
) -> None:
    options = ["--islands", "3", *objectives]
    start_ranks(launcher, mpirun_that_goes_on, 6, *as_asked([*SEARCH, "--evaluations", str(BUDGET), *options]))
    wait_until_finished(here, 60)
    launcher.kill()
    wait_until(lambda: not launcher.survivors())
    known = journals.finished(here)
    in_flight = set(journals.started(here)) - set(known)
    assert in_flight
    options = ["--islands", "2", *objectives]
    ended = search_and_kill(launcher, mpirun_that_goes_on, here, [(3, len(known) + 20)], *options)
    check_survived(ended, here, [3])
    assert journals.finished(here).items() >= known.items()
    if objectives:
        check_front(here)


# The first live rank tests the best individual, and waits until it may end this.
TESTED = """
import os, time
from pathlib import Path
class Loss:
    def __call__(self, params):
        time.sleep(0.01)
        return params["x"] ** 2
    def test(self, params, trial):
        Path(f"testing-{os.environ['OMPI_COMM_WORLD_RANK']}").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        return {"tested_by": int(os.environ["OMPI_COMM_WORLD_RANK"])}
loss = Loss()
"""


@pytest.mark.parametrize(("dies", "tests"), [(0, 1), (2, 0)], ids=["the one that tests", "one that waits"])
def test_a_rank_may_die_when_all_evaluations_have_ended(
    mpirun_that_goes_on: str, launcher: Launcher, dies: int, tests: int
) -> None:
    folder = launcher.folder
    (folder / "tested.py").write_text(TESTED)
    search = ["-m", "evo.run", "tested.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--debug"]
    options = ["--with-ft", "ulfm"]
    process = start_ranks(launcher, mpirun_that_goes_on, 4, *search, "--generations", "5", options=options)
    wait_until(lambda: (folder / "testing-0").exists())
    kill_with_children(launcher, find_ranks(launcher)[dies])
    wait_until(lambda: (folder / f"testing-{tests}").exists())
    (folder / "go").touch()
    ended = launcher.finish(process)
    assert f"on the test set, from its saved weights: tested_by {tests}\n" in ended.out
    assert len(re.findall(r"\n(?:The best candidates|The front \()", ended.out)) == 1
    assert journals.check_complete(folder / "here") == 20
    record = journals.summary(folder / "here")
    assert record["test"] == {"tested_by": tests}
    # The first rank need not notice the death of one that has nothing more to say.
    assert record["lost_ranks"] in ([[0]] if dies == 0 else [[], [2]])


SCRIPT = """
import json, os, time
from pathlib import Path
import evo
rank = os.environ["OMPI_COMM_WORLD_RANK"]
def loss(params):
    time.sleep(0.01)
    with open("evaluations", "a") as file:
        file.write("x")
    return params["x"] ** 2
result = evo.minimize(loss, {"x": (-1.0, 1.0)}, evaluations=200, islands=2)
found = [[one.individual, one.status, one.loss, one.params, one.rank] for one in result.individuals]
said = [sorted(found), result.best.individual, result.stop_reason, list(result.lost_ranks), result.first_rank]
Path(f"said-{rank}.json").write_text(json.dumps(said))
"""


@pytest.mark.parametrize("dies", [0, 2])
def test_minimize_returns_the_same_on_all_ranks_that_are_left_when_no_files_are_kept(
    mpirun_that_goes_on: str, launcher: Launcher, dies: int
) -> None:
    folder = launcher.folder
    (folder / "script.py").write_text(SCRIPT)
    process = start_ranks(launcher, mpirun_that_goes_on, 4, "script.py", options=["--with-ft", "ulfm"])
    evaluations = folder / "evaluations"
    wait_until(lambda: evaluations.exists() and evaluations.stat().st_size >= 60)
    kill_with_children(launcher, find_ranks(launcher)[dies])
    ended = launcher.finish(process)
    left = [rank for rank in range(4) if rank != dies]
    said = [json.loads((folder / f"said-{rank}.json").read_text()) for rank in left], ended
    assert said[0] == [said[0][0]] * 3
    individuals, _, reason, lost, first = said[0][0]
    assert (reason, lost, first) == ("200 evaluations are complete", [dies], left[0])
    assert 200 <= len(individuals) <= 203
    assert {status for _, status, _, _, _ in individuals} == {"completed"}
    assert len({tuple(identity) for identity, _, _, _, _ in individuals}) == len(individuals)
    assert {rank for _, _, _, _, rank in individuals} >= set(left)


def test_a_stop_is_clean_after_a_death_too(mpirun_that_goes_on: str, launcher: Launcher, here: Path) -> None:
    search = [*SEARCH, "--evaluations", "100000", "--islands", "2"]
    process = start_ranks(launcher, mpirun_that_goes_on, 4, *search, options=["--with-ft", "ulfm"])
    wait_until_finished(here, 40)
    kill_with_children(launcher, find_ranks(launcher)[1])
    before = journals.count_finished(here)
    wait_until_finished(here, before + 40)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process)
    assert ": SIGUSR1 asked to stop\n" in ended.out
    assert "\nrank 1 of 4 died, and the others took over\n" in ended.out
    assert "\nnot complete: run the same command again to go on\n" in ended.out
    assert not (here / "summary.json").exists()
    known = journals.finished(here)
    budget = len(known) + 40
    again = start_ranks(launcher, mpirun_that_goes_on, 4, *SEARCH, "--evaluations", str(budget))
    assert launcher.finish(again).status == 0
    assert budget <= journals.check_complete(here) <= budget + 3
    assert journals.finished(here).items() >= known.items()


def test_without_fault_tolerance_a_death_ends_all_and_the_same_command_goes_on(
    mpirun_command: str, launcher: Launcher, here: Path
) -> None:
    search = [*SEARCH, "--evaluations", str(BUDGET), "--islands", "2"]
    process = start_ranks(launcher, mpirun_command, 4, *search)
    wait_until_finished(here, 40)
    kill_with_children(launcher, find_ranks(launcher)[2])
    ended = launcher.finish(process, timeout=40)
    assert ended.status not in (0, 1, 2, 85)
    wait_until(lambda: not launcher.survivors())
    assert not (here / "summary.json").exists()
    known = journals.finished(here)
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 4, *search))
    assert (ended.status, ended.err) == (0, "")
    assert BUDGET <= journals.check_complete(here) <= BUDGET + 3
    assert journals.finished(here).items() >= known.items()


BUG = """
import json, os, time
from pathlib import Path
import evo
from evo.engine.breeding import Breeder
rank = os.environ["OMPI_COMM_WORLD_RANK"]

breed, calls = Breeder.breed, []
def broken(self, rng):
    calls.append(rng)
    if rank == "1" and len(calls) == 5:
        raise RuntimeError("a bug of ours")
    return breed(self, rng)
Breeder.breed = broken

def loss(params):
    time.sleep(0.01)
    return params["x"] ** 2

result = evo.minimize(loss, {"x": (-1.0, 1.0)}, evaluations=100)
statuses = [one.status for one in result.individuals]
Path(f"said-{rank}.json").write_text(json.dumps([list(result.lost_ranks), sorted(set(statuses)), len(statuses)]))
"""


def test_a_rank_that_ends_because_of_a_bug_is_as_good_as_dead(mpirun_that_goes_on: str, launcher: Launcher) -> None:
    (launcher.folder / "bug.py").write_text(BUG)
    process = start_ranks(launcher, mpirun_that_goes_on, 4, "bug.py", options=["--with-ft", "ulfm"])
    ended = launcher.finish(process)
    assert ended.err.count("RuntimeError: a bug of ours") == 1
    said = {file.stem: json.loads(file.read_text()) for file in launcher.folder.glob("said-*.json")}
    assert sorted(said) == ["said-0", "said-2", "said-3"]
    lost, statuses, count = said["said-0"]
    assert (lost, statuses) == ([1], ["completed"])
    assert 100 <= count <= 103
    assert all(others == said["said-0"] for others in said.values())


STARTS = """
import os, time
from pathlib import Path
if os.environ["OMPI_COMM_WORLD_RANK"] == "2":
    Path("loading").touch()
    time.sleep(60)
def loss(params):
    return params["x"] ** 2
"""


def test_a_death_before_the_search_has_begun_ends_all(mpirun_that_goes_on: str, launcher: Launcher) -> None:
    folder = launcher.folder
    (folder / "starts.py").write_text(STARTS)
    search = ["-m", "evo.run", "starts.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here"]
    process = start_ranks(launcher, mpirun_that_goes_on, 4, *search, options=["--with-ft", "ulfm"])
    wait_until(lambda: (folder / "loading").exists())
    kill_with_children(launcher, find_ranks(launcher)[2])
    ended = launcher.finish(process, timeout=40)
    assert "evo: error: a rank died while the others waited for it, outside of the search" in ended.err
    assert "Traceback" not in ended.err
    assert "The best candidates" not in ended.out
    assert not (folder / "here").exists()
    wait_until(lambda: not launcher.survivors())


DEADLY = """
import os, signal, time
def loss(params, trial):
    time.sleep(0.01)
    if trial.individual == (2, 3):
        os.kill(os.getpid(), signal.SIGKILL)
    return params["x"] ** 2
"""


def test_an_individual_that_kills_its_ranks_does_not_kill_them_all(
    mpirun_that_goes_on: str, launcher: Launcher, here: Path
) -> None:
    (launcher.folder / "slow.py").write_text(DEADLY)
    command = [*SEARCH, "--evaluations", "100", "--islands", "2"]
    ended = launcher.finish(start_ranks(launcher, mpirun_that_goes_on, 4, *command, options=["--with-ft", "ulfm"]))
    assert 100 <= journals.check_complete(here) <= 103
    record = journals.summary(here)
    assert (record["failed"], len(record["lost_ranks"])) == (1, 2)
    assert 2 in record["lost_ranks"]
    end = journals.finished(here)[2, 3]
    assert (end.status, end.error.partition(":")[0]) == ("failed", "RankDied")
    assert f"all 2 ranks hold the same population: {journals.digest(here, LIMITS, 2)}\n" in ended.out


# Rank 1 dies when it has sent messages of all sizes, which the others have not looked at when they learn of it.
UNREAD = """
import os, signal, time
from pathlib import Path
from evo.runtime.mpi import connect
from mpi4py import MPI
transport = connect()
rank = transport.rank
lengths = [10, 3000, 100_000, 20]
if rank == 1:
    for length in lengths:
        transport.send(b"1" * length, [0, 2])
        transport.settle()
    Path("sent").touch()
    os.kill(os.getpid(), signal.SIGKILL)
while not Path("sent").exists():
    time.sleep(0.01)
if rank == 2:
    transport.send(b"from 2", [0])
if rank == 0:
    transport.send(b"from 0", [2])
deadline = time.monotonic() + 20
while True:
    try:
        transport.communicator.Iprobe(MPI.ANY_SOURCE, 77)
    except MPI.Exception:
        break
    assert time.monotonic() < deadline, "the death was not noticed"
    time.sleep(0.01)
arrived = []
while True:
    arrived += transport.receive()
    if transport.dead and (2 - rank, f"from {2 - rank}".encode()) in arrived:
        break
    assert time.monotonic() < deadline, [(sender, len(line)) for sender, line in arrived]
    transport.wait()
said = [len(line) for sender, line in arrived if sender == 1]
assert said == [length for length in lengths if length in said]
assert transport.dead == {1}
Path(f"done-{rank}").touch()
transport.close()
"""


def test_messages_of_a_dead_rank_that_were_not_read_hold_nobody_up(
    mpirun_that_goes_on: str, launcher: Launcher
) -> None:
    (launcher.folder / "unread.py").write_text(UNREAD)
    process = start_ranks(launcher, mpirun_that_goes_on, 3, "unread.py", options=["--with-ft", "ulfm"])
    ended = launcher.finish(process, timeout=40)
    assert "Traceback" not in ended.err
    assert {file.name for file in launcher.folder.glob("done-*")} == {"done-0", "done-2"}
