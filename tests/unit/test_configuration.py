"""An individual as YAML: its parameters, or a configuration of LightningCLI with the sections of its study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import call

import evo
from evo.objective.accepting import Accepted, accepted_by
from evo.objective.training import Training
from evo.randomness import training_seed
from evo.report.configuration import lightning_configuration
from evo.report.records import Evaluation
from evo.report.yaml_text import yaml_text
from evo.study.files import read_parameters
from evo.study.point_rows import PointForm, read_points

FORMER = Path(__file__).parents[1] / "former"

NASTY: dict[str, Any] = {
    **{f"text{number}": text for number, text in enumerate(["on", "No", "1e-3", "0x1F", "1:20", "~", "null", "nan"])},
    **{
        f"more{number}": text
        for number, text in enumerate(["", " a ", "a: b", "# c", "- d", "2024-01-01", "1_000", "="])
    },
    **{
        f"odd{number}": text
        for number, text in enumerate(["ü\n", "\x1b[2J", "\u202e", "'", '"', "!x", "&a", "*a", "relu"])
    },
    **{"on": 1, "1": 2, "y": 3, "model.lr": 1e-05, "tiny": 5e-324, "huge": 1e300, "round": 1e20, "negative": -0.0},
    **{"flag": True, "none": None, "whole": 2**53, "list": [1, [2.0, "no"], {"a": None}], "empty": [], "nothing": {}},
}


def test_every_reader_of_the_yaml_takes_values_for_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    text = yaml_text(NASTY, ("a comment\nwith \x1b in it",))
    file.write_text(text)
    for read in (read_parameters(file), *(row.params for row in read_points(file, PointForm(names=NASTY)).rows)):
        assert json.dumps(read) == json.dumps(NASTY)
    assert "\x1b" not in text
    assert "\u202e" not in text


def fill(training: Training, ranks: int = 1, **params: Any) -> tuple[dict[str, Any], list[str]]:
    known = {
        "my.Net": Accepted(frozenset({"lr", "depth", "inner"}), any_other=False),
        "my.Any": Accepted(frozenset({"lr"}), any_other=True),
        "my.Data": Accepted(frozenset({"batch", "lr"}), any_other=False),
        "my.Inner": Accepted(frozenset({"a"}), any_other=False),
    }
    places = {name.replace("__", "."): value for name, value in params.items()}
    one = Evaluation(individual=(1, 2), params=places, ranks_per_worker=ranks)
    return lightning_configuration(training, one, seed=3, accepts=known.get)


def test_values_are_put_where_the_search_put_them() -> None:
    training = Training(
        model={"class_path": "my.Net", "init_args": {"depth": 2, "inner": [{"class_path": "my.Inner"}]}},
        data="my.Data",
        trainer={"max_epochs": 3, "callbacks": {"class_path": "L.ModelCheckpoint"}},
        optimizer={"class_path": "torch.optim.Unknown", "init_args": {"lr": 0.5}},
        lr_scheduler={"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau"},
        monitor="val_acc",
        mode="max",
    )
    found, notes = fill(
        training,
        lr=0.1,
        model__init_args__inner__0__init_args__a=7,
        data__batch=8,
        trainer__gradient_clip_val=1.0,
        early_stopping__patience=4,
        lr_scheduler__factor=0.5,
    )
    assert notes == []
    watched = {"monitor": "val_acc", "mode": "max"}
    stopping = {**watched, "strict": False, "patience": 4}
    callbacks = [
        {"class_path": "L.ModelCheckpoint"},
        {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": stopping},
    ]
    inner = [{"class_path": "my.Inner", "init_args": {"a": 7}}]
    assert found == {
        "seed_everything": training_seed(3, (1, 2)),
        "trainer": {"devices": 1, "max_epochs": 3, "gradient_clip_val": 1.0, "callbacks": callbacks},
        "model": {"class_path": "my.Net", "init_args": {"depth": 2, "inner": inner, "lr": 0.1}},
        "data": {"class_path": "my.Data", "init_args": {"lr": 0.1, "batch": 8}},
        "optimizer": {"class_path": "torch.optim.Unknown", "init_args": {"lr": 0.5}},
        "lr_scheduler": {
            "class_path": "lightning.pytorch.cli.ReduceLROnPlateau",
            "init_args": {"monitor": "val_acc", "factor": 0.5},
        },
    }
    assert training.model == {"class_path": "my.Net", "init_args": {"depth": 2, "inner": [{"class_path": "my.Inner"}]}}


def test_a_class_that_was_searched_keeps_the_arguments_that_it_takes() -> None:
    training = Training(
        model={"class_path": "my.Other", "init_args": {"depth": 2, "colour": "red"}},
        early_stopping=False,
        optimizer={"class_path": "torch.optim.Adam"},
        trainer={"strategy": "ddp_spawn"},
    )
    found, notes = fill(
        training, model__class_path="my.Net", model__inner__class_path="my.Inner", optimizer__class_path=None
    )
    arguments = {"depth": 2, "inner": {"class_path": "my.Inner"}}
    assert found["model"] == {"class_path": "my.Net", "init_args": arguments}
    assert "optimizer" not in found
    assert "strategy" not in found["trainer"]
    assert [each["class_path"].rpartition(".")[2] for each in found["trainer"]["callbacks"]] == ["ModelCheckpoint"]
    assert notes == ["left out: model.colour, which my.Net does not take"]


def test_what_only_the_main_program_can_say_is_said_in_comments() -> None:
    training = Training(
        model={"depth": 2},
        model_class="my.Any",
        datamodule_class="my.Data",
        trainer_class="my.Trainer",
        compile=True,
        link_arguments={"data.num": "model.num"},
    )
    found, notes = fill(training, ranks=4, model__other=1)
    assert found["model"] == {"depth": 2, "other": 1}
    assert "data" not in found
    assert (found["trainer"]["devices"], found["trainer"]["strategy"]) == (4, "ddp")
    told = "\n".join(notes)
    for words in ("model.num comes from data.num", "model is my.Any", "data is my.Data", "my.Trainer", "compile"):
        assert words in told


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"batch": 1}, "cannot be seen whether model or data takes 'batch': run this where Python finds my.Unknown"),
        ({"data__parts__3": 1}, "data.parts.3 was searched, but data.parts is a list of 1"),
        ({"data__batch__a": 1}, "data.batch.a was searched, but data.batch is 4, and no section"),
        ({"optimizer__lr": 1}, "optimizer.lr was searched, but the study has no section optimizer"),
    ],
)
def test_a_value_without_a_place_is_an_error_that_says_why(params: dict[str, Any], words: str) -> None:
    training = Training(model="my.Unknown", data={"class_path": "my.Data", "init_args": {"parts": [1], "batch": 4}})
    with pytest.raises(evo.UserError) as caught:
        fill(training, **params)
    assert words in str(caught.value)


CLASSES = """
import dataclasses
from typing import Generic as G
from base import *
from base import Root as Above, make as maker
import base as other


class Own(Above):
    def __init__(self, first, /, second, *rest, third=1, **more):
        super().__init__(**more)


class Silent(other.Root):
    pass


class Greedy(Above):
    def __init__(self, one, **more):
        super().__init__()


class Odd(undefined.Thing):
    pass


@dataclasses.dataclass
class Record:
    size: int
    depth: int = 1
"""


def test_what_classes_take_is_seen_without_running_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.py").write_text("1 / 0\nclass Root:\n    def __init__(self, a, b=2): ...\ndef make(size, **more): ...\n")
    Path("net.py").write_text(CLASSES)
    found = {
        name: None if (one := accepted_by(f"net.{name}")) is None else (sorted(one.names), one.any_other)
        for name in ("Own", "Silent", "Greedy", "Record", "Root", "maker", "Odd", "Absent")
    }
    assert found == {
        "Own": (["a", "b", "second", "third"], False),
        "Silent": (["a", "b"], False),
        "Greedy": (["one"], True),
        "Record": (["depth", "size"], False),
        "Root": (["a", "b"], False),
        "maker": (["size"], True),
        "Odd": None,
        "Absent": None,
    }
    assert accepted_by(f"{tmp_path}/net.py:Silent") == accepted_by("net:Silent")
    assert accepted_by("lonely") is None


def test_the_best_of_a_plain_loss_is_a_baseline_and_a_point_to_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = {"x": (0.0, 1.0), "act": ("on", "relu")}
    found = evo.minimize(lambda params: float(params["x"]), limits, evaluations=3, run_dir="run")
    assert found.best is not None
    Path("best.yaml").write_text(call("best", "run", "--yaml").out)
    assert read_parameters("best.yaml") == found.best.params
    again = evo.minimize(lambda params: float(params["x"]), limits, evaluations=1, start_from="best.yaml")
    assert [one.params for one in again.individuals] == [found.best.params]


def test_one_individual_is_shown_as_it_is_asked_for_without_torch() -> None:
    run = str(FORMER / "sections")
    assert call("best", run, "--params").out.splitlines()[1:] == ["model.lr: 0.1402792574554", "data.batch_size: 4"]
    assert call("best", run, "--individual", "0-0").out.startswith("individual")
    assert json.loads(call("best", run, "--individual", "0-0", "--json").out)["individual"] == [0, 0]
    assert "has no individual 9-9" in call("best", run, "--individual", "9-9").err
    assert call("best", run, run, "--individual", "0-0").status == 2
    program = (
        "import sys; from evo.cli import main; main(); "
        "sys.exit(bool({'torch', 'lightning', 'scipy', 'jsonargparse'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, "best", run, "--yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\nmodel:\n  class_path: former_network.Network\n" in done.stdout
