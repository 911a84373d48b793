"""Genomes and parameters: one becomes the other and back, exactly, in every space."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import strategies
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import same

from evo.population.events import Started, decode, encode
from evo.space.limits import Choice, Float, Int, identical
from evo.space.space import Space

MIXED = {
    "lr": (0.01, 0.0001),
    "momentum": Float(0.5, 0.99, when={"optimizer": "sgd"}),
    "optimizer": ("sgd", "adam", "rmsprop"),
    "layers": (1, 4),
    "width": Int(8, 512, log=True, when={"layers": [2, 3, 4]}),
    "activation": Choice("relu", None, True, 1, 1.0),
}


def completed(space: Space, data: st.DataObject) -> dict[str, Any]:
    """The parameters of whatever a propagator might return."""
    genome = np.array([data.draw(strategies.genes) for _ in range(len(space))])
    return space.complete(genome, np.random.default_rng(data.draw(st.integers(0, 9))))


def sampled(limit: Any, count: int) -> list[Any]:
    space, rng = Space({"x": limit}), np.random.default_rng(7)
    return [space.complete(space.sample(rng), rng)["x"] for _ in range(count)]


def chi_square(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 for count in counts) / expected


@given(limits=strategies.limits(), data=st.data())
def test_what_is_encoded_is_decoded_to_the_same_values_and_types(limits: dict[str, Any], data: st.DataObject) -> None:
    space = Space(limits)
    params = completed(space, data)
    genome = space.encode(params)
    decoded = space.decode(genome)
    assert same(decoded, params)
    assert repr(decoded) == repr(params)  # Which tells -0.0 from 0.0.
    assert space.encode(decoded).tobytes() == genome.tobytes()
    assert same(space.complete(genome, np.random.default_rng(0)), params)


@given(limits=strategies.limits(), data=st.data())
def test_completed_parameters_are_within_limits_on_the_grid_and_without_the_inactive(
    limits: dict[str, Any], data: st.DataObject
) -> None:
    space = Space(limits)
    params = completed(space, data)
    assert list(params) == [name for name in limits if name in params]
    for name, parameter in space.parameters.items():
        conditions = (parameter.when or {}).items()
        assert (name in params) == all(
            parent in params
            and any(identical(params[parent], wanted) for wanted in (values if isinstance(values, list) else [values]))
            for parent, values in conditions
        )
        if name not in params:
            continue
        value = params[name]
        if isinstance(parameter, Choice):
            assert any(identical(value, choice) for choice in parameter.values)
        else:
            assert parameter.low <= value <= parameter.high
            assert type(value) is (int if isinstance(parameter, Int) else float)
            assert isinstance(parameter, Float) or (value - parameter.low) % parameter.step == 0
            if isinstance(parameter, Float) and parameter.step is not None:
                cells = round((value - parameter.low) / parameter.step)
                assert value == pytest.approx(parameter.low + cells * parameter.step)


@given(limits=strategies.limits(), data=st.data())
def test_parameters_pass_through_a_record_unchanged(limits: dict[str, Any], data: st.DataObject) -> None:
    params = completed(Space(limits), data)
    started = Started(time=0.0, individual=(0, 0), island=0, params=params)
    arrived = decode(encode(started))
    assert isinstance(arrived, Started)
    assert repr(arrived.params) == repr(params)


@given(limits=strategies.limits(), data=st.data())
def test_a_described_space_is_the_same_space(limits: dict[str, Any], data: st.DataObject) -> None:
    space = Space(limits)
    again = Space(space.describe())
    assert again.describe() == space.describe()
    assert repr(again.describe()) == repr(space.describe())
    assert again.size == space.size
    params = completed(space, data)
    assert again.encode(params).tobytes() == space.encode(params).tobytes()


@given(limits=strategies.limits(strategies.finite_parameters), start=st.integers(0, 2**40))
def test_a_finite_space_has_as_many_points_as_its_size(limits: dict[str, Any], start: int) -> None:
    space = Space(limits)
    assume(space.size <= 2000)
    points = [space.encode(params).tobytes() for params in space.points(start)]
    assert len(points) == len(set(points)) == space.size


@given(limits=strategies.limits(), data=st.data())
def test_foreign_parameters_are_refused(limits: dict[str, Any], data: st.DataObject) -> None:
    space = Space(limits)
    params = completed(space, data)
    foreign = data.draw(st.sampled_from(["missing", "unknown", "inactive", "other value"]))
    if foreign == "missing":
        params.pop(data.draw(st.sampled_from(list(params))))
    elif foreign == "unknown":
        params[data.draw(strategies.names.filter(lambda name: name not in limits))] = data.draw(strategies.scalars)
    elif foreign == "inactive":
        inactive = [name for name in limits if name not in params]
        assume(inactive)
        params[data.draw(st.sampled_from(inactive))] = data.draw(strategies.scalars)
    else:
        name = data.draw(st.sampled_from(list(params)))
        value = data.draw(strategies.scalars | st.sampled_from([math.nan, math.inf, -math.inf, str(params[name])]))
        parameter = space.parameters[name]
        if isinstance(parameter, Choice):
            assume(not any(identical(value, choice) for choice in parameter.values))
        elif isinstance(value, int if isinstance(parameter, Int) else float) and not isinstance(value, bool):
            assume(not parameter.low <= value <= parameter.high)
        params[name] = value
    with pytest.raises(ValueError, match="parameter"):
        space.encode(params)


def test_a_missing_an_unknown_an_inactive_and_a_wrong_parameter_are_named() -> None:
    space = Space(MIXED)
    good = {"lr": 0.001, "momentum": 0.9, "optimizer": "sgd", "layers": 1, "activation": "relu"}
    space.encode(good)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({name: value for name, value in good.items() if name != "momentum"}, "parameter 'momentum' is missing from {"),
        (good | {"depth": 3}, "parameters ['depth'] are not among the limits: lr, momentum,"),
        (good | {"width": 8}, "parameter 'width' is given in {"),
        (good | {"lr": 0.02}, "parameter 'lr' = 0.02 is not within its limits"),
        (good | {"lr": 1}, "parameter 'lr' = 1 is not"),
        (good | {"layers": True}, "parameter 'layers' = True is not"),
        (good | {"layers": 5}, "parameter 'layers' = 5 is not"),
        (good | {"activation": 1.5}, "parameter 'activation' = 1.5 is not"),
        (good | {"activation": False}, "parameter 'activation' = False is not"),
    ]
    for params, message in wrong:
        with pytest.raises(ValueError, match=re.escape(message)):
            space.encode(params)


@pytest.mark.parametrize(
    "limit",
    [
        Float(0.1, 1e300, log=True),
        Float(5e-324, 1.0, log=True),
        Float(1e-7, 1e-6),
        Float(-1e-6, 1e9),
        Float(1e9, 1e9 + 7e3),
        Float(1 / 3, 2 / 3),
        Float(-1e5 / 3, 7e5 / 3),
        Float(1 / 3, 7 / 3, log=True),
        Choice(True, 1, 1.0, False, 0, 0.0, "1", None),
        Int(-(2**62), 2**62, step=2**30),
        Int(1, 2**40 - 1, log=True),
        Int(10**6, 10**6 + 100, log=True),
        Int(2**61, 2**62, step=2**23, log=True),
        Int(7, 1000, log=True, step=13),
    ],
)
def test_values_survive_the_genome_all_over_their_range(limit: Any) -> None:
    space, rng = Space({"x": limit}), np.random.default_rng(3)
    for gene in np.concatenate([np.linspace(0, 1, 500), rng.random(500), np.logspace(-18, 0, 200)]):
        for place in (gene, 1 - gene):
            params = space.complete(np.array([place]), rng)
            assert same(space.decode(space.encode(params)), params)


def test_there_is_one_zero() -> None:
    params = Space({"x": (-1.0, 1.0)}).complete(np.array([0.5 - 1e-16]), np.random.default_rng(0))
    assert math.copysign(1.0, params["x"]) == 1.0


def test_a_genome_cannot_be_written_and_marks_what_is_inactive() -> None:
    space = Space(MIXED)
    genome = space.encode({"lr": 0.001, "optimizer": "adam", "layers": 1, "activation": None})
    assert np.isnan(genome).tolist() == [False, True, False, False, True, False]
    with pytest.raises(ValueError, match="read-only"):
        genome[0] = 0.0


def test_a_gene_that_was_not_in_the_parents_is_sampled() -> None:
    space, rng = Space(MIXED), np.random.default_rng(0)
    genome = space.encode({"lr": 0.001, "optimizer": "adam", "layers": 1, "activation": None}).copy()
    genome[2] = 0.0  # Optimizer sgd, which has a momentum.
    momenta = [space.complete(genome, rng)["momentum"] for _ in range(400)]
    assert len(set(momenta)) == 400
    assert chi_square(np.histogram(momenta, bins=8, range=(0.5, 0.99))[0].tolist()) < 24.3  # 0.1 % at 7 degrees.


def test_out_of_bounds_is_clipped() -> None:
    space, rng = Space({"x": (0.5, 2.0), "n": (1, 9), "c": ("a", "b", "c"), "o": (8, 16, 64)}), np.random.default_rng(0)
    for low in (-0.1, -5.0, -math.inf):
        assert space.complete(np.full(4, low), rng) == {"x": 0.5, "n": 1, "c": "a", "o": 8}
    for high in (2.1, 50.0, math.inf):
        assert space.complete(np.full(4, high), rng) == {"x": 2.0, "n": 9, "c": "c", "o": 64}


def test_between_two_categories_the_nearer_one_is_meant() -> None:
    space, rng = Space({"c": ("a", "b", "c")}), np.random.default_rng(0)
    assert [space.complete(np.array([gene]), rng)["c"] for gene in (0.4, 0.6, 1.4, 1.6)] == ["a", "b", "b", "c"]


def test_reversed_floats_are_sampled_over_their_whole_range() -> None:
    values = sampled((0.01, 0.0001), 8000)
    assert 0.0001 not in values
    assert 0.01 not in values
    assert chi_square(np.histogram(values, bins=16, range=(0.0001, 0.01))[0].tolist()) < 37.7  # 0.1 % at 15 degrees.


def test_a_log_scale_is_sampled_uniformly_in_the_logarithm() -> None:
    values = np.log10(sampled(Float(1e-6, 1e2, log=True), 8000))
    assert chi_square(np.histogram(values, bins=16, range=(-6, 2))[0].tolist()) < 37.7


@pytest.mark.parametrize(
    "limit",
    [(2, 10), (10, 2), Int(0, 24, step=3), Int(1, 10, step=2), ("a", "b", "c"), (8, 16, 64, 1000), (False, True)],
)
def test_integers_and_choices_are_sampled_uniformly(limit: Any) -> None:
    space = Space({"x": limit})
    counts = Counter(sampled(limit, 1000 * int(space.size)))
    assert len(counts) == space.size
    assert chi_square(list(counts.values())) < 27.9  # 0.1 % at 9 degrees, the most that these have.


def test_integers_on_a_log_scale_reach_both_ends_with_the_width_of_their_logarithm() -> None:
    counts = Counter(sampled(Int(1, 64, log=True), 20000))
    assert set(counts) == set(range(1, 65))
    width = math.log(64.5 / 0.5)
    for value in (1, 2, 8, 64):
        expected = 20000 * math.log((value + 0.5) / (value - 0.5)) / width
        assert abs(counts[value] - expected) < 4 * math.sqrt(expected)


def test_the_size_counts_points_that_differ() -> None:
    assert Space({"a": (1, 3), "b": ("x", "y")}).size == 6
    assert Space({"a": (1, 3), "b": (0.0, 1.0)}).size == math.inf
    assert Space({"a": ("x", "y"), "b": Int(1, 5, when={"a": "x"})}).size == 6
    assert Space({"a": ("x", "y"), "b": Int(1, 5, when={"a": ["x", "x"]})}).size == 6
    assert Space({"a": (1, 9), "b": Int(1, 5, when={"a": [2, 3]}), "c": Int(1, 2, when={"b": 5})}).size == 7 + 2 * 6
    never = {"a": ("x", "y"), "b": Choice(1, 2, when={"a": "x"}), "c": Float(0, 1, when={"a": "y", "b": 1})}
    assert Space(never).size == len(list(Space(never).points())) == 3


def test_large_conditional_spaces_are_counted_without_going_through_them() -> None:
    layers = 40
    limits: dict[str, Any] = {"layers": (1, layers)}
    limits |= {
        f"dropout{i}": Choice(False, True, when={"layers": list(range(i, layers + 1))}) for i in range(1, layers + 1)
    }
    limits |= {f"rate{i}": Int(1, 2, when={f"dropout{i}": True}) for i in range(1, layers + 1)}
    assert Space(limits).size == pytest.approx(sum(3**depth for depth in range(1, layers + 1)))
    assert Space({f"x{i}": (0.0, 1.0) for i in range(1500)}).size == math.inf


def test_the_points_of_an_infinite_space_are_not_listed() -> None:
    assert list(Space(MIXED).points()) == []


def test_points_begin_elsewhere_for_another_start() -> None:
    space = Space({"a": (1, 3), "b": ("x", "y")})
    assert len({repr(next(space.points(start))) for start in range(6)}) == 6
