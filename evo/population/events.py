"""Events as typed records: the messages on the wire, the lines of the journal, and the only way a replica changes.

Each record is one JSON object on one line, with its type under "type". Decoding validates: a line that is not exactly
one of these records is an error, never a guess.

A field that is called rank holds the number of a worker, which is the MPI rank where each worker is one rank: journals
have always called it so.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.objectives import NO_VIOLATION
from evo.population.reason import StopKind
from evo.population.segments import SavedState, Segment
from evo.space.values import Params

_Counts: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^(?:(?:\d|\(\d{1,15}\))(?:\*\d{1,3};)?)*$")]
Moment: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=2**37)]
"""Seconds since the epoch, to the year 6325: calendars know no time that is much later."""

Status: TypeAlias = Literal["completed", "pruned", "infeasible", "failed", "interrupted"]
"""How an evaluation ended; "infeasible" means that the objective has refused the point."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, forbid_unknown_fields=True):
    """The base of all records.

    Args:
        time: The time of the event, in seconds since the epoch.
    """

    time: Moment


class Joined(Event, frozen=True, kw_only=True):
    """A worker joined the search; what follows in its journal belongs to this session.

    Args:
        rank: The worker's number in this run.
        ranks: The number of workers in this run.
        host: The name of its machine.
        device: The device that it trains on, for example "cuda:0" or "cpu".
        ranks_per_worker: The number of ranks of which each worker consists.
        session: The number of this session of the study, from 1; 0 in journals of an earlier version.
        settings: What else than the budget decides how individuals are bred in this session; see `evo.replay.settings`.
            Only worker 0 records it.
        generations: The number of individuals that each worker is to breed. None means no limit.
        evaluations: The number of individuals that all workers are to evaluate in all sessions. None means no limit.
        target: The loss at which the search ends, or the values of objectives by their names, or the hypervolume by its
            name. None means none.
        reference_point: A value of each of several objectives, up to which a hypervolume counts. Empty means none.
        deadline: The time at which this session ends at the latest, seconds since the epoch. None means none.
    """

    rank: int
    ranks: int
    host: str
    device: str
    ranks_per_worker: int = 1
    session: int = 0
    settings: dict[str, Any] = {}
    generations: int | None = None
    evaluations: int | None = None
    target: float | dict[str, float] | None = None
    reference_point: dict[str, float] = {}
    deadline: float | None = None


class Started(Event, frozen=True, kw_only=True):
    """The evaluation of a new individual begins, or that of a known one begins again after a restart.

    Args:
        individual: Its identity.
        island: The island to which it belongs.
        params: The active parameters, exactly as the objective gets them.
        rank: The worker that evaluates it; None means the worker of its birth.
        strategy: Its strategy parameters by name, for algorithms that evolve these together with the genomes.
        parents: The individuals that it was bred from, as far as its propagator tells; empty for a start point and for
            a random individual.
        bred_by: A short name of what proposed it: "start", "random", "enumeration" (of all points of a finite space),
            "known" (its result is known from elsewhere) or the name of a propagator; empty in journals of an earlier
            version.
        origin: Where its result is known from, for example "runs/wide 3-1"; empty for an individual that this study
            evaluates. A known one was not evaluated here, so it takes nothing from the budget, and no time.
        segment: The part of a training that the evaluation is; None means a whole training.
        lost: Individuals whose states the worker has found missing or damaged since its last new individual, so that
            it passed them over as donors.
    """

    individual: Identity
    island: int
    params: Params
    rank: int | None = None
    strategy: dict[str, Any] = {}
    parents: tuple[Identity, ...] = ()
    bred_by: str = ""
    origin: str = ""
    segment: Segment | None = None
    lost: tuple[Identity, ...] = ()


class Heard(Event, frozen=True, kw_only=True):
    """What a worker had heard of the others when it bred, or learnt; only in its journal, never sent.

    What a worker breeds follows from what it knows, so with this record every decision can be made again.

    Args:
        counts: Worker by worker, how many of its records, apart from `Done`, have arrived since the last `Heard`; see
            `evo.engine.hearing.pack_counts`.
        beyond: Whether the next new individual was looked for beyond the worker's own share of a finite space.
    """

    counts: _Counts = ""
    beyond: bool = False


class Reported(Event, frozen=True, kw_only=True):
    """An intermediate loss of an individual in evaluation.

    Args:
        individual: Its identity.
        step: The training step, usually the epoch, from 0.
        loss: The intermediate loss, a finite number. Of several objectives, that of the first.
        losses, violation: As of `Finished`, as far as they are known by now; see `evo.population.assignment.Further`.
    """

    individual: Identity
    step: int
    loss: float
    losses: tuple[float, ...] = ()
    violation: Annotated[float, msgspec.Meta(ge=0)] = NO_VIOLATION

    def __post_init__(self) -> None:
        _check_losses(self.loss, self.losses, self.violation)


class Judged(Event, frozen=True, kw_only=True):
    """An individual in evaluation reached a rung, and goes on or is stopped.

    Args:
        individual: Its identity.
        rung: The number of complete steps at this rung.
        stop: Whether its evaluation ends.
        value: The value of the individual that was compared.
        threshold: The highest value with which it would have gone on; None when there was nothing to compare with.
        among: The number of other individuals that it was compared with.
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
        status: How the evaluation ended; "interrupted" means that it is to be resumed.
        loss: The loss, a finite number; absent unless completed or pruned. Of several objectives, that of the first.
        losses: The losses of all objectives in their order, if there are several; empty otherwise.
        violation: By how much it violates the bounds of its metrics; see `evo.population.objectives.Objectives`.
        seconds: The time that the evaluation took.
        rank: The worker that evaluated it.
        host: The name of the machine on which it was evaluated.
        device: The device on which it was evaluated, for example "cuda:0".
        metrics: Values that the objective recorded beside the loss, as JSON scalars.
        times: The seconds spent on each activity, parts of `seconds`, as far as the objective measured them.
        error: The reason why it failed, or is infeasible, in one line.
        traceback: The traceback of the failure, as Python prints it.
        rung: The highest rung that a pruned individual has reached, as a number of complete steps; 0 for others, and in
            journals of an earlier version.
        state: The state that it has left, from which others may go on; None if it has left none.
    """

    individual: Identity
    status: Status
    loss: float | None = None
    losses: tuple[float, ...] = ()
    violation: Annotated[float, msgspec.Meta(ge=0)] = NO_VIOLATION
    seconds: float = 0.0
    rank: int
    host: str = ""
    device: str = ""
    metrics: dict[str, Any] = {}
    times: dict[str, float] = {}
    error: str = ""
    traceback: str = ""
    rung: int = 0
    state: SavedState | None = None

    def __post_init__(self) -> None:
        if self.loss is not None:
            _check_losses(self.loss, self.losses, self.violation)
        elif self.status == "completed":
            raise UserError("a completed evaluation has no loss")


class Retired(Event, frozen=True, kw_only=True):
    """An individual made room for a copy from another island.

    Args:
        individual: Its identity.
        island: The island on which it no longer breeds, whatever events arrive later.
    """

    individual: Identity
    island: int


class Migrated(Event, frozen=True, kw_only=True):
    """An individual moved: this island is now its only home.

    Args:
        individual: Its identity.
        island: Its new home.
        move: The number of its moves so far, this one included; the latest move counts.
    """

    individual: Identity
    island: int
    move: int


class Pollinated(Event, frozen=True, kw_only=True):
    """A copy of an individual was sent to another island, where it is active as well.

    Args:
        individual: Its identity.
        island: The island on which the copy breeds.
    """

    individual: Identity
    island: int


class Skipped(Event, frozen=True, kw_only=True):
    """The records of this individual were lost with a damaged line of a journal: its identity is never used again.

    Args:
        individual: Its identity.
    """

    individual: Identity


class Died(Event, frozen=True, kw_only=True):
    """A worker died, and its successor took over its work.

    Args:
        rank: The worker that died.
        heir: Its successor; journals have always used this name for it.
    """

    rank: int
    heir: int


class Done(Event, frozen=True, kw_only=True):
    """A worker has finished; this is the last record that it emits in this run.

    Args:
        rank: The number of the worker.
        reason: The reason why it stopped, as text for people.
        times: The seconds that it spent on each activity other than evaluating in this session.
        kind: The kind of reason; None in journals of an earlier version.
    """

    rank: int
    reason: str
    times: dict[str, float] = {}
    kind: StopKind | None = None


def _check_losses(first: float, losses: tuple[float, ...], violation: float) -> None:
    for loss in (first, *losses, violation):
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss}: a record holds finite numbers only")
    if losses and losses[0] != first:
        raise UserError(f"the loss is {first}, but the first of several is {losses[0]}")


AnyEvent: TypeAlias = (
    Joined | Started | Heard | Reported | Judged | Finished | Retired | Migrated | Pollinated | Skipped | Died | Done
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: AnyEvent) -> bytes:
    """The record as one line of JSON, without the newline.

    Args:
        event: The event to encode. Its numbers must be finite, because JSON has no NaN.
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
