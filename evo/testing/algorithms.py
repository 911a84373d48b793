"""The contract of algorithms that learn, for tests of your own.

`check_algorithm` checks all of it. To see in the name of a failed test which rule is broken, run each check of
`CONTRACT` in each space of `SPACES`, for example with `pytest.mark.parametrize`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeAlias

import numpy as np

from evo.algorithms.base import Algorithm, Learner, View
from evo.population.individual import Individual, Known
from evo.population.objectives import ONE_LOSS
from evo.propagators.offspring import usable, why_no_name
from evo.space.limits import Choice, Float, Int
from evo.space.space import Genome, Space
from evo.testing import propagators
from evo.testing.searches import (
    TWO_LOSSES,
    Told,
    VirtualSearch,
    changed,
    completed,
    copied,
    distance_to_a_point,
    failed,
    mixed_fronts,
    mixed_outcomes,
)

SPACES: Mapping[str, Space] = {
    **propagators.SPACES,
    "constrained": Space({"x": (-1.0, 1.0), "y": (1, 30), "z": ("a", "b", "c")}, "x + y / 30 < 1.2"),
    "dependent": Space({"low": Float(1e-4, 1e-1, log=True), "high": Float("low", 1.0, log=True), "n": (1, 9)}),
    "depth": Space(
        {"layers": (1, 9), "width": Int(1, 64, log=True), "kind": Choice("a", "b", when={"layers": [8, 9]})}
    ),
    "one float": Space({"x": (0.0, 1.0)}),
    "one switch": Space({"x": Choice(False, True)}),
    "constants": Space({"x": 3, "y": (0.0, 1.0), "z": (1, 4)}),
}
"""Small spaces with parameters of every kind, also constrained and tiny ones, by name."""

_SHORT, _LONG = 40, 150  # The number of evaluations of a search in a check.
_WORKERS = (1, 8)
_SEEDS, _BETTER = 4, 3  # A search is better than a random one with so many of so many seeds.
_LONGEST_STRATEGY, _FOR_EACH_GENE = 4_000, 200  # Characters of a strategy in JSON, since all are journalled.
_ROUNDING = 1e-6  # Candidates that are nearer than this are the same, since losses are rounded when they are scaled.

AlgorithmCheck: TypeAlias = Callable[[Algorithm, Space], None]


def check_algorithm(algorithm: Algorithm, space: Space | None = None) -> None:
    """Make sure that an algorithm keeps the contract.

    Args:
        algorithm: The algorithm.
        space: The search space. None means each of `SPACES`.

    Raises:
        AssertionError: The algorithm breaks a rule; the message says which one, and in which space.

    Example:
        >>> from evo.algorithms.regularized import RegularizedEvolution
        >>> check_algorithm(RegularizedEvolution(), SPACES["one float"])
    """
    for each in SPACES.values() if space is None else [space]:
        for check in CONTRACT:
            check(algorithm, each)


def proposes_what_can_be_tried_and_journalled(algorithm: Algorithm, space: Space, several: bool = False) -> None:
    """Each candidate can be completed within the limits, and a journal can hold its strategy and name."""
    name = why_no_name(algorithm.bred_by) or ("" if algorithm.bred_by else "bred_by is empty: it must be a name")
    _assume(not name, name, algorithm, space)
    for workers in _WORKERS:
        search = _search(algorithm, space, several, workers, budget=2 * _SHORT)
        for _ in range(_SHORT):
            _check_candidates(islice(search.candidates(), 3), algorithm, space)
            search.run(1)


def proposes_the_same_when_told_the_same(algorithm: Algorithm, space: Space, several: bool = False) -> None:
    """One that is told everything again, as a journal gives it back, proposes the same as the one that has searched.

    So it has no other source of randomness, and what it has learnt depends on nothing but what it was told.
    """
    for workers in _WORKERS:
        search = _search(algorithm, space, several, workers, budget=2 * _SHORT)
        for _ in range(3):
            search.run(_SHORT // 3)
            again = search.started_anew()
            for known, loss in search.told:
                again.learn(changed(known, strategy=copied(known.strategy)), loss)
            before, after = _proposals(search.learner, search.view), _proposals(again, search.view)
            otherwise = "it proposes something else after it was told everything again"
            _assume(_as_text(before) == _as_text(after), otherwise, algorithm, space)


def learns_nothing_from_what_it_only_proposes(algorithm: Algorithm, space: Space, several: bool = False) -> None:
    """However often it is asked between two individuals, it proposes the same afterwards."""
    search = _search(algorithm, space, several)
    asked, other = search.started_anew(), search.started_anew()
    search.run(_SHORT)
    for known, loss in search.told:
        _proposals(asked, search.view, count=3)
        for learner in (asked, other):
            learner.learn(known, loss)
    once, twice = _proposals(asked, search.view), _proposals(asked, search.view)
    _assume(_as_text(once) == _as_text(twice), "it proposes something else for an equal generator", algorithm, space)
    same = _as_text(once) == _as_text(_proposals(other, search.view))
    _assume(same, "it proposes something else when it was asked more often before", algorithm, space)


def never_writes_what_it_learns_from(algorithm: Algorithm, space: Space) -> None:
    """It reads the genomes and strategies of individuals, but never writes them."""
    outcome, before = mixed_outcomes(space), list[str]()

    def writeable(known: Known) -> Told:
        ended, loss = outcome(known)
        ended = changed(ended, genome=ended.genome.copy())
        before.extend(_as_text([ended]))
        return ended, loss

    search = VirtualSearch(algorithm, space, writeable, workers=8)
    search.run(_SHORT)
    after = _as_text(known for known, _ in search.told)
    _assume(after == before, "it writes genomes or strategies of individuals", algorithm, space)


def copes_with_whatever_it_is_told(algorithm: Algorithm, space: Space, several: bool = False) -> None:
    """Nothing at all, failures, ties, huge losses, one point again and again, strategies of others, and any order."""
    search = _search(algorithm, space, several)
    search.run(_SHORT)
    told = search.told
    knowns = [known for known, _ in told]
    strategies = [known.strategy for known in reversed(knowns)]
    numbered = list(enumerate(told))
    others = [changed(known, strategy=other) for known, other in zip(knowns, strategies, strict=True)]
    cases: dict[str, list[Told]] = {
        "nothing": [],
        "failures only": [failed(known) for known in knowns],
        "equal losses": [_with_losses(known, 7.0) for known in knowns],
        "huge losses": [_with_losses(known, (-1.0) ** place * 1e308) for place, known in enumerate(knowns)],
        "violations only": [(changed(known, violation=1.0 + place % 3), loss) for place, (known, loss) in numbered],
        "one point again and again": [(changed(known, genome=knowns[0].genome), loss) for known, loss in told],
        "no strategies": [(changed(known, strategy={}), loss) for known, loss in told],
        "strategies that belong to others": [(other, loss) for other, (_, loss) in zip(others, told, strict=True)],
        "the latest first": told[::-1],
    }
    for name, case in cases.items():
        learner = search.started_anew()
        try:
            for known, loss in case:
                learner.learn(known, loss)
            _check_candidates(_proposals(learner, View(used=len(case), left=9), count=20), algorithm, space)
        except Exception as error:
            raise AssertionError(f"told {name}, {algorithm!r} does not cope in {space.describe()}") from error


def proposes_the_same_when_losses_are_scaled_and_shifted(
    algorithm: Algorithm, space: Space, several: bool = False
) -> None:
    """What counts is which losses are lower, and by what share of their range: not their unit, nor where zero is."""
    search = _search(algorithm, space, several, workers=8)
    search.run(_SHORT)
    for factor, shift in ((1024.0, -512.0), (1 / 1024, 4.0)):  # Exact, so that they add no rounding errors.
        plain, scaled = search.started_anew(), search.started_anew()
        rescaled = {
            known.identity: changed(
                known,
                loss=None if known.loss is None else factor * known.loss + shift,
                losses=tuple(factor * loss + shift for loss in known.losses),
            )
            for known, _ in search.told
        }
        for known, loss in search.told:
            plain.learn(known, loss)
            scaled.learn(rescaled[known.identity], None if loss is None else factor * loss + shift)
        view = search.view
        other = replace(view, active=[rescaled[one.identity] for one in view.active])
        pairs = zip(_proposals(plain, view), _proposals(scaled, other), strict=True)
        same = all(np.allclose(a.genome, b.genome, 0, _ROUNDING, equal_nan=True) for a, b in pairs)
        otherwise = f"it proposes something else when each loss is {factor:g} times as high, plus {shift:g}"
        _assume(same, otherwise, algorithm, space)


def searches_better_than_at_random(algorithm: Algorithm, space: Space) -> None:
    """With one worker and with several, its best point is mostly nearer to the optimum than the best random one."""
    better = 0
    for seed in range(_SEEDS):
        loss = distance_to_a_point(space, seed)
        rng = np.random.default_rng([seed, 1])
        drawn = [space.encode(space.complete(space.sample(rng), rng)) for _ in range(_LONG)]
        search = VirtualSearch(
            algorithm, space, partial(_measured, loss), workers=_WORKERS[seed % len(_WORKERS)], seed=seed, budget=_LONG
        )
        search.run(_LONG)
        better += min(one.loss for one in search.view.active if one.loss is not None) <= min(map(loss, drawn))
    otherwise = f"its best of {_LONG} points is as good as the best random one with {better} of {_SEEDS} seeds only"
    _assume(better >= _BETTER, otherwise, algorithm, space)


def keeps_the_contract_with_two_objectives(algorithm: Algorithm, space: Space) -> None:
    """One that takes several objectives keeps it with two losses and violations, too."""
    if not algorithm.takes_several:
        return
    for check in (
        proposes_what_can_be_tried_and_journalled,
        proposes_the_same_when_told_the_same,
        learns_nothing_from_what_it_only_proposes,
        copes_with_whatever_it_is_told,
        proposes_the_same_when_losses_are_scaled_and_shifted,
    ):
        check(algorithm, space, several=True)


CONTRACT: Sequence[AlgorithmCheck] = (
    proposes_what_can_be_tried_and_journalled,
    proposes_the_same_when_told_the_same,
    learns_nothing_from_what_it_only_proposes,
    never_writes_what_it_learns_from,
    copes_with_whatever_it_is_told,
    proposes_the_same_when_losses_are_scaled_and_shifted,
    keeps_the_contract_with_two_objectives,
    searches_better_than_at_random,
)
"""All checks; each takes an algorithm and a space, and raises an AssertionError."""


def _search(
    algorithm: Algorithm, space: Space, several: bool, workers: int = 1, budget: float = np.inf
) -> VirtualSearch:
    outcome, objectives = (mixed_fronts(space), TWO_LOSSES) if several else (mixed_outcomes(space), ONE_LOSS)
    return VirtualSearch(algorithm, space, outcome, workers=workers, budget=budget, objectives=objectives)


def _with_losses(known: Known, loss: float) -> Told:
    """One that has completed with this loss, which is that of each objective."""
    ended, counted = completed(known, loss)
    return changed(ended, losses=(loss,) * len(known.losses)), counted


def _measured(loss: Callable[[Genome], float], known: Known) -> Told:
    return completed(known, loss(known.genome))


def _proposals(learner: Learner, view: View, count: int = 5) -> list[Individual]:
    """The first two candidates for each of several generators."""
    seeds = range(count)
    return [one for seed in seeds for one in islice(learner.propose(view, np.random.default_rng([seed, 5])), 2)]


def _as_text(individuals: Iterable[Individual]) -> list[str]:
    return [
        f"{one.genome.tobytes().hex()} {json.dumps(one.strategy)} {one.bred_by} {one.segment}" for one in individuals
    ]


def _check_candidates(candidates: Iterable[Individual], algorithm: Algorithm, space: Space) -> None:
    rng = np.random.default_rng(0)
    for bred in candidates:
        try:
            usable(bred, space)
        except ValueError as error:
            _assume(False, f"it proposes an individual with {error}", algorithm, space)
        params = space.complete(bred.genome, rng)
        known = space.decode(space.encode(params))
        _assume(known == params, f"{params} comes back as {known}", algorithm, space)
        longest = _LONGEST_STRATEGY + _FOR_EACH_GENE * len(space)
        length = len(json.dumps(bred.strategy))
        _assume(length <= longest, f"a strategy of {length} characters is too long to journal", algorithm, space)


def _assume(holds: bool, otherwise: str, algorithm: Algorithm, space: Space) -> None:
    if not holds:
        raise AssertionError(f"{algorithm!r} breaks the contract of algorithms where {space.describe()}: {otherwise}")
