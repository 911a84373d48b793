"""Trainings that were divided into segments: the lineage of an individual, and its schedule of hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from evo.population.identity import Identity, individual_name
from evo.report.columns import columns_text
from evo.report.records import Evaluation
from evo.space.values import Params

_MOST_NAMES = 5


class LineageSegment(msgspec.Struct, frozen=True, kw_only=True):
    """One segment of the training that has led to an individual.

    Args:
        individual: The individual whose evaluation it was.
        begin: The step from which it went on; 0 where the training begins.
        until: The step at which the next segment goes on, or at which the last one has ended. Of an individual that has
            left no state, it is the step until which it was to go.
        params: The parameters of that individual.
        loss: Its loss; None if it has none.
    """

    individual: Identity
    begin: int
    until: int
    params: Params
    loss: float | None = None

    @property
    def name(self) -> str:
        """The name of the individual: rank-generation."""
        return individual_name(self.individual)


class SchedulePart(NamedTuple):
    """Steps of a training for which no parameter changes.

    Args:
        begin: The first of them, counted from 0.
        until: The step after the last of them.
        params: The values of the parameters that change in the course of the training; absent ones were inactive.
    """

    begin: int
    until: int
    params: Params


class Schedule(NamedTuple):
    """The hyperparameters of a training over its steps.

    Args:
        constant: The parameters that stay.
        parts: What the others are, part by part, of which neighbouring ones differ; if none changes, there is one part
            without parameters.
    """

    constant: Params
    parts: Sequence[SchedulePart]


def lineage_of(one: Evaluation, individuals: Mapping[Identity, Evaluation]) -> list[LineageSegment]:
    """The segments of the training that has led to an individual, from the beginning of the training to its own.

    Args:
        one: The individual.
        individuals: All individuals of the study.

    Returns:
        The segments in their order; none for a whole training. The first one begins after step 0 if its donor is not
        known, since a damaged journal has lost it.

    Example:
        >>> from evo.population.segments import Donor, Segment
        >>> first = Evaluation(individual=(0, 1), params={"lr": 0.1}, loss=2.0, segment=Segment(until=2))
        >>> after = Segment(until=4, donor=Donor(individual=(0, 1), step=2, digest=""))
        >>> second = Evaluation(individual=(0, 5), params={"lr": 0.05}, loss=1.0, segment=after)
        >>> [(each.name, each.begin, each.until) for each in lineage_of(second, {(0, 1): first})]
        [('0-1', 0, 2), ('0-5', 2, 4)]
    """
    found: list[LineageSegment] = []
    follows: Evaluation | None = one
    until = None if one.state is None else one.state.step
    known: set[Identity] = set()
    # A journal that somebody has written by hand may name an individual as its own ancestor.
    while follows is not None and follows.segment is not None and follows.individual not in known:
        known.add(follows.individual)
        segment = follows.segment
        found.append(
            LineageSegment(
                individual=follows.individual,
                begin=segment.begin,
                until=segment.until if until is None else until,
                params=follows.params,
                loss=follows.loss,
            )
        )
        until = segment.begin
        follows = individuals.get(segment.donor.individual) if segment.donor else None
    return found[::-1]


def find_lineage(one: Evaluation, individuals: Iterable[Evaluation]) -> list[LineageSegment]:
    """The same from a list of all individuals; see `lineage_of`."""
    if one.segment is None:
        return []
    return lineage_of(one, {each.individual: each for each in individuals})


def schedule_of(lineage: Sequence[LineageSegment]) -> Schedule:
    """The hyperparameters over the steps of a training.

    Args:
        lineage: Its segments, at least one, in their order.

    Example:
        >>> parts = [(0, 2, 0.1), (2, 4, 0.1), (4, 6, 0.05)]
        >>> made = [LineageSegment(individual=(0, n), begin=begin, until=until, params={"lr": lr, "width": 8})
        ...         for n, (begin, until, lr) in enumerate(parts)]
        >>> schedule_of(made).constant
        {'width': 8}
        >>> [tuple(part) for part in schedule_of(made).parts]
        [(0, 4, {'lr': 0.1}), (4, 6, {'lr': 0.05})]
    """
    names = dict.fromkeys(name for segment in lineage for name in segment.params)
    changing = [name for name in names if len({_written(segment.params, name) for segment in lineage}) > 1]
    parts: list[SchedulePart] = []
    for segment in lineage:
        params = {name: segment.params[name] for name in changing if name in segment.params}
        if parts and all(_written(parts[-1].params, name) == _written(params, name) for name in changing):
            parts[-1] = parts[-1]._replace(until=segment.until)
        else:
            parts.append(SchedulePart(segment.begin, segment.until, params))
    return Schedule({name: lineage[-1].params[name] for name in names if name not in changing}, parts)


def _written(params: Params, name: str) -> str:
    """A value that can be compared: 1, 1.0 and True are three."""
    return repr(params[name]) if name in params else ""


def steps_text(begin: int, until: int) -> str:
    """Steps of a training, from one to the step after the last.

    Example:
        >>> steps_text(4, 6)
        '4-6'
    """
    return f"{begin}-{until}"


def changing_names(schedule: Schedule) -> list[str]:
    """The names of the parameters that change in the course of a training."""
    return list(dict.fromkeys(name for part in schedule.parts for name in part.params))


def schedule_rows(schedule: Schedule) -> list[list[Any]]:
    """The parts of a schedule as the rows of a table: the steps, then the values of `changing_names`.

    None stands for a parameter that was inactive.
    """
    names = changing_names(schedule)
    return [[steps_text(part.begin, part.until), *(part.params.get(name) for name in names)] for part in schedule.parts]


def schedule_text(schedule: Schedule) -> str:
    """What changes in the course of a training, as a table with a line for each part; empty if nothing does.

    Example:
        >>> print(schedule_text(Schedule({}, [SchedulePart(0, 4, {"lr": 0.1}), SchedulePart(4, 12, {"lr": 0.05})])))
        steps  lr
        0-4    0.1
        4-12   0.05
    """
    names = changing_names(schedule)
    if not names:
        return ""
    rows = [["" if value is None else str(value) for value in row] for row in schedule_rows(schedule)]
    return columns_text([["steps", *names], *rows])


def names_text(lineage: Sequence[LineageSegment]) -> str:
    """Who has trained what, in one line, the first segments left out where there are many.

    Example:
        >>> parts = [((0, 1), 0, 2), ((1, 4), 2, 4)]
        >>> names_text([LineageSegment(individual=one, begin=a, until=b, params={}) for one, a, b in parts])
        '0-1 to step 2, 1-4 to step 4'
    """
    shown = [f"{segment.name} to step {segment.until}" for segment in lineage[-_MOST_NAMES:]]
    left_out = len(lineage) - len(shown)
    return ", ".join([f"{left_out} segment{'s' * (left_out > 1)} before", *shown] if left_out else shown)
