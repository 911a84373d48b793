"""What an examination found: plain records, which travel between ranks as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from evo.runtime.batch import find_batch_system, find_step
from evo.runtime.device import Placement
from evo.runtime.mpi import find_started, is_fault_tolerant


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How the processes were started.

    Args:
        launcher: "mpirun", a batch system's own such as "srun", "another launcher", or empty when this process was
            started by itself.
        how: What started it, with the option by which the processes find each other.
        expected: How many processes the launcher says that it has started.
        advice: What to do when the processes do not find each other; empty when the launcher is not a batch system's.
        batch: The batch system in whose job it runs; empty outside of one.
        connecting: The batch system's command that starts processes which find each other; empty when it has none.
        tasks: How many processes the job is meant for; 0 when the batch system does not say.
        nodes: How many nodes the job has; 0 when the batch system does not say.
        fault_tolerant: Whether it was started with --with-ft ulfm.
        library: The MPI library; empty when it is not used.
        refusal: Why there is no MPI although a launcher was used.
    """

    launcher: str = ""
    how: str = ""
    expected: int = 1
    advice: str = ""
    batch: str = ""
    connecting: str = ""
    tasks: int = 0
    nodes: int = 0
    fault_tolerant: bool = False
    library: str = ""
    refusal: str = ""


class RankFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank knows of itself.

    Args:
        place: Where it is and what it trains on, as in a search.
        node: The lowest rank on its machine.
        cores: The cores that it may run on.
        permitted: How many cores it might run on if its launcher had not bound it.
        gpus: How many GPUs it may choose from.
        gpu_remark: What the environment hides of its GPUs; empty when there is nothing to remark.
        versions: The versions of packages and of Python; a package that is not installed is absent.
        open_files: How many files it may open; 0 when there is no limit.
        other_evo: What of another project is installed under the name `evo`; empty when nothing is.
    """

    place: Placement
    node: int
    cores: Sequence[int]
    permitted: int
    gpus: int
    versions: dict[str, str]
    open_files: int
    other_evo: str = ""
    gpu_remark: str = ""

    @property
    def host(self) -> str:
        """Name of its machine."""
        return self.place.host


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """Messages between the first rank and another one.

    Args:
        rank: The other rank.
        seconds: Median time there and back; None when it did not answer.
        ahead: Seconds by which the other rank's clock is ahead.
        uncertainty: How far that may be wrong, in seconds: half of the shortest round trip.
    """

    rank: int
    seconds: float | None
    ahead: float = 0.0
    uncertainty: float = 0.0


class DirView(msgspec.Struct, frozen=True, kw_only=True):
    """The run directory as one rank sees it.

    Args:
        unread: Why it cannot read what the first rank has written; empty when it can.
        unwritten: Why it cannot write; empty when it can, or need not try.
        excluded: Whether a lock of the first rank kept it out; None when it did not try.
    """

    unread: str = ""
    unwritten: str = ""
    excluded: bool | None = None


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """The shared run directory.

    Args:
        path: The path, as the user gave it.
        refusal: Why the first rank cannot write there; empty when it can.
        free: How many bytes are free.
        views: How each rank sees it, by rank; empty after a refusal.
        unseen: The ranks whose files the first one does not see.
        left_behind: What could not be removed again.
    """

    path: str
    refusal: str = ""
    free: int = 0
    views: tuple[DirView, ...] = ()
    unseen: tuple[int, ...] = ()
    left_behind: str = ""


class Torch(msgspec.Struct, frozen=True, kw_only=True):
    """What torch says in a process with the environment of a training.

    Args:
        rank: The rank whose training that would be.
        seconds: The time until torch and Lightning were loaded.
        refusal: Why they were not loaded, or why the GPU does not compute.
        version: The version of torch.
        built_for: What torch is built for, "CUDA 13.2" for example; empty for the CPU only.
        gpus: Names of the GPUs that torch sees.
        identifier: The identifier of the first GPU, unique in the world.
        remark: What hinders a training on these GPUs, though it can run; empty when nothing does.
    """

    rank: int
    seconds: float
    refusal: str = ""
    version: str = ""
    built_for: str = ""
    gpus: tuple[str, ...] = ()
    identifier: str = ""
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that was found. None means that something was not examined.

    Args:
        launch: How the first rank was started.
        ranks: What each rank knows of itself, by rank.
        connected: Whether this rank can reach all others; if not, nothing else was examined.
        gpus_wanted: False when the user asks for none.
        trips: Messages to one other rank on each machine.
        directory: The run directory.
        torch: What torch says for each rank with a GPU, and for one rank on each other machine.
        seconds_left: The time until the end of the batch job; None when there is no end, or nothing tells it.
    """

    launch: Launch
    ranks: Sequence[RankFacts]
    connected: bool = True
    gpus_wanted: bool = True
    trips: Sequence[RoundTrip] | None = None
    directory: Directory | None = None
    torch: Sequence[Torch] | None = None
    seconds_left: float | None = None


def find_launch(environment: Mapping[str, str]) -> Launch:
    """How the launcher says that it has started this process.

    Args:
        environment: Environment variables, before MPI has added its own.

    Example:
        >>> find_launch({"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}).how
        'srun --mpi=pmix'
    """
    started, step, system = find_started(environment), find_step(environment), find_batch_system(environment)
    launcher = how = started.launcher
    if step and started.advice:
        way = "pmix" if "PMIX_RANK" in environment else "pmi2" if "PMI_RANK" in environment else ""
        how = (
            f"{launcher} without an MPI plugin" if not way else f"{launcher} {step.pmi}{way}" if step.pmi else launcher
        )
    return Launch(
        launcher=launcher,
        how=how,
        expected=started.count,
        advice=started.advice,
        batch=system.name if system else "",
        connecting=system.step.connecting if system and system.step else "",
        tasks=system.tasks_asked(environment) if system else 0,
        nodes=system.nodes(environment) if system else 0,
        fault_tolerant=is_fault_tolerant(environment),
    )
