"""The command line and study files: every setting in both, and one line for each mistake."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest

from evo.study.arguments import parse_arguments
from evo.study.config import Config
from evo.study.durations import parse_duration
from evo.study.files import load_limits


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(*arguments: str) -> tuple[Any, Config]:
    return parse_arguments(arguments, "evo")[:2]


def settings(config: Config) -> dict[str, Any]:
    """Those that differ from their defaults."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }


def test_without_arguments_the_problem_is_digits_with_the_defaults() -> None:
    assert parse() == ("digits", Config())


@pytest.mark.parametrize("content", ["", "{}", "evaluations: 10\nlimits: {x: [0.0, 1.0]}\n"])
def test_a_study_file_must_name_an_objective_or_a_model(tmp_path: Path, content: str) -> None:
    file = tmp_path / "few.yaml"
    file.write_text(content)
    for arguments in ([str(file)], ["--config", str(file), "--evaluations", "5"]):
        with pytest.raises(
            ValueError,
            match=r"^study file \S*few.yaml names no objective and no model: add objective: ",
        ):
            parse(*arguments)
    assert parse("--config", str(file), "sphere")[0] == "sphere"
    assert parse(str(file), "--objective", "sphere")[0] == "sphere"


def test_one_callback_needs_no_list() -> None:
    own = {"class_path": "my.Own", "init_args": {"file": "x"}}
    assert parse("sphere", "--callbacks", "{class_path: my.Own, init_args: {file: x}}")[1].callbacks == own
    assert Config(callbacks=own).callbacks == own


def test_a_name_of_points_that_is_empty_is_not_taken_for_none() -> None:
    assert parse_arguments(["digits", "--start-from", ""], "evo run").config.start_from == ""
    assert parse_arguments(["digits", "--start-from", "null"], "evo run").config.start_from is None


def test_every_setting_is_an_option_of_the_command_line() -> None:
    objective, config = parse(
        *shlex.split(
            "sphere --limits l.yaml --constraints 'x < y' "
            "--objectives '{a: min, b: min}' --constraint-metrics '{c: \"<= 1\"}' --reference-point '{a: 1, b: 2}' "
            "--generations 3 --evaluations 4 --walltime 1h --target '{a: -1e-3}' --seed 5 --run-dir r "
            "--grace 20s --checkpoint-interval 2m --keep-checkpoints 5 --pruning median "
            "--evaluate process --time-limit 90 --max-failed-share 0.5 --allow-duplicates --gpus-per-node 0 "
            "--gpu-memory 0.5 --baseline b.yaml --change-limits --trust --strict --start-from '[{x: 0.5}]' "
            "--collective-timeout 3m "
            "--population 6 --crossover 0.1 --mutation 0.2 --random-init 0 --sigma 1e-1 --quiet --debug "
            "--islands 2 --island-sizes '[3, 1]' --migration move --migration-probability 5e-1 "
            "--topology '[[0, 1], [2, 0]]' --migrants 3 --degree 1 --emigration SelectMax --immigration my.Own "
            "--ranks-per-worker 2 --exchange tree --propagator '{name: genetic, sigma: 1e-2}' "
            "--callbacks my.Own --on-improvement 'touch better' --on-end 'echo $EVO_LOSS' --command-timeout 5s"
        )
    )
    assert objective == "sphere"
    assert config == Config(
        limits="l.yaml",
        constraints="x < y",
        generations=3,
        evaluations=4,
        walltime="1h",
        objectives={"a": "min", "b": "min"},
        constraint_metrics={"c": "<= 1"},
        reference_point={"a": 1, "b": 2},
        target={"a": -1e-3},
        seed=5,
        run_dir="r",
        evaluate="process",
        time_limit=config.time_limit,
        grace="20s",
        checkpoint_interval="2m",
        keep_checkpoints=5,
        pruning="median",
        max_failed_share=0.5,
        allow_duplicates=True,
        gpus_per_node=0,
        gpu_memory=0.5,
        collective_timeout="3m",
        baseline="b.yaml",
        change_limits=True,
        trust=True,
        strict=True,
        start_from=[{"x": 0.5}],
        population=6,
        crossover=0.1,
        mutation=0.2,
        random_init=0.0,
        sigma=0.1,
        quiet=True,
        debug=True,
        islands=2,
        island_sizes=[3, 1],
        migration="move",
        migration_probability=0.5,
        topology=[[0, 1], [2, 0]],
        migrants=3,
        degree=1,
        emigration="SelectMax",
        immigration="my.Own",
        ranks_per_worker=2,
        exchange="tree",
        propagator={"name": "genetic", "sigma": 0.01},
        callbacks="my.Own",
        on_improvement="touch better",
        on_end="echo $EVO_LOSS",
        command_timeout="5s",
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


def test_islands_with_propagators_of_their_own_are_written_alike_in_a_study_file_and_on_the_command_line(
    folder: Path,
) -> None:
    islands = """
      - workers: 3
        propagator: {name: genetic, sigma: 5e-2}
      - workers: 1
        propagator:
          class_path: evo.propagators.Conditional
          init_args: {population: 5, then: {class_path: my.Own}, otherwise: random}
    """
    (folder / "study.yaml").write_text(
        f"objective: sphere\nislands: {islands}\ntopology:\n  - [0, 1]\n  - [2, 0]\npropagator: random\n"
    )
    _, config = parse("study.yaml")
    own = {"population": 5, "then": {"class_path": "my.Own"}, "otherwise": "random"}
    assert config.islands == [
        {"workers": 3, "propagator": {"name": "genetic", "sigma": 0.05}},
        {"workers": 1, "propagator": {"class_path": "evo.propagators.Conditional", "init_args": own}},
    ]
    assert (config.topology, config.propagator) == ([[0, 1], [2, 0]], "random")
    assert parse("--islands", islands)[1].islands == config.islands
    assert parse("study.yaml", "--islands", "2", "--topology", "ring")[1] == Config(
        islands=2, topology="ring", propagator="random"
    )


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
    (folder / "study.yml").write_text(f"objective: sphere\nlimits: {{lr: [{written}, 1e+2]}}\nsigma: {written}\n")
    _, config = parse("study.yml")
    assert (config.limits, config.sigma) == ({"lr": [1e-4, 100.0]}, 1e-4)
    (folder / "limits.yaml").write_text(f"lr: [{written}, 1e2]\n")
    assert load_limits("limits.yaml") == {"lr": [1e-4, 100.0]}
    assert parse("--limits", f"{{lr: [{written}, 1e2]}}")[1].limits == {"lr": [1e-4, 100.0]}


def test_limits_on_the_command_line_are_a_mapping_or_the_name_of_a_file() -> None:
    assert parse("sphere", "--limits", "limits.yaml")[1].limits == "limits.yaml"
    assert parse("sphere", "--limits", '{"x": [0, 1.5]}')[1].limits == {"x": [0, 1.5]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--unknown 3", ["--unknown"]),
        ("--evaluation 3", ["--evaluation; did you mean --evaluations?", "--help"]),
        ("--run_dri r", ["did you mean --run-dir?"]),
        ("twice.yaml", ["twice.yaml", "'seed' is written twice, again in line 3"]),
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
        ("--sigma nan", ["sigma", "nan", "above 0"]),
        ("--islands many", ["islands is 'many'", "int, list[dict]"]),
        ("--islands 2.5", ["islands is '2.5'", "int, list[dict]"]),
        ("--islands true", ["islands is 'true'", "int, list[dict]"]),
        ("--islands [2,2]", ["islands", "'[2,2]'", "int, list[dict]"]),
        ("--island-sizes 3", ["island_sizes is '3'", "list[int]"]),
        ("--island-sizes [1,two]", ["island_sizes", "'[1,two]'", "list[int]"]),
        ("--migration jump", ["migration is 'jump'", "'copy', 'move'"]),
        ("--migration-probability 2", ["migration_probability is 2.0", "between 0 and 1"]),
        ("--migrants 0", ["migrants is 0", "at least 1"]),
        ("--degree few", ["degree is 'few'", "int"]),
        ("--ranks-per-worker null", ["ranks_per_worker is 'null'", "int"]),
        ("--exchange ring", ["exchange is 'ring'", "'auto', 'flat', 'tree'"]),
        ("islands.yaml", ["islands.yaml", "islands is ", "{'workers': 1}, 3", "int, list[dict]"]),
        ("sizes.yaml", ["sizes.yaml", "island_sizes is 3", "list[int]"]),
        ("number.yaml", ["number.yaml", "propagator is 3", "str, dict"]),
        ("absent.yaml", ["absent.yaml"]),
        ("--config absent.yaml", ["absent.yaml"]),
        ("broken.yaml", ["broken.yaml"]),
        ("text.yaml", ["text.yaml"]),
        ("empty.yaml --generations none", ["generations", "'none'", "int"]),
        ("unknown.yaml", ["generatons"]),
        ("nested.yaml", ["nested.yaml", "limits is 5", "str, dict[str, Any], null"]),
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
    (folder / "islands.yaml").write_text("islands: [{workers: 1}, 3]\n")
    (folder / "sizes.yaml").write_text("island_sizes: 3\n")
    (folder / "number.yaml").write_text("propagator: 3\n")
    (folder / "twice.yaml").write_text("seed: 3\nevaluations: 9\nseed: 4\n")
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
    assert "Stop once a loss is at most this number." in text


BREEDS = "propagator: {name: genetic, sigma: 0.1}\n"


@pytest.mark.parametrize(
    ("study", "arguments", "propagator", "beside"),
    [
        ("population: 10\n", "", None, {"population": 10}),
        ("population: 10\n", "--population 6", None, {"population": 6}),
        (BREEDS, "--sigma 0.3", {"name": "genetic"}, {"sigma": 0.3}),
        (BREEDS, "--population 6", {"name": "genetic", "sigma": 0.1}, {"population": 6}),
        (BREEDS, "--propagator.sigma 0.3", {"name": "genetic", "sigma": 0.3}, {}),
        ("sigma: 0.1\n", "--propagator {name:\\ genetic,\\ sigma:\\ 0.3}", {"name": "genetic", "sigma": 0.3}, {}),
        ("sigma: 0.1\n", "--propagator {name:\\ genetic}", {"name": "genetic"}, {"sigma": 0.1}),
        ("sigma: 0.1\n", "--propagator random", "random", {}),
        ("sigma: 0.1\n", "--propagator.sigma 0.3", {"name": "genetic", "sigma": 0.3}, {}),
        ("sigma: 0.1\nislands: [{workers: 1, propagator: genetic}]", "--propagator random", "random", {"sigma": 0.1}),
        ("", "--propagator random --sigma .3", "random", {"sigma": 0.3}),  # Which whoever makes the propagator refuses.
        ("", "--propagator.sigma .3", {"name": "genetic", "sigma": 0.3}, {}),
    ],
)
def test_where_a_study_file_and_the_command_line_both_say_how_to_breed_the_command_line_wins(
    folder: Path, study: str, arguments: str, propagator: Any, beside: dict[str, Any]
) -> None:
    (folder / "study.yaml").write_text(f"objective: sphere\n{study}")
    _, config = parse("study.yaml", *shlex.split(arguments))
    assert (config.propagator, config.genetic_options) == (propagator, beside)


def test_options_of_the_genetic_propagator_beside_it_are_told_where_they_belong_but_not_on_the_command_line(
    folder: Path,
) -> None:
    (folder / "study.yaml").write_text("objective: sphere\npopulation: 20\nsigma: 0.1\n")
    assert parse_arguments(["study.yaml"], "evo").notes == [
        "population and sigma are options of the genetic propagator: "
        "write propagator: {name: genetic, population: 20, sigma: 0.1}"
    ]
    assert parse_arguments(["study.yaml", "--population", "9"], "evo").notes == [
        "sigma is an option of the genetic propagator: write propagator: {name: genetic, sigma: 0.1}"
    ]
    (folder / "study.yaml").write_text("objective: sphere\npropagator: {name: genetic, population: 20}\n")
    assert parse_arguments(["study.yaml", "--sigma", "0.1"], "evo").notes == []


def test_one_parameter_of_a_pruner_or_a_propagator_may_be_given_by_its_place() -> None:
    assert parse("--pruning", "halving", "--pruning.grace", "3")[1].pruning == {"name": "halving", "grace": 3}
    assert parse("--propagator", "random", "--propagator.x", "3")[1].propagator == {"name": "random", "x": 3}


@pytest.mark.parametrize(("written", "meant"), [(".5", 0.5), ("5e-1", 0.5), ("1.", 1.0), ("1", 1.0)])
def test_a_number_on_the_command_line_may_be_written_as_python_writes_it(written: str, meant: float) -> None:
    assert parse("--crossover", written)[1].crossover == meant
