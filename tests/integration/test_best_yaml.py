"""The best individual as a configuration that LightningCLI trains, with the hyperparameters that the search had."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import call
from lightning.pytorch.cli import LightningCLI

from evo.report.reading import load
from evo.run import main

NETWORK = """
import json
from dataclasses import dataclass

import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Sizes:
    width: int = 2
    depth: int = 1


class Network(L.LightningModule):
    def __init__(self, lr: float = 0.1, sizes: Sizes | None = None, act: torch.nn.Module | None = None, **more: float):
        super().__init__()
        self.given = [lr, vars(sizes), repr(act), more]
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, index):
        return self.layer(batch[0]).pow(2).mean()

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def on_fit_end(self):
        trainer = self.trainer
        stopping = trainer.early_stopping_callbacks[-1].patience  # The last, since one of evo's may yield to it.
        optimizer = trainer.optimizers[0]
        settings = {name: optimizer.defaults.get(name) for name in ("lr", "momentum", "weight_decay", "nesterov")}
        scheduler = trainer.lr_scheduler_configs[0].scheduler
        kind = [type(optimizer).__name__, settings, scheduler.T_max, scheduler.eta_min]
        length = [trainer.datamodule.batch_size, trainer.max_epochs, trainer.gradient_clip_val]
        seen = [self.given, length, stopping, kind]
        with open("seen.jsonl", "a") as file:
            file.write(json.dumps(seen) + "\\n")


class Rows(L.LightningDataModule):
    def __init__(self, batch_size: int = 4):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(8, 3)), batch_size=self.batch_size)

    val_dataloader = train_dataloader
"""

STUDY = """
model:
  class_path: yaml_network.Network
  init_args: {act: {class_path: torch.nn.LeakyReLU, init_args: {negative_slope: 0.3}}}
data: yaml_network.Rows
optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1, nesterov: false, weight_decay: 0.01}}
lr_scheduler: {class_path: torch.optim.lr_scheduler.CosineAnnealingLR}
link_arguments: {trainer.max_epochs: lr_scheduler.T_max}
trainer:
  logger: false
  callbacks: [{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val_loss}}]
limits:
  lr: {type: float, low: 1.0e-5, high: 1.0e-4, log: true}
  model.sizes.width: [3, 5]
  model.act.class_path: [torch.nn.LeakyReLU, torch.nn.ELU]
  model.act.negative_slope: {type: float, low: 0.1, high: 0.2, when: {model.act.class_path: torch.nn.LeakyReLU}}
  model.extra: [0.25, 0.75]
  data.batch_size: [2, 4]
  trainer.max_epochs: [1, 2]
  trainer.gradient_clip_val: [0.5, 1.5]
  trainer.callbacks.0.patience: [4, 6]
  optimizer.class_path: [torch.optim.SGD, torch.optim.Adam]
  optimizer.lr: {type: float, low: 0.001, high: 0.1, log: true}
  optimizer.momentum: {type: float, low: 0.1, high: 0.9, when: {optimizer.class_path: torch.optim.SGD}}
  lr_scheduler.eta_min: [1.0e-6, 1.0e-7]
start_from:
  - {model.act.class_path: torch.nn.LeakyReLU, optimizer.class_path: torch.optim.SGD, trainer.max_epochs: 2}
  - {model.act.class_path: torch.nn.ELU, optimizer.class_path: torch.optim.Adam, trainer.max_epochs: 1}
evaluations: 2
run_dir: run
evaluate: inline
quiet: true
"""


def seen() -> list[Any]:
    return [json.loads(line) for line in Path("seen.jsonl").read_text().splitlines()]


def test_lightning_cli_trains_each_individual_of_a_search_with_the_same_hyperparameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("yaml_network.py").write_text(NETWORK)
    Path("study.yaml").write_text(STUDY)
    assert main(["study.yaml"], ends=False) == 0
    searched = {one.name: by for one, by in zip(load("run").individuals, seen(), strict=True)}
    assert len({json.dumps(each) for each in searched.values()}) == 2
    for name, expected in searched.items():
        ended = call("best", "run", "--yaml", "--individual", name)
        assert (ended.status, ended.err) == (0, "")
        Path("best.yaml").write_text(ended.out)
        LightningCLI(
            args=["fit", "--config", "best.yaml", "--trainer.enable_progress_bar=false"], save_config_callback=None
        )
        assert seen()[-1] == expected, f"{ended.out}\n{name}"
    assert "left out: optimizer.nesterov, which torch.optim.Adam does not take" in "".join(
        call("best", "run", "--yaml", "--individual", name).out for name in searched
    )


def test_arguments_without_a_class_stay_as_they_are_for_the_main_program_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("plain_network.py").write_text(NETWORK.replace("scheduler.T_max, scheduler.eta_min", "scheduler.step_size"))
    Path("study.yaml").write_text(
        "model: {lr: 0.5, sizes: {width: 3}}\nmodel_class: plain_network.Network\ndata: {}\n"
        "datamodule_class: plain_network.Rows\noptimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}\n"
        "lr_scheduler: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 2}}\n"
        "trainer: {max_epochs: 1, logger: false}\nearly_stopping: {patience: 7}\n"
        "limits: {model.lr: [0.25, 0.75], data.batch_size: [2, 4]}\nevaluations: 1\nrun_dir: run\nevaluate: inline\n"
    )
    assert main(["study.yaml", "--quiet"], ends=False) == 0
    (searched,) = seen()
    Path("best.yaml").write_text(call("best", "run", "--yaml").out)
    assert set(yaml.safe_load(Path("best.yaml").read_text())["model"]) == {"lr", "sizes"}
    network = sys.modules["plain_network"]
    LightningCLI(
        network.Network,
        network.Rows,
        args=["fit", "--config", "best.yaml", "--trainer.enable_progress_bar=false"],
        save_config_callback=None,
    )
    assert seen() == [searched, searched]
