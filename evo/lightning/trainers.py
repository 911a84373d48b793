"""The Trainer of a training: the arguments that the user gives, and what evo adds to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from typing_extensions import override

from evo.lightning.accelerators import usual_accelerator
from evo.lightning.activities import Activities, make_profiler
from evo.lightning.blueprint import Blueprint, Shares
from evo.lightning.checkpoints import WholeFiles
from evo.lightning.environment import WorkerEnvironment

DEFAULT_SETTINGS: dict[str, Any] = {
    "num_sanity_val_steps": 0,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_autolog_hparams": False,  # RowLogger logs the individual's parameters, with their loss
}


@final
@dataclass(frozen=True)
class Seat:
    """The place of a process in a training.

    Args:
        folder: The folder of the individual.
        rank: The place of this process among those that train together.
        size: The number of these processes.
        trust: Whether checkpoints in the folder are loaded with any code in them, whoever they belong to.
    """

    folder: Path
    rank: int = 0
    size: int = 1
    trust: bool = False


@final
class SilentLogger(DummyLogger):
    """Takes the place of a training's loggers in its test, so that code that logs by `self.logger` runs there too.

    Args:
        folder: The folder of the individual, which `trainer.log_dir` names.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    @property
    @override
    def save_dir(self) -> str:
        return str(self._folder)


def make_trainer(
    blueprint: Blueprint,
    shares: Shares,
    seat: Seat,
    callbacks: Sequence[L.Callback],
    logger: Logger | list[Logger] | bool,
) -> tuple[L.Trainer, Activities]:
    """A Trainer, and the profiler that measures where its time goes.

    Args:
        blueprint: The training.
        shares: The parts and their parameters.
        seat: Which process this is, and where it writes.
        callbacks: The callbacks that come before the user's.
        logger: The loggers, unless the user wants none; the user's own are made elsewhere, see `Blueprint.loggers`.

    Raises:
        ValueError: An argument does not fit.
        Exception: Whatever the Trainer raises.
    """
    given = blueprint.settings(shares, "trainer")
    all_callbacks = [*callbacks, *_as_list(given.pop("callbacks", None))]
    profiler = make_profiler(given.pop("profiler", None), seat.folder, seat.rank)
    # A cluster environment of the user's would start processes, or wait for those that train something else.
    theirs = [each for each in _as_list(given.pop("plugins", None)) if not isinstance(each, ClusterEnvironment)]
    plugins = [WorkerEnvironment(seat.rank, seat.size), *theirs]
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        plugins.append(WholeFiles(seat.folder, seat.trust))
    settings = (
        DEFAULT_SETTINGS
        | {"accelerator": usual_accelerator(), "logger": logger, "devices": 1}
        | _spread(given, seat.size)
    )
    if blueprint.has_loggers or (isinstance(logger, SilentLogger) and settings["logger"] is not False):
        settings["logger"] = logger
    if any(isinstance(callback, ProgressBar) for callback in all_callbacks):
        settings["enable_progress_bar"] = True
    own: dict[str, Any] = {"callbacks": all_callbacks, "plugins": plugins, "profiler": profiler}
    return blueprint.make_trainer(**settings, **own, default_root_dir=seat.folder), profiler


def _spread(given: dict[str, Any], size: int) -> dict[str, Any]:
    """The arguments, with the strategy for this number of processes, all of which are running already."""
    strategy = given.pop("strategy", "ddp")
    if isinstance(strategy, str):
        strategy = re.sub(r"^(ddp)_(spawn|fork|notebook)", r"\1", strategy)
    is_ddp = isinstance(strategy, DDPStrategy) or (isinstance(strategy, str) and strategy.startswith("ddp"))
    if size > 1:
        # Lightning takes each process for a node of its own, with one device and no processes to start.
        return {"strategy": strategy, "num_nodes": size, **given}
    # A process that trains alone has no connection, which data parallelism needs.
    return given if is_ddp else {"strategy": strategy, **given}


def _as_list(value: Any) -> list[Any]:
    """A list from what Lightning's Trainer takes as callbacks or plugins: one thing, several, or None."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
