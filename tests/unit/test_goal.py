"""The target of a search with several objectives, and when it is reached."""

from __future__ import annotations

import re
from typing import Any

import pytest

from evo.errors import UserError
from evo.population.events import Finished, Started
from evo.population.goal import make_goal
from evo.population.objectives import Objectives, make_objectives
from evo.population.population import Population
from evo.space.space import Space

TWO = make_objectives({"acc": "max", "size": "min"})
ONE = make_objectives({"acc": "max"})
PLAIN = Objectives()


def population_of(objectives: Objectives, *individuals: tuple[dict[str, float], float]) -> Population:
    """A population of individuals, each with its values and by how much it violates bounds."""
    population = Population(Space({"x": (0.0, 1.0)}))
    for number, (values, violation) in enumerate(individuals):
        losses = objectives.losses(values)
        several = losses if objectives.are_several else ()
        population.apply(Started(time=0.0, individual=(0, number), island=0, params={"x": 0.5}))
        population.apply(
            Finished(
                time=1.0,
                individual=(0, number),
                status="completed",
                loss=losses[0],
                losses=several,
                violation=violation,
                rank=0,
            )
        )
    return population


@pytest.mark.parametrize(
    ("target", "reference", "individuals", "is_reached"),
    [
        ({"acc": 0.9, "size": 10}, None, [({"acc": 0.9, "size": 10}, 0.0)], True),
        ({"acc": 0.9, "size": 10}, None, [({"acc": 0.9, "size": 11}, 0.0), ({"acc": 0.8, "size": 1}, 0.0)], False),
        ({"acc": 0.9}, None, [({"acc": 0.95, "size": 1e9}, 0.0)], True),
        ({"acc": 0.9}, None, [({"acc": 0.95, "size": 1.0}, 0.1)], False),
        ({"hypervolume": 6.0}, {"acc": 0.0, "size": 10}, [({"acc": 0.5, "size": 2}, 0.0)], False),
        ({"hypervolume": 4.0}, {"acc": 0.0, "size": 10}, [({"acc": 0.5, "size": 2}, 0.0)], True),
        (
            {"hypervolume": 4.4},
            {"acc": 0, "size": 10},
            [({"acc": a, "size": s}, 0.0) for a, s in ((0.5, 2), (0.6, 6))],
            True,
        ),
        ({"hypervolume": 4.0}, {"acc": 0.0, "size": 10}, [({"acc": 0.5, "size": 2}, 0.2)], False),
        ({"acc": 0.9}, None, [], False),
    ],
)
def test_a_target_of_several_objectives_is_reached_by_one_individual_or_by_the_front(
    target: dict[str, float], reference: dict[str, float] | None, individuals: list[Any], is_reached: bool
) -> None:
    goal = make_goal(target, reference, TWO)
    assert goal is not None
    population = population_of(TWO, *individuals)
    assert population.standings.has_reached(goal) is is_reached
    assert population.standings.has_reached(goal) is is_reached


@pytest.mark.parametrize("target", [0.9, {"acc": 0.9}])
def test_one_objective_with_a_name_is_to_reach_its_value(target: Any) -> None:
    goal = make_goal(target, None, ONE)
    assert goal is not None
    assert str(goal) == "acc 0.9"
    for value, violation, is_reached in ((0.91, 0.0, True), (0.89, 0.0, False), (0.91, 0.5, False)):
        assert population_of(ONE, ({"acc": value}, violation)).standings.has_reached(goal) is is_reached


def test_the_answer_is_kept_until_the_front_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = make_goal({"hypervolume": 5.0}, {"acc": 0, "size": 10}, TWO)
    assert goal is not None
    population = population_of(TWO, ({"acc": 0.5, "size": 2.0}, 0.0))
    assert not population.standings.has_reached(goal)
    with monkeypatch.context() as patched:
        patched.setattr(type(goal), "is_reached_by", lambda self, losses: pytest.fail("asked again"))
        population.apply(Started(time=0.0, individual=(0, 8), island=0, params={"x": 0.5}))
        dominated = {"loss": -0.4, "losses": (-0.4, 3.0)}
        population.apply(Finished(time=1.0, individual=(0, 8), status="completed", rank=0, **dominated))
        assert not population.standings.has_reached(goal)
    population.apply(Started(time=0.0, individual=(0, 9), island=0, params={"x": 0.5}))
    population.apply(Finished(time=1.0, individual=(0, 9), status="completed", rank=0, loss=-0.7, losses=(-0.7, 2.0)))
    assert population.standings.has_reached(goal)


@pytest.mark.parametrize(
    ("target", "reference", "objectives", "message"),
    [
        (0.5, None, TWO, "target is 0.5, but there are 2 objectives: give a value of each that matters"),
        ({"accc": 1}, None, TWO, "target has 'accc', which is none of the objectives acc, size; did you mean acc?"),
        ({"acc": "high"}, None, TWO, "target.acc is 'high': give a number"),
        ({"acc": True}, None, TWO, "target.acc is True: give a number"),
        ({"acc": float("nan")}, None, TWO, "target.acc is nan: give a number"),
        ({}, None, TWO, "target is empty: give"),
        ([1], None, TWO, "target is [1]: give a number"),
        ("low", None, PLAIN, "target is 'low': give a number"),
        ({"hypervolume": 1}, None, TWO, "needs a point up to which it counts: give reference_point"),
        ({"hypervolume": 1, "acc": 1}, {"acc": 0, "size": 1}, TWO, "hypervolume and 'acc': give one of them"),
        ({"hypervolume": -1}, {"acc": 0, "size": 1}, TWO, "target.hypervolume is -1.0: it must be above 0"),
        ({"hypervolume": 1}, None, ONE, "target has 'hypervolume', which is none of the objectives acc"),
        (None, {"acc": 0}, TWO, "reference_point lacks size: give a value of each objective"),
        (None, {"acc": 0, "size": None}, TWO, "reference_point.size is None: give a number"),
        (None, {"acc": 0, "sizes": 1}, TWO, "reference_point has 'sizes', which is none of the objectives"),
        (None, [0, 1], TWO, "reference_point is [0, 1]: give a value of each objective by its name, as in {acc: 1"),
        (None, {"acc": 0}, ONE, "but there is one objective: it needs several"),
    ],
)
def test_a_wrong_target_is_refused_with_what_to_give(
    target: Any, reference: Any, objectives: Objectives, message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        make_goal(target, reference, objectives)
