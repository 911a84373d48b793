"""What an objective depends on, as study.json has it: the same in every process, and different where that differs."""

from __future__ import annotations

import argparse
import functools
import json
import operator
import os
import random
import subprocess
import sys
import threading
import types
from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evo.objective.differences import brief, differences, shortened
from evo.objective.identity import Describer

CENTRE = -4.0


class Colour(Enum):
    red = 1
    blue = 2


class Point(NamedTuple):
    x: float
    y: float


class Distance:
    """An objective with one setting."""

    def __init__(self, centre: Any) -> None:
        self.centre = centre

    def __call__(self, params: dict[str, Any]) -> float:
        return float((params["x"] - self.centre) ** 2)

    def other(self, params: dict[str, Any]) -> float:
        return 0.0

    @classmethod
    def common(cls, params: dict[str, Any]) -> float:
        return 0.0


class Slotted:
    __slots__ = ("centre",)

    def __init__(self, centre: Any) -> None:
        self.centre = centre


class Pickled:
    """Says itself what counts of it."""

    def __init__(self, centre: Any) -> None:
        self.centre, self.lock, self.started = centre, threading.Lock(), object()

    def __getstate__(self) -> dict[str, Any]:
        return {"centre": self.centre}


@dataclass
class Settings:
    centre: Any
    kept: list[int] = field(default_factory=list, compare=False)


class Record(msgspec.Struct):
    centre: Any


class Number(int):
    pass


def distance(params: dict[str, Any], centre: Any = 0.0) -> float:
    return 0.0


def another(params: dict[str, Any], centre: Any = 0.0) -> float:
    return 1.0


def closure(centre: Any) -> Callable[..., Any]:
    def loss(params: dict[str, Any]) -> Any:
        return params["x"] - centre

    return loss


def with_default(centre: Any) -> Callable[..., Any]:
    def loss(params: dict[str, Any], centre: Any = centre) -> Any:
        return params["x"] - centre

    return loss


def one_of_two(first: bool) -> Callable[..., Any]:
    if first:

        def loss(params: dict[str, Any]) -> float:
            return 1.0
    else:

        def loss(params: dict[str, Any]) -> float:
            return 2.0

    return loss


def local_class(centre: Any) -> Any:
    class Local:
        middle = centre

    return Local()


def of_a_class_without_a_name(centre: Any) -> Any:
    return type("Distance", (Distance,), {"__module__": __name__, "middle": centre})(0)


def with_attribute(centre: Any) -> Callable[..., Any]:
    def loss(params: dict[str, Any]) -> float:
        return 0.0

    loss.centre = centre  # type: ignore[attr-defined]
    return loss


def wrapped(centre: Any) -> Callable[..., Any]:
    @functools.wraps(distance)
    def loss(params: dict[str, Any]) -> float:
        return distance(params, centre)

    return loss


def with_itself(centre: Any) -> Any:
    one = Distance(centre)
    one.me, one.list = one, [one]  # type: ignore[attr-defined]
    return one


def tree(value: Any) -> Any:
    return Describer().describe(value)


WAYS: list[Callable[[Any], Any]] = [
    Distance,
    Slotted,
    Settings,
    Pickled,
    lambda centre: functools.partial(distance, centre=centre),
    lambda centre: functools.partial(distance, centre),
    lambda centre: functools.partial(functools.partial(distance, centre), y=1),
    lambda centre: Distance(centre).other,
    closure,
    with_default,
    with_attribute,
    wrapped,
    local_class,
    of_a_class_without_a_name,
    with_itself,
    lambda centre: Distance(Distance({"a": [centre]})),
    lambda centre: Distance((0, centre)),
    lambda centre: Distance({centre, "a"}),
    lambda centre: Distance({centre: 0}),
    lambda centre: Distance(np.array([0, centre])),
    lambda centre: Distance(np.full(100, centre)),
    lambda centre: Distance(np.float32(centre)),
    lambda centre: Distance(np.array([centre], dtype=object)),
    lambda centre: Distance([*range(1000), centre]),
    lambda centre: Distance("a" * 10_000 + str(centre)),
    lambda centre: Distance(Point(0.0, centre)),
    lambda centre: Distance(Number(centre)),
    lambda centre: Distance(Path(str(centre))),
    lambda centre: Distance(range(centre)),
    lambda centre: Distance(types.SimpleNamespace(centre=centre)),
    lambda centre: Distance(argparse.Namespace(centre=centre)),
    lambda centre: Distance(lambda params: centre),
    lambda centre: Distance({number: number for number in range(2000)} | {1999: centre}),
    lambda centre: Distance([Distance(0)] * 2000 * centre),
    lambda centre: operator.itemgetter(f"x{centre}"),
    lambda centre: Distance(Record(centre)),
    lambda centre: Distance(ChainMap({"a": centre}, {})),
    lambda centre: Distance(np.vectorize(functools.partial(distance, centre=centre))),
    lambda centre: Distance(LogisticRegression(C=centre)),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_setting_makes_another_objective_and_the_same_one_does_not(way: Callable[[Any], Any]) -> None:
    before, now, same = tree(way(4)), tree(way(5)), tree(way(4))
    assert before == same
    assert list(differences(before, now))
    assert json.loads(json.dumps(before)) == before
    assert "0x" not in json.dumps(before)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (distance, another),
        (functools.partial(distance, centre=1), functools.partial(another, centre=1)),
        (functools.partial(distance, centre=1), functools.partial(distance, params=1)),
        (Distance(1).other, Distance(1).__call__),
        (Distance.common, type("Other", (Distance,), {}).common),
        (Distance(1), Settings(1)),
        (Distance(distance), Distance(another)),
        (Distance(Distance), Distance(Settings)),
        (Distance(Colour.red), Distance(Colour.blue)),
        (Distance(True), Distance(0)),
        (Distance(None), Distance(0)),
        (Distance("1"), Distance(1)),
        (Distance([1]), Distance([1, 2])),
        (Distance(float("inf")), Distance(float("-inf"))),
        (Distance(np.zeros((2, 3))), Distance(np.zeros((3, 2)))),
        (Distance(np.zeros(9, "f4")), Distance(np.zeros(9, "f8"))),
        (one_of_two(True), one_of_two(False)),
        (Distance(lambda params: 1), Distance(lambda params: 2)),
        (lambda params: params["x"], lambda params: params["y"]),
    ],
)
def test_two_objectives_are_two(one: Any, other: Any) -> None:
    assert list(differences(tree(one), tree(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Distance(1), Distance(1.0)),
        (Settings(1, [1]), Settings(1, [2])),
        (Distance(threading.Lock()), Distance(threading.Lock())),
        (Distance(random.Random(1)), Distance(random.Random(2))),
        (Distance(np.random.default_rng(1)), Distance(np.random.default_rng(2))),
        (Distance(n for n in ()), Distance(n for n in (1,))),
        (Distance(object()), Distance(object())),
        (Distance((1, 2)), Distance([1, 2])),
    ],
)
def test_what_is_not_the_users_setting_does_not_count(one: Any, other: Any) -> None:
    assert tree(one) == tree(other)


def test_a_difference_is_told_by_its_place() -> None:
    before, now = tree(Distance({"a": [1, Distance(2)]})), tree(Distance({"a": [1, Distance(3)], "b": None, "c": 1}))
    assert list(differences(before, now)) == [("centre.a[1].centre", 2, 3), ("centre.c", None, 1)]
    assert brief(tree(Distance)) == "test_identity.Distance"


def test_a_name_that_is_told_from_further_above_is_the_same() -> None:
    assert not list(differences({"class": "Net"}, {"class": "cells.Net"}))
    assert list(differences({"class": "other.Net"}, {"class": "cells.Net"}))
    assert list(differences({"centre": "Net"}, {"centre": "cells.Net"}))


def test_the_digests_of_two_versions_of_python_are_not_compared() -> None:
    assert not list(differences({"code": "3.10:a"}, {"code": "3.11:b"}))
    assert list(differences({"code": "3.11:a"}, {"code": "3.11:b"}))


def test_a_long_description_stays_readable_where_that_is_short_and_tells_every_difference() -> None:
    long: Any = {f"key {number}": "text" * 40 for number in range(400)} | {"centre": -4.0}
    short: Any = shortened(long)
    assert len(json.dumps(short)) < 20_000
    changed: Any = shortened(long | {"key 399": "other"})
    assert short != changed
    deep: Any = {"centre": -4.0, "words": ["word"] * 5_000, "more": {"text": "a" * 9_000}}
    assert len(json.dumps(shortened(deep))) < 12_000
    assert shortened(deep)["centre"] == -4.0
    assert shortened(deep) != shortened(deep | {"words": [*["word"] * 4_999, "other"]})
    assert shortened(deep) == shortened(json.loads(json.dumps(deep)))


def test_something_of_any_depth_and_size_ends() -> None:
    deep: Any = None
    for _ in range(3_000):
        deep = Distance([deep])
    wide = [Distance([Distance(number) for number in range(300)]) for _ in range(300)]
    assert len(json.dumps(shortened({"deep": tree(deep), "wide": tree(wide)}))) < 20_000


def test_what_cannot_be_asked_counts_by_its_class() -> None:
    class Broken:
        def __getstate__(self) -> Any:
            raise RuntimeError

    assert tree(Distance(Broken()))["centre"] == {"class": f"{__name__}.{Broken.__qualname__}"}


IN_ANOTHER_PROCESS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import test_identity
print(json.dumps([test_identity.tree(way(4)) for way in test_identity.WAYS]))
"""


def test_it_is_the_same_in_another_process_whatever_its_hashes() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert json.loads(told[0]) == [tree(way(4)) for way in WAYS]
