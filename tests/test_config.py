"""Configuration: from keyword arguments, the command line and study files, each value checked."""

from __future__ import annotations

import dataclasses
import doctest
import shlex
from pathlib import Path
from typing import Any

import pytest

import evo.config
from evo.config import Config, load_limits, parse_arguments, parse_duration


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(*arguments: str) -> tuple[str, Config]:
    return parse_arguments(arguments, "evo")


def settings(config: Config) -> dict[str, Any]:
    """Those that differ from their defaults."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }


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
        ("target", [0.1], "give a number"),
        ("evaluate", "fast", "it must be one of auto, inline, process"),
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


def test_without_arguments_the_problem_is_digits_with_the_defaults() -> None:
    assert parse() == ("digits", Config())


def test_every_setting_is_an_option_of_the_command_line() -> None:
    objective, config = parse(
        *shlex.split(
            "sphere --limits l.yaml --generations 3 --evaluations 4 --walltime 1h --target=-1e-3 --seed 5 --run-dir r "
            "--evaluate process --time-limit 90 --max-failed-share 0.5 --allow-duplicates --gpus-per-node 0 "
            "--population 6 --crossover 0.1 --mutation 0.2 --random-init 0 --sigma 1e-1 --quiet --debug"
        )
    )
    assert objective == "sphere"
    assert config == Config(
        limits="l.yaml",
        generations=3,
        evaluations=4,
        walltime="1h",
        target=-1e-3,
        seed=5,
        run_dir="r",
        evaluate="process",
        time_limit=config.time_limit,
        max_failed_share=0.5,
        allow_duplicates=True,
        gpus_per_node=0,
        population=6,
        crossover=0.1,
        mutation=0.2,
        random_init=0.0,
        sigma=0.1,
        quiet=True,
        debug=True,
    )
    assert parse_duration("time_limit", config.time_limit or "") == 90.0
    assert len(settings(config)) == len(dataclasses.fields(Config))


STUDY = """
objective: rastrigin
limits: {lr: [1e-4, 1e-1], layers: [1, 3], activation: [relu, tanh], momentum: {type: float, low: 0, high: 1}}
generations: 7
walltime: 02:00:00
seed: 3
quiet: true
crossover: 5e-1
"""


def test_a_study_file_sets_what_the_command_line_can(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY)
    objective, config = parse("study.yaml")
    assert objective == "rastrigin"
    assert config.limits == {
        "lr": [1e-4, 1e-1],
        "layers": [1, 3],
        "activation": ["relu", "tanh"],
        "momentum": {"type": "float", "low": 0, "high": 1},
    }
    assert parse_duration("walltime", config.walltime or "") == 7200.0
    assert (config.generations, config.seed, config.quiet, config.crossover) == (7, 3, True, 0.5)


@pytest.mark.parametrize(
    "order",
    [
        "study.yaml --generations 9 --seed 4",
        "--generations 9 --seed 4 study.yaml",
        "--generations 9 study.yaml --seed 4",
        "--config study.yaml --generations 9 --seed 4",
    ],
)
def test_the_command_line_takes_precedence_over_the_study_file(folder: Path, order: str) -> None:
    (folder / "study.yaml").write_text(STUDY)
    objective, config = parse(*order.split())
    assert (objective, config.generations, config.seed, config.crossover) == ("rastrigin", 9, 4, 0.5)


def test_an_objective_on_the_command_line_takes_precedence_over_that_of_a_study_file(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY)
    assert parse("sphere", "--config", "study.yaml")[0] == "sphere"
    assert parse("study.yaml", "--objective", "sphere")[0] == "sphere"


@pytest.mark.parametrize("written", ["1e-4", "1E-4", "1.0e-4", "0.0001", ".0001", "1e-04", "+1e-4"])
def test_a_small_number_in_yaml_is_a_float_however_it_is_written(folder: Path, written: str) -> None:
    (folder / "study.yml").write_text(f"limits: {{lr: [{written}, 1e+2]}}\nsigma: {written}\n")
    _, config = parse("study.yml")
    assert (config.limits, config.sigma) == ({"lr": [1e-4, 100.0]}, 1e-4)
    (folder / "limits.yaml").write_text(f"lr: [{written}, 1e2]\n")
    assert load_limits("limits.yaml") == {"lr": [1e-4, 100.0]}
    assert parse("--limits", f"{{lr: [{written}, 1e2]}}")[1].limits == {"lr": [1e-4, 100.0]}


def test_limits_are_a_mapping_or_a_file_of_one(folder: Path) -> None:
    (folder / "limits.yaml").write_text("x: [0, 1]\ny: [a, b]\nz: [true, false]\n")
    assert load_limits("limits.yaml") == {"x": [0, 1], "y": ["a", "b"], "z": [True, False]}
    assert load_limits({"x": (0, 1)}) == {"x": (0, 1)}
    assert parse("sphere", "--limits", "limits.yaml")[1].limits == "limits.yaml"
    assert parse("sphere", "--limits", '{"x": [0, 1.5]}')[1].limits == {"x": [0, 1.5]}


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--unknown 3", ["--unknown"]),
        ("sphere more", ["more"]),
        ("--generations", ["generations", "expected one argument"]),
        ("--generations many", ["generations", "'many'", "int"]),
        ("--generations 2.5", ["generations", "'2.5'", "int"]),
        ("--generations -1", ["generations", "-1", "at least 1"]),
        ("--seed -1", ["seed", "-1", "at least 0"]),
        ("--target low", ["target", "'low'", "float"]),
        ("--crossover often", ["crossover", "'often'", "float"]),
        ("--crossover 1.5", ["crossover", "1.5", "between 0 and 1"]),
        ("--evaluate fast", ["evaluate", "'fast'", "auto", "inline", "process"]),
        ("--walltime soon", ["walltime", "'soon'", "30m"]),
        ("--sigma nan", ["sigma", "'nan'", "float"]),
        ("absent.yaml", ["absent.yaml"]),
        ("--config absent.yaml", ["absent.yaml"]),
        ("broken.yaml", ["broken.yaml"]),
        ("text.yaml", ["text.yaml"]),
        ("empty.yaml --generations none", ["generations", "'none'", "int"]),
        ("unknown.yaml", ["generatons"]),
        ("nested.yaml", ["nested.yaml", "limits is '5'", "str, dict[str, Any], null"]),
        ("wrong.yaml", ["wrong.yaml", "generations", "many"]),
        ("negative.yaml", ["generations", "-1", "at least 1"]),
        ("flag.yaml", ["flag.yaml", "quiet", "perhaps"]),
    ],
)
def test_a_mistake_on_the_command_line_or_in_a_study_file_is_one_line_that_names_it(
    folder: Path, arguments: str, words: list[str]
) -> None:
    (folder / "broken.yaml").write_text("generations: [1")
    (folder / "text.yaml").write_text("just text")
    (folder / "empty.yaml").write_text("")
    (folder / "unknown.yaml").write_text("generatons: 3\n")
    (folder / "nested.yaml").write_text("limits: 5\n")
    (folder / "wrong.yaml").write_text("generations: many\n")
    (folder / "negative.yaml").write_text("generations: -1\n")
    (folder / "flag.yaml").write_text("quiet: perhaps\n")
    with pytest.raises(ValueError, match=words[0]) as caught:
        parse(*arguments.split())
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for word in words:
        assert word in message


def test_the_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "[OBJECTIVE | STUDY.yaml] [options]" in text
    for field in dataclasses.fields(Config):
        assert "--" + field.name.replace("_", "-") in text
    assert "Stop once some loss is this low." in text


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.config).failed == 0
