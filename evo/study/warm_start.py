"""What a search begins with: results that are known from elsewhere, and points that are evaluated first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evo.checks import did_you_mean
from evo.engine.starting import KnownPoint, complete_point, known_events
from evo.engine.transport import Transport, together
from evo.engine.worker import Worker
from evo.errors import UserError
from evo.objective.losses import FoundLosses
from evo.population.events import AnyEvent
from evo.population.objectives import Objectives
from evo.population.scalars import json_scalars
from evo.space.filling import fill, supplement
from evo.space.space import Space
from evo.space.values import Params
from evo.space.written import read_value
from evo.storage.rundir import StudyRecord
from evo.study.config import Config
from evo.study.point_results import lacking, result_of
from evo.study.point_rows import PointForm, PointRow, PointSource, listed, read_points
from evo.study.starting_weights import start_points


class WarmStart(msgspec.Struct, frozen=True, kw_only=True):
    """What a search begins with, the same on all ranks.

    Args:
        points: The points to be evaluated first, complete, in order.
        known: The points whose results are known.
        notes: What to tell the user about them.
        time: The time at which the known ones enter the study, seconds since the epoch.
    """

    points: Sequence[Params] = ()
    known: Sequence[KnownPoint] = ()
    notes: Sequence[str] = ()
    time: float = 0.0


def agree_on_start(config: Config, space: Space, study: StudyRecord, transport: Transport) -> WarmStart:
    """What the search begins with, which the first rank reads for all.

    Args:
        config: The settings.
        space: What is searched.
        study: The study, whose seed draws what points lack.
        transport: The connection to the other ranks, which must call this too.

    Raises:
        SharedError: What `start_from` names cannot be read, or rows of the user's own are bad; the message names each.
    """
    given = start_points(config.start_from)
    if given is None:
        return WarmStart()

    def find() -> str:
        source = read_points(given, PointForm(names=space.names, objectives=study.objectives))
        found = fit_points(source, space, study)
        return msgspec.json.encode(msgspec.structs.replace(found, time=time.time())).decode()

    text = together(transport, lambda: find() if transport.rank == 0 else "")
    return msgspec.json.decode(transport.gather(text)[0], type=WarmStart)


def learn_known(worker: Worker, known: Sequence[KnownPoint], time: float) -> list[AnyEvent]:
    """Let a worker know the results that are known from elsewhere.

    Every worker does so by itself before any of them breeds, so that none evaluates one of these points again.

    Args:
        worker: The worker, which knows all journals.
        known: The points whose results are known.
        time: The time at which they enter the study, seconds since the epoch.

    Returns:
        The events that are to be recorded.
    """
    events: list[AnyEvent] = [*known_events(known, worker.population, time)]
    for event in events:
        worker.receive(event, time)
    return events


def fit_points(source: PointSource, space: Space, study: StudyRecord) -> WarmStart:
    """The points of a source as a search can use them.

    Args:
        source: The rows.
        space: What is searched.
        study: The study, with its seed and its objectives.

    Raises:
        UserError: Rows of the user's own are bad, or no result of another search fits.
    """
    points: list[Params] = []
    known: dict[bytes, KnownPoint] = {}
    bad: list[str] = []
    partial: Counter[str] = Counter()
    for number, row in enumerate(source.rows):
        try:
            params, found = (
                _read_params(space, row, study.objectives),
                result_of(row.loss, row.values, study.objectives),
            )
            if found is None:
                if lacks := lacking(row.values, study.objectives) if row.values or not source.is_own else ():
                    partial[lacks[0]] += 1
                if source.is_own:
                    points.append(complete_point(space, params, study.seed, number))
                continue
            point = _known_point(_complete_known(space, params), found, row)
        except UserError as error:
            bad.append(f"{row.where}: {error}")
            continue
        # Of several results of one point the lowest counts, as where two ranks have evaluated an individual.
        place = space.encode(point.params).tobytes()
        known[place] = min(known.get(place, point), point, key=lambda one: (one.violation, one.losses, one.loss))
    if bad and source.is_own:
        raise UserError(listed(bad))
    if not source.is_own and not known:
        raise UserError(
            f"{source.name} has no result that fits: {_left_out_text(source, bad, partial) or 'it is empty'}"
        )
    notes = _notes(source, len(known), _left_out_text(source, bad, partial), study.objective)
    return WarmStart(points=points, known=list(known.values()), notes=notes)


def _known_point(params: Params, found: FoundLosses, row: PointRow) -> KnownPoint:
    return KnownPoint(
        params=params,
        loss=found.loss,
        losses=found.losses,
        violation=found.violation,
        origin=row.origin,
        metrics=json_scalars({**row.metrics, **(found.values or {})}),
    )


def _read_params(space: Space, row: PointRow, objectives: Objectives) -> Params:
    """The parameters of a row, each as a value that its limit allows."""
    if row.problem:
        raise UserError(row.problem)
    values: Params = {}
    for name, given in row.params.items():
        if name not in space.parameters:
            if name == "loss" and objectives.modes:
                raise UserError(f"it has a loss, and this study has {objectives}: give the value of each by its name")
            meant = did_you_mean(name, [*space.names, *objectives.metrics])
            raise UserError(f"{name} is no parameter of this search{meant}; leave it out")
        try:
            values[name] = read_value(space.parameters[name], given)
        except UserError as error:
            raise UserError(f"{name} {error}") from None
    return values


def _complete_known(space: Space, params: Mapping[str, Any]) -> Params:
    """The whole point that a known result belongs to, where nothing may be drawn."""
    completed = fill(space, params)
    if completed is None:
        filled = supplement(space, params)
        absent = [gene.name for gene in space.genes if gene.name not in filled and gene.exists(filled)]
        raise UserError(f"it lacks {', '.join(absent)}: a result belongs to a complete point")
    return completed


def _notes(source: PointSource, known: int, rest: str, objective: str) -> list[str]:
    """What to tell the user, where some results are known; `rest` is what became of the other rows."""
    if not known:
        return [f"{source.name}: {rest}"] if "evaluated" in rest else []
    notes = [f"{source.name}: {known} results are known, and are not evaluated again{rest and f'; {rest}'}"]
    if source.objective and objective and source.objective != objective:
        notes.append(f"{source.name} has another objective, {source.objective}: its losses count as they are")
    return notes


def _left_out_text(source: PointSource, bad: Sequence[str], partial: Mapping[str, int]) -> str:
    """How many rows of another search are left out, and why, or how many of the user's own are evaluated all the same.

    Empty when there are none.
    """
    parts = [f"{count} {status}" for status, count in sorted(source.left_out.items())]
    lacks = [f"{count} that lack {name}" for name, count in sorted(partial.items())]
    if not source.is_own:
        parts += lacks
    if bad:
        parts.append(f"{len(bad)} that do not fit, for example {bad[0]}")
    told = [f"left out: {', '.join(parts)}"] if parts else []
    if source.is_own and lacks:
        told.append(f"evaluated: {', '.join(lacks)}")
    return "; ".join(told)
