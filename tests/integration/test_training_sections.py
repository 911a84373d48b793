"""The sections of a training in a study file: taken as they are written, LightningCLI's own keys understood.

Nothing here loads torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evo.objective.training import Training
from evo.study.arguments import parse_arguments
from evo.study.config import Config

NET = """
import lightning as L
from lightning import LightningDataModule


class Base(L.LightningModule):
    def __init__(self, hidden_dim: int = 8, lr: float = 0.01):
        super().__init__()


class Data(LightningDataModule):
    def __init__(self, batch_size: int = 32):
        super().__init__()
"""
PLAIN = "trainer: {max_epochs: 2}\nmodel: {hidden_dim: 8}\ndata: {batch_size: 16}\nlimits: {model.lr: [0.1, 0.2]}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def read(text: str, *options: str, file: str = "study.yaml") -> Training:
    Path(file).write_text(text)
    what, *_ = parse_arguments([file, *options], "evo")
    assert isinstance(what, Training)
    return what


def config(text: str) -> Config:
    Path("study.yaml").write_text(text)
    return parse_arguments(["study.yaml"], "evo")[1]


def refused(text: str, *options: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        read(text, *options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_section_is_taken_as_it_is_written_though_its_classes_can_be_imported(folder: Path) -> None:
    nested = {
        "class_path": "argparse.ArgumentParser",
        "init_args": {"prog": "x", "parents": [{"class_path": "json.JSONEncoder"}]},
    }
    text = f"""
model: {{class_path: net.Base, init_args: {{net: {nested}, by_name: {{a: {nested}}}, several: [{nested}]}}}}
data: {{class_path: json.JSONDecoder, dict_kwargs: {{strict: false}}}}
optimizer: {nested}
trainer: {{max_epochs: 1, logger: {nested}}}
early_stopping: {{patience: 2}}
link_arguments: {{data.n: model.n}}
"""
    training = read(text)
    arguments = {"net": nested, "by_name": {"a": nested}, "several": [nested]}
    assert training.model == {"class_path": "net.Base", "init_args": arguments}
    assert training.data == {"class_path": "json.JSONDecoder", "dict_kwargs": {"strict": False}}
    assert (training.optimizer, training.trainer) == (nested, {"max_epochs": 1, "logger": nested})
    assert (training.early_stopping, training.link_arguments) == ({"patience": 2}, {"data.n": "model.n"})
    assert Training(**json.loads(str(training))) == training
    assert not training.notes


def test_a_propagator_is_taken_as_it_is_written_too(folder: Path) -> None:
    own = {"class_path": "evo.propagators.SelectMin", "init_args": {"n": 2}}
    then = {
        "class_path": "evo.propagators.Conditional",
        "init_args": {"population": 5, "then": own, "otherwise": "random"},
    }
    text = f"objective: sphere\npropagator: {then}\nislands: [{{workers: 1, propagator: {then}}}]\n"
    assert config(text).propagator == then
    assert config(text).islands == [{"workers": 1, "propagator": then}]


def test_a_place_in_a_section_is_set_on_the_command_line(folder: Path) -> None:
    text = "model: net.Base\ntrainer: {max_epochs: 2, precision: 16}\n"
    options = ["--trainer.max_epochs", "3", "--model.lr=0.5", "--model.net.class_path", "a.B", "--model.net.depth", "2"]
    training = read(text, *options, "--data", "{class_path: net.Data}", "--trainer_class", "my.Trainer")
    assert training.trainer == {"max_epochs": 3, "precision": 16}
    inner = {"class_path": "a.B", "init_args": {"depth": 2}}
    assert training.model == {"class_path": "net.Base", "init_args": {"lr": 0.5, "net": inner}}
    assert (training.data, training.trainer_class) == ({"class_path": "net.Data"}, "my.Trainer")
    assert parse_arguments(["sphere", "--limits.x.y", "[0, 1]"], "evo")[1].limits == {"x.y": [0, 1]}
    assert "--trainer.callbacks+" in refused(text, "--trainer.callbacks+=X")


def test_null_is_absent_everywhere(folder: Path) -> None:
    text = (
        "model: net.Base\ndata: null\noptimizer: null\nearly_stopping: null\nmonitor: null\nseed: null\nnew_key: null\n"
    )
    training = read(text + "trainer: {max_epochs: 2, logger: null, new: null, check_val_every_n_epoch: null}\n")
    assert training == Training(model="net.Base", trainer={"max_epochs": 2, "check_val_every_n_epoch": None})
    assert not training.notes


USUAL = """
  accelerator: auto
  strategy: auto
  devices: auto
  num_nodes: 1
  logger: null
  fast_dev_run: false
  max_epochs: 2
  enable_checkpointing: true
  barebones: false
  default_root_dir: null
  enable_autolog_hparams: true
"""


def test_what_asks_only_for_what_evo_does_anyway_is_understood_without_a_word(folder: Path) -> None:
    text = f"seed_everything: true\nmodel: net.Base\nckpt_path: null\nweights_only: null\ntrainer:{USUAL}"
    training = read(text)
    assert training.trainer == {"accelerator": "auto", "max_epochs": 2}
    assert not training.notes
    assert read("fit:\n  model: net.Base\n  trainer: {max_epochs: 2}\nlimits: {model.lr: [1, 2]}\n").model == "net.Base"


def test_what_is_set_aside_is_said_in_one_note(folder: Path) -> None:
    text = (
        "model: net.Base\nseed_everything: false\nweights_only: true\ntrainer: {max_epochs: 1, default_root_dir: logs, "
    )
    training = read(text + "enable_checkpointing: false, devices: [2], logger: true}\n")
    assert training.trainer == {"max_epochs": 1}
    (note,) = training.notes
    for word in ("seed_everything", "weights_only", "trainer.default_root_dir", "enable_checkpointing", "devices: [2]"):
        assert word in note
    assert "\n" not in note


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trainer: {devices: 4}", ["trainer.devices is 4", "ranks_per_worker"]),
        ("trainer: {devices: [0, 1]}", ["trainer.devices is [0, 1]", "ranks_per_worker"]),
        ("trainer: {num_nodes: 4}", ["trainer.num_nodes is 4", "ranks_per_worker"]),
        ("trainer: {fast_dev_run: true}", ["trainer.fast_dev_run is True", "max_epochs: 1"]),
        ("trainer: {fast_dev_run: 3}", ["trainer.fast_dev_run is 3"]),
        ("trainer: {barebones: true}", ["trainer.barebones is True"]),
        ("ckpt_path: last.ckpt", ["ckpt_path is 'last.ckpt'", "begins anew"]),
        ("seed_everything: often", ["seed_everything is 'often'"]),
        ("trainer: 3", ["trainer is 3", "dict"]),
        ("model: [net.Base]", ["model is ['net.Base']", "str, dict"]),
        ("optimiser: {class_path: a.B}", ["'optimiser'", "did you mean optimizer?"]),
        ("objective: sphere", ["belongs to a training, but the objective is sphere"]),
    ],
)
def test_what_a_search_cannot_do_is_an_error_that_says_what_to_do(folder: Path, text: str, words: list[str]) -> None:
    message = refused(text if text.startswith("model") else f"model: net.Base\n{text}\n")
    assert message.startswith("study file study.yaml: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "seed"),
    [("seed_everything: 42", 42), ("seed_everything: 42\nseed: 7", 7), ("seed_everything: true", None)],
)
def test_the_seed_of_a_configuration_is_that_of_the_study_unless_it_has_its_own(
    folder: Path, text: str, seed: Any
) -> None:
    assert config(f"model: net.Base\n{text}\n").seed == seed


def test_a_section_without_a_class_is_for_the_only_one_that_takes_its_arguments(folder: Path) -> None:
    (folder / "broken.py").write_text("def")
    (folder / "other.py").write_text(
        "import lightning as L\nclass Other(L.LightningModule):\n    def __init__(self, depth=1): ...\n"
    )
    training = read(PLAIN)
    assert (training.model_class, training.datamodule_class, training.name) == ("net.Base", "net.Data", "Base")
    assert [note.partition(":")[0] for note in training.notes] == ["model is net.Base", "data is net.Data"]
    (folder / "sub").mkdir()
    (folder / "sub" / "one.py").write_text(
        "from lightning import LightningModule as M\nclass One(M):\n    def __init__(self, colour): ...\n"
    )
    beside = read("trainer: {max_epochs: 1}\nmodel: {colour: red}\n", file="sub/study.yaml")
    assert (beside.model_class, beside.data) == ("sub/one.py:One", None)


def test_a_section_without_a_class_is_for_that_which_lightning_cli_is_called_with(folder: Path) -> None:
    (folder / "second.py").write_text("from net import Base\nclass Net(Base):\n    pass\n")
    assert "several classes take the arguments hidden_dim: " in refused(PLAIN)
    (folder / "main.py").write_text(
        "from lightning.pytorch.cli import LightningCLI\nimport second\nfrom net import Data\n"
        "class CLI(LightningCLI):\n    pass\n"
        "def main():\n    CLI(second.Net, datamodule_class=Data, save_config_callback=None)\n"
    )
    training = read(PLAIN)
    assert (training.model_class, training.datamodule_class) == ("second.Net", "net.Data")
    assert "LightningCLI is called with it in main.py" in training.notes[0]
    # A class without arguments does not appear in a printed configuration.
    assert read("trainer: {max_epochs: 1}\n").model_class == "second.Net"
    assert read("trainer: {max_epochs: 1}\nmodel: {hidden_dim: 3}\n").datamodule_class == "net.Data"
    assert read(PLAIN + "model_class: net.Base\n").model_class == "net.Base"


def test_what_stands_in_another_folder_is_found_by_its_files(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "net.py").rename(folder / "sub" / "net.py")
    (folder / "sub" / "main.py").write_text(
        "from lightning.pytorch.cli import LightningCLI\nimport net\nfrom net import Data as D\n"
        "class Own(net.Base):\n    pass\nLightningCLI(Own, D)\n"
    )
    training = read(PLAIN, file="sub/study.yaml")
    assert (training.model_class, training.datamodule_class) == ("sub/main.py:Own", "sub/net.py:Data")


def test_plain_arguments_of_an_optimizer_are_for_the_class_that_the_parser_has(folder: Path) -> None:
    text = "model: net.Base\noptimizer: {lr: 0.5}\n"
    assert "optimizer has no class_path" in refused(text)
    (folder / "main.py").write_text(
        "import torch\nclass C:\n    def add_arguments_to_parser(self, parser):\n"
        "        parser.add_optimizer_args(torch.optim.Adam)\n"
    )
    assert read(text).optimizer == {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5}}


def test_a_class_of_another_package_is_found_by_the_call(folder: Path) -> None:
    (folder / "main.py").write_text(
        "from lightning.pytorch import demos\nfrom lightning.pytorch.cli import LightningCLI as C\n"
        "C(demos.DemoModel, demos.BoringDataModule)\n"
    )
    training = read("trainer: {max_epochs: 1}\nmodel: {out_dim: 10}\n")
    assert training.model_class == "lightning.pytorch.demos.DemoModel"
    assert training.datamodule_class == "lightning.pytorch.demos.BoringDataModule"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "model: {depth: 3}",
            ["model has no class_path", "the arguments depth", "net.Base(hidden_dim, lr)", "model_class: "],
        ),
        ("model: net.Base\ndata: {size: 3}", ["data has no class_path", "net.Data(batch_size)", "datamodule_class: "]),
        ("trainer: {max_epochs: 1}", ["there is no section model"]),
    ],
)
def test_a_section_that_no_class_takes_is_an_error_that_lists_those_there_are(
    folder: Path, text: str, words: list[str]
) -> None:
    message = refused(f"{text}\n")
    for word in words:
        assert word in message


def test_a_class_that_is_searched_is_not_looked_for(folder: Path) -> None:
    training = read("trainer: {max_epochs: 1}\nlimits: {model.class_path: [net.Base, net.Other]}\n")
    assert (training.model, training.model_class, training.notes) == (None, None, ())
