"""The examination of all ranks: gathers the facts, on all of them together."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable

import msgspec

from evo import __version__
from evo.doctor.directory import try_directory
from evo.doctor.facts import Facts, Launch, RankFacts, Torch
from evo.doctor.messages import measure_messages
from evo.doctor.training import try_training
from evo.engine.transport import Transport
from evo.runtime.batch import allocation_end
from evo.runtime.device import Place, available_cores, bind_ranks, count_gpus, visible_gpus
from evo.versions import other_evo, versions_of

_PACKAGES = ("torch", "lightning", "numpy", "mpi4py")


def examine(
    transport: Transport, launch: Launch, run_dir: str, gpus_per_node: int | None, enter: Callable[[str], None]
) -> Facts:
    """Gather all facts; every rank gets the same.

    Args:
        transport: To the other ranks.
        launch: How this process was started.
        run_dir: The run directory of the search to come.
        gpus_per_node: How many GPUs of each node it is to use; None: all.
        enter: Told what is about to be done.

    Raises:
        SharedError: More GPUs are asked for than are visible.
    """
    enter("the ranks say where they are")
    place = bind_ranks(gpus_per_node, transport)[transport.rank]
    said = transport.gather(msgspec.json.encode(_rank_facts(place, transport.node[0])).decode())
    ranks = [msgspec.json.decode(text, type=RankFacts) for text in said]
    launch = msgspec.json.decode(transport.gather(msgspec.json.encode(launch).decode())[0], type=Launch)
    enter("Slurm is asked when the job ends")
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
    """What can be said of one process whose others cannot be reached.

    Args:
        transport: Of this process alone.
        launch: How it was started.
    """
    return Facts(launch=launch, ranks=[_rank_facts(bind_ranks(None, transport)[0], 0)], connected=False)


def _rank_facts(place: Place, node: int) -> RankFacts:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return RankFacts(
        place=place,
        node=node,
        cores=available_cores(),
        permitted=_count_permitted_cores(),
        gpus=count_gpus() if visible is None else len(visible_gpus(visible)),
        versions={"evo": __version__, "Python": platform.python_version(), **versions_of(_PACKAGES)},
        other_evo=other_evo(),
        open_files=0 if limit == resource.RLIM_INFINITY else limit,
    )


def _count_permitted_cores() -> int:
    """The cores that this process could run on, had its launcher not bound it: asks for all, and goes back."""
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
