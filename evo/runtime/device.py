"""Which GPU and how many CPU threads a rank uses: decided without torch, from the ranks on the node."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from evo.engine.transport import Transport, together
from evo.errors import UserError

# What launchers tell their processes. A training that saw these would think it is one of many.
_LAUNCH_PREFIXES = (
    "OMPI_",
    "OPAL_",
    "PMIX_",
    "PMI_",
    "PRTE_",
    "MPI_",
    "MPIEXEC_",
    "HYDRA_",
    "HYDI_",
    "I_MPI_",
    "SLURM_",
)
_LAUNCH_NAMES = {
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "ROLE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
}
# How many threads a process has; the first one counts where they differ, since torch has one number.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Binding:
    """What a rank trains on.

    Args:
        device: "cpu", or "cuda:" and the GPU's number or identifier on the node.
        threads: CPU threads for its training.
        environment: Variables that make a process use just these.
    """

    device: str
    threads: int
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """Where a rank is and what it trains on.

    Args:
        rank: Which rank.
        host: Name of its machine.
        device: "cpu", or "cuda:" and the GPU.
        threads: CPU threads for its training.
        environment: Variables that make a process use just these.
    """

    rank: int
    host: str
    device: str
    threads: int
    environment: dict[str, str]


def bind(
    local_rank: int, environment: Mapping[str, str], gpus_per_node: int | None, gpus_found: int, threads: int
) -> Binding:
    """Bind a rank to a GPU of its node: local rank modulo the number of GPUs.

    Args:
        local_rank: Its place among the ranks on its node, from 0.
        environment: Environment variables; CUDA_VISIBLE_DEVICES limits the choice.
        gpus_per_node: How many GPUs to use, 0 for none; None: all.
        gpus_found: How many GPUs the node has.
        threads: CPU threads for it, unless the environment says how many.

    Raises:
        UserError: More GPUs are asked for than are visible.

    Example:
        >>> bind(5, {"CUDA_VISIBLE_DEVICES": "2,3"}, None, 4, 1).device
        'cuda:3'
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        # The user may know better than /dev, for example on other makes of GPU.
        gpus = [str(number) for number in range(gpus_found if gpus_per_node is None else gpus_per_node)]
    else:
        gpus = visible_gpus(visible)
        if gpus_per_node is not None and gpus_per_node > len(gpus):
            raise UserError(
                f"gpus_per_node is {gpus_per_node}, but CUDA_VISIBLE_DEVICES={visible} shows {len(gpus)}: "
                "ask for no more than are visible"
            )
        gpus = gpus[:gpus_per_node]
    own = threads_asked_for(environment)
    threads = next(filter(None, map(_count, own.values())), threads)
    # Threads that spin while they wait for each other take the cores of other trainings, which then wait in turn.
    waiting = environment.get("OMP_WAIT_POLICY", "PASSIVE")
    variables = {**dict.fromkeys(_THREADS, str(threads)), **own, "OMP_WAIT_POLICY": waiting}
    if not gpus:
        # Where none was found, one may be that does not show in /dev; where none is wanted, none is shown.
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if gpus_per_node == 0 or visible is not None else {}
        return Binding("cpu", threads, {**variables, **hidden})
    gpu = gpus[local_rank % len(gpus)]
    return Binding(f"cuda:{gpu}", threads, {**variables, "CUDA_VISIBLE_DEVICES": gpu})


def threads_asked_for(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which the user has said how many threads a process has; not what a launcher or evo has set.

    Args:
        environment: Environment variables; a value that is no number of threads counts for nothing.

    Example:
        >>> threads_asked_for({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "many"})
        {'OMP_NUM_THREADS': '4'}
    """
    asked = {name: environment[name] for name in _THREADS if _count(environment.get(name, ""))}
    # torchrun says 1 where it starts several processes, and PBS as many as the job has cores, for each of its ranks.
    by_torchrun = "TORCHELASTIC_RUN_ID" in environment and asked.get("OMP_NUM_THREADS") == "1"
    by_pbs = "PBS_JOBID" in environment and asked.get("OMP_NUM_THREADS") == environment.get("NCPUS")
    if by_torchrun or by_pbs:
        asked.pop("OMP_NUM_THREADS", None)
    return asked


def _count(value: str) -> int:
    """The threads that a variable asks for, of several levels those of the first one; 0 when it is no number."""
    first = value.partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else 0


def bind_ranks(gpus_per_node: int | None, transport: Transport) -> list[Place]:
    """Bind every rank to a device; all ranks must call this, and learn the places of all.

    Args:
        gpus_per_node: How many GPUs of each node to use; None: all.
        transport: To the other ranks.

    Raises:
        SharedError: More GPUs are asked for than some rank sees.
    """
    cores = [msgspec.json.decode(text, type=list[int]) for text in transport.gather(str(available_cores()))]
    local_rank, neighbours = transport.local
    here = [cores[rank] for rank in transport.node]
    # Those that take no part in this search have trainings or something else to do on cores like this rank's.
    here += [cores[transport.rank]] * (neighbours - len(here))
    threads = share_of_cores(here, transport.node.index(transport.rank))
    binding = together(transport, lambda: bind(local_rank, os.environ, gpus_per_node, count_gpus(), threads))
    environment = dict(binding.environment)
    place = Place(transport.rank, socket.gethostname(), binding.device, binding.threads, environment)
    return [msgspec.json.decode(text, type=Place) for text in transport.gather(msgspec.json.encode(place).decode())]


def visible_gpus(visible: str) -> list[str]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES shows."""
    return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1", "NoDevFiles")]


def share_of_cores(cores: Sequence[Collection[int]], local_rank: int) -> int:
    """How many threads a rank may run without crowding its neighbours.

    Args:
        cores: The cores that each rank on the node may run on.
        local_rank: Which of these ranks.

    Returns:
        At least 1.

    Example:
        >>> share_of_cores([{0, 1, 2, 3}, {0, 1, 2, 3}], 0)
        2
        >>> share_of_cores([{0, 1}, {2, 3}], 0)
        2
    """
    share = sum(1 / sum(core in others for others in cores) for core in cores[local_rank])
    return max(1, int(share + 1e-9))


def training_environment(environment: Mapping[str, str], device: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that trains: one device, and no trace of MPI or Slurm.

    Args:
        environment: That of the rank.
        device: Variables that make it use its device, see `Binding`.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_LAUNCH_PREFIXES) and name not in _LAUNCH_NAMES
    }
    return {**kept, **device}


def count_gpus() -> int:
    """The NVIDIA GPUs of this machine, without loading its driver's libraries."""
    return sum(path.name.removeprefix("nvidia").isdigit() for path in Path("/dev").glob("nvidia*"))


def available_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
