"""A command of one process under a launcher that has started several: the first acts, the others wait for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from evo.engine.transport import Serial, Transport
from evo.errors import MISTAKEN
from evo.runtime.mpi import AloneError, NoMPIError, connect, find_started, speaks


def on_first_rank(act: Callable[[int], int]) -> int:
    """Act on the first rank; the others wait, because a launcher may end all when some have left.

    Args:
        act: Acts, given the number of ranks; returns the exit status.

    Returns:
        The exit status, the same on all ranks; where they are not connected, 0 on all but the first.
    """
    transport: Transport = Serial()
    try:
        transport = connect() or transport
    except AloneError:  # Tasks that srun has started without MPI: one of them is enough.
        return _status(act, find_started(os.environ).count) if speaks(os.environ) else 0
    except NoMPIError as error:
        if speaks(os.environ):
            print(f"evo: error: {error}", file=sys.stderr, flush=True)
            return MISTAKEN
        return 0
    said = transport.gather(str(_status(act, transport.size)) if transport.rank == 0 else "")
    transport.close()
    return int(said[0])


def _status(act: Callable[[int], int], ranks: int) -> int:
    try:
        status = act(ranks)
    except SystemExit as end:  # After help, or a mistake in the options.
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        status = 130
    sys.stdout.flush()
    return status
