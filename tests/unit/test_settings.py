"""The arguments of evo.minimize: what is misspelt, swapped, of a wrong kind, or heeded by nothing is told."""

from __future__ import annotations

import dataclasses
import doctest
import os
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import evo.algorithms.catalogue
import evo.checks
import evo.study.settings
from evo.checks import did_you_mean, nearest
from evo.propagators import Conditional, InitUniform
from evo.pruning import Pruner
from evo.study.config import Config
from evo.study.settings import Settings, make_config

LIMITS = {"x": (0.0, 1.0)}
SOURCES = Path(evo.__file__).parent


def loss(params: dict[str, Any]) -> float:
    return float(params["x"])


def refusal(*arguments: Any, **settings: Any) -> str:
    minimize: Any = evo.minimize  # Of which a type checker would refuse all of this.
    with pytest.raises(evo.errors.UserError) as caught:
        minimize(*arguments, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def members(hint: Any) -> set[Any]:
    """What a value may be; containers only by their own kind, of which a keyword may take a more general one."""
    parts = typing.get_args(hint) if type(hint).__name__ in ("Union", "UnionType") or "|" in str(hint) else (hint,)
    return {typing.get_origin(part) if typing.get_origin(part) is not typing.Literal else part for part in parts} | {
        part for part in parts if typing.get_origin(part) is None
    } - {None}


_NONE, _ALL = "is no setting of a search", "evo.Config has them all"
GENERAL = {list: Sequence, dict: Mapping}


def test_editors_know_every_setting_with_the_type_that_it_has_in_the_configuration() -> None:
    typed, fields = typing.get_type_hints(Settings), typing.get_type_hints(Config)
    names = [field.name for field in dataclasses.fields(Config) if field.name not in ("limits", "propagator")]
    assert list(typed) == names
    for name in names:
        more = members(typed[name]) - {os.PathLike, Callable, typing.get_origin(Callable[..., Any]), Pruner}
        assert more == {GENERAL.get(kind, kind) for kind in members(fields[name])}, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evaluation": 20}, f"evaluation {_NONE}; did you mean evaluations?; {_ALL}"),
        ({"run_dri": "runs/x"}, f"run_dri {_NONE}; did you mean run_dir?; {_ALL}"),
        ({"zzz": 1}, f"zzz {_NONE}; {_ALL}"),
        ({"evaluations": "20"}, "evaluations is '20': give a whole number of at least 1"),
        ({"evaluations": 20.5}, "evaluations is 20.5: give a whole number of at least 1"),
        ({"config": {"evaluations": 3}}, "config is {'evaluations': 3}: give an evo.Config"),
        ({"on_interrupt": "rais"}, "on_interrupt is 'rais': it must be 'raise' or 'return'"),
        (
            {"propagator": InitUniform},
            "propagator is the class InitUniform: give one that is made, InitUniform(...)",
        ),
        (
            {"pruning": "halvin"},
            "pruning 'halvin' is no ready one: give one of none, halving, median, curve, {name: one of these, and its "
            "parameters}, or {class_path: module.Class, init_args: {and its arguments}}; did you mean halving?",
        ),
        (
            {"pruning": {"name": "halving", "grase": 3}},
            "pruning halving: 'grase' is 3, but it takes grace, reduction, maximum, graces; did you mean grace?",
        ),
        (
            {"pruning": {"name": "none", "grace": 3}},
            "pruning none: 'grace' is 3, but it takes no arguments",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_that_says_what_to_write(settings: dict[str, Any], message: str) -> None:
    assert refusal(loss, LIMITS, **settings) == message


_LOSS = "give a function of the parameters, or an object like evo.LightningObjective"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LIMITS, loss), f"loss is {{'x': (0.0, 1.0)}}: {_LOSS}; it comes first, and the limits after it"),
        (("sphere", LIMITS), f"loss is 'sphere': {_LOSS}"),
        ((None, LIMITS), f"loss is None: {_LOSS}"),
        (([0.0] * 99, LIMITS), f"loss is {str([0.0] * 99)[:59]}…: {_LOSS}"),
        ((loss,), "limits are missing: say what is searched, as in evo.minimize(loss, {'lr': (0.0001, 0.1)})"),
        ((loss, [0, 1]), "limits are [0, 1]: name at least one parameter, for example {'lr': [0.0001, 0.1]}"),
    ],
)
def test_arguments_that_are_swapped_or_missing_are_told(arguments: Sequence[Any], message: str) -> None:
    assert refusal(*arguments, evaluations=2) == message


@pytest.mark.parametrize(
    ("limit", "meant"),
    [
        ({"type": "flaot", "low": 0, "high": 1}, "did you mean float?"),
        ({"type": "float", "low": 0, "hihg": 1}, "did you mean high?"),
        (evo.Float(0.0, 1.0, when={"optimzer": "sgd"}), "did you mean optimizer?"),
    ],
)
def test_a_misspelt_name_in_a_limit_is_told_with_the_one_that_is_meant(limit: Any, meant: str) -> None:
    assert refusal(loss, {"x": limit, "optimizer": ("sgd", "adam")}).endswith(meant)


GENETIC = {"name": "genetic", "sigma": 0.1}
_MEANINGLESS = "leave out what it does not take"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"propagator": Conditional(4, InitUniform(), InitUniform()), "population": 20, "sigma": 0.3},
            "population and sigma are options of the genetic propagator, but propagator is Conditional: "
            f"{_MEANINGLESS}",
        ),
        (
            {"propagator": "random", "population": 20},
            f"population is an option of the genetic propagator, but propagator is random: {_MEANINGLESS}",
        ),
        (
            {"propagator": {"name": "random"}, "mutation": 0.5, "crossover": 0.5, "random_init": 0.5},
            "crossover, mutation and random_init are options of the genetic propagator, but propagator is random: "
            f"{_MEANINGLESS}",
        ),
        (
            {"propagator": {"class_path": "InitUniform"}, "sigma": 0.3},
            f"sigma is an option of the genetic propagator, but propagator is InitUniform: {_MEANINGLESS}",
        ),
        (
            {"islands": [{"workers": 1, "propagator": "random"}], "sigma": 0.3},
            f"sigma is an option of the genetic propagator, but each island has another one: {_MEANINGLESS}",
        ),
        (
            {"propagator": GENETIC, "sigma": 0.3},
            "sigma is 0.3, but propagator has sigma: 0.1: give it once, there",
        ),
    ],
)
def test_options_of_the_genetic_propagator_that_nothing_would_heed_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    assert refusal(loss, LIMITS, **settings) == message


@pytest.mark.parametrize(
    "settings",
    [
        {"population": 4},
        {"propagator": GENETIC, "population": 4},
        {"propagator": "random", "islands": [{"workers": 1, "propagator": GENETIC}], "population": 4},
        {"propagator": {"class_path": "Compose", "init_args": {"propagators": ["genetic"]}}, "population": 4},
    ],
)
def test_options_of_the_genetic_propagator_beside_it_keep_working_with_one_warning_at_the_call(
    settings: dict[str, Any],
) -> None:
    note = "population is an option of the genetic propagator: write propagator: {name: genetic, population: 4}"
    for quiet in (True, False):
        with pytest.warns(UserWarning, match=re.escape(note)) as told:
            evo.minimize(loss, LIMITS, evaluations=2, quiet=quiet, **settings)
        assert [Path(one.filename) for one in told] == [Path(__file__)]


def test_the_options_of_the_genetic_propagator_have_one_place_without_a_note(
    recwarn: pytest.WarningsRecorder,
) -> None:
    inside = {"name": "genetic", "population": 4, "sigma": 0.3}
    found = evo.minimize(loss, LIMITS, evaluations=20, propagator=inside)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="population and sigma are options of the genetic propagator: write"):
        beside = evo.minimize(loss, LIMITS, evaluations=20, population=4, sigma=0.3)
    assert [each.params for each in found.individuals] == [each.params for each in beside.individuals]


def test_a_configuration_holds_the_settings_where_no_argument_says_another(tmp_path: Path) -> None:
    config = Config(limits={"y": (0.0, 1.0)}, evaluations=4, seed=3, run_dir=str(tmp_path / "run"), quiet=True)
    first = evo.minimize(lambda params: params["y"], config=config)
    assert (len(first.individuals), first.run_dir) == (4, tmp_path / "run")
    other = evo.minimize(loss, LIMITS, config=config, evaluations=2, run_dir=None, propagator="random")
    assert [list(each.params) for each in other.individuals] == [["x"]] * 2
    assert other.run_dir is None


def test_a_search_is_quiet_unless_its_configuration_or_its_caller_says_otherwise() -> None:
    assert make_config(None, LIMITS, {}).quiet
    assert not make_config(None, LIMITS, {"quiet": False}).quiet
    assert not make_config(Config(), LIMITS, {}).quiet
    assert make_config(Config(), LIMITS, {"quiet": True}).quiet


def test_limits_may_be_the_path_of_a_file_in_python_too(tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text("x: [0.0, 1.0]\n")
    for path in (tmp_path / "limits.yaml", str(tmp_path / "limits.yaml")):
        assert len(evo.minimize(loss, path, evaluations=2).individuals) == 2


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("evaluation", ["generations", "evaluations"], "evaluations"),
        ("evaluations", ["evaluation", "evaluations"], ""),
        ("zzz", ["generations"], ""),
        (3, ["3"], ""),
        ("a", [], ""),
        ("sigm", [3, None, "sigma"], "sigma"),
    ],
)
def test_a_known_name_is_meant_when_it_is_near(name: Any, known: Any, meant: str) -> None:
    assert nearest(name, known) == meant
    assert did_you_mean(name, known) == (f"; did you mean {meant}?" if meant else "")


def test_one_function_finds_the_name_that_was_meant() -> None:
    assert [file.name for file in SOURCES.rglob("*.py") if "difflib" in file.read_text()] == ["checks.py"]


@pytest.mark.parametrize("module", [evo.checks, evo.algorithms.catalogue, evo.study.settings])
def test_the_examples_in_the_documentation_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
