"""The JSON Schema of study files allows what evo reads, and refuses mistakes that evo refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from evo.errors import UserError
from evo.report.callbacks import make_callbacks
from evo.study.arguments import parse_arguments
from evo.study.config import Config
from evo.study.plan import make_plan
from evo.study.schema.command import main
from evo.study.schema.document import build_schema

ROOT = Path(__file__).parents[2]
SCHEMA = Draft7Validator(build_schema())

SPHERE = "objective: sphere\n"
SEARCHED = "objective: sphere\nlimits: {x: [0.0, 1.0], y: [1, 9]}\n"
TRAINING = "model: network.Network\nlimits: {model.lr: [0.1, 0.2]}\n"

ACCEPTED = [
    SPHERE,
    SEARCHED,
    TRAINING,
    "objective: digits\nevaluations: 50\n",
    "objective: sphere\nevaluations: '50'\nquiet: 'true'\ntarget: '1e-3'\n",
    "objective: sphere\nevaluations: 50.0\nwalltime: 3600\n",
    "objective: sphere\nwalltime: 1-12:00:00\ngrace: 20s\ntime_limit: 1h30m\ncommand_timeout: '7'\n",
    "objective: sphere\ngenerations: null\nunused: null\n",
    "objective: sphere\nlimits: limits.yaml\n",
    "objective: sphere\nlimits: {a: [64, 32], b: [8, 16, 64], c: [relu, tanh], d: [true, false], e: 10, f: word}\n",
    "objective: sphere\nlimits: {a: [[64], [64, 32]], b: null, c: [0.1], d: [{x: 1}], e: -1.5, f: [0.1, 1]}\n",
    "objective: sphere\nlimits: {a: {type: float, low: 1e-4, high: 1e-1, log: true, default: 1e-3}}\n",
    "objective: sphere\nlimits: {a: {type: float, low: 0, high: 1, step: 0.1, default: null}}\n",
    "objective: sphere\nlimits: {a: {type: int, low: 100, high: 4, log: false, step: 2}}\n",
    "objective: sphere\nlimits: {a: [1, 8], b: {type: int, low: 0, high: a - 1}}\n",
    "objective: sphere\nlimits: {a: [1, 8], b: {type: int, low: 0, high: 2 * a}}\n",
    "objective: sphere\nlimits: {a: [x, y], b: {type: float, low: 0, high: 1, when: {a: x}}}\n",
    "objective: sphere\nlimits: {a: {type: choice, values: [none, null, 0.5, [1]], default: null}}\n",
    "objective: sphere\nlimits: {a: {type: choice, values: [x, y], when: {b: [1, 2]}}, b: [1, 3]}\n",
    SEARCHED + "constraints: x < y\n",
    SEARCHED + "constraints: [x < y, 'x + y <= 9']\nbaseline: {x: 0.5, y: 2}\n",
    SEARCHED + "start_from: [{x: 0.5, loss: 2.0}, {y: 3}]\n",
    "objective: sphere\nobjectives: {val_acc: max, parameters: min}\nconstraint_metrics: {memory: <= 2e9}\n",
    "objective: sphere\nobjectives: [val_loss, latency]\ntarget: {val_loss: 0.1}\n"
    "reference_point: {val_loss: 1, latency: 2}\nconstraint_metrics: {acc: ['>= .9', '<= 1.']}\n",
    "objective: sphere\nobjectives: val_loss\nmonitor: val_loss\nmode: min\n",
    SEARCHED + "start_from: runs/before\nbaseline: baseline.yaml\n",
    *(f"objective: sphere\npropagator: {name}\n" for name in ("tpe", "portfolio", "genetic", "random", "nelder_mead")),
    "objective: sphere\npropagator: 'optuna:TPESampler'\n",
    "objective: sphere\npropagator: {name: 'optuna:TPESampler', n_startup_trials: 3}\n",
    "objective: sphere\npropagator: {name: genetic, population: 20, sigma: 0.1}\n",
    "objective: sphere\npropagator: {name: pso, variant: clamped, particles: null}\n",
    "objective: sphere\npropagator: {name: portfolio, members: [tpe, {name: genetic, population: 4}], floor: 0.1}\n",
    "objective: sphere\npropagator: {name: portfolio, members: {a: tpe, b: {class_path: InitUniform}}}\n",
    "objective: sphere\npropagator: {class_path: evo.algorithms.CMAES, init_args: {step: 0.5}}\n",
    "objective: sphere\npropagator: {class_path: fractions.Fraction}\n",
    "objective: sphere\npropagator: {class_path: Conditional, init_args: {population: 8, otherwise: random, then: "
    "{class_path: Compose, init_args: {propagators: [{class_path: SelectMin, init_args: {count: 8}}, "
    "{class_path: SelectUniform, init_args: {count: 1}}, {class_path: PointMutation}]}}}}\n",
    "objective: sphere\npopulation: 20\ncrossover: 0\nmutation: 1\nrandom_init: 0.5\nsigma: 2.5\n",
    *(f"objective: sphere\npruning: {name}\n" for name in ("none", "halving", "median", "null")),
    "objective: sphere\npruning: {name: halving, grace: 2, reduction: 4, maximum: null}\n",
    "objective: sphere\npruning: {class_path: MedianStopping, init_args: {enough: 3}}\n",
    "objective: sphere\nislands: 1\nmigration: move\ntopology: ring\nmigrants: 2\ndegree: 1\n",
    "objective: sphere\nislands: [{workers: 1, propagator: {name: genetic, population: 8}}]\ntopology: [[0]]\n",
    "objective: sphere\nislands: [{workers: 1, propagator: null}]\nemigration: SelectUniform\n",
    "objective: sphere\nisland_sizes: [1]\nimmigration: evo.propagators.SelectMax\nmigration_probability: 0.5\n",
    "objective: sphere\ncallbacks: []\non_improvement: touch better\non_end: echo end\n",
    "objective: sphere\nexchange: tree\nevaluate: process\ntime_limit: 90\nallow_duplicates: true\ngpu_memory: 0.3\n",
    "objective: sphere\nevaluate: inline\ntime_limit: null\ngpus_per_node: 0\nseed: 0\nkeep_checkpoints: 1\n",
    "objective: sphere\nmonitor: val_loss\nmode: min\nearly_stopping: true\nmodel: null\n",
    "model: {class_path: network.Network, init_args: {layers: 2}}\ndata: network.Data\n"
    "trainer: {max_epochs: 5, gradient_clip_val: 1.0, callbacks: [{class_path: a.B}], logger: true}\n"
    "limits: {trainer.gradient_clip_val: [0.1, 1.0]}\n",
    TRAINING + "optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}\n"
    "lr_scheduler: {class_path: torch.optim.lr_scheduler.StepLR}\nlink_arguments: {trainer.max_epochs: optimizer.T}\n",
    TRAINING + "early_stopping: {patience: 5}\nkeep_data: memory\nmonitor: val_acc\nmode: max\ncompile: true\n",
    TRAINING
    + "early_stopping: false\ntrainer: {devices: auto, num_nodes: 1, fast_dev_run: false, precision: 16-mixed}\n",
    TRAINING + "trainer_class: mine.Trainer\ntrainer: {own: 1}\nmodel_class: network.Other\ndatamodule_class: a.B\n",
    TRAINING + "seed_everything: true\nckpt_path: null\ntest: {verbose: true}\nweights_only: null\n",
    "fit:\n  model: network.Network\n  seed_everything: 7\nlimits: {model.lr: [0.1, 0.2]}\n",
    "model: network.Network\ndata: {class_path: network.Data, init_args: {batch_size: 32}}\nlimits: {model.lr: 0.1}\n",
]

REFUSED = [
    "objective: sphere\nevaluation: 50\n",
    "objective: sphere\nrun-dir: runs/x\n",
    "objective: 5\n",
    "objective: sphere\nevaluations: many\n",
    "objective: sphere\nevaluations: 0\n",
    "objective: sphere\nevaluations: 1.5\n",
    "objective: sphere\nquiet: maybe\n",
    "objective: sphere\nquiet: 2\n",
    "objective: sphere\nseed: -1\n",
    "objective: sphere\ntarget: low\n",
    *(
        f"objective: sphere\nobjectives: {text}\n"
        for text in ("[]", "{}", "[a, a]", "{a: best}", "{a: true}", "{a: [min]}", "['']", "[{a: min}]", "5", "' '")
    ),
    *(
        f"objective: sphere\nconstraint_metrics: {text}\n"
        for text in (
            "{}",
            "[]",
            "a <= 1",
            "{a: 5}",
            "{a: '< 5'}",
            "{a: '<= 2GB'}",
            "{a: []}",
            "{a: ['<=']}",
            "{'': <= 1}",
        )
    ),
    "objective: sphere\nwalltime: soon\n",
    "objective: sphere\ngrace: 0\n",
    "objective: sphere\ngpu_memory: 1.5\n",
    "objective: sphere\ncrossover: 1.1\n",
    "objective: sphere\nsigma: 0\n",
    "objective: sphere\nmigration: copies\n",
    "objective: sphere\nexchange: [tree]\n",
    "objective: sphere\ntopology: rings\n",
    "objective: sphere\ntopology: [[0.5]]\n",
    "objective: sphere\nislands: 0\n",
    "objective: sphere\nislands: [{worker: 1}]\n",
    "objective: sphere\nislands: [{workers: 1, size: 2}]\n",
    "objective: sphere\nislands: [{workers: 1}]\nisland_sizes: [1]\n",
    "objective: sphere\nisland_sizes: [1.5]\n",
    "objective: sphere\nevaluate: inline\ntime_limit: 5\n",
    "objective: sphere\nemigration: SelectBest\n",
    "objective: sphere\nlimits: {}\n",
    "objective: sphere\nlimits: [x]\n",
    "objective: sphere\nlimits: {x: []}\n",
    "objective: sphere\nlimits: {x: [1, a]}\n",
    "objective: sphere\nlimits: {x: [a, a]}\n",
    "objective: sphere\nlimits: {x: {low: 1, high: 2}}\n",
    "objective: sphere\nlimits: {x: {type: real, low: 1, high: 2}}\n",
    "objective: sphere\nlimits: {x: {type: float, low: 1}}\n",
    "objective: sphere\nlimits: {x: {type: float, low: 1, high: 2, lgo: true}}\n",
    "objective: sphere\nlimits: {x: {type: float, low: 1, high: 2, log: 1}}\n",
    "objective: sphere\nlimits: {x: {type: float, low: '1e-4', high: 2}}\n",
    "objective: sphere\nlimits: {x: {type: int, low: 0.5, high: 2}}\n",
    "objective: sphere\nlimits: {x: {type: int, low: 1, high: 9, step: 0}}\n",
    "objective: sphere\nlimits: {x: {type: choice, values: []}}\n",
    "objective: sphere\nlimits: {x: {type: choice, values: a}}\n",
    "objective: sphere\nlimits: {x: [0.0, 1.0], y: {type: int, low: 1, high: 2, when: x}}\n",
    SEARCHED + "constraints: [1]\n",
    SEARCHED + "constraints: {x: y}\n",
    SEARCHED + "start_from: {x: 1}\n",
    "objective: sphere\npropagator: tpa\n",
    "objective: sphere\npropagator: {name: tpe, kernel: 5}\n",
    "objective: sphere\npropagator: {name: tpe, kernels: few}\n",
    "objective: sphere\npropagator: {name: pso, variant: wild}\n",
    "objective: sphere\npropagator: {name: tpe, class_path: TPE}\n",
    "objective: sphere\npropagator: {class_path: Compos}\n",
    "objective: sphere\npropagator: {class_path: SelectMin}\n",
    "objective: sphere\npropagator: {class_path: CMAES, init_args: {stp: 1}}\n",
    "objective: sphere\npropagator: {class_path: CMAES, step: 1}\n",
    "objective: sphere\npropagator: {class_path: CMAES, init_args: null}\n",
    "objective: sphere\npropagator: [tpe]\n",
    "objective: sphere\npruning: curve\n",
    "objective: sphere\npruning: halve\n",
    "objective: sphere\npruning: {name: median, grace: soon}\n",
    "objective: sphere\ncallbacks: {path: a.B}\n",
    "objective: sphere\ncallbacks: 5\n",
    "objective: sphere\non_end: ''\n",
    "objective: sphere\nmodel: network.Network\n",
    "objective: sphere\nmonitor: accuracy\n",
    TRAINING + "mode: most\n",
    TRAINING + "keep_data: disk\n",
    TRAINING + "ckpt_path: some.ckpt\n",
    TRAINING + "seed_everything: some\n",
    TRAINING + "trainer: {fast_dev_run: true}\n",
    TRAINING + "trainer: {num_nodes: 4}\n",
    TRAINING + "trainer: {devices: [0, 1]}\n",
    TRAINING + "trainer: 5\n",
]


# Options of which more is checked when a search is planned.
PLANNED = {"limits", "constraints", "islands", "island_sizes", "topology", "emigration", "immigration"}
PLANNED |= {"propagator", "pruning"}


def why_evo_refuses(text: str, folder: Path) -> str:
    """What evo's own reader says of a study file, for one rank; empty when it takes it."""
    file = folder / "study.yaml"
    file.write_text(text)
    try:
        command = parse_arguments([str(file)], "evo run")
        config = command.config
        if isinstance(command.what, str) and PLANNED & {*read(text)}:
            limits = {"x": (0.0, 1.0)} if config.limits in (None, "limits.yaml") else config.limits
            given = Config(**{**vars(config), "limits": limits, "baseline": None})
            make_plan(given, lambda params: 0.0, None, None, ranks=1)
        make_callbacks(config.callbacks)
    except UserError as error:
        return str(error)
    return ""


def why_the_schema_refuses(text: str) -> str:
    return "; ".join(f"{error.json_path}: {error.message[:200]}" for error in SCHEMA.iter_errors(read(text)))


def read(text: str) -> Any:
    from jsonargparse import get_loader

    return get_loader("yaml")(text)


def test_it_is_a_schema_of_draft_7() -> None:
    Draft7Validator.check_schema(SCHEMA.schema)
    enums = re.findall(r'"enum": (\[[^]]*\])', json.dumps(SCHEMA.schema))
    assert len(enums) > 50
    assert [enum for enum in enums if len({repr(each) for each in json.loads(enum)}) < len(json.loads(enum))] == []


def test_a_name_alone_is_offered_only_where_no_argument_is_needed() -> None:
    assert why_the_schema_refuses("objective: sphere\npruning: curve\n")
    assert why_the_schema_refuses("objective: sphere\npruning: {name: curve, maximum: 20}\n") == ""


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_evo_reads_the_schema_allows(text: str, tmp_path: Path) -> None:
    problem = why_evo_refuses(text, tmp_path)
    assert not problem or "fractions.Fraction" in problem  # Only evo can know that this class is no propagator.
    assert why_the_schema_refuses(text) == ""


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_schema_refuses_evo_refuses_as_well(text: str, tmp_path: Path) -> None:
    assert why_the_schema_refuses(text)
    assert why_evo_refuses(text, tmp_path)


def study_files() -> dict[str, str]:
    """All study files of this repository: those of the tutorials, and the YAML blocks of its documents."""
    files = {file.name: file.read_text() for file in (ROOT / "tutorials").glob("*.yaml")}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            files[f"{page.name}: {block.partition(chr(10))[0]}"] = block
    return {name: text for name, text in files.items() if re.search(r"^(objective|model):", text, re.MULTILINE)}


def test_every_study_file_of_the_repository_is_allowed() -> None:
    files = study_files()
    assert len(files) >= 10
    assert {name: why for name, text in files.items() if (why := why_the_schema_refuses(text))} == {}


PROBES: list[Any] = [-1, 0, 1, 2, 0.5, "7", "x", "", "1h", "true", True, None, [], [1], {}, {"x": 1}]
# What evo refuses of these depends on more than the file: on another file, the number of ranks, or Lightning.
ONLY_EVO_KNOWS = {
    "limits",
    "constraints",
    "start_from",
    "islands",
    "ranks_per_worker",
    "fit",
    "compile",
    "target",
    "reference_point",
}
ELSEWHERE = {"objective", "model", "data", "optimizer", "lr_scheduler", "trainer", "early_stopping", "link_arguments"}


@pytest.mark.parametrize("option", [name for name in SCHEMA.schema["properties"] if name not in ELSEWHERE])
def test_the_schema_and_evo_agree_on_the_kinds_of_values_of_an_option(option: str, tmp_path: Path) -> None:
    differing = {}
    for probe in PROBES:
        text = f"objective: sphere\n{option}: {json.dumps(probe)}\n"
        refusals = why_evo_refuses(text, tmp_path), why_the_schema_refuses(text)
        is_fine = not refusals[1] if not refusals[0] else refusals[1] or option in ONLY_EVO_KNOWS or probe == "7"
        if not is_fine:
            differing[repr(probe)] = refusals
    assert differing == {}


def test_the_command_writes_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], "evo schema") == 0
    assert json.loads(capsys.readouterr().out) == build_schema()
    assert main(["--out", str(tmp_path / "study.schema.json")], "evo schema") == 0
    assert json.loads((tmp_path / "study.schema.json").read_text()) == build_schema()
    assert main(["--out", str(tmp_path / "no" / "s.json")], "evo schema") == 2
    assert "s.json cannot be written: No such file" in capsys.readouterr().err
