"""Decides which GPU and how many CPU threads a rank uses, without torch, from the ranks on its node."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from evo.engine.transport import Transport, together
from evo.errors import UserError
from evo.runtime.batch import LAUNCH_PREFIXES, find_batch_system
from evo.runtime.gpus import Gpus, find_gpus

# The variables that launchers set for their processes. A training that saw them would take itself for one of many.
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
    "MV2_COMM_WORLD_",
    "TORCHELASTIC_",
    "PALS_",  # HPE Cray's launcher for PBS; ALPS is its predecessor.
    "ALPS_",
    *LAUNCH_PREFIXES,
)
_LAUNCH_NAMES = {
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "NODE_RANK",
    "ROLE_NAME",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
}
# The variables for the number of threads; the first one counts where they differ, because torch takes one number.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Binding:
    """The device and threads that a rank trains on.

    Args:
        device: "cpu", or the kind of GPU ("cuda", "hip", "xpu"), a colon, and its number or identifier for the rank.
        threads: The number of CPU threads for its training.
        environment: Variables that make a process use exactly this device and these threads.
        card: The device by its name on the machine, even if the rank sees it under another name.
    """

    device: str
    threads: int
    environment: Mapping[str, str]
    card: str = "cpu"


@dataclass(frozen=True)
class Placement:
    """The machine of a rank, and the device and threads that it trains on.

    Args:
        rank: The number of the rank.
        host: The name of its machine.
        device: "cpu", or the GPU, see `Binding`.
        threads: The number of CPU threads for its training.
        environment: Variables that make a process use exactly this device and these threads.
        card: The device by its name on the machine, even if the rank sees it under another name.
    """

    rank: int
    host: str
    device: str
    threads: int
    environment: dict[str, str]
    card: str = ""


def bind(
    local_rank: int, environment: Mapping[str, str], gpus_per_node: int | None, gpus: Gpus, threads: int
) -> Binding:
    """Bind a rank to a GPU of its node: local rank modulo the number of GPUs.

    Args:
        local_rank: The place of the rank among the ranks on its node, from 0.
        environment: The environment variables; CUDA_VISIBLE_DEVICES, or its counterpart for other makes of GPU, limits
            the choice.
        gpus_per_node: The number of GPUs to use, 0 for none; None means all.
        gpus: The GPUs that the rank may open.
        threads: The number of CPU threads for the rank, unless the environment says how many.

    Raises:
        UserError: More GPUs are asked for than are visible, or those that the environment lists are not there.

    Example:
        >>> from evo.runtime.makes import NVIDIA
        >>> bind(5, {"CUDA_VISIBLE_DEVICES": "2,3"}, None, Gpus(NVIDIA(), ["0", "1", "2", "3"]), 1).device
        'cuda:3'
    """
    make, choices = gpus.make, _choices(environment, gpus_per_node, gpus)
    own = threads_asked_for(environment)
    threads = next(filter(None, map(_count, own.values())), threads)
    # Threads wait without spinning, because spinning would take the cores of other trainings.
    waiting = environment.get("OMP_WAIT_POLICY", "PASSIVE")
    variables = {**dict.fromkeys(_THREADS, str(threads)), **own, "OMP_WAIT_POLICY": waiting}
    if not choices:
        # GPUs are hidden only on request, because there may be one that evo did not find.
        hidden = make.none() if gpus_per_node == 0 or make.limits(environment) else {}
        return Binding("cpu", threads, {**variables, **hidden})
    gpu = choices[local_rank % len(choices)]
    return Binding(
        f"{make.device}:{gpu}", threads, {**variables, **make.only(gpu)}, f"{make.device}:{gpus.own_name(gpu)}"
    )


def _choices(environment: Mapping[str, str], gpus_per_node: int | None, gpus: Gpus) -> list[str]:
    """The GPUs that the ranks of this node share out among themselves."""
    if gpus_per_node == 0:
        return []
    told, choices = gpus.told(environment), gpus.choices(environment)
    if refusal := gpus.refusal(environment):
        raise UserError(refusal)
    if gpus_per_node is not None and not told:
        # The user may know better than /dev and /sys.
        return [str(number) for number in range(gpus_per_node)]
    if gpus_per_node is not None and gpus_per_node > len(choices):
        raise UserError(
            f"gpus_per_node is {gpus_per_node}, but {told} shows {len(choices)}: ask for no more than are visible"
        )
    return choices[:gpus_per_node]


def threads_asked_for(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with which the user has set the number of threads, without those that a launcher has set.

    Args:
        environment: The environment variables; a value that is no number of threads is ignored.

    Example:
        >>> threads_asked_for({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "many"})
        {'OMP_NUM_THREADS': '4'}
    """
    asked = {name: environment[name] for name in _THREADS if _count(environment.get(name, ""))}
    # torchrun sets 1 where it starts several processes, and PBS sets the job's number of cores for each rank. Neither
    # is a request of the user.
    by_torchrun = "TORCHELASTIC_RUN_ID" in environment and asked.get("OMP_NUM_THREADS") == "1"
    system = find_batch_system(environment)
    by_batch = system is not None and asked.get("OMP_NUM_THREADS") == environment.get(system.threads)
    if by_torchrun or by_batch:
        asked.pop("OMP_NUM_THREADS", None)
    return asked


def _count(value: str) -> int:
    """The threads that a variable asks for, on the first level if it gives several; 0 when it is no number."""
    first = value.partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else 0


def bind_ranks(gpus_per_node: int | None, transport: Transport) -> list[Placement]:
    """Bind every rank to a device; all ranks must call this, and learn the placements of all.

    Args:
        gpus_per_node: The number of GPUs of each node to use; None means all.
        transport: The connection to the other ranks.

    Raises:
        SharedError: More GPUs are asked for than some rank sees.
    """
    cores = [msgspec.json.decode(text, type=list[int]) for text in transport.gather(str(available_cores()))]
    local_rank, neighbours = transport.local
    here = [cores[rank] for rank in transport.node]
    # Ranks that take no part in this search also compute, so they count as users of this rank's cores.
    here += [cores[transport.rank]] * (neighbours - len(here))
    threads = share_of_cores(here, transport.node.index(transport.rank))
    binding = together(transport, lambda: bind(local_rank, os.environ, gpus_per_node, find_gpus(os.environ), threads))
    placement = Placement(
        transport.rank,
        socket.gethostname(),
        binding.device,
        binding.threads,
        dict(binding.environment),
        binding.card,
    )
    said = transport.gather(msgspec.json.encode(placement).decode())
    return told_apart([msgspec.json.decode(text, type=Placement) for text in said])


def told_apart(placements: Sequence[Placement]) -> list[Placement]:
    """The same placements, with distinct names for GPUs of one machine that their ranks know by the same name.

    With `srun --gpus-per-task=1`, for example, each task sees only a GPU of its own, which it knows as 0.

    Args:
        placements: The placements of all ranks.

    Example:
        >>> both = [Placement(rank, "node1", "cuda:0", 1, {}, f"cuda:{rank + 2}") for rank in (0, 1)]
        >>> [each.device for each in told_apart(both)]
        ['cuda:2', 'cuda:3']
    """
    cards: dict[tuple[str, str], set[str]] = {}
    for each in placements:
        cards.setdefault((each.host, each.device), set()).add(each.card)
    return [replace(each, device=each.card) if len(cards[each.host, each.device]) > 1 else each for each in placements]


def share_of_cores(cores: Sequence[Collection[int]], local_rank: int) -> int:
    """The number of threads that a rank may run without taking cores from other ranks on its node.

    Args:
        cores: The cores that each rank on the node may run on.
        local_rank: The place of the rank in `cores`.

    Returns:
        The number of threads, at least 1.

    Example:
        >>> share_of_cores([{0, 1, 2, 3}, {0, 1, 2, 3}], 0)
        2
        >>> share_of_cores([{0, 1}, {2, 3}], 0)
        2
    """
    share = sum(1 / sum(core in others for others in cores) for core in cores[local_rank])
    return max(1, int(share + 1e-9))


def training_environment(environment: Mapping[str, str], device: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that trains, with one device and no variables of MPI or a batch system's launcher.

    Args:
        environment: The environment of the rank.
        device: Variables that make the process use its device, see `Binding`.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_LAUNCH_PREFIXES) and name not in _LAUNCH_NAMES
    }
    return {**kept, **device}


def available_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
