"""The record that one evaluation gets."""

from __future__ import annotations

from typing import Protocol

import msgspec

from evo.population.identity import Identity
from evo.population.segments import Segment
from evo.space.values import Params


class Further(msgspec.Struct, frozen=True, kw_only=True):
    """What an intermediate report tells beside the (first) loss.

    Args:
        losses: The losses of all objectives in their order, if there are several and each of them, and each metric that
            has a bound, is known; empty otherwise.
        violation: By how much it violates the bounds of metrics that are known, at least 0.
    """

    losses: tuple[float, ...] = ()
    violation: float = 0.0


NOTHING_FURTHER = Further()
"""What a report tells where there is one loss."""


class TakesReport(Protocol):
    """The way back from an evaluation: takes a step, a finite intermediate loss and what else is known then.

    It returns whether to stop early.
    """

    def __call__(self, step: int, loss: float, further: Further = NOTHING_FURTHER, /) -> bool: ...


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that one evaluation gets; made once, where an individual is to be evaluated, trained or tested.

    The same record goes to the other ranks of a worker and to the child process, as JSON. So it holds plain values
    only; the way back, a `TakesReport`, is passed separately.

    Args:
        individual: The identity of the individual.
        params: The parameters that the objective gets.
        seed: The seed of its training.
        attempt: The number of evaluations that these ranks have begun together in this session, this one included.
        folder: The individual's own folder, as text. Empty means the usual one, which each rank fills in by itself,
            because without a run directory each rank has folders of its own.
        parents: The individuals that it was bred from, from which its training may inherit.
        inherits: The folders of these, in their order, as text, which each rank fills in as it does with `folder`.
        segment: The part of a training that it is; None means a whole training.
        inherited: The folder with the state of the donor, as text, which the first rank of a worker fills in, because
            only that rank has taken it over. Empty means that there is no donor.
        results: Of a test, the folder for what it finds beside its metrics. Empty means that nothing is wanted.
    """

    individual: Identity
    params: Params
    seed: int
    attempt: int = 0
    folder: str = ""
    parents: tuple[Identity, ...] = ()
    inherits: tuple[str, ...] = ()
    segment: Segment | None = None
    inherited: str = ""
    results: str = ""
