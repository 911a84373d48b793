"""Which GPU and how many CPU threads a rank uses: decided without torch, from the ranks on the node."""

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
    "MV2_COMM_WORLD_",
    "TORCHELASTIC_",
    "PALS_",  # Of HPE Cray's launcher beside PBS, and ALPS of the one before.
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
# How many threads a process has; the first one counts where they differ, since torch has one number.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Binding:
    """What a rank trains on.

    Args:
        device: "cpu", or the kind of GPU ("cuda", "hip", "xpu"), a colon, and its number or identifier for the rank.
        threads: CPU threads for its training.
        environment: Variables that make a process use just these.
        card: The device by the name that it has on the machine, whatever the rank is shown.
    """

    device: str
    threads: int
    environment: Mapping[str, str]
    card: str = "cpu"


@dataclass(frozen=True)
class Placement:
    """Where a rank is and what it trains on.

    Args:
        rank: Its number.
        host: Name of its machine.
        device: "cpu", or the GPU, see `Binding`.
        threads: CPU threads for its training.
        environment: Variables that make a process use just these.
        card: The device by the name that it has on the machine, whatever the rank is shown.
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
        local_rank: Its place among the ranks on its node, from 0.
        environment: Environment variables; CUDA_VISIBLE_DEVICES, or what its make of GPU has, limits the choice.
        gpus_per_node: How many GPUs to use, 0 for none; None: all.
        gpus: Those that it may open.
        threads: CPU threads for it, unless the environment says how many.

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
    # Threads that spin while they wait for each other take the cores of other trainings, which then wait in turn.
    waiting = environment.get("OMP_WAIT_POLICY", "PASSIVE")
    variables = {**dict.fromkeys(_THREADS, str(threads)), **own, "OMP_WAIT_POLICY": waiting}
    if not choices:
        # Where none was found, one may be that shows nowhere; where none is wanted, none is shown.
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
    system = find_batch_system(environment)
    by_batch = system is not None and asked.get("OMP_NUM_THREADS") == environment.get(system.threads)
    if by_torchrun or by_batch:
        asked.pop("OMP_NUM_THREADS", None)
    return asked


def _count(value: str) -> int:
    """The threads that a variable asks for, of several levels those of the first one; 0 when it is no number."""
    first = value.partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else 0


def bind_ranks(gpus_per_node: int | None, transport: Transport) -> list[Placement]:
    """Bind every rank to a device; all ranks must call this, and learn the placements of all.

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
    """The same placements, where GPUs of one machine that have one name for their ranks have their own names.

    Each task may be shown a GPU of its own, as with `srun --gpus-per-task=1`: then all call theirs 0.

    Args:
        placements: Of all ranks.

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
    """The environment of a process that trains: one device, and no trace of MPI or a batch system's launcher.

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


def available_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
