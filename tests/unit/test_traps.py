"""What YAML reads as something else than was written is told, wherever limits stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from evo.study.arguments import parse_arguments
from evo.study.files import load_limits, load_yaml
from evo.study.traps import check_values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [off, on]", "'a' holds off, which YAML reads as false: write \"off\" for the text, or false"),
        ("a: [x, Yes]", "'a' holds Yes, which YAML reads as true: write \"Yes\" for the text, or true"),
        ("a: no", "'a' holds no, which YAML reads as false"),
        ("a: [1:2, 1:30]", "'a' holds 1:2, which YAML reads as the number 62: write \"1:2\" for the text, or 62"),
        ("a: 1:30:00", "'a' holds 1:30:00, which YAML reads as the number 5400"),
        ("a: [1:30.5, 2]", "which YAML reads as the number 90.5"),
        ("a: [010, 020]", '010, which YAML reads as an octal number, 8: write "010" for the text, 10 or 8'),
        ("a: [-010, 1]", 'which YAML reads as an octal number, -8: write "-010" for the text, -10 or -8'),
        ("a: [08, 1]", '08, which YAML reads as a text: write "08" for the text, or 8'),
        ("a: [-.5, .5]", '-.5, which YAML reads as a text: write "-.5" for the text, or -0.5'),
        ("a: ~", "'a' holds ~, which YAML reads as null: write \"~\" for the text, or null"),
        ("a:\nb: 1", "'a' holds nothing, which YAML reads as null"),
        ("a: {type: choice, values: [yes, 'no']}", "'a' holds yes"),
        ("a: [[off], [x]]", "'a' holds off"),
        ("b: 1\na: {type: int, low: 0, high: 1, when: {c: off}}", "'a' holds off"),
        ("on: [1, 2]", "a name is written on, which YAML reads as true"),
        ("1:30: [1, 2]", "a name is written 1:30"),
        ("a: [1, 2]\nb: 3\na: 5", "'a' is written twice, again in line 3"),
        ("a: &x [on, 1]\nb: *x", "'a' holds on"),
        ("- {x: off}", "'x' holds off"),
    ],
)
def test_what_yaml_reads_otherwise_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="limits: ") as raised:
        check_values(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: [true, False]",
        "a: [1e-4, 1E5, .5, 5., 0.1, 0, -0, 1_000, 0x10]",
        "a: ['off', \"on\", !!str off]",
        "a: [y, n, x, hello world, a/b, c#d, 5%, 1.2.3, sgd+momentum]",
        "a: [null, x]",
        "a: [2024-01-01, 2025-01-01]",
        "a: |\n  off\n",
        "a: [<<, =]",
        "limits.yaml",
        "[unfinished",
        "",
    ],
)
def test_what_is_read_as_it_is_written_is_not(text: str) -> None:
    check_values(text)


def test_limits_are_looked_at_in_files_study_files_and_options_and_nothing_else_is(tmp_path: Path) -> None:
    limits, study = tmp_path / "limits.yaml", tmp_path / "study.yaml"
    limits.write_text("bias: [on, off]\n")
    with pytest.raises(ValueError, match=r"limits file .*limits.yaml: 'bias' holds on"):
        load_limits(str(limits))
    study.write_text("objective: sphere\nwalltime: 1:30:00\nquiet: yes\nlimits:\n  bias: [on, off]\n")
    with pytest.raises(ValueError, match=r"study file .*study.yaml, limits: 'bias' holds on"):
        parse_arguments([str(study)], "evo")
    with pytest.raises(ValueError, match=r"study file .*study.yaml, limits: 'bias' holds on"):
        parse_arguments(["--config", str(study)], "evo")
    study.write_text("objective: sphere\nwalltime: '1:30:00'\nquiet: yes\nstart_from:\n  - {bias: off}\n")
    with pytest.raises(ValueError, match=r"study.yaml, start_from: 'bias' holds off"):
        parse_arguments([str(study)], "evo")
    for arguments in (["--limits", "{bias: [on, off]}"], ["--limits={bias: [on, off]}"]):
        with pytest.raises(ValueError, match=r"--limits: 'bias' holds on, which YAML reads as true"):
            parse_arguments(["sphere", *arguments], "evo")
    study.write_text("objective: sphere\nquiet: yes\nlimits:\n  bias: ['on', 'off']\n  rate: [1e-4, 1e-1]\n")
    config = parse_arguments([str(study)], "evo").config
    assert config.limits == {"bias": ["on", "off"], "rate": [0.0001, 0.1]}
    assert config.quiet
    assert load_yaml("file", str(limits)) == {"bias": [True, False]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nquiet: true\nseed: 2\n", "'seed' is written twice, again in line 3"),
        ("trainer:\n  max_epochs: 1\n  max_epochs: 2\n", "'max_epochs' is written twice, again in line 3"),
        ("propagator: {name: genetic, sigma: 1, sigma: 2}\n", "'sigma' is written twice, again in line 1"),
        ("islands:\n- {workers: 1, workers: 2}\n", "'workers' is written twice, again in line 2"),
    ],
)
def test_no_name_stands_twice_in_a_study_file(tmp_path: Path, text: str, message: str) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(text)
    with pytest.raises(ValueError, match=f"^study file .*study.yaml: {message}: YAML takes the last one; name it once"):
        parse_arguments([str(study)], "evo")
