"""The examination, which gathers the facts on all ranks together."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import msgspec

from evo import __version__
from evo.doctor.directory import try_directory
from evo.doctor.facts import Facts, Launch, RankFacts, RoundTrip, Torch
from evo.engine.transport import Transport
from evo.runtime.batch import allocation_end
from evo.runtime.device import Placement, available_cores, bind_ranks, training_environment
from evo.runtime.gpus import find_gpus
from evo.versions import other_evo, versions_of

_PACKAGES = ("torch", "lightning", "numpy", "mpi4py")
_ROUNDS = 30
_ANSWERING = 5.0  # Seconds for an answer to a message.
_PING, _END = b"ping", b"end"
_LOADING = 90.0  # Seconds; from a cold shared file system, torch may take most of a minute.
_PROGRAM = "evo.lightning.devices"


def examine(
    transport: Transport, launch: Launch, run_dir: str, gpus_per_node: int | None, enter: Callable[[str], None]
) -> Facts:
    """Gather all facts; every rank gets the same.

    Args:
        transport: The connection to the other ranks.
        launch: How this process was started.
        run_dir: The run directory of the search to come.
        gpus_per_node: How many GPUs of each node the search will use. None means all.
        enter: Is called with what is about to be done.

    Raises:
        SharedError: More GPUs are asked for than are visible.
    """
    enter("the ranks say where they are")
    place = bind_ranks(gpus_per_node, transport)[transport.rank]
    said = transport.gather(msgspec.json.encode(_rank_facts(place, transport.node[0])).decode())
    ranks = [msgspec.json.decode(text, type=RankFacts) for text in said]
    launch = msgspec.json.decode(transport.gather(msgspec.json.encode(launch).decode())[0], type=Launch)
    enter("the batch system is asked when the job ends")
    told = json.dumps(allocation_end(os.environ) if transport.rank == 0 else None)
    end = msgspec.json.decode(transport.gather(told)[0], type=float | None)
    enter("messages go there and back")
    trips = measure_messages(transport)
    enter("the run directory is tried out")
    directory = try_directory(run_dir, transport)
    enter("torch is loaded as for a training")
    trains = place.device != "cpu" or transport.rank == transport.node[0]
    said = transport.gather(msgspec.json.encode(try_training(place) if trains else None).decode())
    torch = [one for text in said if (one := msgspec.json.decode(text, type=Torch | None))]
    return Facts(
        launch=launch,
        ranks=ranks,
        gpus_wanted=gpus_per_node != 0,
        trips=trips,
        directory=directory,
        torch=torch,
        seconds_left=None if end is None else end - time.time(),
    )


def examine_alone(transport: Transport, launch: Launch) -> Facts:
    """The facts of one process that cannot reach the others.

    Args:
        transport: The transport of this process alone.
        launch: How this process was started.
    """
    # It binds to no GPU, of which nothing is said then, since a list of GPUs that is wrong would be another error.
    return Facts(launch=launch, ranks=[_rank_facts(bind_ranks(0, transport)[0], 0)], connected=False)


def _rank_facts(place: Placement, node: int) -> RankFacts:
    limit, gpus = resource.getrlimit(resource.RLIMIT_NOFILE)[0], find_gpus(os.environ)
    return RankFacts(
        place=place,
        node=node,
        cores=available_cores(),
        permitted=_count_permitted_cores(),
        gpus=len(gpus.choices(os.environ)),
        gpu_remark=gpus.remark(os.environ),
        versions={"evo": __version__, "Python": platform.python_version(), **versions_of(_PACKAGES)},
        other_evo=other_evo(),
        open_files=0 if limit == resource.RLIM_INFINITY else limit,
    )


def _count_permitted_cores() -> int:
    """The number of cores that this process could use if its launcher had not bound it; tried out, then undone."""
    if not hasattr(os, "sched_setaffinity"):
        return len(available_cores())
    before = os.sched_getaffinity(0)
    try:
        # The kernel leaves out those that the machine does not have, or the job's control group does not permit.
        os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
        return len(os.sched_getaffinity(0))
    except OSError:
        return len(before)
    finally:
        os.sched_setaffinity(0, before)


def measure_messages(transport: Transport) -> list[RoundTrip]:
    """Exchange messages, on all ranks together; the same result on all.

    Args:
        transport: The connection to the other ranks.
    """
    others = [rank for rank in transport.node if rank != transport.node[0]]
    # The first rank of each machine answers; on the machine of rank 0, the second one does.
    mine = transport.node[0] if 0 not in transport.node else (others[0] if others else 0)
    partners = sorted({int(text) for text in transport.gather(str(mine))} - {0})
    trips = []
    if transport.rank == 0:
        trips = [_question(transport, partner) for partner in partners]
        transport.send(_END, partners)
        transport.post()
    elif transport.rank in partners:
        _answer(transport)
    return msgspec.json.decode(transport.gather(msgspec.json.encode(trips).decode())[0], type=list[RoundTrip])


def _question(transport: Transport, partner: int) -> RoundTrip:
    trips = []
    for _ in range(_ROUNDS):
        began = time.time()
        transport.send(_PING, [partner])
        transport.post()
        answer = _next_from(transport, partner)
        ended = time.time()
        if answer is None:
            return RoundTrip(rank=partner, seconds=None)
        trips.append((ended - began, float(answer) - (began + ended) / 2))
    shortest, ahead = min(trips)
    return RoundTrip(
        rank=partner, seconds=median(seconds for seconds, _ in trips), ahead=ahead, uncertainty=shortest / 2
    )


def _next_from(transport: Transport, partner: int) -> bytes | None:
    """The next message of a rank; None when it takes too long. It never sleeps, since that would be measured too."""
    deadline = time.monotonic() + _ANSWERING
    while time.monotonic() < deadline:
        for sender, message in transport.receive():
            if sender == partner:
                return message
        transport.post()
    return None


def _answer(transport: Transport) -> None:
    """Answer until there are no more questions, without sleeping between the first and the last."""
    asked = 0
    while True:
        for _, message in transport.receive():
            if message == _END:
                return
            asked += 1
            transport.send(repr(time.time()).encode(), [0])
            transport.post()
        if 0 < asked < _ROUNDS:
            transport.post()
        else:
            transport.wait()


class _Said(msgspec.Struct):
    """What a process with the environment of a training prints."""

    version: str
    built_for: str
    gpus: tuple[str, ...]
    identifier: str
    refusal: str
    remark: str


def try_training(place: Placement) -> Torch:
    """Load torch and Lightning as a training of a rank would; the rank itself loads neither.

    Args:
        place: The rank's machine, and the device that it trains on.
    """
    environment = training_environment(os.environ, place.environment)
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    began = time.monotonic()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", _PROGRAM],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LOADING,
        )
    except subprocess.TimeoutExpired:
        return Torch(rank=place.rank, seconds=_LOADING, refusal=f"torch is not loaded after {_LOADING:g} s")
    seconds = time.monotonic() - began
    try:
        said = msgspec.json.decode(ended.stdout.splitlines()[-1] if ended.stdout else b"", type=_Said)
    except msgspec.DecodeError:
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        why = last[0] if last else f"exit status {ended.returncode}"
        return Torch(rank=place.rank, seconds=seconds, refusal=why)
    return Torch(rank=place.rank, seconds=seconds, **msgspec.structs.asdict(said))
