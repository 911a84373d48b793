"""Lightning in a process that trains alone or with those of its worker, however it was launched.

Under `mpirun` or Slurm, Lightning finds a cluster by itself. Its MPIEnvironment starts MPI and makes collective calls,
in which ranks that train at their own pace wait for each other without end. Its SLURMEnvironment refuses several tasks
and may requeue the whole job. A process whose RANK or SLURM_PROCID is not 0 writes neither logs nor checkpoints.
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

from evo.errors import UserError

LOGGERS = ("lightning", "lightning.fabric", "lightning.pytorch")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class WorkerEnvironment(ClusterEnvironment):
    """The cluster that one training sees: the processes of its worker, one device each. It reads no variable and calls
    no MPI; the processes are connected before (see `evo.lightning.group`).

    Args:
        rank: The place of this process among them.
        size: The number of these processes.

    Example:
        >>> import lightning as L
        >>> trainer = L.Trainer(plugins=[WorkerEnvironment()], accelerator="cpu", devices=1, logger=False)
        >>> trainer.global_rank, trainer.world_size
        (0, 1)
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        super().__init__()
        self._rank, self._size = rank, size

    @property
    @override
    def creates_processes_externally(self) -> bool:
        return True  # Lightning is to launch none.

    @property
    @override
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    @override
    def main_port(self) -> int:
        raise RuntimeError("The processes of a training inside evo are connected already, without a port.")

    @staticmethod
    @override
    def detect() -> bool:
        return False  # It is only ever passed as a plugin.

    @override
    def world_size(self) -> int:
        return self._size

    @override
    def set_world_size(self, size: int) -> None:
        if size != self._size:
            raise UserError(
                f"A training inside evo has a process for each rank of its worker, {self._size}, not {size}: leave "
                "devices and num_nodes out of trainer, and set ranks_per_worker."
            )

    @override
    def global_rank(self) -> int:
        return self._rank

    @override
    def set_global_rank(self, rank: int) -> None:
        if rank != self._rank:
            raise UserError(f"This process of a training inside evo is rank {self._rank}, not {rank}.")

    @override
    def local_rank(self) -> int:
        return 0

    @override
    def node_rank(self) -> int:
        return self._rank  # To Lightning, each process has a node of its own.


@contextmanager
def quiet(rank: int) -> Iterator[None]:
    """Let Lightning write logs and checkpoints on rank 0, keep it quiet, and leave the process as it was found.

    Inside, Lightning takes this process for that rank. Its banners and tips are off, and so are those of its warnings
    that hundreds of trainings would repeat: few DataLoader workers, few batches, a folder that is not empty, its own
    use of deprecated functions. Warnings of the user's code are shown.

    Raises:
        KeyboardInterrupt: It was raised inside; Lightning turns it into a SystemExit and then ignores SIGINT.
    """
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    found = getattr(rank_zero_only, "rank", 0)  # Lightning read it from RANK or SLURM_PROCID when it was imported.
    _set_rank(rank)
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
        _set_rank(found)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None:  # Python cannot put back a handler that C code has installed.
                    signal.signal(number, handler)


def _set_rank(rank: int) -> None:
    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # an attribute of a function, as Lightning has it
