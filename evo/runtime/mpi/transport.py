"""Messages between the ranks of an MPI job.

Nothing here blocks while a search runs: sends are asynchronous, receives are probed for, and waiting is sleeping,
because waiting inside MPI spins and takes the core from a training.

Under `mpirun --with-ft ulfm`, and with other launchers that let the survivors live, MPI tells which ranks have died.
Otherwise the launcher ends all of them.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evo.engine.transport import Traffic

if TYPE_CHECKING:
    from mpi4py import MPI

_TAG = 1
_PATIENCE = 0.05  # The seconds that a rank waits for its messages to leave, near the end of a budget.
_LAST_PATIENCE = 5.0  # The seconds that it waits at the very end, when others have died and may not receive them.
_NAP = 0.01  # The seconds to sleep: short against an evaluation, long enough to cost no measurable CPU time.
# The number of messages in flight to one rank, few enough to complete even if that rank does not call MPI. Further
# records are joined to one message.
_MOST_OUTSTANDING = 8
# The largest number of bytes to join. A larger message (64 kB over TCP) needs its sender until it has arrived, and in
# Open MPI 5 its receiver may hang or crash when the sender dies before that.
_MOST_JOINED = 32_000
_FAILED = object()


@dataclass
class _History:
    """The history of this process's transports, which matters when the process ends.

    Args:
        attended: The transports that send and receive in the background.
        someone_died: Whether a rank of any transport has died.
        latest: The communicator of the last or current search.
    """

    attended: list[MPITransport] = field(default_factory=list)
    someone_died: bool = False
    latest: MPI.Intracomm | None = None


history = _History()


class MPITransport:
    """The ranks of this MPI job, or a part of them; see `evo.engine.transport.Transport`.

    Args:
        communicator: The communicator of these ranks, for this transport alone; its error handler must return errors.
        local: As in `evo.engine.transport.Transport`; None means that the communicator has all ranks of the machine.
    """

    def __init__(self, communicator: MPI.Intracomm, local: tuple[int, int] | None = None) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self.communicator = communicator
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()
        node = communicator.Split_type(MPI.COMM_TYPE_SHARED)
        ranks = np.empty(node.Get_size(), dtype="i")
        node.Allgather(np.array([self.rank], dtype="i"), ranks)
        node.Free()
        self.node: Sequence[int] = ranks.tolist()
        self.local = local or (self.node.index(self.rank), len(self.node))
        self.dead: frozenset[int] = frozenset()
        self.traffic = Traffic()
        self._outstanding: list[deque[tuple[MPI.Request, bytes]]] = [deque() for _ in range(self.size)]
        self._held_back: list[deque[bytes]] = [deque() for _ in range(self.size)]
        # The ranks with outstanding or held back messages.
        self._busy: set[int] = set()
        self._arrived: list[tuple[int, bytes]] = []
        self._status = MPI.Status()
        # Either of the two threads must hold it to call MPI or to use the attributes above.
        self._lock = threading.RLock()
        self._is_closing = threading.Event()
        self._attendant: threading.Thread | None = None

    def attend(self) -> None:
        """Send and receive in the background too, while this rank computes, until the connection is closed."""
        if self.size > 1 and self._mpi.Query_thread() == self._mpi.THREAD_MULTIPLE:
            self._attendant = threading.Thread(target=self._attend, name="evo-messages", daemon=True)
            history.attended.append(self)
            self._attendant.start()

    def _attend(self) -> None:
        while not self._is_closing.wait(_NAP):
            with self._lock:
                self._progress()
                self._fetch()

    def leave_alone(self) -> None:
        """End the background thread that `attend` has started."""
        self._is_closing.set()
        if self._attendant is not None:
            self._attendant.join()
        if self in history.attended:
            history.attended.remove(self)

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        """Send one record, a line without its newline, to some ranks soon, or at the next `post`; returns at once."""
        with self._lock:
            for rank in ranks:
                self._held_back[rank].append(message)
            self._busy.update(ranks)

    def post(self) -> None:
        """Send off all records, joined to one message for each rank."""
        with self._lock:
            self._progress()

    def receive(self) -> list[tuple[int, bytes]]:
        """All records that have arrived, each with the rank that sent it."""
        with self._lock:
            self._fetch()
            arrived, self._arrived = self._arrived, []
            return arrived

    def _fetch(self) -> None:
        while message := self._find() or self._find():  # The first call may only fetch what the second finds.
            sender = self._status.Get_source()
            buffer = bytearray(self._status.Get_count(self._mpi.BYTE))
            # A matched probe is used because its message can be received or is gone. A plain probe would find a message
            # of a dead sender for ever, but could not receive it.
            if self._attempt(message.Recv, [buffer, self._mpi.BYTE]) is not _FAILED:
                self._arrived += ((sender, line) for line in bytes(buffer).split(b"\n"))

    def settle(self) -> None:
        """Wait a short time for what was sent to leave; a rank that computes inline may not receive it soon."""
        self._flush(_PATIENCE)

    def wait(self) -> None:
        """Send off all records, then sleep for a moment."""
        self.post()
        time.sleep(_NAP)

    def gather(self, text: str) -> list[str]:
        """The texts of all ranks, by rank; all ranks must call it."""
        self._meet()
        said = np.frombuffer(text.encode(), dtype="u1")
        lengths = np.empty(self.size, dtype="i")
        self.communicator.Allgather(np.array([said.size], dtype="i"), lengths)
        everything = np.empty(int(lengths.sum()), dtype="u1")
        self.communicator.Allgatherv(said, [everything, lengths.tolist()])
        parts = np.split(everything, np.cumsum(lengths)[:-1])
        return [part.tobytes().decode() for part in parts]

    def part(self, ranks: Sequence[int]) -> MPITransport:
        """A connection of some ranks only, numbered from 0 in their order; all of these must call it."""
        everyone = self.communicator.Get_group()
        group = everyone.Incl(list(ranks))
        try:
            return MPITransport(self.communicator.Create_group(group, _TAG))
        finally:
            group.Free()
            everyone.Free()

    def close(self) -> None:
        """End the connection once all that was sent has left."""
        self.leave_alone()
        self._flush(math.inf)
        history.someone_died = history.someone_died or bool(self.dead)
        # The wait is limited, because a rank that notices a death just now leaves, and others would wait for it.
        if self.dead or self._attempt(self._meet, _LAST_PATIENCE) is not True:
            self._flush(_LAST_PATIENCE)
        else:
            self.communicator.Free()

    def _flush(self, patience: float) -> None:
        """Wait until what was sent has left, for a limited time, which is short when other ranks have died."""
        began = time.monotonic()
        self.post()
        while self._busy and time.monotonic() - began < min(patience, _LAST_PATIENCE if self.dead else math.inf):
            time.sleep(_NAP / 100)
            with self._lock:
                self._progress()
                # Two ranks that have sent each other large messages would wait for ever if neither received.
                self._fetch()

    def _meet(self, patience: float = math.inf) -> bool:
        """Wait for all ranks for a limited time, without spinning, while sent messages leave; whether all have come."""
        began = time.monotonic()
        request = self.communicator.Ibarrier()
        while not (met := request.Test()) and time.monotonic() - began < patience:
            with self._lock:
                self._progress()
                self._fetch()
            time.sleep(_NAP / 10)
        return bool(met)

    def _find(self) -> MPI.Message | None:
        found = self._attempt(self.communicator.Improbe, self._mpi.ANY_SOURCE, _TAG, self._status)
        return None if found is _FAILED else found

    def _progress(self) -> None:
        for rank in sorted(self._busy):
            outstanding, held_back = self._outstanding[rank], self._held_back[rank]
            while outstanding and self._attempt(outstanding[0][0].Test) is True:
                outstanding.popleft()
            if rank in self.dead:
                outstanding.clear()
                held_back.clear()
            while held_back and len(outstanding) < _MOST_OUTSTANDING:
                self._post(_join(held_back), rank)
            if not outstanding and not held_back:
                self._busy.discard(rank)

    def _post(self, message: bytes, rank: int) -> None:
        request = self._attempt(self.communicator.Isend, [message, self._mpi.BYTE], rank, _TAG)
        if request is not _FAILED:
            # The buffer must live as long as the request.
            self._outstanding[rank].append((request, message))
            self.traffic.messages += 1
            self.traffic.bytes += len(message)

    def _attempt(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """The result of an MPI call; `_FAILED` when it fails because a rank has died, which is then noted."""
        try:
            return act(*arguments)
        except self._mpi.Exception as error:
            if error.Get_error_class() not in (self._mpi.ERR_PROC_FAILED, self._mpi.ERR_PROC_FAILED_PENDING):
                raise
        failed = self.communicator.Get_failed()
        found = self._mpi.Group.Translate_ranks(failed, range(failed.Get_size()), self.communicator.Get_group())
        self.communicator.Ack_failed()
        self.dead = self.dead.union(found)
        history.someone_died = True
        return _FAILED


def _join(records: deque[bytes]) -> bytes:
    """Remove the first records and join them to one message, at least one and as many as fit."""
    joined = [records.popleft()]
    size = len(joined[0])
    while records and size + len(records[0]) < _MOST_JOINED:
        size += len(records[0]) + 1
        joined.append(records.popleft())
    return b"\n".join(joined)
