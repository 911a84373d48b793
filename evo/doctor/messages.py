"""Message round trips from the first rank to one other rank of each machine, and what they tell of its clock."""

from __future__ import annotations

import time
from statistics import median

import msgspec

from evo.doctor.facts import RoundTrip
from evo.engine.transport import Transport

_ROUNDS = 30
_PATIENCE = 5.0  # Seconds for an answer.
_PING, _END = b"ping", b"end"


def measure_messages(transport: Transport) -> list[RoundTrip]:
    """Exchange messages, on all ranks together; the same result on all.

    Args:
        transport: To the other ranks.
    """
    others = [rank for rank in transport.node if rank != transport.node[0]]
    # A machine speaks through its first rank, and that of the first rank through its second one.
    mine = transport.node[0] if 0 not in transport.node else (others[0] if others else 0)
    partners = sorted({int(text) for text in transport.gather(str(mine))} - {0})
    trips = []
    if transport.rank == 0:
        trips = [_question(transport, partner) for partner in partners]
        transport.send(_END, partners)
        transport.post()
    elif transport.rank in partners:
        _answer(transport)
    return msgspec.json.decode(transport.gather(msgspec.json.encode(trips).decode())[0], type=list[RoundTrip])


def _question(transport: Transport, partner: int) -> RoundTrip:
    trips = []
    for _ in range(_ROUNDS):
        began = time.time()
        transport.send(_PING, [partner])
        transport.post()
        answer = _next_from(transport, partner)
        ended = time.time()
        if answer is None:
            return RoundTrip(rank=partner, seconds=None)
        trips.append((ended - began, float(answer) - (began + ended) / 2))
    shortest, ahead = min(trips)
    return RoundTrip(
        rank=partner, seconds=median(seconds for seconds, _ in trips), ahead=ahead, uncertainty=shortest / 2
    )


def _next_from(transport: Transport, partner: int) -> bytes | None:
    """The next message; the only wait that does not sleep, because sleeping would be measured too."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for sender, message in transport.receive():
            if sender == partner:
                return message
        transport.post()
    return None


def _answer(transport: Transport) -> None:
    """Answer until there are no more questions; awake from the first one on, until the last."""
    asked = 0
    while True:
        for _, message in transport.receive():
            if message == _END:
                return
            asked += 1
            transport.send(repr(time.time()).encode(), [0])
            transport.post()
        if 0 < asked < _ROUNDS:
            transport.post()
        else:
            transport.wait()
