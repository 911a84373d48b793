"""Lightning in a process that trains alone, whatever launched it.

Under `mpirun` or Slurm, Lightning finds a cluster by itself. Its MPIEnvironment starts MPI and makes collective calls,
in which ranks that train at their own pace wait for each other for ever. Its SLURMEnvironment refuses several tasks and
may requeue the whole job. A process whose RANK or SLURM_PROCID is not 0 writes neither logs nor checkpoints.
"""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.fabric.utilities.warnings import PossibleUserWarning
from typing_extensions import override

LOGGERS = ("lightning", "lightning.fabric", "lightning.pytorch")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Alone(ClusterEnvironment):
    """The cluster that one training sees: one process, one device, rank 0 of 1. It reads no variable and calls no MPI.

    Example:
        >>> import lightning as L
        >>> trainer = L.Trainer(plugins=[Alone()], accelerator="cpu", devices=1, logger=False)
        >>> trainer.global_rank, trainer.world_size
        (0, 1)
    """

    @property
    @override
    def creates_processes_externally(self) -> bool:
        return True  # so that Lightning launches none

    @property
    @override
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    @override
    def main_port(self) -> int:
        raise RuntimeError("A training inside evo is one process and has no port: use devices=1, strategy='auto'.")

    @staticmethod
    @override
    def detect() -> bool:
        return False  # only ever passed as a plugin

    @override
    def world_size(self) -> int:
        return 1

    @override
    def set_world_size(self, size: int) -> None:
        if size != 1:
            raise ValueError(f"A training inside evo is one process, not {size}: use devices=1 and strategy='auto'.")

    @override
    def global_rank(self) -> int:
        return 0

    @override
    def set_global_rank(self, rank: int) -> None:
        if rank != 0:
            raise ValueError(f"A training inside evo is rank 0 of 1, not rank {rank}: use devices=1, strategy='auto'.")

    @override
    def local_rank(self) -> int:
        return 0

    @override
    def node_rank(self) -> int:
        return 0


@contextmanager
def alone() -> Iterator[None]:
    """Lets Lightning write logs and checkpoints here, keeps it quiet, and leaves the process as it was found.

    Inside, Lightning takes this process for rank 0. Its banners and tips are off, and so are those of its warnings that
    hundreds of trainings would repeat: few DataLoader workers, few batches, a folder that is not empty, its own use of
    deprecated functions. Warnings of the user's code pass.

    Raises:
        KeyboardInterrupt: as it was raised; Lightning makes a SystemExit of it and then ignores SIGINT.
    """
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    rank = getattr(rank_zero_only, "rank", 0)  # Lightning read it from RANK or SLURM_PROCID when it was imported
    _set_rank(0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
            for name in LOGGERS:
                logging.getLogger(name).setLevel(logging.WARNING)
            yield
    except SystemExit as ending:
        if isinstance(ending.__context__, KeyboardInterrupt):
            raise ending.__context__ from None
        raise
    finally:
        _set_rank(rank)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None:  # None: installed by C code, which Python cannot put back
                    signal.signal(number, handler)


def _set_rank(rank: int) -> None:
    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # an attribute of a function, as Lightning has it
