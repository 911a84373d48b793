"""A loss that is a Lightning training: parameters in, best validation loss out."""

from __future__ import annotations

import copy
import gc
import inspect
import math
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, final, get_args

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger

from evo.lightning.callbacks import CHECKPOINT, STATE, BestWeights, KeepSigterm, Mode, SaveState, TrialReport
from evo.lightning.environment import Alone, alone
from evo.lightning.predictions import Predictions
from evo.objectives import Trial

OWN_SETTINGS = ("default_root_dir", "enable_checkpointing", "max_epochs")
DEFAULT_SETTINGS: dict[str, Any] = {
    "accelerator": "auto",
    "devices": 1,
    "num_sanity_val_steps": 0,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_autolog_hparams": False,  # TrialReport logs the individual's parameters, with their loss
}


@final
@dataclass(frozen=True)
class LightningObjective:
    """Trains a LightningModule on a LightningDataModule; the loss is the best monitored value of the training.

    Each constructor receives those of the individual's parameters that it takes by name; `**kwargs` takes the ones that
    nobody takes by name; an absent parameter (an inactive conditional one) has the constructor's default. Training is
    seeded with the trial's seed and writes into the trial's folder: TensorBoard's event file, `hparams.yaml`, and
    `best.ckpt` (weights only). What an earlier, killed attempt left there is removed first. Module-level classes and
    plain values keep an objective picklable, which it must be to reach the process that trains.

    Args:
        model: A LightningModule class, or a callable that makes one.
        data: A LightningDataModule class, or a callable that makes one. Its `prepare_data` runs in every training, at
            the same time as in others: a download belongs before the study.
        max_epochs: The most epochs that a training may take, at least 1; -1 for no limit (then trainer needs max_time
            or max_steps).
        monitor: Name of the metric that is the loss, as the module logs it in its validation.
        mode: "min" when smaller is better; "max" when larger is, and then the loss is the negative value.
        early_stopping: Arguments of Lightning's EarlyStopping, which watches the monitored metric unless told
            otherwise; by default it has a patience of 3 validations. None or False: no early stopping.
        trainer: Further arguments of Lightning's Trainer; they win over evo's (no progress bar, one device of the best
            kind, no sanity check, TensorBoard's logger). Copied for every training, so that no callback remembers the
            last one.

    Raises:
        ValueError: mode or max_epochs is out of range, or trainer sets what the objective sets itself.

    Example:
        >>> from evo.problems.digits import Digits, DigitsNet
        >>> objective = LightningObjective(DigitsNet, Digits, max_epochs=12, early_stopping={"patience": 5})
        >>> objective.check(["lr", "channels", "batch_size"])
        >>> objective.check(["learning_rate"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: No constructor takes 'learning_rate'. DigitsNet takes: conv_layers, channels, ...
    """

    separate_process: ClassVar[bool] = True  # A rank neither imports torch nor dies with a training.
    one_rank_only: ClassVar[bool] = True  # All ranks of a worker would train the same network in the same folder.

    model: Callable[..., L.LightningModule]
    data: Callable[..., L.LightningDataModule]
    _: KW_ONLY
    max_epochs: int
    monitor: str = "val_loss"
    mode: Mode = "min"
    early_stopping: Mapping[str, Any] | Literal[False] | None = field(default_factory=lambda: {"patience": 3})
    trainer: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode is {self.mode!r}: it must be 'min' or 'max'.")
        if self.max_epochs < 1 and self.max_epochs != -1:
            raise ValueError(f"max_epochs is {self.max_epochs}: it must be at least 1, or -1 for no limit.")
        for name in OWN_SETTINGS:
            if name in (self.trainer or {}):
                raise ValueError(f"trainer sets {name!r}, which the objective sets itself. Leave it out of trainer.")

    def __call__(self, params: Mapping[str, Any], trial: Trial) -> float:
        """Trains and returns the loss: the best monitored value, negative for mode "max".

        A training that was interrupted goes on where it saved its state, with its epochs, optimizers, schedulers, best
        value and random number generators; one that was killed, where it last did so (see trial.checkpoint_interval).
        The state, `last.ckpt`, is left behind: until the loss is recorded, it may be needed again.

        Puts into trial.metrics what the module logged in the best validation, `epochs` (how many were trained) and
        `best_epoch` (counted from 1). Metrics that are not finite are left out.

        Raises:
            ValueError: A parameter that no constructor takes, or a monitored metric that the module does not log.
            FloatingPointError: The monitored metric was NaN or infinite.
            Interrupted: The trial was interrupted, and the training has saved its state.
            Exception: Whatever the training raises, unchanged.
        """
        state = trial.folder / STATE
        with alone():
            module, data = self._build(params, trial)
            if not zipfile.is_zipfile(state):  # Or a power failure has left a part of it.
                _remove_leftovers(trial.folder)
            report = TrialReport(trial, params, self.monitor, self.mode)
            saving = [BestWeights(trial.folder, self.monitor, self.mode), SaveState(trial)]
            callbacks = [KeepSigterm(), report, *self._stopping(), *saving]
            logger = TensorBoardLogger(trial.folder, name="", version="", default_hp_metric=False)
            trainer = self._make_trainer(trial.folder, callbacks, logger)
            # The file is our own: it may hold more than weights.
            trainer.fit(module, datamodule=data, ckpt_path=state if state.exists() else None, weights_only=False)
        best = report.result()
        trial.metrics.update(best.metrics, epochs=report.epochs, best_epoch=best.epoch)
        return best.loss

    def test(self, params: Mapping[str, Any], trial: Trial) -> dict[str, float]:
        """Evaluates the best weights of a finished training on the test set.

        Args:
            params: The individual's parameters, as in the training.
            trial: Its trial; the folder holds best.ckpt. With trial.results, the confusion matrix is written there,
                and trial.metrics has as "confusion" why it could not be; see `evo.lightning.predictions`.

        Returns:
            What the module logged in its test, the finite numbers.

        Raises:
            FileNotFoundError: The folder has no best.ckpt.
        """
        checkpoint = trial.folder / CHECKPOINT
        if not checkpoint.is_file():
            raise FileNotFoundError(
                f"Individual {trial.individual} has no weights: {checkpoint} does not exist. With several "
                "nodes, give a run directory that all of them see; or train this one again."
            )
        with alone():
            module, data = self._build(params, trial)
            predictions = [Predictions()] if trial.results else []
            trainer = self._make_trainer(trial.folder, [KeepSigterm(), *predictions], logger=False)
            results = trainer.test(module, datamodule=data, ckpt_path=checkpoint, verbose=False)
        if trial.results:
            trial.metrics["confusion"] = predictions[0].write(trial.results)
        metrics = {name: float(value) for result in results for name, value in result.items()}
        return {name: value for name, value in metrics.items() if math.isfinite(value)}

    def check(self, names: Collection[str]) -> None:
        """Makes sure that the constructors can be called with these parameters, before anything is trained.

        Args:
            names: Names of all parameters in the limits, conditional ones included.

        Raises:
            ValueError: No constructor takes one of them, or a constructor needs one that is not among them.
        """
        self._share_out(dict.fromkeys(names))
        for constructor in (self.model, self.data):
            named = _named(constructor)
            missing = [name for name in named if named[name].default is inspect.Parameter.empty and name not in names]
            if missing:
                raise ValueError(
                    f"{_title(constructor)} needs {', '.join(map(repr, missing))}, which the limits do not have. "
                    "Add it to the limits or give it a default."
                )

    def _share_out(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The parameters that each constructor receives, the model's and the data's."""
        constructors = (self.model, self.data)
        anyone = {name for constructor in constructors for name in _named(constructor)}
        rest = {name: value for name, value in params.items() if name not in anyone}
        if rest and not any(map(_takes_any, constructors)):
            takes = ". ".join(f"{_title(c)} takes: {', '.join(_named(c)) or 'none'}" for c in constructors)
            raise ValueError(
                f"No constructor takes {', '.join(map(repr, rest))}. {takes}. Rename it in the limits, or add it to a "
                "constructor."
            )
        return [
            {name: params[name] for name in _named(constructor) if name in params}
            | (rest if _takes_any(constructor) else {})
            for constructor in constructors
        ]

    def _build(self, params: Mapping[str, Any], trial: Trial) -> tuple[L.LightningModule, L.LightningDataModule]:
        if torch.cuda.is_available():
            gc.collect()  # a trainer is a cycle: the last training's tensors leave the GPU before this one's come
        torch.set_num_threads(trial.threads)
        L.seed_everything(trial.seed, workers=True, verbose=False)
        of_model, of_data = self._share_out(params)
        module, data = self.model(**of_model), self.data(**of_data)
        for thing, kind in ((module, L.LightningModule), (data, L.LightningDataModule)):
            if not isinstance(thing, kind):
                raise ValueError(
                    f"{type(thing).__module__}.{type(thing).__qualname__} is not a {kind.__module__}.{kind.__name__}. "
                    "evo trains what `import lightning` brings, not `import pytorch_lightning`: change that import."
                )
        return module, data

    def _stopping(self) -> list[L.Callback]:
        if self.early_stopping is None or self.early_stopping is False:
            return []
        given = dict(self.early_stopping)
        if given.setdefault("monitor", self.monitor) == self.monitor:
            given.setdefault("mode", self.mode)
        return [EarlyStopping(**given)]

    def _make_trainer(self, folder: Path, callbacks: list[L.Callback], logger: TensorBoardLogger | bool) -> L.Trainer:
        given = copy.deepcopy(dict(self.trainer or {}))
        callbacks = [*callbacks, *_as_list(given.pop("callbacks", None))]
        plugins = [Alone(), *_as_list(given.pop("plugins", None))]
        settings = DEFAULT_SETTINGS | {"logger": logger} | given
        return L.Trainer(
            **settings, max_epochs=self.max_epochs, default_root_dir=folder, callbacks=callbacks, plugins=plugins
        )


def _remove_leftovers(folder: Path) -> None:
    """Removes what an attempt that was killed left, so that nothing of it is taken for this one's."""
    for pattern in ("best*.ckpt", STATE, "events.out.tfevents.*", "hparams.yaml"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _named(constructor: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The parameters that a constructor takes by name, in its order."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in inspect.signature(constructor).parameters.items() if p.kind in by_name}


def _takes_any(constructor: Callable[..., object]) -> bool:
    """Whether a constructor has **kwargs."""
    parameters = inspect.signature(constructor).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _title(constructor: Callable[..., object]) -> str:
    return str(getattr(constructor, "__name__", constructor))


def _as_list(value: Any) -> list[Any]:
    """Lightning's Trainer takes one thing, several or None where it says callbacks or plugins."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
