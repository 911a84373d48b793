"""Configurations that LightningCLI prints run as they are: three of Lightning's demos, subclass and plain mode."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from evo.lightning import LightningObjective
from evo.objective.references import find_class
from evo.objective.training import Training
from evo.run import main
from evo.space.examples import example_points
from evo.space.space import Space
from evo.study.arguments import parse_arguments
from evo.study.files import load_limits
from evo.testing.trials import FakeTrial

# Lightning's demos log nothing in their validations, and two of them download their data.
DEMOS = """
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.demos import BoringDataModule, BoringModel, DemoModel, LightningTransformer
from torch.nn.functional import nll_loss
from torch.utils.data import DataLoader, TensorDataset


class Logged:
    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index)["loss"])


class Boring(Logged, BoringModel):
    pass


class Demo(Logged, DemoModel):
    def training_step(self, batch, index):
        return {"loss": self(batch[0]).pow(2).mean()}


class Words(LightningTransformer):
    def __init__(self, vocab_size: int = 33278):
        super().__init__(vocab_size)

    def prepare_data(self):
        pass

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))


class Nested(Logged, DemoModel):
    def __init__(
        self,
        width: int,
        optimizer: OptimizerCallable = torch.optim.Adam,
        blocks: list[torch.nn.Module] = (),
        named: dict[str, list[torch.nn.Module]] | None = None,
    ):
        super().__init__()


class Rows(LightningDataModule):
    def __init__(self, batch_size: int = 4):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(4, 32)), batch_size=self.batch_size)

    val_dataloader = train_dataloader


class Text(LightningDataModule):
    def __init__(self, batch_size: int = 2):
        super().__init__()
        self.batch_size, self.vocab_size = batch_size, 5

    def train_dataloader(self):
        words = torch.arange(20).reshape(4, 5) % 5
        return DataLoader(TensorDataset(words, words), batch_size=self.batch_size)

    val_dataloader = train_dataloader
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_demos.py").write_text(DEMOS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


class LinkedCLI(LightningCLI):
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.vocab_size", "model.vocab_size", apply_on="instantiate")


def printed(classes: Sequence[str], *options: str) -> str:
    """What `main.py fit --print_config` prints; without classes, in subclass mode."""
    text = io.StringIO()
    given = [find_class(f"cli_demos.{name}", "class") for name in classes]
    cli = LinkedCLI if "Words" in classes else LightningCLI
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        cli(*given, args=["fit", *options, "--print_config"])
    return text.getvalue()


def train(text: str, params: int = 1) -> tuple[Training, list[FakeTrial]]:
    """Check a study file as a child does, and train the first of the example points."""
    Path("study.yaml").write_text(text)
    training, config, *_ = parse_arguments(["study.yaml"], "evo")
    assert isinstance(training, Training)
    objective = training.load()
    assert isinstance(objective, LightningObjective)
    space = Space(load_limits(config.limits or {}))
    examples = example_points(space)
    objective.check(space.names, examples)
    trials = []
    for number, example in enumerate(examples[:params]):
        trial = FakeTrial(Path(f"trained-{number}").resolve())
        objective(example, trial)
        trials.append(trial)
    return training, trials


SUBCLASSES = {
    "Boring": ("--data=cli_demos.BoringDataModule", "optimizer.lr: [0.01, 0.1]"),
    "Demo": ("--data=cli_demos.Rows", "model.out_dim: [2, 4]"),
    "Words": ("--data=cli_demos.Text", "data.batch_size: [2, 4]"),
}


@pytest.mark.parametrize("name", SUBCLASSES)
def test_a_configuration_of_subclasses_runs_as_it_is_printed(folder: Path, name: str) -> None:
    data, limits = SUBCLASSES[name]
    length = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    several = ["--model.vocab_size=5"] if name == "Words" else []
    schedule = [
        "--optimizer=SGD",
        "--optimizer.lr=0.5",
        "--lr_scheduler=ReduceLROnPlateau",
        "--lr_scheduler.monitor=val_loss",
    ]
    chosen = [*length, *several, *(schedule if name == "Boring" else [])]
    text = printed((), f"--model=cli_demos.{name}", data, *chosen)
    training, (trial,) = train(f"{text}limits: {{{limits}}}\nevaluations: 1\n")
    assert len(trial.reports) == 1
    assert training.notes == ()
    # One run of TensorBoard, evo's own, and nothing beside it.
    assert len(list(folder.rglob("events.out.tfevents.*"))) == 1
    assert not list(folder.rglob("lightning_logs"))


PLAIN = {
    "Boring": ("", "", "trainer.gradient_clip_val: [0.5, 1.0]"),
    "Demo": ("Rows", "model: {out_dim: 10", "model.out_dim: [2, 4]"),
    "Words": ("Text", "model: {", "data.batch_size: [2, 4]"),
}
MAIN = """
import cli_demos
from lightning.pytorch.cli import LightningCLI


class CLI(LightningCLI):
    def add_arguments_to_parser(self, parser):
        parser.link_arguments("data.vocab_size", "model.vocab_size", apply_on="instantiate")


"""


@pytest.mark.parametrize("name", PLAIN)
def test_a_configuration_of_plain_arguments_runs_as_it_is_printed(folder: Path, name: str) -> None:
    data, model, limits = PLAIN[name]
    # What these classes are is said by nothing but this call.
    main = MAIN if name == "Words" else MAIN.replace("parser.link_arguments", "print")
    call = main + f"if __name__ == '__main__':\n    CLI(cli_demos.{name}"
    (folder / "main.py").write_text(f"{call}, cli_demos.{data})\n" if data else f"{call})\n")
    length = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    text = printed([each for each in (name, data) if each], *length)
    given = yaml.safe_load(text)
    assert "class_path" not in text
    assert "vocab_size" not in text
    assert json.dumps(given.get("model", {})).replace('"', "").startswith(model.removeprefix("model: "))
    training, (trial,) = train(f"{text}limits: {{{limits}}}\nevaluations: 1\n")
    assert training.model_class == f"cli_demos.{name}"
    assert training.datamodule_class == (f"cli_demos.{data}" if data else None)  # BoringModel has its own loaders.
    assert all("main.py" in note or note.startswith("link_arguments") for note in training.notes)
    assert len(trial.reports) == 1


GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGES = "".join((GUIDES / name).read_text() for name in ("lightning.md", "lightning_cli.md"))
CLASSES = "[torch.optim.SGD, torch.optim.Adam]"
FORMS = {
    "a section": ("optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}", "model.optimizer.lr: [0.1, 0.2]"),
    "printed places": ("optimizer: torch.optim.SGD", "model.init_args.optimizer.init_args.lr: [0.1, 0.2]"),
    "null": ("optimizer: {class_path: torch.optim.SGD, init_args: null}", "model.optimizer.momentum: [0.1, 0.2]"),
    "the class": ("", f"model.optimizer.class_path: {CLASSES}, model.optimizer.lr: [0.1, 0.2]"),
    "the class by its name": ("", f"model.optimizer: {CLASSES}, model.optimizer.lr: [0.1, 0.2]"),
    "a list": ("blocks: [{class_path: torch.nn.Dropout, init_args: {p: 0.1}}]", "model.blocks.0.p: [0.1, 0.2]"),
    "a list in a mapping": ("named: {a: [{class_path: torch.nn.Dropout}]}", "model.named.a.0.p: [0.1, 0.2]"),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_nesting_goes_through_a_study_file(folder: Path, form: str) -> None:
    arguments, limits = FORMS[form]
    Path("study.yaml").write_text(
        f"model: {{class_path: cli_demos.Nested, init_args: {{width: 2, {arguments}}}}}\ndata: cli_demos.Rows\n"
        f"trainer: {{max_epochs: 1}}\nlimits: {{{limits}}}\n"
    )
    training, config, *_ = parse_arguments(["study.yaml"], "evo")
    assert isinstance(training, Training)
    space = Space(load_limits(config.limits or {}))
    objective = training.load()
    assert objective.check(space.names, example_points(space)) == []  # type: ignore[attr-defined]
    assert Training(**json.loads(str(training))) == training


@pytest.mark.parametrize(("file", "dropped"), [("sections.yaml", []), ("nested.yaml", ["optimizer.nesterov"])])
def test_the_study_files_of_the_guides_are_checked_and_built(
    folder: Path, file: str, dropped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "network", raising=False)  # that of another test
    for name in (file, "network.py"):
        (folder / name).write_text(PAGES.partition(f"\n# {name}\n")[2].partition("\n```")[0] + "\n")
    training, config, *_ = parse_arguments([file], "evo")
    assert isinstance(training, Training)
    space = Space(load_limits(config.limits or {}))
    notes = training.load().check(space.names, example_points(space))  # type: ignore[attr-defined]
    assert notes == [f"left out: {name}, which torch.optim.Adam does not take" for name in dropped]


def learning_rates(folder: Path) -> list[float]:
    (file,) = folder.glob("events.out.tfevents.*")
    events = EventAccumulator(str(file))
    events.Reload()
    return [event.value for event in events.Scalars("lr-SGD")]


def test_the_schedule_of_the_section_is_the_one_that_is_trained_with(folder: Path) -> None:
    text = """
model: cli_demos.Boring
optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.5}}
lr_scheduler: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 1}}
trainer:
  limit_train_batches: 1
  limit_val_batches: 1
  log_every_n_steps: 1
  callbacks: [{class_path: LearningRateMonitor}]
limits: {lr_scheduler.gamma: [0.5, 0.25], trainer.max_epochs: [3, 4]}
"""
    train(text, params=2)
    assert learning_rates(folder / "trained-0") == pytest.approx([0.5, 0.125, 0.03125])
    assert learning_rates(folder / "trained-1") == pytest.approx([0.5, 0.25, 0.125, 0.0625])


def test_a_configuration_that_was_saved_for_all_commands_is_read_too(folder: Path) -> None:
    given: dict[str, Any] = yaml.safe_load(printed((), "--model=cli_demos.Boring"))
    Path("study.yaml").write_text(yaml.safe_dump({"fit": given, "test": {"verbose": True}}))
    training, *_ = parse_arguments(["study.yaml"], "evo")
    assert isinstance(training, Training)
    assert training.model == {"class_path": "cli_demos.Boring"}
    assert training.notes == ("set aside: test (evo trains, and tests the best)",)


def test_a_misspelt_name_ends_the_command_before_anything_is_written(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("study.yaml").write_text(
        "model: {class_path: cli_demos.Nested, init_args: {width: 2}}\ndata: cli_demos.Rows\ntrainer: {max_epochs: 1}\n"
        f"limits: {{model.optimizer.class_path: {CLASSES}, model.optimizer.momentun: [0.1, 0.2]}}\n"
    )
    assert main(["study.yaml"], ends=False) == 2
    error = capfd.readouterr().err
    assert error.startswith(
        "evo: error: No constructor takes 'model.optimizer.momentun'. torch.optim.SGD takes: lr, mom"
    )
    assert error.count("\n") == 1
    assert not Path("runs").exists()
