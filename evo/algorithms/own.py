"""Checks what a user's own algorithm proposes, and names the place in its code when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.frames import blamed, cut_off, definition_of, is_made_by_evo, representation
from evo.population.individual import Individual, Known
from evo.population.segments import Segment
from evo.propagators.base import PropagatorError
from evo.propagators.offspring import usable, usable_segment, why_no_name
from evo.space.space import Space

_LONGEST_RESULT = 100  # The number of characters of a wrong result that a message shows.


def checked_algorithm(algorithm: Algorithm) -> Algorithm:
    """The same algorithm with checked proposals; the algorithms of evo need no check."""
    return algorithm if is_made_by_evo(type(algorithm)) else CheckedAlgorithm(algorithm)


@final
@dataclass(frozen=True)
class CheckedAlgorithm(Algorithm):
    """A user's own algorithm, whose proposals a journal can hold.

    Args:
        own: The user's algorithm.
    """

    own: Algorithm

    @property
    def bred_by(self) -> str:
        kind = type(self.own)
        with blamed(f"algorithm {kind.__qualname__}.bred_by fails", PropagatorError, kind):
            name = self.own.bred_by
        if why := why_no_name(name):
            raise PropagatorError(f"algorithm {kind.__qualname__} ({definition_of(kind)}) has {why}")
        return name

    @property
    def first_segment(self) -> Segment | None:
        kind = type(self.own)
        with blamed(f"algorithm {kind.__qualname__}.first_segment fails", PropagatorError, kind):
            return usable_segment(self.own.first_segment)

    def __repr__(self) -> str:
        return representation(self.own)

    def start(self, setup: Setup) -> Learner:
        kind = type(self.own)
        with blamed(f"algorithm {kind.__qualname__}.start fails", PropagatorError, kind.start):
            learner: Any = self.own.start(setup)
        if not isinstance(learner, Learner):
            _refuse(kind.start, learner, "it must return an evo.algorithms.Learner")
        return _CheckedLearner(learner, setup.space)


class _CheckedLearner(Learner):
    def __init__(self, own: Learner, space: Space) -> None:
        self._own = own
        self._space = space

    def learn(self, individual: Known, loss: float | None) -> None:
        kind = type(self._own)
        with blamed(f"algorithm {kind.__qualname__}.learn fails", PropagatorError, kind.learn):
            self._own.learn(individual, loss)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        propose = type(self._own).propose
        what = f"algorithm {type(self._own).__qualname__}.propose fails"
        with blamed(what, PropagatorError, propose):
            candidates: Any = self._own.propose(view, rng)
        if not hasattr(candidates, "__iter__"):
            _refuse(propose, candidates, "it must yield individuals, or return some in a list")
        candidates = iter(candidates)
        while True:
            with blamed(what, PropagatorError, propose):
                candidate: Any = next(candidates, None)
            if candidate is None:
                return
            if not isinstance(candidate, Individual):
                _refuse(propose, candidate, "it must yield individuals")
            try:
                yield usable(candidate, self._space)
            except ValueError as error:
                raise PropagatorError(
                    f"algorithm {propose.__qualname__} ({definition_of(propose)}) proposed an individual with {error}"
                ) from error


def _refuse(method: Any, returned: Any, rule: str) -> NoReturn:
    shown = cut_off(representation(returned), _LONGEST_RESULT)
    raise PropagatorError(f"algorithm {method.__qualname__} ({definition_of(method)}) returned {shown}: {rule}")
