"""What a study begins with: the defaults of all parameters, points that the user gives, and results that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from evo.errors import UserError
from evo.population.dominance import order_by_dominance
from evo.population.events import Finished, Started
from evo.population.individual import Known
from evo.population.population import Population
from evo.randomness import start_generator
from evo.space.filling import fill
from evo.space.space import Space
from evo.space.values import Params

# The number of attempts to draw the missing parameters of a point before it counts as impossible to complete.
_ATTEMPTS = 100
# The worker in whose name known individuals are recorded: the first, which every session has.
_RECORDER = 0


class KnownPoint(msgspec.Struct, frozen=True):
    """A point whose result is known from elsewhere.

    Args:
        params: All its active parameters.
        loss: Its loss, a finite number.
        origin: Where the result is known from, for people.
        metrics: What else is known of it, as JSON scalars.
        losses: Its losses, if there are several objectives; empty otherwise.
        violation: By how much it violates the bounds of metrics, at least 0.
    """

    params: Params
    loss: float
    origin: str
    metrics: dict[str, Any] = {}
    losses: tuple[float, ...] = ()
    violation: float = 0.0


def make_start_points(space: Space, given: Sequence[Mapping[str, Any]], seed: int) -> list[Params]:
    """The points that are tried first; the same whenever they are made.

    Args:
        space: The search space.
        given: The points of the user, in order; a missing parameter gets its default, or is drawn.
        seed: The seed of the study, not negative.

    Returns:
        The points in order. The first one has all defaults, if each of its active parameters has one.

    Raises:
        UserError: A point is not within the limits.
    """
    try:
        default = fill(space, {})
    except UserError as error:
        raise UserError(f"the defaults of the limits cannot be tried together: {error}") from error
    points = [] if default is None else [default]
    return points + [complete_point(space, point, seed, number) for number, point in enumerate(given)]


def complete_point(space: Space, given: Mapping[str, Any], seed: int, number: int) -> Params:
    """A point of the user with all its parameters; always the same.

    Args:
        space: The search space.
        given: The parameters that the user names; a missing one gets its default, or is drawn.
        seed: The seed of the study, not negative.
        number: The number of the point among those given, from 0.

    Raises:
        UserError: The point is not within the limits, or cannot be completed.
    """
    rng = start_generator(seed, number)
    problem: UserError | None = None
    for _ in range(_ATTEMPTS):
        try:
            completed = fill(space, given, rng)
        except UserError as error:
            problem = problem or error
        else:
            assert completed is not None
            return completed
    assert problem is not None
    raise problem


def known_events(known: Sequence[KnownPoint], population: Population, time: float) -> list[Started | Finished]:
    """The events by which known results enter a study: as individuals that were started, and have completed.

    They are dealt out to the islands, the best first, so that each island has its share and migration spreads the best,
    as with any other individuals. Every rank computes the same events, and one of them records them.

    Args:
        known: The points.
        population: What is known from the journals. A point that was tried before is left out, also when this is an
            earlier session that has recorded the same results.
        time: The time at which they enter, seconds since the epoch.
    """
    new = [point for point in known if not population.has_tried(point.params)]
    first = population.next_generation(_RECORDER)
    events: list[Started | Finished] = []
    for number, point in enumerate(_best_first(new)):
        identity = (_RECORDER, first + number)
        started = Started(
            time=time,
            individual=identity,
            island=number % population.islands,
            params=point.params,
            bred_by="known",
            origin=point.origin,
        )
        finished = Finished(
            time=time,
            individual=identity,
            status="completed",
            loss=point.loss,
            losses=point.losses,
            violation=point.violation,
            metrics=point.metrics,
            rank=_RECORDER,
        )
        events += [started, finished]
    return events


def _best_first(known: Sequence[KnownPoint]) -> list[KnownPoint]:
    """Known points by their violations, then by how good they are: by dominance if there are several objectives."""
    if not any(point.losses for point in known):
        return sorted(known, key=lambda one: (one.violation, one.loss))
    places = [
        Known(
            genome=np.zeros(0),
            identity=(_RECORDER, place),
            status="completed",
            loss=point.loss,
            losses=point.losses,
            violation=point.violation,
        )
        for place, point in enumerate(known)
    ]
    return [known[one.identity[1]] for one in order_by_dominance(places)]
