"""What a study begins with: the defaults of all parameters, then the points that its user knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import make_breeder
from simulation import RANDOM

import evo
from evo.engine.breeding import Breeder
from evo.engine.budget import Budget
from evo.engine.settings import WorkerSettings
from evo.engine.starting import make_start_points
from evo.population.events import Started
from evo.population.population import Population
from evo.space.space import Space
from evo.study.config import Config

LIMITS = {
    "x": evo.Float(1e-5, 1e-1, log=True, default=1 / 300),
    "depth": evo.Int(1, 9, default=3),
    "act": evo.Choice("relu", "tanh", default="tanh"),
    "momentum": evo.Float(0.0, 1.0, when={"act": "relu"}),
    "epochs": 10,
}
DEFAULT = {"x": 1 / 300, "depth": 3, "act": "tanh", "epochs": 10}


def loss(params: dict[str, Any]) -> float:
    return float(params["x"]) + float(params["depth"])


def test_the_first_individual_has_all_defaults_exactly() -> None:
    result = evo.minimize(loss, LIMITS, evaluations=5, seed=1)
    assert [one.params == DEFAULT for one in result.individuals] == [True, False, False, False, False]
    assert repr(result.individuals[0].params) == repr(DEFAULT)


def test_where_one_that_exists_has_no_default_nothing_is_tried_first() -> None:
    assert make_start_points(Space({**LIMITS, "y": (0.0, 1.0)}), [], 0) == []
    relu = {**LIMITS, "act": evo.Choice("relu", "tanh", default="relu")}
    assert make_start_points(Space(relu), [], 0) == []  # It would have a momentum.
    assert make_start_points(Space({"n": 3}), [], 0) == [{"n": 3}]


def test_known_points_are_completed_by_defaults_or_drawn_always_alike() -> None:
    space = Space(LIMITS)
    given = [{"act": "relu"}, {"act": "relu"}, {"x": np.float32(0.5) / 10, "depth": np.int64(2), "epochs": 10}]
    points = make_start_points(space, given, 7)
    assert points[0] == DEFAULT
    assert points[1] | {"momentum": 0} == DEFAULT | {"act": "relu", "momentum": 0}
    assert 0 <= points[1]["momentum"] <= 1
    assert points[1]["momentum"] != points[2]["momentum"]
    assert points[3] == DEFAULT | {"x": 0.05, "depth": 2} | {"x": points[3]["x"]}
    assert all(type(value) in (int, float, str) for point in points for value in point.values())
    assert make_start_points(space, given, 7) == points
    assert make_start_points(space, given, 8)[1] != points[1]


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        ({"x": 1.0}, "x is 1.0: it must be a number from 1e-05 to 0.1"),
        ({"depth": 2.5}, "depth is 2.5: it must be a whole number from 1 to 9"),
        ({"act": "gelu"}, "act is 'gelu': it must be one of 'relu', 'tanh'"),
        ({"epochs": 11}, "epochs is 11: it must be one of 10"),
        ({"width": 3}, "width is no parameter of this search; did you mean"),
        ({"momentum": 0.5}, "where its 'when' makes it inactive"),
    ],
)
def test_a_point_outside_of_the_limits_is_an_error_at_the_start_that_names_it(
    point: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="start_from, point 2: ") as raised:
        evo.minimize(loss, LIMITS, start_from=[{}, point], evaluations=2, run_dir=str(tmp_path / "run"))
    assert problem in str(raised.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("start_from", [{"x": 0.1}, [3], 5, "absent.yaml"])
def test_start_from_is_a_list_of_parameters_or_a_file_of_it(start_from: Any) -> None:
    with pytest.raises(ValueError, match="start_from"):
        evo.minimize(loss, LIMITS, start_from=start_from, evaluations=2)


@pytest.mark.parametrize("name", ["points.yaml", "points.json"])
def test_known_points_may_stand_in_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps([{"depth": 7}, {"depth": 8}]))
    result = evo.minimize(loss, LIMITS, start_from=str(tmp_path / name), evaluations=4)
    assert [one.params["depth"] for one in result.individuals[:3]] == [3, 7, 8]


@pytest.mark.parametrize("settings", [{}, {"allow_duplicates": True}])
def test_no_start_point_is_tried_twice_nor_again_after_a_resume(tmp_path: Path, settings: dict[str, Any]) -> None:
    points = [{"depth": 7}, {"depth": 3}, {"depth": 7}, {"depth": 8}]

    def go_on(evaluations: int, start: Sequence[dict[str, Any]]) -> list[int]:
        run_dir = str(tmp_path / "run")
        result = evo.minimize(
            lambda_free_loss, LIMITS, evaluations=evaluations, start_from=start, run_dir=run_dir, **settings
        )
        return [one.params["depth"] for one in result.individuals if one.params["x"] == DEFAULT["x"]]

    assert go_on(2, points) == [3, 7]
    assert go_on(6, points)[:3] == [3, 7, 8]
    assert go_on(8, [{"depth": 9}])[3:] in ([9], [9, 9])  # Offspring may have this x as well.


def lambda_free_loss(params: dict[str, Any]) -> float:
    return 1.0 + loss(params)


def breeder(rank: int, ranks: int, population: Population, points: list[dict[str, Any]]) -> Breeder:
    settings = WorkerSettings(worker=rank, workers=ranks, seed=0, budget=Budget(), start=points)
    return make_breeder(RANDOM, population, settings)


def bred_by(breeders: Sequence[Breeder], population: Population, times: int) -> list[list[dict[str, Any]]]:
    """What each of several ranks breeds, one after another."""
    bred: list[list[dict[str, Any]]] = [[] for _ in breeders]
    for _ in range(times):
        for place, one in enumerate(breeders):
            identity = (one.worker, population.next_generation(one.worker))
            made = one.breed(identity[1])
            assert made is not None
            bred[place].append(made.params)
            started = Started(time=0.0, individual=identity, island=0, params=made.params)
            population.apply(started)
    return bred


@pytest.mark.parametrize("limits", [{"n": (0, 99)}, {"n": (0.0, 99.0)}])
def test_ranks_share_the_start_points_and_another_number_of_ranks_tries_the_rest(limits: dict[str, Any]) -> None:
    space = Space(limits)
    points = make_start_points(space, [{"n": number} for number in (3, 1, 4, 15, 9, 26, 5)], 0)
    population = Population(space)
    bred = bred_by([breeder(rank, 3, population, points) for rank in range(3)], population, 1)
    assert [made[0]["n"] for made in bred] == [3, 1, 4]
    again = bred_by([breeder(rank, 2, population, points) for rank in range(2)], population, 3)
    assert [[point["n"] for point in made][:2] for made in again] == [[9, 5], [15, 26]]
    successor = breeder(0, 2, Population(space), points)
    successor.take_over(1)
    (made,) = bred_by([successor], successor.population, 7)
    assert {point["n"] for point in made} == {3, 1, 4, 15, 9, 26, 5}


def test_nobody_happens_upon_a_start_point_of_another_rank() -> None:
    space = Space({"n": (0, 99)})
    points = make_start_points(space, [{"n": number} for number in range(5)], 0)
    population = Population(space)
    made = bred_by([breeder(1, 2, population, points)], population, 40)[0]
    assert [point["n"] for point in made[:2]] == [1, 3]
    assert not {point["n"] for point in made[2:]} & {0, 2, 4}


def test_a_warm_start_pays() -> None:
    def sphere(params: dict[str, Any]) -> float:
        return sum((params[f"x{i}"] - 0.123) ** 2 for i in range(10))

    limits = {f"x{i}": (-5.0, 5.0) for i in range(10)}
    known: Callable[[float], dict[str, float]] = lambda value: {f"x{i}": value for i in range(10)}  # noqa: E731
    cold = evo.minimize(sphere, limits, evaluations=10, seed=1)
    warm = evo.minimize(sphere, limits, evaluations=10, seed=1, start_from=[known(0.1), known(0.12)])
    assert [one.params["x0"] for one in warm.individuals[:2]] == [0.1, 0.12]
    assert warm.best is not None
    assert cold.best is not None
    assert warm.best.loss is not None
    assert warm.best.loss < 1e-3 < (cold.best.loss or 0)


def test_start_from_is_an_option_like_any_other() -> None:
    assert Config(start_from=[{"x": 1}]).start_from == [{"x": 1}]
