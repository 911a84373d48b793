"""What the settings amount to for a number of ranks, and one line for each way in which they do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evo.algorithms import Portfolio
from evo.objective.references import Reference
from evo.propagators import InitUniform, SelectMax, SelectMin, SelectUniform, default_propagator
from evo.study.config import Config
from evo.study.plan import Plan, make_plan

LIMITS = {"x": (-1.0, 1.0)}


def loss(params: Mapping[str, Any]) -> float:
    return float(params["x"])


class Training:
    """What asks for a process of its own, as a training does."""

    separate_process = True

    def __call__(self, params: Mapping[str, Any]) -> float:
        return 0.0


class Worst(SelectMax):
    pass


def plan(ranks: int = 4, objective: Any = loss, given: Any = None, **settings: Any) -> Plan:
    """With a propagator that a caller in Python gives beside the settings, perhaps."""
    return make_plan(Config(**settings), objective, LIMITS, given, ranks)


def refusal(ranks: int = 4, objective: Any = loss, given: Any = None, **settings: Any) -> str:
    with pytest.raises(ValueError, match=".") as caught:  # noqa: RUF043
        plan(ranks, objective, given, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def sizes(made: Plan) -> list[int]:
    return [len(members) for members in made.archipelago.members]


def bred_by(made: Plan) -> list[str]:
    return [repr(propagator) for propagator in made.propagators]


# What follows from the settings.


def test_without_settings_all_ranks_live_on_one_island_where_nobody_travels() -> None:
    made = plan()
    assert (sizes(made), made.migration) == ([4], None)
    assert bred_by(made) == [repr(Portfolio())]
    assert made.space.names == ("x",)
    assert (made.separate, made.objective, made.fan_out) == (False, loss, None)
    assert made.budget.generations == 10


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"islands": 3}, [4, 3, 3]),
        ({"island_sizes": [1, 7, 2]}, [1, 7, 2]),
        ({"islands": 3, "island_sizes": [1, 7, 2]}, [1, 7, 2]),
        ({"island_sizes": (5, 5)}, [5, 5]),
        ({"islands": [{"workers": 9}, {"workers": 1}]}, [9, 1]),
        ({"islands": [{"workers": 10}]}, [10]),
        ({"islands": 10}, [1] * 10),
        ({"islands": 2, "ranks_per_worker": 2}, [3, 2]),
        ({"island_sizes": [1, 1], "ranks_per_worker": 5}, [1, 1]),
        ({"ranks_per_worker": 10}, [1]),
    ],
)
def test_the_workers_are_shared_out_among_the_islands(settings: dict[str, Any], expected: list[int]) -> None:
    assert sizes(plan(10, **settings)) == expected


def test_the_breeding_population_is_twice_the_workers_of_the_island_unless_something_else_is_said() -> None:
    genetic: dict[str, Any] = {"propagator": "genetic"}
    assert bred_by(plan(4, island_sizes=[1, 3], **genetic)) == [repr(default_propagator(size)) for size in (2, 6)]
    assert bred_by(plan(8, islands=2, ranks_per_worker=2, **genetic)) == [repr(default_propagator(4))] * 2
    assert bred_by(plan(4, island_sizes=[1, 3], population=5)) == [repr(default_propagator(5))] * 2


def test_the_parameters_of_breeding_are_those_of_every_propagator_that_takes_them_and_names_none_itself() -> None:
    common: dict[str, Any] = {"crossover": 0.1, "mutation": 0.2, "random_init": 0.3, "sigma": 0.4, "population": 9}
    own = {"name": "genetic", "sigma": 0.5}
    islands = [{"workers": 1}, {"workers": 1, "propagator": own}, {"workers": 2, "propagator": "random"}]
    assert bred_by(plan(islands=islands, **common)) == [
        repr(default_propagator(**common)),
        repr(default_propagator(**{**common, "sigma": 0.5})),
        "InitUniform()",
    ]


def test_an_island_breeds_with_its_own_propagator_or_with_that_of_all() -> None:
    made = InitUniform()
    islands: list[dict[str, Any]] = [
        {"workers": 1, "propagator": made},
        {"workers": 1, "propagator": {"name": "genetic", "population": 3}},
        {"workers": 1},
        {"workers": 1, "propagator": None},
    ]
    settings: dict[str, Any] = {"islands": islands, "propagator": {"name": "genetic", "population": 5}}
    found = plan(**settings)
    assert found.propagators[0] is made
    assert bred_by(found) == [repr(each) for each in (made, *map(default_propagator, (3, 5, 5)))]
    given = default_propagator(7)
    found = plan(given=given, **settings)
    assert found.propagators[0] is made
    assert found.propagators[2] is found.propagators[3] is given
    assert bred_by(found)[1] == repr(default_propagator(3))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"class_path": "SelectMin", "init_args": {"count": 1}}, "makes 0 individuals of shapes [] from an empty"),
        ({"class_path": "CrossoverUniform"}, "fails on an empty population: CrossoverUniform(contribution"),
    ],
)
def test_a_propagator_that_cannot_begin_is_one_line(what: Any, words: str) -> None:
    with pytest.raises(ValueError, match=r"put a Conditional around it") as caught:
        plan(propagator=what)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["random", {"name": "random"}, {"class_path": "InitUniform"}, InitUniform()])
def test_a_propagator_may_be_named_or_described_or_made_wherever_one_is_given(what: Any) -> None:
    assert bred_by(plan(given=what)) == bred_by(plan(propagator=what)) == ["InitUniform()"]
    assert bred_by(plan(islands=[{"workers": 4, "propagator": what}])) == ["InitUniform()"]


def test_migration_is_what_the_settings_say() -> None:
    default = plan(6, islands=3).migration
    assert default is not None
    assert (default.mode, default.probability) == ("copy", 0.9)
    assert default.topology == ((0, 1, 1), (1, 0, 1), (1, 1, 0))
    assert (default.emigration, default.immigration) == (SelectMin, SelectMax)
    other = plan(
        6,
        islands=3,
        migration="move",
        migration_probability=0.25,
        topology="ring",
        migrants=2,
        emigration="SelectUniform",
        immigration="test_plan.Worst",
    ).migration
    assert other is not None
    assert (other.mode, other.probability) == ("move", 0.25)
    assert other.topology == ((0, 2, 0), (0, 0, 2), (2, 0, 0))
    assert (other.emigration, other.immigration.__name__) == (SelectUniform, "Worst")  # type: ignore[attr-defined]


@pytest.mark.parametrize("matrix", [[[0, 3], [1, 0]], ((0, 3), (1, 0)), np.array([[0, 3], [1, 0]])])
def test_a_topology_may_be_a_matrix(matrix: Sequence[Sequence[int]]) -> None:
    migration = plan(islands=2, topology=matrix).migration
    assert migration is not None
    assert migration.topology == ((0, 3), (1, 0))


@pytest.mark.parametrize(
    ("islands", "degree", "targets"), [(2, None, 1), (3, None, 2), (9, None, 2), (9, 1, 1), (9, 8, 8)]
)
def test_an_island_sends_to_two_others_in_a_random_topology_or_to_as_many_as_the_degree_says(
    islands: int, degree: int | None, targets: int
) -> None:
    migration = plan(9, islands=islands, topology="random", degree=degree).migration
    assert migration is not None
    assert [sum(row) for row in migration.topology] == [targets] * islands


def test_a_random_topology_follows_from_the_seed() -> None:
    def topology(seed: int | None) -> Any:
        migration = plan(9, islands=9, topology="random", seed=seed).migration
        assert migration is not None
        return migration.topology

    assert topology(3) == topology(3)
    assert topology(None) == topology(0)
    assert len({topology(seed) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("settings", "ranks", "fan_out"),
    [
        ({}, 4, None),
        ({}, 1000, None),
        ({"exchange": "tree"}, 4, 8),
        ({"exchange": "flat", "evaluate": "process"}, 1000, None),
        ({"evaluate": "process"}, 512, None),
        ({"evaluate": "process"}, 513, 8),
        ({"evaluate": "process", "ranks_per_worker": 2}, 512, None),
        ({"evaluate": "process", "ranks_per_worker": 2}, 1026, 8),
    ],
)
def test_many_workers_whose_trainings_run_in_child_processes_form_a_tree(
    settings: dict[str, Any], ranks: int, fan_out: int | None
) -> None:
    assert plan(ranks, **settings).fan_out == fan_out


@pytest.mark.parametrize(
    ("objective", "settings", "separate"),
    [
        (loss, {}, False),
        (loss, {"evaluate": "process"}, True),
        (loss, {"time_limit": 5}, True),
        (Training(), {}, True),
        (Training(), {"evaluate": "inline"}, False),
        (Reference("nasty", "good"), {}, False),
        (Reference("evo.problems.digits", "objective"), {}, True),
    ],
)
def test_an_objective_has_a_process_of_its_own_where_it_needs_one(
    objective: Any, settings: dict[str, Any], separate: bool
) -> None:
    made = plan(objective=objective, **settings)
    assert made.separate == separate
    assert isinstance(made.objective, Reference) == (separate and isinstance(objective, Reference))


def test_the_limits_of_the_configuration_take_precedence(tmp_path: Path) -> None:
    assert plan(limits={"lr": (1e-4, 1e-1), "layers": (1, 3)}).space.names == ("lr", "layers")
    (tmp_path / "limits.yaml").write_text("momentum: [0.0, 0.9]\n")
    assert plan(limits=str(tmp_path / "limits.yaml")).space.names == ("momentum",)


# What does not fit.

_FORMS = "give a number, or a list of mappings with workers and propagator"
_WORKERS = "every island needs a worker of its own, so give at most"


@pytest.mark.parametrize(
    ("ranks", "settings", "message"),
    [
        (4, {"islands": 5}, f"islands is 5, but there are 4 workers: {_WORKERS} 4, or start more workers"),
        (1, {"islands": 2}, f"islands is 2, but there is 1 worker: {_WORKERS} 1, or start more workers"),
        (
            8,
            {"islands": 5, "ranks_per_worker": 2},
            f"islands is 5, but there are 4 workers: {_WORKERS} 4, or start more workers",
        ),
        (4, {"islands": 0}, "islands is 0: give a whole number of at least 1"),
        (4, {"islands": True}, "islands is True: give a whole number of at least 1"),
        (4, {"islands": 2.5}, f"islands is 2.5: Expected `array`, got `float`; {_FORMS}"),
        (4, {"islands": "2"}, f"islands is '2': Expected `array`, got `str`; {_FORMS}"),
        (4, {"islands": []}, f"islands is []: no island; {_FORMS}"),
        (4, {"islands": [2, 2]}, f"islands is [2, 2]: Expected `object`, got `int` - at `$[0]`; {_FORMS}"),
        (
            4,
            {"islands": [{"workers": 3}, {"propagator": "random"}]},
            "islands is [{'workers': 3}, {'propagator': 'random'}]: "
            f"Object missing required field `workers` - at `$[1]`; {_FORMS}",
        ),
        (
            4,
            {"islands": [{"workrs": 4}]},
            f"islands is [{{'workrs': 4}}]: Object contains unknown field `workrs` - at `$[0]`; {_FORMS}",
        ),
        (
            4,
            {"islands": [{"workers": "4"}]},
            f"islands is [{{'workers': '4'}}]: Expected `int`, got `str` - at `$[0].workers`; {_FORMS}",
        ),
        (
            4,
            {"islands": [{"workers": 2}, {"workers": 2}], "island_sizes": [2, 2]},
            "islands lists the islands with their workers, and island_sizes too: give one of them",
        ),
    ],
)
def test_islands_that_cannot_be_made_are_one_line(ranks: int, settings: dict[str, Any], message: str) -> None:
    assert refusal(ranks, **settings) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"island_sizes": [1, 2]},
            "island_sizes is [1, 2], which adds up to 3, but there are 4 workers: "
            "change the sizes to add up to 4, or the number of workers to 3",
        ),
        (
            {"islands": [{"workers": 2}, {"workers": 3}]},
            "the workers of islands is [2, 3], which adds up to 5, but there are 4 workers: "
            "change the sizes to add up to 4, or the number of workers to 5",
        ),
        (
            {"island_sizes": [2, 2], "ranks_per_worker": 2},
            "island_sizes is [2, 2], which adds up to 4, but there are 2 workers: "
            "change the sizes to add up to 2, or the number of workers to 4",
        ),
        (
            {"islands": 3, "island_sizes": [2, 2]},
            "islands is 3, but island_sizes is [2, 2], which makes 2: "
            "give one size for each island, or leave out islands",
        ),
        ({"island_sizes": [4, 0]}, "island_sizes[1] is 0: give a whole number of at least 1"),
        ({"island_sizes": [2.0, 2]}, "island_sizes[0] is 2.0: give a whole number of at least 1"),
        (
            {"island_sizes": []},
            "island_sizes is []: give the number of workers of each island in a list, for example [4, 4, 2]",
        ),
        (
            {"island_sizes": 4},
            "island_sizes is 4: give the number of workers of each island in a list, for example [4, 4, 2]",
        ),
    ],
)
def test_sizes_that_do_not_fit_the_workers_are_one_line(settings: dict[str, Any], message: str) -> None:
    assert refusal(4, **settings) == message


@pytest.mark.parametrize(("ranks", "size"), [(4, 3), (4, 8), (1, 2)])
def test_ranks_that_make_no_whole_workers_are_one_line(ranks: int, size: int) -> None:
    assert refusal(ranks, ranks_per_worker=size) == (
        f"ranks_per_worker is {size}, but there are {ranks} ranks: "
        "start a multiple of it, so that every worker is complete"
    )


_TOPOLOGIES = "give one of full, ring, torus, star, random, or a matrix with a row and a column for each island"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"topology": "rnig"}, f"topology is 'rnig': {_TOPOLOGIES}; did you mean ring?"),
        ({"topology": 3}, f"topology is 3: {_TOPOLOGIES}"),
        (
            {"topology": [[0, -1], [1, 0]]},
            "topology has -1 in row 0, column 1 (from 0): give a whole number of at least 0, "
            "how many individuals go from island 0 to island 1 at a time",
        ),
        (
            {"topology": [[0, 1], [1, 2]]},
            "topology has 2 in row 1, column 1 (from 0): "
            "nobody goes from an island to itself, so give 0 on the diagonal",
        ),
        (
            {"topology": [[0, 1, 1]]},
            "topology has the shape 1 x 3, but there are 2 islands: give a row and a column for each, 2 x 2",
        ),
        (
            {"topology": "random", "degree": 2},
            "degree is 2, but there are 2 islands, and each sends to that many others: give 1",
        ),
    ],
)
def test_a_topology_that_does_not_fit_the_islands_is_one_line(settings: dict[str, Any], message: str) -> None:
    assert refusal(4, islands=2, **settings) == message


def test_a_topology_is_checked_also_where_there_is_one_island() -> None:
    assert refusal(topology="rnig").startswith("topology is 'rnig'")
    assert "but there is 1 island" in refusal(topology=[[0, 1], [1, 0]])


@pytest.mark.parametrize("name", ["emigration", "immigration"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("SelctMin", ["'SelctMin'", "did you mean SelectMin?"]),
        ("no.such.Class", ["no.such.Class", "there is no module 'no.such'"]),
        ("InitUniform", ["InitUniform", "count", "such as SelectMax, SelectMin, SelectUniform"]),
        ("math.sin", ["math.sin", "no subclass of evo.Propagator"]),
        (3, ["3", "such as SelectMax, SelectMin, SelectUniform"]),
    ],
)
@pytest.mark.parametrize("islands", [1, 2])
def test_who_cannot_select_is_one_line_that_says_for_what(name: str, what: Any, words: list[str], islands: int) -> None:
    message = refusal(4, islands=islands, **{name: what})
    assert message.startswith(f"{name}: ")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("genetc", ["'genetc'", "genetic, random", "did you mean genetic?"]),
        ({"name": "genetic", "sgima": 1}, ["genetic", "'sgima' is 1", "did you mean sigma?"]),
        ({"class_path": "no.Such"}, ["no.Such", "there is no module 'no'"]),
        (3, ["propagator is 3"]),
    ],
)
def test_what_cannot_breed_is_one_line_wherever_it_is_given(what: Any, words: list[str]) -> None:
    islands = [{"workers": 3}, {"workers": 1, "propagator": what}]
    for message in (refusal(given=what), refusal(propagator=what), refusal(islands=islands)):
        assert message.startswith("propagator ")
        assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (loss, "has no limits: say with --limits what is searched"),
        (Reference("nasty", "good"), "objective nasty:good has no limits: say with --limits what is searched"),
        (Reference("no_such_module", "loss"), "there is no module 'no_such_module'"),
        (Reference("no_such_file.py", "loss"), "there is no file no_such_file.py"),
    ],
)
def test_an_objective_that_is_not_there_or_has_no_limits_is_one_line(objective: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        make_plan(Config(), objective, None, None, 1)
    assert "\n" not in str(caught.value)
