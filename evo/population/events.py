"""What happened, as typed records: the message on the wire, the line in the journal, the only way a replica changes.

Each record is one JSON object on one line, with its type under "type". Decoding validates: a line that is not exactly
one of these records is an error, never a guess.

A field that is called rank holds the number of a worker, which is the MPI rank where each worker is one rank: journals
have always called it so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from evo.errors import UserError
from evo.population.reason import StopKind
from evo.space.values import Params

_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Identity: TypeAlias = tuple[_Number, _Number]
"""Worker and generation of birth: unique for the life of a study."""

Status: TypeAlias = Literal["completed", "pruned", "infeasible", "failed", "interrupted"]
"""How an evaluation ended; "infeasible": the objective has refused the point."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, forbid_unknown_fields=True):
    """Common to all records.

    Args:
        time: When it happened, seconds since the epoch.
    """

    time: float


class Joined(Event, frozen=True, kw_only=True):
    """A worker took part, from here on in its journal.

    Args:
        rank: The worker's number in this run.
        ranks: How many workers this run has.
        host: Name of its machine.
        device: What it trains on, for example "cuda:0" or "cpu".
    """

    rank: int
    ranks: int
    host: str
    device: str


class Started(Event, frozen=True, kw_only=True):
    """An individual was bred and its evaluation begins (or begins again, after a restart).

    Args:
        individual: Its identity.
        island: The island to which it belongs.
        params: The active parameters, exactly as the objective gets them.
        rank: The worker that evaluates it; None: the one of its birth.
        strategy: What makes its offspring evolve, for algorithms that have such parameters.
        parents: The individuals that it was bred from, as far as its propagator tells; none for a start point, and for
            one that was drawn at random.
        bred_by: A short name of what has proposed it: "start", "random", "enumeration" (where a finite space is gone
            through), or the name of a propagator; empty in journals of an earlier version.
    """

    individual: Identity
    island: int
    params: Params
    rank: int | None = None
    strategy: dict[str, Any] = {}
    parents: tuple[Identity, ...] = ()
    bred_by: str = ""


class Reported(Event, frozen=True, kw_only=True):
    """An intermediate loss of an individual in evaluation.

    Args:
        individual: Its identity.
        step: The training step, usually the epoch, from 0.
        loss: Finite.
    """

    individual: Identity
    step: int
    loss: float

    def __post_init__(self) -> None:
        _check_finite(self.loss)


class Judged(Event, frozen=True, kw_only=True):
    """An individual in evaluation reached a rung, and goes on or is stopped.

    Args:
        individual: Its identity.
        rung: How many steps were complete.
        stop: Whether its evaluation ends.
        value: What was compared.
        threshold: The highest value with which it would have gone on; None when there was nothing to compare with.
        among: With how many other individuals it was compared.
    """

    individual: Identity
    rung: int
    stop: bool
    value: float
    threshold: float | None
    among: int


class Finished(Event, frozen=True, kw_only=True):
    """The evaluation of an individual ended.

    Args:
        individual: Its identity.
        status: "interrupted" means that it is to be taken up again.
        loss: Finite; absent unless completed or pruned.
        seconds: Time the evaluation took.
        rank: The worker that evaluated it.
        host: Name of the machine on which it was evaluated.
        device: What it was evaluated on, for example "cuda:0".
        metrics: JSON scalars that the objective recorded beside the loss.
        times: Seconds by activity, parts of `seconds`, as far as the objective measured them.
        error: Why it failed, or is infeasible, in one line.
        traceback: Where it failed, as Python prints it.
    """

    individual: Identity
    status: Status
    loss: float | None = None
    seconds: float = 0.0
    rank: int
    host: str = ""
    device: str = ""
    metrics: dict[str, Any] = {}
    times: dict[str, float] = {}
    error: str = ""
    traceback: str = ""

    def __post_init__(self) -> None:
        if self.loss is not None:
            _check_finite(self.loss)
        elif self.status == "completed":
            raise UserError("a completed evaluation has no loss")


class Retired(Event, frozen=True, kw_only=True):
    """An individual made room for a copy from elsewhere: on this island it breeds no longer.

    Args:
        individual: Its identity.
        island: Where it is no longer active, whatever arrives later.
    """

    individual: Identity
    island: int


class Migrated(Event, frozen=True, kw_only=True):
    """An individual moved: its home is this island, and no other any more.

    Args:
        individual: Its identity.
        island: Its new home.
        move: How often it has moved, this time included; the latest move counts.
    """

    individual: Identity
    island: int
    move: int


class Pollinated(Event, frozen=True, kw_only=True):
    """A copy of an individual travelled: it is active on this island as well.

    Args:
        individual: Its identity.
        island: Where the copy breeds.
    """

    individual: Identity
    island: int


class Skipped(Event, frozen=True, kw_only=True):
    """What a journal said of this individual was lost with a damaged line: its identity is never given again.

    Args:
        individual: Its identity.
    """

    individual: Identity


class Died(Event, frozen=True, kw_only=True):
    """A worker died, and another took over what it had left.

    Args:
        rank: The worker that died.
        heir: Its successor, which took over.
    """

    rank: int
    heir: int


class Done(Event, frozen=True, kw_only=True):
    """A worker has finished: the last record that it emits in this run.

    Args:
        rank: The worker.
        reason: Why it stopped, for people.
        times: Seconds that it spent besides evaluating in this session, by activity.
        kind: Why it stopped; None in journals of an earlier version.
    """

    rank: int
    reason: str
    times: dict[str, float] = {}
    kind: StopKind | None = None


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise UserError(f"the loss is {loss}: a record holds finite numbers only")


AnyEvent: TypeAlias = (
    Joined | Started | Reported | Judged | Finished | Retired | Migrated | Pollinated | Skipped | Died | Done
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: AnyEvent) -> bytes:
    """The record as one line of JSON, without the line's end.

    Args:
        event: What happened. Its numbers are finite: JSON has no NaN.
    """
    return _encoder.encode(event)


def decode(line: bytes | memoryview) -> AnyEvent:
    """The record in one line of JSON.

    Raises:
        UserError: The line is not exactly one record; the message says where and why.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(str(error)) from None


def plain(value: Any) -> Any:
    """An array or tensor of one number as that number; anything else as it is."""
    is_one = hasattr(value, "item") and math.prod(getattr(value, "shape", ())) == 1
    return value.item() if is_one else value


def json_scalars(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as JSON can hold them: what is not finite becomes absent, other types become text."""
    kept: dict[str, Any] = {}
    for name, value in metrics.items():
        scalar = plain(value)
        if isinstance(scalar, float) and not math.isfinite(scalar):
            continue
        kept[json_text(name)] = scalar if type(scalar) in (int, float, bool, type(None)) else json_text(scalar)
    return kept


def json_text(value: object) -> str:
    """A value as text that JSON can hold: undecodable bytes, as file names may have, are written as escapes."""
    return str(value).encode(errors="backslashreplace").decode()
