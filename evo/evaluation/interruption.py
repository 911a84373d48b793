"""How an evaluation in a child process is asked to save its state, and what must not be broken off by that."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import FrameType

from evo.evaluation.messages import Answer, Progress, decode_order, encode
from evo.objective.objective import Interrupted
from evo.population.assignment import NOTHING_FURTHER, Further


class Interruption:
    """Takes a SIGTERM, while in force, for the request to save the evaluation's state; otherwise it is ignored.

    An evaluation that has not asked so far whether it is interrupted has nothing to save, and ends at once.
    """

    def __init__(self) -> None:
        self._requested = self._looks = self._is_held_back = False
        self.__exit__()

    def __enter__(self) -> None:
        self._requested = self._looks = False
        signal.signal(signal.SIGTERM, self._request)

    def __exit__(self, *error: object) -> None:
        # A signal that comes later may repeat a request that has been fulfilled.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def check(self) -> bool:
        """Whether the evaluation has been asked to save its state."""
        self._looks = True
        return self._requested

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let an evaluation be broken off only after what is inside."""
        self._is_held_back = True
        try:
            yield
        finally:
            self._is_held_back = False
        if self._requested and not self._looks:
            raise Interrupted

    def _request(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        if not (self._looks or self._is_held_back):
            raise Interrupted


class Reporter:
    """Sends intermediate losses to the rank and waits for its answer.

    Args:
        connection: The pipe to the rank.
        interruption: The requests to save, which are held back while a message is under way.
    """

    def __init__(self, connection: Connection, interruption: Interruption) -> None:
        self._connection = connection
        self._interruption = interruption

    def __call__(self, step: int, loss: float, further: Further = NOTHING_FURTHER, /) -> bool:
        with self._interruption.held_back():  # The next evaluation would read the rest of half a message.
            self._connection.send_bytes(encode(Progress(step, loss, further)))
            answer = decode_order(self._connection.recv_bytes())
        assert isinstance(answer, Answer)
        return answer.stop
