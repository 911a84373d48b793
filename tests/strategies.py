"""Hypothesis strategies: limits of every kind, genomes that a propagator might return, records."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Joined,
    Judged,
    Migrated,
    Pollinated,
    Reported,
    Retired,
    Skipped,
    Started,
)
from evo.population.reason import StopKind
from evo.space.limits import Choice, Float, Int, identical
from evo.space.values import key

# Texts that JSON can hold, without lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = texts.filter(bool)
finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**63) + 1, 2**63 - 1)
scalars = texts | finite | whole | st.booleans() | st.none()

# Ordinary bounds, and those where rounding is at its worst.
_ends = st.sampled_from([0.0, -0.0, 1e-300, 1e-9, 0.1, 1 / 3, 1.0, -1.0, 1e9, -1e15, 1e300, -8.9e307, 8.9e307]) | finite
_positive_ends = st.sampled_from([5e-324, 1e-300, 1e-5, 0.1, 1.0, 3.0, 1e300]) | st.floats(5e-324, 8.9e307)


@st.composite
def _floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    one, other = draw(st.tuples(*[_positive_ends if log else _ends] * 2).filter(_is_wide))
    return Float(one, other, log=log)


@st.composite
def _stepped_floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*[_positive_ends if log else _ends] * 2).filter(_is_wide)))
    least = max(high - low, abs(low), abs(high)) / 2**39
    step = draw(st.sampled_from([0.1, 0.25, 1 / 3, 1.0, 1e-3]) | st.floats(least, high - low))
    assume(least <= step <= high - low)
    return Float(low, high, log=log, step=step)


def _is_wide(ends: tuple[float, float]) -> bool:
    width = abs(ends[0] - ends[1])
    return math.isfinite(width) and width >= max(1e-300, 1e-6 * max(map(abs, ends)))


@st.composite
def _ints(draw: st.DrawFn) -> Int:
    log = draw(st.booleans())
    cells = draw(st.integers(2, 20) | st.integers(2, 2**40 - 1))
    step = draw(st.integers(1, 3) | st.integers(1, (2**63 - 1) // cells))
    reach = step * (cells - 1)
    # On a log scale, neither end may be further from zero than 2**40 steps.
    furthest = min(2**63 - 1, step * (2**40 - 1)) if log else 2**63 - 1
    low = draw(st.integers(1 if log else -furthest, furthest - reach))
    ends = (low, low + reach + draw(st.integers(0, min(step - 1, furthest - low - reach))))
    return Int(*draw(st.permutations(ends)), log=log, step=step)


@st.composite
def _choices(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Choice:
    return Choice(draw(st.lists(values, min_size=1, max_size=5, unique_by=key)))


def _plain(parameter: Float | Int | Choice) -> Any:
    """A parameter as a tuple, if a tuple can say the same."""
    if isinstance(parameter, Choice):
        numbers = parameter.ordered and len(parameter.values) > 2
        same_type = len({type(value) for value in parameter.values}) == 1
        of_types = type(parameter.values[0]) in (str, bool, list)
        return parameter.values if numbers or (same_type and of_types) else parameter
    plain = parameter.step is None if isinstance(parameter, Float) else parameter.step == 1
    return (parameter.low, parameter.high) if plain and not parameter.log else parameter


_alike = st.sampled_from([0, 1, 0.0, 1.0, False, True, "0", "1", None])  # Python takes several of these for equal.
_lists = st.lists(st.integers(1, 3) | texts | st.lists(st.booleans(), max_size=2), max_size=3)
values = scalars | _lists | st.dictionaries(texts, scalars | _lists, max_size=2)
parameters = (
    _floats()
    | _stepped_floats()
    | _ints()
    | _choices(scalars)
    | _choices(_alike)
    | _choices(whole | finite)
    | _choices(texts)
    | _choices(_lists)
    | _choices(values)
)
finite_parameters = (
    _choices(scalars) | _choices(_lists) | st.builds(Int, st.integers(1, 2), st.integers(3, 6), log=st.booleans())
)


def _some_value(draw: st.DrawFn, parent: Int | Choice) -> Any:
    if isinstance(parent, Choice):
        return draw(st.sampled_from(parent.values))
    low, high = sorted((parent.low, parent.high))
    return low + parent.step * draw(st.integers(0, (high - low) // parent.step))


@st.composite
def limits(draw: st.DrawFn, kinds: st.SearchStrategy[Float | Int | Choice] = parameters) -> dict[str, Any]:
    """Limits of one to six parameters of all kinds, some of which exist only for some values of others."""
    drawn = draw(st.dictionaries(names, kinds, min_size=1, max_size=6))
    made: dict[str, Any] = {}
    for name, parameter in drawn.items():
        possible = [parent for parent in made if not isinstance(drawn[parent], Float)]
        when: dict[str, Any] = {}
        for parent in draw(st.lists(st.sampled_from(possible), max_size=2, unique=True)) if possible else []:
            values = [_some_value(draw, drawn[parent]) for _ in range(draw(st.integers(1, 3)))]
            when[parent] = values if len(values) > 1 else values[0]
        made[name] = _with(parameter, when) if when else _plain(parameter) if draw(st.booleans()) else parameter
    # A parameter may be named before those that it depends on.
    return dict(draw(st.permutations(list(made.items()))))


def _with(parameter: Float | Int | Choice, when: dict[str, Any]) -> Float | Int | Choice:
    if isinstance(parameter, Choice):
        return Choice(parameter.values, when=when)
    fields = {name: getattr(parameter, name) for name in type(parameter).__dataclass_fields__}
    return type(parameter)(**{**fields, "when": when})


# Genes that a propagator may return: in the range or not, infinite, missing.
genes = st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, -1e308, 3.0]) | st.floats()

identities = st.tuples(st.integers(0, 7), st.integers(0, 2**40))
_metrics = st.dictionaries(texts, scalars, max_size=3)
_times = st.floats(0, 1e10)
_outcomes = st.one_of(
    st.tuples(st.just("completed"), finite),
    st.tuples(st.just("pruned"), st.none() | finite),
    st.tuples(st.sampled_from(["infeasible", "failed", "interrupted"]), st.none()),
)

events: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(Joined, time=_times, rank=whole, ranks=whole, host=texts, device=texts),
    st.builds(
        Started,
        time=_times,
        individual=identities,
        island=st.integers(0, 9),
        params=st.dictionaries(texts, values, max_size=4),
        rank=st.none() | st.integers(0, 7),
        strategy=st.dictionaries(texts, scalars | st.lists(finite, max_size=3), max_size=2),
        parents=st.lists(identities, max_size=3).map(tuple),
        bred_by=texts,
    ),
    st.builds(
        Judged,
        time=_times,
        individual=identities,
        rung=whole,
        stop=st.booleans(),
        value=finite,
        threshold=st.none() | finite,
        among=whole,
    ),
    st.builds(Reported, time=_times, individual=identities, step=whole, loss=finite),
    _outcomes.flatmap(
        lambda outcome: st.builds(
            Finished,
            time=_times,
            individual=identities,
            status=st.just(outcome[0]),
            loss=st.just(outcome[1]),
            seconds=_times,
            rank=st.integers(0, 7),
            host=texts,
            device=texts,
            metrics=_metrics,
            error=texts,
            traceback=texts,
        )
    ),
    st.builds(Retired, time=_times, individual=identities, island=st.integers(0, 9)),
    st.builds(Migrated, time=_times, individual=identities, island=st.integers(0, 9), move=whole),
    st.builds(Pollinated, time=_times, individual=identities, island=st.integers(0, 9)),
    st.builds(Skipped, time=_times, individual=identities),
    st.builds(Died, time=_times, rank=whole, heir=whole),
    st.builds(Done, time=_times, rank=whole, reason=texts, kind=st.none() | st.sampled_from(StopKind)),
)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of parameters have the same names in the same order and the very same values: 1 is not 1.0."""
    return list(one) == list(other) and all(identical(one[name], other[name]) for name in one)
