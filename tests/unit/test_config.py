"""Settings from keyword arguments, each value checked; durations; files of limits."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

import evo.study.config
from evo.study.config import Config
from evo.study.durations import parse_duration
from evo.study.files import load_limits


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("1.5", 1.5),
        (" 90 ", 90.0),
        ("90s", 90.0),
        ("30m", 1800.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("1d12h", 129600.0),
        ("02:00:00", 7200.0),
        ("00:00:01", 1.0),
        ("100:00:00", 360000.0),
        ("1-12:00:00", 129600.0),
    ],
)
def test_a_duration_is_seconds_or_units_or_as_slurm_writes_it(text: str | float, seconds: float) -> None:
    assert parse_duration("walltime", text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0", "0s", 0, -1, "-5m", "1w", "h", "1h 30m", "30 m", "1:2:3", "02:00", "soon", "nan", "inf", "1e3m", "1..5s"],
)
@pytest.mark.parametrize("name", ["walltime", "time_limit"])
def test_any_other_duration_is_an_error_that_shows_how_to_write_one(name: str, text: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} is") as caught:
        Config(**{name: text})
    assert str(caught.value) == f"{name} is {text!r}: give seconds above 0, or for example 30m, 1h30m, 02:00:00"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("generations", 0, "give a whole number of at least 1"),
        ("generations", -1, "give a whole number of at least 1"),
        ("generations", 2.5, "give a whole number of at least 1"),
        ("generations", "5", "give a whole number of at least 1"),
        ("generations", True, "give a whole number of at least 1"),
        ("evaluations", 0, "give a whole number of at least 1"),
        ("evaluations", 1e3, "give a whole number of at least 1"),
        ("population", 1, "give a whole number of at least 2"),
        ("population", 2.5, "give a whole number of at least 2"),
        ("seed", -1, "give a whole number of at least 0"),
        ("seed", 1.5, "give a whole number of at least 0"),
        ("seed", "abc", "give a whole number of at least 0"),
        ("gpus_per_node", -1, "give a whole number of at least 0"),
        ("gpus_per_node", 0.5, "give a whole number of at least 0"),
        ("migrants", 0, "give a whole number of at least 1"),
        ("migrants", None, "give a whole number of at least 1"),
        ("degree", 0, "give a whole number of at least 1"),
        ("degree", 1.5, "give a whole number of at least 1"),
        ("ranks_per_worker", 0, "give a whole number of at least 1"),
        ("ranks_per_worker", "2", "give a whole number of at least 1"),
        ("ranks_per_worker", None, "give a whole number of at least 1"),
        ("migration_probability", 1.5, "a probability lies between 0 and 1"),
        ("migration_probability", -0.1, "a probability lies between 0 and 1"),
        ("migration_probability", float("nan"), "a probability lies between 0 and 1"),
        ("migration_probability", "often", "a probability lies between 0 and 1"),
        ("crossover", True, "a probability lies between 0 and 1"),
        ("crossover", 1.5, "a probability lies between 0 and 1"),
        ("crossover", -0.1, "a probability lies between 0 and 1"),
        ("mutation", 2, "a probability lies between 0 and 1"),
        ("mutation", float("nan"), "a probability lies between 0 and 1"),
        ("mutation", "often", "a probability lies between 0 and 1"),
        ("random_init", 1.01, "a probability lies between 0 and 1"),
        ("max_failed_share", 90, "a probability lies between 0 and 1"),
        ("sigma", 0, "give a number above 0"),
        ("sigma", -0.5, "give a number above 0"),
        ("sigma", float("nan"), "give a number above 0"),
        ("sigma", float("inf"), "give a number above 0"),
        ("sigma", "wide", "give a number above 0"),
        ("target", float("nan"), "give a number"),
        ("target", "low", "give a number"),
        ("target", float("inf"), "give a number"),
        ("target", True, "give a number"),
        ("run_dir", 5, "give the path of a directory"),
        ("run_dir", ["runs"], "give the path of a directory"),
        ("gpu_memory", "half", "give a share above 0, at most 1"),
        ("gpu_memory", True, "give a share above 0, at most 1"),
        ("strict", 1, "give true or false"),
        ("target", [0.1], "give a number"),
        ("evaluate", "fast", "it must be one of auto, inline, process"),
        ("migration", "jump", "it must be one of copy, move"),
        ("migration", None, "it must be one of copy, move"),
        ("exchange", "ring", "it must be one of auto, flat, tree"),
        ("quiet", "no", "give true or false"),
        ("debug", None, "give true or false"),
        ("allow_duplicates", 1, "give true or false"),
    ],
)
def test_every_wrong_value_is_an_error_that_names_the_field_the_value_and_the_rule(
    name: str, value: Any, rule: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name} is") as caught:
        Config(**{name: value})
    assert str(caught.value) == f"{name} is {value!r}: {rule}"


def test_a_time_limit_cannot_be_kept_inline() -> None:
    with pytest.raises(ValueError, match=r"^time_limit is 5, but evaluate is inline: only a child process can be stop"):
        Config(time_limit=5, evaluate="inline")


def test_a_search_without_a_budget_has_ten_generations() -> None:
    assert Config().budget(0.0).generations == 10


@pytest.mark.parametrize("budget", [{"evaluations": 3}, {"walltime": "1m"}, {"target": 0.0}])
def test_any_other_budget_takes_the_place_of_the_ten_generations(budget: dict[str, Any]) -> None:
    assert Config(**budget).budget(0.0).generations is None
    assert Config(**budget, generations=5).budget(0.0).generations == 5


def test_the_walltime_counts_from_now() -> None:
    assert Config(walltime="1m").budget(1000.0).deadline == 1060.0
    assert Config().budget(1000.0).deadline is None


def test_a_search_ends_long_enough_before_its_batch_job_for_trainings_to_save_their_state() -> None:
    budget = Config(grace="100s").budget(1000.0, allocation_end=5000.0)
    assert (budget.deadline, budget.why_deadline) == (4885.0, "the end of the batch job is near")
    assert Config(walltime="2h").budget(1000.0, allocation_end=5000.0).deadline == 4940.0
    assert Config(walltime="1m").budget(1000.0, allocation_end=5000.0) == Config(walltime="1m").budget(1000.0)


def test_limits_are_a_mapping_or_a_file_of_one(folder: Path) -> None:
    (folder / "limits.yaml").write_text("x: [0, 1]\ny: [a, b]\nz: [true, false]\n")
    assert load_limits("limits.yaml") == {"x": [0, 1], "y": ["a", "b"], "z": [True, False]}
    assert load_limits(Path("limits.yaml")) == load_limits("limits.yaml")
    assert load_limits({"x": (0, 1)}) == {"x": (0, 1)}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "holds no mapping of names to limits"),
        ("- 1\n- 2\n", "holds no mapping of names to limits"),
        ("just text" * 999, "holds no mapping of names to limits"),
        ("x: [1", "is not valid YAML: ."),
        ("x: 1\n\tz: 2", "is not valid YAML: ."),
        ("\0", "is not valid YAML: ."),
        (b"\xff\xfe\xfd", "is not valid YAML: ."),
    ],
)
def test_a_limits_file_that_cannot_be_used_is_an_error_that_names_it(
    folder: Path, content: str | bytes | None, problem: str
) -> None:
    if content is not None:
        (folder / "l.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"^limits file l.yaml {problem}") as caught:
        load_limits("l.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_options_of_the_genetic_propagator_are_known_from_those_that_are_not_given() -> None:
    assert Config().genetic_options == {}
    assert Config(sigma=0.1, population=4).genetic_options == {"population": 4, "sigma": 0.1}


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.study.config).failed == 0


def test_the_default_follows_from_how_many_objectives_there_are_and_whether_metrics_have_bounds() -> None:
    assert Config().breeding == "portfolio"
    assert Config(objectives={"val_loss": "min"}).breeding == "portfolio"
    assert Config(objectives={"val_loss": "min", "seconds": "min"}).breeding == "front"
    assert Config(constraint_metrics={"seconds": "<= 9"}).breeding == "front"
    assert Config(objectives=["a", "b"], propagator="tpe").breeding == "tpe"
    assert Config(objectives=["a", "b"], sigma=0.1).breeding == "genetic"
