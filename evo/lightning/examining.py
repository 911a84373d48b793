"""The best weights of a finished training, evaluated on its test set."""

from __future__ import annotations

import math
from typing import Any

import lightning as L

from evo.lightning.blueprint import Blueprint, Shares
from evo.lightning.callbacks import KeepSigterm
from evo.lightning.checkpoints import is_trusted
from evo.lightning.predictions import Predictions
from evo.lightning.trainers import Seat, SilentLogger, make_trainer
from evo.objective.objective import Trial
from evo.storage.checkpoints import BEST


def check_there(trial: Trial) -> None:
    """Make sure that an individual has its best weights.

    Args:
        trial: Its trial.

    Raises:
        FileNotFoundError: It has none.
    """
    checkpoint = trial.folder / BEST
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"Individual {trial.individual} has no weights: {checkpoint} does not exist. With several "
            "nodes, give a run directory that all of them see; or train this one again."
        )


def examine_weights(blueprint: Blueprint, shares: Shares, trial: Trial, module: Any, data: Any) -> dict[str, float]:
    """Evaluate the best weights of a training on the test set.

    Args:
        blueprint: The training.
        shares: The parts and their parameters.
        trial: The trial, whose folder holds the weights.
        module: The module, which gets them.
        data: The data module, or None.

    Returns:
        The finite numbers that the module logged in its test.

    Raises:
        Exception: Whatever the test raises.
    """
    checkpoint = trial.folder / BEST
    predictions = [Predictions()] if trial.results else []
    callbacks: list[L.Callback] = [KeepSigterm(), *predictions]
    seat = Seat(trial.folder, trust=trial.trust)
    trainer, profiler = make_trainer(blueprint, shares, seat, callbacks, SilentLogger(trial.folder))
    with profiler.ended():
        # The user's own file may hold more than weights.
        weights_only = not is_trusted(checkpoint, trial.trust)
        results = trainer.test(module, datamodule=data, ckpt_path=checkpoint, verbose=False, weights_only=weights_only)
    if trial.results:
        trial.metrics["confusion"] = predictions[0].write(trial.results)
    metrics = {name: float(value) for result in results for name, value in result.items()}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
