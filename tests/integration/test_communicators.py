"""Searches on some of the ranks: those of a communicator that the script makes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from helpers import Ended, Launcher

from evo.runtime.mpi.meeting import waiting_time
from evo.runtime.mpi.process import place_on_node

pytestmark = pytest.mark.mpi

MpiRun = Callable[..., Ended]

# Four ranks search in every constellation, one after another; every rank says what it has found.
CONSTELLATIONS = """
import threading
import evo
from mpi4py import MPI

world = MPI.COMM_WORLD

def loss(params, trial):
    trial.metrics["size"] = trial.communicator.size
    return params["x"] ** 2 + trial.rank

def search(comm, evaluations=12, **settings):
    return evo.minimize(loss, {"x": (-1.0, 1.0)}, evaluations=evaluations, comm=comm, **settings)

def born(result):
    return sorted({one.individual[0] for one in result.individuals})

if __name__ == "__main__":
    # A half searches, and the others do something else, in COMM_WORLD too.
    half = world.Split(world.rank < 2)
    if world.rank < 2:
        found = search(half, quiet=False)
        assert found.rank == half.rank and born(found) == [0, 1], born(found)
        world.send(found.best.loss, dest=world.rank + 2)
    else:
        assert world.recv(source=world.rank - 2) >= 0
    world.Barrier()

    # Both halves at once, ranks in another order, each in a directory of its own, on its own GPUs.
    parity = world.Split(world.rank % 2, key=-world.rank)
    found = search(parity, generations=3, evaluations=None, run_dir=f"parity-{world.rank % 2}", gpus_per_node=4)
    assert len(found.individuals) == 6
    places = {one.individual[0]: one.device for one in found.individuals}
    assert places == {0: f"cuda:{2 + world.rank % 2}", 1: f"cuda:{world.rank % 2}"}, places
    world.Barrier()

    # Each one alone; islands; several ranks for each individual; three of four; a Cartesian one; a mistake, caught.
    alone = search(MPI.COMM_SELF)
    assert len(alone.individuals) == 12 and alone.rank == 0
    assert born(search(parity, islands=2, evaluations=40)) == [0, 1]
    together = search(half, ranks_per_worker=2)
    assert together.individuals[0].metrics["size"] == 2 and born(together) == [0]
    three = world.Split(MPI.UNDEFINED if world.rank == 1 else 0)
    if world.rank != 1:
        assert born(search(three, generations=2, evaluations=None)) == [0, 1, 2]
    grid = world.Create_cart([2, 2])
    assert born(search(grid.Sub([True, False]), generations=2, evaluations=None)) == [0, 1]
    for _ in range(2):
        try:
            search(parity, islands=7)
            raise AssertionError("not refused")
        except ValueError as error:
            assert "islands" in str(error)

    # All ranks, as ever, and from a thread.
    everyone = evo.minimize(loss, {"x": (-1.0, 1.0)}, generations=2)
    assert born(everyone) == [0, 1, 2, 3]
    found = []
    thread = threading.Thread(target=lambda: found.append(search(world, generations=2, evaluations=None)))
    thread.start()
    thread.join()
    assert born(found[0]) == [0, 1, 2, 3]
    print("rank", world.rank, "is done", flush=True)
"""


def test_exactly_the_ranks_of_a_communicator_search_in_every_constellation(mpirun: MpiRun, launcher: Launcher) -> None:
    (launcher.folder / "constellations.py").write_text(CONSTELLATIONS)
    ended = mpirun(4, "constellations.py", CUDA_VISIBLE_DEVICES="0,1,2,3")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert sum(line.startswith("evo: study") for line in lines) == 1
    assert sorted(line for line in lines if line.startswith("rank ")) == [f"rank {rank} is done" for rank in range(4)]


AGAIN = """
import evo
from mpi4py import MPI

def search(**settings):
    return evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, generations=1, **settings)

def next_context():
    # Open MPI gives the lowest number that is free on all ranks to a new communicator.
    probe = MPI.COMM_WORLD.Dup()
    number = probe.py2f()
    probe.Free()
    return number

search()
before = next_context()
for number in range(10):
    search()
    search(comm=MPI.COMM_WORLD, ranks_per_worker=2)
    try:
        search(islands=9)
    except ValueError:
        pass
assert next_context() == before, (before, next_context())
"""


def test_searches_one_after_another_leave_no_communicators_behind(mpirun: MpiRun, launcher: Launcher) -> None:
    (launcher.folder / "again.py").write_text(AGAIN)
    assert mpirun(2, "again.py") == Ended(0, "", "")


SUBSET = """
import os
import evo
from mpi4py import MPI

if MPI.COMM_WORLD.rank in (1, 3):
    evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, evaluations=5)
MPI.COMM_WORLD.Barrier()
"""


def check_one_line(ended: Ended, *words: str) -> None:
    """One of the ranks has said what is wrong, and all have ended."""
    assert ended.status == 2, ended
    (line,) = [line for line in ended.err.splitlines() if line.startswith("evo: error: ")]
    assert all(word in line for word in words), line
    assert "Traceback" not in ended.err


def test_a_part_of_the_ranks_that_says_nothing_is_told_which_others_have_not_come(
    mpirun: MpiRun, launcher: Launcher
) -> None:
    (launcher.folder / "subset.py").write_text(SUBSET)
    began = time.monotonic()
    ended = mpirun(4, "subset.py", EVO_MEETING_TIMEOUT="2", timeout=60)
    assert time.monotonic() - began < 40
    words = "ranks 0, 2 of 4 have not called evo.minimize within 2 s", "comm=comm", "EVO_MEETING_TIMEOUT"
    check_one_line(ended, *words)
    assert "evo: rank 3 waits for other ranks to call evo.minimize, 2 s at most" in ended.err


LATE = """
import time
import evo
from mpi4py import MPI

for late in (0, 1, 2):
    time.sleep(0.5 * (MPI.COMM_WORLD.rank == late))
    found = evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, generations=1)
    assert len(found.individuals) == 3
"""


def test_ranks_that_come_late_but_in_time_are_waited_for(mpirun: MpiRun, launcher: Launcher) -> None:
    (launcher.folder / "late.py").write_text(LATE)
    assert mpirun(3, "late.py", EVO_MEETING_TIMEOUT="20") == Ended(0, "", "")


WRONG = """
import sys
import mpi4py
which = sys.argv[1]
if which in ("single", "funneled", "serialized"):
    mpi4py.rc.thread_level = which
elif which == "threads":
    mpi4py.rc.threads = False
elif which == "initialize":
    mpi4py.rc.initialize = False
from mpi4py import MPI
import evo

def make():
    world = MPI.COMM_WORLD
    if which == "null":  # Of one rank only.
        return world.Split(MPI.UNDEFINED if world.rank == 1 else 0)
    if which == "freed":
        comm = world.Dup()
        comm.Free()
        return comm
    if which == "inter":
        return world.Split(world.rank).Create_intercomm(0, world, 1 - world.rank)
    return {"number": 3, "text": "world"}.get(which)

evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, evaluations=5, comm=make())
MPI.COMM_WORLD.Barrier()
"""


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("null", "comm is MPI.COMM_NULL"),
        ("inter", "comm is an intercommunicator"),
        ("number", "comm is 3 (int): give an mpi4py communicator"),
        ("serialized", "MPI_THREAD_SERIALIZED, but evo needs MPI_THREAD_MULTIPLE|thread_level, which is 'serialized'"),
        ("threads", "MPI_THREAD_SINGLE, but evo needs|leave mpi4py.rc.threads at True"),
    ],
)
def test_what_evo_cannot_search_with_is_one_line_that_says_why(
    mpirun: MpiRun, launcher: Launcher, which: str, words: str
) -> None:
    (launcher.folder / "wrong.py").write_text(WRONG)
    check_one_line(mpirun(2, "wrong.py", which, timeout=60), *words.split("|"))


def test_a_time_to_wait_is_a_number_of_seconds() -> None:
    assert waiting_time({}) == 60
    assert waiting_time({"EVO_MEETING_TIMEOUT": "0.5"}) == 0.5
    for wrong in ("", "soon", "0", "-1", "nan", "inf"):
        with pytest.raises(ValueError, match="EVO_MEETING_TIMEOUT is "):
            waiting_time({"EVO_MEETING_TIMEOUT": wrong})


def test_a_ranks_place_on_its_machine_is_what_the_launcher_says() -> None:
    assert place_on_node({}) is None
    slurm = {"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}
    assert place_on_node(slurm) == (0, 4)
    ours = {"OMPI_COMM_WORLD_LOCAL_RANK": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}
    assert place_on_node({**slurm, **ours}) == (2, 4)
    assert place_on_node({"PMI_LOCAL_RANK": "3"}) == (3, 4)
