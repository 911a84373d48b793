"""What an examination found: plain records, which travel between ranks as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from evo.runtime.device import Place


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How the processes were started.

    Args:
        launcher: "mpirun", "srun", "another launcher", or empty when this process was started by itself.
        plugin: What srun gave its tasks to find each other: "pmix", "pmi2", or empty.
        expected: How many processes the launcher says that it has started.
        slurm_tasks: How many tasks the Slurm allocation has; 0 outside of Slurm.
        fault_tolerant: Started with --with-ft ulfm.
        library: The MPI library; empty when it is not used.
        refusal: Why there is no MPI although a launcher was used.
    """

    launcher: str = ""
    plugin: str = ""
    expected: int = 1
    slurm_tasks: int = 0
    fault_tolerant: bool = False
    library: str = ""
    refusal: str = ""


class RankFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank knows of itself.

    Args:
        place: Where it is and what it trains on, as in a search.
        node: The lowest rank on its machine.
        cores: Those that it may run on.
        permitted: How many it might run on if its launcher had not bound it.
        gpus: How many it may choose from.
        versions: Of packages and of Python; absent when not installed.
        open_files: Its limit; 0: none.
        other_evo: What of another project is installed under the name `evo`; empty: nothing is.
    """

    place: Place
    node: int
    cores: Sequence[int]
    permitted: int
    gpus: int
    versions: dict[str, str]
    open_files: int
    other_evo: str = ""

    @property
    def host(self) -> str:
        """Name of its machine."""
        return self.place.host


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """Messages between the first rank and another one.

    Args:
        rank: The other one.
        seconds: Median time there and back; None: no answer.
        ahead: Seconds by which the other one's clock is ahead.
        uncertainty: Of that: half of the shortest round trip.
    """

    rank: int
    seconds: float | None
    ahead: float = 0.0
    uncertainty: float = 0.0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The run directory as one rank sees it.

    Args:
        unread: Why it cannot read what the first rank has written; empty when it can.
        unwritten: Why it cannot write; empty when it can, or need not try.
        excluded: Whether a lock of the first rank kept it out; None: not tried.
    """

    unread: str = ""
    unwritten: str = ""
    excluded: bool | None = None


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """The shared run directory.

    Args:
        path: As the user gave it.
        refusal: Why the first rank cannot write there; empty when it can.
        free: Bytes that are free.
        views: Of all ranks, by rank; empty after a refusal.
        unseen: The ranks whose files the first one does not see.
        left_behind: What could not be removed again.
    """

    path: str
    refusal: str = ""
    free: int = 0
    views: tuple[View, ...] = ()
    unseen: tuple[int, ...] = ()
    left_behind: str = ""


class Torch(msgspec.Struct, frozen=True, kw_only=True):
    """What torch says in a process with the environment of a training.

    Args:
        rank: Whose training that would be.
        seconds: Until torch and Lightning were loaded.
        refusal: Why they were not, or why its GPU does not compute.
        version: Of torch.
        built_for: "CUDA 13.2" for example; empty for the CPU only.
        gpus: Names of the GPUs that it sees.
        identifier: Of the first one, unique in the world.
    """

    rank: int
    seconds: float
    refusal: str = ""
    version: str = ""
    built_for: str = ""
    gpus: tuple[str, ...] = ()
    identifier: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it; what is None was not examined.

    Args:
        launch: How the first rank was started.
        ranks: By rank.
        connected: False when there are others that this one rank cannot reach: there is nothing more to say.
        gpus_wanted: False when the user asks for none.
        trips: To one other rank on each machine.
        directory: The run directory.
        torch: Of each rank with a GPU, and of one rank on each other machine.
        seconds_left: Until the end of the allocation; None: there is no end.
    """

    launch: Launch
    ranks: Sequence[RankFacts]
    connected: bool = True
    gpus_wanted: bool = True
    trips: Sequence[RoundTrip] | None = None
    directory: Directory | None = None
    torch: Sequence[Torch] | None = None
    seconds_left: float | None = None
