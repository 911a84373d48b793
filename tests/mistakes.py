"""Mistakes that users make on the command line, with words that the one line they get must hold."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evo.space.space import Space
from evo.storage.rundir import RunDirectory, StudyRecord

_LIMITS = {
    "good": "x: [0.0, 1.0]",
    "empty": "{}",
    "nothing": "",
    "none": "x: []",
    "off": "x: [on, off]",
    "mixed": "x: [relu, 3]",
    "nan": "x: [.nan, 1.0]",
    "log": "x: {type: float, low: 0, high: 1, log: true}",
    "octal": "x: 010",
    "kind": "x: {type: flaot, low: 0, high: 1}",
    "parent": "x: {type: float, low: 0, high: 1, when: {optimizer: sgd}}",
    "broken": "x: [1",
}

MISTAKES: dict[str, tuple[str, list[str]]] = {
    "unknown_function": ("spere", ["objective 'spere'", "did you mean sphere?"]),
    "unknown_module": ("no_such_module:loss", ["no_such_module:loss", "there is no module"]),
    "unknown_file": ("no_such_file.py:loss", ["no_such_file.py:loss", "there is no file"]),
    "unknown_name": ("nasty:loss --limits good.yaml", ["nasty:loss", "nasty has no 'loss'"]),
    "no_loss": ("threading:Event --limits good.yaml --evaluate inline", ["the signature ()", "takes (params)"]),
    "builtin_without_limits": ("time:sleep", ["time:sleep", "has no limits", "--limits"]),
    "empty_limits": ("sphere --limits empty.yaml", ["limits are {}"]),
    "empty_limits_file": ("sphere --limits nothing.yaml", ["nothing.yaml", "no mapping"]),
    "absent_limits_file": ("sphere --limits absent.yaml", ["absent.yaml", "No such file"]),
    "broken_limits_file": ("sphere --limits broken.yaml", ["broken.yaml", "not valid YAML"]),
    "no_value": ("sphere --limits none.yaml", ["'x'", "[]", "at least one value"]),
    "read_as_a_boolean": ("sphere --limits off.yaml", ["off.yaml", "'x'", "on", "true"]),
    "mixed_values": ("sphere --limits mixed.yaml", ["'x'", "['relu', 3]"]),
    "nan_bounds": ("sphere --limits nan.yaml", ["'x'", "nan"]),
    "log_of_zero": ("sphere --limits log.yaml", ["'x'", "log", "above 0"]),
    "read_as_octal": ("sphere --limits octal.yaml", ["octal.yaml", "'x'", "010", "8"]),
    "start_outside": ("sphere --limits good.yaml --start-from '[{x: 7}]'", ["start_from, point 1", "x is 7"]),
    "absent_start": ("sphere --limits good.yaml --start-from absent.yaml", ["start_from absent.yaml", "No such file"]),
    "growth_without_default": (
        "sphere --run-dir other --change-limits --limits '{x0: [0.0, 1.0], x1: [0.0, 1.0], x2: [0.0, 1.0]}'",
        ["limit 'x2' is new", "default"],
    ),
    "unknown_kind": ("sphere --limits kind.yaml", ["'x'", "flaot", "float, int, choice"]),
    "unknown_parent": ("sphere --limits parent.yaml", ["'x'", "'optimizer'"]),
    "unknown_option": ("sphere --generatons 3", ["--generatons"]),
    "negative_generations": ("sphere --generations -1", ["generations", "-1", "at least 1"]),
    "words_for_numbers": ("sphere --evaluations many", ["evaluations", "'many'", "int"]),
    "unknown_study_file": ("study.yaml", ["study.yaml"]),
    "run_dir_below_a_file": ("sphere --run-dir off.yaml/runs", ["run directory off.yaml/runs", "off.yaml is a file"]),
    "run_dir_of_something_else": ("sphere --run-dir thesis", ["thesis", "no study.json"]),
    "run_dir_that_is_damaged": ("sphere --run-dir damaged", ["damaged", "study.json cannot be read"]),
    "run_dir_with_a_damaged_journal": ("sphere --run-dir rotten", ["rotten/journal/0.jsonl, line 1 is damaged"]),
    "other_objective": ("rosenbrock --run-dir other", ["other", "evo.problems.functions:sphere", "not"]),
    "other_limits": (
        "sphere --run-dir other --limits '{x0: [0, 1]}'",
        ["other", "'x0'", "5.12", "--run-dir", "--change-limits"],
    ),
    "other_seed": ("sphere --run-dir other --seed 4", ["other", "seed is 3, not 4"]),
    "too_many_islands": ("sphere --islands 9", ["islands is 9", "worker", "give at most"]),
    "sizes_that_do_not_add_up": ("sphere --island-sizes '[2, 5]'", ["island_sizes is [2, 5]", "adds up to 7"]),
    "negative_entry": ("sphere --topology '[[-1]]'", ["topology has -1 in row 0, column 0", "at least 0"]),
    "diagonal_entry": ("sphere --topology '[[1]]'", ["topology has 1 in row 0, column 0", "give 0 on the diagonal"]),
    "unknown_topology": ("sphere --topology rnig", ["topology is 'rnig'", "did you mean ring?"]),
    "incomplete_workers": ("sphere --ranks-per-worker 3", ["ranks_per_worker is 3", "start a multiple of it"]),
    "unknown_propagator": ("sphere --propagator genetc", ["propagator 'genetc'", "did you mean genetic?"]),
    "unknown_selection": ("sphere --emigration SelctMin", ["emigration", "'SelctMin'", "did you mean SelectMin?"]),
    "unfit_settings": ("sphere --evaluate inline --time-limit 5", ["time_limit is 5", "inline"]),
}
"""Name to the arguments of `evo.run` and the words; `prepare` writes the files that they speak of."""

ALL = """
import shlex, sys
import mistakes
from evo.run import main
for name, (arguments, _) in mistakes.MISTAKES.items():
    assert main(shlex.split(arguments)) == 2, name
    print(f"after {name}", file=sys.stderr, flush=True)
"""
"""A script that makes all mistakes, one after another."""


def prepare(folder: Path) -> None:
    """Write the files that the mistakes need, and traps for whoever imports torch."""
    for name, text in _LIMITS.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "thesis").mkdir()
    (folder / "thesis" / "thesis.tex").touch()
    bounds = {f"x{index}": (-5.12, 5.12) for index in range(2)}
    study = StudyRecord(
        name="other", objective="evo.problems.functions:sphere", limits=Space(bounds).describe(), seed=3, created=1.0
    )
    for name in ("other", "damaged", "rotten"):
        RunDirectory(folder / name).create(study)
    (folder / "damaged" / "study.json").write_bytes(msgspec.json.encode(study)[:40])
    (folder / "rotten" / "journal" / "0.jsonl").write_text("{}\n")
    (folder / "traps").mkdir()
    for name in ("torch", "lightning", "torchvision", "matplotlib"):
        (folder / "traps" / f"{name}.py").write_text("import os\nos._exit(99)\n")


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, and all folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }
