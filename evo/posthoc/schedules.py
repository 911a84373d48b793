"""Trainings that are done segment after segment: the plan of one, from a lineage or from a YAML file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evo.errors import UserError
from evo.population.identity import Identity
from evo.randomness import segment_seed
from evo.report.lineages import LineageSegment
from evo.space.filling import supplement
from evo.space.mutability import is_mutable
from evo.space.space import Space
from evo.space.values import Params, plain, why_no_value
from evo.study.traps import check_values

_KEY, _COMMENT = "schedule", "# "
_SHAPE = "a list of {until: STEP, params: {NAME: VALUE, …}}"
_FIRST = re.compile(r"^# schedule:\s*$", re.MULTILINE)
_MOST_STEPS, _SEEDS = 2**53, 2**32


class PlannedSegment(NamedTuple):
    """A part of a training that is to be done.

    Args:
        until: The step at which it ends, counted from the beginning of the training.
        params: All its parameters.
        individual: The identity by which its training is called.
    """

    until: int
    params: Params
    individual: Identity = (0, 0)


class TrainingPlan(NamedTuple):
    """A training that is to be done, segment after segment.

    Args:
        segments: The segments in their order, at least one; each goes on from the state that the one before has left.
        seed: The seed of the training; None where the file names none.
    """

    segments: Sequence[PlannedSegment]
    seed: int | None = None


def planned(lineage: Sequence[LineageSegment]) -> list[PlannedSegment]:
    """A lineage as it is to be trained again."""
    return [PlannedSegment(segment.until, segment.params, segment.individual) for segment in lineage]


def segment_seeds(seed: int, plan: TrainingPlan) -> list[int]:
    """The seeds of all segments of a training that is done with one seed.

    Args:
        seed: The seed of the training.
        plan: The training.
    """
    begins = [0, *(segment.until for segment in plan.segments)]
    return [segment_seed(seed, begin) for begin in begins[:-1]]


def read_plan(text: str, what: str) -> TrainingPlan:
    """The schedule in a YAML file: in its comments, as `evo best --yaml` writes it, or under the key schedule.

    Args:
        text: The content of the file.
        what: The name of the file, for messages.

    Raises:
        UserError: There is none, or it is not one.

    Example:
        >>> read_plan("schedule: [{until: 2, params: {lr: 0.1}}, {until: 4, params: {lr: 0.05}}]", "a.yaml").segments[1]
        PlannedSegment(until=4, params={'lr': 0.05}, individual=(0, 1))
    """
    from jsonargparse import get_loader

    found = _FIRST.search(text)
    if found:
        lines = text[found.start() :].splitlines()
        end = next((place for place, line in enumerate(lines) if not line.startswith(_COMMENT)), len(lines))
        text = "\n".join(line.removeprefix(_COMMENT) for line in lines[:end])
    try:
        loaded = get_loader("yaml")(text)
    except Exception as error:  # Each loader has errors of its own.
        raise UserError(f"{what} is not valid YAML: {' '.join(str(error).split())}") from None
    check_values(text, what=what)
    if not isinstance(loaded, Mapping) or _KEY not in loaded:
        raise UserError(f"{what} holds no schedule: evo best RUN --yaml writes one, {_SHAPE}")
    listed, seed = loaded[_KEY], loaded.get("seed")
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{what}: schedule is {_short(listed)}: it must be {_SHAPE}, at least one")
    if not (seed is None or _is_whole(seed, 0, _SEEDS - 1)):
        raise UserError(f"{what}: seed is {_short(seed)}: it must be a whole number from 0 to {_SEEDS - 1}")
    segments: list[PlannedSegment] = []
    for number, given in enumerate(listed, 1):
        before = segments[-1].until if segments else 0
        segment = _segment(given, f"{what}: part {number} of the schedule", before)
        segments.append(segment._replace(individual=(0, number - 1)))
    return TrainingPlan(segments, seed)


def checked_plan(plan: TrainingPlan, limits: Mapping[str, Any], what: str) -> TrainingPlan:
    """A plan with values as a study has them, once it is sure that it can be a training of that study.

    Args:
        plan: The plan, with values as a user writes them: whole numbers for real ones, none where there is a default.
        limits: The limits of the study.
        what: The name of the plan, for messages.

    Raises:
        UserError: A parameter is missing, unknown, or out of its limits, or changes although it is not mutable.

    Example:
        >>> plan = TrainingPlan([PlannedSegment(2, {"optimizer.lr": 1}), PlannedSegment(4, {"optimizer.lr": 0.5})])
        >>> [part.params for part in checked_plan(plan, {"optimizer.lr": (0.0, 1.0)}, "schedule a.yaml").segments]
        [{'optimizer.lr': 1.0}, {'optimizer.lr': 0.5}]
    """
    space, segments = Space(limits), list[PlannedSegment]()
    for number, given in enumerate(plan.segments, 1):
        part = f"{what}: part {number} of the schedule"
        segment = given._replace(params=supplement(space, given.params))
        try:
            space.encode(segment.params)
        except UserError as error:
            raise UserError(f"{part}: {error}") from None
        segments.append(segment)
        for name, parameter in space.parameters.items():
            value, first = segment.params.get(name), segments[0].params.get(name)
            if value != first and not is_mutable(name, parameter):
                raise UserError(
                    f"{part} has {name!r} {_short(value)}, which is {_short(first)} in part 1, but may not change in a "
                    "training: give all parts the same value"
                )
    return plan._replace(segments=segments)


def plan_digest(plan: TrainingPlan) -> str:
    """A few letters that tell plans apart: 8 hexadecimal digits.

    Args:
        plan: The plan.
    """
    content = json.dumps([[[one.until, one.params] for one in plan.segments], plan.seed])
    return hashlib.blake2b(content.encode(), digest_size=4).hexdigest()


def _segment(given: Any, what: str, before: int) -> PlannedSegment:
    if not isinstance(given, Mapping) or set(given) != {"until", "params"}:
        raise UserError(f"{what} is {_short(given)}: it must be {{until: STEP, params: {{NAME: VALUE, …}}}}")
    until, params = given["until"], given["params"]
    if not _is_whole(until, before + 1, _MOST_STEPS):
        raise UserError(f"{what} has until {_short(until)}: it must be a whole number above {before}, where it begins")
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise UserError(f"{what} has params {_short(params)}: they must be names with values")
    values: Params = plain(params)
    for name, value in values.items():
        if problem := why_no_value({name: value}):
            raise UserError(f"{what}: {name!r} is {_short(value)}: {problem}")
    return PlannedSegment(until, values)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
